package cdr

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"dialtone/internal/event"
)

// Columns is a set of CSV columns.
type Columns uint8

// The sets.
const (
	// Own are the names of the record; compound values are flattened (cause_sip, cause_words ...) and lists joined by
	// semicolons.
	Own Columns = iota
	// Asterisk are the names that users of Asterisk know from Master.csv, with its words for the disposition. Times are
	// UTC, as Asterisk writes them with usegmtime=yes; durations are whole seconds, cut off.
	Asterisk
)

// column is a name and how its cell comes from a record.
type column struct {
	name string
	cell func(*Record) string
}

// CSV encodes records, a header line first. Cells that a spreadsheet would take for a formula are guarded (see Guard);
// control characters, which a terminal would obey, are question marks.
type CSV struct {
	w       *csv.Writer
	columns []column
	row     []string
	begun   bool
}

// NewCSV makes an encoder onto w.
func NewCSV(w io.Writer, c Columns) *CSV {
	columns := ownColumns()
	if c == Asterisk {
		columns = asteriskColumns()
	}
	return &CSV{w: csv.NewWriter(w), columns: columns, row: make([]string, len(columns))}
}

// Write encodes one record.
func (c *CSV) Write(r *Record) error {
	c.begin()
	for i, col := range c.columns {
		c.row[i] = Guard(strings.Map(harmless, col.cell(r)))
	}
	if err := c.w.Write(c.row); err != nil {
		return fmt.Errorf("write record %s: %w", r.CallID, err)
	}
	return nil
}

// Flush writes out what is buffered, with the header even when there was no record.
func (c *CSV) Flush() error {
	c.begin()
	c.w.Flush()
	return c.w.Error()
}

func (c *CSV) begin() {
	if c.begun {
		return
	}
	c.begun = true
	for i, col := range c.columns {
		c.row[i] = col.name
	}
	c.w.Write(c.row) //nolint:errcheck // buffered: the error comes back from the next Write or from Flush
}

// harmless replaces control characters but for those that CSV can carry as text.
func harmless(r rune) rune {
	if unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\n' {
		return '?'
	}
	return r
}

// Guard puts an apostrophe before a cell that a spreadsheet would run as a formula, and before one that starts with an
// apostrophe already: whoever takes one apostrophe off gets exactly what was put in.
func Guard(cell string) string {
	if cell != "" && strings.IndexByte("=+-@\t\r\n'", cell[0]) >= 0 {
		return "'" + cell
	}
	return cell
}

func ownColumns() []column {
	return []column{
		{"call_id", func(r *Record) string { return r.CallID }},
		{"tenant", func(r *Record) string { return r.Tenant }},
		{"direction", func(r *Record) string { return value(r.Direction) }},
		{"from", func(r *Record) string { return value(r.From) }},
		{"from_e164", func(r *Record) string { return value(r.FromE164) }},
		{"from_name", func(r *Record) string { return value(r.FromName) }},
		{"to", func(r *Record) string { return value(r.To) }},
		{"to_e164", func(r *Record) string { return value(r.ToE164) }},
		{"number", func(r *Record) string { return value(r.Number) }},
		{"trunk_in", func(r *Record) string { return value(r.TrunkIn) }},
		{"trunk_out", func(r *Record) string { return value(r.TrunkOut) }},
		{"start", func(r *Record) string { return moment(r.Start, event.TimeLayout) }},
		{"ring", func(r *Record) string { return moment(r.Ring, event.TimeLayout) }},
		{"answer", func(r *Record) string { return moment(r.Answer, event.TimeLayout) }},
		{"end", func(r *Record) string { return moment(r.End, event.TimeLayout) }},
		{"post_dial_ms", func(r *Record) string { return integer(r.PostDialMS) }},
		{"ring_ms", func(r *Record) string { return integer(r.RingMS) }},
		{"talk_ms", func(r *Record) string { return integer(r.TalkMS) }},
		{"hold_ms", func(r *Record) string { return integer(r.HoldMS) }},
		{"cause_sip", func(r *Record) string { return r.causeCell(func() string { return strconv.Itoa(r.Cause.SIP) }) }},
		{"cause_q850", func(r *Record) string { return r.causeCell(func() string { return strconv.Itoa(r.Cause.Q850) }) }},
		{"cause_party", func(r *Record) string { return r.causeCell(func() string { return string(r.Cause.Party) }) }},
		{"cause_words", func(r *Record) string { return r.causeCell(func() string { return r.Cause.Words }) }},
		{"devices", func(r *Record) string { return each(r.Legs, func(l Leg) string { return value(l.Device) }) }},
		{"codecs", func(r *Record) string { return each(r.Legs, func(l Leg) string { return value(l.Codec) }) }},
		{"crypto", func(r *Record) string { return each(r.Legs, func(l Leg) string { return value(l.Crypto) }) }},
		{"suites", func(r *Record) string { return each(r.Legs, func(l Leg) string { return value(l.Suite) }) }},
		{"transcoded", func(r *Record) string { return each(r.Legs, func(l Leg) string { return value(l.Transcoded) }) }},
		{"mos_in", func(r *Record) string { return each(r.Legs, func(l Leg) string { return figure(l.MOSIn) }) }},
		{"mos_out", func(r *Record) string { return each(r.Legs, func(l Leg) string { return figure(l.MOSOut) }) }},
		{"bursts", func(r *Record) string { return each(r.Legs, func(l Leg) string { return integer(l.Bursts) }) }},
		{"path", func(r *Record) string { return each(r.Path, func(s Step) string { return s.Kind + ":" + s.Detail }) }},
		{"tags", func(r *Record) string { return strings.Join(r.Tags, ";") }},
		{"recordings", func(r *Record) string { return strings.Join(r.Recordings, ";") }},
		{"on_net", func(r *Record) string { return truth(r.Flags.OnNet) }},
		{"encrypted", func(r *Record) string { return truth(r.Flags.Encrypted) }},
		{"bypassed", func(r *Record) string { return truth(r.Flags.Bypassed) }},
		{"emergency", func(r *Record) string { return truth(r.Flags.Emergency) }},
		{"recording_failed", func(r *Record) string { return truth(r.Flags.RecordingFailed) }},
	}
}

