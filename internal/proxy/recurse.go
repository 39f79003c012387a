package proxy

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// Recursion: where a phone answers that its user is elsewhere, the request goes there. RFC 3261 §16.5 allows that for what
// this proxy is responsible for, so it is done for our own lines only, and only to places that every caller may reach:
// our lines, and domains that have a configured next hop. Any other contact goes back to the caller, who may try it
// with his own rights.

const (
	maxFollowed = 10        // contacts that one request follows
	maxMoved    = 4096      // places that are remembered
	maxMovedFor = time.Hour // however long a phone says
)

// place is a contact of a redirection that may be followed.
type place struct {
	uri   []byte // without headers (RFC 3261 §19.1.5)
	q     uint16
	until time.Time // how long it may be remembered; zero: not at all
}

// follows reports whether a status says where else the callee is. RFC 3261 §21.3.4, §21.3.5: 305 is for user agents, and
// the contacts of a 380 are other services.
func follows(status int) bool { return status == 300 || status == 301 || status == 302 }

// follow goes after the contacts of a redirection: RFC 3261 §16.7 item 4. It reports false when there is nothing to go
// after; then the response is one like any other.
func (r *relay) follow(b *branch, m *sip.Message) bool {
	i := b.target
	if !r.located || r.fork.stopped || r.fork.attempts[i].expired || !follows(m.Status()) {
		return false
	}
	places, left := r.places(m)
	if len(places) == 0 {
		return false
	}
	first, ok := r.addPlaces(i, places)
	if !ok {
		return false
	}
	if len(left) == 0 {
		r.p.moved.remember(r.targets[i].way, places, time.Now())
	}
	status := 0
	switch {
	case len(left) > 0: // what is not gone after goes back, without the rest
		r.targets[i].answer, status = withContacts(m, left), m.Status()
	case first == len(r.targets): // they have all been tried, or nobody is there
		status = 480
	}
	r.dropped(b, m.Status())
	r.carryOut(r.fork.onRedirect(i, status, first), nil)
	return true
}

// recall goes where a target has said that it is, without asking it again: RFC 3261 §21.3.3.
func (r *relay) recall(i int) bool {
	if !r.located || len(r.targets[i].ways) == 0 {
		return false
	}
	way := &r.targets[i].ways[0]
	places := r.p.moved.recall(way, time.Now())
	if len(places) == 0 {
		return false
	}
	first, ok := r.addPlaces(i, places)
	if !ok || first == len(r.targets) {
		return false
	}
	for n := first; n < len(r.targets); n++ {
		r.targets[n].recalled = way
	}
	r.carryOut(r.fork.onRedirect(i, 0, first), nil)
	return true
}

// misled forgets what a target was reached by that turned out to be of no use: RFC 3261 §21.3.3.
func (r *relay) misled(i, status int) {
	if t := &r.targets[i]; t.recalled != nil && status != 487 && rank(status) >= rank(480) {
		r.p.moved.forget(t.recalled)
	}
}

// places reads the contacts of a redirection: those that may be gone after, the best first, and the others.
func (r *relay) places(m *sip.Message) (places []place, left [][]byte) {
	var lasts uint32
	if v, ok := m.Uint(sip.HExpires); ok {
		lasts = v
	}
	now := time.Now()
	for e := m.Elements(sip.HContact); e.Next(); {
		a, err := e.Address()
		if err != nil || a.Star {
			continue
		}
		if !r.mayFollow(&a.URI) || r.followed+len(places) >= maxFollowed {
			left = append(left, e.Value())
			continue
		}
		a.URI.Headers = nil
		p := place{uri: a.URI.Append(nil), q: 1000}
		seconds := lasts
		for it := a.Params.Iter(); it.Next(); {
			switch name := it.Name(); {
			case sip.EqualFold(name, "q"):
				if q, ok := sip.QValue(it.Value()); ok {
					p.q = q
				}
			case sip.EqualFold(name, "expires"):
				seconds, _ = sip.DeltaSeconds(it.Value())
			}
		}
		if seconds > 0 {
			p.until = now.Add(min(time.Duration(seconds)*time.Second, maxMovedFor))
		}
		places = append(places, p)
	}
	slices.SortStableFunc(places, func(a, b place) int { return int(b.q) - int(a.q) })
	return places, left
}

// mayFollow is the rule against open relays for a contact.
func (r *relay) mayFollow(u *sip.URI) bool {
	// RFC 3261 §16.7 item 4: not from sips to sip.
	if !u.IsSIP() || r.c.secure() && u.Scheme != sip.SchemeSIPS || hasMaddr(u) {
		return false
	}
	d := r.p.destinationOf(&course{target: *u})
	return d.isElsewhere() || d.tenant != nil && d.set == nil && len(u.User) > 0
}

