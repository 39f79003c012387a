package interop

import (
	"fmt"
	"testing"
	"time"

	"dialtone/internal/codec/g711"
	"dialtone/internal/media/tone"
)

// TestHoldOfEncryptedAndConvertedCalls: in each call one side holds and resumes, with encryption or conversion in between.
// The side in clear is listened to on the wire: who holds hears nothing meanwhile, who is held hears music.
func TestHoldOfEncryptedAndConvertedCalls(t *testing.T) {
	list := []*match{
		{a: side{"opus", "dtls_srtp"}, b: side{"PCMU", ""}},
		{a: side{"PCMU", "srtp-mand"}, b: side{"PCMA", ""}},
		{a: side{"PCMU", ""}, b: side{"PCMU", "dtls_srtp"}},
		{a: side{"PCMA", ""}, b: side{"opus", "srtp-mand"}},
		{a: side{"PCMU", ""}, b: side{"G722", "srtp-mand"}},
	}
	x := meet(t, list)
	end := capture(t, x.sip, x.rtp[1])
	connectAll(list)
	time.Sleep(hush + 2*time.Second)
	all := func(what string) (at time.Time) {
		for _, m := range list {
			m.phones[0].tell(what, "")
		}
		return time.Now()
	}
	held := all("hold")
	time.Sleep(2 * time.Second)
	resumed := all("resume")
	time.Sleep(3 * time.Second)
	disconnectAll(list)
	w := x.wire(end())
	for _, r := range x.waitRecords(len(list)) {
		if r.HoldMS == nil || *r.HoldMS < 1500 || *r.HoldMS > 3500 {
			t.Errorf("%s was on hold for %v ms", *r.From, r.HoldMS)
		}
	}
	for _, m := range list {
		t.Run(m.name(), func(t *testing.T) {
			if m.failed != nil {
				t.Fatal(m.failed)
			}
			clear, isHeld := m.phones[0], false
			if m.a.enc != "" {
				clear, isHeld = m.phones[1], true
			}
			for _, part := range []struct {
				what     string
				from, to time.Time
				sounds   bool
			}{
				{"before the hold", held.Add(-2 * time.Second), held, true},
				{"on hold", held.Add(500 * time.Millisecond), resumed.Add(-50 * time.Millisecond), isHeld},
				{"after the hold", resumed.Add(time.Second), resumed.Add(3 * time.Second), true},
			} {
				loud := w.loud(clear, part.from, part.to)
				if part.sounds && loud < 500*time.Millisecond || !part.sounds && loud > 100*time.Millisecond {
					t.Errorf("%s %s hears something for %v", part.what, clear.name, loud)
				}
			}
		})
	}
}

// loud is how long a phone got sound in G.711 between two moments.
func (w *wire) loud(p *phone, from, to time.Time) (total time.Duration) {
	const block = 160
	for _, packet := range of(w.received, p) {
		if packet.at.Before(from) || packet.at.After(to) || packet.PayloadType != 0 && packet.PayloadType != 8 {
			continue
		}
		for pcm := packet.voice(); len(pcm) >= block; pcm = pcm[block:] {
			sum := 0.0
			for _, s := range pcm[:block] {
				sum += float64(s) * float64(s)
			}
			if sum/block > 300*300 {
				total += 20 * time.Millisecond
			}
		}
	}
	return total
}

// voice is the sound of a packet of G.711.
func (p *seen) voice() []int16 {
	pcm := make([]int16, len(p.Payload))
	for i, b := range p.Payload {
		if p.PayloadType == 8 {
			pcm[i] = g711.DecodeALaw(b)
		} else {
			pcm[i] = g711.DecodeMuLaw(b)
		}
	}
	return pcm
}