func asteriskColumns() []column {
	const layout = time.DateTime
	return []column{
		{"accountcode", func(r *Record) string { return r.Tenant }},
		{"src", func(r *Record) string { return value(r.From) }},
		{"dst", func(r *Record) string { return value(r.To) }},
		{"dcontext", func(r *Record) string { return value(r.Direction) }},
		{"clid", callerID},
		{"channel", func(r *Record) string { return channel(r, 0) }},
		{"dstchannel", func(r *Record) string { return channel(r, 1) }},
		{"lastapp", func(r *Record) string { return r.lastStep().Kind }},
		{"lastdata", func(r *Record) string { return r.lastStep().Detail }},
		{"start", func(r *Record) string { return moment(r.Start, layout) }},
		{"answer", func(r *Record) string { return moment(r.Answer, layout) }},
		{"end", func(r *Record) string { return moment(r.End, layout) }},
		{"duration", duration},
		{"billsec", func(r *Record) string {
			if r.TalkMS == nil {
				return "0"
			}
			return strconv.FormatInt(*r.TalkMS/1000, 10)
		}},
		{"disposition", disposition},
		{"amaflags", func(*Record) string { return "DOCUMENTATION" }},
		{"uniqueid", func(r *Record) string { return r.CallID }},
		{"userfield", func(r *Record) string { return strings.Join(r.Tags, ";") }},
	}
}

// disposition is Asterisk's word for how a call ended.
func disposition(r *Record) string {
	switch {
	case r.Answer != nil:
		return "ANSWERED"
	case r.Cause == nil:
		return "FAILED"
	}
	switch r.Cause.SIP {
	case 486, 600: // busy here, busy everywhere
		return "BUSY"
	case 408, 480, 487: // time-out, unavailable, the caller gave up
		return "NO ANSWER"
	}
	return "FAILED"
}

// callerID is "Name" <number>, as Asterisk writes it.
func callerID(r *Record) string {
	if r.FromName == nil {
		return value(r.From)
	}
	return `"` + *r.FromName + `" <` + value(r.From) + ">"
}

// channel is the device of a leg.
func channel(r *Record, leg int) string {
	if leg >= len(r.Legs) || r.Legs[leg].Device == nil {
		return ""
	}
	return "SIP/" + *r.Legs[leg].Device
}

// duration is start to end in whole seconds.
func duration(r *Record) string {
	if r.Start == nil || r.End == nil {
		return "0"
	}
	return strconv.FormatInt(int64(r.End.Sub(r.Start.Time)/time.Second), 10)
}

func (r *Record) lastStep() Step {
	if len(r.Path) == 0 {
		return Step{}
	}
	return r.Path[len(r.Path)-1]
}

func (r *Record) causeCell(cell func() string) string {
	if r.Cause == nil {
		return ""
	}
	return cell()
}

func moment(t *Time, layout string) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(layout)
}

func integer(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func figure(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', 2, 64)
}

func truth(b *bool) string {
	if b == nil {
		return ""
	}
	return strconv.FormatBool(*b)
}

// each joins one word of each element; the place of an unknown one stays empty.
func each[T any](list []T, word func(T) string) string {
	words := make([]string, len(list))
	for i, e := range list {
		words[i] = word(e)
	}
	return strings.Join(words, ";")
}
