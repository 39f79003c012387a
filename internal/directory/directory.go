// Package directory says what a telephone exchange is made of: tenants, their sites, users, lines with devices, numbers,
// and the servers that requests are sent on to. It owns the meaning of these objects (defaults, validation, the words they are written in) and the
// Snapshot, the immutable picture of all of them that calls and registrations are decided on.
//
// It does not own: how objects are kept (a store implements Loader and tells Directory.Apply what was committed), who
// may change them, files and forms they are edited in, or anything live such as bindings and calls.
//
// Goroutines: none. A Snapshot is immutable and may be read by any number of goroutines without a lock; its lookups
// allocate nothing. A Directory swaps snapshots atomically: Snapshot never blocks, Apply and Load are serialised.
//
// Ordering: changes appear in the order of the calls to Apply, and all changes of one Apply appear at once.
//
// A new kind of object is one file here: the type with SetDefaults and Validate, and its place in Snapshot.
//
// Sources: RFC 3261 §22.4 and RFC 7616 §3.4.2 (realm, A1), RFC 9562 §5.7 (identifiers), E.164 (numbers).
package directory

// Kind names a kind of object in the words of the configuration file, in the singular.
type Kind string

// The kinds of objects.
const (
	KindTenant  Kind = "tenant"
	KindSite    Kind = "site"
	KindUser    Kind = "user"
	KindLine    Kind = "line"
	KindNumber  Kind = "number"
	KindNextHop Kind = "next_hop"
	KindRoom    Kind = "room"
)

// Meta is what every object has: its identifier, its owner and its version.
type Meta struct {
	// ID is a UUIDv7, given by the store when the object is first kept.
	ID ID `json:"id"`
	// Tenant owns the object; for a tenant it is the tenant's own ID.
	Tenant ID `json:"tenant"`
	// Version grows by one with each change; 0 was never kept. It is the object's ETag.
	Version int64 `json:"version"`
}

// Head gives access to the common part of an object.
func (m *Meta) Head() *Meta { return m }

// Object is one configured thing: *Tenant, *Site, *User, *Line, *Number, *NextHop or *Room.
type Object interface {
	// ObjectKind names the kind of the object.
	ObjectKind() Kind
	// Head is the common part of the object.
	Head() *Meta
	// Key is the name that is unique among the objects of this kind in the tenant (a tenant's own: everywhere).
	Key() string
	// SetDefaults fills what was left out and brings spellings to one form (domains to lower case).
	SetDefaults()
	// Validate returns Errors that name each field at fault, or nil. It expects SetDefaults to have run.
	Validate() error
}

var (
	_ Object = (*Tenant)(nil)
	_ Object = (*Site)(nil)
	_ Object = (*User)(nil)
	_ Object = (*Line)(nil)
	_ Object = (*Number)(nil)
	_ Object = (*NextHop)(nil)
	_ Object = (*Room)(nil)
)

// Change is one committed edit of one object.
type Change struct {
	Before Object // nil: the object is new
	After  Object // nil: the object was removed
}

// Object is the changed object, as it is now or, when it was removed, as it was.
func (c Change) Object() Object {
	if c.After != nil {
		return c.After
	}
	return c.Before
}
