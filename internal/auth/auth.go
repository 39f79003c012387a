// Package auth finds out who a request is from: a device that is known by its address, or one that knows its password
// (digest). It decides between letting a request in, challenging it, and refusing it, and writes the challenge.
//
// It does not count failures or ban (guard does, told by Result.Failed and Result.Proved), does not decide what an
// identified device may do beyond registering for itself, and does not answer by itself. Trunks are not its concern yet.
//
// What a stranger sees never depends on whether a user exists: unknown users and wrong passwords get the same answer
// after the same work.
//
// Goroutines: none; any may call. Ordering: none. State: the nonces in use (digest.Replay), of fixed size.
//
// RFCs: 3261 §22 and §10.3 steps 3 and 4, 7616, 8760.
package auth

import (
	"crypto/rand"
	"net/netip"
	"time"
	"unsafe"

	"dialtone/internal/digest"
	"dialtone/internal/directory"
	"dialtone/internal/sip"
)

// Flows knows from where devices are registered; *location.Table does.
type Flows interface {
	// HasFlow reports whether a live binding of the line was registered from src.
	HasFlow(tenant, line directory.ID, src netip.AddrPort, now time.Time) bool
}

// Config says what the authenticator works with. Zero fields take the values in brackets.
type Config struct {
	Flows Flows // [nobody is registered]
	// Local reports whether an address is one of this server's own, as a phone may name it. [none]
	Local func(netip.Addr) bool
	// Key is what nonces are made with. [random] It may outlive the process: a nonce of an earlier one, or of another
	// server with the same key, is answered with a stale challenge, for which of its counts were used is not known here.
	Key digest.Key
	// NonceLifetime is how long a nonce may be used. [5 min]
	NonceLifetime time.Duration
	// Nonces is how many devices can use nonces at a time without anybody being asked for a new one. [65536]
	Nonces int
}

// Authenticator identifies requests.
type Authenticator struct {
	flows  Flows
	local  func(netip.Addr) bool
	nonces *digest.Nonces
	replay *digest.Replay
	// nobody is the password of users that do not exist; no request can match it.
	nobody directory.Credential
}

// New makes an authenticator.
func New(c Config) *Authenticator {
	if c.Flows == nil {
		c.Flows = noFlows{}
	}
	if c.Local == nil {
		c.Local = func(netip.Addr) bool { return false }
	}
	if c.Key == (digest.Key{}) {
		_, _ = rand.Read(c.Key[:]) // never fails (crypto/rand)
	}
	if c.NonceLifetime <= 0 {
		c.NonceLifetime = 5 * time.Minute
	}
	if c.Nonces <= 0 {
		c.Nonces = 1 << 16
	}
	a := &Authenticator{
		flows: c.Flows, local: c.Local,
		nonces: digest.NewNonces(c.Key, c.NonceLifetime),
		replay: digest.NewReplay(c.Nonces, uint32(max(1, c.NonceLifetime/time.Second))),
	}
	_, _ = rand.Read(a.nobody.MD5[:])
	_, _ = rand.Read(a.nobody.SHA256[:])
	return a
}

type noFlows struct{}

func (noFlows) HasFlow(_, _ directory.ID, _ netip.AddrPort, _ time.Time) bool { return false }

// Request is a SIP request to be identified.
type Request struct {
	Message  *sip.Message
	Source   netip.AddrPort
	Snapshot *directory.Snapshot
	// Algorithms are what the listener offers, the preferred one first; empty is MD5 alone.
	Algorithms []digest.Algorithm
	// Proxy: we forward the request rather than take it ourselves, so that it is challenged with 407 (RFC 3261 §22.3).
	Proxy bool
	// Routed: the operator has said where requests for this domain go, so that to send it there is no relaying.
	Routed bool
	Now    time.Time
}

// Verdict is what becomes of a request.
type Verdict uint8

// The verdicts.
const (
	Allow     Verdict = iota + 1
	Challenge         // answer with Result.Status and AddChallenge
	Forbid            // answer with Result.Status
	Drop              // no answer: it is an ACK
)

// Result says who a request is from, or what to answer.
type Result struct {
	Verdict Verdict
	Status  int    // of the answer: 401, 407, 403, 400, 481; 0 for Allow and Drop
	Reason  string // "" for the usual phrase
	// Tenant is whose request it is; set with Allow and Challenge.
	Tenant *directory.Tenant
	// Line and Device are set with Allow and Repeated.
	Line   *directory.Line
	Device *directory.Device
	// Stale: the nonce of the request could not be used; the challenge says so.
	Stale bool
	// Failed: the request answers a challenge that its source has received, and the password is wrong. The guard
	// counts these.
	Failed bool
	// Repeated: the request has been let in before, with the same count of the same nonce, as Line and Device say: it was
	// sent again because the answer was lost, or copied. The verdict is Challenge.
	Repeated bool
	// Proved: the device has proved itself on this flow, now. The guard remembers the flow.
	Proved bool
}

