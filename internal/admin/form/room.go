package form

import (
	"encoding/base64"

	"dialtone/internal/directory"
)

// Room is a conference room, as it is written.
type Room struct {
	Head
	Number    string           `json:"number" doc:"Digits, dialled inside the tenant"`
	Name      string           `json:"name"`
	Protected bool             `json:"protected,omitempty" readOnly:"true" doc:"Callers are asked for a PIN"`
	PIN       directory.Secret `json:"pin,omitempty" writeOnly:"true" doc:"3 to 16 digits that callers have to press; none takes it away, left out it stays"`
	Sealed    string           `json:"sealed,omitempty" writeOnly:"true" doc:"The PIN as an export shows it"`
}

// noPIN opens a room.
const noPIN = "none"

// OfRoom writes a room without its PIN.
func OfRoom(r *directory.Room, _ Names) Room {
	return Room{Head: head(r), Number: r.Number, Name: r.Name, Protected: r.Protected}
}

// Object reads the form over what is there (nil: nothing) into a new object of the tenant.
func (f *Room) Object(tenant directory.ID, before *directory.Room) (*directory.Room, directory.Errors) {
	var e errs
	r := &directory.Room{Name: f.Name, Number: f.Number}
	r.Tenant = tenant
	if before != nil {
		r.Meta, r.PIN, r.Sealed = before.Meta, before.PIN, before.Sealed
	}
	switch {
	case f.PIN != "" && f.Sealed != "":
		e.add("sealed", directory.CodeConflict, "stands beside a PIN")
	case f.PIN == noPIN:
		r.PIN, r.Sealed = "", nil
	case f.PIN != "":
		r.PIN, r.Sealed = f.PIN, nil
	case f.Sealed != "":
		sealed, err := base64.StdEncoding.DecodeString(f.Sealed)
		if err != nil || len(sealed) == 0 {
			e.add("sealed", directory.CodeInvalid, "is not what an export shows")
			break
		}
		r.PIN, r.Sealed = "", sealed
	}
	return r, e.validate(r)
}
