package admin

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/cdr"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// AuditEntry is one change of one object: who made it, when, and what it was before and after, without secrets.
type AuditEntry struct {
	Seq    int64           `json:"seq" doc:"From 1, without gaps"`
	Time   cdr.Time        `json:"time"`
	Actor  string          `json:"actor" doc:"Who made the change"`
	From   string          `json:"from" doc:"Address it was made from; empty for this machine"`
	Tenant string          `json:"tenant" doc:"Identifier of the tenant"`
	Kind   string          `json:"kind" doc:"tenant, site, user, line, number, next_hop or room; ban, recording, member, call"`
	Object string          `json:"object" doc:"Identifier of the object"`
	Key    string          `json:"key" doc:"Name or number of the object"`
	Before json.RawMessage `json:"before,omitempty" doc:"Absent: the object is new"`
	After  json.RawMessage `json:"after,omitempty" doc:"Absent: the object was removed"`
	Hash   string          `json:"hash" doc:"SHA-256 over this row and the hash of the one before, in hexadecimal digits"`
}

type auditIn struct {
	TenantParameter
	Object string `query:"object" doc:"Identifier of an object: only its changes"`
	Cursor string `query:"cursor" doc:"The next of the previous part"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}

func (a *api) auditRoutes() {
	route(a, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/audit", Tags: []string{"audit"},
		Summary: "List changes of objects, the newest first",
	}, a.listAudit)
}

func (a *api) listAudit(ctx context.Context, in *auditIn) (*pageOut[AuditEntry], error) {
	tenant, err := a.wide(ctx, in.Tenant, readAudit)
	if err != nil {
		return nil, err
	}
	q := store.AuditQuery{Tenant: tenant, Limit: in.Limit}
	var errs directory.Errors
	if in.Object != "" {
		if q.Object, err = directory.ParseID(in.Object); err != nil {
			errs = append(errs, directory.FieldError{Field: "object", Code: directory.CodeInvalid, Reason: "is not an identifier"})
		}
	}
	if in.Cursor != "" {
		if q.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || q.Before < 1 {
			errs = append(errs, directory.FieldError{Field: "cursor", Code: directory.CodeInvalid, Reason: "is not the next of a previous part"})
		}
	}
	if len(errs) > 0 {
		return nil, invalid(errs)
	}
	rows, err := a.Store.Audit(ctx, q)
	if err != nil {
		return nil, a.failed(err)
	}
	out := &pageOut[AuditEntry]{Body: Page[AuditEntry]{Items: make([]AuditEntry, 0, len(rows))}}
	for i := range rows {
		r := &rows[i]
		out.Body.Items = append(out.Body.Items, AuditEntry{
			Seq: r.Seq, Time: cdr.Time{Time: time.UnixMilli(r.TimeMS)}, Actor: r.Actor.Name, From: r.Actor.From,
			Tenant: r.Tenant.String(), Kind: string(r.Kind), Object: r.Object.String(), Key: r.Key,
			Before: r.Before, After: r.After, Hash: hex.EncodeToString(r.Hash),
		})
	}
	if n := len(rows); n == in.Limit && rows[n-1].Seq > 1 {
		out.Body.Next = strconv.FormatInt(rows[n-1].Seq, 10)
	}
	return out, nil
}
