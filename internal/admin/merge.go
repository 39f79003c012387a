package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
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
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
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
	target = mergeObject(target, changes)
	if field := unknownField(target, reflect.TypeFor[F](), ""); field != "" {
		return nil, invalid(directory.Errors{{Field: field, Code: directory.CodeUnknown, Reason: "unknown field"}})
	}
	if text, err = json.Marshal(target); err != nil {
		return nil, err
	}
	merged := new(F)
	if err := json.Unmarshal(text, merged); err != nil {
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
	return problem(http.StatusBadRequest, CodeMalformed, "the body cannot be read")
}

// unknownField finds a field of a JSON object that its struct does not have, to the letter: encoding/json would take
// "NAME" for "name", and which of two it takes nobody knows. What is not an object where the struct wants one is left to
// the decoder.
func unknownField(v any, t reflect.Type, path string) string {
	switch {
	case t.Kind() == reflect.Slice:
		list, _ := v.([]any) // anything else is the decoder's
		for i, e := range list {
			if field := unknownField(e, t.Elem(), path+"["+strconv.Itoa(i)+"]"); field != "" {
				return field
			}
		}
		return ""
	case t.Kind() != reflect.Struct:
		return ""
	}
	o, _ := v.(map[string]any) // anything else is the decoder's
	known := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[name] = f.Type
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		field := strings.TrimPrefix(path+"."+name, ".")
		inner, ok := known[name]
		if !ok || name == "" {
			return cmp.Or(field, `""`)
		}
		if deeper := unknownField(o[name], inner, field); deeper != "" {
			return deeper
		}
	}
	return ""
}

func typeOf[F any]() reflect.Type { return reflect.TypeFor[F]() }
