package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"dialtone/internal/directory"
)

// LoadObjects implements directory.Loader: all objects of one state of the database.
func (s *Store) LoadObjects(ctx context.Context, add func(directory.Object) error) error {
	return transact(ctx, s.cfg.Directory.Read, &sql.TxOptions{ReadOnly: true}, func(sqlTx *sql.Tx) error {
		realms := map[directory.ID]string{}
		err := loadAll(ctx, sqlTx, &s.tenants, func(o directory.Object) error {
			realms[o.Head().ID] = o.(*directory.Tenant).Realm
			return add(o)
		})
		if err == nil {
			err = loadAll(ctx, sqlTx, &s.sites, add)
		}
		if err == nil {
			err = loadAll(ctx, sqlTx, &s.users, add)
		}
		if err == nil {
			err = s.loadLines(ctx, sqlTx, realms, add)
		}
		if err == nil {
			err = loadAll(ctx, sqlTx, &s.numbers, add)
		}
		if err == nil {
			err = loadAll(ctx, sqlTx, &s.hops, add)
		}
		if err == nil {
			err = loadAll(ctx, sqlTx, &s.rooms, add)
		}
		return err
	})
}

func loadAll[T any, P pointer[T]](ctx context.Context, sqlTx *sql.Tx, d *definition[T, P], add func(directory.Object) error) error {
	columns := "id, tenant_id, version, body"
	if d.from != nil {
		for _, c := range d.extra {
			columns += ", " + c
		}
	}
	rows, err := sqlTx.QueryContext(ctx, "SELECT "+columns+" FROM "+d.table)
	if err != nil {
		return fmt.Errorf("load %ss: %w", d.kind, err)
	}
	defer rows.Close()
	for rows.Next() {
		o, err := d.scan(rows)
		if err != nil {
			return fmt.Errorf("load %ss: %w", d.kind, err)
		}
		if err := add(o); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// errKeys is returned when the database has passwords and none of them opens.
var errKeys = errors.New("no device's password opens: the key file does not belong to this database")

// loadLines reads lines with their devices in one pass: both sorted by the line. A credential that does not open is
// left out and logged: its device cannot register, all others can.
func (s *Store) loadLines(ctx context.Context, sqlTx *sql.Tx, realms map[directory.ID]string, add func(directory.Object) error) error {
	rows, err := sqlTx.QueryContext(ctx, `SELECT l.id, l.tenant_id, l.version, l.body, d.id, d.username, d.body, d.credentials
		FROM lines l LEFT JOIN devices d ON d.line_id = l.id ORDER BY l.id, d.position`)
	if err != nil {
		return fmt.Errorf("load lines: %w", err)
	}
	defer rows.Close()
	var line *directory.Line
	opened, damaged := 0, 0
	for rows.Next() {
		var device directory.ID
		var username sql.NullString
		var deviceBody, credentials sql.RawBytes
		var next *directory.Line
		next, err = s.lines.scan(scanFunc(func(dest ...any) error {
			return rows.Scan(append(dest, &device, &username, &deviceBody, &credentials)...)
		}))
		if err != nil {
			return fmt.Errorf("load lines: %w", err)
		}
		if line == nil || line.ID != next.ID {
			if line != nil {
				if err := add(line); err != nil {
					return err
				}
			}
			line = next
		}
		if device.IsZero() {
			continue
		}
		d, err := s.device(device, username.String, realms[line.Tenant], deviceBody, credentials)
		if err != nil {
			return fmt.Errorf("load lines: %w", err)
		}
		for _, c := range d.Credentials {
			if c.Hashed() {
				opened++
				continue
			}
			damaged++
			s.cfg.Log.Error("password of a device does not open", "tenant", line.Tenant, "line", line.Number, "device", d.Username)
		}
		d.Credentials = slices.DeleteFunc(d.Credentials, func(c directory.Credential) bool { return !c.Hashed() })
		line.Devices = append(line.Devices, d)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("load lines: %w", err)
	}
	if damaged > 0 && opened == 0 {
		return errKeys
	}
	if line != nil {
		return add(line)
	}
	return nil
}

type scanFunc func(dest ...any) error

func (f scanFunc) Scan(dest ...any) error { return f(dest...) }
