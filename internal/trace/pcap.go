package trace

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
)

// The capture's file header: https://www.tcpdump.org/manpages/pcap-savefile.5.html. Times have nanoseconds; packets
// start with their IP header (LINKTYPE_RAW), so that IPv4 and IPv6 stand in one file.
const (
	pcapMagic   = 0xa1b23c4d
	linkTypeRaw = 101
	snapLength  = 262144
)

// Lengths of headers without options.
const (
	udpHeader  = 8
	ipv4Header = 20
	ipv6Header = 40
	protocol   = 17 // UDP
	hops       = 64
)

// WritePCAP writes the ladder as a packet capture that Wireshark and tshark read. Every message stands in a UDP datagram
// of its own, whatever transport it came over: TLS is seen in clear text, and TCP without its acknowledgements. A
// message that does not fit into a datagram is cut there.
func WritePCAP(w io.Writer, entries []Entry) error {
	b := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	b = binary.LittleEndian.AppendUint16(b, 2) // version 2.4
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = binary.LittleEndian.AppendUint32(b, 0) // times are UTC
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, snapLength)
	b = binary.LittleEndian.AppendUint32(b, linkTypeRaw)
	for i := range entries {
		if _, err := w.Write(appendRecord(b, &entries[i])); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
		b = b[:0]
	}
	if len(entries) == 0 {
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
	}
	return nil
}

// appendRecord adds one packet.
func appendRecord(b []byte, e *Entry) []byte {
	from, to := e.Remote, sameFamily(e.Local, e.Remote.Addr())
	if e.Direction == Out {
		from, to = to, from
	}
	v4 := from.Addr().Is4()
	header, most := ipv6Header, 0xffff-udpHeader
	if v4 {
		header, most = ipv4Header, 0xffff-ipv4Header-udpHeader
	}
	message := e.Message[:min(len(e.Message), most)]
	length := udpHeader + len(message)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.At.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(e.At.Nanosecond()))
	b = binary.LittleEndian.AppendUint32(b, uint32(header+length)) // captured
	b = binary.LittleEndian.AppendUint32(b, uint32(header+length)) // on the wire
	if v4 {
		b = appendIPv4(b, from.Addr(), to.Addr(), length)
	} else {
		b = appendIPv6(b, from.Addr(), to.Addr(), length)
	}
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(b, 0, 0)
	b = append(b, message...)
	sum := checksum(pseudoHeader(from.Addr(), to.Addr(), length), b[start:])
	if sum == 0 {
		sum = 0xffff // RFC 768: zero would mean that there is none
	}
	binary.BigEndian.PutUint16(b[start+6:], sum)
	return b
}

// appendIPv4 adds a header (RFC 791 §3.1) for a payload of n bytes.
func appendIPv4(b []byte, from, to netip.Addr, n int) []byte {
	start := len(b)
	b = append(b, 0x45, 0) // version 4, five words, no service class
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4Header+n))
	b = append(b, 0, 0, 0x40, 0, hops, protocol, 0, 0) // no identification; do not fragment; checksum below
	b = append(b, from.AsSlice()...)
	b = append(b, to.AsSlice()...)
	binary.BigEndian.PutUint16(b[start+10:], checksum(0, b[start:]))
	return b
}

// appendIPv6 adds a header (RFC 8200 §3) for a payload of n bytes.
func appendIPv6(b []byte, from, to netip.Addr, n int) []byte {
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, protocol, hops)
	b = append(b, from.AsSlice()...)
	return append(b, to.AsSlice()...)
}

// sameFamily makes local an address of the family of remote: a socket that is bound to any address serves both.
func sameFamily(local netip.AddrPort, remote netip.Addr) netip.AddrPort {
	switch {
	case local.Addr().Is4() == remote.Is4():
		return netip.AddrPortFrom(local.Addr().WithZone(""), local.Port())
	case remote.Is4():
		return netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Unspecified(), local.Port())
}

// pseudoHeader is the sum over what UDP's checksum covers besides the datagram (RFC 768, RFC 8200 §8.1).
func pseudoHeader(from, to netip.Addr, n int) uint32 {
	sum := uint32(protocol) + uint32(n)
	for _, a := range [...]netip.Addr{from, to} {
		b := a.AsSlice()
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	return sum
}

// checksum is the Internet checksum (RFC 1071) of b, begun with a partial sum.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
