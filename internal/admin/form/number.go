package form

import "dialtone/internal/directory"

// Number is what callers dial from outside, as it is written.
type Number struct {
	Head
	Number   string `json:"number" doc:"+ and 7 to 15 digits, or a short code"`
	Kind     string `json:"kind,omitempty" enum:"direct,short"`
	To       string `json:"to" doc:"Destination such as line:101"`
	Language string `json:"language,omitempty" doc:"Of the callers; language tag such as fa or zh-TW"`
}

// OfNumber writes a number.
func OfNumber(n *directory.Number, _ Names) Number {
	return Number{Head: head(n), Number: n.Number, Kind: string(n.Kind), To: n.To.String(), Language: n.Language}
}

// Object reads the form over what is there (nil: nothing) into a new object of the tenant.
func (f *Number) Object(tenant directory.ID, before *directory.Number) (*directory.Number, directory.Errors) {
	var e errs
	n := &directory.Number{Number: f.Number, Kind: directory.NumberKind(f.Kind), Language: f.Language}
	n.Tenant = tenant
	if before != nil {
		n.Meta = before.Meta
	}
	if f.To != "" {
		to, err := directory.ParseDestination(f.To)
		if err != nil {
			e.add("to", directory.CodeInvalid, err.Error())
		}
		n.To = to
	}
	return n, e.validate(n)
}
