package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"dialtone/internal/media/dtls"
	"dialtone/internal/media/srtp"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// browser is a WebRTC party: one socket for everything, checks, a handshake, SRTP.
type browser struct {
	l          *lab
	conn       network.PacketConn
	identity   *dtls.Identity
	ufrag, pwd string
	to         netip.AddrPort
	theirs     sdp.ICE

	mu        sync.Mutex
	handshake *dtls.Handshake
	out       *srtp.Sender
	in        *srtp.Receiver
	replies   int
	heard     []rtp.Packet
	control   int
	failed    error
}

func (l *lab) browser(addr netip.Addr) *browser {
	l.t.Helper()
	identity, err := dtls.NewIdentity()
	if err != nil {
		l.t.Fatal(err)
	}
	conn, err := l.net.Host(addr).ListenPacket(netip.AddrPortFrom(addr, 50000), false)
	if err != nil {
		l.t.Fatal(err)
	}
	b := &browser{l: l, conn: conn, identity: identity, ufrag: "brow", pwd: "aPasswordOfEnoughBits+"}
	l.t.Cleanup(func() {
		if b.handshake != nil {
			b.handshake.Close()
		}
		conn.Close()
	})
	go b.read()
	return b
}

func (b *browser) read() {
	ps := []network.Packet{{Data: make([]byte, 2048)}}
	for {
		ps[0].Data = ps[0].Data[:2048]
		if _, err := b.conn.ReadBatch(ps); err != nil {
			return
		}
		data := ps[0].Data
		b.mu.Lock()
		switch rtp.Classify(data) {
		case rtp.STUN:
			b.replies++
		case rtp.DTLS:
			if b.handshake != nil {
				b.handshake.Receive(data)
			}
		case rtp.RTCP:
			if b.in != nil {
				if _, err := b.in.OpenControl(data[:0], data); err == nil {
					b.control++
				}
			}
		case rtp.RTP:
			if b.in != nil {
				if opened, err := b.in.Open(data[:0], data); err == nil {
					var p rtp.Packet
					if p.Parse(opened) == nil {
						p.Payload = append([]byte(nil), p.Payload...)
						b.heard = append(b.heard, p)
					}
				}
			}
		}
		b.mu.Unlock()
	}
}

// describe is what a browser says: audio and video in one bundle.
func (b *browser) describe(setup string) *sdp.Description {
	common := fmt.Sprintf("c=IN IP4 0.0.0.0\na=rtcp:9 IN IP4 0.0.0.0\na=ice-ufrag:%s\na=ice-pwd:%s\na=ice-options:trickle\na=fingerprint:%s\na=setup:%s\n",
		b.ufrag, b.pwd, b.identity.Fingerprint(), setup)
	return parse(b.l.t, "v=0\no=- 4611 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\na=extmap-allow-mixed\na=msid-semantic: WMS x\n"+
		"m=audio 9 UDP/TLS/RTP/SAVPF 111 8 110\n"+common+"a=mid:0\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\na=sendrecv\na=msid:x y\na=rtcp-mux\na=rtcp-rsize\n"+
		"a=rtpmap:111 opus/48000/2\na=rtcp-fb:111 transport-cc\na=fmtp:111 minptime=10;useinbandfec=1\na=rtpmap:8 PCMA/8000\na=rtpmap:110 telephone-event/8000\na=ssrc:11 cname:z\n"+
		"m=video 9 UDP/TLS/RTP/SAVPF 96 97 103\n"+common+"a=mid:1\na=sendrecv\na=rtcp-mux\na=rtcp-rsize\na=rtpmap:96 VP8/90000\na=rtcp-fb:96 nack pli\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n"+
		"a=rtpmap:103 H264/90000\na=fmtp:103 packetization-mode=1\na=ssrc:22 cname:z\n")
}

