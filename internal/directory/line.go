package directory

import "slices"

// Product says what is sold as a line.
type Product string

// The products.
const (
	Extension Product = "extension" // as many calls as max_calls allows
	SIPPhone  Product = "sip-phone" // one call at a time: the second one in is busy, the second one out is refused
)

// Recording says whether the calls of a line are recorded.
type Recording string

// The choices. Of the two lines of a call RecordOff wins, then RecordAlways.
const (
	RecordOnDemand Recording = ""       // when somebody asks for it; people write on_demand
	RecordOff      Recording = "off"    // never, whoever asks
	RecordAlways   Recording = "always" // from the answer to the end
)

const writtenOnDemand = "on_demand"

// String is the choice as people write it.
func (r Recording) String() string {
	if r == RecordOnDemand {
		return writtenOnDemand
	}
	return string(r)
}

// Line is the number of a person or a room, with the devices that ring when it is called.
type Line struct {
	Meta
	// Number is what is dialled inside the tenant; any SIP user part.
	Number  string  `json:"number"`
	Name    string  `json:"name,omitempty"`
	Product Product `json:"product"`
	User    ID      `json:"user,omitzero"` // the person; zero: nobody's
	Site    ID      `json:"site,omitzero"` // the place; zero: unknown
	// MaxCalls is the number of calls at a time over all devices; 0: no limit. CallLimit also knows the product.
	MaxCalls int       `json:"max_calls,omitempty"`
	Record   Recording `json:"record,omitempty"`
	Language string    `json:"language,omitempty"`
	Devices  []Device  `json:"devices,omitempty"`
}

// Bounds of a line.
const (
	MaxCallsLimit  = 10_000 // largest max_calls
	MaxLineDevices = 16     // most devices of one line
)

// ObjectKind implements Object.
func (l *Line) ObjectKind() Kind { return KindLine }

// Key implements Object.
func (l *Line) Key() string { return l.Number }

// Device is the device of that username; nil when the line has none.
func (l *Line) Device(username string) *Device {
	for i := range l.Devices {
		if l.Devices[i].Username == username {
			return &l.Devices[i]
		}
	}
	return nil
}

// CallLimit is the number of calls the line may have at a time, 0 for no limit.
func (l *Line) CallLimit() int {
	if l.Product == SIPPhone {
		return 1
	}
	return l.MaxCalls
}

// SetDefaults implements Object.
func (l *Line) SetDefaults() {
	if l.Product == "" {
		l.Product = Extension
	}
	if l.Record == writtenOnDemand {
		l.Record = RecordOnDemand
	}
	l.Devices = slices.Clone(l.Devices)
	for i := range l.Devices {
		l.Devices[i].setDefaults()
	}
}

// Validate implements Object.
func (l *Line) Validate() error {
	var errs Errors
	errs.userPart("number", l.Number)
	errs.text("name", l.Name, false)
	oneOf(&errs, "product", l.Product, Extension, SIPPhone)
	if l.Record != RecordOnDemand {
		oneOf(&errs, "record", l.Record, writtenOnDemand, RecordOff, RecordAlways)
	}
	switch {
	case l.MaxCalls < 0 || l.MaxCalls > MaxCallsLimit:
		errs.add("max_calls", CodeOutOfRange, "must be 0 (no limit) to 10000")
	case l.Product == SIPPhone && l.MaxCalls > 1:
		errs.add("max_calls", CodeConflict, "a sip-phone has one call at a time")
	}
	errs.language(l.Language)
	if len(l.Devices) > MaxLineDevices {
		errs.add("devices", CodeOutOfRange, "a line has at most 16 devices")
	}
	for i := range l.Devices {
		errs.under(indexed("devices", i), l.Devices[i].validate())
		for j := range i {
			if l.Devices[j].Username == l.Devices[i].Username && l.Devices[i].Username != "" {
				errs.add(indexed("devices", i)+".username", CodeDuplicate, "another device of the line has it")
			}
		}
	}
	return errs.Err()
}
