package directory

// Room is a conference: whoever dials its number hears all others who are in it.
type Room struct {
	Meta
	Name string `json:"name"`
	// Number is what is dialled inside the tenant: digits.
	Number string `json:"number"`
	// Protected: there is a PIN. It follows from PIN.
	Protected bool `json:"protected,omitempty"`
	// PIN is what callers have to press, "" for a room that is open. The store keeps it sealed.
	PIN Secret `json:"-"`
	// Sealed is the PIN as it is kept. Where there is no PIN, it is opened.
	Sealed []byte `json:"-"`
}

// Bounds of a PIN.
const (
	leastPIN = 3
	mostPIN  = 16
)

// ObjectKind implements Object.
func (r *Room) ObjectKind() Kind { return KindRoom }

// Key implements Object.
func (r *Room) Key() string { return r.Name }

// SetDefaults implements Object.
func (r *Room) SetDefaults() { r.Protected = r.PIN != "" || len(r.Sealed) > 0 }

// Validate implements Object.
func (r *Room) Validate() error {
	var errs Errors
	errs.label("name", r.Name)
	switch {
	case r.Number == "":
		errs.add("number", CodeRequired, "is required")
	case !isDigits(r.Number) || len(r.Number) < 2 || len(r.Number) > 15:
		errs.add("number", CodeInvalid, "must be 2 to 15 digits")
	}
	if pin := r.PIN.Reveal(); pin != "" && (!isDigits(pin) || len(pin) < leastPIN || len(pin) > mostPIN) {
		errs.add("pin", CodeInvalid, "must be 3 to 16 digits")
	}
	return errs.Err()
}
