package rtp

import (
	"math"
	"time"
)

// Concealment is what is played in place of a packet that is missing, RFC 3611 §4.7.6.
type Concealment uint8

// The values of the field.
const (
	ConcealmentUnknown  Concealment = iota
	ConcealmentDisabled             // silence
	ConcealmentEnhanced             // interpolation that bears high losses
	ConcealmentStandard             // repetition or interpolation for a packet here and there
)

// JitterBuffer is what a report says of a jitter buffer, RFC 3611 §4.7.6 and §4.7.7. The zero value says that nothing is
// known.
type JitterBuffer struct {
	Known    bool
	Adaptive bool
	Rate     uint8         // 0 unknown, to 15: how slowly it adapts; 2*Rate packets from 30 to 100 ms of jitter
	Nominal  time.Duration // delay of a packet that comes exactly in time
	Maximum  time.Duration // delay of the earliest packet that is not discarded, at present
	Limit    time.Duration // what Maximum may grow to; of a fixed buffer Maximum is taken
}

// Reception is all that is known of a stream received: what VoIPMetrics are filled from.
type Reception struct {
	SSRC           uint32 // of the source
	Figures        Figures
	RoundTrip      time.Duration // between the RTP ends; 0 unknown
	EndSystemDelay time.Duration // of our end: encoding, jitter buffer, decoding; 0 unknown
	SignalLevel    float64       // dBm0 of speech; 0 and above unknown
	NoiseLevel     float64       // dBm0 between speech; 0 and above unknown
	EchoLoss       float64       // RERL in dB; 0 and below unknown
	R              float64       // rating factor with delay; counts when MOSCQ is known
	ExternalR      float64       // that of the part of the path outside of RTP; 0 unknown
	MOSLQ          float64       // 1 to 5, without delay; 0 unknown
	MOSCQ          float64       // 1 to 5, with delay; 0 unknown
	Concealment    Concealment
	Buffer         JitterBuffer
}

// Metrics are the fields of the report block. Figures beyond what a field holds are cut to that.
func (r *Reception) Metrics() VoIPMetrics {
	m := VoIPMetrics{
		SSRC:           r.SSRC,
		LossRate:       fraction(r.Figures.LossRate),
		DiscardRate:    fraction(r.Figures.DiscardRate),
		BurstDensity:   fraction(r.Figures.BurstDensity),
		GapDensity:     fraction(r.Figures.GapDensity),
		BurstDuration:  wholeMilliseconds(r.Figures.BurstDuration),
		GapDuration:    wholeMilliseconds(r.Figures.GapDuration),
		RoundTrip:      wholeMilliseconds(r.RoundTrip),
		EndSystemDelay: wholeMilliseconds(r.EndSystemDelay),
		SignalLevel:    level(r.SignalLevel),
		NoiseLevel:     level(r.NoiseLevel),
		RERL:           UnknownLevel,
		Gmin:           r.Figures.Gmin,
		RFactor:        UnknownFactor,
		ExternalR:      UnknownFactor,
		MOSLQ:          opinion(r.MOSLQ),
		MOSCQ:          opinion(r.MOSCQ),
		RXConfig:       uint8(r.Concealment) << 6,
	}
	if m.Gmin == 0 {
		m.Gmin = DefaultGmin // RFC 3611 §4.7.6: "Gmin MUST not be zero"
	}
	if r.EchoLoss > 0 {
		m.RERL = uint8(math.Round(min(r.EchoLoss, UnknownLevel-1)))
	}
	if m.MOSCQ != UnknownFactor {
		m.RFactor = factor(r.R)
	}
	if r.ExternalR > 0 {
		m.ExternalR = factor(r.ExternalR)
	}
	r.Buffer.describe(&m)
	return m
}

