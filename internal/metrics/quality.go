package metrics

import (
	"sync"

	"dialtone/internal/call"
)

// poor knows which calls sound bad now.
type poor struct {
	mu     sync.Mutex
	alarms uint64                         // raised, since the start
	calls  map[string]map[direct]struct{} // by ID: what of the call sounds bad
}

// direct is one direction of one leg.
type direct struct {
	leg     string
	inbound bool
}

// sounded takes an alarm that was raised or has cleared.
func (p *poor) sounded(n call.CallSounded) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, way := n.Record.ID, direct{n.Leg, n.Inbound}
	if !n.Raised {
		if delete(p.calls[id], way); len(p.calls[id]) == 0 {
			delete(p.calls, id)
		}
		return
	}
	p.alarms++
	if p.calls == nil {
		p.calls = map[string]map[direct]struct{}{}
	}
	if p.calls[id] == nil {
		p.calls[id] = map[direct]struct{}{}
	}
	p.calls[id][way] = struct{}{}
}

// ended forgets a call.
func (p *poor) ended(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, id)
}

// read is how many alarms there were, and how many calls sound bad.
func (p *poor) read() (alarms uint64, calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alarms, len(p.calls)
}
