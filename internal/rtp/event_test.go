package rtp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEventPayload(t *testing.T) {
	e := Event{Code: 11, End: true, Volume: 10, Duration: 0x1234}
	b := e.Append(nil)
	if want := []byte{11, 0x8a, 0x12, 0x34}; !slices.Equal(b, want) {
		t.Errorf("%x, want %x", b, want)
	}
	if got, rest, ok := ParseEvent(append(b, 5, 0x7f, 0, 1, 9)); !ok || got != e || len(rest) != 5 {
		t.Errorf("%+v %x %v", got, rest, ok)
	} else if got, rest, ok = ParseEvent(rest); !ok || got != (Event{5, false, 63, 1}) || len(rest) != 1 {
		t.Errorf("second: %+v %x %v", got, rest, ok)
	} else if _, _, ok = ParseEvent(rest); ok {
		t.Error("one byte is an event")
	}
}

func TestKeys(t *testing.T) {
	for code := range 256 {
		key := Key(uint8(code))
		if (key != 0) != (code <= 16) {
			t.Errorf("code %d is key %q", code, key)
		}
		if back, ok := KeyCode(key); key != 0 && (!ok || int(back) != code) {
			t.Errorf("key %q has code %d", key, back)
		}
	}
	if c, ok := KeyCode('b'); !ok || c != 13 {
		t.Errorf("small b is %d", c)
	}
	for _, key := range []byte{0, 'e', 'E', ' ', 'x'} {
		if _, ok := KeyCode(key); ok {
			t.Errorf("%q has a code", key)
		}
	}
}

func packets(e EventEncoder) (all []EventPacket) {
	for {
		p, ok := e.Next()
		if !ok {
			return all
		}
		all = append(all, p)
	}
}

