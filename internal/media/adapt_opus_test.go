//go:build opus && cgo

package media

import (
	"sync"
	"testing"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/quality/listen"
	"dialtone/internal/rtp"
)

// opusPackets is what is seen of the Opus packets on their way to a host.
type opusPackets struct {
	mu                    sync.Mutex
	packets, bytes, fixed int
}

// see counts a datagram. A packet of SILK, which is what speech is, has a flag that says whether the one before is in it once
// more (RFC 6716 §4.2.4: behind the flag of voice activity, at the front of the first frame).
func (o *opusPackets) see(data []byte) {
	var p rtp.Packet
	if rtp.Classify(data) != rtp.RTP || p.Parse(data) != nil || len(p.Payload) < 2 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.packets++
	o.bytes += len(p.Payload)
	if p.Payload[0]&0x80 == 0 && p.Payload[1]&0x40 != 0 {
		o.fixed++
	}
}

// read is the mean bit rate and the share of packets with error correction since it was read last.
func (o *opusPackets) read() (bitrate, fec float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.packets == 0 {
		return 0, 0
	}
	bitrate, fec = float64(o.bytes*8*framesPerSecond)/float64(o.packets), float64(o.fixed)/float64(o.packets)
	o.packets, o.bytes, o.fixed = 0, 0, 0
	return bitrate, fec
}

// A party that loses packets, and says so, is sent less, with each packet once more in the next one.
func TestOpusFollowsALossyParty(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		x := l.endpoint(alice, Terms{}, Terms{}, "PCMA")
		y := l.endpoint(bob, Terms{}, Terms{}, "opus")
		for i := range y.caps.Audio {
			y.caps.Audio[i].FMTP = "useinbandfec=1"
		}
		if err := l.meet(x, y); err != nil {
			t.Fatal(err)
		}
		y.sings(440) // and listens, and reports
		if _, err := x.s.Play(&Samples{PCM: listen.Speech(1, 8000, 3*time.Minute)}); err != nil {
			t.Fatal(err)
		}
		var seen opusPackets
		l.net.Tap(func(f network.Frame) {
			if f.To.Addr() == bob {
				seen.see(f.Data)
			}
		})
		wait(30 * time.Second)
		seen.read()
		wait(20 * time.Second)
		clean, fecClean := seen.read()

		from := l.host
		l.net.Link(from, y.host, network.Conditions{Loss: 0.2})
		wait(15 * time.Second)
		seen.read()
		wait(20 * time.Second)
		lossy, fecLossy := seen.read()
		l.net.Tap(nil)
		t.Logf("clean %.0f bit/s with %.0f %% of error correction, lossy %.0f bit/s with %.0f %%", clean, 100*fecClean, lossy, 100*fecLossy)
		if fecClean > 0.05 || fecLossy < 0.5 {
			t.Errorf("error correction in %.2f of the packets, then in %.2f", fecClean, fecLossy)
		}
		if lossy > 0.75*clean || lossy == 0 {
			t.Errorf("%.0f bit/s, then %.0f", clean, lossy)
		}
	})
}