// TestDigitsBetweenForms: what one phone presses as RFC 4733 events reaches another one in the form that it is configured with, on
// plain, encrypted and converted legs. Baresip presses in no other form; TestBrowsers has INFO.
func TestDigitsBetweenForms(t *testing.T) {
	pcmu := side{"PCMU", ""}
	list := []*match{
		{a: pcmu, b: pcmu, form: "rfc4733"},
		{a: pcmu, b: pcmu, form: "info"},
		{a: pcmu, b: pcmu, form: "inband"},
		{a: side{"PCMU", "dtls_srtp"}, b: pcmu, form: "info"},
		{a: side{"opus", ""}, b: pcmu, form: "rfc4733"},
		{a: side{"G722", ""}, b: side{"PCMU", "dtls_srtp"}, form: "info"},
		{a: side{"opus", "srtp-mand"}, b: pcmu, form: "inband"},
	}
	x := meet(t, list)
	end := capture(t, x.sip, x.rtp[1])
	connectAll(list)
	time.Sleep(hush / 2)
	pressed := time.Now()
	for _, m := range list {
		if m.failed == nil {
			m.phones[0].tell("sndcode", "5")
			m.phones[0].tell("sndcode", "\x04") // baresip lets the key go
		}
	}
	for _, m := range list {
		if m.failed != nil || m.form == "inband" {
			continue
		}
		var e phoneEvent
		if e, m.failed = m.phones[1].await("CALL_DTMF_START", 5*time.Second); m.failed == nil && e.Param != "5" {
			m.failed = fmt.Errorf("5 arrived as %q", e.Param)
		}
	}
	time.Sleep(time.Second)
	disconnectAll(list)
	w := x.wire(end())
	for _, m := range list {
		t.Run(m.name()+"_by_"+m.form, func(t *testing.T) {
			if m.failed != nil {
				t.Fatal(m.failed)
			}
			if m.form != "inband" {
				return
			}
			sounded := time.Duration(0)
			for _, packet := range of(w.received, m.phones[1]) {
				if packet.PayloadType == 0 && packet.at.After(pressed) {
					if pcm := packet.voice(); tone.Goertzel(pcm, 770) > audible && tone.Goertzel(pcm, 1336) > audible {
						sounded += 20 * time.Millisecond
					}
				}
			}
			t.Logf("the key sounds for %v", sounded)
			// Beside Opus baresip counts the length of a key at 48 kHz, though it has agreed on 8: six times what was pressed.
			if sounded < 60*time.Millisecond || sounded > 1500*time.Millisecond {
				t.Errorf("the key sounds for %v", sounded)
			}
		})
	}
}

// TestPictures: VP8 crosses both ways, between phones in clear and encrypted, and so do requests for whole pictures.
func TestPictures(t *testing.T) {
	list := []*match{
		{a: side{"PCMU", ""}, b: side{"PCMU", ""}, video: true},
		{a: side{"opus", "dtls_srtp"}, b: side{"PCMU", ""}, video: true},
		{a: side{"PCMU", "srtp-mand"}, b: side{"PCMU", "dtls_srtp"}, video: true},
	}
	x := meet(t, list)
	end := capture(t, x.sip, x.rtp[1])
	connectAll(list)
	time.Sleep(5 * time.Second)
	disconnectAll(list)
	w := x.wire(end())
	for _, m := range list {
		t.Run(m.name(), func(t *testing.T) {
			if m.failed != nil {
				t.Fatal(m.failed)
			}
			for _, p := range m.phones {
				sent, received := pictures(of(w.sent, p)), pictures(of(w.received, p))
				t.Logf("%s sent %d pictures and got %d", p.name, sent, received)
				if sent < 30 || received < 30 {
					t.Errorf("%s sent %d pictures and got %d", p.name, sent, received)
				}
			}
		})
	}
}

// pictures counts the ends of pictures: the marker of video. 101 and 111 are keys and Opus.
func pictures(list []seen) (n int) {
	for _, p := range list {
		if p.Marker && p.PayloadType >= 96 && p.PayloadType != 101 && p.PayloadType != 111 {
			n++
		}
	}
	return n
}
