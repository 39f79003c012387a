package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/cdr"
	"dialtone/internal/quality/listen"
)

// side is what one party of a pair speaks.
type side struct {
	codec string
	enc   string // as baresip names it: "" plain, srtp, srtp-mand, dtls_srtp
}

func (s side) String() string {
	if s.enc == "" {
		return s.codec
	}
	return s.codec + " " + s.enc
}

// line is the account of such a phone; form is how keys reach it.
func (s side) line(number, form string) string {
	srtp := ""
	var media []string
	if s.enc == "srtp-mand" || s.enc == "dtls_srtp" {
		srtp = ", srtp: required"
	}
	if s.enc == "dtls_srtp" {
		media = append(media, "keys: dtls")
	}
	if form != "" {
		media = append(media, "dtmf: "+form)
	}
	return fmt.Sprintf("  - {number: %[1]q, devices: [{username: %[1]q, password: secret-of-%[1]s%[2]s, media: {%[3]s}}]}\n",
		number, srtp, strings.Join(media, ", "))
}

// crypto is what the record must say of the side.
func (s side) crypto() string {
	switch s.enc {
	case "":
		return "none"
	case "dtls_srtp":
		return "dtls-srtp"
	}
	return "sdes"
}

// wideband reports whether more than the band of the telephone comes through.
func (s side) wideband() bool { return s.codec == "opus" || s.codec == "G722" }

// match is a pair that is to work, and its two phones.
type match struct {
	a, b  side
	form  string // in which keys reach the second; "" = auto
	video bool
	score float64 // that is heard at least; 0 = what gates say

	phones [2]*phone
	record cdr.Record
	failed error
}

// sides are the parties as they speak in the end: keys are not shown to a phone over UDP that has not asked for them.
func (m *match) sides() [2]side {
	b := m.b
	if b.enc == "srtp" {
		b.enc = ""
	}
	return [2]side{m.a, b}
}

// name is that of a test.
func (m *match) name() string {
	return strings.ReplaceAll(m.a.String()+" to "+m.b.String(), " ", "_")
}

func (m *match) numbers(i int) (a, b string) { return fmt.Sprint(200 + 2*i), fmt.Sprint(201 + 2*i) }

// matches are the pairs of every run: each conversion, each change of encryption, in both directions.
func matches() []*match {
	const sdes, handshake = "srtp-mand", "dtls_srtp"
	var list []*match
	for _, p := range [][2]side{
		{{"PCMU", ""}, {"PCMU", ""}},
		{{"opus", ""}, {"opus", ""}},
		{{"G722", ""}, {"G722", ""}},
		{{"PCMA", ""}, {"PCMU", ""}},
		{{"opus", ""}, {"PCMU", ""}},
		{{"PCMU", ""}, {"opus", ""}},
		{{"G722", ""}, {"PCMU", ""}},
		{{"PCMU", ""}, {"G722", ""}},
		{{"opus", ""}, {"G722", ""}},
		{{"G722", ""}, {"opus", ""}},
		{{"PCMU", sdes}, {"PCMU", ""}},
		{{"PCMU", ""}, {"PCMU", sdes}},
		{{"PCMU", handshake}, {"PCMU", ""}},
		{{"PCMU", ""}, {"PCMU", handshake}},
		{{"PCMU", handshake}, {"PCMU", sdes}},
		{{"PCMU", sdes}, {"PCMU", handshake}},
		{{"opus", handshake}, {"opus", handshake}},
		{{"opus", handshake}, {"PCMU", sdes}},
		{{"G722", sdes}, {"opus", handshake}},
		{{"PCMU", "srtp"}, {"PCMU", ""}},
	} {
		list = append(list, &match{a: p[0], b: p[1]})
	}
	return list
}

// TestMediaMatrix lets phones of different codecs and encryption talk through one server, all at once, and judges what each
// of them heard, what was on the wire, and what the records say.
func TestMediaMatrix(t *testing.T) {
	part := 0
	for list := range slices.Chunk(matches(), 7) { // more at once keep each other from being in time
		part++
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) { play(t, list) })
	}
}

// TestMediaCrossProduct is TestMediaMatrix for every codec and encryption with every other.
func TestMediaCrossProduct(t *testing.T) {
	if !long() {
		t.Skip("one of the long runs: make interop LONG=1 RUN=TestMediaCrossProduct")
	}
	var sides []side
	for _, codec := range []string{"PCMU", "PCMA", "G722", "opus"} {
		for _, enc := range []string{"", "srtp", "srtp-mand", "dtls_srtp"} {
			sides = append(sides, side{codec, enc})
		}
	}
	for _, a := range sides {
		t.Run("from "+a.String(), func(t *testing.T) {
			var list []*match
			for _, b := range sides {
				list = append(list, &match{a: a, b: b, score: 1.5}) // each is there, and both ways; TestMediaMatrix judges how
			}
			part := 0
			for some := range slices.Chunk(list, 8) {
				part++
				t.Run(fmt.Sprint("part ", part), func(t *testing.T) { play(t, some) })
			}
		})
	}
}

