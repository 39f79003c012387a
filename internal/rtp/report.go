package rtp

import "encoding/binary"

const (
	senderInfoSize  = 20
	reportBlockSize = 24
	maxCount        = 31 // what the count field of RTCP holds
)

// Report is a sender report or a receiver report, RFC 3550 §6.4.
type Report struct {
	SSRC       uint32 // of who reports
	FromSender bool   // sender report: Sender is set
	Sender     SenderInfo
	Blocks     []ReportBlock // one for each source heard, 31 at most
}

// SenderInfo is the middle part of a sender report, RFC 3550 §6.4.1.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|              NTP timestamp, 64 bits                           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                         RTP timestamp                         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                     sender's packet count                     |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                      sender's octet count                     |
type SenderInfo struct {
	NTP       uint64
	Timestamp uint32 // the same moment on the clock of the payload
	Packets   uint32
	Octets    uint32 // of payload
}

// ReportBlock says how one source was received, RFC 3550 §6.4.1.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                             SSRC                              |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	| fraction lost |       cumulative number of packets lost       |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|           extended highest sequence number received           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                      interarrival jitter                      |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                         last SR (LSR)                         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                   delay since last SR (DLSR)                  |
type ReportBlock struct {
	SSRC            uint32 // of the source
	FractionLost    uint8  // since the last report, in 1/256
	CumulativeLost  int32  // 24 bits; negative when duplicates outnumber losses
	HighestSequence uint32
	Jitter          uint32 // timestamp units
	LSR             uint32 // middle of the NTP timestamp of the last sender report; 0 for none
	DLSR            uint32 // since then, in 1/65536 s
}

// Parse reads a packet of type sender or receiver report into r, whose Blocks are reused. Profile-specific extensions
// behind the blocks are skipped.
func (r *Report) Parse(p ControlPacket) error {
	*r = Report{Blocks: r.Blocks[:0]}
	b := p.Body
	if p.Type != TypeSenderReport && p.Type != TypeReceiverReport {
		return ErrMalformed
	}
	if len(b) < 4 {
		return ErrShort
	}
	r.SSRC, b = binary.BigEndian.Uint32(b), b[4:]
	if p.Type == TypeSenderReport {
		if len(b) < senderInfoSize {
			return ErrShort
		}
		r.FromSender = true
		r.Sender = SenderInfo{
			NTP:       binary.BigEndian.Uint64(b),
			Timestamp: binary.BigEndian.Uint32(b[8:]),
			Packets:   binary.BigEndian.Uint32(b[12:]),
			Octets:    binary.BigEndian.Uint32(b[16:]),
		}
		b = b[senderInfoSize:]
	}
	if len(b) < int(p.Count)*reportBlockSize {
		return ErrShort
	}
	for range p.Count {
		r.Blocks = append(r.Blocks, parseReportBlock(b))
		b = b[reportBlockSize:]
	}
	return nil
}

func parseReportBlock(b []byte) ReportBlock {
	lost := binary.BigEndian.Uint32(b[4:])
	return ReportBlock{
		SSRC:            binary.BigEndian.Uint32(b),
		FractionLost:    uint8(lost >> 24),
		CumulativeLost:  int32(lost<<8) >> 8,
		HighestSequence: binary.BigEndian.Uint32(b[8:]),
		Jitter:          binary.BigEndian.Uint32(b[12:]),
		LSR:             binary.BigEndian.Uint32(b[16:]),
		DLSR:            binary.BigEndian.Uint32(b[20:]),
	}
}

// Append prints the report to dst; blocks beyond 31 are left out.
func (r *Report) Append(dst []byte) []byte {
	blocks := r.Blocks[:min(len(r.Blocks), maxCount)]
	kind, size := uint8(TypeReceiverReport), 4+len(blocks)*reportBlockSize
	if r.FromSender {
		kind, size = TypeSenderReport, size+senderInfoSize
	}
	dst = appendControl(dst, kind, uint8(len(blocks)), size)
	dst = binary.BigEndian.AppendUint32(dst, r.SSRC)
	if r.FromSender {
		dst = binary.BigEndian.AppendUint64(dst, r.Sender.NTP)
		dst = binary.BigEndian.AppendUint32(dst, r.Sender.Timestamp)
		dst = binary.BigEndian.AppendUint32(dst, r.Sender.Packets)
		dst = binary.BigEndian.AppendUint32(dst, r.Sender.Octets)
	}
	for _, b := range blocks {
		dst = binary.BigEndian.AppendUint32(dst, b.SSRC)
		dst = binary.BigEndian.AppendUint32(dst, uint32(b.FractionLost)<<24|uint32(b.CumulativeLost)&0xffffff)
		dst = binary.BigEndian.AppendUint32(dst, b.HighestSequence)
		dst = binary.BigEndian.AppendUint32(dst, b.Jitter)
		dst = binary.BigEndian.AppendUint32(dst, b.LSR)
		dst = binary.BigEndian.AppendUint32(dst, b.DLSR)
	}
	return dst
}
