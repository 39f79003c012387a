package rtp

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const frame = 20 * time.Millisecond

// feed gives packets of 20 ms by sequence number, arriving on time.
func feed(r *Receiver, ssrc uint32, sequences ...uint16) (verdicts []Verdict) {
	for _, seq := range sequences {
		p := Packet{SSRC: ssrc, Sequence: seq, Timestamp: uint32(seq) * 160}
		verdicts = append(verdicts, r.Receive(&p, time.Duration(seq)*frame))
	}
	return verdicts
}

func run(from uint16, n int) []uint16 {
	s := make([]uint16, n)
	for i := range s {
		s[i] = from + uint16(i)
	}
	return s
}

func TestReceiverVerdicts(t *testing.T) {
	for name, tt := range map[string]struct {
		sequences []uint16
		last      Verdict
		want      Totals
	}{
		"first packet":        {[]uint16{7}, Probation, Totals{}},
		"second":              {[]uint16{7, 8}, Accepted, Totals{Received: 2}},
		"no two in sequence":  {[]uint16{7, 9, 11, 20}, Probation, Totals{}},
		"found after a gap":   {[]uint16{7, 9, 10}, Accepted, Totals{Received: 2}},
		"gap":                 {[]uint16{7, 8, 12}, Accepted, Totals{Received: 3, Lost: 3}},
		"duplicate of newest": {[]uint16{7, 8, 8}, Duplicate, Totals{Received: 2, Duplicates: 1}},
		"duplicate of older":  {[]uint16{7, 8, 9, 7}, Duplicate, Totals{Received: 3, Duplicates: 1}},
		"reordered":           {[]uint16{7, 8, 10, 9}, Late, Totals{Received: 4, Reordered: 1}},
		"reordered twice":     {[]uint16{7, 8, 10, 9, 9}, Duplicate, Totals{Received: 4, Reordered: 1, Duplicates: 1}},
		"before the first":    {[]uint16{7, 8, 10, 5}, Late, Totals{Received: 3, Lost: 1}},
		"wrap":                {[]uint16{65534, 65535, 0, 1}, Accepted, Totals{Received: 4}},
		"wrap in probation":   {[]uint16{65535, 0, 1}, Accepted, Totals{Received: 3}},
		"wrap with loss":      {[]uint16{65533, 65534, 2}, Accepted, Totals{Received: 3, Lost: 3}},
		"late across wrap":    {[]uint16{65533, 65534, 0, 65535}, Late, Totals{Received: 4, Reordered: 1}},
		"stray jump":          {[]uint16{7, 8, 40000}, Jumped, Totals{Received: 2}},
		"stray jump and on":   {[]uint16{7, 8, 40000, 9}, Accepted, Totals{Received: 3}},
		"restart":             {[]uint16{7, 8, 12, 40000, 40001}, Restarted, Totals{Received: 5, Lost: 3, Restarts: 1}},
		"greatest gap":        {[]uint16{7, 8, 3007}, Accepted, Totals{Received: 3, Lost: 2998}},
		"gap too great":       {[]uint16{7, 8, 3008}, Jumped, Totals{Received: 2}},
	} {
		var r Receiver
		verdicts := feed(&r, 1, tt.sequences...)
		if got := verdicts[len(verdicts)-1]; got != tt.last || r.Totals() != tt.want {
			t.Errorf("%s: verdicts %v, %+v, want %v, %+v", name, verdicts, r.Totals(), tt.last, tt.want)
		}
	}
}