func TestEventEncoder(t *testing.T) {
	const ms = time.Millisecond
	got := packets(NewEventEncoder(5, 10, 120*ms, 1000, 8000))
	event := func(end bool, duration uint16) Event { return Event{5, end, 10, duration} }
	want := []EventPacket{
		{event(false, 400), true, 1000, 50 * ms},
		{event(false, 800), false, 1000, 100 * ms},
		{event(true, 960), false, 1000, 120 * ms},
		{event(true, 960), false, 1000, 170 * ms},
		{event(true, 960), false, 1000, 220 * ms},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	short := packets(NewEventEncoder(5, 10, 0, 1000, 8000))
	if len(short) != 3 || !short[0].Marker || short[1].Marker || !short[0].Event.End || short[0].Event.Duration != 400 {
		t.Errorf("shortest: %+v", short)
	}
	if p, ok := new(EventEncoder).Next(); ok {
		t.Errorf("nothing to send, but %+v", p)
	}
	e := NewEventEncoder(5, 10, 120*ms, 1000, 8000)
	if e.Samples() != 960 {
		t.Errorf("%d samples", e.Samples())
	}
}

// Twenty seconds are two full segments and a rest, RFC 4733 §2.5.1.3.
func TestEventEncoderSegments(t *testing.T) {
	for _, length := range []time.Duration{20 * time.Second, 0xffff * time.Second / 8000, 2 * 0xffff * time.Second / 8000, 8192 * time.Millisecond} {
		total := uint32(int64(length) * 8000 / int64(time.Second))
		all := packets(NewEventEncoder(1, 10, length, 5000, 8000))
		segments := map[uint32]int{}
		full, markers, ends := 0, 0, 0
		var last EventPacket
		for i, p := range all {
			if i > 0 && p.Timestamp == last.Timestamp && p.Event.Duration < last.Event.Duration {
				t.Fatalf("duration falls at %d: %+v", i, p)
			}
			if p.At < last.At || i > 0 && p.At-last.At > 50*time.Millisecond {
				t.Fatalf("%v after %v", p.At, last.At)
			}
			segments[p.Timestamp]++
			if p.Marker {
				markers++
			}
			if p.Event.End {
				ends++
			}
			if p.Event.Duration == maxSegment && !p.Event.End {
				full++
			}
			if offset := p.Timestamp - 5000; offset%maxSegment != 0 {
				t.Fatalf("segment at %d", offset)
			}
			last = p
		}
		count := int((total + maxSegment - 1) / maxSegment)
		if markers != 1 || ends != 3 || len(segments) != count || full != 3*(count-1) {
			t.Errorf("%v: %d markers, %d ends, %d segments, %d full", length, markers, ends, len(segments), full)
		}
		if got := last.Timestamp - 5000 + uint32(last.Event.Duration); got != total {
			t.Errorf("%v: %d units, want %d", length, got, total)
		}
		var presses []Press
		d := EventDecoder{ClockRate: 8000}
		for _, p := range all {
			rp := Packet{SSRC: 1, Timestamp: p.Timestamp, Payload: p.Event.Append(nil)}
			d.Decode(&rp, p.At, func(p Press) { presses = append(presses, p) })
		}
		if len(presses) != 1 || presses[0].Duration != time.Duration(total)*time.Second/8000 {
			t.Errorf("%v: decoded %+v", length, presses)
		}
	}
}

type arrived struct {
	at time.Duration
	p  Packet
}

// dial makes the packets of presses of 100 ms with pauses of 150 ms.
func dial(digits string, ssrc, timestamp uint32) (all []arrived) {
	begin := time.Duration(0)
	for i := range len(digits) {
		code, _ := KeyCode(digits[i])
		for _, p := range packets(NewEventEncoder(code, 10, 100*time.Millisecond, timestamp+uint32(begin/time.Millisecond)*8, 8000)) {
			all = append(all, arrived{begin + p.At, Packet{SSRC: ssrc, Marker: p.Marker, Sequence: uint16(len(all)), Timestamp: p.Timestamp, Payload: p.Event.Append(nil)}})
		}
		begin += 250 * time.Millisecond
	}
	return all
}

func decode(all []arrived) (digits string, durations []time.Duration) {
	d := EventDecoder{ClockRate: 8000}
	yield := func(p Press) {
		digits += string(rune(p.Key))
		durations = append(durations, p.Duration)
	}
	var last time.Duration
	for _, a := range all {
		d.Expire(a.at, yield)
		d.Decode(&a.p, a.at, yield)
		last = a.at
	}
	d.Expire(last+time.Second, yield)
	if d.Active() {
		digits += "?"
	}
	return digits, durations
}

const sixteen = "1234567890*#ABCD"

func TestEveryPressOnceAtLossDuplicationAndReordering(t *testing.T) {
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 9))
		sent := dial(sixteen, 7, uint32(seed)*0x01000000)
		var got []arrived
		alive := map[uint32]bool{}
		for _, a := range sent {
			if random.IntN(100) < 5 {
				continue
			}
			alive[a.p.Timestamp] = true
			a.at += time.Duration(random.IntN(60)) * time.Millisecond
			got = append(got, a)
			if random.IntN(10) == 0 {
				a.at += time.Duration(random.IntN(60)) * time.Millisecond
				got = append(got, a)
			}
		}
		slices.SortStableFunc(got, func(a, b arrived) int { return int(a.at - b.at) })
		if len(alive) != len(sixteen) {
			t.Fatalf("seed %d: a press was lost entirely; 5 %% of loss do not do that", seed)
		}
		digits, durations := decode(got)
		if digits != sixteen {
			t.Errorf("seed %d: %s", seed, digits)
		}
		for _, d := range durations {
			if d != 100*time.Millisecond && d != 50*time.Millisecond {
				t.Errorf("seed %d: a press of %v", seed, d)
			}
		}
	}
}

// One packet of each press is enough, whichever it is.
func TestOnePacketIsEnough(t *testing.T) {
	sent := dial(sixteen, 7, 1<<32-4000)
	perPress := len(sent) / len(sixteen)
	for keep := range perPress {
		var got []arrived
		for i, a := range sent {
			if i%perPress == keep {
				got = append(got, a)
			}
		}
		if digits, _ := decode(got); digits != sixteen {
			t.Errorf("packet %d of each: %s", keep, digits)
		}
	}
}

