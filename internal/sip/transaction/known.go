package transaction

import "dialtone/internal/sip"

// Knows reports whether a request belongs to a transaction that is alive: it is a repetition.
func (l *Layer) Knows(m *sip.Message) bool {
	var space [512]byte
	key := appendServerKey(space[:0], m)
	s := l.shardOf(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers[string(key)] != nil
}

// Drop forgets the transaction without a response: its request has never come.
func (tx *Server) Drop() { tx.end() }
