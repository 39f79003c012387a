package t38

import (
	"fmt"
	"testing"
)

// What is read and written again reads the same.
func FuzzUDPTL(f *testing.F) {
	for _, s := range []Sender{{}, {Redundancy: 3}, {Span: 3, Entries: 3}} {
		for _, b := range datagrams(f, s, encoded(f, course(), 0))[:20] {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again Packet
		if p.Parse(b) != nil {
			return
		}
		out, err := p.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Parity) == 0 {
			p.Span = 0 // of no parity packets, which is written as no secondary ones
		}
		if err := again.Parse(out); err != nil || fmt.Sprint(p) != fmt.Sprint(again) {
			t.Fatalf("%x reads as %+v, written %x, which reads as %+v: %v", b, p, out, again, err)
		}
	})
}

func FuzzIFP(f *testing.F) {
	for version := range 4 {
		for _, b := range encoded(f, course(), version)[:20] {
			f.Add(b, uint8(version))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, version uint8) {
		v := int(version % 4)
		var p, again IFP
		if p.Parse(b, v) != nil {
			return
		}
		var tr Tracer
		_ = tr.Step(&p)
		for _, field := range p.Fields {
			if len(field.Data) > MaxIFP || !p.Type.IsData() {
				return // is read, not written
			}
		}
		out, err := p.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Parse(out, v); err != nil || fmt.Sprint(p) != fmt.Sprint(again) {
			t.Fatalf("%x reads as %+v, written %x, which reads as %+v: %v", b, p, out, again, err)
		}
	})
}

// Whatever arrives, deliveries go up, each number once, and account for what is missing.
func FuzzReceiver(f *testing.F) {
	all := datagrams(f, Sender{Span: 2, Entries: 3}, encoded(f, course(), 0))
	var text []byte
	for _, b := range all[:12] {
		text = append(append(text, byte(len(b))), b...)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Receiver
		var before uint16
		var count, lost uint64
		started := false
		check := func(ds []Delivery, restarts uint64) {
			for _, d := range ds {
				if restarts == 0 && started && d.Sequence != before+1+uint16(d.Lost) {
					t.Fatalf("%d after %d with %d lost", d.Sequence, before, d.Lost)
				}
				before, started = d.Sequence, true
				count++
				lost += uint64(d.Lost)
			}
		}
		for len(text) > 0 {
			n := min(int(text[0]), len(text)-1)
			ds, _ := r.Receive(text[1 : 1+n]) // most cannot be read
			check(ds, r.Statistics().Restarts)
			text = text[1+n:]
		}
		check(r.Flush(), r.Statistics().Restarts)
		if st := r.Statistics(); lost > st.Lost {
			t.Fatalf("%d delivered, %d lost, %+v", count, lost, st)
		}
	})
}
