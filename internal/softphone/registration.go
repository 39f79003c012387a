package softphone

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"dialtone/internal/digest"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
	"dialtone/internal/sipleg"
)

// registration keeps the phone's binding at the server alive: RFC 3261 §10.2, RFC 5626 §4.2 with one flow. It is driven
// by responses, on the workers that read them, and by timers.
type registration struct {
	phone    *Phone
	instance string
	callID   string
	tag      string

	mu          sync.Mutex
	credentials digest.Client
	seq         uint32
	sent        string        // URI of the Contact that was sent last
	ask         time.Duration // the interval that is asked for
	active      bool          // Register was called, and leave was not
	registered  bool
	leaving     bool
	failures    int           // in a row
	next        *time.Timer   // the next REGISTER
	alive       *time.Timer   // the next keep-alive
	flowTimer   time.Duration // the server's wish for keep-alives; 0 none
	outcome     chan error    // takes the first outcome; nil when nobody waits
}

// The waits of RFC 5626 §4.5 when all flows have failed.
const (
	baseWait = 30 * time.Second
	maxWait  = 30 * time.Minute
)

func newRegistration(p *Phone) *registration {
	return &registration{phone: p, instance: instance(), callID: transaction.NewTag() + transaction.NewTag(), tag: transaction.NewTag(),
		ask: p.config.Expires, credentials: digest.Client{Username: p.config.User, Password: p.config.Password}}
}

// register starts to register and waits for the first outcome.
func (r *registration) register(ctx context.Context) error {
	outcome := make(chan error, 1)
	r.mu.Lock()
	r.active, r.outcome = true, outcome
	r.send()
	r.mu.Unlock()
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave ends the registration and waits for the answer.
func (r *registration) leave(ctx context.Context) {
	r.mu.Lock()
	wait := r.registered && !r.leaving
	var outcome chan error
	r.active = false
	r.stopTimers()
	if wait {
		outcome = make(chan error, 1)
		r.leaving, r.outcome = true, outcome
		r.send()
	}
	r.mu.Unlock()
	if !wait {
		return
	}
	select {
	case <-outcome:
	case <-ctx.Done():
	}
}

func (r *registration) stopTimers() {
	for _, t := range []*time.Timer{r.next, r.alive} {
		if t != nil {
			t.Stop()
		}
	}
}

// settle tells whoever waits how it went.
func (r *registration) settle(err error) {
	if r.outcome != nil {
		r.outcome <- err
		r.outcome = nil
	}
}

// attempt is one REGISTER under way.
type attempt struct {
	r   *registration
	seq uint32
}

// send sends a REGISTER. The caller holds r.mu.
func (r *registration) send() {
	f, err := r.phone.stack.server()
	if err != nil {
		r.failed(fmt.Errorf("register: %w", err), 0)
		return
	}
	r.seq++
	domain := r.phone.config.Domain
	self := string(append(append(sip.AppendEscapedUser([]byte("<sip:"), r.phone.config.User), '@'), domain+">"...))
	uri := "sip:" + domain
	b := sip.NewRequest(sip.REGISTER, uri)
	b.Add(sip.HFrom, self, ";tag=", r.tag).Add(sip.HTo, self).Add(sip.HCallID, r.callID).CSeq(r.seq).Add(sip.HMaxForwards, "70")
	r.sent = r.contact(f)
	b.Add(sip.HContact, "<", r.sent, ">;+sip.instance=", r.instance, ";reg-id=1")
	expires := uint64(r.ask / time.Second)
	if r.leaving {
		expires = 0 // RFC 3261 §10.2.2
	}
	b.AddUint(sip.HExpires, expires).Add(sip.HSupported, supported).Add(sip.HAllow, sipleg.Allow).Add(sip.HUserAgent, userAgent)
	if r.credentials.Ready() {
		b.AddBytes(sip.HAuthorization, r.credentials.Append(nil, "REGISTER", uri))
	}
	if _, err := r.phone.stack.transactions.Request(b, f, &attempt{r, r.seq}); err != nil {
		r.failed(fmt.Errorf("register: %w", err), 0)
	}
}

// contact is where the phone is reached on a flow.
func (r *registration) contact(f *transport.Flow) string {
	b := append(sip.AppendEscapedUser([]byte("sip:"), r.phone.config.User), '@')
	b = append(b, f.SentBy()...)
	if f.Kind() != transport.UDP {
		b = append(append(b, ";transport="...), strings.ToLower(f.Kind().String())...)
	}
	return string(b)
}

// HandleResponse implements transaction.ClientHandler.
func (a *attempt) HandleResponse(_ *transaction.Client, m *sip.Message) {
	r := a.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.seq != r.seq || m.Status() < 200 || !r.active && !r.leaving {
		return
	}
	switch status := m.Status(); {
	case status < 300 && r.leaving:
		r.registered = false
		r.settle(nil)
	case status < 300:
		r.accepted(m)
	case status == 401:
		r.challenged(m, sip.HWWWAuthenticate)
	case status == 423 && r.raise(m): // RFC 3261 §10.2.8
		r.send()
	default:
		r.refused(m)
	}
}

// HandleFailure implements transaction.ClientHandler.
func (a *attempt) HandleFailure(_ *transaction.Client, err error) {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	if a.seq == a.r.seq {
		if why := a.r.phone.stack.broken.Load(); why != nil && errors.Is(err, transaction.ErrTransport) {
			err = *why // which says more
		}
		a.r.failed(fmt.Errorf("register: %w", err), 0)
	}
}

// accepted takes a 200.
func (r *registration) accepted(m *sip.Message) {
	r.credentials.Accepted()
	r.failures = 0
	left := r.granted(m)
	if s, ok := m.Uint(sip.HFlowTimer); ok {
		r.flowTimer = time.Duration(s) * time.Second
	}
	first := !r.registered
	r.registered = true
	// Well before it expires, and not all phones at once after a restart of the server.
	r.after(time.Duration(float64(left) * (0.7 + 0.2*rand.Float64())))
	if first {
		r.keepAlive()
		r.phone.tell(Event{Kind: Registered, Status: 200})
	}
	r.settle(nil)
}

// granted is how long the server keeps our binding: RFC 3261 §10.2.4.
func (r *registration) granted(m *sip.Message) time.Duration {
	for e := m.Elements(sip.HContact); e.Next(); {
		a, err := e.Address()
		if err != nil || a.Star {
			continue
		}
		if own, err := sip.ParseURI([]byte(r.sent)); err != nil || !own.Equal(&a.URI) {
			continue
		}
		if v, ok := a.Params.Value("expires"); ok {
			if n, ok := number(v); ok {
				return n
			}
		}
	}
	if n, ok := m.Uint(sip.HExpires); ok && n > 0 {
		return time.Duration(n) * time.Second
	}
	return r.ask
}

// number reads seconds of at most a year.
func number(v []byte) (time.Duration, bool) {
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' || n > 3600*24*365 {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return time.Duration(n) * time.Second, n > 0
}

// challenged answers a 401.
func (r *registration) challenged(m *sip.Message, id sip.HeaderID) {
	if err := r.credentials.Challenged(sipleg.Challenges(m, id)); err != nil {
		r.failed(&refusal{m.Status(), err}, 0)
		return
	}
	r.send()
}

// raise takes the Min-Expires of a 423.
func (r *registration) raise(m *sip.Message) bool {
	n, ok := m.Uint(sip.HMinExpires)
	d := time.Duration(n) * time.Second
	if !ok || d <= r.ask || d > 24*time.Hour {
		return false
	}
	r.ask = d
	return true
}

// refused takes any other final response.
func (r *registration) refused(m *sip.Message) {
	var wait time.Duration
	if n, ok := m.Uint(sip.HRetryAfter); ok && n < 24*3600 {
		wait = time.Duration(n) * time.Second
	}
	r.failed(&refusal{m.Status(), fmt.Errorf("%d %s", m.Status(), m.Reason())}, wait)
}

// refusal is the answer of a server that does not let the phone register.
type refusal struct {
	status int
	reason error
}

func (r *refusal) Error() string   { return ErrRefused.Error() + ": " + r.reason.Error() }
func (r *refusal) Unwrap() []error { return []error{ErrRefused, r.reason} }

// statusOf is the SIP status of a failure to register; 0 when no server has said a word.
func statusOf(err error) int {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return refused.status
	case errors.Is(err, transaction.ErrTimeout):
		return 408
	}
	return 0
}

