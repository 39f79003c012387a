package interop

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/media"
	"dialtone/internal/network"
	"dialtone/internal/softphone"
)

// floodTime is how long the flood lasts: ten minutes in the long run, DIALTONE_FLOOD when that is set.
func floodTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("DIALTONE_FLOOD"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if long() {
		return 10 * time.Minute
	}
	return 7 * time.Second
}

// at is the machine's network as one of its loopback addresses sees it: a house with a NAT of its own.
type at struct {
	network.Network
	addr netip.Addr
}

func (a at) ListenPacket(addr netip.AddrPort, shared bool) (network.PacketConn, error) {
	return a.Network.ListenPacket(netip.AddrPortFrom(a.addr, addr.Port()), shared)
}

func (a at) NewPoller(workers int) (network.Poller, error) {
	p, err := a.Network.NewPoller(workers)
	return pollerAt{p, a.addr}, err
}

func (a at) LocalAddrFor(netip.Addr) (netip.Addr, error) { return a.addr, nil }

// pollerAt opens every socket at the address of its house, so that media comes from where the description says.
type pollerAt struct {
	network.Poller
	addr netip.Addr
}

func (p pollerAt) Open(addr netip.AddrPort, h network.PacketHandler) (network.PacketWriter, error) {
	return p.Poller.Open(netip.AddrPortFrom(p.addr, addr.Port()), h)
}

// flood is what strangers do to a server.
type flood struct {
	t      *testing.T
	server string
	over   context.Context
	busy   sync.WaitGroup
	sent   atomic.Int64
	closed atomic.Int64 // slow streams that the server has closed
	oldest atomic.Int64 // nanoseconds that one of those has lived
}

// datagrams sends what make writes from addresses that next gives, rate a second; an address is used for some seconds.
func (f *flood) datagrams(rate int, next func() netip.Addr, make func(from net.Addr) string) {
	f.busy.Go(func() {
		const tick = 5 * time.Millisecond
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for f.over.Err() == nil {
			c, err := (&net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(next(), 0))}).Dial("udp", f.server)
			if err != nil {
				f.t.Error(err)
				return
			}
			for until := time.Now().Add(5 * time.Second); time.Now().Before(until) && f.over.Err() == nil; <-ticker.C {
				for range max(1, rate*int(tick)/int(time.Second)) {
					if _, err := c.Write([]byte(make(c.LocalAddr()))); err == nil {
						f.sent.Add(1)
					}
				}
			}
			c.Close()
		}
	})
}

// streams holds n connections open, whose requests come a byte at a time.
func (f *flood) streams(n int, from netip.Addr) {
	for range n {
		f.busy.Go(func() {
			for f.over.Err() == nil {
				c, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: time.Second}).Dial("tcp", f.server)
				if err != nil {
					f.pause(time.Second)
					continue
				}
				began := time.Now()
				for f.over.Err() == nil {
					if _, err := c.Write([]byte("I")); err != nil {
						f.closed.Add(1)
						break
					}
					f.pause(500 * time.Millisecond)
				}
				if f.over.Err() == nil {
					for age := int64(time.Since(began)); ; {
						old := f.oldest.Load()
						if age <= old || f.oldest.CompareAndSwap(old, age) {
							break
						}
					}
				}
				c.Close()
			}
		})
	}
}

func (f *flood) pause(d time.Duration) {
	select {
	case <-f.over.Done():
	case <-time.After(d):
	}
}

// asStranger writes requests of somebody whom nobody knows.
func asStranger(method string) func(net.Addr) string {
	return func(from net.Addr) string {
		user := strconv.Itoa(1000 + mathrand.IntN(9000))
		return method + " sip:" + user + "@" + host + " SIP/2.0\r\nVia: SIP/2.0/UDP " + from.String() + ";branch=z9hG4bK" + rand.Text() +
			";rport\r\nMax-Forwards: 70\r\nFrom: <sip:" + user + "@" + host + ">;tag=" + rand.Text() + "\r\nTo: <sip:" + user + "@" + host +
			">\r\nCall-ID: " + rand.Text() + "\r\nCSeq: 1 " + method + "\r\nContact: <sip:" + user + "@" + from.String() +
			">\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
	}
}

func garbage(net.Addr) string {
	b := make([]byte, 20+mathrand.IntN(1200))
	_, _ = rand.Read(b)
	if mathrand.IntN(2) == 0 {
		copy(b, "INVITE sip:1 SIP/2.0\r\nVia: SIP/2.0/UDP 1;")
	}
	return string(b)
}

