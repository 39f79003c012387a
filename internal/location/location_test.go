package location

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/event"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func line(tenant, n uint64) (a AOR) {
	binary.BigEndian.PutUint64(a.Tenant[8:], tenant)
	binary.BigEndian.PutUint64(a.Line[8:], n)
	return a
}

// bound is a binding of a device that expires ttl after now.
func bound(device, contact string, now time.Time, ttl time.Duration) Binding {
	return Binding{
		Device: device, Contact: contact, Q: 1000, CallID: "c1", CSeq: 1, UserAgent: "test",
		Flow: Flow{
			Transport: directory.UDP, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("192.0.2.7:5062"),
		},
		Created: now, Updated: now, Expires: now.Add(ttl),
	}
}

// add puts bindings beside those that are there, in place of the same ones.
func add(t *Table, aor AOR, now time.Time, bs ...Binding) {
	t.Update(aor, now, func(current []Binding) ([]Binding, bool) { return append(current, bs...), true })
}

func contacts(bs []Binding) (list []string) {
	for _, b := range bs {
		list = append(list, b.Contact)
	}
	return list
}

// journal is a Publisher that writes down what it hears.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Publish(_, _ string, data event.Data) event.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch d := data.(type) {
	case Registered:
		j.lines = append(j.lines, "+ "+d.Contact+" "+d.Source)
	case Unregistered:
		j.lines = append(j.lines, "- "+d.Contact+" "+d.Reason)
	}
	return event.Event{}
}

func (j *journal) take(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	slices.Sort(j.lines)
	if !slices.Equal(j.lines, want) {
		t.Errorf("events %q, want %q", j.lines, want)
	}
	j.lines = nil
}

// wantEmpty checks that nothing of the bindings that were there is left behind.
func wantEmpty(t *testing.T, tb *Table) {
	t.Helper()
	if tb.Count() != 0 {
		t.Errorf("count %d", tb.Count())
	}
	for i := range tb.shards {
		s := &tb.shards[i]
		free := 0
		for r := s.free; r != 0; r = s.record(r).sibling {
			rest := *s.record(r)
			rest.sibling = 0
			if rest != (record{}) || *s.text(r) != "" {
				t.Errorf("shard %d: free record %d has %+v, %q", i, r, rest, *s.text(r))
			}
			free++
		}
		if s.index.count != 0 || len(s.buckets) != 0 || free != int(s.used) {
			t.Errorf("shard %d: %d in the index, %d buckets, %d of %d records are free", i, s.index.count, len(s.buckets), free, s.used)
		}
	}
}

func TestLookupIsOrdered(t *testing.T) {
	tb := New(Config{}, epoch)
	aor := line(1, 1)
	low, high, late := bound("a", "sip:low@h", epoch, time.Hour), bound("b", "sip:high@h", epoch, time.Hour), bound("c", "sip:late@h", epoch.Add(time.Second), time.Hour)
	low.Q = 100
	add(tb, aor, epoch, low, high, late)
	if got := contacts(tb.Lookup(nil, aor, epoch)); !slices.Equal(got, []string{"sip:late@h", "sip:high@h", "sip:low@h"}) {
		t.Errorf("%q", got)
	}
	if got := tb.Lookup(nil, line(2, 1), epoch); got != nil {
		t.Errorf("another tenant: %v", got)
	}
	if tb.Count() != 3 {
		t.Errorf("count %d", tb.Count())
	}
}

func TestEveryFieldIsKept(t *testing.T) {
	tb := New(Config{}, epoch)
	b := Binding{
		Device: "101", Contact: "sip:101@192.0.2.7;transport=tcp;pn-provider=apns;pn-prid=x", Params: `;video;+sip.instance="<urn:uuid:1>";reg-id=2`,
		Q: 700, Path: "<sip:p1;lr>,<sip:p2;lr>", Instance: "urn:uuid:1", RegID: 2, CallID: "call", CSeq: 1<<32 - 1, UserAgent: "phone/1",
		Flow: Flow{
			Transport: directory.TCP, ID: 9, Local: netip.MustParseAddrPort("[2001:db8::1]:5060"), Remote: netip.MustParseAddrPort("[2001:db8::7]:4000"),
		},
		Created: epoch, Updated: epoch.Add(time.Second), Expires: epoch.Add(time.Minute),
	}
	for i := range reflect.TypeFor[Binding]().NumField() {
		if reflect.ValueOf(b).Field(i).IsZero() {
			t.Fatalf("the test leaves %s out", reflect.TypeFor[Binding]().Field(i).Name)
		}
	}
	add(tb, line(1, 1), epoch, b)
	if got := tb.Lookup(nil, line(1, 1), epoch); len(got) != 1 || got[0] != b {
		t.Errorf("got %+v\nwant %+v", got, b)
	}
}

