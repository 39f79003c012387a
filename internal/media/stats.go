package media

import (
	"net/netip"
	"time"

	"dialtone/internal/media/tone"
	"dialtone/internal/quality"
)

// StreamStats is the quality of one stream, both ways, as seen at our end of the leg. In is what the party sends.
type StreamStats struct {
	Kind        string         `json:"kind"`
	Codec       string         `json:"codec"`  // what the party speaks, else what it prefers; "" unknown
	Crypto      string         `json:"crypto"` // "", "sdes", "dtls-srtp"
	Suite       string         `json:"suite"`  // protection profile in force, by its name of RFC 4568
	Local       netip.AddrPort `json:"local"`
	Remote      netip.AddrPort `json:"remote"` // where packets for the party go; not valid when nowhere is known
	PacketsIn   uint64         `json:"packets_in"`
	PacketsOut  uint64         `json:"packets_out"`
	BytesIn     uint64         `json:"bytes_in"`
	BytesOut    uint64         `json:"bytes_out"`
	Lost        uint64         `json:"lost"`      // of the party's packets
	LossPct     float64        `json:"loss_pct"`  // 0 to 100
	Bursts      uint64         `json:"bursts"`    // of loss, RFC 3611 §4.7.2
	JitterMS    float64        `json:"jitter_ms"` // RFC 3550 A.8
	LossOutPct  float64        `json:"loss_out_pct"`
	JitterOutMS float64        `json:"jitter_out_ms"`
	RTTMS       float64        `json:"rtt_ms"` // of the leg; 0 unknown
	MOSIn       float64        `json:"mos_in"` // 0 unknown
	MOSOut      float64        `json:"mos_out"`
	Foreign     uint64         `json:"foreign"`     // dropped: not the party's
	Unauthentic uint64         `json:"unauthentic"` // dropped: encrypted with another key, altered or replayed
	Transcoded  string         `json:"transcoded"`  // what the party's voice is converted to, "opus -> PCMA"; "" it is passed as it is
	Fax         string         `json:"fax"`         // "CNG", "CED", "ANSam": a fax machine was heard; "" not
	// TranscodedWhy is the reason: "no codec in common".
	TranscodedWhy string    `json:"transcoded_why"`
	LastMedia     time.Time `json:"last_media"`
}

// Stats reads the statistics of all streams.
func (s *Session) Stats() []StreamStats {
	streams := s.Streams()
	if len(streams) == 0 && s.direct.Load() {
		return s.directStats()
	}
	list := make([]StreamStats, len(streams))
	for i, st := range streams {
		list[i] = st.stats()
	}
	return list
}

