package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dialtone/internal/cdr"
	"dialtone/internal/quality/listen"
)

// browsers are what the tests with browsers share: a server, two browsers, and a phone of each kind.
type browsers struct {
	*server
	a, b              *browser // 301, which speaks Opus, and 302
	pcmu, opus, video *phone
	calls             int // records so far
}

// TestBrowsers lets headless Chromium and baresip call each other through one server.
func TestBrowsers(t *testing.T) {
	needsBrowser(t)
	x := &browsers{server: serve(t, setup{ws: true, site: site(
		"  - {number: \"301\", devices: [{username: \"301\", password: secret-of-301, media: {codecs: [opus, vp8]}}]}\n",
		registering("302"), registering("311"), registering("312"), registering("313"))})}
	x.a, x.b = x.browser("301", voiceA), x.browser("302", voiceB)
	x.pcmu = x.phone(phoneSetup{number: "311", transport: "udp", voice: voiceB, codec: "PCMU"})
	x.opus = x.phone(phoneSetup{number: "312", transport: "udp", voice: voiceB, codec: "opus"})
	x.video = x.phone(phoneSetup{number: "313", transport: "udp", voice: voiceB, codec: "PCMU", video: true})
	x.registered(5)
	t.Logf("Chromium %s", x.a.version)
	t.Run("calls a phone of G.711", func(t *testing.T) { x.calling(t, x.pcmu, "pcmu") })
	t.Run("calls a phone of Opus", func(t *testing.T) { x.calling(t, x.opus, "opus") })
	t.Run("is called by a phone", x.called)
	t.Run("calls a browser with pictures", x.pictures)
	t.Run("sees a phone and is seen", x.seesPhone)
	t.Run("holds and resumes", x.holds)
	t.Run("presses keys", x.presses)
	t.Run("restarts ICE", x.restarts)
	t.Run("shows another certificate", x.liar)
	t.Run("vanishes", x.vanishes)
}

// ended is the record of the next call.
func (x *browsers) ended(t *testing.T) cdr.Record {
	t.Helper()
	x.calls++
	records := x.waitRecords(x.calls)
	return records[len(records)-1]
}

// hangup ends the call from the browser's side.
func (x *browsers) hangup(t *testing.T, p *phone) cdr.Record {
	t.Helper()
	x.a.do("hangup", nil)
	x.a.expect("ended", 5*time.Second)
	if p != nil {
		p.expect("CALL_CLOSED", 10*time.Second)
	}
	return x.ended(t)
}

// call connects the first browser with a phone.
func (x *browsers) call(t *testing.T, p *phone, video bool) {
	t.Helper()
	x.a.call(x.server, p.number, video)
	p.expect("CALL_ESTABLISHED", 10*time.Second)
	x.a.expect("confirmed", 10*time.Second)
}

// overBrowser are the gates of a call with Chromium's own jitter buffer and the clock of its sound device in it.
func overBrowser() listen.Gates {
	return listen.Gates{Score: 2.5, Gap: 120 * time.Millisecond, LevelDB: 1.5}
}

// talk lets the connected parties talk, ends the call, and judges what they have heard; connect makes the call.
func (x *browsers) talk(t *testing.T, p *phone, connect func(), wanted ...string) {
	t.Helper()
	p.forget()
	connect()
	time.Sleep(hush + phrases)
	x.well(t, x.a)
	heard := x.a.heard(8000)
	legs(t, x.hangup(t, p), wanted...)
	for who, r := range map[string]listen.Result{
		"the browser": listen.Compare(said(voiceB, 8000), heard, 8000), p.name: p.judged(t, voiceA, 8000),
	} {
		t.Logf("%s heard %+v", who, r)
		if wrong := overBrowser().Check(r, listen.Result{}); wrong != "" {
			t.Errorf("%s: %s", who, wrong)
		}
	}
}

func (x *browsers) calling(t *testing.T, p *phone, codec string) {
	x.talk(t, p, func() { x.call(t, p, false) }, "opus dtls-srtp", codec+" none")
}

// well checks what Chromium itself counts.
func (x *browsers) well(t *testing.T, b *browser) browserStats {
	t.Helper()
	s := b.stats()
	in := s.Inbound["audio"]
	if in.PacketsReceived < 200 || in.PacketsLost > 2 || in.TotalAudioEnergy == 0 {
		t.Errorf("chromium %s received %+v", b.number, in)
	}
	if remote := s.Remote["audio"]; remote.RoundTripTime > 0.5 || remote.PacketsLost > 2 {
		t.Errorf("chromium %s is told %+v", b.number, remote)
	}
	for _, tr := range s.Transports {
		if tr.DTLSState != "connected" {
			t.Errorf("chromium %s has transports %+v", b.number, s.Transports)
		}
	}
	t.Logf("chromium %s: %+v", b.number, s)
	return s
}

// legs checks codec and crypto of the two legs of a record.
func legs(t *testing.T, r cdr.Record, want ...string) {
	t.Helper()
	var got []string
	for _, l := range r.Legs {
		codec, crypto := "?", "?"
		if l.Codec != nil {
			codec = *l.Codec
		}
		if l.Crypto != nil {
			crypto = *l.Crypto
		}
		got = append(got, codec+" "+crypto)
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("legs of %v, want %v", got, want)
	}
}

// called: what a browser is offered unasked is WebRTC.
func (x *browsers) called(t *testing.T) {
	x.talk(t, x.pcmu, func() {
		x.pcmu.tell("dial", "sip:301@"+host)
		x.a.expect("incoming", 10*time.Second)
		x.a.expect("confirmed", 10*time.Second)
		x.pcmu.expect("CALL_ESTABLISHED", 10*time.Second)
	}, "pcmu none", "opus dtls-srtp")
}