// meet starts a server and two phones for each pair.
func meet(t *testing.T, list []*match) *server {
	t.Helper()
	var lines []string
	for i, m := range list {
		a, b := m.numbers(i)
		lines = append(lines, m.a.line(a, ""), m.b.line(b, m.form))
	}
	x := serve(t, setup{site: site(lines...)})
	for i, m := range list {
		a, b := m.numbers(i)
		m.phones[0] = x.phone(m.setup(a, voiceA, m.a))
		m.phones[1] = x.phone(m.setup(b, voiceB, m.b))
	}
	x.registered(2 * len(list))
	return x
}

func (m *match) setup(number string, voice uint64, s side) phoneSetup {
	return phoneSetup{number: number, transport: "udp", voice: voice, codec: s.codec, mediaenc: s.enc, video: m.video}
}

// connectAll lets the first phone of each pair call the second.
func connectAll(list []*match) {
	for _, m := range list {
		m.phones[0].tell("dial", "sip:"+m.phones[1].number+"@"+host)
	}
	for _, m := range list {
		m.expect("CALL_ESTABLISHED")
	}
}

func disconnectAll(list []*match) {
	for _, m := range list {
		m.phones[0].tell("hangup", "")
		m.expect("CALL_CLOSED")
	}
}

// play makes the calls of all pairs at once and judges them.
func play(t *testing.T, list []*match) {
	t.Helper()
	x := meet(t, list)
	end := capture(t, x.sip, x.rtp[1])
	connectAll(list)
	time.Sleep(hush + phrases + 500*time.Millisecond)
	disconnectAll(list)
	w := x.wire(end())
	records := map[string]cdr.Record{}
	for _, r := range x.waitRecords(len(list)) {
		records[*r.From] = r
	}
	for _, m := range list {
		m.record = records[m.phones[0].number]
		t.Run(m.name(), func(t *testing.T) { m.judge(t, w) })
	}
	w.sound(t, list)
}

// gates are what both parties must hear at least. What is relayed comes through as it was.
func (m *match) gates() listen.Gates {
	if m.score > 0 {
		return listen.Gates{Score: m.score, LevelDB: 3}
	}
	if strings.EqualFold(m.a.codec, m.b.codec) {
		return listen.Gates{Score: 4.3, Gap: 40 * time.Millisecond, Drift: 20, LevelDB: 1}
	}
	// Forty telephones on one machine make a jitter of their own, to which a jitter buffer adapts; TestConversionIsClean has
	// the gates of a quiet one.
	return listen.Gates{Score: 3, Gap: 60 * time.Millisecond, LevelDB: 1}
}

// The voices of callers and of those who are called.
const (
	voiceA = 1
	voiceB = 2
)

// expect waits for an event of both phones.
func (m *match) expect(kind string) {
	for _, p := range m.phones {
		if m.failed == nil {
			_, m.failed = p.await(kind, 10*time.Second)
		}
	}
}

func (m *match) judge(t *testing.T, w *wire) {
	if m.failed != nil {
		t.Fatal(m.failed)
	}
	rate := 8000
	if m.a.wideband() && m.b.wideband() {
		rate = 16000
	}
	m.hear(t, rate, m.gates(), listen.Result{}, [2]uint64{voiceB, voiceA})
	for i, s := range m.sides() {
		if len(m.record.Legs) != 2 {
			t.Fatalf("record %+v", m.record)
		}
		l := m.record.Legs[i]
		if l.Codec == nil || *l.Codec != strings.ToLower(s.codec) {
			t.Errorf("leg of %s: codec %q", s, *l.Codec)
		}
		if l.Crypto == nil || *l.Crypto != s.crypto() {
			t.Errorf("leg of %s: crypto %q", s, *l.Crypto)
		}
	}
	for i, s := range m.sides() {
		w.reports(t, m.phones[i], s.enc != "")
		w.private(t, m.phones[i], s.enc != "")
	}
	if s := m.sides(); s[0] == s[1] && s[0].enc == "" {
		w.relayed(t, m.phones[0], m.phones[1])
		w.relayed(t, m.phones[1], m.phones[0])
	}
}
