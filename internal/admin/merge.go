package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"dialtone/internal/directory"
)

// merge applies a JSON merge patch (RFC 7396) to a form. Identifier and version are not for writing: a client may send
// them back as it got them.
func merge[F any](f F, patch []byte) (*F, error) {
	malformed := func(reason string) error { return problem(http.StatusBadRequest, CodeMalformed, reason) }
	var changes map[string]any
	decoder := json.NewDecoder(bytes.NewReader(patch))
	decoder.UseNumber()
	if err := decoder.Decode(&changes); err != nil || changes == nil {
		return nil, malformed("the body is not a JSON object")
	}
	if decoder.More() {
		return nil, malformed("the body is more than one JSON object")
	}
	delete(changes, "id")
	delete(changes, "version")
	text, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	var target map[string]any
	decoder = json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&target); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(mergeObject(target, changes)); err != nil {
		return nil, err
	}
	merged := new(F)
	decoder = json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(merged); err != nil {
		return nil, fieldOf(err)
	}
	return merged, nil
}

// mergeObject is the algorithm of RFC 7396 §2 for objects; everything else replaces what was there.
func mergeObject(target, patch map[string]any) map[string]any {
	if target == nil {
		target = map[string]any{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(target, name)
		case map[string]any:
			inner, _ := target[name].(map[string]any) // anything else is replaced
			target[name] = mergeObject(inner, value)
		default:
			target[name] = value
		}
	}
	return target
}

// fieldOf names the field that JSON could not put into the form.
func fieldOf(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return invalid(directory.Errors{{Field: kind.Field, Code: directory.CodeInvalid, Reason: "is a " + kind.Value + ", not a " + kind.Type.Kind().String()}})
	}
	// encoding/json has no type for this error.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return invalid(directory.Errors{{Field: strings.Trim(name, `"`), Code: directory.CodeUnknown, Reason: "unknown field"}})
	}
	return problem(http.StatusBadRequest, CodeMalformed, "the body cannot be read")
}

func typeOf[F any]() reflect.Type { return reflect.TypeFor[F]() }
