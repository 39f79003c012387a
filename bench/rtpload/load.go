package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dialtone/internal/media/srtp"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

const (
	tick        = time.Millisecond
	ptime       = 20  // ticks
	payloadSize = 160 // of G.711
	remembered  = 256 // packets whose time of sending is kept
)

// party is one telephone.
type party struct {
	load   *load
	writer network.PacketWriter
	to     netip.AddrPort // the relay's
	index  int
	far    *party

	key, theirs []byte
	sender      *srtp.Sender
	receiver    *srtp.Receiver // the worker's
	sequence    uint16
	buffer      []byte

	mu   sync.Mutex
	sent [remembered]time.Time
}

// load is all of them, and what was counted.
type load struct {
	parties []*party

	mu       sync.Mutex
	counting bool
	sent     int
	received int
	strange  int // packets that nobody has sent, or not authentic
	delays   []time.Duration
}

func newLoad(parties int) *load { return &load{parties: make([]*party, 0, parties)} }

func (l *load) open(poller network.Poller, at netip.AddrPort, index int) (*party, error) {
	p := &party{load: l, index: index}
	w, err := poller.Open(at, p)
	if err != nil {
		return nil, err
	}
	p.writer = w
	if index%2 == 1 {
		p.far = l.parties[index-1]
		p.far.far = p
	}
	l.parties = append(l.parties, p)
	return p, nil
}

// talk lets everybody send for a while, a twentieth of them each millisecond.
func (l *load) talk(d time.Duration) {
	next := time.Now()
	for k := range int(d / tick) {
		for i := k % ptime; i < len(l.parties); i += ptime {
			l.parties[i].say()
		}
		next = next.Add(tick)
		time.Sleep(time.Until(next))
	}
}

// say sends a packet.
func (p *party) say() {
	now := time.Now()
	p.mu.Lock()
	p.sent[p.sequence%remembered] = now
	p.mu.Unlock()
	packet := rtp.Packet{SSRC: uint32(0x10000 + p.index), Sequence: p.sequence, Timestamp: uint32(p.sequence) * payloadSize}
	packet.Payload = payload(p.index)
	p.buffer = packet.Append(p.buffer[:0])
	p.sequence++
	if p.sender != nil {
		sealed, err := p.sender.Seal(p.buffer[:0], p.buffer)
		if err != nil {
			return
		}
		p.buffer = sealed
	}
	if p.writer.WriteTo(p.buffer, p.to) != nil {
		return
	}
	p.load.mu.Lock()
	if p.load.counting {
		p.load.sent++
	}
	p.load.mu.Unlock()
}

// silence is what everybody says: for a relay one thing costs what another does.
var silence = bytes.Repeat([]byte{0xff}, payloadSize)

func payload(int) []byte { return silence }

// HandlePackets implements network.PacketHandler.
func (p *party) HandlePackets(_ network.PacketWriter, ps []network.Packet) {
	now := time.Now()
	for i := range ps {
		data, ok := ps[i].Data, true
		if p.receiver != nil {
			var err error
			data, err = p.receiver.Open(data[:0], data)
			ok = err == nil
		}
		var packet rtp.Packet
		ok = ok && packet.Parse(data) == nil && packet.SSRC == uint32(0x10000+p.far.index) && len(packet.Payload) == payloadSize
		var sent time.Time
		if ok {
			p.far.mu.Lock()
			sent = p.far.sent[packet.Sequence%remembered]
			p.far.mu.Unlock()
		}
		p.load.count(ok, now.Sub(sent))
	}
}

func (l *load) count(ok bool, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.counting:
	case !ok:
		l.strange++
	default:
		l.received++
		l.delays = append(l.delays, delay)
	}
}

// begin counts from now on.
func (l *load) begin() {
	l.mu.Lock()
	l.counting = true
	l.mu.Unlock()
}

// usage is what a process has used so far.
type usage struct {
	processor time.Duration
	memory    int // KB, its share
}

// measure asks the system; without a process it is zero.
func measure(pid int) (u usage) {
	if pid == 0 {
		return u
	}
	dir := "/proc/" + strconv.Itoa(pid)
	if b, err := os.ReadFile(dir + "/stat"); err == nil {
		// proc(5): what follows the name in parentheses begins with field 3; 14 and 15 are ticks of user and system.
		if f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])); len(f) > 13 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			u.processor = time.Duration(user+system) * (time.Second / 100)
		}
	}
	if b, err := os.ReadFile(dir + "/smaps_rollup"); err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				u.memory, _ = strconv.Atoi(f[1])
			}
		}
	}
	return u
}

// print writes what bench/relay reads.
func (l *load) print(s *settings, took time.Duration, before, from, to usage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counting = false
	slices.Sort(l.delays)
	at := func(share float64) int64 {
		if len(l.delays) == 0 {
			return 0
		}
		return l.delays[int(share*float64(len(l.delays)-1))].Microseconds()
	}
	passed := 0 // parties whose packets the relay did not have to encrypt anew
	for _, p := range l.parties {
		if p.sender != nil && bytes.Equal(p.theirs, p.far.key) {
			passed++
		}
	}
	processor := to.processor - from.processor
	fmt.Printf("[%s] calls=%d srtp=%v, same key on both sides: %d of %d\n", s.label, s.calls, s.srtp, passed, len(l.parties))
	fmt.Printf("  rtp window %.1fs: sent=%d rcvd=%d loss=%.4f%% strange=%d\n", took.Seconds(), l.sent, l.received,
		100*float64(l.sent-l.received)/float64(max(l.sent, 1)), l.strange)
	fmt.Printf("  rtp latency p50=%d p90=%d p99=%d max=%d us\n", at(.5), at(.9), at(.99), at(1))
	fmt.Printf("  relay cpu=%.2fs = %.3f ms per 1000 pkts relayed; memory pss = %.1f KB/call\n", processor.Seconds(),
		processor.Seconds()*1e6/float64(max(l.received, 1)), float64(to.memory-before.memory)/float64(s.calls))
}
