package directory

import (
	"fmt"
	"strings"
)

// Destination is where a call can be sent: "line:101", "menu:main". The zero value is no destination.
type Destination struct {
	Kind DestinationKind
	Name string // the name of the object, or what the kind needs (the URL of a remote, the reason of a hang-up)
}

// DestinationKind is the word before the colon.
type DestinationKind string

// The kinds of destinations.
const (
	ToLine      DestinationKind = "line"
	ToGroup     DestinationKind = "group"
	ToMenu      DestinationKind = "menu"
	ToQueue     DestinationKind = "queue"
	ToRoom      DestinationKind = "room"
	ToVoicemail DestinationKind = "voicemail"
	ToNumber    DestinationKind = "number"
	ToTrunk     DestinationKind = "trunk"
	ToAnnounce  DestinationKind = "announce"
	ToFax       DestinationKind = "fax"
	ToRemote    DestinationKind = "remote"
	ToHangup    DestinationKind = "hangup"
)

func (k DestinationKind) known() bool {
	switch k {
	case ToLine, ToGroup, ToMenu, ToQueue, ToRoom, ToVoicemail, ToNumber, ToTrunk, ToAnnounce, ToFax, ToRemote, ToHangup:
		return true
	}
	return false
}

// Supported reports whether calls can be sent to this kind: the objects it names exist.
func (k DestinationKind) Supported() bool { return k == ToLine || k == ToRoom }

const maxDestination = 512

// ParseDestination reads "kind:name". Only hangup may go without a name ("hangup:").
func ParseDestination(s string) (Destination, error) {
	kind, name, found := strings.Cut(s, ":")
	d := Destination{Kind: DestinationKind(kind), Name: name}
	switch {
	case !found:
		return Destination{}, fmt.Errorf("is not written as kind:name, such as line:101")
	case !d.Kind.known():
		return Destination{}, fmt.Errorf("has an unknown kind before the colon")
	case name == "" && d.Kind != ToHangup:
		return Destination{}, fmt.Errorf("has no name after %q", kind+":")
	case len(name) > maxDestination || !printable(name) || strings.TrimSpace(name) != name:
		return Destination{}, fmt.Errorf("has a name that is too long, or with control characters or blanks at its ends")
	}
	return d, nil
}

// IsZero reports whether d is no destination.
func (d Destination) IsZero() bool { return d == Destination{} }

// String returns "kind:name", "" for no destination.
func (d Destination) String() string {
	if d.IsZero() {
		return ""
	}
	return string(d.Kind) + ":" + d.Name
}

// MarshalText implements encoding.TextMarshaler.
func (d Destination) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; the empty text is no destination.
func (d *Destination) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Destination{}
		return nil
	}
	parsed, err := ParseDestination(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
