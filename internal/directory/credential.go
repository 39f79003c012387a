package directory

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
)

// Credential is one valid password of a device. The exchange needs only the two hashes; the sealed secret lets it
// compute them again when the realm or the username changes.
//
// To set a password fill Secret alone, or MD5 and SHA256 where only hashes are known, or Sealed as it was read
// from the store (or an export): the store fills in the rest. JSON of a credential has no secrets and is write-only.
type Credential struct {
	// Secret is the new password. The store never returns it.
	Secret Secret
	// MD5 is H(username:realm:password), "HA1" of RFC 7616 §3.4.2, with MD5.
	MD5 [md5.Size]byte
	// SHA256 is the same with SHA-256. A hash of zeros is not known: the device cannot use that algorithm. In a Snapshot
	// it is random instead, so that a comparison that does not ask fails.
	SHA256 [sha256.Size]byte
	// Sealed is the encrypted credential as the store keeps it. A Snapshot has none.
	Sealed []byte
	// Since is when the password was set, in Unix milliseconds.
	Since int64
	// HashOnly tells that the password itself is not known, so that realm and username cannot change. The store sets it.
	HashOnly bool
}

// HA1 computes both hashes of a password.
// RFC 7616 §3.4.2: A1 = unq(username) ":" unq(realm) ":" passwd.
func HA1(username, realm string, secret Secret) (m [md5.Size]byte, s [sha256.Size]byte) {
	a1 := make([]byte, 0, 128)
	a1 = append(a1, username...)
	a1 = append(a1, ':')
	a1 = append(a1, realm...)
	a1 = append(a1, ':')
	a1 = append(a1, secret...)
	m, s = md5.Sum(a1), sha256.Sum256(a1)
	clear(a1)
	return m, s
}

// Matches reports whether secret is the password behind the credential, by the hashes that are known.
func (c *Credential) Matches(username, realm string, secret Secret) bool {
	m, s := HA1(username, realm, secret)
	return c.Hashed() &&
		(c.MD5 == [md5.Size]byte{} || subtle.ConstantTimeCompare(m[:], c.MD5[:]) == 1) &&
		(c.SHA256 == [sha256.Size]byte{} || subtle.ConstantTimeCompare(s[:], c.SHA256[:]) == 1)
}

// Hashed reports whether at least one of the hashes is known.
func (c *Credential) Hashed() bool {
	return c.MD5 != [md5.Size]byte{} || c.SHA256 != [sha256.Size]byte{}
}

// forSnapshot removes secrets and makes hashes that are not known impossible to guess.
func (c *Credential) forSnapshot() {
	c.Secret, c.Sealed = "", nil
	if c.MD5 == [md5.Size]byte{} {
		_, _ = rand.Read(c.MD5[:]) // never fails
	}
	if c.SHA256 == [sha256.Size]byte{} {
		_, _ = rand.Read(c.SHA256[:])
	}
}

// fault says why the credential cannot be kept, "" when it can.
func (c *Credential) fault() string {
	switch {
	case c.Secret == "" && !c.Hashed() && len(c.Sealed) == 0:
		return "needs a password, a sealed one, or a hash of it"
	case len(c.Secret) > maxName:
		return "is longer than 128 bytes"
	case !printable(string(c.Secret)):
		return "contains control characters"
	}
	return ""
}

// MarshalJSON tells what may be known of a credential: since when it is valid, and whether the password is known.
func (c Credential) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Since    int64 `json:"since"`
		HashOnly bool  `json:"hash_only,omitempty"`
	}{c.Since, c.HashOnly})
}

// UnmarshalJSON reads what MarshalJSON writes: a password never comes in by this way.
func (c *Credential) UnmarshalJSON(data []byte) error {
	var shown struct {
		Since    int64 `json:"since"`
		HashOnly bool  `json:"hash_only"`
	}
	if err := json.Unmarshal(data, &shown); err != nil {
		return err
	}
	*c = Credential{Since: shown.Since, HashOnly: shown.HashOnly}
	return nil
}

// Format hides everything, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(masked)) }