// memory is what a server holds, in MiB.
type memory struct {
	resident int
	anon     int // of it, what is no file
	heap     int // in use, whether its pages have been touched or not
	apart    int // of anon, what Go needs beside the heap: stacks, the collector's books
}

func (x *server) held() (m memory) {
	x.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.cmd.Process.Pid))
	if err != nil {
		x.t.Fatal(err)
	}
	for name, value := range map[string]*int{"VmRSS:": &m.resident, "RssAnon:": &m.anon} {
		_, rest, _ := strings.Cut(string(text), name)
		if *value, err = strconv.Atoi(strings.Fields(rest)[0]); err != nil {
			x.t.Fatal(err)
		}
		*value >>= 10
	}
	m.heap = int(x.metric("go_memstats_heap_inuse_bytes")) >> 20
	for _, part := range []string{"stack", "gc", "mspan", "mcache", "buck_hash", "other"} {
		m.apart += int(x.metric("go_memstats_" + part + "_sys_bytes"))
	}
	m.apart >>= 20
	return m
}

// whole is what would be resident if all that is in use had been touched: tables of a fixed size get their pages from the
// system one by one.
func (m memory) whole() int { return m.resident + max(0, m.heap-(m.anon-m.apart)) }

// houses is an office whose phones stand behind a few addresses.
type houses struct {
	t      *testing.T
	phones []*softphone.Phone
	calls  atomic.Int64
	silent atomic.Int64 // calls in which the caller did not hear the other party
	mu     sync.Mutex
	failed []string
}

const phonesOfAHouse = 20

func house(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + i/phonesOfAHouse)}) }

// open makes n phones and registers them.
func (h *houses) open(x *server, n int) {
	h.t.Helper()
	real := network.NewOS(network.OSConfig{})
	first := freePorts(h.t, 800)
	var engine *media.Engine
	for i := range n {
		here := at{real, house(i)}
		if i%phonesOfAHouse == 0 {
			var err error
			engine, err = media.New(media.Config{Network: here, Workers: 1, Ports: media.PortRange{Min: uint16(first), Max: uint16(first + 799)}})
			if err != nil {
				h.t.Fatal(err)
			}
			h.t.Cleanup(func() { _ = engine.Close() })
		}
		number := strconv.Itoa(200 + i)
		p, err := softphone.New(softphone.Config{Network: here, Server: fmt.Sprintf("%s:%d", host, x.sip), User: number,
			Password: "secret-of-" + number, Media: engine, Expires: 2 * time.Minute,
			Answer: func(softphone.Incoming) softphone.Decision { return softphone.Decision{} }})
		if err != nil {
			h.t.Fatal(err)
		}
		if err := p.Open(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
		h.phones = append(h.phones, p)
	}
	var all sync.WaitGroup
	h.t.Cleanup(func() {
		for _, p := range h.phones {
			all.Go(p.Close)
		}
		all.Wait()
	})
	for _, p := range h.phones {
		all.Go(func() {
			if err := p.Register(h.t.Context()); err != nil {
				h.t.Error(err)
			}
		})
	}
	all.Wait()
	x.registered(n)
}

// call lets a phone call the one half the office away and talk for a second. It reports whether all was well, and notes
// what was not.
func (h *houses) call(i int) bool {
	h.calls.Add(1)
	to := (i + len(h.phones)/2) % len(h.phones)
	o, err := h.phones[i].Call(h.t.Context(), strconv.Itoa(200+to), softphone.Talk{Duration: time.Second})
	if err == nil && o.Status() == 200 {
		if !slices.ContainsFunc(o.TonesHz, func(hz int) bool { return hz > 435 && hz < 445 }) {
			h.silent.Add(1) // also when the phones get too little of the processors that they share with the flood
		}
		return true
	}
	h.mu.Lock()
	h.failed = append(h.failed, fmt.Sprintf("%d to %d: %v, %v", 200+i, 200+to, err, o.Cause))
	h.mu.Unlock()
	return false
}

// keepCalling begins a call every interval until over ends, and waits for the last.
func (h *houses) keepCalling(over context.Context, interval time.Duration) {
	var busy sync.WaitGroup
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	// Half of the phones call and half are called, so that nobody is asked for two calls at a time.
	for i := 0; over.Err() == nil; i = (i + 1) % (len(h.phones) / 2) {
		busy.Go(func() { h.call(i) })
		select {
		case <-ticker.C:
		case <-over.Done():
		}
	}
	busy.Wait()
}

// visit lets n strangers look in, each from another address.
func visit(t *testing.T, x *server, n int) {
	t.Helper()
	to := netip.AddrPortFrom(netip.MustParseAddr(host), uint16(x.sip))
	for i := range n {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 32, byte(i >> 8), byte(i)}), 0)
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("\r\n\r\n"))
		c.Close()
	}
}

