package softphone

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/digest"
	"dialtone/internal/media"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
	"dialtone/internal/sipleg"
)

// Call is one call of a phone, seen by whoever holds the phone. Its methods may be called from any goroutine.
type Call struct {
	// Number is the one that was dialled, or that of the caller.
	Number string

	phone    *Phone
	inbound  bool
	decision Decision // about an inbound call
	talk     Talk
	leg      call.Leg
	mailbox  *call.Mailbox
	running  atomic.Pointer[call.Call]
	hungUp   atomic.Bool // by this phone
	ear      ear

	ringing  chan struct{}
	answered chan struct{}
	done     chan struct{}

	// What follows belongs to the call's goroutine.
	direction sdp.Direction // of ours: SendOnly holds the other party
	change    *change       // of ours, under way
	previewed bool          // the answer has come in a provisional response
	playing   *media.Playing
	rang      time.Time
	unpressed error

	mu      sync.Mutex
	digits  []byte
	outcome Outcome
}

// change is a hold or resume under way.
type change struct {
	direction sdp.Direction
	done      chan error
}

// Outcome is what became of a call.
type Outcome struct {
	Number  string // of the other party
	Inbound bool
	Start   time.Time
	Ring    time.Time // zero: it never rang
	Answer  time.Time // zero: it was never answered
	End     time.Time
	Cause   cause.Cause // 200 "normal" when somebody hung up
	TonesHz []int       // tones that were heard, longest first
	Digits  string      // keys that the other party pressed
	Media   media.StreamStats
	// Err says what of the phone's own part failed: keys that could not be pressed, a recording that could not be
	// written.
	Err error
}

// Status is the SIP status with which the INVITE ended.
func (o *Outcome) Status() int {
	if !o.Answer.IsZero() {
		return 200
	}
	return o.Cause.SIP
}

// Talk is how long the parties were connected.
func (o *Outcome) Talk() time.Duration {
	if o.Answer.IsZero() {
		return 0
	}
	return o.End.Sub(o.Answer)
}

func newCall(p *Phone, number string, t Talk) *Call {
	return &Call{Number: number, phone: p, talk: t, ear: ear{keeps: t.Record != nil},
		ringing: make(chan struct{}), answered: make(chan struct{}), done: make(chan struct{})}
}

// Dial calls a number, or a SIP URI, and returns at once.
func (p *Phone) Dial(number string, t Talk) (*Call, error) {
	if p.isClosing() {
		return nil, ErrOver
	}
	if err := checkKeys(t.Press); err != nil {
		return nil, err
	}
	c := newCall(p, number, t)
	c.mailbox = call.NewMailbox()
	var offer *sdp.Description
	if !t.NoOffer {
		offer = p.offer(sdp.SendRecv)
	}
	from := call.Side{Number: p.config.User, Name: p.config.Name}
	caller := sipleg.Caller{Source: viaServer{}, Domain: p.config.Domain}
	if p.config.Password != "" {
		caller.Credentials = &digest.Client{Username: p.config.User, Password: p.config.Password}
	}
	leg, err := p.stack.legs.Dial(context.Background(), call.Invite{Leg: "a", Mailbox: c.mailbox, Offer: offer, From: from, To: number,
		Target: call.Target{URI: p.uri(number), Source: caller, Terms: p.terms}, MaxForwards: 70})
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", number, err)
	}
	c.leg = leg
	p.stack.calls.Start(call.Setup{Caller: leg, Mailbox: c.mailbox, Offer: offer, From: from, Dialled: number, MaxForwards: 70}, c.serve)
	return c, nil
}

// Call calls a number and waits until the call is over. When ctx ends first the phone hangs up.
func (p *Phone) Call(ctx context.Context, number string, t Talk) (Outcome, error) {
	c, err := p.Dial(number, t)
	if err != nil {
		return Outcome{}, err
	}
	return c.Wait(ctx)
}

// checkKeys tells whether text is keys of a telephone.
func checkKeys(text string) error {
	for i := range len(text) {
		if _, ok := rtp.KeyCode(text[i]); !ok {
			return fmt.Errorf("%q is no telephone key", text[i])
		}
	}
	return nil
}

// Ringing is closed when the called party, or this phone, is alerted.
func (c *Call) Ringing() <-chan struct{} { return c.ringing }

// Answered is closed when the call is connected.
func (c *Call) Answered() <-chan struct{} { return c.answered }

// Done is closed when the call is over.
func (c *Call) Done() <-chan struct{} { return c.done }

// Inbound tells who called.
func (c *Call) Inbound() bool { return c.inbound }

