package rtp

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"testing/quick"
	"time"
)

func next(t *testing.T, b []byte) ControlPacket {
	t.Helper()
	p, rest, err := NextControl(b)
	if err != nil || len(rest) != 0 {
		t.Fatalf("%x: %v, %d bytes left", b, err, len(rest))
	}
	return p
}

func TestReportLayout(t *testing.T) {
	r := Report{SSRC: 0x11111111, FromSender: true,
		Sender: SenderInfo{0x0102030405060708, 0x22222222, 0x33333333, 0x44444444},
		Blocks: []ReportBlock{{0x55555555, 0x80, -2, 0x66666666, 0x77777777, 0x88888888, 0x99999999}}}
	want := []byte{0x81, 200, 0, 12, 0x11, 0x11, 0x11, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 0x22, 0x22, 0x22, 0x33, 0x33, 0x33, 0x33,
		0x44, 0x44, 0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x80, 0xff, 0xff, 0xfe, 0x66, 0x66, 0x66, 0x66, 0x77, 0x77, 0x77, 0x77,
		0x88, 0x88, 0x88, 0x88, 0x99, 0x99, 0x99, 0x99}
	got := r.Append(nil)
	if !bytes.Equal(got, want) {
		t.Fatalf("%x, want %x", got, want)
	}
	var back Report
	if err := back.Parse(next(t, got)); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestEverythingComesBack(t *testing.T) {
	report := func(ssrc uint32, sender bool, info SenderInfo, blocks []ReportBlock) bool {
		r := Report{SSRC: ssrc, FromSender: sender, Blocks: blocks[:min(len(blocks), 31)]}
		if sender {
			r.Sender = info
		}
		for i := range r.Blocks {
			r.Blocks[i].CumulativeLost = r.Blocks[i].CumulativeLost << 8 >> 8
		}
		var back Report
		err := back.Parse(next(t, r.Append(nil)))
		return err == nil && back.SSRC == r.SSRC && back.FromSender == sender && back.Sender == r.Sender &&
			(len(r.Blocks) == 0 && len(back.Blocks) == 0 || reflect.DeepEqual(back.Blocks, r.Blocks))
	}
	extended := func(x ExtendedReport) bool {
		var back ExtendedReport
		err := back.Parse(next(t, x.Append(nil)))
		return err == nil && back.SSRC == x.SSRC && back.ReferenceTime == x.ReferenceTime && len(back.References) == len(x.References) &&
			(len(x.References) == 0 || reflect.DeepEqual(back.References, x.References)) &&
			(len(x.Metrics) == 0 && len(back.Metrics) == 0 || reflect.DeepEqual(back.Metrics, x.Metrics))
	}
	bye := func(ssrcs []uint32, reason []byte) bool {
		y := Bye{ssrcs[:min(len(ssrcs), 31)], reason[:min(len(reason), 255)]}
		back, err := ParseBye(next(t, Bye{ssrcs, reason}.Append(nil)))
		return err == nil && len(back.SSRCs) == len(y.SSRCs) && (len(y.SSRCs) == 0 || reflect.DeepEqual(back.SSRCs, y.SSRCs)) && bytes.Equal(back.Reason, y.Reason)
	}
	feedback := func(transport bool, format uint8, ssrc, media uint32, words []uint32) bool {
		f := Feedback{Type: TypePayloadFeedback, Format: format & 31, SSRC: ssrc, MediaSSRC: media, Control: make([]byte, 4*len(words))}
		if transport {
			f.Type = TypeTransportFeedback
		}
		back, err := ParseFeedback(next(t, f.Append(nil)))
		return err == nil && reflect.DeepEqual(back, f)
	}
	chunks := func(in []Chunk) bool {
		in = in[:min(len(in), 31)]
		for i := range in {
			for k := range in[i].Items {
				in[i].Items[k].Type |= 1
				in[i].Items[k].Text = append([]byte{}, in[i].Items[k].Text[:min(len(in[i].Items[k].Text), 255)]...)
			}
			if len(in[i].Items) == 0 {
				in[i].Items = nil
			}
		}
		back, err := ParseSourceDescription(next(t, AppendSourceDescription(nil, in...)))
		return err == nil && (len(in) == 0 && back == nil || reflect.DeepEqual(back, in))
	}
	for name, f := range map[string]any{"report": report, "extended": extended, "bye": bye, "feedback": feedback, "chunks": chunks} {
		if err := quick.Check(f, &quick.Config{MaxCount: 300}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompound(t *testing.T) {
	r := Report{SSRC: 1, Blocks: []ReportBlock{{SSRC: 2}}}
	b := r.Append(nil)
	b = AppendCNAME(b, 1, "0123abcd")
	b = Bye{SSRCs: []uint32{1}, Reason: []byte("done")}.Append(b)
	if err := CheckControl(b); err != nil {
		t.Fatal(err)
	}
	var types []uint8
	for rest := b; len(rest) > 0; {
		p, after, err := NextControl(rest)
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, p.Type)
		if p.Type == TypeSourceDescription {
			chunks, err := ParseSourceDescription(p)
			if err != nil || len(chunks) != 1 || chunks[0].SSRC != 1 || chunks[0].Items[0].Type != ItemCNAME || string(chunks[0].Items[0].Text) != "0123abcd" {
				t.Errorf("%+v, %v", chunks, err)
			}
		}
		rest = after
	}
	if !bytes.Equal(types, []uint8{TypeReceiverReport, TypeSourceDescription, TypeBye}) {
		t.Errorf("types %v", types)
	}
	for cut := 1; cut < len(b); cut++ {
		err := CheckControl(b[:cut])
		if whole := cut == 32 || cut == 32+20; (err == nil) != whole {
			t.Errorf("cut to %d bytes: %v", cut, err)
		}
	}
	for n := range 300 {
		cname := string(bytes.Repeat([]byte("x"), n))
		if got, want := AppendCNAME(nil, 9, cname), AppendSourceDescription(nil, Chunk{9, []Item{{ItemCNAME, []byte(cname)}}}); !bytes.Equal(got, want) {
			t.Fatalf("CNAME of %d bytes: %x, want %x", n, got, want)
		}
	}
}

func TestMalformedControl(t *testing.T) {
	for name, tt := range map[string]struct {
		in  []byte
		err error
	}{
		"empty":               {nil, ErrShort},
		"three bytes":         {[]byte{0x80, 201, 0}, ErrShort},
		"version":             {[]byte{0x40, 201, 0, 1, 0, 0, 0, 1}, ErrVersion},
		"length lies":         {[]byte{0x80, 201, 0xff, 0xff, 0, 0, 0, 1}, ErrShort},
		"RTP type":            {[]byte{0x80, 100, 0, 1, 0, 0, 0, 1}, ErrMalformed},
		"padding in front":    {[]byte{0xa0, 201, 0, 1, 0, 0, 0, 4, 0x80, 203, 0, 0}, ErrPadding},
		"padding of nothing":  {[]byte{0xa0, 201, 0, 0}, ErrPadding},
		"padding 0":           {[]byte{0xa0, 201, 0, 1, 0, 0, 0, 0}, ErrPadding},
		"padding longer":      {[]byte{0xa0, 201, 0, 1, 0, 0, 0, 5}, ErrPadding},
		"padding at the end":  {[]byte{0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4}, nil},
		"unknown type":        {[]byte{0x80, 210, 0, 0}, nil},
		"type of the profile": {[]byte{0x85, 204, 0, 2, 0, 0, 0, 1, 'n', 'a', 'm', 'e'}, nil},
	} {
		if err := CheckControl(tt.in); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", name, err, tt.err)
		}
	}
	for name, p := range map[string]ControlPacket{
		"report without SSRC":   {TypeReceiverReport, 0, nil},
		"sender report cut":     {TypeSenderReport, 0, make([]byte, 20)},
		"blocks missing":        {TypeReceiverReport, 2, make([]byte, 30)},
		"chunk missing":         {TypeSourceDescription, 1, nil},
		"chunk not ended":       {TypeSourceDescription, 1, []byte{0, 0, 0, 1, 1, 2, 'a', 'b'}},
		"item longer":           {TypeSourceDescription, 1, []byte{0, 0, 0, 1, 1, 9, 'a', 0}},
		"item cut":              {TypeSourceDescription, 1, []byte{0, 0, 0, 1, 1}},
		"chunk end cut":         {TypeSourceDescription, 1, []byte{0, 0, 0, 1, 0, 0}},
		"bye sources missing":   {TypeBye, 2, make([]byte, 4)},
		"bye reason longer":     {TypeBye, 0, []byte{9, 'a', 'b', 'c'}},
		"feedback cut":          {TypePayloadFeedback, 1, make([]byte, 4)},
		"XR without SSRC":       {TypeExtendedReport, 0, nil},
		"XR block header cut":   {TypeExtendedReport, 0, make([]byte, 6)},
		"XR block cut":          {TypeExtendedReport, 0, []byte{0, 0, 0, 1, 9, 0, 0, 5}},
		"XR reference too long": {TypeExtendedReport, 0, []byte{0, 0, 0, 1, 4, 0, 0, 1, 0, 0, 0, 0}},
		"XR DLRR uneven":        {TypeExtendedReport, 0, []byte{0, 0, 0, 1, 5, 0, 0, 1, 0, 0, 0, 0}},
		"XR metrics short":      {TypeExtendedReport, 0, []byte{0, 0, 0, 1, 7, 0, 0, 1, 0, 0, 0, 0}},
		"not any of them":       {TypeApplication, 0, make([]byte, 40)},
	} {
		if err := parseAny(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	skipped := ControlPacket{TypeExtendedReport, 0, []byte{0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0}}
	if err := parseAny(skipped); err != nil {
		t.Errorf("XR block of another kind: %v", err)
	}
}

func parseAny(p ControlPacket) (err error) {
	switch p.Type {
	case TypeSourceDescription:
		_, err = ParseSourceDescription(p)
	case TypeBye:
		_, err = ParseBye(p)
	case TypePayloadFeedback, TypeTransportFeedback:
		_, err = ParseFeedback(p)
	case TypeExtendedReport:
		err = new(ExtendedReport).Parse(p)
	default:
		_, bye := ParseBye(p)
		_, sdes := ParseSourceDescription(p)
		_, feedback := ParseFeedback(p)
		if bye == nil || sdes == nil || feedback == nil || new(ExtendedReport).Parse(p) == nil {
			return nil
		}
		err = new(Report).Parse(p)
	}
	return err
}

func TestReportAllocatesNothing(t *testing.T) {
	in := (&Report{SSRC: 1, FromSender: true, Blocks: make([]ReportBlock, 2)}).Append(nil)
	in = AppendCNAME(in, 1, "cname")
	r := Report{Blocks: make([]ReportBlock, 0, 2)}
	out := make([]byte, 0, 200)
	n := testing.AllocsPerRun(100, func() {
		p, _, err := NextControl(in)
		if err != nil || r.Parse(p) != nil {
			panic(err)
		}
		out = AppendCNAME(r.Append(out[:0]), 1, "cname")
	})
	if n != 0 || !bytes.Equal(in, out) {
		t.Errorf("%v allocations, %x", n, out)
	}
}

// Whatever the types say, printing a packet that was parsed and parsing it again gives the same value.
func FuzzControl(f *testing.F) {
	r := Report{SSRC: 1, FromSender: true, Blocks: []ReportBlock{{SSRC: 2, CumulativeLost: -5}}}
	x := ExtendedReport{SSRC: 1, ReferenceTime: 5, References: []LastReference{{1, 2, 3}}, Metrics: []VoIPMetrics{{SSRC: 3}}}
	f.Add(AppendCNAME(r.Append(nil), 1, "a@b"))
	f.Add(x.Append(nil))
	f.Add(Bye{SSRCs: []uint32{1}, Reason: []byte("x")}.Append(nil))
	f.Add(Feedback{Type: TypePayloadFeedback, Format: 1, SSRC: 1, MediaSSRC: 2}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		valid := CheckControl(b) == nil
		total := 0
		for rest := b; len(rest) > 0; {
			p, after, err := NextControl(rest)
			if err != nil {
				if valid {
					t.Fatalf("checked but %v", err)
				}
				return
			}
			total += len(rest) - len(after)
			roundTrip(t, p)
			rest = after
		}
		if total != len(b) {
			t.Fatalf("%d of %d bytes walked", total, len(b))
		}
	})
}

func roundTrip(t *testing.T, p ControlPacket) {
	again := func(b []byte) ControlPacket {
		q, rest, err := NextControl(b)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%+v printed as %x: %v", p, b, err)
		}
		return q
	}
	switch p.Type {
	case TypeSenderReport, TypeReceiverReport:
		var r, s Report
		if r.Parse(p) == nil && (s.Parse(again(r.Append(nil))) != nil || !reflect.DeepEqual(r, s)) {
			t.Fatalf("%+v became %+v", r, s)
		}
	case TypeSourceDescription:
		if c, err := ParseSourceDescription(p); err == nil {
			if d, err := ParseSourceDescription(again(AppendSourceDescription(nil, c...))); err != nil || !reflect.DeepEqual(c, d) {
				t.Fatalf("%+v became %+v, %v", c, d, err)
			}
		}
	case TypeBye:
		if y, err := ParseBye(p); err == nil {
			z, err := ParseBye(again(y.Append(nil)))
			if err != nil || !reflect.DeepEqual(y.SSRCs, z.SSRCs) || !bytes.Equal(y.Reason, z.Reason) {
				t.Fatalf("%+v became %+v, %v", y, z, err)
			}
		}
	case TypeExtendedReport:
		var x, y ExtendedReport
		if x.Parse(p) == nil && (y.Parse(again(x.Append(nil))) != nil || !reflect.DeepEqual(x, y)) {
			t.Fatalf("%+v became %+v", x, y)
		}
	case TypeTransportFeedback, TypePayloadFeedback:
		if f, err := ParseFeedback(p); err == nil {
			if g, err := ParseFeedback(again(f.Append(nil))); err != nil || f.SSRC != g.SSRC || f.Format != g.Format || !bytes.HasPrefix(g.Control, f.Control) {
				t.Fatalf("%+v became %+v, %v", f, g, err)
			}
		}
	}
}

// An extended report prints to one that reads the same, whatever the blocks; its metrics keep to their range when they are
// read and written anew, and an unknown block costs nothing but its place.
func FuzzExtendedReport(f *testing.F) {
	x := ExtendedReport{SSRC: 1, ReferenceTime: 5, References: []LastReference{{1, 2, 3}}, Metrics: []VoIPMetrics{{SSRC: 3, RXConfig: 0xf5, MOSLQ: 41}}}
	f.Add(x.Append(nil)[4:])
	f.Add([]byte{0, 0, 0, 1, 6, 0, 0, 1, 0, 0, 0, 2, 4, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<16 || len(body)%4 != 0 {
			return
		}
		var x, y ExtendedReport
		if x.Parse(ControlPacket{Type: TypeExtendedReport, Body: body}) != nil {
			return
		}
		printed := x.Append(nil)
		p, rest, err := NextControl(printed)
		if err != nil || len(rest) > 0 || y.Parse(p) != nil || !reflect.DeepEqual(x, y) {
			t.Fatalf("%x became %x: %+v became %+v, %v", body, printed, x, y, err)
		}
		if len(p.Body) > len(body)+32 {
			t.Fatalf("%d bytes grew to %d", len(body), len(p.Body))
		}
		for _, m := range x.Metrics {
			checkMetrics(t, m)
		}
		for _, r := range x.References {
			if d, ok := r.RoundTrip(x.ReferenceTime); ok && (d < 0 || d > 1<<15*time.Second) {
				t.Fatalf("%+v took %v", r, d)
			}
		}
	})
}

func checkMetrics(t *testing.T, m VoIPMetrics) {
	again := (&Reception{SSRC: m.SSRC, Figures: m.Figures(), Concealment: m.Concealment(), Buffer: m.Buffer()}).Metrics()
	if again.LossRate != m.LossRate || again.DiscardRate != m.DiscardRate || again.BurstDensity != m.BurstDensity || again.GapDensity != m.GapDensity ||
		again.BurstDuration != m.BurstDuration || again.GapDuration != m.GapDuration || again.Concealment() != m.Concealment() {
		t.Fatalf("%+v became %+v", m, again)
	}
	if b := m.Buffer(); b.Known && (again.BufferNominal != m.BufferNominal || again.Buffer().Adaptive != b.Adaptive) {
		t.Fatalf("%+v became %+v", b, again.Buffer())
	}
	if r, ok := m.Rating(); ok && (r < 0 || r > 106) {
		t.Fatalf("rating %v", r)
	}
	if s, ok := m.Conversation(); ok && (s < 1 || s > 5) {
		t.Fatalf("score %v", s)
	}
}
