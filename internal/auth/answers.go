package auth

import (
	"net/netip"
	"time"

	"dialtone/internal/digest"
	"dialtone/internal/sip"
)

// Answers reports whether a request answers a challenge that src has been given of late. It says nothing about the
// password, and costs one hash whether the user exists or not.
func (a *Authenticator) Answers(m *sip.Message, src netip.Addr, now time.Time) bool {
	for i := range m.Len() {
		_, value, id := m.At(i)
		if id != sip.HAuthorization && id != sip.HProxyAuthorization {
			continue
		}
		c, err := digest.ParseCredentials(value)
		if err != nil {
			continue
		}
		_, freshness := a.nonces.Check(c.Nonce, src.Unmap(), now)
		return freshness == digest.Fresh
	}
	return false
}
