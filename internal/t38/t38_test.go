package t38

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// course is a fax of one page from its sender, version 0: CNG, DCS, training, page, EOP.
func course() []IFP {
	packets := []IFP{{Type: CNG}, {Type: NoSignal}, {Type: V21Preamble}}
	frame := []byte{0xff, 0xc8, 0xc1, 0x00, 0x46, 0x1f, 0x20} // DCS: V.17 14400, ECM
	for _, o := range frame {
		packets = append(packets, IFP{V21Data, []Field{{HDLCData, []byte{o}}}})
	}
	packets = append(packets, IFP{V21Data, []Field{{HDLCFCSOK, nil}}}, IFP{V21Data, []Field{{HDLCSigEnd, nil}}}, IFP{Type: V17Training14400Long},
		IFP{V17Data14400, []Field{{NonECMData, make([]byte, 200)}}}, IFP{V17Data14400, []Field{{NonECMSigEnd, nil}}}, IFP{Type: V17Training14400Short})
	for i := range 60 {
		packets = append(packets, IFP{V17Data14400, []Field{{HDLCData, append([]byte{0xff, 0xc0, 0x06, byte(i)}, bytes.Repeat([]byte{byte(i)}, 68)...)}, {HDLCFCSOK, nil}}})
	}
	return append(packets, IFP{V17Data14400, []Field{{HDLCSigEnd, nil}}}, IFP{Type: V21Preamble},
		IFP{V21Data, []Field{{HDLCData, []byte{0xff, 0xc8, 0xf4}}, {HDLCFCSOKSigEnd, nil}}}, IFP{Type: NoSignal})
}