// told takes our answer.
func (b *browser) told(d *sdp.Description) {
	b.l.t.Helper()
	var ok bool
	if b.theirs, ok = d.ICE(0); !ok || !b.theirs.Lite || len(b.theirs.Candidates) == 0 || !b.theirs.Ended {
		b.l.t.Fatalf("no ICE-lite agent in\n%s", d)
	}
	b.to = b.theirs.Candidates[0].Address
}

// check sends a connectivity check.
func (b *browser) check(nominate bool, password string) {
	b.l.t.Helper()
	attributes := []stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(b.theirs.Ufrag + ":" + b.ufrag),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{110, 0, 1, 255}, Length: 4},
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Length: 8}}
	if nominate {
		attributes = append(attributes, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	attributes = append(attributes, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	m, err := stun.Build(attributes...)
	if err != nil {
		b.l.t.Fatal(err)
	}
	b.send(m.Raw)
}

func (b *browser) send(data []byte) {
	if err := b.conn.WriteTo(data, b.to); err != nil {
		b.l.t.Error(err)
	}
}

// shakes begins, or waits for, the handshake.
func (b *browser) shakes(client bool, ours *sdp.Description) {
	h, err := dtls.Start(dtls.Config{Identity: b.identity, Client: client, Fingerprints: ours.Fingerprints(0), Send: b.send, Proven: true},
		func(keys dtls.Keys, err error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.failed = err; err == nil {
				b.out, _ = srtp.NewSender(keys.Suite, keys.Local, srtp.Options{})
				b.in, _ = srtp.NewReceiver(keys.Suite, keys.Remote, srtp.Options{})
			}
		})
	if err != nil {
		b.l.t.Fatal(err)
	}
	b.mu.Lock()
	b.handshake = h
	b.mu.Unlock()
}

func (b *browser) speak(pt uint8, ssrc uint32, first uint16, n int) {
	for i := range n {
		p := rtp.Packet{PayloadType: pt, SSRC: ssrc, Sequence: first + uint16(i), Timestamp: uint32(i) * 960, Payload: binary.BigEndian.AppendUint32(nil, uint32(i))}
		b.mu.Lock()
		sealed, err := b.out.Seal(nil, p.Append(nil))
		b.mu.Unlock()
		if err != nil {
			b.l.t.Fatal(err)
		}
		b.send(sealed)
		<-time.After(20 * time.Millisecond)
	}
}

// sources counts the packets that the browser has heard by SSRC.
func (b *browser) sources() map[uint32]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	by := map[uint32]int{}
	for i := range b.heard {
		by[b.heard[i].SSRC]++
	}
	return by
}

// telephone is what bob's telephone says, which knows PCMA and VP8.
func telephone(t testing.TB) *sdp.Description {
	return parse(t, "v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\nm=audio 5000 RTP/AVP 8 110\na=rtpmap:110 telephone-event/8000\n"+
		"m=video 5002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n")
}

// A browser calls a telephone: what it is answered, whom we believe, and that both streams of its bundle come out on the
// telephone's two ports, and back.
func TestBrowserCallsTelephone(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		b := l.browser(alice)
		p, v := l.phone(bob, 5000), (*phone)(nil)
		v = l.phoneOn(p.host, 5002)
		x := l.session(SessionConfig{Peer: alice})
		y := l.session(SessionConfig{Peer: bob})
		offer := b.describe("actpass")
		if err := x.RemoteOffer(offer, alice); err != nil {
			t.Fatal(err)
		}
		toPhone, err := y.Offer(offer)
		if err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{"ice-", "fingerprint", "SAVP", "rtx", "extmap", "ssrc", "mid:", "BUNDLE", "msid"} {
			if strings.Contains(toPhone.String(), gone) {
				t.Errorf("the telephone is told %q:\n%s", gone, toPhone)
			}
		}
		said := telephone(t)
		if err := y.RemoteAnswer(said, bob); err != nil {
			t.Fatal(err)
		}
		answer, err := x.Answer(said)
		if err != nil {
			t.Fatal(err)
		}
		answer = wire(t, answer)
		Bridge(x, y)
		for _, there := range []string{"a=group:BUNDLE 0 1", "a=ice-lite", "a=setup:active", "UDP/TLS/RTP/SAVPF 8 110", "a=mid:0", "a=mid:1", "a=rtcp-mux", "a=end-of-candidates"} {
			if !strings.Contains(answer.String(), there) {
				t.Errorf("the browser is not told %q:\n%s", there, answer)
			}
		}
		if answer.Media[0].Port != answer.Media[1].Port {
			t.Errorf("two ports in a bundle:\n%s", answer)
		}
		b.told(answer)

		b.shakes(false, answer)
		b.check(true, "wrong"+b.theirs.Pwd)
		wait(100 * time.Millisecond)
		if b.replies != 0 && x.Stats()[0].Remote.IsValid() {
			t.Error("a check with the wrong password is believed")
		}
		b.check(true, b.theirs.Pwd)
		wait(2 * time.Second)
		if b.failed != nil || b.out == nil {
			t.Fatalf("no handshake: %v\n%s", b.failed, x)
		}
		// A stranger at our port is not heard, whatever it sends.
		stranger := l.phone(mallory, 666)
		for _, junk := range [][]byte{packet(1, 1), {22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, senderReport(1, 1), make([]byte, 100)} {
			stranger.send(junk, b.to)
		}
		b.speak(8, 11, 1000, 20)
		b.speak(96, 22, 2000, 20)
		wait(100 * time.Millisecond)
		audio, _ := p.heard()
		video, _ := v.heard()
		if len(audio) != 20 || len(video) != 20 {
			t.Errorf("%d packets of audio and %d of video reached the telephone, of 20", len(audio), len(video))
		}
		streams := y.Streams()
		p.talk(netip.AddrPortFrom(exchange4, streams[0].local().Port()), 5, 1, 10)
		v.talk(netip.AddrPortFrom(exchange4, streams[1].local().Port()), 6, 1, 10)
		wait(100 * time.Millisecond)
		by := b.sources()
		if by[5] != 10 || by[6] != 10 {
			t.Errorf("the browser heard %v, want 10 of SSRC 5 and 6", by)
		}
		if st := x.Stats(); st[0].Crypto != DTLS || st[0].Foreign == 0 || st[1].PacketsIn != 20 {
			t.Errorf("%+v", st)
		}
		if got, _ := stranger.heard(); len(got) != 0 {
			t.Errorf("the stranger got %d packets", len(got))
		}
		// RFC 7675: it has stopped checking; after 30 s nothing goes to it.
		wait(40 * time.Second)
		before := len(b.heard)
		p.talk(netip.AddrPortFrom(exchange4, streams[0].local().Port()), 5, 50, 5)
		wait(100 * time.Millisecond)
		if len(b.heard) != before {
			t.Error("sent without consent")
		}
	})
}