func TestSameRegistration(t *testing.T) {
	with := func(device, contact, instance string, reg uint32) Binding {
		b := bound(device, contact, epoch, time.Hour)
		b.Instance, b.RegID = instance, reg
		return b
	}
	for _, tt := range []struct {
		name string
		a, b Binding
		same bool
	}{
		{"contact", with("d", "sip:a@h", "", 0), with("d", "sip:a@h", "", 0), true},
		{"contact of another device", with("d", "sip:a@h", "", 0), with("e", "sip:a@h", "", 0), false},
		{"contact and an instance", with("d", "sip:a@h", "i", 0), with("d", "sip:a@h", "j", 0), true},
		{"other contact of the instance", with("d", "sip:a@h", "i", 0), with("d", "sip:b@h", "i", 0), false},
		{"flow with another contact", with("d", "sip:a@h", "i", 1), with("d", "sip:b@h", "i", 1), true},
		{"other flow", with("d", "sip:a@h", "i", 1), with("d", "sip:a@h", "i", 2), false},
		{"flow of another instance", with("d", "sip:a@h", "i", 1), with("d", "sip:a@h", "j", 1), false},
		{"flow and contact", with("d", "sip:a@h", "i", 1), with("d", "sip:a@h", "i", 0), false},
	} {
		tb := New(Config{}, epoch)
		add(tb, line(1, 1), epoch, tt.a, tt.b)
		if got := tb.Count() == 1; got != tt.same {
			t.Errorf("%s: %d bindings", tt.name, tb.Count())
		}
	}
}

func TestStream(t *testing.T) {
	for tr, want := range map[directory.Transport]bool{"": false, directory.UDP: false, directory.TCP: true, directory.TLS: true, directory.WS: true, directory.WSS: true} {
		if got := (Flow{Transport: tr}).Stream(); got != want {
			t.Errorf("%q: %v", tr, got)
		}
	}
}

func TestEventNames(t *testing.T) {
	for want, data := range map[string]event.Data{"registration.added": Registered{}, "registration.removed": Unregistered{}} {
		if got := data.EventType(); got != want {
			t.Errorf("%T is %q, want %q", data, got, want)
		}
	}
}

// TestEventTime: times leave the exchange as RFC 3339 in UTC with milliseconds, also those inside a payload.
func TestEventTime(t *testing.T) {
	bus := &heard{}
	at := epoch.Add(123456789 * time.Nanosecond).In(time.FixedZone("Tehran", 12600))
	tb := New(Config{Publisher: bus}, at)
	add(tb, line(1, 1), at, bound("a", "sip:a@h", at, time.Minute))
	want := at.Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
	if len(bus.data) != 1 || bus.data[0].(Registered).Expires != want {
		t.Errorf("published %+v, want an expiry of %s", bus.data, want)
	}
}

// heard keeps what was published.
type heard struct{ data []event.Data }

func (h *heard) Publish(_, _ string, d event.Data) event.Event {
	h.data = append(h.data, d)
	return event.Event{}
}

func TestHasFlow(t *testing.T) {
	tb := New(Config{}, epoch)
	aor := line(1, 1)
	b := bound("a", "sip:a@h", epoch, time.Minute)
	add(tb, aor, epoch, b)
	other := netip.AddrPortFrom(b.Flow.Remote.Addr(), b.Flow.Remote.Port()+1)
	for _, tt := range []struct {
		aor  AOR
		src  netip.AddrPort
		at   time.Duration
		want bool
	}{
		{aor, b.Flow.Remote, 0, true},
		{aor, other, 0, false},
		{line(1, 2), b.Flow.Remote, 0, false},
		{line(2, 1), b.Flow.Remote, 0, false},
		{aor, b.Flow.Remote, time.Minute, false},
	} {
		if got := tb.HasFlow(tt.aor.Tenant, tt.aor.Line, tt.src, epoch.Add(tt.at)); got != tt.want {
			t.Errorf("%v %v after %v: %v", tt.aor.Line, tt.src, tt.at, got)
		}
	}
}

