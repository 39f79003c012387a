package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
)

// testCredentials: passwords come in four ways and never come out.
func testCredentials(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme", "acme.example")
	const password = "s3cret-101-s3cret"
	l := line(tenant.ID, "101", password)
	b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Lines(), l) })
	kept := b.getLine(l.ID).Devices[0].Credentials[0]
	if !kept.Matches("101", "acme.example", password) || kept.Secret != "" || kept.HashOnly || kept.Since == 0 {
		t.Errorf("kept as %+v", kept)
	}
	if l.Devices[0].Credentials[0].Secret != "" {
		t.Error("the password stays in memory")
	}
	for _, text := range [][]byte{kept.Sealed, marshal(t, b.getLine(l.ID))} {
		if bytes.Contains(text, []byte(password)) || bytes.Contains(text, kept.MD5[:]) {
			t.Errorf("the password shows in %q", text)
		}
	}

	t.Run("sealed in a file", func(t *testing.T) {
		b.update(func(ctx context.Context, tx store.Tx) {
			v, _ := tx.Lines().Get(ctx, l.ID)
			v.Devices[0].Credentials = []directory.Credential{{Sealed: kept.Sealed}}
			if changed, err := tx.Lines().Put(ctx, v); err != nil || changed {
				t.Errorf("changed %v, error %v", changed, err)
			}
		})
		_, err := b.try(func(ctx context.Context, tx store.Tx) error { // for another account
			v := line(tenant.ID, "102", "")
			v.Devices[0].Credentials = []directory.Credential{{Sealed: kept.Sealed}}
			_, err := tx.Lines().Put(ctx, v)
			return err
		})
		wantFault(t, err, "devices[0].password", directory.CodeInvalid)
	})
	t.Run("another username", func(t *testing.T) {
		b.update(func(ctx context.Context, tx store.Tx) {
			v, _ := tx.Lines().Get(ctx, l.ID)
			v.Devices[0].Username = "sara"
			put(t, ctx, tx.Lines(), v)
		})
		if c := b.getLine(l.ID).Devices[0].Credentials[0]; !c.Matches("sara", "acme.example", password) {
			t.Error("the password does not fit the new username")
		}
	})
	t.Run("two at once", func(t *testing.T) {
		b.update(func(ctx context.Context, tx store.Tx) {
			v, _ := tx.Lines().Get(ctx, l.ID)
			d := &v.Devices[0]
			d.Credentials = append([]directory.Credential{{Secret: "the new password"}}, d.Credentials...)
			put(t, ctx, tx.Lines(), v)
		})
		c := b.getLine(l.ID).Devices[0].Credentials
		if len(c) != 2 || !c[0].Matches("sara", "acme.example", "the new password") || !c[1].Matches("sara", "acme.example", password) {
			t.Error("both passwords should be valid")
		}
	})
	t.Run("hash only", func(t *testing.T) {
		v := line(tenant.ID, "103", "")
		md5, _ := directory.HA1("103", "acme.example", "from elsewhere")
		v.Devices[0].Credentials = []directory.Credential{{MD5: md5}}
		b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Lines(), v) })
		c := b.getLine(v.ID).Devices[0].Credentials[0]
		if !c.HashOnly || c.MD5 != md5 || c.SHA256 != [32]byte{} {
			t.Errorf("kept as hash only %v", c.HashOnly)
		}
		_, err := b.try(func(ctx context.Context, tx store.Tx) error {
			v, _ := tx.Lines().Get(ctx, v.ID)
			v.Devices[0].Username = "renamed"
			_, err := tx.Lines().Put(ctx, v)
			return err
		})
		wantFault(t, err, "devices[0].password", directory.CodeInvalid)
		_, err = b.try(func(ctx context.Context, tx store.Tx) error {
			v, _ := tx.Tenants().Get(ctx, tenant.ID)
			v.Realm = "elsewhere"
			_, err := tx.Tenants().Put(ctx, v)
			return err
		})
		wantFault(t, err, "realm", directory.CodeConflict)
	})
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// testRealm: passwords are hashed again for a new realm, in the same transaction.
func testRealm(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme", "acme.example")
	one, two := line(tenant.ID, "101", "a good password"), static(tenant.ID, "102", "10.0.0.0/8")
	b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.Lines(), one)
		put(t, ctx, tx.Lines(), two)
	})
	since := b.getLine(one.ID).Devices[0].Credentials[0].Since
	changes := b.update(func(ctx context.Context, tx store.Tx) {
		v, _ := tx.Tenants().Get(ctx, tenant.ID)
		v.Domains = []string{"new.example"}
		put(t, ctx, tx.Tenants(), v) // the realm stays
		v.Realm = "new.example"
		put(t, ctx, tx.Tenants(), v)
	})
	if len(changes) != 3 || changes[2].After.Key() != "101" {
		t.Errorf("%d changes, want the tenant twice and line 101", len(changes))
	}
	c := b.getLine(one.ID).Devices[0].Credentials[0]
	if !c.Matches("101", "new.example", "a good password") || c.Since != since {
		t.Error("the password was not hashed for the new realm")
	}
}