// A telephone calls a browser: sound and pictures are offered on one transport, and both go through it.
func TestTelephoneCallsBrowser(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		p := l.phone(bob, 5000)
		v := l.phoneOn(p.host, 5002)
		b := l.browser(alice)
		x := l.session(SessionConfig{Peer: bob})
		y := l.session(SessionConfig{Peer: alice, Terms: Terms{Browser: true}})
		asked := telephone(t)
		if err := x.RemoteOffer(asked, bob); err != nil {
			t.Fatal(err)
		}
		offer, err := y.Offer(asked)
		if err != nil {
			t.Fatal(err)
		}
		offer = wire(t, offer)
		if !strings.Contains(offer.String(), "a=group:BUNDLE 0 1\r\n") {
			t.Errorf("no bundle is offered:\n%s", offer)
		}
		audio, video := &offer.Media[0], &offer.Media[1]
		for _, name := range []string{"ice-ufrag", "ice-pwd", "candidate", "fingerprint", "setup"} {
			if _, found := audio.Attribute(name); !found {
				t.Errorf("the stream that carries the bundle has no %s:\n%s", name, offer)
			}
			if _, found := video.Attribute(name); found {
				t.Errorf("the stream that is carried has a %s of its own:\n%s", name, offer)
			}
		}
		// Interop: Chromium refuses a bundle in which one stream does not say so, RFC 9143 §9.3.1.1 notwithstanding.
		if !audio.RTCPMux() || !video.RTCPMux() {
			t.Errorf("RTCP has a port of its own:\n%s", offer)
		}
		if _, only := video.Attribute("bundle-only"); !only || video.Port != 0 || audio.Port == 0 {
			t.Errorf("ports %d and %d, bundle-only: %t", audio.Port, video.Port, only)
		}

		said := b.describe("active")
		said.Media[1].RemoveAttributes("ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup") // as Chromium does
		said.Media[0].Formats, said.Media[1].Formats = []string{"8", "110"}, []string{"96"}
		if err := y.RemoteAnswer(said, alice); err != nil {
			t.Fatal(err)
		}
		answer, err := x.Answer(said)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Media[1].Port == 0 || strings.Contains(answer.String(), "BUNDLE") {
			t.Errorf("the telephone is answered\n%s", answer)
		}
		Bridge(x, y)
		b.told(offer)
		b.shakes(true, offer)
		b.check(true, b.theirs.Pwd)
		wait(2 * time.Second)
		if b.failed != nil || b.out == nil {
			t.Fatalf("no handshake: %v\n%s", b.failed, y)
		}
		b.speak(8, 11, 1000, 20)
		b.speak(96, 22, 2000, 20)
		wait(100 * time.Millisecond)
		sound, _ := p.heard()
		pictures, _ := v.heard()
		if len(sound) != 20 || len(pictures) != 20 {
			t.Errorf("%d packets of audio and %d of video reached the telephone, of 20", len(sound), len(pictures))
		}
		p.talk(answer.Address(0), 5, 1, 10)
		v.talk(answer.Address(1), 6, 1, 10)
		wait(100 * time.Millisecond)
		by := b.sources()
		if by[5] != 10 || by[6] != 10 {
			t.Errorf("the browser heard %v, want 10 of SSRC 5 and 6", by)
		}

		// RFC 9143 §7.4: what shares a port says so from then on.
		again, err := y.Offer(asked)
		if err != nil {
			t.Fatal(err)
		}
		if again.Media[0].Port != again.Media[1].Port || !strings.Contains(again.String(), "a=group:BUNDLE 0 1\r\n") || strings.Contains(again.String(), "bundle-only") {
			t.Errorf("the next offer:\n%s", again)
		}
	})
}

