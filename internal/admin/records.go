package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/cdr"
	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/trace"
)

// recordBody is a call record as it is kept: the JSON of a cdr.Record, passed on as it is.
type recordBody json.RawMessage

// MarshalJSON passes the text on.
func (b recordBody) MarshalJSON() ([]byte, error) { return json.RawMessage(b).MarshalJSON() }

type (
	recordsIn struct {
		TenantParameter
		Cursor string    `query:"cursor" doc:"The next of the previous part"`
		Limit  int       `query:"limit" default:"100" minimum:"1" maximum:"10000"`
		Since  time.Time `query:"since" doc:"Calls that started at or after"`
		Until  time.Time `query:"until" doc:"Calls that started before"`
		Order  string    `query:"order" enum:"newest,oldest" default:"newest"`
	}
	recordOut struct{ Body recordBody }
	traceIn   struct {
		ID     string `path:"id" doc:"Our identifier of the call, or the SIP Call-ID of a leg"`
		Format string `query:"format" enum:"text,pcap,json" default:"text"`
	}
)

func (a *api) recordRoutes() {
	route(a, huma.Operation{
		OperationID: "list-records", Method: http.MethodGet, Path: "/records", Tags: []string{"records"},
		Summary: "List call records",
	}, a.listRecords)
	route(a, huma.Operation{
		OperationID: "show-record", Method: http.MethodGet, Path: "/records/{id}", Tags: []string{"records"},
		Summary: "Show a call record",
	}, func(ctx context.Context, in *callIn) (*recordOut, error) {
		row, err := a.record(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &recordOut{recordBody(row.Body)}, nil
	})
}

func (a *api) listRecords(ctx context.Context, in *recordsIn) (*pageOut[recordBody], error) {
	tenant, err := a.wide(ctx, in.Tenant, readCalls)
	if err != nil {
		return nil, err
	}
	q := store.RecordQuery{Tenant: tenant, Oldest: in.Order == "oldest", Limit: in.Limit}
	if !in.Since.IsZero() {
		q.SinceMS = in.Since.UnixMilli()
	}
	if !in.Until.IsZero() {
		q.UntilMS = in.Until.UnixMilli()
	}
	if in.Cursor != "" {
		after, ok := parseRecordCursor(in.Cursor)
		if !ok {
			return nil, invalid(directory.Errors{{Field: "cursor", Code: directory.CodeInvalid, Reason: "is not the next of a previous part"}})
		}
		q.After = after
	}
	rows, err := a.Store.Records(ctx, q)
	if err != nil {
		return nil, a.failed(err)
	}
	out := &pageOut[recordBody]{Body: Page[recordBody]{Items: make([]recordBody, 0, len(rows))}}
	for i := range rows {
		out.Body.Items = append(out.Body.Items, recordBody(rows[i].Body))
	}
	if len(rows) == in.Limit {
		out.Body.Next = recordCursor(rows[len(rows)-1].Cursor())
	}
	return out, nil
}

// recordCursor writes a place in the order of records. It is opaque to clients.
func recordCursor(c store.RecordCursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.StartMS, 10) + "/" + c.CallID))
}

func parseRecordCursor(text string) (store.RecordCursor, bool) {
	plain, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return store.RecordCursor{}, false
	}
	start, id, ok := strings.Cut(string(plain), "/")
	ms, err := strconv.ParseInt(start, 10, 64)
	if !ok || err != nil || id == "" {
		return store.RecordCursor{}, false
	}
	return store.RecordCursor{StartMS: ms, CallID: id}, true
}

// record finds the record of a call that the identity may see.
func (a *api) record(ctx context.Context, callID string) (*store.RecordRow, error) {
	if !grants(who(ctx).role, readCalls) {
		return nil, forbidden()
	}
	rows, err := a.Store.Records(ctx, store.RecordQuery{CallID: callID, Limit: 1})
	if err != nil {
		return nil, a.failed(err)
	}
	if len(rows) == 0 || !who(ctx).may(a.Directory.Snapshot(), readCalls, rows[0].Tenant) {
		return nil, notFound("record of a call", callID)
	}
	return &rows[0], nil
}

func (a *api) traceRoutes() {
	route(a, huma.Operation{
		OperationID: "trace-call", Method: http.MethodGet, Path: "/calls/{id}/trace", Tags: []string{"calls"},
		Summary:     "The ladder of a call, running or ended",
		Description: "All SIP messages of its legs in the order of time, without secrets.",
		Responses: map[string]*huma.Response{"200": {
			Description: "The ladder",
			Content: map[string]*huma.MediaType{
				"text/plain": {}, "application/vnd.tcpdump.pcap": {}, "application/json": {},
			},
		}},
	}, a.traceCall)
}

func (a *api) traceCall(ctx context.Context, in *traceIn) (*huma.StreamResponse, error) {
	if err := a.mayTrace(ctx, in.ID); err != nil {
		return nil, err
	}
	ladder, err := a.Ladders.Ladder(in.ID)
	if err != nil {
		return nil, a.failed(err)
	}
	if len(ladder) == 0 {
		return nil, notFound("ladder of a call", in.ID)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		var err error
		switch in.Format {
		case "pcap":
			c.SetHeader("Content-Type", "application/vnd.tcpdump.pcap")
			err = trace.WritePCAP(c.BodyWriter(), ladder)
		case "json":
			c.SetHeader("Content-Type", "application/json")
			err = json.NewEncoder(c.BodyWriter()).Encode(Page[TracedMessage]{Items: traced(ladder)})
		default:
			c.SetHeader("Content-Type", "text/plain; charset=utf-8")
			err = trace.WriteText(c.BodyWriter(), ladder)
		}
		if err != nil {
			a.Log.Debug("ladder not sent", "call", in.ID, "error", err)
		}
	}}, nil
}

// TracedMessage is one message of a ladder.
type TracedMessage struct {
	Seq       uint64   `json:"seq"`
	Time      cdr.Time `json:"time"`
	Direction string   `json:"direction" enum:"in,out"`
	Transport string   `json:"transport"`
	Local     string   `json:"local"`
	Remote    string   `json:"remote"`
	SIPCallID string   `json:"sip_call_id"`
	Message   string   `json:"message" doc:"As it was, secrets blanked"`
}

// traced describes the messages of a ladder.
func traced(ladder []trace.Entry) []TracedMessage {
	out := make([]TracedMessage, len(ladder))
	for i, e := range ladder {
		out[i] = TracedMessage{Seq: e.Seq, Time: cdr.Time{Time: e.At}, Direction: "in", Transport: e.Kind, Local: e.Local.String(),
			Remote: e.Remote.String(), SIPCallID: e.SIPCallID, Message: string(e.Message)}
		if e.Direction == trace.Out {
			out[i].Direction = "out"
		}
	}
	return out
}

// mayTrace holds a ladder to the tenant of its call. Those who see all may ask for any SIP Call-ID as well: a request
// that never became a call belongs to nobody.
func (a *api) mayTrace(ctx context.Context, id string) error {
	if who(ctx).may(a.Directory.Snapshot(), runSystem, directory.ID{}) {
		return nil
	}
	if _, err := a.call(ctx, id, readCalls); err == nil {
		return nil
	}
	_, err := a.record(ctx, id)
	return err
}