// Identify finds out who a request is from.
func (a *Authenticator) Identify(r *Request) Result {
	m := r.Message
	// RFC 3261 §22.1: neither is ever challenged. What belongs to a transaction or dialog does not come here.
	switch m.Method() {
	case sip.ACK:
		return Result{Verdict: Drop}
	case sip.CANCEL:
		return Result{Verdict: Forbid, Status: 481}
	}
	who, err := readParty(m)
	if err != nil {
		return Result{Verdict: Forbid, Status: 400, Reason: "Bad Address"}
	}
	tenant := tenantOf(r, who.host)
	if tenant == nil {
		return Result{Verdict: Forbid, Status: 403}
	}
	register := m.Method() == sip.REGISTER
	known := false
	if !register {
		// The flow of a registered phone: it proves itself by digest, even where a static device sends from the same address.
		known = a.onOwnFlow(r, tenant, who.user)
		if !known {
			if account, ok := r.Snapshot.StaticDevice(tenant.ID, r.Source.Addr().Unmap(), who.user); ok {
				if owner := r.Snapshot.Tenant(account.Line.Tenant); owner != nil {
					return Result{Verdict: Allow, Tenant: owner, Line: account.Line, Device: account.Device, Proved: true}
				}
			}
		}
	}
	c, ok := credentials(m, tenant.Realm)
	if !ok {
		// No open relay. Interop: phones are configured with host names of the server that it does not know itself; one
		// that is registered from where the request comes is challenged, not refused.
		if !register && !known && !r.Routed && a.foreign(r) {
			return Result{Verdict: Forbid, Status: 403, Reason: "Not Relayed"}
		}
		return challenge(r, tenant)
	}
	return a.check(r, tenant, &c)
}

// challenge is the result that asks for a password.
func challenge(r *Request, tenant *directory.Tenant) Result {
	status := 401
	if r.Proxy && r.Message.Method() != sip.REGISTER {
		status = 407
	}
	return Result{Verdict: Challenge, Status: status, Tenant: tenant}
}

// party is whom a request claims to be from.
type party struct {
	user string
	host []byte
}

// readParty reads the address-of-record that a request is for or from: To of a REGISTER, From of any other.
func readParty(m *sip.Message) (party, error) {
	address, err := m.From()
	if m.Method() == sip.REGISTER {
		address, err = m.To()
	}
	if err != nil {
		return party{}, err
	}
	return party{user: user(&address.URI), host: address.URI.Host}, nil
}

// tenantOf is the tenant of the domain that a request is for or from. Where nobody has that domain ("anonymous.invalid"
// of RFC 3323 §4.1.1.3, an address, a host name of ours that is no domain) the Request-URI may name one; else it is the
// default tenant.
func tenantOf(r *Request, host []byte) *directory.Tenant {
	if len(host) > 0 {
		if t := r.Snapshot.TenantByDomain(view(host)); t != nil {
			return t
		}
	}
	if u, err := r.Message.URI(); err == nil && len(u.Host) > 0 {
		if t := r.Snapshot.TenantByDomain(view(u.Host)); t != nil {
			return t
		}
	}
	return r.Snapshot.TenantByName(directory.DefaultTenant)
}

// onOwnFlow reports whether the request comes from where a device of the user's line is registered. The user may be a
// device's username or the line's number.
func (a *Authenticator) onOwnFlow(r *Request, tenant *directory.Tenant, user string) bool {
	line := r.Snapshot.Line(tenant.ID, user)
	if account, ok := r.Snapshot.Device(tenant.ID, user); ok {
		if a.flows.HasFlow(tenant.ID, account.Line.ID, r.Source, r.Now) {
			return true
		}
	}
	return line != nil && a.flows.HasFlow(tenant.ID, line.ID, r.Source, r.Now)
}

// foreign reports whether the request is for a domain that is not ours. A tel URI names no domain; what it is good for
// the dial plan says.
func (a *Authenticator) foreign(r *Request) bool {
	u, err := r.Message.URI()
	return err == nil && u.IsSIP() && !a.ours(r.Snapshot, &u)
}

// ours reports whether the host of a URI is a tenant's domain or this server.
func (a *Authenticator) ours(s *directory.Snapshot, u *sip.URI) bool {
	if addr, ok := u.HostAddr(); ok && a.local(addr) {
		return true
	}
	return s.TenantByDomain(view(u.Host)) != nil || sip.EqualFold(u.Host, "localhost")
}

// user is the user part of a URI with its escapes decoded; where there are none it is a view on the message.
func user(u *sip.URI) string {
	for _, c := range u.User {
		if c == '%' {
			return u.UserUnescaped()
		}
	}
	return view(u.User)
}

// view is b as a string for look-ups, without a copy. It is valid as long as the message, and nothing here keeps it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
