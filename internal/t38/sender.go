package t38

// Sender numbers IFP packets and writes the datagrams that carry them, with what the far end needs to win back lost ones.
// The zero value sends each packet once.
type Sender struct {
	// Redundancy is how many earlier packets are repeated in each datagram, at most MaxSecondary.
	Redundancy int
	// Span and Entries ask for parity instead: Entries parity packets, each over Span packets. The product is at most 48.
	Span, Entries int

	next   uint16
	sent   int // packets that there were, up to the window
	past   [window][]byte
	packet Packet
	parity [MaxParity][]byte
}

// Append writes the datagram of one IFP packet behind dst.
func (s *Sender) Append(dst, ifp []byte) ([]byte, error) {
	p := &s.packet
	p.Sequence, p.Primary, p.Secondary, p.Parity, p.Span = s.next, ifp, p.Secondary[:0], p.Parity[:0], 0
	if s.Entries > 0 && s.Span > 0 {
		p.Span = s.Span
		for m := range min(s.Entries, MaxParity) {
			p.Parity = append(p.Parity, s.over(m))
		}
	} else {
		for i := range min(s.Redundancy, MaxSecondary, s.sent) {
			p.Secondary = append(p.Secondary, s.past[(int(s.next)-1-i)&(window-1)])
		}
	}
	dst, err := p.Append(dst)
	if err != nil {
		return dst, err
	}
	place := &s.past[s.next&(window-1)]
	*place = append((*place)[:0], ifp...)
	s.next++
	s.sent = min(s.sent+1, window)
	return dst, nil
}

// over is parity packet m of the next datagram. Packets before the first count as empty.
func (s *Sender) over(m int) []byte {
	out := s.parity[m][:0]
	for back := s.Span*s.Entries - m; back > 0; back -= s.Entries {
		if back > s.sent || back >= window {
			continue
		}
		b := s.past[(int(s.next)-back)&(window-1)]
		for len(out) < len(b) {
			out = append(out, 0)
		}
		for i := range b {
			out[i] ^= b[i]
		}
	}
	s.parity[m] = out
	return out
}
