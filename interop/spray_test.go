package interop

import (
	order "encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dialtone/internal/media/dtls"
	"dialtone/internal/media/tone"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// segment is a bridge in the namespace of the test, with hosts on it in namespaces of their own.
type segment struct {
	t      *testing.T
	bridge string
	here   netip.Addr // of the bridge: that of the server
	hosts  int
}

func newSegment(t *testing.T) *segment {
	t.Helper()
	n := os.Getpid() % 250
	s := &segment{t: t, bridge: fmt.Sprintf("dt%d", os.Getpid()), here: netip.AddrFrom4([4]byte{10, 98, byte(n), 1})}
	s.run("ip", "link", "add", s.bridge, "type", "bridge")
	t.Cleanup(func() { s.run("ip", "link", "delete", s.bridge) })
	s.run("ip", "addr", "add", s.here.String()+"/24", "dev", s.bridge)
	s.run("ip", "link", "set", s.bridge, "up")
	return s
}

func (s *segment) run(args ...string) string {
	s.t.Helper()
	out, err := privileged(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// machine is a host on a segment.
type machine struct {
	s    *segment
	in   string // its network namespace
	addr netip.Addr
}

// machine adds a host, which counts the UDP packets that come to it from the server.
func (s *segment) machine() *machine {
	s.t.Helper()
	s.hosts++
	here := s.here.As4()
	here[3] += byte(10 * s.hosts)
	m := &machine{s: s, in: fmt.Sprintf("%s-%d", s.bridge, s.hosts), addr: netip.AddrFrom4(here)}
	outer := fmt.Sprintf("%sv%d", s.bridge, s.hosts)
	s.run("ip", "netns", "add", m.in)
	s.t.Cleanup(func() { s.run("ip", "netns", "delete", m.in) })
	s.run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", m.in)
	s.run("ip", "link", "set", outer, "master", s.bridge, "up")
	s.run("ip", "-n", m.in, "addr", "add", m.addr.String()+"/24", "dev", "eth0")
	s.run("ip", "-n", m.in, "link", "set", "eth0", "up")
	s.run("ip", "-n", m.in, "link", "set", "lo", "up")
	s.run("ip", "netns", "exec", m.in, "nft", fmt.Sprintf("table inet seen { counter datagrams { }; counter errors { }; "+
		"chain in { type filter hook prerouting priority -300; ip saddr %[1]s ip protocol udp counter name datagrams; ip saddr %[1]s ip protocol icmp counter name errors; }; }", s.here))
	return m
}

var packetsSeen = regexp.MustCompile(`packets (\d+)`)

// seen is how many packets of a kind, UDP datagrams or ICMP errors, the server's host has sent to this one.
func (m *machine) seen(kind string) int {
	m.s.t.Helper()
	found := packetsSeen.FindStringSubmatch(m.s.run("ip", "netns", "exec", m.in, "nft", "list", "counter", "inet", "seen", kind))
	if found == nil {
		m.s.t.Fatalf("no counter of %s", kind)
	}
	n, _ := strconv.Atoi(found[1]) // digits
	return n
}

// socket opens a UDP socket on the machine: it stays in the namespace in which it was made.
func (m *machine) socket() *net.UDPConn {
	m.s.t.Helper()
	// The thread comes back: with it would end what it has started (Pdeathsig).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	open := func(namespace string) *os.File {
		f, err := os.Open(namespace)
		if err != nil {
			m.s.t.Fatal(err)
		}
		return f
	}
	home, away := open("/proc/thread-self/ns/net"), open("/run/netns/"+m.in)
	defer home.Close()
	defer away.Close()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		m.s.t.Fatal(err)
	}
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil || err != nil {
		m.s.t.Fatal(back, err)
	}
	m.s.t.Cleanup(func() { c.Close() })
	return c
}

// hellos are first flights of DTLS clients: of a real one, the same in fragments, and one that offers no encryption.
func hellos(t *testing.T) (all [][]byte) {
	t.Helper()
	identity, err := dtls.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, mtu := range []int{0, 200} {
		sent := make(chan []byte, 16)
		h, err := dtls.Start(dtls.Config{Identity: identity, Client: true, Fingerprints: []sdp.Fingerprint{identity.Fingerprint()}, MTU: mtu,
			Send: func(b []byte) {
				select {
				case sent <- append([]byte(nil), b...):
				default:
				}
			}}, func(dtls.Keys, error) {})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, <-sent)
		h.Close()
		for len(sent) > 0 {
			all = append(all, <-sent)
		}
	}
	// TLS_RSA_WITH_NULL_SHA and TLS_ECDHE_ECDSA_WITH_NULL_SHA
	body := append([]byte{254, 253}, make([]byte, 32)...)
	body = append(body, 0, 0, 0, 4, 0x00, 0x02, 0xc0, 0x06, 1, 0)
	message := append([]byte{1, 0, 0, byte(len(body)), 0, 0, 0, 0, 0, 0, 0, byte(len(body))}, body...)
	all = append(all, append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(message))}, message...))
	return append(all, []byte{21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40}, []byte{20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1})
}

