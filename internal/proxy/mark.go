package proxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
)

// The marks of this proxy.
//
//	z9hG4bK-d0123456789abcdef.LLLLLLLLLLLLLLLLMMMMMMMMMMMMMMMM   with a transaction: number, loop, seal
//	z9hG4bK-s0123456789abcdef.MMMMMMMMMMMMMMMM                   without one: hash of the received branch, seal
//	<sip:BASE64(flow token, seal)@host:port;lr>                  Record-Route and Path

const (
	hexLen       = 16
	statefulHead = sip.Magic + "-d"
	steadyHead   = sip.Magic + "-s"
)

// sum is a hash of the parts that nobody without the key can make. purpose keeps the kinds of marks apart.
func (k *Key) sum(purpose byte, parts ...[]byte) uint64 {
	var room [1024]byte
	b := append(append(room[:0], k[:]...), purpose)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
		b = append(b, p...)
	}
	// The key stands at both ends and only a part of the sum is shown, so the sum cannot be carried on.
	h := sha256.Sum256(append(b, k[:]...))
	return binary.BigEndian.Uint64(h[:8])
}

// equalHex compares the text of a number in the time that it takes, whatever differs.
func equalHex(text []byte, v uint64) bool {
	var want [hexLen]byte
	sip.AppendHex(want[:0], v)
	var diff byte
	for i := range want {
		diff |= want[i] ^ text[i]
	}
	return diff == 0
}

// appendBranch appends the branch of a request that is forwarded with a transaction.
func (k *Key) appendBranch(dst []byte, id, loop uint64, callID []byte) []byte {
	start := len(dst)
	dst = transaction.AppendBranch(dst, id)
	number := dst[start:]
	dst = sip.AppendHex(append(dst, '.'), loop)
	return sip.AppendHex(dst, k.sum('v', number, callID))
}

// appendSteadyBranch appends the branch of a request that is forwarded without one: a function of what was received
// (RFC 3261 §16.11), the same for an INVITE, its CANCEL and the ACK of its failure.
func (k *Key) appendSteadyBranch(dst []byte, id uint64, callID []byte) []byte {
	start := len(dst)
	dst = sip.AppendHex(append(dst, steadyHead...), id)
	number := dst[start:]
	return sip.AppendHex(append(dst, '.'), k.sum('v', number, callID))
}

// steadyID is what a stateless proxy knows a transaction by: RFC 3261 §16.11.
func (k *Key) steadyID(m *sip.Message) uint64 {
	via, _ := m.Via()
	if via.IsRFC3261() {
		return k.sum('s', via.Branch, via.Host, m.CallID())
	}
	// A client of RFC 2543. The To tag is left out: the ACK has one that the INVITE had not.
	var cseq [4]byte
	binary.BigEndian.PutUint32(cseq[:], m.CSeq())
	top, _ := m.Header(sip.HVia)
	return k.sum('o', top, m.RequestURI(), m.FromTag(), m.CallID(), cseq[:])
}

// made reports whether a via-parm was made by this proxy for this Call-ID, and the loop part of its branch, if any.
func (k *Key) made(branch, callID []byte) (loop []byte, ok bool) {
	const number = len(statefulHead) + hexLen
	if len(branch) < number+1+hexLen || branch[number] != '.' {
		return nil, false
	}
	head, rest := branch[:number], branch[number+1:]
	switch {
	case bytes.HasPrefix(head, []byte(statefulHead)) && len(rest) == 2*hexLen:
		loop, rest = rest[:hexLen], rest[hexLen:]
	case bytes.HasPrefix(head, []byte(steadyHead)) && len(rest) == hexLen:
	default:
		return nil, false
	}
	return loop, equalHex(rest, k.sum('v', head, callID))
}

// isSteady tells the branches of requests that were forwarded without a transaction.
func isSteady(branch []byte) bool { return bytes.HasPrefix(branch, []byte(steadyHead)) }

