package rtp

import "encoding/binary"

// The blocks of an extended report, RFC 3611 §4.
const (
	blockLossRuns      = 1
	blockDuplicateRuns = 2
	blockReceiptTimes  = 3
	BlockReferenceTime = 4
	BlockLastReference = 5 // DLRR
	blockSummary       = 6
	BlockVoIPMetrics   = 7
)

// Unknown values of VoIPMetrics, RFC 3611 §4.7.
const (
	UnknownLevel  = 127
	UnknownFactor = 127
	DefaultGmin   = 16
)

// ExtendedReport is an RTCP XR packet with the blocks that this package reads; others are skipped.
type ExtendedReport struct {
	SSRC          uint32
	ReferenceTime uint64 // NTP timestamp of a receiver that sends nothing; 0 for none (block 4)
	References    []LastReference
	Metrics       []VoIPMetrics
}

// LastReference is a sub-block of DLRR (block 5): the answer to the reference time of a receiver.
type LastReference struct {
	SSRC uint32 // of that receiver
	LRR  uint32 // middle of its NTP timestamp
	DLRR uint32 // delay since, in 1/65536 s
}

// VoIPMetrics is block 7, RFC 3611 §4.7.
//
//	|     BT=7      |   reserved    |       block length = 8        |
//	|                        SSRC of source                         |
//	|   loss rate   | discard rate  | burst density |  gap density  |
//	|       burst duration          |         gap duration          |
//	|     round trip delay          |       end system delay        |
//	| signal level  |  noise level  |     RERL      |     Gmin      |
//	|   R factor    | ext. R factor |    MOS-LQ     |    MOS-CQ     |
//	|   RX config   |   reserved    |          JB nominal           |
//	|          JB maximum           |          JB abs max           |
type VoIPMetrics struct {
	SSRC           uint32
	LossRate       uint8  // 1/256
	DiscardRate    uint8  // 1/256
	BurstDensity   uint8  // 1/256
	GapDensity     uint8  // 1/256
	BurstDuration  uint16 // ms
	GapDuration    uint16 // ms
	RoundTrip      uint16 // ms
	EndSystemDelay uint16 // ms
	SignalLevel    int8   // dBm0; 127 unknown
	NoiseLevel     int8   // dBm0; 127 unknown
	RERL           uint8  // dB; 127 unknown
	Gmin           uint8  // 16 by default
	RFactor        uint8  // 0-100; 127 unknown
	ExternalR      uint8  // 0-100; 127 unknown
	MOSLQ          uint8  // ten times the score, 10-50; 127 unknown
	MOSCQ          uint8  // ten times the score, 10-50; 127 unknown
	RXConfig       uint8  // PLC, jitter buffer adaptive, jitter buffer rate
	BufferNominal  uint16 // ms
	BufferMaximum  uint16 // ms
	BufferLimit    uint16 // ms, "JB abs max"
}

const voipMetricsSize = 32

