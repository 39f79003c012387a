package sdp

// Direction says which way media flows on a stream, seen by the side whose description carries it. The zero value is
// SendRecv, which also holds when a description says nothing (RFC 8866 §6.7).
type Direction uint8

// The directions. Each bit takes one way away.
const (
	SendRecv Direction = 0
	RecvOnly Direction = noSend
	SendOnly Direction = noRecv
	Inactive Direction = noSend | noRecv

	noSend Direction = 1
	noRecv Direction = 2
)

// Sends tells whether the side that says so sends.
func (d Direction) Sends() bool { return d&noSend == 0 }

// Receives tells whether the side that says so wants to receive.
func (d Direction) Receives() bool { return d&noRecv == 0 }

// Reverse is the same flow seen by the other side.
func (d Direction) Reverse() Direction { return d>>1 | d<<1&noRecv }

// Answer is the direction to answer an offered one with, for a side that itself wants to do want.
//
// RFC 3264 §6.1: the answer to sendonly is recvonly or inactive, to recvonly sendonly or inactive, to inactive
// inactive, to sendrecv any.
func (d Direction) Answer(want Direction) Direction { return d.Reverse() | want }

// String is the attribute name.
func (d Direction) String() string {
	switch d {
	case SendOnly:
		return "sendonly"
	case RecvOnly:
		return "recvonly"
	case Inactive:
		return "inactive"
	}
	return "sendrecv"
}

func directionOf(attributes []Attribute) (Direction, bool) {
	for i := range attributes {
		if d, ok := directionNamed(attributes[i].Name); ok {
			return d, true
		}
	}
	return SendRecv, false
}

func directionNamed(name string) (Direction, bool) {
	switch name {
	case "sendrecv":
		return SendRecv, true
	case "sendonly":
		return SendOnly, true
	case "recvonly":
		return RecvOnly, true
	case "inactive":
		return Inactive, true
	}
	return SendRecv, false
}

// Direction is what stream i says, or the session for it, or SendRecv. An unspecified address counts as not receiving
// (RFC 3264 §8.4, the old way to hold); port 0 as Inactive.
func (d *Description) Direction(i int) Direction {
	m := &d.Media[i]
	if m.Port == 0 {
		return Inactive
	}
	dir, ok := directionOf(m.Attributes)
	if !ok {
		dir, _ = directionOf(d.Attributes)
	}
	if d.unspecified(i) {
		dir |= noRecv
	}
	return dir
}

// SetDirection makes the stream say dir. SendRecv is written too when the stream said something before or the session
// says something else.
func (m *Media) SetDirection(dir Direction) {
	for i := range m.Attributes {
		if _, ok := directionNamed(m.Attributes[i].Name); ok {
			m.Attributes[i] = Attribute{Name: dir.String()}
			return
		}
	}
	m.Attributes = append(m.Attributes, Attribute{Name: dir.String()})
}

// Held tells whether stream i puts the party that reads the description on hold: its maker does not want to receive
// (sendonly, inactive, an unspecified address), but the stream is not removed.
func (d *Description) Held(i int) bool {
	return d.Media[i].Port != 0 && !d.Direction(i).Receives()
}

// OnHold tells whether every audio stream that is not removed is held, and there is one.
func (d *Description) OnHold() bool {
	held := false
	for i := range d.Media {
		if d.Media[i].Kind != "audio" || d.Media[i].Port == 0 {
			continue
		}
		if !d.Held(i) {
			return false
		}
		held = true
	}
	return held
}
