package cdr

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

var day = time.Date(2026, 11, 22, 10, 0, 0, 123_456_789, time.UTC)

func at(ms int) time.Time { return day.Add(time.Duration(ms) * time.Millisecond) }

// answered are the facts of an ordinary call between two phones.
func answered() Facts {
	return Facts{
		CallID: "0193", Tenant: "t", Direction: "internal",
		From: "101", FromName: "Sara", To: "102",
		Start: day, Ring: at(150), Answer: at(4150), End: at(64_150), Hold: 5 * time.Second,
		Cause: cause.Normal(cause.Caller),
		Legs: []Leg{
			{Device: new("101"), Codec: new("pcma"), Crypto: new("none"), MOSIn: new(4.4), Loss: new(0.0)},
			{Device: new("102"), Codec: new("pcma"), Crypto: new("sdes"), Suite: new("AES_CM_128_HMAC_SHA1_80"), Transcoded: new("opus -> pcma"),
				Reason: new("no codec in common"), MOSOut: new(math.NaN())},
		},
		Path: []StepFact{{At: day, Kind: "rule", Detail: "line 102", Reason: "dialled"}, {At: at(4150), Kind: "dial", Detail: "102"}},
	}
}

func TestRecordJSON(t *testing.T) {
	got, err := json.MarshalIndent(Build(answered()), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "call_id": "0193",
 "tenant": "t",
 "direction": "internal",
 "from": "101",
 "from_e164": null,
 "from_name": "Sara",
 "to": "102",
 "to_e164": null,
 "number": null,
 "trunk_in": null,
 "trunk_out": null,
 "start": "2026-11-22T10:00:00.123Z",
 "ring": "2026-11-22T10:00:00.273Z",
 "answer": "2026-11-22T10:00:04.273Z",
 "end": "2026-11-22T10:01:04.273Z",
 "post_dial_ms": 150,
 "ring_ms": 4000,
 "talk_ms": 60000,
 "hold_ms": 5000,
 "cause": {
  "sip": 200,
  "q850": 16,
  "party": "caller",
  "words": "normal clearing"
 },
 "legs": [
  {
   "device": "101",
   "codec": "pcma",
   "crypto": "none",
   "suite": null,
   "transcoded": null,
   "transcoded_reason": null,
   "mos_in": 4.4,
   "mos_out": null,
   "loss": 0,
   "bursts": null,
   "jitter_ms": null,
   "rtt_ms": null,
   "site": null
  },
  {
   "device": "102",
   "codec": "pcma",
   "crypto": "sdes",
   "suite": "AES_CM_128_HMAC_SHA1_80",
   "transcoded": "opus -\u003e pcma",
   "transcoded_reason": "no codec in common",
   "mos_in": null,
   "mos_out": null,
   "loss": null,
   "bursts": null,
   "jitter_ms": null,
   "rtt_ms": null,
   "site": null
  }
 ],
 "path": [
  {
   "at": "2026-11-22T10:00:00.123Z",
   "kind": "rule",
   "detail": "line 102",
   "reason": "dialled"
  },
  {
   "at": "2026-11-22T10:00:04.273Z",
   "kind": "dial",
   "detail": "102",
   "reason": ""
  }
 ],
 "queue": null,
 "tags": [],
 "notes": [],
 "recordings": [],
 "cost": null,
 "flags": {
  "on_net": true,
  "encrypted": false,
  "bypassed": false,
  "emergency": false,
  "recording_failed": false
 }
}`
	words := cause.Normal(cause.Caller).Words
	if w := strings.Replace(want, "normal clearing", words, 1); string(got) != w {
		t.Errorf("got %s\nwant %s", got, w)
	}
}

func ms(p *int64) int64 {
	if p == nil {
		return -1
	}
	return *p
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		name                       string
		start, ring, answer, end   int // ms after the day, -1 = did not happen
		hold                       time.Duration
		postDial, rang, talk, held int64 // -1 = null
	}{
		{"answered", 0, 100, 1100, 5100, time.Second, 100, 1000, 4000, 1000},
		{"answered without ringing", 0, -1, 200, 1200, 0, 200, -1, 1000, 0},
		{"not answered", 0, 100, -1, 20_100, 0, 100, 20_000, 0, 0},
		{"refused", 0, -1, -1, 50, 0, -1, -1, 0, 0},
		{"still ringing", 0, 100, -1, -1, 0, 100, -1, -1, -1},
		{"still talking", 0, 100, 200, -1, 0, 100, 100, -1, -1},
		{"clock stepped back", 0, 100, -3_600_000, -3_500_000, time.Hour, 100, 0, 0, 0},
		{"held longer than talked", 0, -1, 0, 1000, time.Minute, 0, -1, 1000, 1000},
		{"negative hold", 0, -1, 0, 1000, -time.Minute, 0, -1, 1000, 0},
	} {
		moment := func(n int) time.Time {
			if n == -1 {
				return time.Time{}
			}
			return at(n)
		}
		r := Build(Facts{Start: moment(c.start), Ring: moment(c.ring), Answer: moment(c.answer), End: moment(c.end), Hold: c.hold})
		got := [4]int64{ms(r.PostDialMS), ms(r.RingMS), ms(r.TalkMS), ms(r.HoldMS)}
		if want := [4]int64{c.postDial, c.rang, c.talk, c.held}; got != want {
			t.Errorf("%s: post dial, ring, talk, hold = %v, want %v", c.name, got, want)
		}
		for _, p := range []*Time{r.Ring, r.Answer, r.End} {
			if p != nil && p.Before(r.Start.Time) {
				t.Errorf("%s: %s is before the start", c.name, p)
			}
		}
	}
}

func TestEncryptedFlag(t *testing.T) {
	none, suite := new("none"), new("sdes")
	for _, c := range []struct {
		crypto []*string
		want   *bool
	}{
		{nil, nil},
		{[]*string{nil, nil}, nil},
		{[]*string{suite, nil}, new(true)},
		{[]*string{suite, suite}, new(true)},
		{[]*string{suite, none}, new(false)},
		{[]*string{none, suite}, new(false)},
	} {
		var f Facts
		for _, crypto := range c.crypto {
			f.Legs = append(f.Legs, Leg{Crypto: crypto})
		}
		if got := Build(f).Flags.Encrypted; truth(got) != truth(c.want) {
			t.Errorf("%d legs: encrypted %q, want %q", len(c.crypto), truth(got), truth(c.want))
		}
	}
}

func TestRecover(t *testing.T) {
	f := answered()
	f.End, f.Cause = time.Time{}, cause.Cause{}
	row, err := Journal(f, at(30_000), []byte("state"))
	if err != nil {
		t.Fatal(err)
	}
	silent, err := Journal(f, time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tenant := directory.NewID()
	got := Recover([]store.JournalRow{row, silent, {CallID: "x", Tenant: tenant, AnsweredMS: day.UnixMilli(), Body: []byte("??")}})
	if len(got) != 3 {
		t.Fatalf("%d records of 3 rows", len(got))
	}
	for i, talk := range []int64{30_000 - 4150, 0, 0} {
		r := got[i]
		// The columns are whole milliseconds, the answer of the facts is finer.
		if d := ms(r.TalkMS) - talk; d < 0 || d > 1 {
			t.Errorf("record %d: talk %d, want %d", i, ms(r.TalkMS), talk)
		}
		if r.Cause == nil || *r.Cause != cause.Recovered() || r.Cause.Words != "recovered" {
			t.Errorf("record %d: cause %+v", i, r.Cause)
		}
	}
	if got[0].CallID != "0193" || *got[0].From != "101" || len(got[0].Legs) != 2 || len(got[0].Path) != 2 {
		t.Errorf("facts did not come back: %+v", got[0])
	}
	if got[2].CallID != "x" || got[2].TenantID != tenant || got[2].From != nil || !got[2].Start.Equal(day.Truncate(time.Millisecond)) {
		t.Errorf("record of an unreadable row: %+v", got[2])
	}
}

func TestRecordRoundTrip(t *testing.T) {
	first, err := json.Marshal(Build(answered()))
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := json.Unmarshal(first, &r); err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(r)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("%v\nfirst  %s\nsecond %s", err, first, second)
	}
	var bad Time
	for _, s := range []string{`"yesterday"`, `7`} {
		if json.Unmarshal([]byte(s), &bad) == nil {
			t.Errorf("%s was read as a time", s)
		}
	}
}

func table(t *testing.T, c Columns, records ...Record) []map[string]string {
	t.Helper()
	var b bytes.Buffer
	enc := NewCSV(&b, c)
	for i := range records {
		if err := enc.Write(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Flush(); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, cell := range line {
			row[lines[0][i]] = cell
		}
		rows = append(rows, row)
	}
	return rows
}

func TestAsteriskColumns(t *testing.T) {
	var b bytes.Buffer
	if err := NewCSV(&b, Asterisk).Flush(); err != nil {
		t.Fatal(err)
	}
	const header = "accountcode,src,dst,dcontext,clid,channel,dstchannel,lastapp,lastdata,start,answer,end,duration,billsec," +
		"disposition,amaflags,uniqueid,userfield\n"
	if b.String() != header {
		t.Errorf("header %s", b.String())
	}
	row := table(t, Asterisk, Build(answered()))[0]
	for name, want := range map[string]string{
		"accountcode": "t", "src": "101", "dst": "102", "dcontext": "internal", "clid": `"Sara" <101>`,
		"channel": "SIP/101", "dstchannel": "SIP/102", "lastapp": "dial", "lastdata": "102",
		"start": "2026-11-22 10:00:00", "answer": "2026-11-22 10:00:04", "end": "2026-11-22 10:01:04",
		"duration": "64", "billsec": "60", "disposition": "ANSWERED", "amaflags": "DOCUMENTATION",
		"uniqueid": "0193", "userfield": "",
	} {
		if row[name] != want {
			t.Errorf("%s is %q, want %q", name, row[name], want)
		}
	}
	for _, c := range []struct {
		cause cause.Cause
		want  string
	}{
		{cause.Busy(), "BUSY"}, {cause.NoAnswer(), "NO ANSWER"}, {cause.Cancelled(), "NO ANSWER"},
		{cause.UnknownNumber(), "FAILED"}, {cause.Declined(), "FAILED"}, {cause.Cause{}, "FAILED"},
	} {
		r := Build(Facts{Start: day, End: at(1999), Cause: c.cause})
		row := table(t, Asterisk, r)[0]
		if row["disposition"] != c.want || row["duration"] != "1" || row["billsec"] != "0" || row["answer"] != "" {
			t.Errorf("%v: %v", c.cause, row)
		}
	}
}

func TestOwnColumns(t *testing.T) {
	row := table(t, Own, Build(answered()), Record{CallID: "bare"})
	for name, want := range map[string]string{
		"call_id": "0193", "start": "2026-11-22T10:00:00.123Z", "talk_ms": "60000", "cause_sip": "200", "cause_q850": "16",
		"cause_party": "caller", "devices": "101;102", "mos_in": "4.40;", "path": "rule:line 102;dial:102",
		"encrypted": "false", "to_e164": "",
	} {
		if row[0][name] != want {
			t.Errorf("%s is %q, want %q", name, row[0][name], want)
		}
	}
	for name, cell := range row[1] {
		if name != "call_id" && cell != "" {
			t.Errorf("%s of an empty record is %q", name, cell)
		}
	}
}

func TestFormulasAreGuarded(t *testing.T) {
	for _, evil := range []string{"=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1"} {
		r := Build(Facts{CallID: evil, From: evil, FromName: evil, To: evil, Tags: []string{evil}})
		for _, c := range []Columns{Own, Asterisk} {
			for name, cell := range table(t, c, r)[0] {
				if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
					t.Errorf("%q: column %s starts a formula: %q", evil, name, cell)
				}
			}
		}
	}
}

// TestTerminalIsNotCommanded: a table that somebody looks at in a terminal.
func TestTerminalIsNotCommanded(t *testing.T) {
	evil := "a\x1b[31m\x07\u009b\x7fb é"
	r := Build(Facts{CallID: "c", From: evil, FromName: evil, To: evil, Tags: []string{evil}})
	for _, c := range []Columns{Own, Asterisk} {
		var b strings.Builder
		w := NewCSV(&b, c)
		if err := w.Write(&r); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\x07\u009b\x7f") || !strings.Contains(b.String(), "a?[31m???b é") {
			t.Errorf("%q", b.String())
		}
	}
}

func FuzzGuard(f *testing.F) {
	for _, s := range []string{"", "a", "=1", "'=1", "''", "+98"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g := Guard(s)
		if back := strings.TrimPrefix(g, "'"); back != s {
			t.Errorf("%q came back as %q", s, back)
		}
		if g != "" && strings.IndexByte("=+-@\t\r\n", g[0]) >= 0 {
			t.Errorf("%q is not guarded", g)
		}
	})
}
