package sipleg

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
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

	tag      string // ours
	secure   bool   // sips
	terms    media.Terms
	trouble  error // why the last description of ours could not be made; nil: it could
	keysInfo bool  // the party has sent a key by INFO
	natted   bool  // the party's Contact is no place that is reached from here
	way      way   // where requests go
	dialog   *dialog.Dialog
	media    *media.Session
	account  *account // answers challenges of the party; nil: there is none

	allow       allowed
	userAgent   string
	ours        []byte // our last description, as sent
	theirs      []byte // the party's last, as received
	timer       dialog.SessionTimer
	refresh     *time.Timer
	provisional dialog.Reliable
	in          *answering // the inbound INVITE until its ACK
	out         *calling   // the outbound INVITE until its ACK
	ack         sentACK    // for the 2xx that made the dialog
	lost        []string   // tags of other dialogs that a forking proxy has made, and that were ended
	asked       *asking    // the party's re-INVITE or UPDATE that waits for Respond
	change      *changing  // our re-INVITE or UPDATE
	afterACK    func()     // an offer of ours that waits for the party's ACK

	// What arrives for a leg that has ended is handled on whatever goroutine brings it, under mu.
	mu       sync.Mutex
	isOver   atomic.Bool // phase is ended
	farewell string      // Reason of the BYE that waits for the ACK
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
	if f := l.way.now(); f != nil {
		i.Remote = f.String()
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

// newMedia makes the leg's media session; the party is at the far end of the flow.
func (l *Leg) newMedia() error {
	if l.media != nil {
		return nil
	}
	flow := l.way.now()
	l.terms.Private = isPrivate(flow)
	if !l.inbound && isBrowser(flow) {
		l.terms.Browser = true
	}
	s, err := l.endpoint.Media.NewSession(media.SessionConfig{Peer: flow.Remote().Addr(), Terms: l.terms})
	if err != nil {
		return err
	}
	s.SetDirect(l.out != nil && l.out.invite.Target.Direct && !l.terms.Browser)
	l.adopt(s)
	return nil
}

// adopt takes a media session and listens to what it has to tell.
func (l *Leg) adopt(s *media.Session) {
	l.media = s
	s.OnDigit(func(digit byte, ms int) { l.tell(call.Pressed{Leg: l, Digit: digit, DurationMS: ms}) })
	s.OnPicture(func() {
		l.tell(call.Informed{Leg: l, ContentType: typeMediaControl, Body: []byte(fastUpdate)})
	})
	s.OnQuality(func(n media.QualityNotice) { l.tell(call.Sounded{Leg: l, Notice: n}) })
	s.OnFault(func(err error) { l.post(func() { l.mediaFailed(err) }) })
}

// mediaFailed ends the leg: its party cannot be heard, or is not who the signalling says (RFC 5763 §6.2).
func (l *Leg) mediaFailed(err error) {
	l.endpoint.Log.Warn("sipleg: media", "error", err)
	if l.phase == ended {
		return
	}
	why := cause.NotAcceptable()
	switch {
	case l.phase == connected:
		l.bye(why.RequestReason())
	case l.inbound:
		l.refuse(why)
	default:
		l.giveUp(why.RequestReason())
		l.failed(why, nil)
		return
	}
	l.over(why)
}

// valueOf is what the terms say that may be nil.
func valueOf(t *media.Terms) media.Terms {
	if t == nil {
		return media.Terms{}
	}
	return *t
}

// isPrivate tells whether what a flow carries is encrypted.
func isPrivate(f Flow) bool {
	name := f.String()
	return strings.HasPrefix(name, "tls ") || strings.HasPrefix(name, "wss ")
}

// isBrowser tells whether the far end of a flow speaks SIP as browsers do (RFC 7118). What it is offered suits WebRTC; one
// that does without ICE answers so.
func isBrowser(f Flow) bool {
	name := f.String()
	return strings.HasPrefix(name, "ws ") || strings.HasPrefix(name, "wss ")
}

// role is which half of offer and answer a description is.
type role bool

const (
	offers  role = false
	answers role = true
)

// localize turns the other party's description into our own for this leg.
func (l *Leg) localize(d *sdp.Description, as role) ([]byte, error) {
	if err := l.newMedia(); err != nil {
		return nil, err
	}
	write := l.media.Offer
	if as == answers {
		write = l.media.Answer
	}
	ours, err := write(d)
	if l.trouble = err; err != nil {
		return nil, refusalOf(err)
	}
	return ours.Bytes(), nil
}

// learn takes a description of the party.
func (l *Leg) learn(body []byte, as role) (*sdp.Description, error) {
	d, err := sdp.Parse(body)
	if err != nil {
		return nil, err
	}
	if err := l.newMedia(); err != nil {
		return nil, err
	}
	take := l.media.RemoteOffer
	if as == answers {
		take = l.media.RemoteAnswer
	}
	if err := take(d, l.way.now().Remote().Addr()); err != nil {
		return nil, refusalOf(err)
	}
	l.theirs = append([]byte(nil), body...)
	return d, nil
}

// refusalOf says to the party what is wrong with the media.
func refusalOf(err error) error {
	for _, known := range [...]error{media.ErrPlain, media.ErrEncrypted, media.ErrSuite, media.ErrNoCommonCodec} {
		if errors.Is(err, known) {
			return &cause.Failure{Cause: cause.NotAcceptable(), Err: err}
		}
	}
	return err
}

// response starts a response that the leg sends, with what every response of a dialog carries.
func (l *Leg) response(req *sip.Message, status int, reason string) *sip.Builder {
	b := sip.NewResponse(req, status, reason, l.tag)
	if status > 100 && status < 300 && req.Method() != sip.BYE && req.Method() != sip.INFO {
		// RFC 3261 §12.1.1: responses that make or refresh a dialog repeat Record-Route and carry our Contact.
		b.Copy(req, sip.HRecordRoute)
		b.Add(sip.HContact, contact(l.way.now(), l.user, l.secure))
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

// causeOfMedia is why there is no description of ours.
func causeOfMedia(err error) cause.Cause {
	if errors.Is(err, media.ErrNoPorts) {
		return cause.Overloaded()
	}
	return cause.Of(err)
}
