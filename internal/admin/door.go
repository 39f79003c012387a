package admin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
)

const (
	hashing       = 2               // passwords hashed at a time: each takes 64 MiB
	remembered    = 5 * time.Minute // how long a password that was right need not be hashed again
	rememberedMax = 1024
	failuresMax   = 10 // failures a minute and source, then 429
	failuresKept  = 4096
)

// door tells who a request over HTTP is from. Hashing a password is slow on purpose, so that a right one is remembered
// for a while (as a keyed digest, and only while the user is not changed) and a source that fails is slowed down.
type door struct {
	store     Store
	directory Directory
	log       *slog.Logger
	now       func() time.Time
	tokenKey  []byte
	memoryKey []byte
	dummy     func() directory.Secret // a hash that answers to nobody: unknown users take as long as known ones
	turns     chan struct{}

	mu       sync.Mutex
	right    map[[sha256.Size]byte]time.Time // until when
	marks    map[userVersion][sha256.Size]byte
	failures map[netip.Addr]failure
}

type userVersion struct {
	id      directory.ID
	version int64
}

type failure struct {
	count int
	until time.Time // the count ends
}

func newDoor(c Config) (*door, error) {
	if c.TokenKey != nil && len(c.TokenKey) < 32 {
		return nil, errors.New("admin: the token key is shorter than 32 bytes")
	}
	d := &door{
		store: c.Store, directory: c.Directory, log: c.Log, now: c.Now, tokenKey: c.TokenKey, memoryKey: randomBytes(32),
		turns: make(chan struct{}, hashing), right: map[[sha256.Size]byte]time.Time{},
		marks: map[userVersion][sha256.Size]byte{}, failures: map[netip.Addr]failure{},
	}
	if d.tokenKey == nil {
		d.tokenKey = randomBytes(32)
	}
	d.dummy = sync.OnceValue(func() directory.Secret { return seal.HashPassword(directory.Secret(randomBytes(16))) })
	return d, nil
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// identify finds out who r is from.
func (d *door) identify(r *http.Request, source netip.Addr) (identity, error) {
	var user *directory.User
	var name string
	header := r.Header.Get("Authorization")
	scheme, credential, _ := strings.Cut(header, " ")
	bearer := strings.EqualFold(scheme, "Bearer")
	slowed := d.slowed(source)
	// Nobody guesses a token: one that is valid passes, so that a neighbour's wrong passwords do not lock programs out.
	if slowed && !bearer {
		return identity{}, tooMany()
	}
	var err error
	switch {
	case header == "":
		return identity{}, unauthorized("sign in with a bearer token, or with name and password")
	case bearer:
		name = "token of "
		user, err = d.bearer(r.Context(), strings.TrimSpace(credential))
	case strings.EqualFold(scheme, "Basic"):
		username, password, ok := r.BasicAuth()
		if !ok {
			return identity{}, unauthorized("the credentials cannot be read")
		}
		user, err = d.password(r.Context(), username, directory.Secret(password))
	default:
		return identity{}, unauthorized("sign in with a bearer token, or with name and password")
	}
	if err != nil {
		return identity{}, err
	}
	if user == nil && slowed {
		return identity{}, tooMany()
	}
	if user == nil {
		d.failed(source)
		d.log.Warn("sign-in failed", "source", source)
		return identity{}, unauthorized("the credentials are not valid")
	}
	tenant := ""
	if t := d.directory.Snapshot().Tenant(user.Tenant); t != nil {
		tenant = t.Name
	}
	return identity{
		actor: store.Actor{Name: name + user.Name + "@" + tenant, From: source.String()}, role: user.Role, tenant: user.Tenant,
	}, nil
}

func tooMany() *Problem {
	return problem(http.StatusTooManyRequests, CodeTooMany, "too many failed sign-ins; wait a minute")
}

func unauthorized(detail string) *Problem {
	return problem(http.StatusUnauthorized, CodeUnauthorized, detail)
}

// find is the user that a name means: "sara" of the default tenant, "sara@acme" of another.
func (d *door) find(name string) *directory.User {
	s := d.directory.Snapshot()
	tenant := s.TenantByName(directory.DefaultTenant)
	// A name may have an @ itself: the whole is tried first.
	if tenant != nil {
		if u := s.User(tenant.ID, name); u != nil {
			return u
		}
	}
	at := strings.LastIndexByte(name, '@')
	if at < 0 {
		return nil
	}
	if tenant = s.TenantByName(name[at+1:]); tenant == nil {
		return nil
	}
	return s.User(tenant.ID, name[:at])
}

// maxPassword bounds what is hashed.
const maxPassword = 128

// password checks a name with a password; nil is nobody.
func (d *door) password(ctx context.Context, name string, password directory.Secret) (*directory.User, error) {
	if len(password) > maxPassword {
		return nil, nil
	}
	user := d.find(name)
	if user == nil {
		_, err := d.verify(ctx, d.dummy(), password)
		return nil, err
	}
	memory := d.digest("password", user.ID.String(), etag(user.Version), password.Reveal())
	if d.remembers(memory) {
		return user, nil
	}
	hash, err := d.hash(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	usable := hash != ""
	if !usable {
		hash = d.dummy()
	}
	same, err := d.verify(ctx, hash, password)
	if err != nil || !same || !usable {
		return nil, err
	}
	d.remember(memory)
	return user, nil
}

// verify hashes when it is its turn.
func (d *door) verify(ctx context.Context, hash, password directory.Secret) (bool, error) {
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return false, problem(http.StatusServiceUnavailable, CodeUnavailable, "too many sign-ins at once")
	}
	same, err := seal.VerifyPassword(hash, password)
	return err == nil && same, nil // a hash that cannot be read is nobody's
}

// hash reads the password hash of a user, which the snapshot does not have.
func (d *door) hash(ctx context.Context, id directory.ID) (directory.Secret, error) {
	var hash directory.Secret
	err := d.store.View(ctx, func(tx store.Tx) error {
		user, err := tx.Users().Get(ctx, id)
		if err == nil {
			hash = user.PasswordHash
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		d.log.Error("sign-in: user not read", "error", err)
		return "", internalFault()
	}
	return hash, nil
}

// digest is a keyed digest of parts, none of which may have a zero byte but the last.
func (d *door) digest(parts ...string) [sha256.Size]byte {
	return keyed(d.memoryKey, parts...)
}

func keyed(key []byte, parts ...string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	h.Sum(sum[:0])
	return sum
}

func (d *door) remembers(memory [sha256.Size]byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := d.right[memory]
	return ok && d.now().Before(until)
}

func (d *door) remember(memory [sha256.Size]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.right) >= rememberedMax {
		clear(d.right) // each is one more hash to compute, no more
	}
	d.right[memory] = d.now().Add(remembered)
}

// slowed tells whether a source has failed too often.
func (d *door) slowed(source netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.failures[perSource(source)]
	return ok && f.count >= failuresMax && d.now().Before(f.until)
}

func (d *door) failed(source netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	key := perSource(source)
	f, ok := d.failures[key]
	if !ok || !now.Before(f.until) {
		f = failure{until: now.Add(time.Minute)}
	}
	f.count++
	if len(d.failures) >= failuresKept {
		for k, old := range d.failures {
			if !now.Before(old.until) {
				delete(d.failures, k)
			}
		}
		if len(d.failures) >= failuresKept {
			return // under such an attack the bound on hashing is what holds
		}
	}
	d.failures[key] = f
}

// perSource is what counts as one source: an IPv4 address, a /64 of IPv6.
func perSource(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a // the zero address
	}
	return p.Addr()
}

// writeProblem answers outside of the routes.
func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	switch p.Status {
	case http.StatusUnauthorized:
		// RFC 9110 §15.5.2: a 401 names the schemes.
		w.Header().Add("WWW-Authenticate", `Bearer realm="dialtone"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="dialtone", charset="UTF-8"`)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}
