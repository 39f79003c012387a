package admin

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/directory"
)

// The codes of Problem: stable, for programs. Those of single fields are the codes of directory.FieldError.
const (
	CodeInvalid      = "invalid"      // 422: Errors names the fields
	CodeMalformed    = "malformed"    // 400: the request cannot be read at all
	CodeUnauthorized = "unauthorized" // 401
	CodeForbidden    = "forbidden"    // 403
	CodeNotFound     = "not_found"    // 404
	CodeConflict     = "conflict"     // 409: the name is taken, or something still refers to the object
	CodeChanged      = "changed"      // 412: the object is no longer the one that If-Match names
	CodeTooLarge     = "too_large"    // 413
	CodeTooMany      = "too_many"     // 429
	CodeUnavailable  = "unavailable"  // 503: this server does not do that, or not now
	CodeInternal     = "internal"     // 500: our fault; the log says more
	CodeNotAllowed   = "not_allowed"  // 405
	CodeUnacceptable = "unacceptable" // 406 and 415: the format is not spoken here
	CodeTimeout      = "timeout"      // 408: the body did not arrive in time
	CodeFailed       = "failed"       // anything else

	CodeUnconnected     = "unconnected"      // 409: the call does not connect two parties
	CodeRecordingOff    = "recording_off"    // 409: calls of this line are not recorded
	CodeRecordingAlways = "recording_always" // 409: calls of this line are always recorded
	CodeRecordingActive = "recording_active" // 409: the call is being recorded, the recording runs
	CodeRecordingIdle   = "recording_idle"   // 409: the call is not being recorded
	CodeRecordingHeld   = "recording_held"   // 409: a legal hold keeps it
	CodeRecordingFailed = "recording_failed" // 503: it cannot begin
)

// Problem is the body of every response that is not a success (RFC 9457).
type Problem struct {
	Type   string       `json:"type" doc:"about:blank: the status and the code say it all"`
	Title  string       `json:"title" doc:"What the status means"`
	Status int          `json:"status" doc:"The HTTP status"`
	Code   string       `json:"code" doc:"A stable word for programs"`
	Detail string       `json:"detail" doc:"What is wrong, in words"`
	Errors []FieldFault `json:"errors,omitempty" doc:"The fields at fault"`
}

// FieldFault is one field of a request that cannot be.
type FieldFault struct {
	Line   int    `json:"line,omitempty" doc:"Of a configuration file"`
	Field  string `json:"field" doc:"In the words of the object, such as devices[0].username"`
	Code   string `json:"code" doc:"A stable word for programs"`
	Reason string `json:"reason" doc:"What is wrong, in words"`
}

// Error says what is wrong in one line.
func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	parts := make([]string, len(p.Errors))
	for i, f := range p.Errors {
		parts[i] = f.Field + ": " + f.Reason
	}
	return p.Detail + ": " + strings.Join(parts, "; ")
}

// GetStatus is how huma asks for the HTTP status (huma.StatusError).
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is how huma asks for the media type (huma.ContentTypeFilter).
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// internalFault tells nothing of what went wrong: that is for the log.
func internalFault() *Problem {
	return problem(http.StatusInternalServerError, CodeInternal, "something went wrong inside the server; its log says more")
}

func nothingAt(r *http.Request) *Problem {
	return problem(http.StatusNotFound, CodeNotFound, "nothing is served at "+r.URL.Path)
}

func notFound(what, name string) *Problem {
	return problem(http.StatusNotFound, CodeNotFound, "no "+what+" "+strconv.Quote(name))
}

// invalid turns the faults of an object into a Problem. A taken name and an object still in use are conflicts with the
// state of the server rather than faults of the request.
func invalid(faults directory.Errors) *Problem {
	status, code, detail := http.StatusUnprocessableEntity, CodeInvalid, "the object is not valid"
	conflicts := 0
	p := &Problem{Type: "about:blank"}
	for _, f := range faults {
		if f.Code == directory.CodeDuplicate || f.Code == directory.CodeInUse {
			conflicts++
		}
		p.Errors = append(p.Errors, FieldFault{Field: f.Field, Code: f.Code, Reason: f.Reason})
	}
	if conflicts == len(faults) && conflicts > 0 {
		status, code, detail = http.StatusConflict, CodeConflict, "the object conflicts with another"
	}
	p.Title, p.Status, p.Code, p.Detail = http.StatusText(status), status, code, detail
	return p
}

// codeOf is the word for statuses that the HTTP machinery answers with by itself.
func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return CodeMalformed
	case http.StatusUnauthorized:
		return CodeUnauthorized
	case http.StatusForbidden:
		return CodeForbidden
	case http.StatusNotFound:
		return CodeNotFound
	case http.StatusMethodNotAllowed:
		return CodeNotAllowed
	case http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return CodeUnacceptable
	case http.StatusRequestTimeout:
		return CodeTimeout
	case http.StatusConflict:
		return CodeConflict
	case http.StatusPreconditionFailed:
		return CodeChanged
	case http.StatusRequestEntityTooLarge:
		return CodeTooLarge
	case http.StatusUnprocessableEntity:
		return CodeInvalid
	case http.StatusTooManyRequests:
		return CodeTooMany
	case http.StatusServiceUnavailable:
		return CodeUnavailable
	case http.StatusInternalServerError:
		return CodeInternal
	}
	return CodeFailed
}

// problems gives huma's own errors the form of Problem. What went wrong inside the server goes to the log only.
func problems(log *slog.Logger) huma.Transformer {
	return func(ctx huma.Context, _ string, v any) (any, error) {
		model, ok := v.(*huma.ErrorModel)
		if !ok {
			return v, nil
		}
		p := problem(model.Status, codeOf(model.Status), model.Detail)
		if model.Status >= http.StatusInternalServerError {
			for _, e := range model.Errors {
				log.Error("request failed", "method", ctx.Method(), "path", ctx.URL().Path, "error", e.Message)
			}
			return p, nil
		}
		for _, e := range model.Errors {
			field := strings.TrimPrefix(strings.TrimPrefix(e.Location, "body."), "query.")
			p.Errors = append(p.Errors, FieldFault{Field: field, Code: directory.CodeInvalid, Reason: e.Message})
		}
		return p, nil
	}
}

// faults takes the field errors out of err.
func faults(err error) (directory.Errors, bool) {
	var many directory.Errors
	if errors.As(err, &many) {
		return many, true
	}
	var one directory.FieldError
	if errors.As(err, &one) {
		return directory.Errors{one}, true
	}
	return nil, false
}