func encoded(t testing.TB, packets []IFP, version int) [][]byte {
	t.Helper()
	out := make([][]byte, len(packets))
	for i := range packets {
		var err error
		if out[i], err = packets[i].Append(nil, version); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func datagrams(t testing.TB, s Sender, ifps [][]byte) [][]byte {
	t.Helper()
	out := make([][]byte, len(ifps))
	for i, b := range ifps {
		var err error
		if out[i], err = s.Append(nil, b); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Octets as other implementations write them.
func TestIFPVectors(t *testing.T) {
	for _, c := range []struct {
		text    string
		version int
		want    IFP
	}{
		{"00", 0, IFP{Type: NoSignal}},
		{"02", 0, IFP{Type: CNG}},
		{"04", 0, IFP{Type: CED}},
		{"06", 0, IFP{Type: V21Preamble}},
		{"1e", 0, IFP{Type: V17Training14400Long}},
		{"2000", 3, IFP{Type: V8ANSam}},
		{"2180", 3, IFP{Type: V33Training14400}},
		{"c0018000 00ff", 0, IFP{V21Data, []Field{{HDLCData, []byte{0xff}}}}},
		{"c0028000 00ff20", 0, IFP{V21Data, []Field{{HDLCData, []byte{0xff}}, {HDLCFCSOK, nil}}}},
		{"c0028000 00ff10", 2, IFP{V21Data, []Field{{HDLCData, []byte{0xff}}, {HDLCFCSOK, nil}}}},
		{"c0014 0", 0, IFP{V21Data, []Field{{HDLCFCSOKSigEnd, nil}}}},
		{"c00121", 0, IFP{}}, // rubbish behind
		// Two fields without data share octets.
		{"c00221", 0, IFP{V21Data, []Field{{HDLCFCSOK, nil}, {HDLCSigEnd, nil}}}},
		{"c0021040", 2, IFP{V21Data, []Field{{HDLCFCSOK, nil}, {HDLCSigEnd, nil}}}},
		{"c0021008", 2, IFP{V21Data, []Field{{HDLCFCSOK, nil}, {HDLCSigEnd, nil}}}}, // Interop: each field at an octet
		{"d0 01 e0 0001 1234", 0, IFP{V17Data14400, []Field{{NonECMData, []byte{0x12, 0x34}}}}},
		{"e00001c000 0001 41", 3, IFP{}}, // V8 data: cut off
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		var p IFP
		err = p.Parse(b, c.version)
		if c.want.Type == 0 && len(c.want.Fields) == 0 && c.text != "00" {
			if err == nil {
				t.Errorf("%s is taken for %+v", c.text, p)
			}
			continue
		}
		if err != nil || p.Type != c.want.Type || !reflect.DeepEqual(slices.Clone(p.Fields), c.want.Fields) && len(p.Fields)+len(c.want.Fields) > 0 {
			t.Errorf("%s: %+v %v, want %+v", c.text, p, err, c.want)
		}
	}
}

func TestTypesAndFieldsAreWrittenAsTheyAreRead(t *testing.T) {
	var all []IFP
	for i := range indicators {
		all = append(all, IFP{Type: i})
	}
	for d := V21Data; d < dataEnd; d++ {
		for f := range fieldTypes {
			all = append(all, IFP{d, []Field{{f, []byte("abc")}, {HDLCFCSOK, nil}, {f, nil}, {f, []byte("d")}}})
		}
	}
	for _, p := range all {
		b, err := p.Append(nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		var again IFP
		if err := again.Parse(b, 3); err != nil || again.Type != p.Type || fmt.Sprint(again.Fields) != fmt.Sprint(p.Fields) {
			t.Errorf("%x: %+v %v, want %+v", b, again, err, p)
		}
		if strings.Contains(p.Type.String(), " ") {
			t.Errorf("%v has no name", p.Type)
		}
	}
	if _, err := (&IFP{V21Data, []Field{{CMMessage, nil}}}).Append(nil, 0); !errors.Is(err, ErrRange) {
		t.Errorf("an extension in version 0: %v", err)
	}
}

func TestUDPTL(t *testing.T) {
	for name, c := range map[string]struct {
		p    Packet
		text string
	}{
		"bare":      {Packet{Sequence: 1, Primary: []byte{6}}, "0001 01 06 00 00"},
		"secondary": {Packet{Sequence: 2, Primary: []byte{6}, Secondary: [][]byte{{4}, {}}}, "0002 01 06 00 02 01 04 00"},
		"parity":    {Packet{Sequence: 0xffff, Primary: []byte{6}, Parity: [][]byte{{1, 2}}, Span: 3}, "ffff 01 06 80 01 03 01 02 0102"},
		"long": {Packet{Sequence: 3, Primary: bytes.Repeat([]byte{7}, 300)},
			"0003 812c " + strings.Repeat("07", 300) + " 00 00"},
	} {
		want, err := hex.DecodeString(strings.ReplaceAll(c.text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.p.Append(nil)
		if err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s: %x %v, want %x", name, b, err, want)
		}
		var p Packet
		if err := p.Parse(want); err != nil || fmt.Sprint(p) != fmt.Sprint(c.p) {
			t.Errorf("%s: %+v %v", name, p, err)
		}
	}
	for text, want := range map[string]error{
		"": ErrShort, "00": ErrShort, "0001": ErrShort, "0001 05 06": ErrShort, "0001 01 06": ErrShort, "0001 01 06 00": ErrShort,
		"0001 01 06 00 01": ErrShort, "0001 01 06 00 11": ErrRange, "0001 01 06 00 00 00": ErrRest, "0001 c1 06 00 00": ErrRange,
		"0001 bfff 06 00 00": ErrRange, "0001 01 06 80 01 11 00": ErrRange, "0001 01 06 80 00 01 00": ErrRange,
		"0001 01 06 80 05 0000000001 00": ErrRange, "0001 01 06 80 01 ff 00": ErrRange, "0001 01 06 00 80ff": ErrRange,
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if err := new(Packet).Parse(b); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

// deliver runs datagrams through a receiver and returns what it made of them, in order.
func deliver(t testing.TB, r *Receiver, in [][]byte) (out []Delivery) {
	t.Helper()
	keep := func(ds []Delivery) {
		for _, d := range ds {
			d.Data = bytes.Clone(d.Data)
			out = append(out, d)
		}
	}
	for _, b := range in {
		ds, err := r.Receive(b)
		if err != nil {
			t.Fatal(err)
		}
		keep(ds)
	}
	keep(r.Flush())
	return out
}

// same compares what came with what was sent; zeros behind are what parity leaves.
func same(got, sent []byte) bool {
	return bytes.HasPrefix(got, sent) && len(bytes.Trim(got[len(sent):], "\x00")) == 0
}

// Whatever single losses and bursts there are, as far as the error recovery reaches everything comes, in its order.
func TestLossesAreRecovered(t *testing.T) {
	ifps := encoded(t, course(), 0)
	for name, c := range map[string]struct {
		s     Sender
		burst int // losses in a row
		every int // packets from one burst to the next
	}{
		"one secondary":          {Sender{Redundancy: 1}, 1, 2},
		"three secondaries":      {Sender{Redundancy: 3}, 3, 4},
		"parity over three":      {Sender{Span: 3, Entries: 1}, 1, 4},
		"parity, three of three": {Sender{Span: 3, Entries: 3}, 3, 12},
		"parity, four of five":   {Sender{Span: 4, Entries: 5}, 5, 25},
	} {
		for shift := range c.every {
			var in [][]byte
			lost := 0
			all := datagrams(t, c.s, ifps)
			for i, b := range all {
				// What is lost at the end has nobody to bring it back.
				if (i+shift)%c.every < c.burst && i > 0 && i < len(all)-c.every {
					lost++
					continue
				}
				in = append(in, b)
			}
			r := &Receiver{}
			out := deliver(t, r, in)
			if len(out) != len(ifps) || r.Statistics().Lost != 0 || r.Statistics().Recovered != uint64(lost) {
				t.Errorf("%s, shift %d: %d of %d, %d were lost: %+v", name, shift, len(out), len(ifps), lost, r.Statistics())
				continue
			}
			for i, d := range out {
				if int(d.Sequence) != i || d.Lost != 0 || !same(d.Data, ifps[i]) {
					t.Errorf("%s, shift %d: packet %d is %+v, want %x", name, shift, i, d, ifps[i])
					break
				}
			}
		}
	}
}

// Random loss, reordering and repetition: what comes is in order, at most once, and what was sent.
func TestOrderUnderRandomConditions(t *testing.T) {
	ifps := encoded(t, course(), 0)
	ifps = slices.Concat(ifps, ifps, ifps)
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := Sender{Redundancy: random.IntN(4)}
		if seed%2 == 1 {
			s = Sender{Span: 1 + random.IntN(4), Entries: 1 + random.IntN(4)}
		}
		s.next = uint16(random.Uint32()) // wraps now and then
		first := s.next
		if seed%5 == 0 {
			s.next, first = 65500, 65500
		}
		var in [][]byte
		for _, b := range datagrams(t, s, ifps) {
			if random.IntN(100) < 3 && len(in) > 0 {
				continue
			}
			in = append(in, b)
			if n := len(in); n > 2 && random.IntN(20) == 0 {
				in[n-1], in[n-2] = in[n-2], in[n-1]
			}
			if random.IntN(20) == 0 {
				in = append(in, b)
			}
		}
		r := &Receiver{}
		out := deliver(t, r, in)
		before, lost := -1, 0
		for _, d := range out {
			i := int(d.Sequence - first)
			if i <= before || i >= len(ifps) || !same(d.Data, ifps[i]) || d.Lost != i-before-1 {
				t.Fatalf("seed %d: %d after %d: %+v", seed, i, before, d)
			}
			before, lost = i, lost+d.Lost
		}
		if st := r.Statistics(); int(st.Lost) != lost || len(out)+lost > len(ifps) || len(out) < len(ifps)*9/10 {
			t.Fatalf("seed %d: %d of %d, %+v", seed, len(out), len(ifps), st)
		}
	}
}

func TestReceiverGivesUpAndBeginsAnew(t *testing.T) {
	bare := func(sequence uint16) []byte {
		b, err := (&Packet{Sequence: sequence, Primary: []byte{byte(sequence)}}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	r := &Receiver{}
	var got []string
	for _, n := range []uint16{10, 12, 13, 14, 11, 15, 15, 40000, 40001} {
		ds, err := r.Receive(bare(n))
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprint(n, ":")
		for _, d := range ds {
			line += fmt.Sprintf(" %d(%d)", d.Sequence, d.Lost)
		}
		got = append(got, line)
	}
	want := []string{"10: 10(0)", "12:", "13:", "14: 12(1) 13(0) 14(0)", "11:", "15: 15(0)", "15:", "40000: 40000(0)", "40001: 40001(0)"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if st := r.Statistics(); st != (Statistics{Datagrams: 9, Late: 2, Lost: 1, Restarts: 1}) {
		t.Errorf("%+v", st)
	}
	if ds, err := r.Receive([]byte{1}); err == nil || ds != nil || r.Statistics().Faulty != 1 {
		t.Errorf("rubbish: %v %v", ds, err)
	}
	hasty := &Receiver{Wait: -1}
	if out := deliver(t, hasty, [][]byte{bare(1), bare(3), bare(2), bare(4)}); len(out) != 3 || out[1].Sequence != 3 {
		t.Errorf("without waiting: %+v", out)
	}
}

func TestTracer(t *testing.T) {
	var tr Tracer
	var got []string
	for _, p := range course() {
		if words := tr.Step(&p); words != "" {
			got = append(got, words)
		}
	}
	want := []string{
		"calling (cng)", "control (v21-preamble)", "DCS V.17 14400 ECM", "training (v17-14400-long-training)",
		"page (v17-14400)", "end of training check: 200 bytes", "training (v17-14400-short-training)", "page (v17-14400)",
		"end of page data: 4320 bytes", "control (v21-preamble)", "EOP",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if tr.Pages() != 1 || tr.Phase() != Control {
		t.Errorf("%d pages, %s", tr.Pages(), tr.Phase())
	}
	for octets, want := range map[string]string{
		"\xff\xc8\x01\x00\xee\xf8\x24": "DIS ECM", "\xff\xc0\x02": "CSI", "\xff\xc8\x31": "MCF", "\xff\xc8\xb1": "MCF", "\xff\xc8\xfd": "PPS",
		"\xff\xc8\xdf": "DCN", "\xff\xc8\x41\x00\x20": "DCS V.29 9600", "\xff\xc8\x00": "frame 0x00", "\xfe\xc8\x31": "frame that is none of T.30", "": "frame that is none of T.30",
	} {
		if got := frameWords([]byte(octets)); got != want {
			t.Errorf("%x: %q, want %q", octets, got, want)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	all := datagrams(t, Sender{Redundancy: 3}, encoded(t, course(), 0))
	var r Receiver
	var p IFP
	run := func() {
		for i, b := range all {
			if i%5 == 1 {
				continue
			}
			ds, err := r.Receive(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				if err := p.Parse(d.Data, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.Reset()
	}
	run()
	if n := testing.AllocsPerRun(50, run); n != 0 {
		t.Errorf("%v allocations for %d datagrams", n, len(all))
	}
}
