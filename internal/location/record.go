package location

import (
	"net/netip"
	"time"

	"dialtone/internal/directory"
)

// The texts of a binding, packed into one string.
const (
	textDevice = iota
	textContact
	textParams
	textPath
	textInstance
	textCallID
	textUserAgent
	textCount
)

// record is a binding as the table keeps it: some 200 bytes and one string. Texts are never changed in place, so that
// what was read from them stays valid without a lock.
type record struct {
	text    string
	ends    [textCount]uint16 // where each text ends in text
	q       uint16
	kind    uint8 // index into transports
	dirty   bool  // waits to be saved
	dead    bool  // no longer in the table
	regID   uint32
	cseq    uint32
	flow    uint64
	local   netip.AddrPort
	remote  netip.AddrPort
	created int64 // nanoseconds since Table.start
	updated int64
	expires int64

	aor         AOR
	sibling     *record // next binding of the AOR
	later, prev *record // neighbours in the expiry bucket
	bucket      int64   // the second of the bucket it is in; 0 in none
}

// transports numbers the transports for record.kind; the numbers also stand in saved rows.
var transports = [...]directory.Transport{"", directory.UDP, directory.TCP, directory.TLS, directory.WS, directory.WSS}

func kindOf(t directory.Transport) uint8 {
	for i, name := range transports {
		if name == t {
			return uint8(i)
		}
	}
	return 0
}

// texts lists the packed texts of a binding.
func (b *Binding) texts() [textCount]string {
	return [textCount]string{
		textDevice: b.Device, textContact: b.Contact, textParams: b.Params, textPath: b.Path, textInstance: b.Instance,
		textCallID: b.CallID, textUserAgent: b.UserAgent,
	}
}

func (r *record) at(i int) string {
	start := uint16(0)
	if i > 0 {
		start = r.ends[i-1]
	}
	return r.text[start:r.ends[i]]
}

// set takes over a binding. The text is only built anew when one of its parts has changed: a refresh allocates nothing.
func (r *record) set(b *Binding, start time.Time) {
	texts := b.texts()
	changed, total := false, 0
	for i, s := range texts {
		changed = changed || s != r.at(i)
		total += len(s)
	}
	if changed || r.text == "" {
		buf := make([]byte, 0, total)
		for i, s := range texts {
			buf = append(buf, s...)
			r.ends[i] = uint16(len(buf))
		}
		r.text = string(buf)
	}
	r.q, r.regID, r.cseq = b.Q, b.RegID, b.CSeq
	r.kind, r.flow, r.local, r.remote = kindOf(b.Flow.Transport), b.Flow.ID, b.Flow.Local, b.Flow.Remote
	r.created, r.updated = int64(b.Created.Sub(start)), int64(b.Updated.Sub(start))
	r.expires = int64(b.Expires.Sub(start))
}

// fits reports whether the texts of b can be packed. A SIP message is at most 65,535 bytes, so that what came in one
// always can.
func (b *Binding) fits() bool {
	total := 0
	for _, s := range b.texts() {
		total += len(s)
	}
	return total <= 1<<16-1
}

// binding unpacks the record.
func (r *record) binding(start time.Time) Binding {
	return Binding{
		Device: r.at(textDevice), Contact: r.at(textContact), Params: r.at(textParams), Q: r.q, Path: r.at(textPath),
		Instance: r.at(textInstance), RegID: r.regID, CallID: r.at(textCallID), CSeq: r.cseq, UserAgent: r.at(textUserAgent),
		Flow:    Flow{Transport: transports[r.kind], ID: r.flow, Local: r.local, Remote: r.remote},
		Created: start.Add(time.Duration(r.created)), Updated: start.Add(time.Duration(r.updated)),
		Expires: start.Add(time.Duration(r.expires)),
	}
}

// same reports whether the record is about the registration b: the same flow of an instance (RFC 5626 §6), or the same
// spelling of a contact, of the same device.
func (r *record) same(b *Binding) bool {
	if r.at(textDevice) != b.Device || (r.regID != 0) != (b.RegID != 0) {
		return false
	}
	if r.regID != 0 {
		return r.regID == b.RegID && r.at(textInstance) == b.Instance
	}
	return r.at(textContact) == b.Contact
}
