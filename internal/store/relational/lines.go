package relational

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"dialtone/internal/directory"
)

func defineLines() definition[directory.Line, *directory.Line] {
	return definition[directory.Line, *directory.Line]{
		kind: directory.KindLine, table: "lines",
		extra: []string{"user_id", "site_id"},
		value: func(l *directory.Line) []any { return []any{l.User, l.Site} },
		slim: func(l *directory.Line) *directory.Line {
			s := *l
			s.Devices = nil
			return &s
		},
		fill: fillLine, prepare: prepareLine, spread: spreadLine, check: checkLine,
		taken: func(ctx context.Context, t *tx, l *directory.Line) (string, error) {
			return t.takenName(ctx, "lines", "number", l)
		},
		hidden: func(l *directory.Line) []byte {
			var all []byte
			for i := range l.Devices {
				for j := range l.Devices[i].Credentials {
					all = append(all, l.Devices[i].Credentials[j].Sealed...)
				}
			}
			return all
		},
	}.statements()
}

// keptCredential is an element of devices.credentials.
type keptCredential struct {
	Since  int64  `json:"since"`
	Sealed []byte `json:"sealed"`
}

// device reads the columns of a device and opens its credentials. One that does not open (altered, or its key is lost)
// has no hashes; the device stays readable, so that it can be given a new password.
func (s *Store) device(id directory.ID, username, realm string, body, credentials []byte) (directory.Device, error) {
	d := directory.Device{}
	if err := json.Unmarshal(body, &d); err != nil {
		return d, fmt.Errorf("read device %s: %w", username, err)
	}
	d.ID, d.Username = id, username
	var kept []keptCredential
	if err := json.Unmarshal(credentials, &kept); err != nil {
		return d, fmt.Errorf("read credentials of device %s: %w", username, err)
	}
	for _, k := range kept {
		opened, err := s.open(username, realm, k.Sealed)
		if err != nil {
			opened = directory.Credential{HashOnly: true}
		}
		opened.Secret, opened.Sealed, opened.Since = "", k.Sealed, k.Since
		d.Credentials = append(d.Credentials, opened)
	}
	return d, nil
}

// fillLine reads the devices of a line.
func fillLine(ctx context.Context, t *tx, l *directory.Line) error {
	realm, err := t.realm(ctx, l.Tenant)
	if err != nil {
		return err
	}
	rows, err := t.query(ctx, `SELECT id, username, body, credentials FROM devices WHERE line_id = $1 ORDER BY position`, l.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id directory.ID
		var username string
		var body, credentials []byte
		if err := rows.Scan(&id, &username, &body, &credentials); err != nil {
			return err
		}
		d, err := t.store.device(id, username, realm, body, credentials)
		if err != nil {
			return err
		}
		l.Devices = append(l.Devices, d)
	}
	return errors.Join(rows.Err(), rows.Close())
}

// prepareLine gives devices their identity, hashes and seals their passwords and looks for usernames that are taken.
func prepareLine(ctx context.Context, t *tx, before, after *directory.Line) error {
	realm, err := t.realm(ctx, after.Tenant)
	if err != nil {
		return err
	}
	for i := range after.Devices {
		d := &after.Devices[i]
		field := "devices[" + strconv.Itoa(i) + "]"
		old := sameDevice(before, d)
		switch {
		case old != nil:
			d.ID = old.ID
		case d.ID.IsZero():
			d.ID = directory.NewID()
		}
		if old == nil || old.Username != d.Username {
			var owner directory.ID
			found, err := t.first(ctx, `SELECT line_id FROM devices WHERE tenant_id = $1 AND username = $2 AND line_id <> $3`,
				[]any{after.Tenant, d.Username, after.ID}, &owner)
			if err != nil {
				return err
			}
			if found {
				return fault(field+".username", directory.CodeDuplicate, "belongs to a device of another line")
			}
		}
		for j := range d.Credentials {
			if err := t.settle(&d.Credentials[j], d.Username, realm, old); err != nil {
				return fault(field+".password", directory.CodeInvalid, err.Error())
			}
		}
	}
	return nil
}

// sameDevice finds the kept device that d is: by ID, else by username.
func sameDevice(l *directory.Line, d *directory.Device) *directory.Device {
	if l == nil {
		return nil
	}
	for i := range l.Devices {
		if !d.ID.IsZero() && l.Devices[i].ID == d.ID || d.ID.IsZero() && l.Devices[i].Username == d.Username {
			return &l.Devices[i]
		}
	}
	return nil
}

// spreadLine writes the devices of a line anew when they changed.
func spreadLine(ctx context.Context, t *tx, before, after *directory.Line) error {
	if before != nil && len(before.Devices) > 0 {
		if after != nil && sameDevices(before.Devices, after.Devices) {
			return nil
		}
		if _, err := t.exec(ctx, `DELETE FROM devices WHERE line_id = $1`, before.ID); err != nil {
			return err
		}
	}
	if after == nil {
		return nil
	}
	for i := range after.Devices {
		d := after.Devices[i]
		kept := make([]keptCredential, len(d.Credentials))
		for j, c := range d.Credentials {
			kept[j] = keptCredential{c.Since, c.Sealed}
		}
		d.Credentials = nil
		body, err := json.Marshal(d)
		if err != nil {
			return err
		}
		credentials, err := json.Marshal(kept)
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, `INSERT INTO devices (id, tenant_id, line_id, position, username, body, credentials)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			d.ID, after.Tenant, after.ID, i, d.Username, string(body), string(credentials))
		if err != nil {
			return fmt.Errorf("write device %s: %w", d.Username, err)
		}
		if n == 0 {
			return fault("devices["+strconv.Itoa(i)+"].id", directory.CodeDuplicate, "is taken")
		}
	}
	return nil
}

func sameDevices(a, b []directory.Device) bool {
	textA, errA := json.Marshal(a)
	textB, errB := json.Marshal(b)
	if errA != nil || errB != nil || !bytes.Equal(textA, textB) {
		return false
	}
	for i := range a {
		for j := range a[i].Credentials {
			if !bytes.Equal(a[i].Credentials[j].Sealed, b[i].Credentials[j].Sealed) {
				return false
			}
		}
	}
	return true
}

func checkLine(t *tx, before, after *directory.Line) {
	if before != nil && (after == nil || before.Number != after.Number) {
		t.expect(before, false, "number", directory.CodeInUse, "is the destination of number",
			`SELECT n.name FROM numbers n WHERE n.tenant_id = $1 AND n.to_kind = 'line' AND n.to_name = $2
			AND NOT EXISTS (SELECT 1 FROM lines l WHERE l.tenant_id = $1 AND l.name = $2) LIMIT 1`,
			before.Tenant, before.Number)
	}
	if after == nil {
		return
	}
	if before == nil || before.Number != after.Number {
		t.expect(after, false, "number", directory.CodeDuplicate, "is the number of room",
			`SELECT name FROM rooms WHERE tenant_id = $1 AND number = $2`, after.Tenant, after.Number)
	}
	if !after.User.IsZero() && (before == nil || before.User != after.User) {
		t.expect(after, true, "user", directory.CodeUnknown, "does not exist",
			`SELECT name FROM users WHERE tenant_id = $1 AND id = $2`, after.Tenant, after.User)
	}
	if !after.Site.IsZero() && (before == nil || before.Site != after.Site) {
		t.expect(after, true, "site", directory.CodeUnknown, "does not exist",
			`SELECT name FROM sites WHERE tenant_id = $1 AND id = $2`, after.Tenant, after.Site)
	}
}
