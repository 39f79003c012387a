package sipleg

import (
	"dialtone/internal/digest"
	"dialtone/internal/sip"
)

// account answers the challenges of a party inside its dialog: RFC 3261 §22. nil is a leg without credentials. One
// goroutine at a time: the call's, and after the end of the leg whoever holds its mu.
type account struct {
	client *digest.Client
	header sip.HeaderID // Authorization or Proxy-Authorization
}

// authorize adds the answer to the last challenge to a request; it returns its value, "" when there was none.
func (a *account) authorize(b *sip.Builder, method, uri string) string {
	if a == nil || !a.client.Ready() {
		return ""
	}
	value := string(a.client.Append(nil, method, uri))
	b.Add(a.header, value)
	return value
}

// challenged takes a 401 or 407 and tells whether the request is worth another try.
func (a *account) challenged(m *sip.Message) bool {
	if a == nil {
		return false
	}
	id := sip.HWWWAuthenticate
	if a.header = sip.HAuthorization; m.Status() == 407 {
		id, a.header = sip.HProxyAuthenticate, sip.HProxyAuthorization
	}
	return a.client.Challenged(Challenges(m, id)) == nil
}

// accepted notes that the party took our credentials.
func (a *account) accepted() {
	if a != nil {
		a.client.Accepted()
	}
}

// Challenges reads the digest challenges of a 401 or 407; others are passed over.
func Challenges(m *sip.Message, id sip.HeaderID) []digest.Challenge {
	var cs []digest.Challenge
	for i := range m.Len() {
		if _, v, h := m.At(i); h == id && len(cs) < 8 {
			if c, err := digest.ParseChallenge(v); err == nil {
				cs = append(cs, c)
			}
		}
	}
	return cs
}