// failed notes a failure and tries again later: RFC 5626 §4.5. The caller holds r.mu.
func (r *registration) failed(err error, atLeast time.Duration) {
	was := r.registered
	r.registered = false
	r.settle(err)
	if !r.active {
		return
	}
	if was || r.failures == 0 {
		r.phone.tell(Event{Kind: Unregistered, Status: statusOf(err), Cause: err.Error()})
	}
	r.after(max(atLeast, wait(r.failures)))
	r.failures++
}

// wait is how long to wait after so many failures in a row.
//
// RFC 5626 §4.5: "min( max-time, (base-time * (2 ^ consecutive-failures)))", of which between 50 and 100 % are taken.
func wait(failures int) time.Duration {
	w := min(maxWait, baseWait<<min(failures, 16))
	return w/2 + rand.N(w/2)
}

// after sends the next REGISTER d from now.
func (r *registration) after(d time.Duration) {
	if r.next != nil {
		r.next.Stop()
	}
	r.next = time.AfterFunc(d, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.active {
			r.send()
		}
	})
}

// lost notes that the stream to the server is gone.
func (r *registration) lost(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active && r.registered {
		r.failed(fmt.Errorf("the connection to the server is lost: %w", err), 0)
	}
}

// keepAlive keeps the way from the server to the phone open: RFC 5626 §4.4.
func (r *registration) keepAlive() {
	// RFC 5626 §4.4.1: streams between 95 and 120 s; §4.4.2: datagrams between 24 and 29 s.
	low, high := 24*time.Second, 29*time.Second
	if r.phone.config.Transport.Reliable() {
		low, high = 95*time.Second, 120*time.Second
	}
	if r.flowTimer > 0 { // §4.4: no later than the server's Flow-Timer, of which between 80 and 100 % are taken
		low, high = min(low, r.flowTimer*8/10), min(high, r.flowTimer)
	}
	if r.alive != nil {
		r.alive.Stop()
	}
	r.alive = time.AfterFunc(low+rand.N(high-low), func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.active || !r.registered {
			return
		}
		if f, err := r.phone.stack.server(); err == nil {
			_ = f.Send([]byte("\r\n\r\n")) // a stream that is gone says so itself
		}
		r.keepAlive()
	})
}
