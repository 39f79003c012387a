package auth

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"slices"

	"dialtone/internal/digest"
	"dialtone/internal/directory"
	"dialtone/internal/sip"
)

// credentials finds the credentials for a realm. Those for other realms are for other servers (RFC 3261 §22.3); a
// malformed value is passed over as if it were not there.
func credentials(m *sip.Message, realm string) (digest.Credentials, bool) {
	if !m.Has(sip.HAuthorization) && !m.Has(sip.HProxyAuthorization) {
		return digest.Credentials{}, false
	}
	for i := range m.Len() {
		// RFC 3261 §20.7: Authorization does not list values by commas; each line is one.
		_, value, id := m.At(i)
		if id != sip.HAuthorization && id != sip.HProxyAuthorization {
			continue
		}
		if c, err := digest.ParseCredentials(value); err == nil && string(c.Realm) == realm {
			return c, true
		}
	}
	return digest.Credentials{}, false
}

// check decides about a request with credentials.
//
// The order of the questions: first those that anybody may see the answer to and that cost little, then the password,
// then the count.
func (a *Authenticator) check(r *Request, tenant *directory.Tenant, c *digest.Credentials) Result {
	m := r.Message
	res := challenge(r, tenant)
	// qop=auth always: without it there is no count, and a captured request could be sent again.
	if !c.QOPIsAuth() || !offered(r.Algorithms, c.Algorithm) || !a.sameTarget(r, c.URI) {
		return res
	}
	nonce, freshness := a.nonces.Check(c.Nonce, r.Source.Addr().Unmap(), r.Now)
	if freshness != digest.Fresh || !a.nonces.Made(nonce) {
		// RFC 7616 §3.3: stale when the nonce is not valid. The password is not looked at: the answer must not tell whether it
		// was right to somebody who has never received a challenge, and whose failures the guard cannot count.
		res.Stale = true
		return res
	}
	account, known := r.Snapshot.Device(tenant.ID, username(c))
	if !a.verify(account.Device, known, c, methodOf(m)) {
		// The same wrong answer once more is not another failure: the refusal was lost on the way.
		res.Failed = a.replay.Use(nonce, c.Count, uint32(r.Now.Unix()))
		res.Stale = !res.Failed
		return res
	}
	if !a.replay.Use(nonce, c.Count, uint32(r.Now.Unix())) {
		// Seen before, or the nonce had to be forgotten.
		res.Stale, res.Repeated, res.Line, res.Device = true, true, account.Line, account.Device
		return res
	}
	if m.Method() == sip.REGISTER && !mayRegister(m, account) {
		// RFC 3261 §10.3 step 4.
		return Result{Verdict: Forbid, Status: 403, Reason: "Not Your Line", Tenant: tenant, Proved: true}
	}
	return Result{Verdict: Allow, Tenant: tenant, Line: account.Line, Device: account.Device, Proved: true}
}

// username is the name in the credentials; where it has no escapes it is a view on the message.
func username(c *digest.Credentials) string {
	if bytes.IndexByte(c.Username, '\\') >= 0 {
		return c.User()
	}
	return view(c.Username)
}

// methodOf is the method that goes into the hash.
func methodOf(m *sip.Message) string {
	if m.Method() != sip.Other {
		return m.Method().String()
	}
	return view(m.MethodName())
}

// verify checks the response against the passwords of a device, of which there may be two while it moves to a new one.
// A refusal takes the same work whether the device exists or not, and however many passwords it has.
func (a *Authenticator) verify(d *directory.Device, known bool, c *digest.Credentials, method string) bool {
	for i := range directory.MaxCredentials {
		credential := &a.nobody
		if known && i < len(d.Credentials) && !d.Static() {
			credential = &d.Credentials[i]
		}
		ha1, ok := hash(credential, c.Algorithm)
		if !ok {
			// This hash was never stored: it must not match all zeros, nor show by taking less time.
			credential = &a.nobody
			ha1, _ = hash(credential, c.Algorithm)
		}
		if c.Verify(method, ha1) && credential != &a.nobody {
			return true
		}
	}
	return false
}

// hash is the stored hash for an algorithm; false when there is none.
func hash(c *directory.Credential, algorithm digest.Algorithm) ([]byte, bool) {
	switch algorithm {
	case digest.MD5:
		return c.MD5[:], c.MD5 != [md5.Size]byte{}
	case digest.SHA256:
		return c.SHA256[:], c.SHA256 != [sha256.Size]byte{}
	default:
		return nil, false
	}
}

// offered reports whether the listener offers the algorithm.
func offered(algorithms []digest.Algorithm, a digest.Algorithm) bool {
	if len(algorithms) == 0 {
		return a == digest.MD5
	}
	return slices.Contains(algorithms, a)
}

// sameTarget reports whether the uri parameter means the target of the request.
//
// RFC 3261 §22.4 bullet 1: the two are the same. Interop: phones leave port and parameters out of the one or the other,
// proxies change them and write an address of ours for our name, and some phones put the user of To into the uri of a
// REGISTER, where it means nothing. SIPp leaves the user out, and with it what is dialled: whoever writes a user is held to
// it, for the hash is over what he has written. Otherwise the user has to agree.
func (a *Authenticator) sameTarget(r *Request, uri []byte) bool {
	m := r.Message
	if string(uri) == string(m.RequestURI()) {
		return true
	}
	u, err := sip.ParseURI(uri)
	if err != nil {
		return false
	}
	v, err := m.URI()
	if err != nil || u.IsSIP() != v.IsSIP() || u.Scheme == sip.SchemeOther {
		return false
	}
	if len(u.User) > 0 && user(&u) != user(&v) && m.Method() != sip.REGISTER {
		return false
	}
	return sip.EqualFold(u.Host, view(v.Host)) || a.ours(r.Snapshot, &u) && a.ours(r.Snapshot, &v)
}

// mayRegister reports whether the To of a REGISTER is a name of the device: its username or the number of its line.
func mayRegister(m *sip.Message, account directory.Account) bool {
	to, err := m.To()
	if err != nil {
		return false
	}
	name := user(&to.URI)
	return name != "" && (name == account.Device.Username || name == account.Line.Number)
}

// AddChallenge adds the challenges to the response that Result.Status asks for: one for each algorithm, the preferred
// one first, all with the same nonce.
//
// RFC 8760 §2.3: the order is that of preference, and each algorithm stands once in a realm.
func (a *Authenticator) AddChallenge(b *sip.Builder, r *Request, res *Result) {
	if res.Verdict != Challenge {
		return
	}
	id := sip.HWWWAuthenticate
	if res.Status == 407 {
		id = sip.HProxyAuthenticate
	}
	var nonceBuf [digest.NonceLen]byte
	nonce := a.nonces.Append(nonceBuf[:0], r.Source.Addr().Unmap(), r.Now)
	var buf [320]byte
	if len(r.Algorithms) == 0 {
		b.AddBytes(id, digest.AppendChallenge(buf[:0], res.Tenant.Realm, nonce, digest.MD5, res.Stale))
		return
	}
	for _, algorithm := range r.Algorithms {
		b.AddBytes(id, digest.AppendChallenge(buf[:0], res.Tenant.Realm, nonce, algorithm, res.Stale))
	}
}
