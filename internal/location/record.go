package location

import (
	"net/netip"
	"strings"
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
	textSaved  // number of texts that are saved
	textLocal  = textSaved
	textRemote = textSaved + 1 // zones of the addresses: those of link-local ones only
	textCount  = textSaved + 2
)

// record is a binding as the table keeps it. It has no pointers, so that the garbage collector never looks at it:
// records refer to each other by number, and the texts stand apart (shard.text).
type record struct {
	aor     AOR
	id      uint64 // what the Saver knows it by; 0: no binding
	flow    uint64
	created int64 // nanoseconds since Table.start
	updated int64
	expires int64
	local   addr
	remote  addr
	ends    [textCount]uint16 // where each text ends
	regID   uint32
	cseq    uint32
	bucket  uint32 // the second by which it is looked at for expiry
	sibling ref    // next binding of the AOR; of a free record: the next free one
	later   ref    // neighbours in the bucket
	prev    ref
	q       uint16
	kind    uint8 // index into transports
	marks   mark
}

// ref is the number of a record in its shard; 0 is none.
type ref uint32

// mark says what is to be saved of a record.
type mark uint8

const (
	dirty mark = 1 << iota // it stands in shard.dirty
	whole                  // more than a refresh is to be saved
	saved                  // the Saver has it
)

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

// addr is an address and port without pointers; the zone is a text.
type addr struct {
	ip     [16]byte
	port   uint16
	family uint8 // 0: none, 4, 6
}

func addrOf(a netip.AddrPort) addr {
	ip := a.Addr()
	switch {
	case ip.Is4():
		return addr{ip: ip.As16(), port: a.Port(), family: 4}
	case ip.Is6():
		return addr{ip: ip.As16(), port: a.Port(), family: 6}
	default:
		return addr{port: a.Port()}
	}
}

func (a *addr) addrPort(zone string) netip.AddrPort {
	switch a.family {
	case 4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a.ip[12:])), a.port)
	case 6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.ip).WithZone(zone), a.port)
	default:
		return netip.AddrPortFrom(netip.Addr{}, a.port)
	}
}

// texts lists the packed texts of a binding.
func (b *Binding) texts() [textCount]string {
	return [textCount]string{
		textDevice: b.Device, textContact: b.Contact, textParams: b.Params, textPath: b.Path, textInstance: b.Instance,
		textCallID: b.CallID, textUserAgent: b.UserAgent,
		textLocal: b.Flow.Local.Addr().Zone(), textRemote: b.Flow.Remote.Addr().Zone(),
	}
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

// at is one of the texts of the record, whose texts are given.
func (r *record) at(text string, i int) string {
	start := uint16(0)
	if i > 0 {
		start = r.ends[i-1]
	}
	return text[start:r.ends[i]]
}

// change says how far a binding differs from its record.
type change uint8

const (
	unchanged change = iota
	refreshed        // it lives longer, by a later request; nothing else
	altered
)

// take writes a binding into the record and returns how far it differs from what was there, and the texts. These are
// only built anew when one of them has changed, and never changed in place: what was read from them stays valid
// without a lock. A refresh allocates nothing.
func (r *record) take(b *Binding, text string, start time.Time) (change, string) {
	what := unchanged
	if created, updated, expires := int64(b.Created.Sub(start)), int64(b.Updated.Sub(start)), int64(b.Expires.Sub(start)); created != r.created {
		what = altered
		r.created, r.updated, r.expires = created, updated, expires
	} else if updated != r.updated || expires != r.expires || b.CSeq != r.cseq {
		what = refreshed
		r.updated, r.expires = updated, expires
	}
	r.cseq = b.CSeq
	local, remote, kind := addrOf(b.Flow.Local), addrOf(b.Flow.Remote), kindOf(b.Flow.Transport)
	if local != r.local || remote != r.remote || kind != r.kind || b.Flow.ID != r.flow || b.Q != r.q || b.RegID != r.regID {
		what = altered
		r.local, r.remote, r.kind, r.flow, r.q, r.regID = local, remote, kind, b.Flow.ID, b.Q, b.RegID
	}
	texts := b.texts()
	same, total := true, 0
	for i, s := range texts {
		same = same && s == r.at(text, i)
		total += len(s)
	}
	if same {
		return what, text
	}
	var packed strings.Builder
	packed.Grow(total)
	for i, s := range texts {
		packed.WriteString(s)
		r.ends[i] = uint16(packed.Len())
	}
	return altered, packed.String()
}

// binding unpacks the record.
func (r *record) binding(text string, start time.Time) Binding {
	return Binding{
		Device: r.at(text, textDevice), Contact: r.at(text, textContact), Params: r.at(text, textParams), Q: r.q,
		Path: r.at(text, textPath), Instance: r.at(text, textInstance), RegID: r.regID, CallID: r.at(text, textCallID),
		CSeq: r.cseq, UserAgent: r.at(text, textUserAgent),
		Flow: Flow{Transport: transports[r.kind], ID: r.flow,
			Local: r.local.addrPort(r.at(text, textLocal)), Remote: r.remote.addrPort(r.at(text, textRemote))},
		Created: start.Add(time.Duration(r.created)), Updated: start.Add(time.Duration(r.updated)),
		Expires: start.Add(time.Duration(r.expires)),
	}
}

// same reports whether the record is about the registration b: the same flow of an instance (RFC 5626 §6), or the same
// spelling of a contact, of the same device.
func (r *record) same(text string, b *Binding) bool {
	if r.at(text, textDevice) != b.Device || (r.regID != 0) != (b.RegID != 0) {
		return false
	}
	if r.regID != 0 {
		return r.regID == b.RegID && r.at(text, textInstance) == b.Instance
	}
	return r.at(text, textContact) == b.Contact
}
