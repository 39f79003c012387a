package trace

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode"

	"dialtone/internal/sip"
)

// laneWidth is the distance of two parties in the text, in characters.
const laneWidth = 36

// labelWidth is what an arrow has room for.
const labelWidth = laneWidth - 8

// WriteText draws the ladder: a column for the party that the first message was exchanged with, one for the exchange,
// and one for each further party, with an arrow for each message.
//
//	                     192.0.2.7:5060                           dialtone
//	10:00:00.123     +0 ms      |---------- INVITE (1, sdp) -------->|
//
// A message shows its method or status, its CSeq and whether it carries SDP; "again" marks a retransmission. What
// strangers wrote is shown without control characters.
func WriteText(w io.Writer, entries []Entry) error {
	if len(entries) == 0 {
		_, err := io.WriteString(w, "no messages\n")
		return err
	}
	lanes := []netip.AddrPort{entries[0].Remote, {}} // the second is the exchange
	lane := map[netip.AddrPort]int{entries[0].Remote: 0}
	titles := []string{title(entries[0]), "dialtone"}
	for _, e := range entries[1:] {
		if _, known := lane[e.Remote]; !known {
			lane[e.Remote] = len(lanes)
			lanes = append(lanes, e.Remote)
			titles = append(titles, title(e))
		}
	}
	var out bytes.Buffer
	first := entries[0].At
	fmt.Fprintf(&out, "%s UTC\n", first.UTC().Format("2006-01-02"))
	out.WriteString(strings.TrimRight(strings.Repeat(" ", marginWidth)+strings.Join(center(titles), ""), " ") + "\n")
	seen := map[string]bool{}
	for _, e := range entries {
		key := fmt.Sprint(e.Direction, e.Remote, " ") + string(e.Message)
		text := label(e.Message)
		if seen[key] {
			text += " again"
		}
		seen[key] = true
		from, to := lane[e.Remote], 1
		if e.Direction == Out {
			from, to = to, from
		}
		fmt.Fprintf(&out, "%s %+8d ms  %s\n", e.At.UTC().Format("15:04:05.000"), e.At.Sub(first).Milliseconds(),
			strings.TrimRight(arrow(len(lanes), from, to, text), " "))
	}
	_, err := w.Write(out.Bytes())
	return err
}

// marginWidth is what stands before the first lane's column: time, offset, and the spaces between.
const marginWidth = len("15:04:05.000 +1234567 ms  ")

func title(e Entry) string { return clean(e.Kind) + " " + e.Remote.String() }

// center puts each title above its lane's line, which stands in the middle of laneWidth characters.
func center(titles []string) []string {
	cells := make([]string, len(titles))
	for i, t := range titles {
		t = cut(t, laneWidth-1)
		left := (laneWidth - len([]rune(t)) + 1) / 2
		cells[i] = fmt.Sprintf("%-*s", laneWidth, strings.Repeat(" ", left)+t)
	}
	return cells
}

// arrow draws one line of the ladder.
func arrow(lanes, from, to int, text string) string {
	line := []rune(strings.Repeat(" ", lanes*laneWidth))
	at := func(lane int) int { return lane*laneWidth + laneWidth/2 }
	for i := range lanes {
		line[at(i)] = '|'
	}
	low, high := at(min(from, to)), at(max(from, to))
	for i := low + 1; i < high; i++ {
		line[i] = '-'
	}
	if from < to {
		line[high-1] = '>'
	} else {
		line[low+1] = '<'
	}
	// The words stand in the gap beside the remote party, whose lane is never the exchange's.
	gap := low
	if high-low > laneWidth {
		gap = high - laneWidth
	}
	words := []rune(" " + cut(text, labelWidth) + " ")
	copy(line[gap+(laneWidth-len(words)+1)/2:], words)
	return string(line)
}

// label sums a message up: "INVITE (1, sdp)", "180 Ringing (INVITE 1)".
func label(m []byte) string {
	head, body, _ := bytes.Cut(m, []byte("\r\n\r\n"))
	first, rest, _ := bytes.Cut(head, []byte("\n"))
	number, method := cseq(rest)
	sdp := ""
	if bytes.HasPrefix(body, []byte("v=0")) || indexFold(rest, "application/sdp") >= 0 {
		sdp = ", sdp"
	}
	start := strings.TrimSpace(clean(string(first)))
	if status, is := strings.CutPrefix(start, "SIP/2.0 "); is {
		suffix := fmt.Sprintf(" (%s %s%s)", cut(method, 10), cut(number, 10), sdp)
		return cut(status, max(5, labelWidth-len([]rune(suffix)))) + suffix // a long reason gives way to the CSeq
	}
	word, _, _ := strings.Cut(start, " ")
	if word == "" {
		return "keep-alive"
	}
	return fmt.Sprintf("%s (%s%s)", word, number, sdp)
}

// cseq finds the CSeq among the header lines; it has no compact form (RFC 3261 §20.16).
func cseq(head []byte) (number, method string) {
	for line := range bytes.Lines(head) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if found && sip.EqualFold(bytes.TrimRight(name, " \t"), "CSeq") {
			fields := strings.Fields(clean(string(value)))
			if len(fields) == 2 {
				return fields[0], fields[1]
			}
		}
	}
	return "?", "?"
}

// clean makes strangers' text safe for a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-2]) + ".."
	}
	return s
}
