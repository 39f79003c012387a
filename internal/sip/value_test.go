package sip

import "testing"

func TestQValue(t *testing.T) {
	for in, q := range map[string]int{
		"1": 1000, "1.0": 1000, "1.000": 1000, "0": 0, "0.5": 500, "0.05": 50, "0.005": 5, ".5": 500, "0.": 0, "0.12345": 123,
		"": -1, ".": -1, "1.1": -1, "2": -1, "-1": -1, "0,5": -1, "0.x": -1, "00.5": -1, "0.5.5": -1,
	} {
		got, ok := QValue([]byte(in))
		if ok != (q >= 0) || ok && int(got) != q {
			t.Errorf("%q: %d, %v", in, got, ok)
		}
	}
}

func TestAppendQ(t *testing.T) {
	for q, want := range map[uint16]string{1000: "", 999: ";q=0.999", 500: ";q=0.500", 5: ";q=0.005", 0: ";q=0.000"} {
		got := string(AppendQ(nil, q))
		if got != want {
			t.Errorf("%d: %q", q, got)
		}
		if back, ok := QValue([]byte(got)[min(3, len(got)):]); want != "" && (!ok || back != q) {
			t.Errorf("%q is read as %d", got, back)
		}
	}
}

func TestDeltaSeconds(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "0060": 60, "4294967295": 1<<32 - 1, "99999999999999999999": 1<<32 - 1, "": -1, "1.5": -1, "-1": -1, "1 ": -1} {
		if got, ok := DeltaSeconds([]byte(in)); ok != (want >= 0) || ok && int64(got) != want {
			t.Errorf("%q: %d, %v", in, got, ok)
		}
	}
}

func TestAppendHex(t *testing.T) {
	if got := string(AppendHex([]byte("x"), 0x0123456789abcdef)); got != "x0123456789abcdef" {
		t.Error(got)
	}
}
