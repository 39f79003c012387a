package turn

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
)

// Credentials let one party use the server for a while. They are the form that coturn calls "REST API": nothing is kept,
// the password is a signature over the user name.
type Credentials struct {
	Username string // "1764000000:label": Unix seconds at which it ends, and whose it is
	Password string
	Expires  time.Time
}

const (
	labelBytes = 200 // of a label; RFC 8489 §14.3 has 508 for the whole name

	// outliving is how long after its end a credential still keeps an allocation alive that it has made: a call does not
	// end because an hour is over.
	outliving = 24 * time.Hour
)

// keyring makes and checks passwords.
type keyring struct {
	secret []byte
	realm  string
}

// password is base64(HMAC-SHA1(secret, username)), draft-uberti-behave-turn-rest-00 §2.2.
func (k keyring) password(username string) string {
	mac := hmac.New(sha1.New, k.secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// key is that of the long-term mechanism, RFC 8489 §9.2.2: MD5(username ":" realm ":" password).
func (k keyring) key(username string) []byte {
	sum := md5.Sum([]byte(username + ":" + k.realm + ":" + k.password(username)))
	return sum[:]
}

// Credentials makes credentials for a label, such as the name of a user; all of one label share its quota. A long label
// is cut.
func (s *Server) Credentials(label string, now time.Time) Credentials {
	if len(label) > labelBytes {
		label = strings.ToValidUTF8(label[:labelBytes], "")
	}
	expires := now.Add(s.config.Lifetime).Truncate(time.Second)
	name := strconv.FormatInt(expires.Unix(), 10) + ":" + label
	return Credentials{Username: name, Password: s.keys.password(name), Expires: expires}
}

// Lifetime is how long new credentials are valid.
func (s *Server) Lifetime() time.Duration { return s.config.Lifetime }

// readUsername takes a user name apart; a bare time, which coturn knows as well, is its own label.
func readUsername(username string) (expires time.Time, label string, ok bool) {
	digits, label, has := strings.Cut(username, ":")
	unix, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || unix <= 0 || unix > 1<<40 || digits[0] == '+' || len(label) > labelBytes {
		return time.Time{}, "", false
	}
	if !has {
		label = digits
	}
	return time.Unix(unix, 0), label, true
}

// authenticate gives Pion the key of a user, which the signature of the message is then checked with.
func (s *Server) authenticate(a *pion.RequestAttributes) (label string, key []byte, ok bool) {
	expires, label, ok := readUsername(a.Username)
	now := time.Now()
	if ok && a.Realm == s.config.Realm {
		if now.Before(expires) {
			return label, s.keys.key(a.Username), true
		}
		// What exists may be refreshed and used; nothing new is made.
		if a.Method != stun.MethodAllocate && now.Before(expires.Add(outliving)) && s.relays.of(label) > 0 {
			return label, s.keys.key(a.Username), true
		}
	}
	s.refuse(reasonCredential)
	return "", nil, false
}