func TestEventDecoderCases(t *testing.T) {
	type step struct {
		at              int // ms
		ssrc, timestamp uint32
		events          []Event
	}
	end := func(code uint8, duration uint16) []Event { return []Event{{code, true, 10, duration}} }
	going := func(code uint8, duration uint16) []Event { return []Event{{code, false, 10, duration}} }
	for name, tt := range map[string]struct {
		steps []step
		want  string
	}{
		"same key twice":            {[]step{{0, 1, 1000, end(1, 800)}, {200, 1, 2600, end(1, 800)}}, "1:100 1:100 "},
		"repeated end":              {[]step{{0, 1, 1000, end(1, 800)}, {50, 1, 1000, end(1, 800)}, {100, 1, 1000, end(1, 800)}}, "1:100 "},
		"old update after the end":  {[]step{{0, 1, 1000, end(1, 800)}, {50, 1, 1000, going(1, 400)}}, "1:100 "},
		"update after a later key":  {[]step{{0, 1, 1000, end(1, 800)}, {50, 1, 2000, going(2, 400)}, {60, 1, 1000, end(1, 800)}, {100, 1, 2000, end(2, 800)}}, "1:100 2:100 "},
		"ends lost, next key":       {[]step{{0, 1, 1000, going(1, 400)}, {50, 1, 1000, going(1, 800)}, {250, 1, 3000, end(2, 400)}}, "1:100 2:50 "},
		"ends lost, silence":        {[]step{{0, 1, 1000, going(1, 400)}}, "1:50 "},
		"ends lost, then come late": {[]step{{0, 1, 1000, going(1, 400)}, {900, 1, 1000, end(1, 800)}}, "1:50 "},
		"two events in one packet":  {[]step{{0, 1, 1000, append(end(1, 800), end(2, 400)...)}}, "1:100 2:50 "},
		"two events, twice":         {[]step{{0, 1, 1000, append(end(1, 800), end(2, 400)...)}, {50, 1, 1000, append(end(1, 800), end(2, 400)...)}}, "1:100 2:50 "},
		"one timestamp, two keys":   {[]step{{0, 1, 1000, end(1, 800)}, {200, 1, 1000, end(2, 800)}}, "1:100 2:100 "},
		"no duration at all":        {[]step{{0, 1, 1000, end(1, 0)}}, "1:0 "},
		"new source, same time":     {[]step{{0, 1, 1000, end(1, 800)}, {200, 2, 1000, end(1, 800)}}, "1:100 1:100 "},
		"new source in a press":     {[]step{{0, 1, 1000, going(1, 800)}, {200, 2, 9, end(2, 800)}}, "1:100 2:100 "},
		"sender began anew":         {[]step{{0, 1, 900000, end(1, 800)}, {200, 1, 160, end(2, 800)}}, "1:100 2:100 "},
		"a gap in a long press": {[]step{{0, 1, 0, going(1, 0xff00)}, {50, 1, 0, going(1, 0xffff)}, {900, 1, 0xffff, going(1, 400)},
			{950, 1, 0xffff, end(1, 800)}, {2000, 1, 90000, end(2, 800)}}, "1:8191 2:100 "},
		"fax tone":      {[]step{{0, 1, 1000, end(36, 4000)}}, "code36:500 "},
		"empty payload": {[]step{{0, 1, 1000, nil}}, ""},
	} {
		d := EventDecoder{ClockRate: 8000}
		got := ""
		yield := func(p Press) {
			key := string(rune(p.Key))
			if p.Key == 0 {
				key = fmt.Sprintf("code%d", p.Code)
			}
			got += fmt.Sprintf("%s:%d ", key, p.Duration.Milliseconds())
		}
		for _, s := range tt.steps {
			at := time.Duration(s.at) * time.Millisecond
			d.Expire(at, yield)
			var payload []byte
			for _, e := range s.events {
				payload = e.Append(payload)
			}
			d.Decode(&Packet{SSRC: s.ssrc, Timestamp: s.timestamp, Payload: payload}, at, yield)
		}
		d.Expire(time.Hour, yield)
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestEventDecoderAllocatesNothing(t *testing.T) {
	sent := dial("5", 1, 0)
	d := EventDecoder{ClockRate: 8000}
	presses := 0
	yield := func(Press) { presses++ }
	n := testing.AllocsPerRun(100, func() {
		for i := range sent {
			sent[i].p.Timestamp += 80000
			d.Decode(&sent[i].p, sent[i].at, yield)
		}
	})
	if n != 0 || presses != 101 {
		t.Errorf("%v allocations, %d presses", n, presses)
	}
}

// However hostile the packets, a press comes out only for a packet that went in, and none twice in a row from the
// same packet.
func FuzzEventDecoder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 5, 0x8a, 3, 0x20, 0, 0, 0, 1, 5, 0x8a, 3, 0x20})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := EventDecoder{ClockRate: 8000}
		presses, fed := 0, 0
		yield := func(p Press) {
			presses++
			if p.Duration < 0 {
				t.Fatalf("negative duration %v", p.Duration)
			}
		}
		for at := time.Duration(0); len(b) >= 8; at += frame {
			p := Packet{SSRC: uint32(b[0] & 1), Timestamp: uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), Payload: b[4:8]}
			b = b[8:]
			fed++
			d.Decode(&p, at, yield)
			before := presses
			d.Decode(&p, at, yield)
			if presses != before {
				t.Fatalf("the same packet again made a press")
			}
		}
		d.Expire(time.Hour, yield)
		if presses > fed || d.Active() {
			t.Fatalf("%d presses from %d packets, active %v", presses, fed, d.Active())
		}
	})
}
