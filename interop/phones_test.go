package interop

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// The tones of the two phones; neither is a harmonic of the other.
const (
	toneA = 440
	toneB = 1000
)

// pair is a server with two phones that have registered.
func pair(t *testing.T, transport string) (x *server, a, b *phone) {
	t.Helper()
	x = serve(t, setup{site: site(registering("101"), registering("102"))})
	a = x.phone(phoneSetup{number: "101", transport: transport, hz: toneA})
	b = x.phone(phoneSetup{number: "102", transport: transport, hz: toneB})
	x.registered(2)
	return x, a, b
}

// connect lets a phone call another.
func connect(a, b *phone, number string) {
	a.t.Helper()
	a.tell("dial", "sip:"+number+"@"+host)
	a.expect("CALL_ESTABLISHED", 10*time.Second)
	if b != nil {
		b.expect("CALL_ESTABLISHED", 10*time.Second)
	}
}

// disconnect ends the call.
func disconnect(a, b *phone) {
	a.t.Helper()
	a.tell("hangup", "")
	a.expect("CALL_CLOSED", 10*time.Second)
	if b != nil {
		b.expect("CALL_CLOSED", 10*time.Second)
	}
}

// TestPhonesHearEachOther: over each transport each phone hears the other's tone and nothing of its own, and the record
// says what happened.
func TestPhonesHearEachOther(t *testing.T) {
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			x, a, b := pair(t, transport)
			connect(a, b, "102")
			const talk = 6 * time.Second
			time.Sleep(talk)
			disconnect(a, b)
			a.hears(toneB, toneA, talk-time.Second)
			b.hears(toneA, toneB, talk-time.Second)

			r := x.record()
			if r.Ring == nil || r.Answer == nil || r.Cause == nil || r.Cause.SIP != 200 || r.Cause.Q850 != 16 {
				t.Fatalf("rung at %v, answered at %v, cause %+v", r.Ring, r.Answer, r.Cause)
			}
			if *r.From != "101" || *r.To != "102" || r.Start.After(r.Ring.Time) || r.Ring.After(r.Answer.Time) ||
				!r.Answer.Before(r.End.Time) {
				t.Errorf("from %s to %s: start %v, ring %v, answer %v, end %v", *r.From, *r.To, r.Start, r.Ring, r.Answer, r.End)
			}
			if got := time.Duration(*r.TalkMS) * time.Millisecond; got < talk || got > talk+2*time.Second {
				t.Errorf("talked for %v, want %v", got, talk)
			}
			if len(r.Legs) != 2 {
				t.Fatalf("%d legs", len(r.Legs))
			}
			for _, l := range r.Legs {
				if l.Codec == nil || *l.Codec != "pcma" {
					t.Errorf("codec %q", *l.Codec)
				}
				if l.MOSIn == nil || *l.MOSIn <= 4.2 {
					t.Errorf("leg of %s: MOS %v, loss %v, jitter %v", *l.Device, pointed(l.MOSIn), pointed(l.Loss), pointed(l.JitterMS))
				}
			}
		})
	}
}

