package directory

import "strings"

// NumberKind says what sort of number it is.
type NumberKind string

// The kinds of numbers.
const (
	Direct NumberKind = "direct" // a subscriber number, written in E.164 form
	Short  NumberKind = "short"  // a short code
)

// Number is what callers dial from outside.
type Number struct {
	Meta
	// Number is "+" and 7 to 15 digits (E.164 §6), or 2 to 8 digits for a short code.
	Number string     `json:"number"`
	Kind   NumberKind `json:"kind"`
	// To is where calls to the number go.
	To Destination `json:"to"`
	// Language is that of the callers, "" for the line's or the tenant's.
	Language string `json:"language,omitempty"`
}

// ObjectKind implements Object.
func (n *Number) ObjectKind() Kind { return KindNumber }

// Key implements Object.
func (n *Number) Key() string { return n.Number }

// SetDefaults implements Object.
func (n *Number) SetDefaults() {
	if n.Kind == "" {
		n.Kind = Direct
	}
}

// Validate implements Object.
func (n *Number) Validate() error {
	var errs Errors
	oneOf(&errs, "kind", n.Kind, Direct, Short)
	digits, plus := strings.CutPrefix(n.Number, "+")
	switch {
	case n.Number == "":
		errs.add("number", CodeRequired, "is required")
	case n.Kind == Short && (plus || !isDigits(digits) || len(digits) < 2 || len(digits) > 8):
		errs.add("number", CodeInvalid, "a short code has 2 to 8 digits")
	case n.Kind == Direct && (!plus || !isDigits(digits) || len(digits) < 7 || len(digits) > 15 || digits[0] == '0'):
		errs.add("number", CodeInvalid, "must be + and 7 to 15 digits, such as +982188776655")
	}
	switch {
	case n.To.IsZero():
		errs.add("to", CodeRequired, "is required")
	case !n.To.Kind.known() || n.To.Name == "" && n.To.Kind != ToHangup:
		errs.add("to", CodeInvalid, "is not a destination such as line:101")
	case !n.To.Kind.Supported():
		errs.add("to", CodeUnsupported, "calls cannot be sent to a "+string(n.To.Kind)+" in this version")
	}
	errs.language(n.Language)
	return errs.Err()
}
