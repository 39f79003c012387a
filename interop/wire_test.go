package interop

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"dialtone/internal/quality/listen"
	"dialtone/internal/rtp"
)

// wire is what a capture holds of the media.
type wire struct {
	x        *server
	file     string
	sent     map[int][]seen   // by port of a party: what it sent
	received map[int][]seen   // and what the server sent to it
	control  map[int][][]byte // RTCP that the server sent to it
}

// seen is an RTP packet of a capture.
type seen struct {
	rtp.Packet
	at time.Time
}

// wire reads the RTP packets of a capture, in the order in which they were seen.
func (x *server) wire(file string) *wire {
	x.t.Helper()
	w := &wire{x: x, file: file, sent: map[int][]seen{}, received: map[int][]seen{}, control: map[int][][]byte{}}
	ours := func(port int) bool { return port >= x.rtp[0] && port <= x.rtp[1] }
	for _, line := range judge(x.t, file, fmt.Sprintf("udp.port >= %d && udp.port <= %d", x.rtp[0], x.rtp[1]), x.sip,
		"frame.time_epoch", "udp.srcport", "udp.dstport", "udp.payload") {
		var at float64
		var from, to int
		var text string
		if _, err := fmt.Sscan(line, &at, &from, &to, &text); err != nil {
			continue // without payload
		}
		b, err := hex.DecodeString(text)
		if err != nil {
			x.t.Fatalf("%q: %v", line, err)
		}
		if kind := rtp.Classify(b); kind == rtp.RTCP && ours(from) {
			w.control[to] = append(w.control[to], b)
			continue
		} else if kind != rtp.RTP {
			continue
		}
		p := seen{at: time.UnixMicro(int64(at * 1e6))}
		if err := p.Parse(b); err != nil {
			x.t.Errorf("from %d to %d: %v", from, to, err)
			continue
		}
		if ours(from) {
			w.received[to] = append(w.received[to], p)
		} else {
			w.sent[from] = append(w.sent[from], p)
		}
	}
	return w
}

// of are the packets of a phone's call: all that it sent, or got, from the ports for its media.
func of[T any](all map[int][]T, p *phone) (list []T) {
	for port := p.media; port < p.media+rtpPorts; port++ {
		list = append(list, all[port]...)
	}
	return list
}

// private checks that what the server sends to a phone is encrypted, or is not. Encrypted bytes are all alike; those of a
// codec are not, and least of all the first of a packet of Opus. What the phone sends is its own matter: baresip begins in
// clear until its handshake is over, and is not heard so long.
func (w *wire) private(t *testing.T, p *phone, want bool) {
	t.Helper()
	var counts [256]float64
	n := 0.0
	list := of(w.received, p)
	for _, packet := range list {
		for _, b := range packet.Payload {
			counts[b]++
			n++
		}
	}
	unlike := 0.0 // chi squared over its degrees of freedom: 1 for what is all alike
	for _, c := range counts {
		unlike += (c - n/256) * (c - n/256) / (n / 256) / 255
	}
	if len(list) < 200 || want != (unlike < 1.6) {
		t.Errorf("%s gets %d packets, whose bytes are unlike by %.1f; encrypted is to be %v", p.name, len(list), unlike, want)
	}
}

// relayed checks that one phone got byte for byte what the other one sent.
func (w *wire) relayed(t *testing.T, from, to *phone) {
	t.Helper()
	payloads := func(list []seen) (all [][]byte) {
		for _, p := range list {
			all = append(all, p.Payload)
		}
		return all
	}
	sent, received := payloads(of(w.sent, from)), payloads(of(w.received, to))
	// The first may have been sent before the other side was known, the last after it had hung up.
	if len(received) == 0 || len(sent)-len(received) > 10 {
		t.Errorf("of %d packets of %s, %d arrived", len(sent), from.name, len(received))
		return
	}
	at := 0
	for skipped := range 10 {
		from := sent[min(skipped, len(sent)):]
		if at = listen.Identical(from[:min(len(from), len(received))], received); at < 0 {
			return
		}
	}
	t.Errorf("from %s to %s: packet %d of %d is another", from.name, to.name, at, len(received))
}

// reports checks that a phone gets RTCP: compounds that can be read, or SRTCP, which says in its last word, before the tag or
// behind it, that it is encrypted (RFC 3711 §3.4, RFC 7714 §9.2).
func (w *wire) reports(t *testing.T, p *phone, encrypted bool) {
	t.Helper()
	list := of(w.control, p)
	if len(list) == 0 {
		t.Errorf("%s gets no RTCP", p.name)
	}
	for _, b := range list {
		if !encrypted {
			for rest := b; len(rest) > 0; {
				var err error
				if _, rest, err = rtp.NextControl(rest); err != nil {
					t.Errorf("%s gets %x: %v", p.name, b, err)
					break
				}
			}
			continue
		}
		const tag, index = 10, 4 // bytes
		if n := len(b); n < 8+tag+index || b[n-index]&0x80 == 0 && b[n-tag-index]&0x80 == 0 {
			t.Errorf("%s gets %x, which is not encrypted", p.name, b)
		}
	}
}

// sound lets tshark judge what we have sent: all signalling, and the media of the phones that take it in clear. Of SRTCP it
// reads what it cannot understand.
func (w *wire) sound(t *testing.T, list []*match) {
	t.Helper()
	clear, sdes := []string{fmt.Sprintf("udp.srcport == %d", w.x.sip)}, false
	for _, m := range list {
		for i, s := range m.sides() {
			sdes = sdes || s.crypto() == "sdes"
			if s.enc == "" {
				clear = append(clear, fmt.Sprintf("udp.dstport >= %d && udp.dstport < %d", m.phones[i].media, m.phones[i].media+rtpPorts))
			}
		}
	}
	judged := fmt.Sprintf("(udp.srcport >= %d && udp.srcport <= %d && (%s))", w.x.sip, w.x.rtp[1], strings.Join(clear, " || "))
	for _, bad := range []string{"_ws.malformed", "_ws.expert.severity == error"} {
		if found := judge(t, w.file, judged+" && ("+bad+")", w.x.sip); len(found) > 0 {
			t.Errorf("%s:\n%s", bad, strings.Join(found[:min(len(found), 20)], "\n"))
		}
	}
	if !sdes {
		return
	}
	// What tshark itself takes for SRTP, by the descriptions.
	if n := len(judge(t, w.file, fmt.Sprintf("udp.srcport >= %d && udp.srcport <= %d && srtp.enc_payload", w.x.rtp[0], w.x.rtp[1]), w.x.sip)); n < 200 {
		t.Errorf("tshark sees %d packets of SRTP", n)
	}
}