// A browser that bundles at any price (max-bundle) offers its second stream with port 0 and nothing of its transport.
func TestBundleOnly(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		b := l.browser(alice)
		x, y := l.session(SessionConfig{Peer: alice}), l.session(SessionConfig{Peer: bob})
		offer := b.describe("actpass")
		offer.Media[1].Port = 0
		offer.Media[1].RemoveAttributes("ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup", "rtcp-mux")
		offer.Media[1].SetAttribute("bundle-only", "")
		offer = wire(t, offer)
		if err := x.RemoteOffer(offer, alice); err != nil {
			t.Fatal(err)
		}
		toPhone, err := y.Offer(offer)
		if err != nil {
			t.Fatal(err)
		}
		if toPhone.Media[1].Port == 0 || toPhone.Media[1].Port == toPhone.Media[0].Port || strings.Contains(toPhone.String(), "bundle-only") {
			t.Errorf("the telephone is told\n%s", toPhone)
		}
		answer, err := x.Answer(parse(t, "v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\nm=audio 5000 RTP/AVP 8\n"+
			"m=video 5002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n"))
		if err != nil {
			t.Fatal(err)
		}
		if answer.Media[0].Port == 0 || answer.Media[0].Port != answer.Media[1].Port || answer.Media[1].Proto != "UDP/TLS/RTP/SAVPF" ||
			!strings.Contains(answer.String(), "a=group:BUNDLE 0 1") {
			t.Errorf("the browser is answered\n%s", answer)
		}
	})
}