func TestReceiverFollowsANewSourceOnlyAfterTwo(t *testing.T) {
	var r Receiver
	feed(&r, 1, run(100, 50)...)
	if v := feed(&r, 2, 7); v[0] != Probation || r.SSRC != 1 {
		t.Fatalf("stray packet: %v, follows %d", v, r.SSRC)
	}
	feed(&r, 1, 150)
	if v := feed(&r, 2, 8); v[0] != Probation || r.SSRC != 1 {
		t.Fatalf("second stray packet, not in a row: %v", v)
	}
	if v := feed(&r, 2, 9, 10); v[0] != Restarted || v[1] != Accepted || r.SSRC != 2 {
		t.Fatalf("new source: %v, follows %d", v, r.SSRC)
	}
	if got := r.Totals(); got != (Totals{Received: 54, Restarts: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestReceiverCountsMillionsExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	r := Receiver{ClockRate: 8000}
	feed(&r, 1, 65000, 65001)
	want := Totals{Received: 2}
	seq := uint16(65001)
	for range 1_000_000 {
		seq++
		switch x := random.IntN(100); {
		case x < 5:
			want.Lost++
			continue
		case x < 8:
			feed(&r, 1, seq, seq)
			want.Duplicates++
		case x < 10: // swapped with the next
			feed(&r, 1, seq+1, seq)
			seq++
			want.Received++
			want.Reordered++
		default:
			feed(&r, 1, seq)
		}
		want.Received++
	}
	feed(&r, 1, seq+1)
	want.Received++
	if got := r.Totals(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestReport(t *testing.T) {
	r := Receiver{ClockRate: 8000}
	if _, ok := r.Report(); ok {
		t.Error("a report without a source")
	}
	feed(&r, 9, run(65530, 8)...) // ends at 1
	feed(&r, 9, 4, 5)             // two lost
	got, ok := r.Report()
	if want := (ReportBlock{SSRC: 9, FractionLost: 2 * 256 / 12, CumulativeLost: 2, HighestSequence: 65536 + 5, Jitter: got.Jitter}); !ok || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	feed(&r, 9, 5, 5, 5, 6) // duplicates outnumber losses
	if got, _ := r.Report(); got.FractionLost != 0 || got.CumulativeLost != -1 {
		t.Errorf("%+v", got)
	}
	if got, _ := r.Report(); got.FractionLost != 0 || got.CumulativeLost != -1 {
		t.Errorf("nothing since: %+v", got)
	}
	feed(&r, 9, 2000)
	if got, _ := r.Report(); got.FractionLost != 1993*256/1994 {
		t.Errorf("nearly everything lost: %+v", got)
	}
}

// The formula of RFC 3550 §6.4.1 in floating point, over a trace with random delays.
func TestJitterAgreesWithTheFormula(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, rate := range []uint32{8000, 16000, 48000, 90000} {
		r := Receiver{ClockRate: rate}
		var want, transit float64
		for i := range 5000 {
			delay := time.Duration(random.IntN(30)) * time.Millisecond
			arrival := time.Duration(i)*frame + delay + 77*time.Hour
			p := Packet{SSRC: 1, Sequence: uint16(i), Timestamp: uint32(i) * rate / 50}
			r.Receive(&p, arrival)
			now := delay.Seconds() * float64(rate)
			if i > 1 {
				want += (math.Abs(now-transit) - want) / 16
			}
			transit = now
		}
		got := r.Jitter().Seconds() * float64(rate)
		if math.Abs(got-want) > 1.5 {
			t.Errorf("%d Hz: jitter %.2f units, want %.2f", rate, got, want)
		}
	}
}

func TestJitterLeavesOutEventsAndLeaps(t *testing.T) {
	r := Receiver{ClockRate: 8000}
	at, seq := time.Duration(0), uint16(0)
	send := func(timestamp uint32) {
		r.Receive(&Packet{SSRC: 1, Sequence: seq, Timestamp: timestamp}, at)
		at += frame
		seq++
	}
	for i := range 50 {
		send(uint32(i) * 160)
	}
	for range 50 {
		send(50 * 160) // a key press: one timestamp for a second
	}
	for i := range 50 {
		send(uint32(100+i) * 160)
	}
	for i := range 50 {
		send(1<<31 + uint32(i)*160) // the sender took a new timestamp base
	}
	if r.Jitter() != 0 {
		t.Errorf("jitter %v of a perfect stream", r.Jitter())
	}
	none := Receiver{}
	feed(&none, 1, run(0, 10)...)
	if none.Jitter() != 0 {
		t.Error("jitter without a clock")
	}
}

func TestSender(t *testing.T) {
	s := Sender{SSRC: 5, Sequence: 65535, Timestamp: 1<<32 - 160, ClockRate: 8000}
	if s.Sent() {
		t.Error("sent before the first packet")
	}
	p := Packet{Payload: make([]byte, 160)}
	for i := range 3 {
		s.Stamp(&p, 160, time.Duration(i)*frame)
		want := Packet{SSRC: 5, Sequence: uint16(65535 + i), Timestamp: uint32(1<<32 - 160 + i*160), Payload: p.Payload}
		if !equalPackets(p, want) {
			t.Errorf("packet %d: %+v", i, p)
		}
	}
	event := Packet{Timestamp: 77, Payload: make([]byte, 4)}
	s.StampEvent(&event)
	if event.Sequence != 2 || event.Timestamp != 77 || event.SSRC != 5 {
		t.Errorf("event %+v", event)
	}
	s.Skip(800)
	if s.Timestamp != 320+800 {
		t.Errorf("next timestamp %d", s.Timestamp)
	}
	wall := time.Date(2026, 1, 2, 3, 4, 5, 500e6, time.UTC)
	// One second after the last packet, whose timestamp was 160.
	if got, want := s.Info(wall, 2*frame+time.Second), (SenderInfo{NTP(wall), 160 + 8000, 4, 484}); got != want || !s.Sent() {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNTP(t *testing.T) {
	if got := NTP(time.Unix(0, 0)); got != 2208988800<<32 {
		t.Errorf("1970 is %#x", got)
	}
	if got := NTP(time.Unix(0, 500e6)) & 0xffffffff; got != 1<<31 {
		t.Errorf("half a second is %#x", got)
	}
	for _, want := range []time.Time{
		time.Unix(0, 0), time.Date(2026, 11, 22, 1, 2, 3, 999999999, time.UTC),
		time.Date(2036, 2, 7, 6, 28, 15, 1, time.UTC), time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 123456789, time.UTC),
	} {
		if got := Time(NTP(want)); got.Sub(want).Abs() > time.Nanosecond {
			t.Errorf("%v came back as %v", want, got)
		}
	}
	if Delay(-time.Second) != 0 || Delay(5250*time.Millisecond) != 0x00054000 || Delay(19*time.Hour) != 0xffffffff {
		t.Error("Delay")
	}
}

// RFC 3550 §6.4.1, Figure 2: the round trip is A - LSR - DLSR.
func TestSpan(t *testing.T) {
	if lsr := Middle(0xb44db70520000000); lsr != 0xb7052000 {
		t.Errorf("middle %#x", lsr)
	} else if got := Span(0xb7108000 - lsr - 0x00054000); got != 6125*time.Millisecond {
		t.Errorf("%v, want 6.125 s", got)
	}
	for _, d := range []time.Duration{0, time.Second, 5250 * time.Millisecond, 18 * time.Hour} {
		if got := Span(Delay(d)); got != d {
			t.Errorf("%v came back as %v", d, got)
		}
	}
}

func TestInterval(t *testing.T) {
	call := Session{Members: 2, Senders: 2, Bandwidth: 400, AverageSize: 120, WeSent: true}
	for _, tt := range []struct {
		name    string
		session Session
		random  float64
		want    float64 // seconds
	}{
		{"a call, middle", call, 0.5, 5 / 1.21828},
		{"a call, least", call, 0, 2.5 / 1.21828},
		{"a call, most", call, 1, 7.5 / 1.21828},
		{"first report", Session{Members: 2, Senders: 2, Bandwidth: 400, AverageSize: 120, WeSent: true, Initial: true}, 0.5, 2.5 / 1.21828},
		{"many receivers", Session{Members: 1000, Senders: 1, Bandwidth: 400, AverageSize: 120}, 0.5, 120 * 999 / 300.0 / 1.21828},
		{"one sender of many", Session{Members: 1000, Senders: 10, Bandwidth: 400, AverageSize: 120, WeSent: true}, 0.5, 120 * 10 / 100.0 / 1.21828},
		{"all send", Session{Members: 100, Senders: 100, Bandwidth: 400, AverageSize: 120, WeSent: true}, 0.5, 120 * 100 / 400.0 / 1.21828},
		{"no bandwidth known", Session{Members: 2, Senders: 2, WeSent: true}, 0.5, 5 / 1.21828},
	} {
		if got := tt.session.Interval(tt.random).Seconds(); math.Abs(got-tt.want) > 1e-6 {
			t.Errorf("%s: %v s, want %v", tt.name, got, tt.want)
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	r := Receiver{ClockRate: 8000}
	var p Packet
	at := time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		p.Sequence++
		p.Timestamp += 160
		at += frame
		r.Receive(&p, at)
	}
}