// testKeys: after a rotation old secrets open and can be sealed anew; a database without its keys is noticed.
func testKeys(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme", "acme.example")
	l := line(tenant.ID, "101", "a good password")
	b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Lines(), l) })
	ctx := t.Context()
	if n, err := b.Reseal(ctx); err != nil || n != 0 {
		t.Errorf("resealed %d before the rotation, %v", n, err)
	}
	if err := b.cfg.Keys.Rotate(filepath.Join(b.cfg.Dir, "..", "keys")); err != nil {
		t.Fatal(err)
	}
	if b.cfg.Keys.Current(b.getLine(l.ID).Devices[0].Credentials[0].Sealed) {
		t.Fatal("the old secret passes as new")
	}
	if n, err := b.Reseal(ctx); err != nil || n != 1 {
		t.Errorf("resealed %d, %v", n, err)
	}
	c := b.getLine(l.ID).Devices[0].Credentials[0]
	if !b.cfg.Keys.Current(c.Sealed) || !c.Matches("101", "acme.example", "a good password") {
		t.Error("the password was not sealed anew")
	}

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	lost, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Keys = lost
	b.Store = open(t, b.cfg)
	if err := directory.New().Load(ctx, b); err == nil || !strings.Contains(err.Error(), "key file") {
		t.Errorf("load with other keys: %v", err)
	}
	b.update(func(ctx context.Context, tx store.Tx) { // the line can be given a new password
		v, err := tx.Lines().Get(ctx, l.ID)
		if err != nil {
			t.Fatal(err)
		}
		v.Devices[0].Credentials = []directory.Credential{{Secret: "another password"}}
		put(t, ctx, tx.Lines(), v)
	})
	if c := b.getLine(l.ID).Devices[0].Credentials[0]; !c.Matches("101", "acme.example", "another password") {
		t.Error("the new password is not valid")
	}
}

// testAudit: each change has its row, without secrets.
func testAudit(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme", "acme.example")
	l := line(tenant.ID, "101", "s3cret-s3cret")
	user := &directory.User{Meta: directory.Meta{Tenant: tenant.ID}, Name: "sara", PasswordHash: "$argon2id$first"}
	b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.Lines(), l)
		put(t, ctx, tx.Users(), user)
	})
	l.Name = "Sara"
	user.PasswordHash = "$argon2id$second"
	b.update(func(ctx context.Context, tx store.Tx) {
		put(t, ctx, tx.Lines(), l)
		put(t, ctx, tx.Users(), user)
	})
	b.update(func(ctx context.Context, tx store.Tx) {
		if err := tx.Lines().Delete(ctx, l.ID, 0); err != nil {
			t.Fatal(err)
		}
	})
	ctx := t.Context()
	rows, err := b.Audit(ctx, store.AuditQuery{Object: l.ID})
	if err != nil || len(rows) != 3 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	removed, changed, added := rows[0], rows[1], rows[2]
	if added.Before != nil || added.After == nil || changed.Before == nil || removed.After != nil || removed.Before == nil {
		t.Error("states are not those of a new, a changed and a removed object")
	}
	if added.Actor != actor || added.Key != "101" || added.Kind != directory.KindLine || added.Tenant != tenant.ID || added.TimeMS == 0 {
		t.Errorf("row %+v", added)
	}
	if !bytes.Contains(changed.After, []byte(`"name":"Sara"`)) || bytes.Contains(changed.Before, []byte(`"name":"Sara"`)) {
		t.Errorf("changed from %s to %s", changed.Before, changed.After)
	}
	all, err := b.Audit(ctx, store.AuditQuery{Tenant: tenant.ID})
	if err != nil || len(all) != 6 {
		t.Fatalf("%d rows, %v", len(all), err)
	}
	for _, r := range all {
		for _, secret := range []string{"s3cret", "argon2id"} {
			if bytes.Contains(append(r.Before, r.After...), []byte(secret)) {
				t.Errorf("row %d has a secret: %s %s", r.Seq, r.Before, r.After)
			}
		}
	}
	if !bytes.Contains(all[1].After, []byte(`"secret":"changed"`)) {
		t.Errorf("the new password of a user leaves no trace: %s", all[1].After)
	}
	page, err := b.Audit(ctx, store.AuditQuery{Before: all[2].Seq, Limit: 2})
	if err != nil || len(page) != 2 || page[0].Seq != all[3].Seq {
		t.Errorf("page after row %d: %v, %v", all[2].Seq, page, err)
	}
	if n, err := b.VerifyAudit(ctx); err != nil || n != 6 {
		t.Errorf("verified %d rows, %v", n, err)
	}
}

