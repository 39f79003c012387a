package media

import (
	"testing"
	"time"
)

// A browser that says nothing lives as long as it checks its way; when it stops, nothing more is sent to it, and it counts
// as silent since its last check.
func TestConsentIsLife(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		b := l.browser(alice)
		x := l.session(SessionConfig{Peer: alice})
		if err := x.RemoteOffer(b.describe("actpass"), alice); err != nil {
			t.Fatal(err)
		}
		answer, err := x.Answer(parse(t, "v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\nm=audio 5000 RTP/AVP 8\nm=video 0 RTP/AVP 96\n"))
		if err != nil {
			t.Fatal(err)
		}
		if x.HeardControl() || !x.LastMedia().IsZero() {
			t.Error("heard before anything came")
		}
		b.told(answer)
		b.check(true, "another password than ours")
		wait(time.Second)
		if x.HeardControl() || !x.LastMedia().IsZero() {
			t.Error("a stranger's check counts")
		}
		b.shakes(false, answer)
		var last time.Time
		for range 6 {
			last = time.Now()
			b.check(true, b.theirs.Pwd)
			wait(5 * time.Second)
		}
		if at := x.LastMedia(); at.Before(last) || at.After(last.Add(time.Second)) || !x.HeardControl() {
			t.Errorf("last heard at %v, checked at %v", at, last)
		}
		c := l.e.Counters()
		if c.Handshakes != 1 || c.HandshakesFailed != 0 || c.ICE != 1 || c.DTLS != 1 || c.SDES != 0 || c.ConsentLost != 0 || c.Conversions != 0 {
			t.Errorf("counters %+v", c)
		}
		wait(40 * time.Second)
		if at := x.LastMedia(); at.After(last.Add(time.Second)) || x.Stats()[0].Remote.IsValid() {
			t.Errorf("last heard at %v, remote %v", at, x.Stats()[0].Remote)
		}
		if c := l.e.Counters(); c.ConsentLost != 1 {
			t.Errorf("consent lost %d times", c.ConsentLost)
		}
		x.Close()
		if c := l.e.Counters(); c.ConsentLost != 1 || c.ICE != 0 || c.DTLS != 0 || c.Handshakes != 1 {
			t.Errorf("counters at the end %+v", c)
		}
	})
}