// Streams that nothing but their port tells apart keep a port each (RFC 9143 §9.1).
func TestNoBundleOfLikePayloadTypes(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		y := l.session(SessionConfig{Peer: alice, Terms: Terms{Browser: true}})
		offer, err := y.Offer(parse(t, "v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\nm=audio 5000 RTP/AVP 8 96\na=rtpmap:96 telephone-event/8000\n"+
			"m=video 5002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n"))
		if err != nil {
			t.Fatal(err)
		}
		if offer.Media[0].Port == offer.Media[1].Port || offer.Media[1].Port == 0 || strings.Contains(offer.String(), "BUNDLE 0 1") {
			t.Errorf("payload type 96 twice in one bundle:\n%s", offer)
		}
		for i := range offer.Media {
			if _, found := offer.Media[i].Attribute("ice-ufrag"); !found {
				t.Errorf("m-line %d has no ICE:\n%s", i, offer)
			}
		}
	})
}

// A certificate that the signalling has not named ends the call.
func TestWrongFingerprintIsAFault(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		b := l.browser(alice)
		var mu sync.Mutex
		var fault error
		x := l.session(SessionConfig{Peer: alice, OnFault: func(err error) { mu.Lock(); fault = err; mu.Unlock() }})
		offer := b.describe("actpass")
		other, err := dtls.NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		for i := range offer.Media {
			offer.Media[i].SetAttribute("fingerprint", other.Fingerprint().String())
		}
		if err := x.RemoteOffer(offer, alice); err != nil {
			t.Fatal(err)
		}
		answer, err := x.Answer(parse(t, "v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\nm=audio 5000 RTP/AVP 8\nm=video 0 RTP/AVP 96\n"))
		if err != nil {
			t.Fatal(err)
		}
		b.told(answer)
		b.shakes(false, answer)
		b.check(true, b.theirs.Pwd)
		wait(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if fault == nil || x.Streams()[0].rtp.cipher.Load() != nil {
			t.Errorf("fault %v, cipher %v", fault, x.Streams()[0].rtp.cipher.Load())
		}
	})
}

// A telephone begins its handshake when it has sent its answer, which may arrive later: that costs no second in which nothing
// is heard. Somebody else's hello in between does no harm.
func TestHandshakeBeforeTheAnswer(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		b, other := l.browser(bob), l.browser(mallory)
		x := l.session(SessionConfig{Peer: bob, Terms: Terms{Protection: Required, Keying: ByHandshake}})
		offer, err := x.Offer(describeAt(t, at("198.51.100.1:4000"), 1))
		if err != nil {
			t.Fatal(err)
		}
		b.to, other.to = offer.Address(0), offer.Address(0)
		other.shakes(true, offer)
		wait(10 * time.Millisecond)
		b.shakes(true, offer)
		wait(5 * time.Millisecond)
		if err := x.RemoteAnswer(parse(t, fmt.Sprintf("v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\n"+
			"m=audio 50000 UDP/TLS/RTP/SAVP 0\na=setup:active\na=fingerprint:%s\n", b.identity.Fingerprint())), bob); err != nil {
			t.Fatal(err)
		}
		wait(20 * time.Millisecond) // sooner than anything is repeated
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.failed != nil || b.out == nil || x.Streams()[0].rtp.cipher.Load() == nil {
			t.Errorf("no keys 20 ms after the answer: %v", b.failed)
		}
	})
}

