package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/cdr"
	"dialtone/internal/directory"
)

// A bearer token is its user's signature under an expiry, not a row: "dt_" and the base64 of
//
//	 0                16               24                        56
//	+----------------+----------------+-------------------------+
//	| user ID        | expiry (Unix s)| HMAC-SHA-256            |
//	+----------------+----------------+-------------------------+
//
// The signature covers a digest of the user's password hash: changing the password, or removing the user, ends all
// tokens of the user. The role is that of the user at the moment of each request.
const (
	tokenPrefix = "dt_"
	tokenHead   = 16 + 8
	tokenLength = tokenHead + sha256.Size
)

const (
	tokenDefault = 30 * 24 * time.Hour
	tokenMax     = 366 * 24 * time.Hour
)

type (
	tokenIn struct {
		Body struct {
			User    string `json:"user,omitempty" doc:"Whose token; the local owner has to say, others get their own"`
			Seconds int64  `json:"seconds,omitempty" minimum:"60" maximum:"31622400" doc:"How long it is valid; 30 days by default"`
		}
	}
	tokenOut struct {
		Body struct {
			Token   string   `json:"token" doc:"Shown once"`
			User    string   `json:"user"`
			Expires cdr.Time `json:"expires"`
		}
	}
)

func (a *api) tokenRoutes() {
	route(a, huma.Operation{
		OperationID: "add-token", Method: http.MethodPost, Path: "/tokens", Tags: []string{"tokens"},
		Summary:       "Make a bearer token",
		Description:   "It has the rights of its user and ends with a change of the user's password.",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: objectLimit,
	}, a.addToken)
}

func (a *api) addToken(ctx context.Context, in *tokenIn) (*tokenOut, error) {
	id := who(ctx)
	name := in.Body.User
	if name == "" {
		name, _ = strings.CutPrefix(id.actor.Name, "token of ")
	}
	user := a.door.find(name)
	switch {
	case user == nil:
		return nil, invalid(directory.Errors{{Field: "user", Code: directory.CodeUnknown, Reason: "no such user"}})
	case id.role != directory.RoleOwner && name != strings.TrimPrefix(id.actor.Name, "token of "):
		return nil, forbidden()
	}
	valid := tokenDefault
	if in.Body.Seconds > 0 {
		valid = min(time.Duration(in.Body.Seconds)*time.Second, tokenMax)
	}
	expires := a.Now().Add(valid)
	token, err := a.door.sign(ctx, user, expires)
	if errors.Is(err, errNoPassword) {
		return nil, invalid(directory.Errors{{Field: "user", Code: directory.CodeConflict, Reason: "has no password"}})
	}
	if err != nil {
		return nil, a.failed(err)
	}
	out := &tokenOut{}
	out.Body.Token, out.Body.User, out.Body.Expires = token, name, cdr.Time{Time: expires}
	return out, nil
}

// sign makes a token.
func (d *door) sign(ctx context.Context, user *directory.User, expires time.Time) (string, error) {
	b := make([]byte, 0, tokenLength)
	b = append(b, user.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(expires.Unix())) // after 1970
	mac, err := d.signature(ctx, user, b)
	if err != nil {
		return "", err
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(b, mac[:]...)), nil
}

// bearer finds the user of a token; nil is nobody.
func (d *door) bearer(ctx context.Context, token string) (*directory.User, error) {
	text, ok := strings.CutPrefix(token, tokenPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != tokenLength {
		return nil, nil
	}
	user := d.directory.Snapshot().UserByID(directory.ID(b[:16]))
	if user == nil || d.now().Unix() >= int64(binary.BigEndian.Uint64(b[16:tokenHead])) { // signed by us, or refused below
		return nil, nil
	}
	mac, err := d.signature(ctx, user, b[:tokenHead])
	if errors.Is(err, errNoPassword) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(mac[:], b[tokenHead:]) != 1 {
		return nil, nil
	}
	return user, nil
}

// errNoPassword is the lack of what a token could end with.
var errNoPassword = errors.New("the user has no password")

func (d *door) signature(ctx context.Context, user *directory.User, head []byte) (mac [sha256.Size]byte, err error) {
	mark, err := d.mark(ctx, user)
	if err != nil {
		return mac, err
	}
	return keyed(d.tokenKey, "token", string(mark[:]), string(head)), nil
}

// mark is a digest of the user's password hash. It is remembered for the version of the user.
func (d *door) mark(ctx context.Context, user *directory.User) ([sha256.Size]byte, error) {
	key := userVersion{user.ID, user.Version}
	d.mu.Lock()
	mark, ok := d.marks[key]
	d.mu.Unlock()
	if ok {
		return mark, nil
	}
	hash, err := d.hash(ctx, user.ID)
	if err != nil {
		return mark, err
	}
	if hash == "" {
		return mark, errNoPassword
	}
	mark = keyed(d.tokenKey, "mark", hash.Reveal())
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.marks) >= rememberedMax {
		clear(d.marks)
	}
	d.marks[key] = mark
	return mark, nil
}
