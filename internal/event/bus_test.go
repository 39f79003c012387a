package event

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

type rang struct {
	N int `json:"n"`
}

func (rang) EventType() string { return "call.rang" }

// drain returns what is queued without waiting for more.
func drain(s *Subscription) (got []Event) {
	for {
		select {
		case e, ok := <-s.Events():
			if !ok {
				return got
			}
			got = append(got, e)
		default:
			return got
		}
	}
}

func wantSeqs(t *testing.T, events []Event, first uint64, n int) {
	t.Helper()
	if len(events) != n {
		t.Fatalf("got %d events, want %d: %v", len(events), n, events)
	}
	for i, e := range events {
		if e.Seq != first+uint64(i) {
			t.Fatalf("event %d has seq %d, want %d", i, e.Seq, first+uint64(i))
		}
	}
}

func TestEachStreamCountsByOne(t *testing.T) {
	b := NewBus(Config{})
	all := b.Subscribe(Scope{AllTenants: true})
	a := b.Subscribe(Scope{Tenant: "a"})
	other := b.Subscribe(Scope{Tenant: "b"})
	system := b.Subscribe(Scope{})
	for i := range 12 {
		b.Publish([]string{"a", "b", ""}[i%3], "call", rang{i})
	}
	wantSeqs(t, drain(all), 1, 12)
	for i, sub := range []*Subscription{a, other, system} {
		events := drain(sub)
		wantSeqs(t, events, 1, 4)
		for n, e := range events {
			if got := e.Data.(rang).N; got != n*3+i {
				t.Errorf("stream %d event %d carries %d, want %d", i, n, got, n*3+i)
			}
		}
	}
}

func TestReplayJoinsLiveWithoutHoleOrDouble(t *testing.T) {
	b := NewBus(Config{Ring: 8})
	var seen []Event
	for i := range 6 {
		seen = append(seen, b.Publish("a", "x", rang{i}))
		b.Publish("b", "x", rang{100 + i})
	}
	// The ring of 8 holds the last four events of each tenant.
	s := b.Subscribe(Scope{Tenant: "a", After: seen[3].ID})
	defer s.Close()
	b.Publish("a", "x", rang{6})
	if !s.Complete {
		t.Error("the event is in the ring, yet the replay is called incomplete")
	}
	wantSeqs(t, append(s.Backlog, drain(s)...), 5, 3)

	all := b.Subscribe(Scope{AllTenants: true, After: seen[4].ID})
	defer all.Close()
	wantSeqs(t, all.Backlog, 10, 4)

	for name, after := range map[string]uuid.UUID{
		"older than the ring": seen[0].ID,
		"unknown":             uuid.Must(uuid.NewV7()),
	} {
		s := b.Subscribe(Scope{Tenant: "a", After: after})
		if s.Complete {
			t.Errorf("%s: replay is called complete", name)
		}
		wantSeqs(t, s.Backlog, 4, 4)
		s.Close()
	}
	foreign := b.Subscribe(Scope{Tenant: "b", After: seen[5].ID})
	if foreign.Complete {
		t.Error("an event of another tenant was accepted as a place in this stream")
	}
	if fresh := b.Subscribe(Scope{Tenant: "a"}); len(fresh.Backlog) != 0 || !fresh.Complete {
		t.Errorf("a stream without After starts with a backlog of %d", len(fresh.Backlog))
	}
}

func TestSlowSubscriberIsDroppedWithMarker(t *testing.T) {
	b := NewBus(Config{Queue: 3})
	slow := b.Subscribe(Scope{Tenant: "a"})
	quick := b.Subscribe(Scope{Tenant: "a"})
	var published []Event
	for i := range 10 {
		published = append(published, b.Publish("a", "x", rang{i}))
		if got := drain(quick); len(got) != 1 || got[0].Seq != uint64(i+1) {
			t.Fatalf("the quick reader got %v at event %d", got, i)
		}
	}
	got := drain(slow)
	wantSeqs(t, got, 1, 4)
	marker, ok := got[3].Data.(Dropped)
	if !ok || got[3].Type != TypeDropped || marker.After != published[2].ID {
		t.Fatalf("last event is %+v, want the marker after %s", got[3], published[2].ID)
	}
	if _, open := <-slow.Events(); open {
		t.Fatal("the channel is open after the marker")
	}
	again := b.Subscribe(Scope{Tenant: "a", After: marker.After})
	if !again.Complete {
		t.Error("subscribing again after the marker lost events")
	}
	wantSeqs(t, again.Backlog, 4, 7)
	slow.Close() // after the end: no harm
}

func TestDroppedBeforeFirstReadResumesAtBacklog(t *testing.T) {
	b := NewBus(Config{Queue: 1})
	first := b.Publish("a", "x", rang{0})
	second := b.Publish("a", "x", rang{1})
	s := b.Subscribe(Scope{Tenant: "a", After: first.ID})
	third := b.Publish("a", "x", rang{2})
	b.Publish("a", "x", rang{3})
	if len(s.Backlog) != 1 || s.Backlog[0].ID != second.ID {
		t.Fatalf("backlog %v", s.Backlog)
	}
	got := drain(s)
	if len(got) != 2 || got[1].Data.(Dropped).After != third.ID {
		t.Fatalf("got %v, want event 3 and a marker after it", got)
	}
}

func TestClose(t *testing.T) {
	b := NewBus(Config{})
	a, all := b.Subscribe(Scope{Tenant: "a"}), b.Subscribe(Scope{AllTenants: true})
	b.Publish("a", "x", rang{})
	b.Close()
	b.Close()
	if e := b.Publish("a", "x", rang{}); e.Seq != 0 {
		t.Errorf("published %v after Close", e)
	}
	for _, s := range []*Subscription{a, all, b.Subscribe(Scope{Tenant: "a"})} {
		for range s.Events() { // ends only if the channel is closed
		}
		s.Close()
	}
}

func TestConcurrentPublishersKeepOneOrder(t *testing.T) {
	const publishers, each = 8, 200
	b := NewBus(Config{Queue: publishers * each})
	subs := []*Subscription{b.Subscribe(Scope{AllTenants: true}), b.Subscribe(Scope{AllTenants: true})}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				b.Publish(fmt.Sprint("t", p), "x", rang{i})
			}
		})
	}
	wg.Wait()
	first, second := drain(subs[0]), drain(subs[1])
	wantSeqs(t, first, 1, publishers*each)
	next := map[string]int{}
	for i, e := range first {
		if second[i].ID != e.ID {
			t.Fatalf("the two streams differ at %d", i)
		}
		if i > 0 && first[i-1].ID.String() >= e.ID.String() {
			t.Fatalf("IDs do not grow at %d", i)
		}
		if got := e.Data.(rang).N; got != next[e.Tenant] {
			t.Fatalf("tenant %s: event %d where %d was due", e.Tenant, got, next[e.Tenant])
		}
		next[e.Tenant]++
	}
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1_234_567 * time.Microsecond) // virtual time
		b := NewBus(Config{})
		e := b.Publish("t1", "c1", rang{7})
		got, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"id":"%s","seq":1,"time":"2000-01-01T00:00:01.234Z","tenant":"t1","type":"call.rang",`+
			`"object":"c1","data":{"n":7}}`, e.ID)
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	bus := NewBus(Config{})
	var data Data = rang{1}
	for b.Loop() {
		bus.Publish("t", "x", data)
	}
}
