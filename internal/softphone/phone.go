// Package softphone is a telephone without a person: a SIP user agent that registers, calls, answers, plays a tone or a
// sound file, records, hears tones, and presses and reads keys. `dialtone phone` is one; the demonstration and the tests
// of the whole system have many.
//
// It owns the phone: its registration (RFC 3261 §10, RFC 5626 with one flow), its calls, and what it does in them. It
// stands on the same floors as the exchange and brings no SIP of its own: transport, transactions, dialogs, legs and
// media are those of the exchange, and each of its calls is a call.Call with one leg and a service function.
//
// Goroutines: Open starts those of the transport (one for the socket, one for each stream), one for the timers of
// transactions and those of the media engine, unless that is shared; Close ends them all and waits. Each call has one,
// which ends with the call. Registration and keep-alive have none: they run on the workers and on timers.
//
// Ordering: the events of one call are told in the order in which they happened, on the call's goroutine; those of the
// registration on the worker that read the response.
package softphone

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/media"
	"dialtone/internal/network"
	"dialtone/internal/sdp"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// Config is what a phone is.
type Config struct {
	Network network.Network
	// Server is where the phone registers and sends everything: HOST or HOST:PORT. A name is looked up by RFC 3263.
	Server    string
	Transport transport.Kind // UDP when 0
	// Domain stands in the addresses of the phone and of those it calls; the host of Server when empty.
	Domain   string
	User     string
	Password string // "": there is no account, the phone calls without registering
	Name     string // display name
	// Expires is how long a registration is asked for; one hour when 0.
	Expires time.Duration
	// RootCAs verify the server's certificate; nil takes those of the system.
	RootCAs *x509.CertPool
	// Insecure takes any certificate.
	Insecure bool
	// Codecs are names of what this build makes ("opus", "G722", "PCMA", "PCMU", "L16") in the order of preference; PCMA and
	// PCMU when empty.
	Codecs []string
	// SRTP says how the media is encrypted.
	SRTP SRTP
	// Answer decides about a call that comes in; nil: busy. It runs on a transport worker and must not block.
	Answer func(Incoming) Decision
	// Events is told what happens; it must not block. May be nil.
	Events func(Event)
	// MediaTimeout ends a call in which nothing was heard for so long; 0: never.
	MediaTimeout time.Duration
	// Media is an engine that many phones of one host share; nil makes one for this phone, with the ports of Ports
	// (20000 to 32767 when zero).
	Media *media.Engine
	Ports media.PortRange
	// DNS looks up the name of the server; nil asks the name servers of the system.
	DNS transport.DNS
	// Timers of the transactions; zero for those of RFC 3261.
	Timers transaction.Timers
	Log    *slog.Logger // nil is silent
}

// Incoming is a call that comes in.
type Incoming struct {
	From, Name string // number and display name of the caller
	Active     int    // calls that the phone has already
}

// Decision is what becomes of it.
type Decision struct {
	// Refuse ends it with this cause, once it has rung for Ring; the zero Cause answers.
	Refuse cause.Cause
	// Ring is how long it rings; negative rings until the caller gives up.
	Ring time.Duration
	Talk Talk
}

// Talk is what the phone does once it is connected.
type Talk struct {
	PCM      []int16       // is played once, then silence; nil plays a tone
	Rate     int           // of PCM, in Hz; 8000 when 0
	Hz       float64       // of the tone; 440 when 0
	Duration time.Duration // then the phone hangs up; 0: the other party does
	Press    string        // keys to be pressed: 0-9 * # A-D
	Record   Recorder      // takes what is heard; nil keeps nothing. See RatedRecorder
	NoOffer  bool          // an outgoing call leaves the offer to the other party
}

// Recorder takes what a call has heard, in pieces of samples at 8 kHz. It is called on the call's goroutine.
type Recorder interface {
	Write(pcm []int16) error
	Flush() error
}