// describe fills in what is known of the jitter buffer.
func (j *JitterBuffer) describe(m *VoIPMetrics) {
	const fixed, adaptive = 0b10, 0b11
	if !j.Known {
		return
	}
	m.BufferNominal, m.BufferMaximum = wholeMilliseconds(j.Nominal), wholeMilliseconds(j.Maximum)
	if j.Adaptive {
		m.RXConfig |= adaptive<<4 | min(j.Rate, 15)
		m.BufferLimit = max(wholeMilliseconds(j.Limit), m.BufferMaximum)
		return
	}
	m.RXConfig |= fixed << 4
	// RFC 3611 §4.7.7: "its value MUST be set to JB maximum for fixed jitter buffer implementations".
	m.BufferLimit = m.BufferMaximum
}

// Concealment is what the other side plays in place of a missing packet.
func (m *VoIPMetrics) Concealment() Concealment { return Concealment(m.RXConfig >> 6) }

// Buffer is what the report says of the jitter buffer.
func (m *VoIPMetrics) Buffer() JitterBuffer {
	kind := m.RXConfig >> 4 & 3
	if kind < 0b10 {
		return JitterBuffer{}
	}
	return JitterBuffer{
		Known: true, Adaptive: kind == 0b11, Rate: m.RXConfig & 15,
		Nominal: time.Duration(m.BufferNominal) * time.Millisecond,
		Maximum: time.Duration(m.BufferMaximum) * time.Millisecond,
		Limit:   time.Duration(m.BufferLimit) * time.Millisecond,
	}
}

// Listening is MOS-LQ, 1 to 5; ok is false when it is unavailable.
//
// RFC 3611 §4.7.5: values outside of the range "MUST be ignored by the receiving system".
func (m *VoIPMetrics) Listening() (mos float64, ok bool) { return fromOpinion(m.MOSLQ) }

// Conversation is MOS-CQ, 1 to 5; ok is false when it is unavailable.
func (m *VoIPMetrics) Conversation() (mos float64, ok bool) { return fromOpinion(m.MOSCQ) }

// Rating is the rating factor of the whole path, 0 to 100; ok is false when it is unavailable.
//
// RFC 3611 §4.7.5: "R total = RTP R factor + ext. R factor - 94".
func (m *VoIPMetrics) Rating() (r float64, ok bool) {
	if m.RFactor > 100 {
		return 0, false
	}
	if m.ExternalR > 100 {
		return float64(m.RFactor), true
	}
	return float64(max(int(m.RFactor)+int(m.ExternalR)-94, 0)), true
}

// Figures are those of the report, as far as it has them. Numbers of bursts and gaps are not in it.
func (m *VoIPMetrics) Figures() Figures {
	return Figures{
		LossRate:      float64(m.LossRate) / 256,
		DiscardRate:   float64(m.DiscardRate) / 256,
		BurstDensity:  float64(m.BurstDensity) / 256,
		GapDensity:    float64(m.GapDensity) / 256,
		BurstDuration: time.Duration(m.BurstDuration) * time.Millisecond,
		GapDuration:   time.Duration(m.GapDuration) * time.Millisecond,
		Gmin:          m.Gmin,
	}
}

// fraction: RFC 3611 §4.7.1: "multiplying the result of the division by 256, limiting the maximum value to 255 (to avoid
// overflow), and taking the integer part".
func fraction(x float64) uint8 {
	if !(x > 0) {
		return 0
	}
	return uint8(min(x*256, 255))
}

func wholeMilliseconds(d time.Duration) uint16 {
	return uint16(min(max(d.Round(time.Millisecond)/time.Millisecond, 0), math.MaxUint16))
}

func level(dBm0 float64) int8 {
	if !(dBm0 < 0) {
		return UnknownLevel
	}
	return int8(math.Round(max(dBm0, math.MinInt8)))
}

// factor cuts a rating factor to 0 to 100: that of a wideband call is more.
func factor(r float64) uint8 {
	if math.IsNaN(r) {
		return UnknownFactor
	}
	return uint8(math.Round(min(max(r, 0), 100)))
}

func opinion(mos float64) uint8 {
	if !(mos >= 1) {
		return UnknownFactor
	}
	return uint8(math.Round(min(mos, 5) * 10))
}

func fromOpinion(field uint8) (mos float64, ok bool) {
	if field < 10 || field > 50 {
		return 0, false
	}
	return float64(field) / 10, true
}
