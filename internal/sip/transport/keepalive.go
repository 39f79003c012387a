package transport

import (
	"encoding/binary"
	"net/netip"
)

// isKeepAlive tells a datagram that only keeps a NAT open: line ends, or the zero bytes that some phones send.
//
// Interop: RFC 5626 §3.5 has CRLF for streams and STUN for UDP, but many phones send CRLFCRLF, or four zero bytes, over
// UDP and expect no answer.
func isKeepAlive(b []byte) bool {
	if len(b) > 8 {
		return false
	}
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|0 0|     STUN Message Type     |         Message Length        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                         Magic Cookie                          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                     Transaction ID (96 bits)                  |
//
// RFC 5389 §6.
const (
	stunHeader          = 20
	stunCookie          = 0x2112A442
	stunBindingRequest  = 0x0001
	stunBindingSuccess  = 0x0101
	stunXORMappedAddr   = 0x0020
	stunComprehendAbove = 0x8000 // attributes below must be understood (§15)
)

// isSTUN tells a STUN message from SIP: its first two bits are zero, and no SIP message begins so (RFC 5389 §6).
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == stunCookie &&
		int(binary.BigEndian.Uint16(b[2:])) == len(b)-stunHeader
}

// answerSTUN is the answer to a Binding request from src, nil where none is due. RFC 5626 §8: the keep-alive needs
// neither credentials nor attributes but XOR-MAPPED-ADDRESS.
//
// Deviation: a request with an attribute that must be understood, and is not, is dropped instead of refused with 420:
// such a one is not from a SIP client, and an answer to it would be a reflection.
func answerSTUN(b []byte, src netip.AddrPort) []byte {
	if binary.BigEndian.Uint16(b) != stunBindingRequest {
		return nil
	}
	for a := b[stunHeader:]; len(a) > 0; {
		if len(a) < 4 || binary.BigEndian.Uint16(a) < stunComprehendAbove {
			return nil
		}
		n := 4 + (int(binary.BigEndian.Uint16(a[2:]))+3)&^3
		if n > len(a) {
			return nil
		}
		a = a[n:]
	}
	ip := src.Addr().AsSlice()
	family := byte(1)
	if len(ip) == 16 {
		family = 2
	}
	out := make([]byte, 0, stunHeader+8+16)
	out = binary.BigEndian.AppendUint16(out, stunBindingSuccess)
	out = binary.BigEndian.AppendUint16(out, uint16(8+len(ip)))
	out = append(out, b[4:stunHeader]...)
	out = binary.BigEndian.AppendUint16(out, stunXORMappedAddr)
	out = binary.BigEndian.AppendUint16(out, uint16(4+len(ip)))
	out = append(out, 0, family)
	// §15.2: the port is XORed with the cookie's upper half, the address with cookie and transaction.
	out = binary.BigEndian.AppendUint16(out, src.Port()^stunCookie>>16)
	for i, c := range ip {
		out = append(out, c^b[4+i])
	}
	return out
}
