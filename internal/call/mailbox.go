package call

import "sync"

// MailboxLimit is how many events may wait: a burst of a thousand requests inside a dialog fits twice. A call that is
// further behind is broken or under attack: it is ended. A waiting request costs about 1 KB.
const MailboxLimit = 4096

// keptQueue is the capacity that an empty mailbox keeps; a burst's larger queue is given back.
const keptQueue = 4

// Mailbox is the bounded queue through which everything reaches a call. It is made before the call's first leg, so
// that a leg can post from its first moment on (a CANCEL may overtake the start of the call). Events keep the order in
// which they were posted.
type Mailbox struct {
	mu     sync.Mutex
	queue  []Event
	head   int
	closed bool
	full   bool
	wake   chan struct{} // holds one token while something waits
}

// NewMailbox makes an empty mailbox.
func NewMailbox() *Mailbox { return &Mailbox{wake: make(chan struct{}, 1)} }

// Post adds an event and reports whether the call will see it. It never blocks and may be called from any goroutine.
// An event that finds the mailbox full is dropped, and the call ends because of it.
func (m *Mailbox) Post(e Event) bool {
	m.mu.Lock()
	ok := !m.closed && !m.full && len(m.queue)-m.head < MailboxLimit
	if ok {
		m.queue = append(m.queue, e)
	} else if !m.closed {
		m.full = true
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return ok
}

// PostIfRoom is Post for what can be refused to whoever brings it: it leaves half of the mailbox to what cannot, and an
// event that finds no room is the caller's to answer for; the call does not end because of it.
func (m *Mailbox) PostIfRoom(e Event) bool {
	m.mu.Lock()
	ok := !m.closed && !m.full && len(m.queue)-m.head < MailboxLimit/2
	if ok {
		m.queue = append(m.queue, e)
	}
	m.mu.Unlock()
	if ok {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
	return ok
}

// take removes the oldest event. overflow tells that an event was lost; it is reported instead of what still waits.
func (m *Mailbox) take() (e Event, ok, overflow bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return nil, false, true
	}
	if m.head == len(m.queue) {
		return nil, false, false
	}
	e = m.queue[m.head]
	m.queue[m.head] = nil
	m.head++
	if m.head == len(m.queue) {
		m.head = 0
		if m.queue = m.queue[:0]; cap(m.queue) > keptQueue {
			m.queue = nil
		}
	}
	return e, true, false
}

// close refuses what comes from now on and returns what still waits.
func (m *Mailbox) close() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.queue[m.head:]
	m.closed, m.queue, m.head = true, nil, 0
	return rest
}