// Parse reads an XR packet into x, whose slices are reused.
func (x *ExtendedReport) Parse(p ControlPacket) error {
	*x = ExtendedReport{References: x.References[:0], Metrics: x.Metrics[:0]}
	if p.Type != TypeExtendedReport {
		return ErrMalformed
	}
	b := p.Body
	if len(b) < 4 {
		return ErrShort
	}
	x.SSRC, b = binary.BigEndian.Uint32(b), b[4:]
	for len(b) > 0 {
		if len(b) < 4 {
			return ErrShort
		}
		kind, size := b[0], 4*int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; len(b) < size {
			return ErrShort
		}
		if err := x.parseBlock(kind, b[:size]); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

func (x *ExtendedReport) parseBlock(kind uint8, b []byte) error {
	switch kind {
	case BlockReferenceTime:
		if len(b) != 8 {
			return ErrMalformed
		}
		x.ReferenceTime = binary.BigEndian.Uint64(b)
	case BlockLastReference:
		if len(b)%12 != 0 {
			return ErrMalformed
		}
		for ; len(b) > 0; b = b[12:] {
			x.References = append(x.References, LastReference{
				SSRC: binary.BigEndian.Uint32(b),
				LRR:  binary.BigEndian.Uint32(b[4:]),
				DLRR: binary.BigEndian.Uint32(b[8:]),
			})
		}
	case BlockVoIPMetrics:
		if len(b) != voipMetricsSize {
			return ErrMalformed
		}
		x.Metrics = append(x.Metrics, parseVoIPMetrics(b))
	}
	return nil
}

func parseVoIPMetrics(b []byte) VoIPMetrics {
	return VoIPMetrics{
		SSRC:           binary.BigEndian.Uint32(b),
		LossRate:       b[4],
		DiscardRate:    b[5],
		BurstDensity:   b[6],
		GapDensity:     b[7],
		BurstDuration:  binary.BigEndian.Uint16(b[8:]),
		GapDuration:    binary.BigEndian.Uint16(b[10:]),
		RoundTrip:      binary.BigEndian.Uint16(b[12:]),
		EndSystemDelay: binary.BigEndian.Uint16(b[14:]),
		SignalLevel:    int8(b[16]),
		NoiseLevel:     int8(b[17]),
		RERL:           b[18],
		Gmin:           b[19],
		RFactor:        b[20],
		ExternalR:      b[21],
		MOSLQ:          b[22],
		MOSCQ:          b[23],
		RXConfig:       b[24],
		BufferNominal:  binary.BigEndian.Uint16(b[26:]),
		BufferMaximum:  binary.BigEndian.Uint16(b[28:]),
		BufferLimit:    binary.BigEndian.Uint16(b[30:]),
	}
}

// Append prints the packet to dst.
func (x *ExtendedReport) Append(dst []byte) []byte {
	start := len(dst)
	dst = appendControl(dst, TypeExtendedReport, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, x.SSRC)
	if x.ReferenceTime != 0 {
		dst = appendBlock(dst, BlockReferenceTime, 8)
		dst = binary.BigEndian.AppendUint64(dst, x.ReferenceTime)
	}
	if len(x.References) > 0 {
		dst = appendBlock(dst, BlockLastReference, 12*len(x.References))
		for _, r := range x.References {
			dst = binary.BigEndian.AppendUint32(dst, r.SSRC)
			dst = binary.BigEndian.AppendUint32(dst, r.LRR)
			dst = binary.BigEndian.AppendUint32(dst, r.DLRR)
		}
	}
	for i := range x.Metrics {
		dst = appendBlock(dst, BlockVoIPMetrics, voipMetricsSize)
		dst = x.Metrics[i].append(dst)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	return dst
}

func appendBlock(dst []byte, kind uint8, size int) []byte {
	return binary.BigEndian.AppendUint16(append(dst, kind, 0), uint16(size/4))
}

func (m *VoIPMetrics) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, m.SSRC)
	dst = append(dst, m.LossRate, m.DiscardRate, m.BurstDensity, m.GapDensity)
	dst = binary.BigEndian.AppendUint16(dst, m.BurstDuration)
	dst = binary.BigEndian.AppendUint16(dst, m.GapDuration)
	dst = binary.BigEndian.AppendUint16(dst, m.RoundTrip)
	dst = binary.BigEndian.AppendUint16(dst, m.EndSystemDelay)
	dst = append(dst, byte(m.SignalLevel), byte(m.NoiseLevel), m.RERL, m.Gmin)
	dst = append(dst, m.RFactor, m.ExternalR, m.MOSLQ, m.MOSCQ, m.RXConfig, 0)
	dst = binary.BigEndian.AppendUint16(dst, m.BufferNominal)
	dst = binary.BigEndian.AppendUint16(dst, m.BufferMaximum)
	return binary.BigEndian.AppendUint16(dst, m.BufferLimit)
}
