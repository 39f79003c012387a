// Package t38 reads and writes real-time facsimile over IP: UDPTL datagrams with their error recovery, IFP packets, and
// what they say about the course of a fax.
//
// It owns the two encodings, the recovery of lost packets as a pure receiver and its counterpart, and the words for
// traces. It does not own sockets, timers, the fax itself (T.30) or modems. Its SDP attributes are in sdp. No goroutines;
// a Receiver, Sender or Tracer belongs to one goroutine at a time. Ordering: a Receiver gives packets in the order of
// their sequence numbers, each at most once.
//
// Sources: ITU-T T.38 (09/2010) §7 (IFP), §9.1 (UDPTL), Annex A (ASN.1, aligned PER of X.691); RFC 3362 (image/t38).
package t38

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What a datagram may hold. Senders stay far below: seven secondary packets of a few dozen bytes.
const (
	MaxIFP       = 1400 // bytes of one IFP packet
	MaxSecondary = 16   // earlier packets in one datagram
	MaxParity    = 16   // parity packets in one datagram
	MaxSpan      = 16   // packets under one parity packet
)

// The faults of a datagram.
var (
	ErrShort = errors.New("ends too early")
	ErrRange = errors.New("holds more than is allowed")
	ErrRest  = errors.New("goes on after its end")
)

// Packet is one UDPTL datagram. What it refers to is the datagram's.
//
//	 0                   1                   2
//	+-------------------+---------+---------+- - - - - -+-------+-------+- - - - - - - - - - - - - - -
//	| sequence number, 16 bits    | length  | primary   |R|0    | count | (length, secondary) * count
//	+-------------------+---------+---------+- - - - - -+-------+-------+- - - - - - - - - - - - - - -
//	                                                    |1|0    |  1    | span | count | (length, parity) * count
//	                                                    +-------+-------+------+- - - - - - - - - - - -
type Packet struct {
	Sequence  uint16
	Primary   []byte
	Secondary [][]byte // the packets before, the latest first: Sequence-1, -2, ...
	// Parity packet m is the exclusive or of packets Sequence+m-Span*n, in steps of n, where n is the number of parity
	// packets; shorter ones count as filled up with zeros.
	Parity [][]byte
	Span   int // packets under each parity packet; 0 without
}

// Parse reads a datagram. The slices of p are used again.
func (p *Packet) Parse(b []byte) error {
	p.Secondary, p.Parity, p.Span = p.Secondary[:0], p.Parity[:0], 0
	if len(b) < 2 {
		return fmt.Errorf("UDPTL: %w", ErrShort)
	}
	p.Sequence = binary.BigEndian.Uint16(b)
	r := octets{b: b[2:]}
	p.Primary = r.open()
	kind := r.octet()
	if kind&0x80 == 0 {
		for range r.count(MaxSecondary) {
			p.Secondary = append(p.Secondary, r.open())
		}
	} else {
		p.Span = r.small(MaxSpan)
		for range r.count(MaxParity) {
			p.Parity = append(p.Parity, r.open())
		}
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = ErrRest
	}
	if r.err != nil {
		return fmt.Errorf("UDPTL: %w", r.err)
	}
	return nil
}

// Append writes the datagram behind dst. With Parity it holds no secondary packets.
func (p *Packet) Append(dst []byte) ([]byte, error) {
	if len(p.Secondary) > MaxSecondary || len(p.Parity) > MaxParity || p.Span > MaxSpan || p.Span < 0 || len(p.Primary) > MaxIFP {
		return dst, fmt.Errorf("UDPTL: %w", ErrRange)
	}
	others := p.Secondary
	if len(p.Parity) > 0 {
		others = p.Parity
	}
	for _, x := range others {
		if len(x) > MaxIFP {
			return dst, fmt.Errorf("UDPTL: %w", ErrRange)
		}
	}
	dst = binary.BigEndian.AppendUint16(dst, p.Sequence)
	dst = appendOpen(dst, p.Primary)
	if len(p.Parity) > 0 {
		// The span is an unconstrained integer: its length, and its value.
		dst = append(dst, 0x80, 1, byte(p.Span))
	} else {
		dst = append(dst, 0)
	}
	dst = appendLength(dst, len(others))
	for _, x := range others {
		dst = appendOpen(dst, x)
	}
	return dst, nil
}

// octets reads a sequence of octets; after a fault everything is empty.
type octets struct {
	b   []byte
	err error
}

func (r *octets) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *octets) octet() byte {
	if len(r.b) == 0 {
		r.fail(ErrShort)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// length reads a length determinant, X.691 §11.9. Fragments of 16,384 and more are beyond any datagram of ours.
func (r *octets) length() int {
	v := int(r.octet())
	switch v >> 6 {
	case 0, 1:
		return v
	case 2:
		return v&0x3f<<8 | int(r.octet())
	}
	r.fail(ErrRange)
	return 0
}

func (r *octets) count(most int) int {
	n := r.length()
	if n > most {
		r.fail(ErrRange)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// small reads an unconstrained integer (X.691 §11.8) of 0 to most.
func (r *octets) small(most int) int {
	n := r.count(4)
	v := 0
	for i := range n {
		o := r.octet()
		if i == 0 && o&0x80 != 0 { // negative
			r.fail(ErrRange)
		}
		v = v<<8 | int(o)
	}
	if n == 0 || v > most {
		r.fail(ErrRange)
		return 0
	}
	return v
}

// open reads an open type: a length and as many octets.
func (r *octets) open() []byte {
	n := r.count(MaxIFP)
	if n > len(r.b) {
		r.fail(ErrShort)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func appendLength(dst []byte, n int) []byte {
	if n < 0x80 {
		return append(dst, byte(n))
	}
	return append(dst, 0x80|byte(n>>8), byte(n))
}

func appendOpen(dst, b []byte) []byte { return append(appendLength(dst, len(b)), b...) }
