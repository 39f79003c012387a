package rtp

import "encoding/binary"

// MapSSRC writes to in place of from wherever a compound names a source: senders, report blocks, chunks, leavers, the two
// sources of feedback and those in its control information, and the blocks of extended reports. It is needed where a
// stream changes its source on the way. It changes nothing else, nothing behind a packet that is malformed, and returns how
// many places it has written. Content of formats that this package does not know is left alone, but for the sender.
func MapSSRC(compound []byte, from, to uint32) int {
	m := mapping{from: from, to: to}
	for len(compound) > 0 {
		p, rest, err := NextControl(compound)
		if err != nil {
			break
		}
		m.packet(p)
		compound = rest
	}
	return m.written
}

type mapping struct {
	from, to uint32
	written  int
}

// word maps the word at b, if there is one.
func (m *mapping) word(b []byte) {
	if len(b) >= 4 && binary.BigEndian.Uint32(b) == m.from {
		binary.BigEndian.PutUint32(b, m.to)
		m.written++
	}
}

// every maps the first word of each entry of that size, n at most.
func (m *mapping) every(b []byte, size, n int) {
	for ; len(b) >= size && n > 0; n-- {
		m.word(b)
		b = b[size:]
	}
}

func (m *mapping) packet(p ControlPacket) {
	b := p.Body
	switch p.Type {
	case TypeSenderReport:
		m.word(b)
		if len(b) >= 4+senderInfoSize {
			m.every(b[4+senderInfoSize:], reportBlockSize, int(p.Count))
		}
	case TypeReceiverReport:
		m.word(b)
		if len(b) >= 4 {
			m.every(b[4:], reportBlockSize, int(p.Count))
		}
	case TypeSourceDescription:
		m.chunks(b, int(p.Count))
	case TypeBye:
		m.every(b, 4, int(p.Count))
	case TypeTransportFeedback, TypePayloadFeedback:
		m.feedback(p)
	case TypeApplication:
		m.word(b)
	case TypeExtendedReport:
		m.blocks(b)
	}
}

func (m *mapping) chunks(b []byte, n int) {
	for ; n > 0 && len(b) >= 4; n-- {
		at := 4
		for at < len(b) && b[at] != 0 {
			if at+1 == len(b) {
				return
			}
			at += 2 + int(b[at+1])
		}
		m.word(b)
		if at = at/4*4 + 4; at > len(b) {
			return
		}
		b = b[at:]
	}
}

func (m *mapping) feedback(p ControlPacket) {
	m.word(p.Body)
	if len(p.Body) < 8 {
		return
	}
	m.word(p.Body[4:])
	f := Feedback{Type: p.Type, Format: p.Count, Control: p.Body[8:]}
	switch f.Kind() {
	case IntraRequest, BitrateLimitRequest, BitrateLimitNotice:
		m.every(f.Control, 8, len(f.Control))
	case BitrateEstimate:
		m.every(f.Control[8:], 4, len(f.Control))
	}
}

func (m *mapping) blocks(b []byte) {
	m.word(b)
	for b = b[min(4, len(b)):]; len(b) >= 4; {
		kind, size := b[0], 4*int(binary.BigEndian.Uint16(b[2:]))
		if b = b[4:]; len(b) < size {
			return
		}
		switch kind {
		case blockLossRuns, blockDuplicateRuns, blockReceiptTimes, blockSummary, BlockVoIPMetrics:
			m.word(b[:size])
		case BlockLastReference:
			m.every(b[:size], 12, size)
		}
		b = b[size:]
	}
}