func pointed(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

// TestPhoneHoldsAndResumes: the sound goes on after a hold. What arrives is read from the wire, for baresip does not go
// on recording.
func TestPhoneHoldsAndResumes(t *testing.T) {
	x, a, b := pair(t, "udp")
	end := capture(t, x.sip, x.rtp[1])
	connect(a, b, "102")
	time.Sleep(2 * time.Second)
	a.tell("hold", "")
	time.Sleep(3 * time.Second)
	a.tell("resume", "")
	time.Sleep(2 * time.Second)
	disconnect(a, b)
	heard := map[float64]time.Duration{}
	for _, pcm := range x.onTheWire(end()) {
		for _, hz := range []float64{toneA, toneB} {
			heard[hz] += sounds(pcm, hz)
		}
	}
	for hz, d := range heard {
		if d < 3500*time.Millisecond || d > 5*time.Second {
			t.Errorf("%.0f Hz was sent for %v, want 4 s", hz, d)
		}
	}
	r := x.record()
	if r.HoldMS == nil || *r.HoldMS < 2500 || *r.HoldMS > 4000 {
		t.Errorf("on hold for %v ms", r.HoldMS)
	}
	if r.Cause.SIP != 200 {
		t.Errorf("cause %+v", r.Cause)
	}
}

// TestDigitsCross: RFC 4733 events of one phone arrive at the other.
func TestDigitsCross(t *testing.T) {
	_, a, b := pair(t, "udp")
	connect(a, b, "102")
	for _, digit := range []string{"5", "*", "#"} {
		a.tell("sndcode", digit)
		if e := b.expect("CALL_DTMF_START", 5*time.Second); e.Param != digit {
			t.Errorf("%s arrived as %s", digit, e.Param)
		}
		b.expect("CALL_DTMF_END", 5*time.Second)
	}
	disconnect(a, b)
}

// TestEcho: the echo test sends a phone its own sound.
func TestEcho(t *testing.T) {
	x := serve(t, setup{site: site(registering("101"))})
	a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA})
	x.registered(1)
	connect(a, nil, "*43")
	time.Sleep(3 * time.Second)
	disconnect(a, nil)
	a.hears(toneA, toneB, 2*time.Second)
	if r := x.record(); *r.To != "*43" || r.Answer == nil {
		t.Errorf("to %s, answered at %v", *r.To, r.Answer)
	}
}

// TestCalleeEndsTheCall: the other side may hang up as well.
func TestCalleeEndsTheCall(t *testing.T) {
	x, a, b := pair(t, "udp")
	connect(a, b, "102")
	disconnect(b, a)
	if r := x.record(); r.Cause.SIP != 200 || string(r.Cause.Party) != "callee" {
		t.Errorf("cause %+v", r.Cause)
	}
}

// TestPhoneDoesNotAnswer: the caller gives up, the other phone stops ringing.
func TestPhoneDoesNotAnswer(t *testing.T) {
	x := serve(t, setup{site: site(registering("101"), registering("102"))})
	a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA})
	b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB, manual: true})
	x.registered(2)
	a.tell("dial", "sip:102@"+host)
	a.expect("CALL_RINGING", 10*time.Second)
	b.expect("CALL_INCOMING", 10*time.Second)
	disconnect(a, b)
	if r := x.record(); r.Answer != nil || r.Cause.SIP != 487 {
		t.Errorf("answered at %v, cause %+v", r.Answer, r.Cause)
	}
}

// TestOwnPhone: `dialtone phone` calls a baresip, and is called by one; each hears the other.
func TestOwnPhone(t *testing.T) {
	x := serve(t, setup{site: site(registering("101"), registering("102"))})
	b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB})
	x.registered(1)
	own := func(args ...string) *process {
		return start(t, "dialtone phone", exec.Command(binary, append([]string{"phone",
			"--server", fmt.Sprintf("%s:%d", host, x.sip), "--user", "101", "--password", "secret-of-101", "--expect-tone", strconv.Itoa(toneB), "--json"}, args...)...))
	}
	p := own("--call", "102", "--duration", "3s")
	if code := p.wait(20 * time.Second); code != 0 {
		t.Errorf("as the caller: exit status %d\n%s", code, p.said())
	}
	b.expect("CALL_CLOSED", 5*time.Second)
	p = own("--answer")
	x.registered(2)
	connect(b, nil, "101")
	time.Sleep(3 * time.Second)
	disconnect(b, nil)
	if code := p.wait(20 * time.Second); code != 0 {
		t.Errorf("as the callee: exit status %d\n%s", code, p.said())
	}
	b.hears(toneA, toneB, 5*time.Second) // 440 Hz is what a phone sends that was told nothing else
	for _, r := range x.waitRecords(2) {
		if r.Answer == nil || r.Cause.SIP != 200 {
			t.Errorf("answered at %v, cause %+v", r.Answer, r.Cause)
		}
	}
}
