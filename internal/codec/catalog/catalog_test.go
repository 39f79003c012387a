package catalog

import (
	"strings"
	"testing"

	"dialtone/internal/codec"
	"dialtone/internal/codec/codectest"
)

func TestOrder(t *testing.T) {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "opus G722 PCMA PCMU L16 L16" {
		t.Errorf("order %s", got)
	}
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name            string
		clock, channels int
		want            string
	}{
		{"pcmu", 8000, 0, "PCMU"}, {"PCMA", 8000, 1, "PCMA"}, {"g722", 8000, 1, "G722"}, {"OPUS", 48000, 2, "opus"},
		{"L16", 16000, 1, "L16"}, {"L16", 8000, 1, "L16"},
		{"G722", 16000, 1, ""}, {"opus", 48000, 1, ""}, {"L16", 44100, 2, ""}, {"PCMU", 8000, 2, ""}, {"G729", 8000, 1, ""},
	} {
		s, found := Find(tt.name, tt.clock, tt.channels)
		if s.Name != tt.want || found != (tt.want != "") {
			t.Errorf("%s/%d/%d: %q", tt.name, tt.clock, tt.channels, s.Name)
		}
	}
}

// Every codec of the list does at every rate what its Spec promises, for packets of all usual lengths.
func TestEveryCodecKeepsItsPromises(t *testing.T) {
	types := map[uint8]bool{}
	for _, s := range All() {
		if types[s.PayloadType] {
			t.Errorf("%s: payload type %d is taken", s.Name, s.PayloadType)
		}
		types[s.PayloadType] = true
		for _, rate := range s.Rates {
			for _, ptime := range []int{10, 20, 40, 60} {
				check(t, s, codec.Params{Rate: rate, PTime: ptime, FMTP: s.FMTP})
			}
		}
		if _, err := s.NewDecoder(codec.Params{Rate: 11025}); err == nil {
			t.Errorf("%s works at 11025 Hz", s.Name)
		}
		if _, err := s.NewDecoder(codec.Params{}); err != nil {
			t.Errorf("%s without a rate: %v", s.Name, err)
		}
	}
}

func check(t *testing.T, s codec.Spec, p codec.Params) {
	t.Helper()
	d, err := s.NewDecoder(p)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	n := p.Rate * p.PTime / 1000
	if got := len(d.Conceal(make(codec.Frame, 1), n)); got != n+1 {
		t.Errorf("%s at %d Hz conceals %d samples with %d", s.Name, p.Rate, n, got-1)
	}
	d.Decode(nil, nil)
	if s.NewEncoder == nil {
		return
	}
	e, err := s.NewEncoder(p)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	pcm := codec.Frame(codectest.Speech(p.Rate, p.Rate))
	var out codec.Frame
	var payload []byte
	for rest := pcm; len(rest) >= n; rest = rest[n:] {
		if payload = e.Encode(payload[:0], rest[:n]); len(payload) == 0 {
			t.Fatalf("%s at %d Hz makes nothing of %d ms", s.Name, p.Rate, p.PTime)
		}
		before := len(out)
		if out = d.Decode(out, payload); len(out)-before != n {
			t.Fatalf("%s at %d Hz: %d samples came back as %d", s.Name, p.Rate, n, len(out)-before)
		}
	}
	delay := codectest.Delay(pcm[:len(out)], out, p.Rate/50)
	if d := codectest.SpectralDistance(pcm, out[delay:], p.Rate); d > 12 {
		t.Errorf("%s at %d Hz, %d ms: spectral distance %.1f dB", s.Name, p.Rate, p.PTime, d)
	}
}