// Wait waits until the call is over. When ctx ends first the phone hangs up; the outcome then says so.
func (c *Call) Wait(ctx context.Context) (Outcome, error) {
	var err error
	select {
	case <-c.done:
	case <-ctx.Done():
		err = ctx.Err()
		c.Hangup()
		<-c.done
	}
	return c.Outcome(), err
}

// Outcome is what became of the call, once it is over.
func (c *Call) Outcome() Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outcome
}

// Hangup ends the call from this side: BYE, CANCEL or a refusal.
func (c *Call) Hangup() {
	if k := c.running.Load(); k != nil {
		c.hungUp.Store(true)
		k.Hangup(c.farewell())
	}
}

// farewell is what a person means who presses the red key now.
func (c *Call) farewell() cause.Cause {
	select {
	case <-c.answered:
		return cause.Normal(c.side())
	default:
	}
	if c.inbound {
		return cause.Declined()
	}
	return cause.Cancelled()
}

// Hold puts the other party on hold; it returns when that is agreed.
func (c *Call) Hold(ctx context.Context) error { return c.turn(ctx, sdp.SendOnly) }

// Resume takes the other party off hold.
func (c *Call) Resume(ctx context.Context) error { return c.turn(ctx, sdp.SendRecv) }

// turn asks the other party for a direction of the media.
func (c *Call) turn(ctx context.Context, d sdp.Direction) error {
	done := make(chan error, 1)
	if !c.mailbox.Post(call.Do{F: func() { c.startChange(&change{d, done}) }}) {
		return ErrOver
	}
	select {
	case err := <-done:
		return err
	case <-c.done:
		return ErrOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Press presses keys. They queue up; it returns before they are sent.
func (c *Call) Press(keys string) error {
	if err := checkKeys(keys); err != nil {
		return err
	}
	if !c.mailbox.Post(call.Do{F: func() { c.press(keys) }}) {
		return ErrOver
	}
	return nil
}

// Info sends a body inside the dialog (RFC 6086); the other party learns it as an event.
func (c *Call) Info(contentType string, body []byte) error {
	if !c.mailbox.Post(call.Do{F: func() { c.leg.Info(contentType, body) }}) {
		return ErrOver
	}
	return nil
}

// Digits are the keys that the other party has pressed so far.
func (c *Call) Digits() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.digits)
}

// Tones are the frequencies that were heard since the answer, or since Forget, longest first.
func (c *Call) Tones() []int { return c.ear.tones() }

// Hears tells whether a tone was heard since the answer, or since Forget, for 200 ms or more.
func (c *Call) Hears(hz float64) bool { return c.ear.heard(hz) }

// Forget forgets what was heard.
func (c *Call) Forget() { c.ear.forget() }

// Stats are the statistics of the audio now.
func (c *Call) Stats() media.StreamStats {
	if m := c.session(); m != nil {
		return audioOf(m.Stats())
	}
	return media.StreamStats{}
}

// session asks the call's goroutine for the media session; nil when there is none.
func (c *Call) session() *media.Session {
	got := make(chan *media.Session, 1)
	if !c.mailbox.Post(call.Do{F: func() { got <- c.leg.Media() }}) {
		return nil
	}
	select {
	case m := <-got:
		return m
	case <-c.done:
		return nil
	}
}

// audioOf is the audio among the statistics of all streams.
func audioOf(all []media.StreamStats) media.StreamStats {
	for _, s := range all {
		if strings.EqualFold(s.Kind, "audio") {
			return s
		}
	}
	return media.StreamStats{}
}

// side is which party of the call this phone is.
func (c *Call) side() cause.Party {
	if c.inbound {
		return cause.Callee
	}
	return cause.Caller
}

// far is which party the other one is.
func (c *Call) far() cause.Party {
	if c.inbound {
		return cause.Caller
	}
	return cause.Callee
}

// ended takes the facts of a call that is over.
func (c *Call) ended(r *call.Record) {
	o := Outcome{Number: c.Number, Inbound: c.inbound, Start: r.Start, Ring: c.rang, Answer: r.Answer, End: r.End, Cause: r.Cause,
		TonesHz: c.ear.tones(), Err: c.unpressed}
	if len(r.Legs) > 0 {
		o.Media = audioOf(r.Legs[0].Streams)
	}
	// The one leg of a phone's call is the other party, whoever it was that called.
	if !c.hungUp.Load() && r.Cause.Party == cause.Caller {
		o.Cause.Party = c.far()
	}
	c.mu.Lock()
	o.Digits = string(c.digits)
	c.outcome = o
	c.mu.Unlock()
	close(c.done)
	c.phone.tell(Event{Kind: Ended, Call: c, Number: c.Number, Status: o.Status(), Cause: o.Cause.Words})
}
