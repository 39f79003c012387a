// Package conference runs the rooms in which several callers hear each other.
//
// It owns who is in which room: the PIN at the door, the mixer of each room that is in use, muting and removing members,
// and what it tells of them. It does not own the rooms as objects (directory), the sound of the mix (media/mixer), nor who
// may look at members (admin).
//
// Goroutines: none of its own. Join runs on the goroutine of the call and lasts as long as the caller stays; everything
// else may be called from anywhere.
//
// Ordering: a room exists from its first member to its last. Members are listed in the order in which they came.
package conference

import (
	"slices"
	"sync"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/media"
	"dialtone/internal/media/mixer"
)

// Rate is that of the mix, in samples a second: wideband. Narrowband members are converted.
const Rate = 16000

// Publisher publishes events.
type Publisher interface {
	Publish(tenant, object string, data event.Data) event.Event
}

// Rooms are those that are in use.
type Rooms struct {
	events Publisher

	mu   sync.Mutex
	live map[directory.ID]*room // by the ID of the directory's room
}

// New makes an exchange without any room in use. events may be nil.
func New(events Publisher) *Rooms {
	return &Rooms{events: events, live: map[directory.ID]*room{}}
}

// room is one conference.
type room struct {
	tenant  directory.ID
	name    string
	mix     *mixer.Mixer
	members []*member
}

// member is a caller in a room.
type member struct {
	call  *call.Call
	mixed *mixer.Member
	since time.Time
	muted bool // guarded by Rooms.mu
}

// Member is a caller in a room, as others see it.
type Member struct {
	ID      string // of the call
	Number  string
	Name    string
	Since   time.Time
	Muted   bool
	Talking bool
}

// enter puts a caller into a room, which begins with its first member.
func (r *Rooms) enter(c *call.Call, o *directory.Room, ear *media.Ear, rate int) (*room, *member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.live[o.ID]
	if x == nil {
		mix, err := mixer.New(mixer.Config{Rate: Rate})
		if err != nil {
			return nil, nil, err
		}
		x = &room{tenant: o.Tenant, name: o.Name, mix: mix}
	}
	mixed, err := x.mix.Join(ear, rate)
	if err != nil {
		return nil, nil, err
	}
	m := &member{call: c, mixed: mixed, since: time.Now()}
	x.members = append(x.members, m)
	r.live[o.ID] = x
	return x, m, nil
}

// leave takes a member out; the last one ends the room. It reports whether others are left.
func (r *Rooms) leave(id directory.ID, x *room, m *member) (others bool) {
	m.mixed.Leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	x.members = slices.DeleteFunc(x.members, func(o *member) bool { return o == m })
	if len(x.members) > 0 {
		return true
	}
	x.mix.Close()
	if r.live[id] == x {
		delete(r.live, id)
	}
	return false
}

// Members are those of a room, in the order in which they came.
func (r *Rooms) Members(id directory.ID) []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.live[id]
	if x == nil {
		return nil
	}
	out := make([]Member, len(x.members))
	for i, m := range x.members {
		record := m.call.Record()
		out[i] = Member{ID: record.ID, Number: record.From.Number, Name: record.From.Name, Since: m.since, Muted: m.muted, Talking: m.mixed.Talking()}
	}
	return out
}

// Counts are the members of the rooms in use, by room: "board", of another tenant than the default one "acme/board".
func (r *Rooms) Counts(name func(tenant directory.ID, room string) string) map[string]float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]float64, len(r.live))
	for _, x := range r.live {
		out[name(x.tenant, x.name)] = float64(len(x.members))
	}
	return out
}

// Mute lets nobody hear a member, or everybody again. It reports whether there is such a member.
func (r *Rooms) Mute(id directory.ID, callID string, on bool) bool {
	x, m := r.find(id, callID)
	if m == nil {
		return false
	}
	r.mu.Lock()
	changed := m.muted != on
	m.muted = on
	m.mixed.Mute(on)
	r.mu.Unlock()
	if changed {
		happened := "unmuted"
		if on {
			happened = "muted"
		}
		r.publish(happened, x, m)
	}
	return true
}

// Kick hangs a member up. It reports whether there is such a member.
func (r *Rooms) Kick(id directory.ID, callID string) bool {
	_, m := r.find(id, callID)
	if m == nil {
		return false
	}
	m.call.Hangup(cause.Normal(cause.System))
	return true
}

func (r *Rooms) find(id directory.ID, callID string) (*room, *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.live[id]
	if x == nil {
		return nil, nil
	}
	for _, m := range x.members {
		if m.call.ID() == callID {
			return x, m
		}
	}
	return x, nil
}

func (r *Rooms) publish(happened string, x *room, m *member) {
	if r.events != nil {
		r.events.Publish(x.tenant.String(), m.call.ID(), Changed{Happened: happened, Room: x.name, Number: m.call.Record().From.Number})
	}
}

// Changed is the payload of the events of members: "room.joined", "room.left", "room.muted", "room.unmuted". Their object is
// the call of the member.
type Changed struct {
	Happened string `json:"-"` // the verb of the event
	Room     string `json:"room"`
	Number   string `json:"number"`
}

// EventType implements event.Data.
func (c Changed) EventType() string { return "room." + c.Happened }