func TestUpdateIsAtomic(t *testing.T) {
	heard := &journal{}
	tb := New(Config{Publisher: heard}, epoch)
	aor := line(1, 1)
	a, b := bound("a", "sip:a@h", epoch, time.Hour), bound("b", "sip:b@h", epoch, time.Hour)
	add(tb, aor, epoch, a, b)
	heard.take(t, "+ sip:a@h udp 192.0.2.7:5062", "+ sip:b@h udp 192.0.2.7:5062")

	if tb.Update(aor, epoch, func([]Binding) ([]Binding, bool) { return nil, false }) {
		t.Error("a refused update reports success")
	}
	if got := tb.Lookup(nil, aor, epoch); len(got) != 2 {
		t.Errorf("a refused update left %v", got)
	}
	heard.take(t)

	// Refresh a, replace b by c: one step.
	later := epoch.Add(time.Minute)
	a.Updated, a.Expires, a.CSeq = later, later.Add(time.Hour), 2
	c := bound("b", "sip:c@h", later, time.Hour)
	tb.Update(aor, later, func(current []Binding) ([]Binding, bool) {
		if len(current) != 2 {
			t.Errorf("given %v", current)
		}
		return []Binding{a, c}, true
	})
	got := tb.Lookup(nil, aor, later)
	slices.SortFunc(got, func(x, y Binding) int { return len(x.Device) - len(y.Device) })
	if len(got) != 2 || !slices.Contains(got, a) || !slices.Contains(got, c) {
		t.Errorf("got %v", got)
	}
	heard.take(t, "+ sip:c@h udp 192.0.2.7:5062", "- sip:b@h unregistered")

	tb.Update(aor, later, func([]Binding) ([]Binding, bool) { return nil, true })
	heard.take(t, "- sip:a@h unregistered", "- sip:c@h unregistered")
	wantEmpty(t, tb)
}

func TestSameContactOfTwoDevices(t *testing.T) {
	tb := New(Config{}, epoch)
	add(tb, line(1, 1), epoch, bound("a", "sip:x@h", epoch, time.Hour), bound("b", "sip:x@h", epoch, time.Hour))
	if tb.Count() != 2 {
		t.Fatalf("count %d", tb.Count())
	}
	if n := tb.Remove(line(1, 1), "a"); n != 1 {
		t.Errorf("removed %d", n)
	}
	if got := tb.Lookup(nil, line(1, 1), epoch); len(got) != 1 || got[0].Device != "b" {
		t.Errorf("%v", got)
	}
	if n := tb.Remove(line(1, 1), ""); n != 1 || tb.Count() != 0 {
		t.Errorf("removed %d, left %d", n, tb.Count())
	}
}

func TestExpiry(t *testing.T) {
	heard := &journal{}
	tb := New(Config{Publisher: heard}, epoch)
	at := func(d time.Duration) time.Time { return epoch.Add(d) }
	add(tb, line(1, 1), epoch, bound("a", "sip:a@h", epoch, 60*time.Second), bound("b", "sip:b@h", epoch, 90*time.Second))
	add(tb, line(1, 2), epoch, bound("c", "sip:c@h", epoch, 60*time.Second))
	heard.lines = nil

	tb.Expire(at(59 * time.Second))
	heard.take(t)
	// At its end a binding is no longer found, swept or not.
	if got := tb.Lookup(nil, line(1, 1), at(60*time.Second)); len(got) != 1 {
		t.Errorf("%v", got)
	}
	// A refresh moves it to a later bucket.
	add(tb, line(1, 2), at(59*time.Second), bound("c", "sip:c@h", at(59*time.Second), time.Minute))
	tb.Expire(at(62 * time.Second))
	heard.take(t, "- sip:a@h expired")
	tb.Expire(at(92 * time.Second))
	heard.take(t, "- sip:b@h expired")
	if tb.Count() != 1 {
		t.Errorf("count %d", tb.Count())
	}
	// A sweep after days of sleep.
	tb.Expire(at(100 * time.Hour))
	heard.take(t, "- sip:c@h expired")
	wantEmpty(t, tb)
	// What is bound with an end in the past goes with the next sweep.
	add(tb, line(1, 3), at(100*time.Hour), bound("d", "sip:d@h", epoch, time.Second))
	tb.Expire(at(100*time.Hour + 2*time.Second))
	if tb.Count() != 0 {
		t.Errorf("count %d", tb.Count())
	}
}

// TestExpiryAgainstModel compares the buckets with a plain map under random updates.
func TestExpiryAgainstModel(t *testing.T) {
	tb := New(Config{}, epoch)
	model := map[string]time.Time{}
	now := epoch
	for i := range 5000 {
		now = now.Add(time.Duration(i*7919%1500) * time.Millisecond)
		n := uint64(i * 31 % 40)
		contact := fmt.Sprintf("sip:%d@h", i%3)
		ttl := time.Duration(1+i*17%120) * time.Second
		add(tb, line(1, n), now, bound("d", contact, now, ttl))
		model[fmt.Sprint(n, contact)] = now.Add(ttl)
		if i%5 == 0 {
			tb.Expire(now)
			for k, end := range model {
				if !end.After(now.Truncate(time.Second).Add(-time.Second)) {
					delete(model, k)
				}
			}
		}
		live := 0
		for n := range uint64(40) {
			live += len(tb.Lookup(nil, line(1, n), now))
		}
		want := 0
		for _, end := range model {
			if end.After(now) {
				want++
			}
		}
		if live != want {
			t.Fatalf("step %d: %d live, want %d", i, live, want)
		}
	}
	tb.Expire(now.Add(time.Hour))
	if tb.Count() != 0 {
		t.Errorf("%d left", tb.Count())
	}
}