// ICE restarts with new credentials, and the old address goes on until the new one is nominated.
func TestICERestart(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		b := l.browser(alice)
		x := l.session(SessionConfig{Peer: alice})
		said := parse(t, "v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\nm=audio 5000 RTP/AVP 8\nm=video 0 RTP/AVP 96\n")
		negotiate := func() *sdp.Description {
			if err := x.RemoteOffer(b.describe("actpass"), alice); err != nil {
				t.Fatal(err)
			}
			answer, err := x.Answer(said)
			if err != nil {
				t.Fatal(err)
			}
			b.told(answer)
			return answer
		}
		first := negotiate()
		b.shakes(false, first)
		b.check(true, b.theirs.Pwd)
		wait(2 * time.Second)
		before := b.theirs
		if again := negotiate(); b.theirs.Ufrag != before.Ufrag || again.Origin.SessVersion != first.Origin.SessVersion {
			t.Error("new credentials without a restart")
		}
		b.ufrag, b.pwd = "anew", "anotherPasswordOfEnough"
		negotiate()
		if b.theirs.Ufrag == before.Ufrag || !x.Stats()[0].Remote.IsValid() {
			t.Errorf("%+v then %+v, remote %v", before, b.theirs, x.Stats()[0].Remote)
		}
		b.check(true, b.theirs.Pwd)
		wait(time.Second)
		b.speak(8, 11, 1000, 5)
		wait(100 * time.Millisecond)
		if st := x.Stats()[0]; st.PacketsIn != 5 || st.Crypto != DTLS {
			t.Errorf("%+v: the handshake was not kept", st)
		}
	})
}

// Who sees a party anew asks it for a whole picture; requests pass by RTCP, or are told to the leg where the other party
// takes none.
func TestPicturesAreAskedFor(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		video := func(p *phone, feedback string) *sdp.Description {
			return parse(t, "v=0\no=phone 77 1 IN IP4 "+p.host.Addr().String()+"\ns=-\nc=IN IP4 "+p.host.Addr().String()+
				"\nt=0 0\nm=video "+p.number()+" RTP/AVP 96\na=rtpmap:96 VP8/90000\n"+feedback)
		}
		const pli = "a=rtcp-fb:96 nack pli\n"
		a, b, c := l.phone(alice, 4000), l.phone(bob, 5000), l.phone(mallory, 6000)
		x, y := l.call(a, b, video(a, pli), video(b, ""))
		a.talk(x.to, 7, 1, 5)
		b.talk(y.to, 8, 1, 5)
		a.heard()
		b.heard()
		asked := 0
		x.s.OnPicture(func() { asked++ })
		y.s.OnPicture(func() { t.Error("b's request cannot be passed on") })
		if x.s.RequestPicture() != true || y.s.RequestPicture() != false {
			t.Error("asked the one that does not take it")
		}
		wait(100 * time.Millisecond)
		if _, control := a.heard(); len(control) != 1 || !asksForPicture(control[0].Data) || rtp.CheckControl(control[0].Data) != nil {
			t.Errorf("a was sent %v", payloads(control))
		}
		request := func(ssrc, media uint32) []byte {
			r := rtp.Report{SSRC: ssrc}
			return rtp.PictureLossIndication(ssrc, media).Append(rtp.AppendCNAME(r.Append(nil), ssrc, "x"))
		}
		if err := a.rtcp.WriteTo(request(7, 8), above(x.to)); err != nil {
			t.Fatal(err)
		}
		if err := b.rtcp.WriteTo(request(8, 7), above(y.to)); err != nil {
			t.Fatal(err)
		}
		wait(100 * time.Millisecond)
		_, control := a.heard()
		if asked != 1 || len(control) != 1 || !asksForPicture(control[0].Data) {
			t.Errorf("asked %d times; a was sent %v", asked, payloads(control))
		}
		// c takes b's place: a must show itself anew.
		z := &leg{phone: c, s: l.session(SessionConfig{Peer: mallory})}
		z.says(video(c, pli), mallory)
		z.tell(video(a, pli))
		Bridge(z.s, x.s)
		wait(100 * time.Millisecond)
		if _, control := a.heard(); len(control) != 1 || !asksForPicture(control[0].Data) {
			t.Errorf("a was sent %v", payloads(control))
		}
	})
}