// RatedRecorder is a Recorder that takes wideband, too.
type RatedRecorder interface {
	Recorder
	// Begin tells the sampling rate in Hz before anything is written: 16000 where the codec is wideband, else 8000. A call
	// that is never answered has none.
	Begin(rate int) error
}

// Errors of a phone.
var (
	// ErrOver is returned for a call that is over, and by a phone that is closed.
	ErrOver = errors.New("the call is over")
	// ErrRefused means that the server does not let the phone register; the text says why.
	ErrRefused = errors.New("registration refused")
	errChange  = errors.New("another change of the media is under way")
)

// Phone is one telephone. Its methods may be called from any goroutine, once Open has returned.
type Phone struct {
	config Config
	log    *slog.Logger
	codecs []sdp.Codec
	terms  *media.Terms // of the media
	host   string       // of the server, bare
	port   uint16       // 0 when none is written

	stack        *stack // nil until Open
	registration *registration

	mu      sync.Mutex
	closing bool
	live    map[string]*Call         // by the ID of their call
	byes    map[string]chan struct{} // by SIP Call-ID: BYEs of ours that are not answered yet, at most maxByes
}

// New checks a configuration and makes a phone, which does nothing before Open.
func New(c Config) (*Phone, error) {
	p := &Phone{config: c, log: c.Log, live: map[string]*Call{}, byes: map[string]chan struct{}{}}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if c.Network == nil {
		return nil, errors.New("softphone: no network")
	}
	if c.Transport == 0 {
		p.config.Transport = transport.UDP
	}
	if c.Expires <= 0 {
		p.config.Expires = time.Hour
	}
	if c.Ports == (media.PortRange{}) {
		p.config.Ports = media.PortRange{Min: 20000, Max: 32767}
	}
	if err := p.place(c.Server); err != nil {
		return nil, err
	}
	if c.User == "" && c.Password != "" {
		return nil, errors.New("a password without a user")
	}
	codecs, err := codecsOf(c.Codecs)
	if err != nil {
		return nil, err
	}
	p.codecs = codecs
	if p.terms, err = c.SRTP.terms(); err != nil {
		return nil, err
	}
	for _, codec := range codecs { // an end converts nothing
		p.terms.Codecs = append(p.terms.Codecs, codec.Name)
	}
	p.registration = newRegistration(p)
	return p, nil
}

// place reads HOST[:PORT].
func (p *Phone) place(server string) error {
	u, err := sip.ParseURI([]byte("sip:" + server))
	if err != nil || server == "" || strings.ContainsAny(server, "@;? \t\r\n") {
		return fmt.Errorf("server %q is not HOST or HOST:PORT", server)
	}
	p.host, p.port = string(u.Host), u.Port
	if p.config.Domain == "" {
		p.config.Domain = p.host
	}
	return nil
}

// Open finds the server, opens the phone's socket and starts its goroutines. Close ends them.
func (p *Phone) Open(ctx context.Context) error {
	s, err := openStack(ctx, p)
	if err != nil {
		return err
	}
	p.stack = s
	s.start()
	return nil
}

// Register registers, waits until the server has said yes or no, and keeps the registration until Close. After a
// refusal and every later failure it tries again in its own time (RFC 5626 §4.5).
func (p *Phone) Register(ctx context.Context) error { return p.registration.register(ctx) }

// maxByes bounds what is remembered of BYEs without an answer.
const maxByes = 4096

// farewell is how long Close waits for the answers to its BYEs and to the end of its registration.
const farewell = 2 * time.Second

