package relational

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"

	"dialtone/internal/directory"
)

// Layout of an opened credential:
//
//	 0       1              17               49
//	+-------+--------------+----------------+-----------------------------+
//	| flags | HA1 MD5      | HA1 SHA-256    | password, unless hash only  |
//	+-------+--------------+----------------+-----------------------------+
const (
	flagHashOnly   = 1
	credentialHead = 1 + md5.Size + sha256.Size
)

// place is what a credential is bound to: the account its hashes are for. A sealed credential that is copied to another
// account, even by someone who can write to the database, does not open there; one that was exported opens in a new
// database with the same keys.
func place(username, realm string) []byte {
	out := make([]byte, 0, 128)
	out = append(out, "device credential\x00"...)
	out = append(append(out, realm...), 0)
	return append(out, username...)
}

// seal encrypts a credential whose hashes are computed.
func (s *Store) seal(username, realm string, c *directory.Credential) []byte {
	plain := make([]byte, 0, credentialHead+64)
	if c.HashOnly {
		plain = append(plain, flagHashOnly)
	} else {
		plain = append(plain, 0)
	}
	plain = append(append(plain, c.MD5[:]...), c.SHA256[:]...)
	if !c.HashOnly {
		plain = append(plain, c.Secret.Reveal()...)
	}
	sealed := s.cfg.Keys.Seal(place(username, realm), plain)
	clear(plain)
	return sealed
}

// open decrypts a credential: hashes and password.
func (s *Store) open(username, realm string, sealed []byte) (directory.Credential, error) {
	plain, err := s.cfg.Keys.Open(place(username, realm), sealed)
	if err != nil {
		return directory.Credential{}, err
	}
	defer clear(plain)
	if len(plain) < credentialHead {
		return directory.Credential{}, errors.New("sealed credential is too short")
	}
	c := directory.Credential{HashOnly: plain[0]&flagHashOnly != 0, Secret: directory.Secret(plain[credentialHead:])}
	copy(c.MD5[:], plain[1:])
	copy(c.SHA256[:], plain[1+md5.Size:])
	return c, nil
}

var errSealed = errors.New("does not open: it was sealed for another username or realm, or with a key that is not here")

// settle completes a credential that is about to be kept: hashes for username and realm, sealed, with its date. What is
// kept already for the same password stays as it is.
func (t *tx) settle(c *directory.Credential, username, realm string, old *directory.Device) error {
	var sealed []byte // what need not be sealed anew: an export that was taken over exports the same again
	switch {
	case c.Secret != "":
		c.MD5, c.SHA256 = directory.HA1(username, realm, c.Secret)
		c.HashOnly = false
	case len(c.Sealed) > 0:
		opened, err := t.store.open(username, realm, c.Sealed)
		if err == nil && t.store.cfg.Keys.Current(c.Sealed) {
			sealed = c.Sealed
		}
		if err != nil && old != nil && old.Username != username {
			// The device gets another username: its hashes have to be made from the password.
			if opened, err = t.store.open(old.Username, realm, c.Sealed); err == nil && opened.HashOnly {
				return errors.New("is known as a hash only, so that the username cannot change without a new password")
			}
			if err == nil {
				opened.MD5, opened.SHA256 = directory.HA1(username, realm, opened.Secret)
				old = nil
			}
		}
		if err != nil {
			return errSealed
		}
		opened.Since = c.Since
		*c = opened
	default:
		c.HashOnly = true
	}
	if old != nil {
		for i := range old.Credentials {
			k := &old.Credentials[i]
			if k.MD5 == c.MD5 && k.SHA256 == c.SHA256 && k.HashOnly == c.HashOnly {
				*c = *k
				return nil
			}
		}
	}
	if c.Since == 0 {
		c.Since = t.now
	}
	if c.Sealed = sealed; sealed == nil {
		c.Sealed = t.store.seal(username, realm, c)
	}
	c.Secret = ""
	return nil
}

// Reseal implements store.Objects.
func (s *Store) Reseal(ctx context.Context) (int, error) {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	n := 0
	err := transact(ctx, s.cfg.Directory.Write, nil, func(sqlTx *sql.Tx) error {
		stale, err := s.stale(ctx, sqlTx)
		if err != nil {
			return err
		}
		for _, d := range stale {
			if _, err := sqlTx.ExecContext(ctx, `UPDATE devices SET credentials = $2 WHERE id = $1`, d.id, d.credentials); err != nil {
				return err
			}
			n += d.secrets
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// resealed is a device whose credentials were sealed with an older key.
type resealed struct {
	id          directory.ID
	credentials string // as they are to be kept
	secrets     int    // how many of them are new
}

func (s *Store) stale(ctx context.Context, sqlTx *sql.Tx) ([]resealed, error) {
	rows, err := sqlTx.QueryContext(ctx, `SELECT d.id, d.username, t.realm, d.credentials
		FROM devices d JOIN tenants t ON t.id = d.tenant_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []resealed
	for rows.Next() {
		var r resealed
		var username, realm string
		var kept []keptCredential
		if err := rows.Scan(&r.id, &username, &realm, &r.credentials); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(r.credentials), &kept); err != nil {
			return nil, err
		}
		for i := range kept {
			if s.cfg.Keys.Current(kept[i].Sealed) {
				continue
			}
			c, err := s.open(username, realm, kept[i].Sealed)
			if err != nil {
				return nil, err
			}
			kept[i].Sealed = s.seal(username, realm, &c)
			r.secrets++
		}
		if r.secrets > 0 {
			text, err := json.Marshal(kept)
			if err != nil {
				return nil, err
			}
			r.credentials = string(text)
			out = append(out, r)
		}
	}
	return out, errors.Join(rows.Err(), rows.Close())
}