func (x *browsers) pictures(t *testing.T) {
	x.a.call(x.server, "302", true)
	x.b.expect("confirmed", 10*time.Second)
	x.a.expect("confirmed", 10*time.Second)
	time.Sleep(6 * time.Second)
	for _, b := range []*browser{x.a, x.b} {
		s := x.well(t, b)
		if v := s.Inbound["video"]; v.FramesDecoded < 40 || v.KeyFramesDecoded == 0 {
			t.Errorf("chromium %s decoded %+v", b.number, v)
		}
		// RFC 9143: one transport for all streams, whether the browser has offered it or is offered it.
		if len(s.Transports) != 1 {
			t.Errorf("chromium %s has transports %+v", b.number, s.Transports)
		}
	}
	r := x.hangup(t, nil)
	x.b.expect("ended", 5*time.Second)
	legs(t, r, "opus dtls-srtp", "opus dtls-srtp")
}

func (x *browsers) seesPhone(t *testing.T) {
	x.call(t, x.video, true)
	time.Sleep(6 * time.Second)
	s := x.well(t, x.a)
	if v := s.Inbound["video"]; v.FramesDecoded < 40 {
		t.Errorf("chromium decoded %+v", v)
	}
	t.Logf("the phone: %s", x.video.tell("video_debug", ""))
	x.hangup(t, x.video)
}

func (x *browsers) holds(t *testing.T) {
	x.call(t, x.pcmu, false)
	time.Sleep(2 * time.Second)
	received := func() int { return x.a.stats().Inbound["audio"].PacketsReceived }
	x.a.do("hold", nil)
	x.a.expect("hold", 5*time.Second)
	time.Sleep(time.Second)
	held := received()
	time.Sleep(time.Second)
	if n := received() - held; n > 5 {
		t.Logf("%d packets came in a second of hold", n)
	}
	x.a.do("unhold", nil)
	x.a.expect("unhold", 5*time.Second)
	before := received()
	time.Sleep(2 * time.Second)
	if n := received() - before; n < 80 {
		t.Errorf("%d packets came in 2 s after the hold", n)
	}
	if r := x.hangup(t, x.pcmu); r.HoldMS == nil || *r.HoldMS < 1500 || *r.HoldMS > 4000 {
		t.Errorf("on hold for %v ms", r.HoldMS)
	}
}

func (x *browsers) presses(t *testing.T) {
	x.call(t, x.pcmu, false)
	time.Sleep(time.Second)
	for i, key := range []string{"5", "#"} {
		by := []string{"rfc4733", "info"}[i]
		x.a.do("press", map[string]any{"key": key, "by": by})
		if e := x.pcmu.expect("CALL_DTMF_START", 5*time.Second); e.Param != key {
			t.Errorf("%s by %s arrived as %s", key, by, e.Param)
		}
		x.pcmu.expect("CALL_DTMF_END", 5*time.Second)
	}
	x.hangup(t, x.pcmu)
}

func (x *browsers) restarts(t *testing.T) {
	x.call(t, x.pcmu, false)
	time.Sleep(2 * time.Second)
	before := x.a.stats()
	x.a.do("restart", nil)
	offer := x.a.expect("sdp", 5*time.Second)
	for offer.Originator != "remote" {
		offer = x.a.expect("sdp", 5*time.Second)
	}
	if !strings.Contains(offer.SDP, "a=end-of-candidates") {
		t.Errorf("our answer to the restart:\n%s", offer.SDP)
	}
	time.Sleep(3 * time.Second)
	s := x.well(t, x.a)
	if n := s.Inbound["audio"].PacketsReceived - before.Inbound["audio"].PacketsReceived; n < 130 {
		t.Errorf("%d packets came in 3 s of a restart", n)
	}
	x.hangup(t, x.pcmu)
}

// liar: the page names another certificate than Chromium shows.
func (x *browsers) liar(t *testing.T) {
	x.a.do("call", map[string]any{"uri": fmt.Sprintf("sip:311@%s", host), "fingerprint": "wrong"})
	x.a.expect("ended", 15*time.Second)
	x.pcmu.expect("CALL_CLOSED", 10*time.Second)
	r := x.ended(t)
	t.Logf("cause %+v", r.Cause)
	if r.Cause == nil || string(r.Cause.Party) != "system" {
		t.Errorf("cause %+v", r.Cause)
	}
}

// vanishes: Chromium is gone without a word. RFC 7675 §5.1: half a minute later nothing is sent to it any more; and the call
// ends, although the other party goes on speaking.
func (x *browsers) vanishes(t *testing.T) {
	if !long() {
		t.Skip("takes a minute: make interop LONG=1 RUN=TestBrowsers")
	}
	end := capture(t, x.sip, x.rtp[1])
	x.call(t, x.pcmu, false)
	time.Sleep(8 * time.Second) // until it has sent RTCP
	x.a.do("crash", nil)
	gone := time.Now()
	x.pcmu.expect("CALL_CLOSED", 75*time.Second)
	t.Logf("the call ended %v after the browser was gone", time.Since(gone))
	if r := x.ended(t); r.Cause == nil || r.Cause.Words != "media timeout" {
		t.Errorf("cause %+v", r.Cause)
	}
	w := x.wire(end())
	last := time.Duration(0)
	for port, list := range w.received {
		if port >= x.pcmu.media && port < x.pcmu.media+rtpPorts {
			continue
		}
		for _, p := range list {
			last = max(last, p.at.Sub(gone))
		}
	}
	t.Logf("the last packet to the browser came %v after it was gone", last)
	if last > 35*time.Second {
		t.Errorf("packets were sent to the browser until %v after it was gone", last)
	}
}