// stunRequest is a Binding request, with a user name when there is one and then with a signature by guess.
func stunRequest(random *rand.Rand, username string) []byte {
	b := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}
	for range 12 {
		b = append(b, byte(random.Uint32()))
	}
	attribute := func(kind uint16, value []byte) {
		b = order.BigEndian.AppendUint16(b, kind)
		b = order.BigEndian.AppendUint16(b, uint16(len(value)))
		b = append(b, value...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		order.BigEndian.PutUint16(b[2:], uint16(len(b)-20))
	}
	if username != "" {
		attribute(0x0006, []byte(username))
		attribute(0x0025, nil) // USE-CANDIDATE
		attribute(0x0008, make([]byte, 20))
	}
	attribute(0x8028, make([]byte, 4))
	order.BigEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-8])^0x5354554e)
	return b
}

// ammunition is what a third host shoots with.
func ammunition(t *testing.T) (all [][]byte) {
	random := rand.New(rand.NewPCG(1, 2))
	loud := make([]byte, 160)
	for i := range loud {
		loud[i] = byte(i / 4 * 0x55) // whatever it is, it would be heard
	}
	for _, pt := range []uint8{0, 8, 8, 9, 13, 96, 101, 111, 127} {
		for range 4 {
			p := rtp.Packet{PayloadType: pt, SSRC: random.Uint32(), Sequence: uint16(random.Uint32()), Timestamp: random.Uint32(), Payload: loud}
			all = append(all, p.Append(nil))
		}
	}
	lie := rtp.ReportBlock{SSRC: random.Uint32(), FractionLost: 255, CumulativeLost: -1 << 23, HighestSequence: 1<<32 - 1, Jitter: 1<<32 - 1}
	report := rtp.Report{SSRC: random.Uint32(), FromSender: true, Blocks: []rtp.ReportBlock{lie}}
	all = append(all, rtp.AppendCNAME(report.Append(nil), report.SSRC, "third"), rtp.Bye{SSRCs: []uint32{report.SSRC}}.Append(report.Append(nil)))
	for _, name := range []string{"", "a:b", "AAAAAAAA:BBBB", strings.Repeat("x", 200) + ":y"} {
		all = append(all, stunRequest(random, name))
	}
	all = append(all, hellos(t)...)
	all = append(all, []byte{0, 1, 4, 0xc0, 1, 0x80, 0, 0, 0}) // T.38: UDPTL with a preamble in it
	all = append(all, nil, []byte{0x80}, make([]byte, 9000))
	for range 10 {
		b := make([]byte, random.IntN(1400))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		all = append(all, b)
	}
	return all
}

// spray shoots at all ports of the server's media, four thousand packets a second, until it is ended, and tells how many.
func (m *machine) spray(x *server) (end func() uint64) {
	m.s.t.Helper()
	all := ammunition(m.s.t)
	var sockets []*net.UDPConn
	for range 8 {
		c := m.socket()
		sockets = append(sockets, c)
		go func() {
			b := make([]byte, 2048)
			for {
				n, from, err := c.ReadFromUDP(b)
				if from == nil {
					return
				}
				if err == nil {
					m.s.t.Errorf("the third host has heard %x from %v", b[:min(n, 32)], from)
				}
			}
		}()
	}
	var shots atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		random, port := rand.New(rand.NewPCG(3, 4)), x.rtp[0]
		to := m.s.here.AsSlice()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for range 40 {
				_, err := sockets[random.IntN(len(sockets))].WriteToUDP(all[random.IntN(len(all))], &net.UDPAddr{IP: to, Port: port})
				if err == nil {
					shots.Add(1)
				}
				if port++; port > x.rtp[1] {
					port = x.rtp[0]
				}
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return shots.Load()
	}
}

// hearsOnly asserts that what a phone heard is one tone without a hole, and nothing beside it.
func (p *phone) hearsOnly(hz float64) {
	p.t.Helper()
	const block = int(8000 * blockTime / time.Second)
	pcm := p.heard()
	var heard, disturbed, hole, longest int
	began := false
	for ; len(pcm) >= block; pcm = pcm[block:] {
		level := tone.Goertzel(pcm[:block], hz)
		if level <= audible {
			hole++
			continue
		}
		if began {
			longest = max(longest, hole)
		}
		began, hole = true, 0
		heard++
		power := 0.0
		for _, v := range pcm[:block] {
			power += float64(v) * float64(v)
		}
		if all := 10*math.Log10(power/float64(block)/(1<<30)*2) + 3.14; all > level+1.5 {
			disturbed++
		}
	}
	// Where it begins and ends, a block is half a tone.
	if longest > 2 || disturbed > 4 {
		p.t.Errorf("%s: %d blocks of %v Hz, %d with something beside it, the longest hole is %v", p.name, heard, hz, disturbed, time.Duration(longest)*blockTime)
	}
}

