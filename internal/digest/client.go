package digest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
)

// Errors of Client.Challenged.
var (
	// ErrNoChallenge means that no challenge can be answered: another realm, or an algorithm or qop we cannot do.
	ErrNoChallenge = errors.New("digest: no challenge that can be answered")
	// ErrRefused means that the answer to a challenge of this realm was refused: the password is wrong.
	ErrRefused = errors.New("digest: credentials were refused")
)

// maxRounds is how many challenges are answered without a success.
const maxRounds = 4

// Client answers the challenges of one server with one account: it keeps the last challenge and counts its uses, so
// that later requests carry credentials from the start. One goroutine at a time.
type Client struct {
	Username string
	// Password, or the stored HA1 of each algorithm; HA1 counts when both are there.
	Password string
	HA1      map[Algorithm][]byte
	// Realm limits which challenges are answered; "" answers any. A client that is open to requests from strangers
	// sets it, or it tells them hashes of its password.
	Realm string

	challenge Challenge
	ha1       []byte
	count     uint32
	sent      bool // the current challenge has been answered
	rounds    int  // challenges since the last success
}

// Challenged takes the challenges of a 401 or 407 and picks the strongest that can be answered; among equals the first.
// nil means: send the request again with Append.
//
// RFC 8760 §2.4 lets local policy overrule the order of the challenges; ours is that a weak one first in the list must
// not win.
func (c *Client) Challenged(challenges []Challenge) error {
	best := -1
	for i := range challenges {
		ch := &challenges[i]
		if !c.can(ch) {
			continue
		}
		if best < 0 || ch.Algorithm > challenges[best].Algorithm {
			best = i
		}
	}
	if best < 0 {
		return ErrNoChallenge
	}
	next := challenges[best]
	// RFC 3261 §22.1: the same credentials are not sent again after they were refused, unless the nonce was stale.
	// Interop: servers that replace an old nonce without stale=true are seen; a nonce that was good before gets a
	// second try, and a server that calls everything stale does not get an endless one.
	if c.sent && c.rounds > 0 && !next.Stale || c.rounds >= maxRounds {
		c.Forget()
		return ErrRefused
	}
	if next.Realm != c.challenge.Realm || next.Algorithm != c.challenge.Algorithm || c.ha1 == nil {
		c.ha1 = c.HA1[next.Algorithm]
		if c.ha1 == nil {
			c.ha1 = HA1(next.Algorithm, c.Username, next.Realm, c.Password)
		}
	}
	c.challenge, c.count, c.sent = next, 0, false
	c.rounds++
	return nil
}

// can reports whether the challenge can be answered.
func (c *Client) can(ch *Challenge) bool {
	if ch.Algorithm == Unknown || c.Realm != "" && ch.Realm != c.Realm || ch.AuthInt && !ch.Auth {
		return false
	}
	// A hash with which no challenge was ever answered is no password.
	return c.HA1 == nil || c.HA1[ch.Algorithm] != nil || c.Password != ""
}

// Ready reports whether there is a challenge to answer.
func (c *Client) Ready() bool { return c.challenge.Nonce != "" }

// Accepted says that the server took the last credentials, so that a later challenge is no refusal of the password.
func (c *Client) Accepted() { c.rounds = 0 }

// Forget drops the challenge: the next request goes out without credentials.
func (c *Client) Forget() {
	c.challenge, c.ha1, c.count, c.sent, c.rounds = Challenge{}, nil, 0, false, 0
}

// Append appends the value of the Authorization or Proxy-Authorization header for one request to b, with the next nonce
// count. uri is the Request-URI as it stands in the request. Nothing is appended unless Ready.
func (c *Client) Append(b []byte, method, uri string) []byte {
	if !c.Ready() {
		return b
	}
	var cnonce [8]byte
	_, _ = rand.Read(cnonce[:]) // never fails (crypto/rand)
	c.count++
	c.sent = true
	return c.appendWith(b, method, uri, hex.AppendEncode(nil, cnonce[:]))
}

func (c *Client) appendWith(b []byte, method, uri string, cnonce []byte) []byte {
	ch := &c.challenge
	in := Input{Method: method, URI: []byte(uri), Nonce: []byte(ch.Nonce)}
	out := Credentials{
		Username:  escape(c.Username),
		Realm:     escape(ch.Realm),
		Nonce:     escape(ch.Nonce),
		URI:       escape(uri),
		Algorithm: ch.Algorithm,
	}
	if ch.Auth {
		in.QOP, in.CNonce, in.NC = []byte("auth"), cnonce, fmt.Appendf(nil, "%08x", c.count)
		out.QOP, out.CNonce, out.NC = in.QOP, in.CNonce, in.NC
	}
	if ch.Opaque != "" {
		out.Opaque = escape(ch.Opaque) // RFC 7616 §3.4: returned unchanged
	}
	out.Response = AppendResponse(nil, ch.Algorithm, c.ha1, &in)
	return out.Append(b)
}

// escape prepares text for standing between quotes.
func escape(text string) []byte {
	q := appendQuoted(make([]byte, 0, len(text)+2), text)
	return q[1 : len(q)-1]
}
