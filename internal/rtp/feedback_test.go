package rtp

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"testing/quick"
)

func feedbackOf(t *testing.T, b []byte) Feedback {
	t.Helper()
	f, err := ParseFeedback(next(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFeedbackLayout(t *testing.T) {
	for name, tt := range map[string]struct {
		got  []byte
		want []byte
		kind FeedbackKind
	}{
		"PLI": {PictureLossIndication(0x01020304, 0x05060708).Append(nil), []byte{0x81, 206, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8}, PictureLoss},
		"NACK": {AppendNACK(nil, 1, 2, []uint16{65534, 65535, 14, 15, 100}), []byte{0x81, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2,
			0xff, 0xfe, 0x80, 0x01, 0, 15, 0, 0, 0, 100, 0, 0}, GenericNACK},
		"FIR": {AppendIntraRequest(nil, 1, IntraEntry{0x0a0b0c0d, 7}), []byte{0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0,
			0x0a, 0x0b, 0x0c, 0x0d, 7, 0, 0, 0}, IntraRequest},
		"TMMBR": {AppendBitrateLimits(nil, BitrateLimitRequest, 1, BitrateLimit{9, 64000, 40}), []byte{0x83, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0,
			0, 0, 0, 9, 0x01, 0xf4, 0x00, 0x28}, BitrateLimitRequest},
		"TMMBN of nobody": {AppendBitrateLimits(nil, BitrateLimitNotice, 1), []byte{0x84, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0}, BitrateLimitNotice},
		"REMB": {AppendEstimate(nil, 1, 1_000_000, 8, 9), []byte{0x8f, 206, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 'R', 'E', 'M', 'B',
			2, 0x0b, 0xd0, 0x90, 0, 0, 0, 8, 0, 0, 0, 9}, BitrateEstimate},
	} {
		if !bytes.Equal(tt.got, tt.want) {
			t.Errorf("%s: %x, want %x", name, tt.got, tt.want)
		}
		if f := feedbackOf(t, tt.got); f.Kind() != tt.kind {
			t.Errorf("%s: kind %d", name, f.Kind())
		}
	}
}

func TestFeedbackComesBack(t *testing.T) {
	missing := func(sequences []uint16, base uint16) bool {
		var want []uint16
		for _, s := range sequences {
			want = append(want, base+s%300)
		}
		slices.SortFunc(want, func(a, b uint16) int { return int(a-base) - int(b-base) })
		want = slices.Compact(want)
		if len(want) == 0 {
			return len(AppendNACK(nil, 1, 2, want)) == 0
		}
		f := feedbackOf(t, AppendNACK(nil, 1, 2, want))
		return slices.Equal(slices.Collect(f.Missing), want) && f.Kind() == GenericNACK
	}
	intra := func(entries []IntraEntry) bool {
		f := feedbackOf(t, AppendIntraRequest(nil, 3, entries...))
		return slices.Equal(slices.Collect(f.IntraRequests), entries) && (f.Kind() == IntraRequest) == (len(entries) > 0)
	}
	within := func(got, want uint64, width int) bool {
		return got <= want && float64(want-got) <= float64(want)/float64(uint64(1)<<(width-1))
	}
	limits := func(entries []BitrateLimit, notice bool) bool {
		kind := BitrateLimitRequest
		if notice {
			kind = BitrateLimitNotice
		}
		f := feedbackOf(t, AppendBitrateLimits(nil, kind, 3, entries...))
		got := slices.Collect(f.BitrateLimits)
		for i := range got {
			if got[i].SSRC != entries[i].SSRC || got[i].Overhead != min(entries[i].Overhead, 511) || !within(got[i].Bitrate, entries[i].Bitrate, 17) {
				return false
			}
		}
		return len(got) == len(entries)
	}
	estimate := func(bitrate uint64, streams []uint32) bool {
		f := feedbackOf(t, AppendEstimate(nil, 3, bitrate, streams...))
		got, list := f.Estimate(nil)
		return f.Kind() == BitrateEstimate && within(got, bitrate, 18) && slices.Equal(list, streams[:min(255, len(streams))])
	}
	for name, f := range map[string]any{"missing": missing, "intra": intra, "limits": limits, "estimate": estimate} {
		if err := quick.Check(f, &quick.Config{MaxCount: 500}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongNACKFitsADatagram(t *testing.T) {
	missing := make([]uint16, 3000)
	for i := range missing {
		missing[i] = uint16(20 * i)
	}
	b := AppendNACK(nil, 1, 2, missing)
	f := feedbackOf(t, b)
	if got := slices.Collect(f.Missing); len(b) > 1200 || !slices.Equal(got, missing[:len(got)]) || len(got) != maxNACK {
		t.Errorf("%d bytes, %d packets", len(b), len(got))
	}
}

// Control information that is not as its format must be is of no kind, and nothing is read from it.
func TestMalformedFeedback(t *testing.T) {
	remb := func(tail ...byte) []byte { return append([]byte("REMB"), tail...) }
	for name, f := range map[string]Feedback{
		"empty NACK":         {Type: TypeTransportFeedback, Format: 1},
		"cut NACK":           {Type: TypeTransportFeedback, Format: 1, Control: make([]byte, 6)},
		"cut TMMBR":          {Type: TypeTransportFeedback, Format: 3, Control: make([]byte, 12)},
		"empty TMMBR":        {Type: TypeTransportFeedback, Format: 3},
		"cut TMMBN":          {Type: TypeTransportFeedback, Format: 4, Control: make([]byte, 4)},
		"PLI with something": {Type: TypePayloadFeedback, Format: 1, Control: make([]byte, 4)},
		"cut FIR":            {Type: TypePayloadFeedback, Format: 4, Control: make([]byte, 4)},
		"empty FIR":          {Type: TypePayloadFeedback, Format: 4},
		"other application":  {Type: TypePayloadFeedback, Format: 15, Control: []byte("NAME1234")},
		"REMB cut":           {Type: TypePayloadFeedback, Format: 15, Control: remb()},
		"REMB of too few":    {Type: TypePayloadFeedback, Format: 15, Control: remb(2, 0, 0, 0, 1, 1, 1, 1)},
		"REMB of too many":   {Type: TypePayloadFeedback, Format: 15, Control: remb(0, 0, 0, 0, 1, 1, 1, 1)},
		"transport-wide":     {Type: TypeTransportFeedback, Format: 15, Control: make([]byte, 16)},
	} {
		rate, streams := f.Estimate(nil)
		read := len(slices.Collect(f.Missing)) + len(slices.Collect(f.IntraRequests)) + len(slices.Collect(f.BitrateLimits)) + len(streams)
		if f.Kind() != OtherFeedback || read != 0 || rate != 0 {
			t.Errorf("%s: kind %d, %d things read", name, f.Kind(), read)
		}
	}
	huge := Feedback{Type: TypeTransportFeedback, Format: 3, Control: bytes.Repeat([]byte{0xff}, 8)}
	for l := range huge.BitrateLimits {
		if l.Bitrate != math.MaxUint64 {
			t.Errorf("overflow gives %d", l.Bitrate)
		}
	}
}

// everything is a compound with a source in every place that may name one: n of them are ssrc, and as many are other.
func everything(ssrc, other uint32) (compound []byte, n int) {
	sr := Report{SSRC: ssrc, FromSender: true, Sender: SenderInfo{uint64(ssrc), ssrc, ssrc, ssrc}, Blocks: []ReportBlock{{SSRC: other}, {SSRC: ssrc, LSR: ssrc}}}
	rr := Report{SSRC: other, Blocks: []ReportBlock{{SSRC: ssrc, DLSR: ssrc}}}
	b := rr.Append(sr.Append(nil))
	b = AppendSourceDescription(b, Chunk{other, []Item{{1, []byte("name\x11\x11\x11\x11")}}}, Chunk{ssrc, []Item{{1, []byte("x")}}})
	b = ControlPacket{Type: TypeApplication, Body: []byte{byte(ssrc >> 24), byte(ssrc >> 16), byte(ssrc >> 8), byte(ssrc), 'n', 'a', 'm', 'e'}}.Append(b)
	b = PictureLossIndication(other, ssrc).Append(b)
	b = AppendNACK(b, ssrc, other, []uint16{0x1111, 0x1111})
	b = AppendIntraRequest(b, other, IntraEntry{other, 3}, IntraEntry{ssrc, 4})
	b = AppendBitrateLimits(b, BitrateLimitRequest, ssrc, BitrateLimit{ssrc, 64000, 40}, BitrateLimit{other, 64000, 40})
	b = AppendBitrateLimits(b, BitrateLimitNotice, other, BitrateLimit{ssrc, 64000, 40})
	b = AppendEstimate(b, other, 64000, other, ssrc)
	x := ExtendedReport{SSRC: ssrc, ReferenceTime: uint64(ssrc) << 32, References: []LastReference{{other, ssrc, ssrc}, {ssrc, 1, 2}}, Metrics: []VoIPMetrics{{SSRC: ssrc}}}
	b = x.Append(b)
	b = Bye{SSRCs: []uint32{other, ssrc}}.Append(b)
	return b, 16
}

func TestMapSSRC(t *testing.T) {
	const mine, other, new = 0x11111111, 0x22222222, 0x33333333
	b, places := everything(mine, other)
	want, _ := everything(mine, other)
	if n := MapSSRC(b, 0x44444444, new); n != 0 || !bytes.Equal(b, want) {
		t.Errorf("an SSRC that is not there: %d places", n)
	}
	if n := MapSSRC(b, mine, new); n != places {
		t.Errorf("%d places, want %d", n, places)
	}
	// Words that look like the SSRC and are none stay: timestamps, counts, reference times, texts.
	if left := bytes.Count(b, []byte{0x11, 0x11, 0x11, 0x11}); left < 8 {
		t.Errorf("only %d other words are left", left)
	}
	if err := CheckControl(b); err != nil || bytes.Equal(b, want) {
		t.Fatal(err)
	}
	if n := MapSSRC(b, new, mine); n != places || !bytes.Equal(b, want) {
		t.Errorf("back: %d places, %x, want %x", n, b, want)
	}
	// Each packet for itself, read by the parsers.
	if n := MapSSRC(b, other, new); n == 0 {
		t.Fatal("nothing mapped")
	}
	for rest := b; len(rest) > 0; {
		p, after, err := NextControl(rest)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(sources(p), other) {
			t.Errorf("type %d format %d still names the source", p.Type, p.Count)
		}
		rest = after
	}
}

// sources are all that a packet names, by the parsers.
func sources(p ControlPacket) (list []uint32) {
	var r Report
	if r.Parse(p) == nil {
		list = append(list, r.SSRC)
		for _, b := range r.Blocks {
			list = append(list, b.SSRC)
		}
	}
	if chunks, err := ParseSourceDescription(p); err == nil {
		for _, c := range chunks {
			list = append(list, c.SSRC)
		}
	}
	if y, err := ParseBye(p); err == nil {
		list = append(list, y.SSRCs...)
	}
	if f, err := ParseFeedback(p); err == nil {
		list = append(list, f.SSRC, f.MediaSSRC)
		for e := range f.IntraRequests {
			list = append(list, e.SSRC)
		}
		for e := range f.BitrateLimits {
			list = append(list, e.SSRC)
		}
		_, list = f.Estimate(list)
	}
	var x ExtendedReport
	if x.Parse(p) == nil {
		list = append(list, x.SSRC)
		for _, e := range x.References {
			list = append(list, e.SSRC)
		}
		for _, e := range x.Metrics {
			list = append(list, e.SSRC)
		}
	}
	return list
}

func TestFeedbackAllocatesNothing(t *testing.T) {
	compound, _ := everything(1, 2)
	missing, out := []uint16{5, 6, 40}, make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() {
		MapSSRC(compound, 1, 3)
		MapSSRC(compound, 3, 1)
		out = AppendNACK(out[:0], 1, 2, missing)
		p, _, _ := NextControl(out)
		f, _ := ParseFeedback(p)
		for range f.Missing {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever comes: mapping keeps the length, the verdict on the whole and everything but sources; afterwards no parser finds
// the old source; and it can be undone when the new one was not there.
func FuzzMapSSRC(f *testing.F) {
	b, _ := everything(0x11111111, 0x22222222)
	f.Add(b, uint32(0x11111111), uint32(0x33333333))
	f.Add([]byte{0x81, 202, 0, 2, 1, 1, 1, 1, 1, 200, 1, 1}, uint32(0x01010101), uint32(7))
	f.Fuzz(func(t *testing.T, in []byte, from, to uint32) {
		b := bytes.Clone(in)
		n := MapSSRC(b, from, to)
		if (CheckControl(b) == nil) != (CheckControl(in) == nil) || len(b) != len(in) {
			t.Fatalf("%x became %x", in, b)
		}
		if n == 0 && !bytes.Equal(b, in) || n > len(in)/4 {
			t.Fatalf("%d places: %x became %x", n, in, b)
		}
		fresh := true
		for rest := in; len(rest) > 0; {
			p, after, err := NextControl(rest)
			if err != nil {
				break
			}
			fresh = fresh && !bytes.Contains(p.Body, []byte{byte(to >> 24), byte(to >> 16), byte(to >> 8), byte(to)})
			rest = after
		}
		for rest := b; len(rest) > 0 && from != to; {
			p, after, err := NextControl(rest)
			if err != nil {
				break
			}
			if slices.Contains(sources(p), from) {
				t.Fatalf("type %d still names %x: %x", p.Type, from, p.Body)
			}
			rest = after
		}
		if fresh {
			if back := MapSSRC(b, to, from); back != n || !bytes.Equal(b, in) {
				t.Fatalf("%d places there, %d back: %x, was %x", n, back, b, in)
			}
		}
	})
}

// What is read from control information prints to control information that reads the same.
func FuzzFeedback(f *testing.F) {
	for _, b := range [][]byte{
		AppendNACK(nil, 1, 2, []uint16{1, 2, 30}), AppendIntraRequest(nil, 1, IntraEntry{2, 3}),
		AppendBitrateLimits(nil, BitrateLimitRequest, 1, BitrateLimit{2, 64000, 40}), AppendEstimate(nil, 1, 64000, 2),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, _, err := NextControl(b)
		if err != nil {
			return
		}
		in, err := ParseFeedback(p)
		if err != nil {
			return
		}
		var printed []byte
		missing := slices.Collect(in.Missing)
		entries := slices.Collect(in.IntraRequests)
		limits := slices.Collect(in.BitrateLimits)
		rate, streams := in.Estimate(nil)
		switch in.Kind() {
		case GenericNACK:
			printed = AppendNACK(nil, in.SSRC, in.MediaSSRC, missing)
		case IntraRequest:
			printed = AppendIntraRequest(nil, in.SSRC, entries...)
		case BitrateLimitRequest, BitrateLimitNotice:
			printed = AppendBitrateLimits(nil, in.Kind(), in.SSRC, limits...)
		case BitrateEstimate:
			printed = AppendEstimate(nil, in.SSRC, rate, streams...)
		default:
			if len(missing)+len(entries)+len(limits)+len(streams) > 0 {
				t.Fatalf("read from feedback of no kind: %x", b)
			}
			return
		}
		q, rest, err := NextControl(printed)
		if err != nil || len(rest) > 0 {
			t.Fatalf("printed %x: %v", printed, err)
		}
		out, err := ParseFeedback(q)
		if err != nil || out.Kind() != in.Kind() || out.SSRC != in.SSRC {
			t.Fatalf("%+v became %+v, %v", in, out, err)
		}
		rate2, streams2 := out.Estimate(nil)
		same := slices.Equal(slices.Collect(out.IntraRequests), entries) && slices.EqualFunc(slices.Collect(out.BitrateLimits), limits, sameLimit)
		if !same || !sameRate(rate2, rate) || !slices.Equal(streams2, streams) || !containsAll(slices.Collect(out.Missing), missing) {
			t.Fatalf("%x became %x", b, printed)
		}
	})
}

// sameRate: more than 64 bits are read as all of them, which cannot be printed.
func sameRate(a, b uint64) bool { return a == b || b == math.MaxUint64 && a > 1<<63 }

func sameLimit(a, b BitrateLimit) bool {
	return a.SSRC == b.SSRC && a.Overhead == b.Overhead && sameRate(a.Bitrate, b.Bitrate)
}

// containsAll: a NACK that lists packets in disorder or twice is printed in another way, but with the same packets, up to
// what fits.
func containsAll(got, want []uint16) bool {
	if len(want) > maxNACK {
		return true
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			return false
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			return false
		}
	}
	return true
}