func (st *Stream) stats() StreamStats {
	x := StreamStats{
		Kind:    st.Kind(),
		Local:   st.local(),
		Foreign: st.rtp.foreign.Load() + st.control.foreign.Load(),

		Unauthentic: st.rtp.unauthentic.Load() + st.control.unauthentic.Load(),
	}
	if to := st.carrier().rtp.target.Load(); to != nil {
		x.Remote = *to
	}
	out := st.out.departed()
	x.PacketsOut, x.BytesOut = out.packets, out.bytes
	port := st.carrier().rtp
	port.mu.Lock()
	x.PacketsIn, x.BytesIn = st.in.tally.packets, st.in.tally.bytes
	in := st.in.totals()
	jitter, speech, known := st.in.receiver.Jitter(), st.in.speech, st.in.known
	burst := st.in.burst
	port.mu.Unlock()
	figures, packet := lossFigures(burst)
	x.Lost = in.Lost
	x.LossPct = percent(in.Lost, in.Received+in.Lost)
	x.JitterMS = milliseconds(jitter)
	codec, spoken := st.spoken(speech, known)
	x.Codec = codec.Name

	f := &st.feedback
	f.mu.Lock()
	x.RTTMS = milliseconds(f.rtt)
	x.LossOutPct = percent(uint64(f.before+f.lost), x.PacketsOut)
	if spoken {
		x.JitterOutMS = float64(f.jitter) * 1000 / float64(codec.ClockRate)
	}
	heard, view := f.blocks > 0, f.view
	f.mu.Unlock()
	if spoken && in.Received > 0 {
		x.MOSIn = score(codec, x.LossPct, x.RTTMS, x.JitterMS, burstRatio(figures, packet))
	}
	switch {
	case view != nil && view.mos > 0:
		x.MOSOut = view.mos
	case spoken && heard && x.PacketsOut > 0:
		x.MOSOut = score(codec, x.LossOutPct, x.RTTMS, x.JitterOutMS, view.burstRatio())
	}
	if last := st.last(); last > 0 {
		x.LastMedia = st.session.engine.epoch.Add(time.Duration(last))
	}
	if crypto := st.crypto.Load(); crypto != nil {
		x.Crypto = crypto.Method
	}
	if what := st.converted.Load(); what != nil {
		x.Transcoded, x.TranscodedWhy = what.codecs, what.reason
	}
	if kind := tone.Kind(st.fax.Load()); kind != tone.None {
		x.Fax = kind.String()
	}
	x.Bursts = figures.Bursts
	if c := st.carrier().rtp.cipher.Load(); c != nil {
		x.Suite = c.suite.Name
	}
	return x
}

// spoken is the codec of the stream: what the party speaks, else the first that it takes.
func (st *Stream) spoken(pt uint8, known bool) (payload, bool) {
	if known {
		return st.codec(pt)
	}
	for _, list := range []*[]payload{st.wanted.Load(), st.received.Load()} {
		if list == nil {
			continue
		}
		for _, p := range *list {
			if p.isSpeech() && p.ClockRate > 0 {
				return p, true
			}
		}
	}
	return payload{}, false
}

// score is the MOS of one direction of a leg. The delay is that of the leg with a packet and a jitter buffer of
// twice the jitter, which is what a telephone has at least.
func score(codec payload, lossPct, rttMS, jitterMS, bursts float64) float64 {
	delay := rttMS/2 + 2*jitterMS + 20
	return quality.MOS(codec.rated(), lossPct, delay, bursts)
}

// rated is what the E-model knows of the codec.
func (p payload) rated() quality.Codec { return quality.CodecAt(p.Name, int(p.ClockRate)) }

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return min(100, 100*float64(part)/float64(whole))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (s *Session) counters() Counters {
	var c Counters
	for _, st := range s.Streams() {
		in, out := st.arrived(), st.out.departed()
		c.PacketsIn += in.packets
		c.BytesIn += in.bytes
		c.PacketsOut += out.packets
		c.BytesOut += out.bytes
		c.ControlIn += st.controlIn.Load()
		c.ControlOut += st.controlOut.Load()
		c.Unsent += st.unsent.Load()
		for _, p := range []*port{st.rtp, st.control} {
			c.Foreign += p.foreign.Load()
			c.Malformed += p.malformed.Load()
			c.Unauthentic += p.unauthentic.Load()
			c.ConsentLost += uint64(p.abandoned.Load())
		}
		port := st.carrier().rtp
		port.mu.Lock()
		c.Lost += st.in.totals().Lost
		port.mu.Unlock()
	}
	return c
}

// addLive counts what the session's streams are like now.
func (s *Session) addLive(c *Counters) {
	for _, st := range s.Streams() {
		p := st.carrier().rtp
		if a := st.crypto.Load(); a != nil && p.cipher.Load() != nil {
			switch a.Method {
			case SDES:
				c.SDES++
			case DTLS:
				c.DTLS++
			}
		}
		if chain := st.chain.Load(); chain != nil {
			if b, is := chain.out.(*bridge); is && b.talks.Load() {
				c.Conversions++
			}
		}
		p.mu.Lock()
		if p.checked != "" {
			c.ICE++
		}
		p.mu.Unlock()
	}
}
