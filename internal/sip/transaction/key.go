package transaction

import (
	"hash/maphash"
	"math/rand/v2"
	"strconv"
	"sync"

	"dialtone/internal/sip"
)

// appendServerKey is what a request matches a server transaction by: RFC 3261 §17.2.3. ACK and CANCEL have the key of
// their INVITE.
func appendServerKey(dst []byte, m *sip.Message) []byte {
	via, err := m.Via()
	if err == nil && via.IsRFC3261() {
		dst = append(append(dst, via.Branch...), '|')
		dst = append(dst, via.Host...)
		dst = strconv.AppendUint(append(dst, ':'), uint64(via.Port), 10)
		// Interop: a client that counts its branches from 0 after a restart is not taken for its earlier self: all messages
		// of a transaction have one Call-ID.
		dst = append(append(dst, '|'), m.CallID()...)
		return appendKeyMethod(append(dst, '|'), m)
	}
	// A client of RFC 2543: Request-URI, From tag, Call-ID, CSeq number and top Via.
	dst = append(append(dst, m.RequestURI()...), '|')
	dst = append(append(dst, m.FromTag()...), '|')
	dst = append(append(dst, m.CallID()...), '|')
	dst = strconv.AppendUint(dst, uint64(m.CSeq()), 10)
	top, _ := m.Header(sip.HVia)
	dst = append(append(dst, '|'), top...)
	return appendKeyMethod(append(dst, '|'), m)
}

func appendKeyMethod(dst []byte, m *sip.Message) []byte {
	switch m.Method() {
	case sip.ACK, sip.CANCEL:
		return append(dst, "INVITE"...)
	}
	return append(dst, m.MethodName()...)
}

// clientKey is the number that we wrote into a branch. A CANCEL has the branch of its request (RFC 3261 §9.1).
type clientKey struct {
	id     uint64
	cancel bool
}

const branchPrefix = sip.Magic + "-d"

func newBranch() (uint64, string) {
	id := rand.Uint64()
	return id, string(sip.AppendHex([]byte(branchPrefix), id))
}

func clientKeyOf(branch []byte, cancel bool) (clientKey, bool) {
	const length = len(branchPrefix) + 16
	if len(branch) < length || string(branch[:len(branchPrefix)]) != branchPrefix {
		return clientKey{}, false
	}
	if len(branch) > length { // a part of somebody above, see AppendBranch
		if branch[length] != '.' {
			return clientKey{}, false
		}
		branch = branch[:length]
	}
	var id uint64
	for _, c := range branch[len(branchPrefix):] {
		switch {
		case c >= '0' && c <= '9':
			id = id<<4 | uint64(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			id = id<<4 | uint64(c|0x20-'a'+10)
		default:
			return clientKey{}, false
		}
	}
	return clientKey{id, cancel}, true
}

// NewTag makes a tag for From or To: 64 random bits (RFC 3261 §19.3 asks for 32 at least).
func NewTag() string { return string(sip.AppendHex(nil, rand.Uint64())) }

// mergeShard finds merged requests: RFC 3261 §8.2.2.2.
type mergeShard struct {
	mu sync.Mutex
	m  map[uint64]*Server
	_  [40]byte
}

// mergeKey is the hash of From tag, Call-ID and CSeq of a request outside dialogs; 0 for a request inside one.
func (l *Layer) mergeKey(m *sip.Message) uint64 {
	if m.ToTag() != nil {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(l.seed)
	h.Write(m.FromTag())
	h.WriteByte(0)
	h.Write(m.CallID())
	h.WriteByte(0)
	var n [12]byte
	h.Write(strconv.AppendUint(n[:0], uint64(m.CSeq()), 10))
	h.Write(m.MethodName())
	return h.Sum64() | 1
}

func (l *Layer) enterMerged(tx *Server, h uint64) bool {
	s := &l.merged[h>>8&(shardCount-1)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.m[h]; taken {
		return false
	}
	s.m[h] = tx
	tx.merge = h
	return true
}

func (l *Layer) leaveMerged(tx *Server) {
	if tx.merge == 0 {
		return
	}
	s := &l.merged[tx.merge>>8&(shardCount-1)]
	s.mu.Lock()
	if s.m[tx.merge] == tx {
		delete(s.m, tx.merge)
	}
	s.mu.Unlock()
}