// Close hangs up what is left, ends the registration, and releases everything.
func (p *Phone) Close() {
	p.mu.Lock()
	p.closing = true
	calls := make([]*Call, 0, len(p.live))
	for _, c := range p.live {
		calls = append(calls, c)
	}
	p.mu.Unlock()
	if p.stack == nil {
		return
	}
	for _, c := range calls {
		c.Hangup()
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	p.stack.calls.Drain(ctx)
	p.registration.leave(ctx)
	p.awaitByes(ctx)
	p.stack.close()
}

// awaitByes waits until every BYE of ours has its answer.
func (p *Phone) awaitByes(ctx context.Context) {
	p.mu.Lock()
	waits := make([]chan struct{}, 0, len(p.byes))
	for _, w := range p.byes {
		waits = append(waits, w)
	}
	p.mu.Unlock()
	for _, w := range waits {
		select {
		case <-w:
		case <-ctx.Done():
			return
		}
	}
}

// willSayBye notes that a BYE is about to go out.
func (p *Phone) willSayBye(callID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byes) >= maxByes { // most were never answered
		clear(p.byes)
	}
	p.byes[callID] = make(chan struct{})
}

// byeAnswered notes that it has its answer.
func (p *Phone) byeAnswered(callID []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w, ok := p.byes[string(callID)]; ok {
		close(w)
		delete(p.byes, string(callID))
	}
}

// Calls are the calls that the phone has now, in no order.
func (p *Phone) Calls() []*Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := make([]*Call, 0, len(p.live))
	for _, c := range p.live {
		calls = append(calls, c)
	}
	return calls
}

// Addr names the phone in the network, as it stands in its Contact: "192.0.2.7:49152".
func (p *Phone) Addr() string {
	f, err := p.stack.server()
	if err != nil {
		return ""
	}
	return f.SentBy()
}

// Idle reports whether nothing of the phone is left in its SIP layers: no call, leg or transaction.
func (p *Phone) Idle() bool {
	return p.stack.calls.Len() == 0 && p.stack.legs.Len() == 0 && p.stack.transactions.Len() == 0
}

// uri prints the URI of somebody at the server; what is a SIP URI already stays one.
func (p *Phone) uri(number string) string {
	if strings.HasPrefix(number, "sip:") || strings.HasPrefix(number, "sips:") {
		return number
	}
	b := append(sip.AppendEscapedUser([]byte("sip:"), number), '@')
	b = append(b, p.config.Domain...)
	if p.port != 0 && p.config.Domain == p.host {
		b = strconv.AppendUint(append(b, ':'), uint64(p.port), 10)
	}
	return string(b)
}

// capabilities are what the phone can do now.
func (p *Phone) capabilities(d sdp.Direction) sdp.Capabilities {
	return sdp.Capabilities{
		// The leg puts its own address in; an unspecified one would read as a hold (RFC 3264 §8.4).
		Address: placeholder(),
		Origin:  sdp.Origin{Username: "-"},
		Audio:   slices.Clone(p.codecs), DTMF: true, PTime: 20, Direction: d,
	}
}

// offer is what the phone would like, with the reports on how it is heard (RFC 3611 §5.1).
func (p *Phone) offer(d sdp.Direction) *sdp.Description {
	o := sdp.Offer(p.capabilities(d))
	for i := range o.Media {
		o.Media[i].SetExtendedReports(sdp.ExtendedReports{RoundTrip: sdp.RoundTripAll, VoIPMetrics: true})
	}
	return o
}

// tell tells an event.
func (p *Phone) tell(e Event) {
	if p.config.Events != nil {
		e.Time = time.Now()
		p.config.Events(e)
	}
}

// Observe implements call.Observer.
func (p *Phone) Observe(n call.Notice) {
	if n, ok := n.(call.CallEnded); ok {
		p.mu.Lock()
		c := p.live[n.Record.ID]
		delete(p.live, n.Record.ID)
		p.mu.Unlock()
		if c != nil {
			c.ended(n.Record)
		}
	}
}

// tls is how the certificate of the server is verified.
func (p *Phone) tls(transport.Target) *tls.Config {
	return &tls.Config{
		RootCAs:            p.config.RootCAs,
		InsecureSkipVerify: p.config.Insecure, //nolint:gosec // only when a person asks for it
		MinVersion:         tls.VersionTLS12,
	}
}

// instance is a name of this phone for RFC 5626 §4.1.
func instance() string { return `"<urn:uuid:` + directory.NewID().String() + `>"` }
