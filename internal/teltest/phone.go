package teltest

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"dialtone/internal/media"
	"dialtone/internal/network"
	"dialtone/internal/sip/transport"
	"dialtone/internal/softphone"
)

// Device is a phone to be added to a Lab.
type Device struct {
	User      string // of the account; its password is "pw-" and this, unless Password says otherwise
	Password  string
	Transport transport.Kind // UDP when 0
	IPv6      bool
	NAT       *network.NAT // behind which the phone stands; nil: it stands in the open
	Codecs    []string
	SRTP      softphone.SRTP
	Expires   time.Duration
	Hz        float64 // of the tone that it says; one of its own when 0
}

// Phone is a phone in a Lab, on a host of its own.
type Phone struct {
	*softphone.Phone
	User string
	Hz   float64 // of the tone that it says
	Host *network.Host

	lab      *Lab
	mu       sync.Mutex
	decision softphone.Decision
	events   []softphone.Event
	calls    chan *softphone.Call // that came in
}

// Phone adds a phone with the account of that name and registers it. It answers at once and says a tone that no other
// phone of the Lab says.
func (l *Lab) Phone(user string) *Phone {
	l.T.Helper()
	return l.Add(Device{User: user})
}

// Add adds a phone and registers it.
func (l *Lab) Add(d Device) *Phone {
	l.T.Helper()
	p := l.Place(d)
	l.must(p.Register(l.T.Context()))
	return p
}

// Place adds a phone that does not register yet.
func (l *Lab) Place(d Device) *Phone {
	l.T.Helper()
	l.phones++
	addr, exchange := fmt.Sprintf("10.1.%d.%d", l.phones/250, l.phones%250+1), Addr4
	if d.IPv6 {
		addr, exchange = fmt.Sprintf("fd00:1::%x", l.phones), "["+Addr6+"]"
	}
	p := &Phone{User: d.User, Hz: d.Hz, lab: l, calls: make(chan *softphone.Call, 4096)}
	if p.Hz == 0 {
		p.Hz = float64(400 + 70*(l.phones%40))
	}
	p.decision = softphone.Decision{Talk: softphone.Talk{Hz: p.Hz}}
	if d.NAT != nil {
		p.Host = d.NAT.Host(netip.MustParseAddr(addr))
	} else {
		p.Host = l.Net.Host(netip.MustParseAddr(addr))
	}
	password := d.Password
	if password == "" {
		password = "pw-" + d.User
	}
	var err error
	p.Phone, err = softphone.New(softphone.Config{
		Network: p.Host, Server: exchange, Transport: d.Transport, User: d.User, Password: password, Codecs: d.Codecs, SRTP: d.SRTP,
		MediaTimeout: 40 * time.Second,
		Insecure:     true, // the exchange has made its certificate itself
		Ports:        media.PortRange{Min: 20000, Max: 23999}, Expires: d.Expires, Answer: p.answer, Events: p.event,
	})
	l.must(err)
	l.must(p.Open(l.T.Context()))
	l.T.Cleanup(p.Close)
	return p
}

// Answers decides about the calls that come in from now on. A Talk without a tone says the phone's own.
func (p *Phone) Answers(d softphone.Decision) {
	if d.Talk.Hz == 0 {
		d.Talk.Hz = p.Hz
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decision = d
}

func (p *Phone) answer(softphone.Incoming) softphone.Decision {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.decision
}

func (p *Phone) event(e softphone.Event) {
	kept := e
	kept.Call = nil // so that a call that is over can go
	p.mu.Lock()
	p.events = append(p.events, kept)
	p.mu.Unlock()
	if e.Kind == softphone.Called {
		select {
		case p.calls <- e.Call:
		default: // nobody looks at them
		}
	}
}

// forget lets go of what was kept of events and calls.
func (p *Phone) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = nil
	for len(p.calls) > 0 {
		<-p.calls
	}
}

// Events are those so far, without their times and calls: "ringing 102".
func (p *Phone) Events() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]string, len(p.events))
	for i, e := range p.events {
		if out[i] = string(e.Kind); e.Number != "" {
			out[i] += " " + e.Number
		}
	}
	return out
}

// Bodies are those that the other parties have sent inside dialogs, in the order in which they came.
func (p *Phone) Bodies() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.events {
		if e.Kind == softphone.Informed {
			out = append(out, string(e.Body))
		}
	}
	return out
}

// Dial calls a number and says the phone's tone.
func (p *Phone) Dial(number string) *softphone.Call {
	p.lab.T.Helper()
	return p.DialWith(number, softphone.Talk{})
}

// DialWith calls a number. A Talk without a tone says the phone's own.
func (p *Phone) DialWith(number string, t softphone.Talk) *softphone.Call {
	p.lab.T.Helper()
	if t.Hz == 0 {
		t.Hz = p.Hz
	}
	c, err := p.Phone.Dial(number, t)
	p.lab.must(err)
	return c
}

// patience is how long a step of a call may take in virtual time before a test gives up.
const patience = 2 * time.Minute

// Called waits for the next call that comes in.
func (p *Phone) Called() *softphone.Call {
	p.lab.T.Helper()
	select {
	case c := <-p.calls:
		return c
	case <-time.After(patience):
		p.lab.T.Fatalf("nobody calls %s", p.User)
		return nil
	}
}

// Connect calls a phone of the Lab by number and returns both ends of the answered call.
func (p *Phone) Connect(number string, to *Phone) (near, far *softphone.Call) {
	p.lab.T.Helper()
	near = p.Dial(number)
	far = to.Called()
	p.lab.Answered(near)
	p.lab.Answered(far)
	return near, far
}

// Answered waits until a call is connected.
func (l *Lab) Answered(c *softphone.Call) {
	l.T.Helper()
	select {
	case <-c.Answered():
	case <-c.Done():
		o := c.Outcome()
		l.T.Fatalf("call to or from %s ended before the answer: %v", c.Number, o.Cause)
	case <-time.After(patience):
		l.T.Fatalf("call to or from %s is not answered", c.Number)
	}
}

// Ended waits until a call is over.
func (l *Lab) Ended(c *softphone.Call) softphone.Outcome {
	l.T.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		l.T.Fatalf("call to or from %s does not end", c.Number)
	}
	return c.Outcome()
}

// Hears asserts that within the next second a call hears this tone and no other; 0 is silence.
func (l *Lab) Hears(c *softphone.Call, hz float64) {
	l.T.Helper()
	l.Pass(100 * time.Millisecond) // what is under way
	c.Forget()
	l.Pass(time.Second)
	heard := c.Tones()
	switch {
	case hz == 0 && len(heard) > 0, hz != 0 && (len(heard) != 1 || !c.Hears(hz)):
		l.T.Errorf("call with %s hears %v Hz, want %v", c.Number, heard, hz)
	}
}