// worked is the processor time that a process has used.
func (p *process) worked() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	// proc(5): utime and stime are fields 14 and 15; the third follows the name in brackets. In hundredths of a second.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	total := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			p.t.Fatal(err)
		}
		total += n
	}
	return time.Duration(total) * 10 * time.Millisecond
}

// TestSprayFromAThirdHost: a third host sprays RTP, RTCP, checks, handshakes, T.38 and garbage at all media ports from before calls are set
// up until after their ends, through a hold. Calls in clear, with SDES and with DTLS go on as if nothing was; the third host hears
// nothing.
func TestSprayFromAThirdHost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it makes network namespaces: for root")
	}
	s := newSegment(t)
	hostA, hostB, hostC := s.machine(), s.machine(), s.machine()
	protected := func(number, keys string) string {
		return fmt.Sprintf("  - number: %[1]q\n    devices: [{username: %[1]q, password: secret-of-%[1]s, srtp: required, media: {keys: %[2]s}}]\n", number, keys)
	}
	x := serve(t, setup{at: s.here.String(), ports: 40, site: site(registering("101"), registering("102"),
		protected("103", "sdes"), protected("104", "sdes"), protected("105", "dtls"), protected("106", "dtls"))})
	var callers, called []*phone
	for i, encryption := range []string{"", "srtp-mand", "dtls_srtp"} {
		at := func(number int, m *machine, hz float64) *phone {
			return x.phone(phoneSetup{number: strconv.Itoa(number), transport: "udp", hz: hz, mediaenc: encryption, in: m.in, at: m.addr.String()})
		}
		callers = append(callers, at(101+2*i, hostA, toneA))
		called = append(called, at(102+2*i, hostB, toneB))
	}
	x.registered(6)
	began := time.Now()
	cpu, resident := x.worked(), x.memory()
	end := hostC.spray(x)
	time.Sleep(5 * time.Second)
	for i, a := range callers {
		a.tell("dial", fmt.Sprintf("sip:%d@%s", 102+2*i, x.at))
	}
	for i, a := range callers {
		a.expect("CALL_ESTABLISHED", 10*time.Second)
		called[i].expect("CALL_ESTABLISHED", 10*time.Second)
	}
	time.Sleep(5 * time.Second)
	for _, a := range callers {
		a.tell("hold", "")
	}
	time.Sleep(time.Second)
	for _, a := range callers {
		a.tell("resume", "")
	}
	time.Sleep(time.Second)
	for _, m := range []*machine{hostA, hostB} { // the voices of three parties, fifty packets a second
		before := m.seen("datagrams")
		time.Sleep(time.Second)
		if n := m.seen("datagrams") - before; n < 3*40 {
			t.Errorf("%v: %d packets a second after the hold", m.addr, n)
		}
	}
	if n := x.status().Calls; n != 3 {
		t.Errorf("%d calls are left of 3", n)
	}
	for i, a := range callers {
		disconnect(a, called[i])
	}
	wall := time.Since(began)
	used := x.worked() - cpu
	shots := end()
	x.idle()

	for i, a := range callers {
		a.hearsOnly(toneB)
		called[i].hearsOnly(toneA)
		a.hears(toneB, toneA, 7*time.Second/2)
		called[i].hears(toneA, toneB, 7*time.Second/2)
	}
	for _, r := range x.waitRecords(3) {
		if r.Answer == nil || r.Cause.SIP != 200 || string(r.Cause.Party) != "caller" {
			t.Errorf("call %s: answered at %v, cause %+v\n%s", r.CallID, r.Answer, r.Cause, x.run("trace", r.CallID))
		}
		for _, l := range r.Legs {
			want := map[string]string{"101": "", "102": "", "103": "sdes", "104": "sdes", "105": "dtls-srtp", "106": "dtls-srtp"}[*l.Device]
			if crypto := l.Crypto; want != "" && (crypto == nil || *crypto != want) {
				t.Errorf("leg of %s: crypto %v", *l.Device, crypto)
			}
		}
	}
	if n := hostC.seen("datagrams"); n != 0 {
		t.Errorf("%d packets came to the third host", n)
	}
	dropped := x.metric(`dialtone_rtp_dropped_total{reason="foreign"}`) + x.metric(`dialtone_rtp_dropped_total{reason="malformed"}`)
	if dropped < 100 {
		t.Errorf("%v packets are counted as dropped", dropped)
	}
	if used > wall/2 {
		t.Errorf("%v of processor time in %v", used, wall)
	}
	if now := x.memory(); now > resident+64<<20 {
		t.Errorf("%d MB of memory, %d before", now>>20, resident>>20)
	}
	t.Logf("%d packets at closed and open ports in %v, %v counted, %v of processor time, %d times told that a port is closed",
		shots, wall, dropped, used, hostC.seen("errors"))
}