func TestFlowClosed(t *testing.T) {
	heard := &journal{}
	tb := New(Config{Publisher: heard}, epoch)
	on := func(device string, tr directory.Transport, id uint64, reg uint32) Binding {
		b := bound(device, "sip:"+device+"@h", epoch, time.Hour)
		b.Flow.Transport, b.Flow.ID, b.RegID, b.Instance = tr, id, reg, "i-"+device
		return b
	}
	aor := line(1, 1)
	add(tb, aor, epoch, on("web", directory.WSS, 7, 0), on("ob", directory.TLS, 7, 1), on("plain", directory.TCP, 7, 0), on("other", directory.WSS, 8, 0))
	add(tb, line(1, 2), epoch, on("far", directory.WS, 7, 0))
	heard.lines = nil
	tb.FlowClosed(0)
	tb.FlowClosed(99)
	heard.take(t)
	tb.FlowClosed(7)
	heard.take(t, "- sip:far@h connection closed", "- sip:ob@h connection closed", "- sip:web@h connection closed")
	for _, b := range tb.Lookup(nil, aor, epoch) {
		switch b.Device {
		case "plain":
			if b.Flow.ID != 0 {
				t.Error("plain keeps its closed connection")
			}
		case "other":
			if b.Flow.ID != 8 {
				t.Error("other lost its connection")
			}
		default:
			t.Errorf("%s is left", b.Device)
		}
	}
	// Re-registration on a new connection takes the note along.
	add(tb, aor, epoch, on("other", directory.WSS, 9, 0))
	tb.FlowClosed(8)
	heard.take(t)
	tb.FlowClosed(9)
	heard.take(t, "- sip:other@h connection closed")
	for i := range tb.flows {
		if len(tb.flows[i].aors) != 0 {
			t.Errorf("flow shard %d: %v", i, tb.flows[i].aors)
		}
	}
}

func TestTargets(t *testing.T) {
	make1 := func(contact, device, instance string, q uint16, age int) Binding {
		b := bound(device, "sip:"+contact, epoch.Add(-time.Duration(age)*time.Second), time.Hour)
		b.Instance, b.Q = instance, q
		return b
	}
	tests := []struct {
		name string
		in   []Binding
		want [][]string
	}{
		{"none", nil, nil},
		{"no SIP", []Binding{bound("d", "mailto:a@h", epoch, time.Hour), bound("d", "tel:+1", epoch, time.Hour), make1("a", "d", "", 1000, 1)}, [][]string{{"a"}}},
		{"plain contacts fork", []Binding{make1("a", "d", "", 1000, 1), make1("b", "d", "", 1000, 0)}, [][]string{{"b"}, {"a"}}},
		{"flows of one instance are one target, the newest first", []Binding{make1("f1", "d", "i", 1000, 5), make1("f2", "d", "i", 1000, 1)}, [][]string{{"f2", "f1"}}},
		{"the same instance of two devices", []Binding{make1("x", "d", "i", 1000, 5), make1("y", "e", "i", 1000, 1)}, [][]string{{"y"}, {"x"}}},
		{"q goes before age", []Binding{make1("new", "d", "", 500, 0), make1("old", "e", "", 1000, 9)}, [][]string{{"old"}, {"new"}}},
		{"a target stands at its best q", []Binding{make1("f1", "d", "i", 900, 5), make1("f2", "d", "i", 100, 1), make1("p", "e", "", 500, 0)}, [][]string{{"f2", "f1"}, {"p"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got [][]string
			for _, target := range Targets(tt.in) {
				got = append(got, strings.Fields(strings.ReplaceAll(strings.Join(contacts(target), " "), "sip:", "")))
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	tb := New(Config{Publisher: &journal{}}, epoch)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				now := epoch.Add(time.Duration(i) * 100 * time.Millisecond)
				aor := line(1, uint64(i%20))
				b := bound(fmt.Sprint(w), "sip:x@h", now, 5*time.Second)
				b.Flow.Transport, b.Flow.ID = directory.TCP, uint64(i%7)
				add(tb, aor, now, b)
				tb.Lookup(nil, aor, now)
				if i%50 == 0 {
					tb.Expire(now)
					tb.FlowClosed(uint64(i % 7))
				}
			}
		})
	}
	wg.Wait()
	tb.Expire(epoch.Add(time.Hour))
	if tb.Count() != 0 {
		t.Errorf("%d left", tb.Count())
	}
}
