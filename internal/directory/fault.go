package directory

import (
	"strconv"
	"strings"
)

// The codes of FieldError: stable, for programs and translations.
const (
	CodeRequired    = "required"     // the field is missing
	CodeInvalid     = "invalid"      // the value is not of the right form
	CodeUnknown     = "unknown"      // the value names something that does not exist
	CodeDuplicate   = "duplicate"    // the value is taken
	CodeTooLong     = "too_long"     // the value is longer than allowed
	CodeOutOfRange  = "out_of_range" // the number is too small or too large
	CodeConflict    = "conflict"     // the value does not go with another field
	CodeUnsupported = "unsupported"  // the value is known but cannot be honoured yet
	CodeInUse       = "in_use"       // something else still refers to it
)

// FieldError says what is wrong with one field.
type FieldError struct {
	Field  string `json:"field"`  // in the words of the configuration file: "number", "devices[0].username"
	Code   string `json:"code"`   // one of the Code constants
	Reason string `json:"reason"` // for people, without secrets
}

// Error implements error.
func (e FieldError) Error() string { return e.Field + ": " + e.Reason }

// Errors is everything that is wrong with an object.
type Errors []FieldError

// Error implements error.
func (e Errors) Error() string {
	parts := make([]string, len(e))
	for i, f := range e {
		parts[i] = f.Error()
	}
	return strings.Join(parts, "; ")
}

// Err is nil when nothing is wrong: return errs.Err() where an error is returned.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

func (e *Errors) add(field, code, reason string) {
	*e = append(*e, FieldError{Field: field, Code: code, Reason: reason})
}

// under adds the faults of a part, their fields prefixed.
func (e *Errors) under(prefix string, part Errors) {
	for _, f := range part {
		e.add(prefix+"."+f.Field, f.Code, f.Reason)
	}
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// Limits of texts, in bytes.
const (
	maxName = 128 // names that people read
	maxUser = 64  // SIP user parts: usernames and line numbers
)

// text checks a name that people read.
func (e *Errors) text(field, value string, required bool) {
	switch {
	case value == "" && required:
		e.add(field, CodeRequired, "is required")
	case len(value) > maxName:
		e.add(field, CodeTooLong, "is longer than "+strconv.Itoa(maxName)+" bytes")
	case !printable(value):
		e.add(field, CodeInvalid, "contains control characters")
	}
}

// userPart checks what stands before the @ of a SIP address: "101", "sara", "+98218877".
// RFC 3261 §25.1: user = 1*( unreserved / escaped / user-unreserved ). The characters that need escaping are refused,
// so that an address can be compared byte by byte.
func (e *Errors) userPart(field, value string) {
	switch {
	case value == "":
		e.add(field, CodeRequired, "is required")
	case len(value) > maxUser:
		e.add(field, CodeTooLong, "is longer than "+strconv.Itoa(maxUser)+" bytes")
	default:
		for i := range len(value) {
			if !isUserByte(value[i]) {
				e.add(field, CodeInvalid, "may have letters, digits and -_.!~*'()&=+$,;?/ only")
				return
			}
		}
	}
}

// label checks a name that destinations and references are written with ("tehran", "default").
func (e *Errors) label(field, value string) {
	switch {
	case value == "":
		e.add(field, CodeRequired, "is required")
	case len(value) > maxUser:
		e.add(field, CodeTooLong, "is longer than "+strconv.Itoa(maxUser)+" bytes")
	case !printable(value) || strings.TrimSpace(value) != value || strings.ContainsAny(value, ":/\\"):
		e.add(field, CodeInvalid, "may not have : / \\, control characters or blanks at its ends")
	}
}

// language checks the form of a language tag (RFC 5646, primary language and subtags); empty is the parent's.
func (e *Errors) language(value string) {
	if value == "" {
		return
	}
	for i, part := range strings.Split(value, "-") {
		ok := len(part) >= 1 && len(part) <= 8 && (i > 0 || len(part) == 2 || len(part) == 3)
		for _, r := range part {
			ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && r >= '0' && r <= '9')
		}
		if !ok || len(value) > 35 {
			e.add("language", CodeInvalid, "is not a language tag such as fa or zh-TW")
			return
		}
	}
}

// oneOf checks a value against a list of words.
func oneOf[T ~string](e *Errors, field string, value T, words ...T) {
	names := make([]string, len(words))
	for i, w := range words {
		if value == w {
			return
		}
		names[i] = string(w)
	}
	e.add(field, CodeInvalid, "must be "+strings.Join(names, ", "))
}

func printable(s string) bool {
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == '\uFFFD' {
			return false
		}
	}
	return true
}

func isUserByte(c byte) bool {
	return isAlnum(c) || strings.IndexByte("-_.!~*'()&=+$,;?/", c) >= 0
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
