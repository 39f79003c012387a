package rtp

import "time"

// Sender numbers the packets of a stream that we originate, RFC 3550 §5.1, and counts them for sender reports.
type Sender struct {
	SSRC      uint32
	Sequence  uint16 // of the next packet
	Timestamp uint32 // of the next packet
	ClockRate uint32 // Hz

	packets  uint32
	octets   uint32
	last     uint32        // timestamp of the last packet
	lastTime time.Duration // when it was sent
}

// Stamp fills in SSRC, sequence number and timestamp of a packet whose payload is set, counts it and moves the
// timestamp on by samples, the length of the payload in timestamp units. now is the time since any fixed moment.
func (s *Sender) Stamp(p *Packet, samples uint32, now time.Duration) {
	p.Timestamp = s.Timestamp
	s.last, s.lastTime = s.Timestamp, now
	s.Timestamp += samples
	s.number(p)
}

// StampEvent is Stamp for a telephone event: its timestamp is set and the stream's own is left alone, RFC 4733 §2.5.1.2
// ("MUST use the same sequence number and timestamp base as the regular audio channel").
func (s *Sender) StampEvent(p *Packet) { s.number(p) }

func (s *Sender) number(p *Packet) {
	p.SSRC, p.Sequence = s.SSRC, s.Sequence
	s.Sequence++
	s.packets++
	s.octets += uint32(len(p.Payload))
}

// Skip moves the timestamp on without a packet, as silence suppression and telephone events do.
func (s *Sender) Skip(samples uint32) { s.Timestamp += samples }

// Sent tells whether there was a packet.
func (s *Sender) Sent() bool { return s.packets > 0 }

// Info is the sender information for a report made at the wall-clock time wall, which is now on the clock of Stamp.
//
// RFC 3550 §6.4.1: the RTP timestamp "corresponds to the same time as the NTP timestamp".
func (s *Sender) Info(wall time.Time, now time.Duration) SenderInfo {
	return SenderInfo{
		NTP:       NTP(wall),
		Timestamp: s.last + units(now-s.lastTime, s.ClockRate),
		Packets:   s.packets,
		Octets:    s.octets,
	}
}