// begin starts all that there is: requests and garbage from ever new addresses, requests from behind the address of good
// phones, and streams that hold on.
func (f *flood) begin() {
	anew := func() netip.Addr {
		return netip.AddrFrom4([4]byte{127, byte(64 + mathrand.IntN(64)), byte(mathrand.IntN(256)), byte(1 + mathrand.IntN(254))})
	}
	for range 4 {
		for _, method := range []string{"REGISTER", "INVITE", "SUBSCRIBE"} {
			f.datagrams(200, anew, asStranger(method))
		}
		f.datagrams(200, anew, garbage)
	}
	f.datagrams(200, func() netip.Addr { return house(0) }, asStranger("INVITE"))
	f.datagrams(200, func() netip.Addr { return house(0) }, asStranger("REGISTER"))
	for i := range 4 {
		f.streams(50, netip.AddrFrom4([4]byte{127, 9, 0, byte(1 + i)}))
	}
}

// TestFlood: strangers from ever new addresses, and one behind the address of good phones, send all that there is to
// send; meanwhile 200 phones go on calling each other.
func TestFlood(t *testing.T) {
	d := floodTime(t)
	const phones = 200
	var lines strings.Builder
	for i := range phones {
		lines.WriteString(registering(strconv.Itoa(200 + i)))
	}
	x := serve(t, setup{site: site(lines.String()), ports: 1200, guard: "trusted = []"})
	h := &houses{t: t}
	h.open(x, phones)
	// What is kept of sources, nonces and messages is kept in tables of a fixed size. They are filled once before memory is
	// looked at.
	visit(t, x, 20_000)
	warm, cold := context.WithTimeout(t.Context(), 3*time.Second)
	f := &flood{t: t, server: net.JoinHostPort(host, strconv.Itoa(x.sip)), over: warm}
	f.begin()
	h.keepCalling(warm, 100*time.Millisecond)
	f.busy.Wait()
	cold()
	x.idle()
	before := x.held()

	over, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	f = &flood{t: t, server: f.server, over: over}
	f.begin()
	h.keepCalling(over, 100*time.Millisecond)
	f.busy.Wait()
	ended := time.Now()
	high := x.held()

	calls := h.calls.Load()
	if ok, took := h.call(0), time.Since(ended); !ok || took > 5*time.Second {
		t.Errorf("the first call after the flood took %v", took)
	}
	t.Logf("%v: %d datagrams of strangers, %d slow streams closed, the oldest after %v; %d calls, %d failed, %d silent; refused at the door: %.0f",
		d, f.sent.Load(), f.closed.Load(), time.Duration(f.oldest.Load()).Round(time.Millisecond), calls, len(h.failed), h.silent.Load(), x.metric("dialtone_guard_blocked_total"))
	if len(h.failed)*100 > int(calls) {
		t.Errorf("%d of %d calls failed:\n%s", len(h.failed), calls, strings.Join(h.failed[:min(len(h.failed), 20)], "\n"))
	}
	if silent := h.silent.Load(); silent*20 > calls {
		t.Errorf("%d of %d calls were silent", silent, calls)
	}
	if life := time.Duration(f.oldest.Load()); f.closed.Load() == 0 || life > 30*time.Second {
		t.Errorf("%d slow streams were closed, one lived for %v", f.closed.Load(), life)
	}
	if n := x.metric("dialtone_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
	t.Logf("memory: %+v MiB before, %+v at the end of the flood", before, high)
	if high.resident > before.whole()+100 {
		t.Errorf("memory grew from %+v to %+v MiB", before, high)
	}
	if d < time.Minute {
		return // what lingers after a request does so for half a minute
	}
	// Looking at the metrics costs memory, too: until it is time only the system is asked.
	for x.memory()>>20 > before.whole()*11/10 {
		if time.Since(ended) > 90*time.Second {
			t.Errorf("memory: %+v MiB before, still %+v", before, x.held())
			break
		}
		time.Sleep(time.Second)
	}
	t.Logf("memory: %+v MiB after %v", x.held(), time.Since(ended).Round(time.Second))
}