// testSnapshot: what is loaded equals what was applied change by change.
func testSnapshot(t *testing.T, open Opener) {
	b := start(t, open)
	d := directory.New()
	tenant := b.tenant("acme", "acme.example")
	ctx := t.Context()
	if err := d.Load(ctx, b); err != nil {
		t.Fatal(err)
	}
	var l *directory.Line
	d.Apply(b.update(func(ctx context.Context, tx store.Tx) {
		l = line(tenant.ID, "101", "a good password")
		l.Devices = append(l.Devices, static(tenant.ID, "bench", "127.0.0.1/32").Devices[0])
		put(t, ctx, tx.Lines(), l)
		put(t, ctx, tx.Lines(), line(tenant.ID, "102", "a good password"))
		put(t, ctx, tx.Users(), &directory.User{Meta: directory.Meta{Tenant: tenant.ID}, Name: "sara", PasswordHash: "$argon2id$x"})
	}))
	fresh := directory.New()
	if err := fresh.Load(ctx, b); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*directory.Snapshot{"applied": d.Snapshot(), "loaded": fresh.Snapshot()} {
		a, ok := s.Device(s.TenantByDomain("ACME.example").ID, "101")
		if !ok || a.Line.Number != "101" || !a.Device.Credentials[0].Matches("101", "acme.example", "a good password") {
			t.Errorf("%s: device 101 is not found or cannot sign in", name)
		}
		if a.Device.Credentials[0].Sealed != nil || s.User(tenant.ID, "sara").PasswordHash != "" {
			t.Errorf("%s: a snapshot holds secrets", name)
		}
		if c := s.Counts(); c != (directory.Counts{Tenants: 1, Users: 1, Lines: 2, Devices: 3}) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// testReopen: what was kept is there after a restart.
func testReopen(t *testing.T, open Opener) {
	b := start(t, open)
	tenant := b.tenant("acme", "acme.example")
	l := line(tenant.ID, "101", "a good password")
	b.update(func(ctx context.Context, tx store.Tx) { put(t, ctx, tx.Lines(), l) })
	ctx := t.Context()
	if err := b.FinishCalls(ctx, []store.RecordRow{{CallID: "a", Body: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b.Store = open(t, b.cfg)
	}
	if got := b.getLine(l.ID); !got.Devices[0].Credentials[0].Matches("101", "acme.example", "a good password") {
		t.Error("the line came back without its password")
	}
	if rows, err := b.Records(ctx, store.RecordQuery{}); err != nil || len(rows) != 1 {
		t.Errorf("%d records, %v", len(rows), err)
	}
	b.update(func(ctx context.Context, tx store.Tx) { // the audit chain goes on
		if err := tx.Lines().Delete(ctx, l.ID, 1); err != nil {
			t.Fatal(err)
		}
	})
	if n, err := b.VerifyAudit(ctx); err != nil || n != 3 {
		t.Errorf("verified %d rows, %v", n, err)
	}
}
