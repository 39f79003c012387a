package nexthop

import (
	"context"
	"time"

	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// Network opens flows; *transport.Layer does.
type Network interface {
	Connect(t transport.Target) (*transport.Flow, error)
}

// Resolver finds the addresses of a URI; *transport.Resolver does.
type Resolver interface {
	Resolve(ctx context.Context, u *sip.URI) ([]transport.Target, error)
	Failed(t transport.Target)
	Answered(t transport.Target)
}

const (
	answerTime  = 4 * time.Second // 64*T1 is too long to wait: four or more OPTIONS have gone by then
	resolveTime = 5 * time.Second
	maxAsked    = 4 // addresses of one name, in one check
)

// Options asks targets with OPTIONS: RFC 3261 §11.
type Options struct {
	Transactions *transaction.Layer
	Network      Network
	Resolver     Resolver
	Role         string // of the listener to ask from
	UserAgent    string
}

var _ Checker = (*Options)(nil)

// Check implements Checker. A target lives when one of its addresses gives any answer but 408 and 503, which say that it,
// or what it stands for, does not work now.
func (o *Options) Check(ctx context.Context, uri string) bool {
	u, err := sip.ParseURI([]byte(uri))
	if err != nil {
		return false
	}
	asking, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	targets, err := o.Resolver.Resolve(asking, &u)
	if err != nil {
		return false
	}
	for _, t := range targets[:min(len(targets), maxAsked)] {
		if o.ask(ctx, uri, t) {
			o.Resolver.Answered(t)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		o.Resolver.Failed(t)
	}
	return false
}

func (o *Options) ask(ctx context.Context, uri string, t transport.Target) bool {
	t.Role = o.Role
	f, err := o.Network.Connect(t)
	if err != nil {
		return false
	}
	side := f.SentBy()
	b := sip.NewRequest(sip.OPTIONS, uri)
	b.Add(sip.HMaxForwards, "70").Add(sip.HFrom, "<sip:", side, ">;tag=", transaction.NewTag()).Add(sip.HTo, "<", uri, ">").
		Add(sip.HCallID, transaction.NewTag()).CSeq(1).Add(sip.HContact, "<sip:", side, ">").
		Add(sip.HAccept, "application/sdp").Add(sip.HUserAgent, o.UserAgent)
	a := make(answer, 1)
	c, err := o.Transactions.Request(b, f, a)
	if err != nil {
		return false
	}
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	select {
	case status := <-a:
		return status != 0 && status != 408 && status != 503
	case <-timer.C:
	case <-ctx.Done():
	}
	c.Abandon("")
	return false
}

// answer is the status of the first response; 0 stands for a failure.
type answer chan int

// HandleResponse implements transaction.ClientHandler.
func (a answer) HandleResponse(_ *transaction.Client, m *sip.Message) { a.give(m.Status()) }

// HandleFailure implements transaction.ClientHandler.
func (a answer) HandleFailure(*transaction.Client, error) { a.give(0) }

func (a answer) give(status int) {
	select {
	case a <- status:
	default: // the first one counts
	}
}
