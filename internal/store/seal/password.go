package seal

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"

	"dialtone/internal/directory"
)

// Cost of a password hash: RFC 9106 §4, second recommended option (64 MiB, three passes), with one lane, because the
// cores belong to calls.
const (
	passes  = 3
	memory  = 64 * 1024 // KiB
	lanes   = 1
	saltLen = 16
	hashLen = 32
)

// Bounds of what VerifyPassword accepts to compute, so that a hash from elsewhere cannot exhaust the machine.
const (
	maxPasses = 16
	maxMemory = 256 * 1024 // KiB
	maxLanes  = 16
)

// ErrHash is returned for a password hash that is not argon2id in PHC form or too costly.
var ErrHash = errors.New("not an argon2id hash that can be verified")

// HashPassword returns the argon2id hash of a person's password in PHC form: $argon2id$v=19$m=65536,t=3,p=1$salt$hash.
// It takes about 0.1 s and 64 MiB: callers bound how many run at a time.
func HashPassword(password directory.Secret) directory.Secret {
	var salt [saltLen]byte
	_, _ = rand.Read(salt[:]) // never fails
	hash := argon2.IDKey([]byte(password.Reveal()), salt[:], passes, memory, lanes, hashLen)
	return directory.Secret(phcText(phc{memory: memory, passes: passes, lanes: lanes, salt: salt[:], hash: hash}))
}

// VerifyPassword reports whether password is the one that was hashed. It costs what HashPassword costs.
func VerifyPassword(hash, password directory.Secret) (bool, error) {
	p, err := parsePHC(hash.Reveal())
	if err != nil {
		return false, err
	}
	got := argon2.IDKey([]byte(password.Reveal()), p.salt, p.passes, p.memory, p.lanes, uint32(len(p.hash)))
	return subtle.ConstantTimeCompare(got, p.hash) == 1, nil
}

// phc is a hash in parts.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, hash     []byte
}

func phcText(p phc) string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.passes, p.lanes, enc.EncodeToString(p.salt), enc.EncodeToString(p.hash))
}

func parsePHC(s string) (phc, error) {
	var p phc
	var v int
	var salt, hash string
	// %s stops at blanks only, so the last two fields arrive together.
	if _, err := fmt.Sscanf(s, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &v, &p.memory, &p.passes, &p.lanes, &salt); err != nil {
		return phc{}, ErrHash
	}
	for i := range len(salt) {
		if salt[i] == '$' {
			salt, hash = salt[:i], salt[i+1:]
			break
		}
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(salt)
	p.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(hash)
	switch {
	case err1 != nil || err2 != nil, v != argon2.Version,
		p.passes < 1 || p.passes > maxPasses, p.lanes < 1 || p.lanes > maxLanes,
		p.memory < 8*uint32(p.lanes) || p.memory > maxMemory,
		len(p.salt) < 8 || len(p.salt) > 64, len(p.hash) < 16 || len(p.hash) > 64:
		return phc{}, ErrHash
	}
	return p, nil
}
