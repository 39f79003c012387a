package softphone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"dialtone/internal/cause"
)

// Task is what `dialtone phone` is asked to do with a phone.
type Task struct {
	Call       string        // number to be called
	Answer     bool          // wait for calls and answer them
	Wait       time.Duration // how long an answering phone stays; 0: until one call has ended
	Talk       Talk
	ExpectTone []float64 // Hz that must be heard
}

// Result is how it went; it prints itself as the last line of `dialtone phone --json`.
type Result struct {
	OK      bool    // the call did what was asked
	Status  int     // SIP status of the call, or of the registration; 0: no call came
	Cause   string  // in words
	TalkMS  int64   // how long the parties were connected
	TonesHz []int   // heard, longest first
	RX      uint64  // RTP packets received
	Lost    uint64  // of those that were sent to us
	MOS     float64 // of what was heard; 0 unknown
	Codec   string  // that the other party spoke, else what was agreed; "" there was none
	Crypto  string  // "sdes", "dtls-srtp"; "none" for plain RTP; "" without media
	Suite   string  // protection profile of SRTP; "" without
}

// MarshalJSON prints {"result":{...}}.
func (r Result) MarshalJSON() ([]byte, error) {
	type line struct {
		OK      bool    `json:"ok"`
		Status  int     `json:"status"`
		Cause   string  `json:"cause"`
		TalkMS  int64   `json:"talk_ms"`
		TonesHz []int   `json:"tones_hz"`
		RX      uint64  `json:"rx"`
		Lost    uint64  `json:"lost"`
		MOS     float64 `json:"mos"`
		Codec   string  `json:"codec"`
		Crypto  string  `json:"crypto"`
		Suite   string  `json:"suite"`
	}
	l := line(r)
	if l.TonesHz == nil {
		l.TonesHz = []int{}
	}
	l.MOS = math.Round(l.MOS*100) / 100
	return json.Marshal(map[string]line{"result": l})
}

// String prints the result for a person.
func (r Result) String() string {
	verdict := "failed"
	if r.OK {
		verdict = "ok"
	}
	text := fmt.Sprintf("%s: %d %s, talked %v, heard %v Hz, %d packets received and %d lost, MOS %.2f", verdict, r.Status, r.Cause,
		time.Duration(r.TalkMS)*time.Millisecond, r.TonesHz, r.RX, r.Lost, r.MOS)
	if r.Codec != "" {
		text += ", " + r.Codec
	}
	if r.Suite != "" {
		text += ", " + r.Crypto + " " + r.Suite
	}
	return text
}

// Check says what of the task no phone can do.
func (t Task) Check() error {
	if t.Call != "" && t.Answer {
		return errors.New("a phone either calls or answers")
	}
	return checkKeys(t.Talk.Press)
}

// Run opens the phone, registers it when it has a password, does the task, and closes the phone. An error means that
// the task could not be begun or was broken off; a call that was refused is a Result.
func (p *Phone) Run(ctx context.Context, t Task) (Result, error) {
	if err := t.Check(); err != nil {
		return Result{}, err
	}
	calls := make(chan *Call, 16)
	if t.Answer {
		p.config.Answer = t.answers
		told := p.config.Events
		p.config.Events = func(e Event) {
			if told != nil {
				told(e)
			}
			if e.Kind == Ended && e.Call.inbound {
				select {
				case calls <- e.Call:
				default: // nobody counts that many
				}
			}
		}
	}
	if err := p.Open(ctx); err != nil {
		return Result{}, err
	}
	defer p.Close()
	if p.config.Password != "" {
		if err := p.Register(ctx); err != nil {
			return Result{Status: statusOf(err), Cause: "not registered"}, err
		}
	}
	switch {
	case t.Call != "":
		o, err := p.Call(ctx, t.Call, t.Talk)
		return t.judge(&o), broken(err)
	case t.Answer:
		return t.await(ctx, p, calls)
	case t.Wait > 0:
		select {
		case <-time.After(t.Wait):
		case <-ctx.Done():
			return Result{}, ctx.Err()
		}
	}
	return Result{OK: true, Status: 200, Cause: "registered"}, nil
}

// broken keeps the end of the context out of the error of a call that was hung up because of it: the result says it.
func broken(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// answers is the decision of an answering phone: one call at a time.
func (t Task) answers(in Incoming) Decision {
	if in.Active > 0 {
		return Decision{Refuse: cause.Busy()}
	}
	return Decision{Talk: t.Talk}
}

// anotherOffer is how long a phone that has refused the media of a call waits for it to come with another offer.
const anotherOffer = 3 * time.Second

// await waits for calls: for one, or for as long as was asked.
func (t Task) await(ctx context.Context, p *Phone, calls <-chan *Call) (Result, error) {
	var until <-chan time.Time
	if t.Wait > 0 {
		timer := time.NewTimer(t.Wait)
		defer timer.Stop()
		until = timer.C
	}
	result := Result{Cause: "no call came"}
	judge := func(c *Call) Outcome {
		o := c.Outcome()
		if r := t.judge(&o); !result.OK || r.OK {
			result = r
		}
		return o
	}
	for {
		select {
		case c := <-calls:
			o := judge(c)
			switch {
			case t.Wait > 0:
			case o.Status() == cause.NotAcceptable().SIP && until == nil:
				until = time.After(anotherOffer) // RFC 3261 §21.4.26: the caller may try with other media
			default:
				return result, nil
			}
			continue
		case <-until:
			if t.Wait == 0 && len(p.Calls()) > 0 {
				continue // the other offer has come, and its call lasts
			}
		case <-ctx.Done():
		}
		for _, c := range p.Calls() { // who leaves hangs up; the call counts all the same
			c.Hangup()
			<-c.Done()
			judge(c)
		}
		return result, nil
	}
}

// judge compares what became of a call with what was asked.
func (t Task) judge(o *Outcome) Result {
	r := Result{Status: o.Status(), Cause: o.Cause.Words, TalkMS: o.Talk().Milliseconds(), TonesHz: o.TonesHz,
		RX: o.Media.PacketsIn, Lost: o.Media.Lost, MOS: o.Media.MOSIn, Codec: strings.ToLower(o.Media.Codec), Suite: o.Media.Suite}
	if r.Codec != "" {
		r.Crypto = "none"
		if o.Media.Crypto != "" {
			r.Crypto = o.Media.Crypto
		}
	}
	// A call that was answered and then ended by a fault is not what anybody asked for.
	r.OK = !o.Answer.IsZero() && !o.Cause.IsRefusal() && o.Err == nil
	if o.Err != nil {
		r.Cause = o.Err.Error()
	}
	for _, hz := range t.ExpectTone {
		if !hears(o.TonesHz, hz) && r.OK {
			r.OK, r.Cause = false, fmt.Sprintf("%v Hz was not heard", hz)
		}
	}
	return r
}

// hears tells whether a tone is among those that were heard, within 5 Hz.
func hears(tones []int, hz float64) bool {
	for _, t := range tones {
		if math.Abs(float64(t)-hz) <= 5 {
			return true
		}
	}
	return false
}