// loopPart is the second part of a branch (RFC 5393 §4.2.1): it varies with all that decides where a request goes from
// here, and not with the method. place tells the listeners of one server apart.
func (k *Key) loopPart(place string, c *course, m *sip.Message) uint64 {
	var routes [512]byte
	lines := m.AppendLines(m.AppendLines(routes[:0], sip.HRoute), sip.HProxyRequire)
	var cseq [4]byte
	binary.BigEndian.PutUint32(cseq[:], m.CSeq())
	var where [128]byte
	return k.sum('l', append(where[:0], place...), c.uri, lines, m.ToTag(), m.FromTag(), m.CallID(), cseq[:])
}

// looped reports whether the request has been here before as it is now: RFC 5393 §4.2.2.
func (k *Key) looped(m *sip.Message, now uint64) bool {
	for e := m.Elements(sip.HVia); e.Next(); {
		via, err := e.Via()
		if err != nil {
			continue
		}
		// The seal stands for the sent-by that the RFC compares: it is ours alone.
		if loop, ok := k.made(via.Branch, m.CallID()); ok && loop != nil && equalHex(loop, now) {
			return true
		}
	}
	return false
}

// returned reports whether this proxy has sent the request on before, as its seal in a Via below the top one says.
func (k *Key) returned(m *sip.Message) bool {
	e := m.Elements(sip.HVia)
	for e.Next(); e.Next(); {
		if via, err := e.Via(); err == nil {
			if _, ok := k.made(via.Branch, m.CallID()); ok {
				return true
			}
		}
	}
	return false
}

const (
	flowTokenLen = 29
	maxToken     = 64
)

// appendToken appends the user part of a URI of ours: the flow, or nothing, and a seal. A Record-Route is sealed for the
// Call-ID of its dialog, a Path (callID nil) for whoever the registrar gives it to.
func (k *Key) appendToken(dst, flow, callID []byte) []byte {
	var room [maxToken]byte
	b := append(room[:0], flow...)
	b = binary.BigEndian.AppendUint64(b, k.tokenSeal(flow, callID))
	return base64.RawURLEncoding.AppendEncode(dst, b)
}

func (k *Key) tokenSeal(flow, callID []byte) uint64 {
	if callID == nil {
		return k.sum('p', flow)
	}
	return k.sum('r', flow, callID)
}

// readToken appends the flow in a user part of ours to dst; false when it is not ours or not for this Call-ID.
func (k *Key) readToken(dst, user, callID []byte) (flow []byte, ok bool) {
	if n := base64.RawURLEncoding.DecodedLen(len(user)); n != 8 && n != flowTokenLen+8 {
		return nil, false
	}
	var room [maxToken]byte
	b, ok := appendDecoded(room[:0], user)
	if !ok {
		return nil, false
	}
	read := b[:len(b)-8] // not flow, which would move the room to the heap
	got := binary.BigEndian.Uint64(b[len(b)-8:])
	if got != k.tokenSeal(read, callID) && got != k.tokenSeal(read, nil) {
		return nil, false
	}
	return append(dst, read...), true
}

// appendDecoded is base64.RawURLEncoding.AppendDecode for what that has encoded, and nothing else: no line ends, no
// loose bits. Its buffer can stay on the stack.
func appendDecoded(dst, text []byte) ([]byte, bool) {
	var bits uint32
	n := 0
	for _, c := range text {
		var v byte
		switch {
		case c >= 'A' && c <= 'Z':
			v = c - 'A'
		case c >= 'a' && c <= 'z':
			v = c - 'a' + 26
		case c >= '0' && c <= '9':
			v = c - '0' + 52
		case c == '-':
			v = 62
		case c == '_':
			v = 63
		default:
			return nil, false
		}
		bits = bits<<6 | uint32(v)
		if n += 6; n >= 8 {
			n -= 8
			dst = append(dst, byte(bits>>n))
			bits &= 1<<n - 1
		}
	}
	return dst, bits == 0
}