// addPlaces appends the targets that places lead to, those that are not in the set yet, and returns the number of the
// first. It reports false when Max-Breadth does not allow it.
func (r *relay) addPlaces(from int, places []place) (first int, ok bool) {
	if r.visited == nil {
		r.visit(r.c.uri)
		for i := range r.targets {
			for n := range r.targets[i].all {
				r.visit(r.targets[i].all[n].key())
			}
		}
	}
	first, visited := len(r.targets), len(r.visited)
	group := math.MinInt
	for i := range r.fork.attempts {
		group = max(group, r.fork.attempts[i].group)
	}
	breadth := r.targets[from].breadth
	for at := 0; at < len(places); {
		q, n := places[at].q, len(r.targets)
		group++
		for ; at < len(places) && places[at].q == q; at++ {
			group = r.addPlace(&places[at], group)
		}
		// RFC 5393 §5.3.3: the place of one branch has its Max-Breadth, and no more.
		if added := len(r.targets) - n; added > 0 && share(breadth, added) < 1 {
			r.targets, r.fork.attempts, r.visited = r.targets[:first], r.fork.attempts[:first], r.visited[:visited]
			return first, false
		}
	}
	r.followed += len(places)
	return first, true
}

// addPlace appends the targets of one place and returns the group of the last.
func (r *relay) addPlace(p *place, group int) int {
	if !r.visit(p.uri) { // RFC 3261 §16.5: once per URI, which ends every loop
		return group
	}
	u, err := sip.ParseURI(p.uri)
	if err != nil {
		return group
	}
	d := r.p.destinationOf(&course{target: u})
	if d.isElsewhere() {
		r.addServers(d, p.uri, u, group)
		return group
	}
	bindings, static, no := r.p.located(nil, nil, d, &u)
	if no.status != 0 {
		return group
	}
	bindings = slices.DeleteFunc(bindings, func(b location.Binding) bool { w := wayTo(&b); return !r.visit(w.key()) })
	static = slices.DeleteFunc(static, func(w way) bool { return !r.visit(w.key()) })
	return r.addAgents(location.Targets(bindings), static, group)
}

// addServers appends the servers that take requests for a URI, as one target.
func (r *relay) addServers(d destination, uri []byte, u sip.URI, group int) {
	c := course{uri: uri, target: u}
	var ways []way
	for _, t := range d.servers(nil, d.set.Key(r.m), r.m, &c, r.m.Arrived) {
		w := d.wayToServer(t, &c)
		w.uri = uri
		ways = append(ways, w)
	}
	if len(ways) > 0 {
		r.patience = max(r.patience, d.set.Patience)
		r.add(ways, group)
	}
}

// visit notes a URI of the target set; false when it is there already.
func (r *relay) visit(uri []byte) bool {
	u, err := sip.ParseURI(uri)
	for _, old := range r.visited {
		if string(old) == string(uri) {
			return false
		}
		if v, errV := sip.ParseURI(old); err == nil && errV == nil && u.Equal(&v) {
			return false
		}
	}
	r.visited = append(r.visited, uri)
	return true
}

// withContacts is a copy of a response with these contacts and no others.
func withContacts(m *sip.Message, contacts [][]byte) *sip.Message {
	line := m.Bytes()
	for i := range line {
		if line[i] == '\r' || line[i] == '\n' {
			line = line[:i]
			break
		}
	}
	b := append(slices.Clone(line), "\r\n"...)
	for i := range m.Len() {
		name, value, id := m.At(i)
		if id == sip.HContact {
			continue
		}
		b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
	}
	for _, c := range contacts {
		b = append(append(append(b, "Contact: "...), c...), "\r\n"...)
	}
	b = append(append(b, "\r\n"...), m.Body()...)
	out := &sip.Message{}
	if out.Parse(b) != nil {
		return m.Clone()
	}
	return out
}

// moved remembers where targets have said that they are, for as long as they have said so: RFC 3261 §21.3.3. Without an
// expiration nothing is remembered.
type moved struct {
	n       atomic.Int32 // entries; most proxies have none, and take no lock
	mu      sync.Mutex
	entries map[string][]place // by the key of the way that was redirected
}

func (c *moved) remember(w *way, places []place, now time.Time) {
	var kept []place
	for _, p := range places {
		if p.until.After(now) {
			kept = append(kept, p)
		}
	}
	if len(kept) < len(places) { // some were for once only: the next request has to ask
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxMoved {
		for k, places := range c.entries {
			if !places[0].until.After(now) {
				delete(c.entries, k)
			}
		}
		if len(c.entries) >= maxMoved {
			return
		}
	}
	if c.entries == nil {
		c.entries = map[string][]place{}
	}
	c.entries[string(w.key())] = kept
	c.n.Store(int32(len(c.entries)))
}

func (c *moved) recall(w *way, now time.Time) []place {
	if c.n.Load() == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	places := c.entries[string(w.key())]
	if slices.ContainsFunc(places, func(p place) bool { return !p.until.After(now) }) {
		c.drop(w)
		return nil
	}
	return places
}

func (c *moved) forget(w *way) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(w)
}

func (c *moved) drop(w *way) {
	delete(c.entries, string(w.key()))
	c.n.Store(int32(len(c.entries)))
}

// key tells ways apart: phones behind different NATs may have the same contact.
func (w *way) key() []byte {
	k := append([]byte(nil), w.uri...)
	if w.bound {
		k = w.flow.Remote.AppendTo(append(k, ' '))
	}
	if w.routes != nil {
		k = append(append(k, ' '), w.routes...)
	}
	return k
}
