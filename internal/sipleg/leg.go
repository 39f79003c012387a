package sipleg

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
)

// phase is how far a leg has come.
type phase uint8

const (
	inviting  phase = iota // the INVITE has no final response yet
	connected              // 2xx sent or received
	ended
)

// Leg is one SIP dialog of a call.
type Leg struct {
	endpoint *Endpoint
	id       string
	mailbox  *call.Mailbox
	key      string // in the endpoint's table
	inbound  bool
	phase    phase
	user     string // of our Contact
	device   string

	flow   Flow
	dialog *dialog.Dialog
	media  *media.Session

	allow       allowed
	userAgent   string
	ours        []byte // our last description, as sent
	theirs      []byte // the party's last, as received
	timer       dialog.SessionTimer
	refresh     *time.Timer
	provisional dialog.Reliable
	in          *answering // the inbound INVITE until its ACK
	out         *calling   // the outbound INVITE until its outcome
	asked       *asking    // the party's re-INVITE or UPDATE that waits for Respond
	change      *changing  // our re-INVITE or UPDATE
	lateMu      sync.Mutex // guards late, which runs on workers after the mailbox is closed
}

// allowed is what the party's Allow and Supported say.
type allowed struct {
	Update bool `json:"update"`
	Timer  bool `json:"timer"`
}

func (a *allowed) learn(m *sip.Message) {
	if m.Has(sip.HAllow) {
		a.Update = m.HasOption(sip.HAllow, "UPDATE")
	}
	if m.Has(sip.HSupported) {
		a.Timer = m.HasOption(sip.HSupported, "timer")
	}
}

var _ call.Leg = (*Leg)(nil)
var _ transaction.ServerHandler = (*Leg)(nil)
var _ transaction.ClientHandler = (*Leg)(nil)

// ID implements call.Leg.
func (l *Leg) ID() string { return l.id }

// Media implements call.Leg.
func (l *Leg) Media() *media.Session { return l.media }

// Describe implements call.Leg.
func (l *Leg) Describe() call.LegInfo {
	i := call.LegInfo{Device: l.device, UserAgent: l.userAgent}
	i.SIPCallID, i.Tag, _ = strings.Cut(l.key, "|")
	if l.flow != nil {
		i.Remote = l.flow.String()
	}
	if l.dialog != nil {
		i.RemoteTag = l.dialog.RemoteTag
	}
	return i
}

// post runs f on the call's goroutine; false when the call is over.
func (l *Leg) post(f func()) bool { return l.mailbox.Post(call.Do{F: f}) }

// tell sends the call an event.
func (l *Leg) tell(e call.Event) { l.mailbox.Post(e) }

// Hangup implements call.Leg.
func (l *Leg) Hangup(c cause.Cause) {
	switch {
	case l.phase == ended:
		return
	case l.phase == connected:
		l.bye(c.RequestReason())
	case l.inbound:
		l.refuse(c)
	default:
		l.giveUp(c.RequestReason())
	}
	l.end()
}

// end releases everything that a leg holds. What is under way for it in the transaction layer finishes by itself.
func (l *Leg) end() {
	l.phase = ended
	if l.refresh != nil {
		l.refresh.Stop()
	}
	if l.change != nil && l.change.wait != nil {
		l.change.wait.Stop()
	}
	if l.asked != nil { // RFC 3261 §15.1.2: what is pending is answered 487
		l.asked.tx.Respond(l.response(l.asked.req, 487, ""))
	}
	if l.media != nil {
		l.media.Close()
	}
	l.asked, l.change, l.ours, l.theirs = nil, nil, nil, nil
	l.endpoint.leave(l)
}

// over ends the leg because of what the party, or the lack of it, did.
func (l *Leg) over(c cause.Cause) {
	if l.phase == ended {
		return
	}
	l.end()
	l.tell(call.Ended{Leg: l, Cause: c})
}

func (l *Leg) bye(reason string) {
	if l.in != nil && l.in.tx != nil { // no ACK yet: the BYE takes its place (RFC 3261 §15)
		l.in.tx.Acknowledged()
	}
	b := l.dialog.Request(sip.BYE)
	if reason != "" {
		b.Add(sip.HReason, reason)
	}
	l.send(b, discard{})
}

// requestSize is about what a request takes without its body.
const requestSize = 700

type discard struct{}

func (discard) HandleResponse(*transaction.Client, *sip.Message) {}
func (discard) HandleFailure(*transaction.Client, error)         {}

