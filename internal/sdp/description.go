// Package sdp holds session descriptions as values (RFC 8866) and the offer/answer rules as pure functions (RFC 3264).
//
// It owns parsing, printing, comparing and the questions that a telephone system asks of a description: where does the
// media go, in which direction, with which codecs, is the party on hold, with which keys, over which candidates. It does
// not own sockets, ports, ciphers or connectivity checks: what it does not know survives untouched, in order, and is
// printed back.
//
// There are no goroutines here. A Description is a plain value: reading one from several goroutines is safe, changing
// one that others read is not (Clone first). The strings of a parsed description share one copy of the input, which
// lives as long as any of them does.
//
// RFCs: 8866 (SDP), 3264 (offer/answer), 3551 (static payload types), 3605 (a=rtcp), 4733 (telephone-event),
// 5761 (rtcp-mux), 4568 (a=crypto), 8122 (a=fingerprint), 4145 and 8842 (a=setup, a=tls-id), 8839 and 8840 (ICE).
package sdp

import (
	"net/netip"
	"slices"
)

// Description is a session description. The zero value of a field stands for what the field usually says, so that a
// description made by hand needs to name only what is particular about it.
type Description struct {
	Version    int         // v=, always 0 today
	Origin     Origin      // o=
	Name       string      // s=; "" stands for "-"
	Conn       *Connection // c= of the session; nil when only the media have one
	Timing     string      // the first t=; "" stands for "0 0"
	Lines      []Line      // all other lines of the session part: i= u= e= p= b= t= r= z= k= and unknown ones
	Attributes []Attribute // a= of the session part, in order
	Media      []Media     // m= sections, in order: the index is the identity of a stream (RFC 3264 §8)
}

// Origin is the o= line: who made the description and which version of it this is.
type Origin struct {
	Username    string // "" stands for "-"
	SessID      uint64 // stays the same for the life of the session
	SessVersion uint64 // grows by one with every change (RFC 3264 §8)
	NetType     string // "" stands for "IN"
	AddrType    string // "IP4" or "IP6"; "" stands for "IP4"
	Address     string // address or host name of the maker; "" stands for "0.0.0.0"
}

// Connection is a c= line.
type Connection struct {
	NetType  string // "" stands for "IN"
	AddrType string // "IP4" or "IP6"
	Address  string // address or host name, with the "/ttl/count" of a multicast address
}

// Line is a line that this package keeps without reading it.
type Line struct {
	Type  byte   // the letter before the "="
	Value string // without the line end
}

// Attribute is an a= line: "a=name" or "a=name:value".
type Attribute struct {
	Name  string
	Value string // "" for a property attribute
}

// Media is one m= section.
type Media struct {
	Kind       string      // "audio", "video", "image", "message", "application", ...
	Port       int         // 0 when the stream is refused or removed
	PortCount  int         // the number after "/"; 0 when absent
	Proto      string      // "RTP/AVP", "RTP/SAVPF", "udptl", ...
	Formats    []string    // payload types, or what Proto says
	Conn       *Connection // c= of the section; nil when the session's holds
	Lines      []Line      // i= b= k=, further c= and unknown lines
	Attributes []Attribute // a= of the section, in order
}

// ConnectionTo is the c= line of a unicast address.
func ConnectionTo(addr netip.Addr) *Connection {
	addr = addr.Unmap().WithZone("")
	return &Connection{NetType: "IN", AddrType: addrType(addr), Address: addr.String()}
}

// SetAddress puts a unicast address into the o= line.
func (o *Origin) SetAddress(addr netip.Addr) {
	addr = addr.Unmap().WithZone("")
	o.NetType, o.AddrType, o.Address = "IN", addrType(addr), addr.String()
}

func addrType(addr netip.Addr) string {
	if addr.Is6() {
		return "IP6"
	}
	return "IP4"
}

// Clone returns a copy that shares nothing that can be changed.
func (d *Description) Clone() *Description {
	c := *d
	c.Conn = d.Conn.clone()
	c.Lines = slices.Clone(d.Lines)
	c.Attributes = slices.Clone(d.Attributes)
	c.Media = slices.Clone(d.Media)
	for i := range c.Media {
		c.Media[i] = c.Media[i].Clone()
	}
	return &c
}

// Clone returns a copy that shares nothing that can be changed.
func (m *Media) Clone() Media {
	c := *m
	c.Formats = slices.Clone(m.Formats)
	c.Conn = m.Conn.clone()
	c.Lines = slices.Clone(m.Lines)
	c.Attributes = slices.Clone(m.Attributes)
	return c
}

func (c *Connection) clone() *Connection {
	if c == nil {
		return nil
	}
	k := *c
	return &k
}

// Equal tells whether two descriptions say the same, o= line included.
func (d *Description) Equal(e *Description) bool {
	if d == nil || e == nil {
		return d == e
	}
	return d.Origin == e.Origin && d.EqualContent(e)
}

// EqualContent tells whether two descriptions say the same apart from their o= lines: whether RFC 3264 §8 would call
// one a change of the other.
func (d *Description) EqualContent(e *Description) bool {
	return d.Version == e.Version && d.Name == e.Name && d.Timing == e.Timing && d.Conn.equal(e.Conn) &&
		slices.Equal(d.Lines, e.Lines) && slices.Equal(d.Attributes, e.Attributes) &&
		slices.EqualFunc(d.Media, e.Media, equalMedia)
}

func equalMedia(m, n Media) bool {
	return m.Kind == n.Kind && m.Port == n.Port && m.PortCount == n.PortCount && m.Proto == n.Proto &&
		m.Conn.equal(n.Conn) && slices.Equal(m.Formats, n.Formats) && slices.Equal(m.Lines, n.Lines) &&
		slices.Equal(m.Attributes, n.Attributes)
}

func (c *Connection) equal(e *Connection) bool {
	if c == nil || e == nil {
		return c == e
	}
	return *c == *e
}

// Supersede makes d the next version of previous, the last description that the same side sent in the same session:
// same session identifier, and a version that grows by one exactly when something else changed.
//
// RFC 3264 §8: "the version in the origin field MUST increment by one from the previous SDP" when it differs, and stays
// when it does not. Nothing happens when previous is nil.
func (d *Description) Supersede(previous *Description) {
	if previous == nil {
		return
	}
	d.Origin = previous.Origin
	if !d.EqualContent(previous) {
		d.Origin.SessVersion++
	}
}
