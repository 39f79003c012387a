package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"dialtone/internal/config"
	"dialtone/internal/digest"
	"dialtone/internal/sip"
)

// These benchmarks run the whole exchange on loopback, ladder and records on, with callers in the same process. Beside
// the wall clock they report the CPU time of the process for each unit, callers included: compare it from change to
// change, not with other programs.

// bench starts an exchange with these lines.
func bench(b *testing.B, site string) *Server {
	c := config.Default()
	c.Data = b.TempDir()
	loopback := netip.MustParseAddr("127.0.0.1")
	c.SIP.Listen = []config.SIPListener{{Transport: "udp", Addr: netip.AddrPortFrom(loopback, 0), Role: config.Exchange}}
	c.HTTP.Listen = nil
	c.RTP.Ports = config.PortRange{First: 42000, Last: 43999}
	s, err := New(b.Context(), Options{Config: c, Getenv: noEnv})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Apply(b.Context(), []byte(site)); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { stop(); done.Wait() })
	return s
}

// cpu is the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs unit and reports its processor time.
func measure(b *testing.B, unit func(n int)) {
	b.ReportAllocs()
	before, n := cpu(b), 0
	for b.Loop() {
		unit(n)
		n++
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(n), "cpu-µs/op")
}

// talker is a SIP party that is made of templates.
type talker struct {
	*net.UDPConn
	b   *testing.B
	buf [4096]byte
}

func newTalker(b *testing.B) *talker {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &talker{UDPConn: c, b: b}
}

// read returns the next message; it is valid until the one after.
func (t *talker) read(m *sip.Message) netip.AddrPort {
	t.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := t.ReadFromUDPAddrPort(t.buf[:])
	if err != nil {
		t.b.Fatal(err)
	}
	if err := m.Parse(t.buf[:n]); err != nil {
		t.b.Fatal(err)
	}
	return from
}

// final passes over provisional responses.
func (t *talker) final(m *sip.Message) {
	for t.read(m); m.Status() < 200; t.read(m) {
	}
}

func (t *talker) send(to netip.AddrPort, b *sip.Builder) {
	if _, err := t.WriteToUDPAddrPort(b.Append(nil), to); err != nil {
		t.b.Fatal(err)
	}
}

func description(port int) []byte {
	return fmt.Appendf(nil, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", port)
}

// callee answers whatever it is called, until its socket is closed.
func (t *talker) callee(offer []byte) {
	var m sip.Message
	var w sip.Builder
	var buf [4096]byte
	for {
		n, from, err := t.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			return
		}
		if m.Parse(buf[:n]) != nil || !m.IsRequest() || m.Method() == sip.ACK {
			continue
		}
		w.Response(&m, 200, "", "callee").Add(sip.HContact, "<sip:callee@", t.LocalAddr().String(), ">")
		if m.Method() == sip.INVITE {
			w.Body("application/sdp", offer)
		}
		if _, err := t.WriteToUDPAddrPort(w.Append(nil), from); err != nil {
			return
		}
	}
}

// BenchmarkCall is a call from INVITE to BYE between two devices that are known by address, media anchored.
func BenchmarkCall(b *testing.B) {
	callee, caller := newTalker(b), newTalker(b)
	s := bench(b, fmt.Sprintf(`
tenant: default
lines:
  - {number: caller, devices: [{username: caller, auth: static, from: [127.0.0.1/32], address: "sip:%s"}]}
  - {number: callee, devices: [{username: callee, auth: static, from: [127.0.0.2/32], address: "sip:%s"}]}
`, caller.LocalAddr(), callee.LocalAddr()))
	go callee.callee(description(50002))
	to := netip.MustParseAddrPort(s.SIPAddr())
	offer := description(50000)
	var m sip.Message
	request := func(method sip.Method, n int, seq uint32, toTag string) *sip.Builder {
		w := sip.NewRequest(method, "sip:callee@"+s.SIPAddr())
		w.Via(fmt.Sprintf("SIP/2.0/UDP %s;branch=z9hG4bK%d-%d-%s;rport", caller.LocalAddr(), n, seq, method))
		w.Add(sip.HFrom, "<sip:caller@127.0.0.1>;tag=caller").Add(sip.HTo, "<sip:callee@127.0.0.1>", toTag)
		return w.Add(sip.HCallID, fmt.Sprint("call-", n)).CSeq(seq).Add(sip.HContact, "<sip:caller@", caller.LocalAddr().String(), ">")
	}
	measure(b, func(n int) {
		caller.send(to, request(sip.INVITE, n, 1, "").Body("application/sdp", offer))
		caller.final(&m)
		if m.Status() != 200 {
			b.Fatalf("INVITE was answered %d", m.Status())
		}
		tag := ";tag=" + string(m.ToTag())
		caller.send(to, request(sip.ACK, n, 1, tag))
		caller.send(to, request(sip.BYE, n, 2, tag))
		for caller.final(&m); m.Method() != sip.BYE; caller.final(&m) {
		}
	})
}

// BenchmarkRegister is a registration with its challenge: two requests, two responses.
func BenchmarkRegister(b *testing.B) {
	s := bench(b, `
tenant: default
lines:
  - {number: "101", devices: [{username: "101", password: a-password-for-101}]}
`)
	phone := newTalker(b)
	to := netip.MustParseAddrPort(s.SIPAddr())
	account := digest.Client{Username: "101", Password: "a-password-for-101"}
	uri := "sip:" + s.SIPAddr()
	var m sip.Message
	send := func(n, seq int, credentials []byte) {
		w := sip.NewRequest(sip.REGISTER, uri)
		w.Via(fmt.Sprintf("SIP/2.0/UDP %s;branch=z9hG4bK%d;rport", phone.LocalAddr(), seq))
		w.Add(sip.HFrom, "<sip:101@127.0.0.1>;tag=a").Add(sip.HTo, "<sip:101@127.0.0.1>").Add(sip.HCallID, "phone")
		w.CSeq(uint32(seq)).Add(sip.HContact, "<sip:101@", phone.LocalAddr().String(), ">").AddUint(sip.HExpires, 600)
		if credentials != nil {
			w.AddBytes(sip.HAuthorization, credentials)
		}
		phone.send(to, w)
		phone.final(&m)
	}
	measure(b, func(n int) {
		send(n, 2*n+1, nil)
		challenge, _ := m.Header(sip.HWWWAuthenticate)
		c, err := digest.ParseChallenge(bytes.Clone(challenge))
		if err != nil {
			b.Fatalf("status %d: %v", m.Status(), err)
		}
		account.Forget()
		if err := account.Challenged([]digest.Challenge{c}); err != nil {
			b.Fatal(err)
		}
		send(n, 2*n+2, account.Append(nil, "REGISTER", uri))
		if m.Status() != 200 {
			b.Fatalf("REGISTER was answered %d", m.Status())
		}
		account.Accepted()
	})
}
