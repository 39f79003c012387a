package sdp

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Addr is the address of the line, without TTL, count and zone. It is invalid when the line is absent or names a host.
func (c *Connection) Addr() netip.Addr {
	if c == nil {
		return netip.Addr{}
	}
	text, _, _ := strings.Cut(c.Address, "/")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// Connection is the c= line that holds for stream i: its own, else the session's; nil when there is none.
func (d *Description) Connection(i int) *Connection {
	if c := d.Media[i].Conn; c != nil {
		return c
	}
	return d.Conn
}

// Address is where stream i wants its media. It is not valid when there is no c= line or the line names a host; the
// port is there all the same. The address may be unspecified (a hold) and the port 0 (a removed stream).
func (d *Description) Address(i int) netip.AddrPort {
	return netip.AddrPortFrom(d.Connection(i).Addr(), uint16(d.Media[i].Port))
}

// unspecified tells whether stream i gives 0.0.0.0 or :: as its address.
//
// RFC 8839 §4.3.1, §4.4.1.1.1: an ICE agent without candidates writes 0.0.0.0 and port 9 as well; that is no hold.
func (d *Description) unspecified(i int) bool {
	if !d.Connection(i).Addr().IsUnspecified() {
		return false
	}
	_, ice := d.Media[i].Attribute("ice-ufrag")
	if !ice {
		_, ice = d.Attribute("ice-ufrag")
	}
	return !ice
}

// RTCPAddress is where stream i wants its RTCP when it is not multiplexed with RTP (see Media.RTCPMux): a=rtcp of
// RFC 3605, else the address of the media with the next port (RFC 3550 §11).
func (d *Description) RTCPAddress(i int) netip.AddrPort {
	rtp := d.Address(i)
	if rtp.Port() == 0 || rtp.Port() == 65535 {
		return netip.AddrPort{}
	}
	value, ok := d.Media[i].Attribute("rtcp")
	if !ok {
		return netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1)
	}
	// RFC 3605 §2.1: a=rtcp:port [nettype addrtype connection-address]
	text, rest := cutField(value)
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1)
	}
	addr := rtp.Addr()
	var field [3]string
	if cutFields(rest, field[:]) {
		c := Connection{NetType: field[0], AddrType: field[1], Address: field[2]}
		if given := c.Addr(); given.IsValid() {
			addr = given
		}
	}
	return netip.AddrPortFrom(addr, uint16(port))
}

// RTCPMux tells whether the stream offers or accepts RTP and RTCP on one port (RFC 5761 §5.1.1).
func (m *Media) RTCPMux() bool {
	_, ok := m.Attribute("rtcp-mux")
	return ok
}

// IsRTP tells whether the stream carries RTP, plain or secured.
func (m *Media) IsRTP() bool { return strings.Contains(m.Proto, "RTP/") }

// PTime is the wanted length of a packet in milliseconds; 0 when the stream does not say.
func (m *Media) PTime() int { return m.milliseconds("ptime") }

// MaxPTime is the greatest accepted length of a packet in milliseconds; 0 when the stream does not say.
func (m *Media) MaxPTime() int { return m.milliseconds("maxptime") }

func (m *Media) milliseconds(name string) int {
	value, _ := m.Attribute(name)
	n := 0
	for i := 0; i < len(value) && '0' <= value[i] && value[i] <= '9' && n < 10000; i++ {
		n = n*10 + int(value[i]-'0')
	}
	return n
}

// Attribute is the value of the first attribute of that name in the section.
func (m *Media) Attribute(name string) (value string, ok bool) { return find(m.Attributes, name) }

// Attribute is the value of the first attribute of that name in the session part.
func (d *Description) Attribute(name string) (value string, ok bool) { return find(d.Attributes, name) }

func find(attributes []Attribute, name string) (string, bool) {
	for i := range attributes {
		if attributes[i].Name == name {
			return attributes[i].Value, true
		}
	}
	return "", false
}

// SetAttribute gives the first attribute of that name a value and removes the others, or adds one at the end.
func (m *Media) SetAttribute(name, value string) { set(&m.Attributes, name, value) }

// SetAttribute gives the first attribute of that name a value and removes the others, or adds one at the end.
func (d *Description) SetAttribute(name, value string) { set(&d.Attributes, name, value) }

func set(attributes *[]Attribute, name, value string) {
	a := *attributes
	for i := range a {
		if a[i].Name == name {
			a[i].Value = value
			tail := slices.DeleteFunc(a[i+1:], func(b Attribute) bool { return b.Name == name })
			*attributes = a[:i+1+len(tail)]
			return
		}
	}
	*attributes = append(a, Attribute{name, value})
}

// RemoveAttributes takes all attributes of these names out of the section.
func (m *Media) RemoveAttributes(names ...string) { remove(&m.Attributes, names) }

// RemoveAttributes takes all attributes of these names out of the session part; those of the media stay.
func (d *Description) RemoveAttributes(names ...string) { remove(&d.Attributes, names) }

func remove(attributes *[]Attribute, names []string) {
	*attributes = slices.DeleteFunc(*attributes, func(a Attribute) bool { return slices.Contains(names, a.Name) })
}

// AnyPort tells whether a stream of the description is not refused or removed.
func (d *Description) AnyPort() bool {
	return slices.ContainsFunc(d.Media, func(m Media) bool { return m.Port != 0 })
}