// send sends a request inside the dialog on the leg's flow; when that refuses it (a closed connection), the way is
// looked for anew.
func (l *Leg) send(b *sip.Builder, h transaction.ClientHandler) {
	b.Add(sip.HUserAgent, l.endpoint.UserAgent)
	if l.flow != nil {
		if _, err := l.endpoint.Transactions.Request(b, l.flow, h); err == nil {
			return
		}
	}
	path := l.endpoint.Router.Path(l.dialog.NextHop(), nil)
	path.Next(requestSize, func(f Flow, err error) {
		if err == nil {
			if _, err = l.endpoint.Transactions.Request(b, f, h); err == nil {
				l.post(func() { l.flow = f })
				return
			}
		}
		h.HandleFailure(nil, fmt.Errorf("%w: %w", transaction.ErrTransport, err))
	})
}

// chooseFlow decides where requests of the dialog go: the flow that made it when the party sits behind a NAT or is
// connected by a stream, else where the route set and the Contact say.
func (l *Leg) chooseFlow() {
	next, err := sip.ParseURI([]byte(l.dialog.NextHop()))
	if err != nil || l.flow.Reliable() && len(l.dialog.Routes) == 0 {
		return
	}
	remote := l.flow.Remote()
	addr, literal := next.HostAddr()
	port := next.Port
	if port == 0 {
		port = 5060
	}
	if literal && (addr == remote.Addr() && port == remote.Port() || addr != remote.Addr() && isInside(addr) && len(l.dialog.Routes) == 0) {
		return // itself, or a private address that is not reached from here (a NAT in between)
	}
	if !literal && strings.HasSuffix(string(next.Host), ".invalid") { // RFC 7118 §5: a browser
		return
	}
	l.endpoint.Router.Path(l.dialog.NextHop(), nil).Next(requestSize, func(f Flow, err error) {
		if err == nil {
			l.post(func() { l.flow = f })
		}
	})
}

// isInside tells addresses that have a meaning in their own network only.
func isInside(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() ||
		a.Is4() && a.As4()[0] == 100 && a.As4()[1]&0xc0 == 64 // RFC 6598
}

// newMedia makes the leg's media session; the party is at the far end of the flow.
func (l *Leg) newMedia() error {
	if l.media != nil {
		return nil
	}
	s, err := l.endpoint.Media.NewSession(media.SessionConfig{Peer: l.flow.Remote().Addr(), OnDigit: func(digit byte, ms int) {
		l.tell(call.Pressed{Leg: l, Digit: digit, DurationMS: ms})
	}})
	if err != nil {
		return err
	}
	l.media = s
	return nil
}

// localize turns the other party's description into our own for this leg.
func (l *Leg) localize(d *sdp.Description) ([]byte, error) {
	if err := l.newMedia(); err != nil {
		return nil, err
	}
	ours, err := l.media.Localize(d)
	if err != nil {
		return nil, err
	}
	return ours.Bytes(), nil
}

// learn takes a description of the party.
func (l *Leg) learn(body []byte) (*sdp.Description, error) {
	d, err := sdp.Parse(body)
	if err != nil {
		return nil, err
	}
	if err := l.newMedia(); err != nil {
		return nil, err
	}
	if err := l.media.SetRemote(d, l.flow.Remote().Addr()); err != nil {
		return nil, err
	}
	l.theirs = append([]byte(nil), body...)
	return d, nil
}

// response starts a response that the leg sends, with what every response of a dialog carries.
func (l *Leg) response(req *sip.Message, status int, reason string) *sip.Builder {
	b := sip.NewResponse(req, status, reason, l.dialog.LocalTag)
	if status > 100 && status < 300 && req.Method() != sip.BYE && req.Method() != sip.INFO {
		// RFC 3261 §12.1.1: responses that make or refresh a dialog repeat Record-Route and carry our Contact.
		b.Copy(req, sip.HRecordRoute)
		b.Add(sip.HContact, contact(l.flow, l.user))
	}
	return b.Add(sip.HServer, l.endpoint.UserAgent)
}

// addTimer puts the session timer into a 2xx.
func addTimer(b *sip.Builder, value string, require bool) {
	if value == "" {
		return
	}
	if require {
		b.Add(sip.HRequire, "timer")
	}
	b.Add(sip.HSessionExpires, value)
}

// causeOf reads why a response or request ends something.
func causeOf(m *sip.Message, base cause.Cause) cause.Cause {
	if v, ok := m.Header(sip.HReason); ok {
		return base.WithReason(string(v))
	}
	return base
}
