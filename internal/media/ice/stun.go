package ice

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/pion/stun/v4"
)

// Types of the messages that are sent from here (RFC 8489 §5: method Binding).
const (
	bindingSuccess = 0x0101
	bindingError   = 0x0111
)

// succeed appends the answer to an accepted check.
//
// RFC 8489 §6.3.1.1, §9.1.3: XOR-MAPPED-ADDRESS, and the integrity of the request's password.
func (a *Agent) succeed(dst []byte, ours *credentials, from netip.AddrPort) []byte {
	m := begin(&a.reply, bindingSuccess, &a.request)
	addMapped(m, from)
	return a.finish(dst, ours)
}

// refuse appends an error response.
//
// RFC 8489 §9.1.4: those to a request that was not authenticated, 400 and 401, come without integrity.
func (a *Agent) refuse(dst []byte, ours *credentials, code stun.ErrorCode) []byte {
	m := begin(&a.reply, bindingError, &a.request)
	addError(m, code)
	if code == stun.CodeUnknownAttribute {
		addUnknown(m, &a.request)
	}
	if code == stun.CodeBadRequest || code == stun.CodeUnauthorized {
		ours = nil
	}
	return a.finish(dst, ours)
}

// finish closes the reply with integrity, unless ours is nil, and fingerprint.
func (a *Agent) finish(dst []byte, ours *credentials) []byte {
	if ours != nil {
		// Its only error is a fingerprint that stands before it.
		_ = stun.MessageIntegrity(ours.pwd).AddTo(&a.reply)
	}
	_ = stun.Fingerprint.AddTo(&a.reply)
	return append(dst, a.reply.Raw...)
}

// begin starts a message with the transaction of another.
func begin(m *stun.Message, kind uint16, request *stun.Message) *stun.Message {
	m.Reset()
	m.Raw = slices.Grow(m.Raw, 128)
	m.Type.ReadValue(kind)
	m.TransactionID = request.TransactionID
	m.WriteHeader()
	return m
}

// addMapped adds XOR-MAPPED-ADDRESS.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|0 0 0 0 0 0 0 0|    Family     |         X-Port                |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                X-Address (Variable)
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// RFC 8489 §14.2: port and address are XORed with cookie and transaction as they stand in the header.
func addMapped(m *stun.Message, from netip.AddrPort) {
	var value [20]byte
	size := 8
	value[1] = 1
	if addr := from.Addr(); addr.Is4() {
		four := addr.As4()
		copy(value[4:], four[:])
	} else {
		sixteen := addr.As16()
		copy(value[4:], sixteen[:])
		value[1], size = 2, 20
	}
	binary.BigEndian.PutUint16(value[2:], from.Port())
	value[2] ^= m.Raw[4]
	value[3] ^= m.Raw[5]
	for i := 4; i < size; i++ {
		value[i] ^= m.Raw[i]
	}
	m.Add(stun.AttrXORMappedAddress, value[:size])
}

// addError adds ERROR-CODE (RFC 8489 §14.8) with the words of the RFC.
func addError(m *stun.Message, code stun.ErrorCode) {
	reason := "Bad Request"
	switch code {
	case stun.CodeUnauthorized:
		reason = "Unauthenticated"
	case stun.CodeUnknownAttribute:
		reason = "Unknown Attribute"
	case stun.CodeRoleConflict:
		reason = "Role Conflict"
	}
	var value [4 + 32]byte
	value[2], value[3] = byte(code/100), byte(code%100)
	m.Add(stun.AttrErrorCode, value[:4+copy(value[4:], reason)])
}

// addUnknown adds UNKNOWN-ATTRIBUTES (RFC 8489 §14.9): the first eight, no reply shall outgrow its request by much.
func addUnknown(m *stun.Message, request *stun.Message) {
	var value [16]byte
	size := 0
	for i := range request.Attributes {
		if t := request.Attributes[i].Type; isStrange(t) && size < len(value) {
			binary.BigEndian.PutUint16(value[size:], t.Value())
			size += 2
		}
	}
	m.Add(stun.AttrUnknownAttributes, value[:size])
}

// Answer answers a Binding request without credentials, as a public STUN server does (RFC 8489 §12); it appends the
// response to dst. Anything else is not answered. A response is at most 36 bytes longer than the request.
func Answer(dst, b []byte, from netip.AddrPort) ([]byte, bool) {
	if !isBindingRequest(b) {
		return dst, false
	}
	var request, reply stun.Message
	if _, err := request.Write(b); err != nil || request.Contains(stun.AttrUsername) || request.Contains(stun.AttrMessageIntegrity) {
		return dst, false
	}
	marked := request.Contains(stun.AttrFingerprint)
	if marked && stun.Fingerprint.Check(&request) != nil {
		return dst, false
	}
	strange := false
	for i := range request.Attributes {
		strange = strange || isStrange(request.Attributes[i].Type)
	}
	if strange {
		m := begin(&reply, bindingError, &request)
		addError(m, stun.CodeUnknownAttribute)
		addUnknown(m, &request)
	} else {
		addMapped(begin(&reply, bindingSuccess, &request), plain(from))
	}
	if marked {
		_ = stun.Fingerprint.AddTo(&reply) // it has no error
	}
	return append(dst, reply.Raw...), true
}
