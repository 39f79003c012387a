package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"dialtone/internal/location"
	"dialtone/internal/store"
)

// BindingsOpener opens a store of bindings; the suite closes it. Opening the same dir again finds what was kept.
type BindingsOpener func(t testing.TB, dir string) store.Bindings

// RunBindings runs the suite of those who keep bindings.
func RunBindings(t *testing.T, open BindingsOpener) {
	for _, group := range []struct {
		name string
		run  func(*testing.T, BindingsOpener)
	}{
		{"state", testBindingState},
		{"rewriting", testBindingsAgain},
		{"errors", testBindingErrors},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			group.run(t, open)
		})
	}
}

// shelf is a store of bindings that is closed and opened again between the steps of a test.
type shelf struct {
	store.Bindings
	t    *testing.T
	open BindingsOpener
	dir  string
}

func newShelf(t *testing.T, open BindingsOpener) *shelf {
	s := &shelf{t: t, open: open, dir: t.TempDir()}
	s.Bindings = open(t, s.dir)
	t.Cleanup(func() { s.close() })
	return s
}

func (s *shelf) close() {
	if err := s.Close(); err != nil {
		s.t.Errorf("close: %v", err)
	}
}

func (s *shelf) reopen() {
	s.close()
	s.Bindings = s.open(s.t, s.dir)
}

func (s *shelf) save(rows ...location.Row) {
	s.t.Helper()
	if _, err := s.SaveBindings(s.t.Context(), &location.Batch{Rows: rows, Live: len(rows)}); err != nil {
		s.t.Fatal(err)
	}
	for i := range rows { // nothing of a batch is kept
		clear(rows[i].Body)
		clear(rows[i].Refresh)
	}
}

// state is what the rows lead to, by identifier: body, refresh and expiry.
func (s *shelf) state() map[uint64]string {
	s.t.Helper()
	bodies, got := map[uint64]string{}, map[uint64]string{}
	if err := s.LoadBindings(s.t.Context(), func(r location.Row) error {
		switch {
		case r.Body != nil:
			bodies[r.ID] = string(r.Body)
			got[r.ID] = fmt.Sprintf("%s %d", r.Body, r.ExpiresMS)
		case r.Refresh == nil:
			delete(got, r.ID)
			delete(bodies, r.ID)
		case bodies[r.ID] == "":
			s.t.Errorf("%d is refreshed before its body", r.ID)
		default:
			got[r.ID] = fmt.Sprintf("%s %s %d", bodies[r.ID], r.Refresh, r.ExpiresMS)
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *shelf) want(want map[uint64]string) {
	s.t.Helper()
	if got := s.state(); !maps.Equal(got, want) {
		s.t.Errorf("loaded %.2000v, want %.2000v", got, want)
	}
}

func body(id uint64, text string, expires int64) location.Row {
	return location.Row{ID: id, ExpiresMS: expires, Body: []byte(text)}
}

func refresh(id uint64, text string, expires int64) location.Row {
	return location.Row{ID: id, ExpiresMS: expires, Refresh: []byte(text)}
}

// testBindingState: the newest state of each binding comes back, after whatever restart.
func testBindingState(t *testing.T, open BindingsOpener) {
	s := newShelf(t, open)
	s.want(map[uint64]string{})
	s.save()
	s.save(body(1, "one", 1000), body(2, "two", 1000), body(1<<40, "\x00\xff", 1), body(4, "gone", 1))
	s.save(refresh(1, "later", 2000), location.Row{ID: 2}, location.Row{ID: 77})
	s.save(refresh(1, "latest", 3000), body(3, "three", 1<<50))
	s.save(body(3, "three again", 1<<50), location.Row{ID: 4})
	want := map[uint64]string{1: "one latest 3000", 1 << 40: "\x00\xff 1", 3: fmt.Sprint("three again ", int64(1)<<50)}
	s.want(want)
	s.reopen()
	s.want(want)
	s.save(refresh(3, "much later", 1<<51), location.Row{ID: 1 << 40})
	delete(want, 1<<40)
	want[3] = fmt.Sprint("three again much later ", int64(1)<<51)
	s.reopen()
	s.reopen()
	s.want(want)
}

// testBindingsAgain: a store that asks for all bindings again gets them between the changes. Nothing is lost, neither
// what never changes nor what came meanwhile, when it is closed in the middle of that or after it.
func testBindingsAgain(t *testing.T, open BindingsOpener) {
	s := newShelf(t, open)
	const live = 60
	filler := strings.Repeat("x", 20_000)
	texts := map[uint64]string{}
	want := func() map[uint64]string {
		m := map[uint64]string{}
		for id, text := range texts {
			m[id] = text + " 1000"
		}
		return m
	}
	asked, completed := 0, 0
	next := uint64(live + 1) // of those that come again; beyond the last: none
	for round := range 60 {
		b := location.Batch{Live: live}
		for id := uint64(1); id <= live; id++ {
			if round == 0 || id%2 == 0 {
				texts[id] = fmt.Sprint("round ", round, " of ", id, " ", filler)
				b.Rows = append(b.Rows, body(id, texts[id], 1000))
			}
		}
		if next <= live {
			for end := next + live/3; next < end; next++ {
				b.Rows = append(b.Rows, body(next, texts[next], 1000))
			}
			b.Complete = next > live
		}
		again, err := s.SaveBindings(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		if again {
			next = 1
			asked++
		}
		if b.Complete {
			completed++
		}
		if b.Complete || asked == 2 && next == 1+live/3 {
			s.reopen()
			s.want(want())
			next = live + 1 // who asked for it has gone
		}
	}
	s.want(want())
	t.Logf("asked %d times, complete %d times", asked, completed)
}

// testBindingErrors: an error of add ends the loading, and so does the end of the context; after Close everything is an
// error, and Close may be called again.
func testBindingErrors(t *testing.T, open BindingsOpener) {
	s := newShelf(t, open)
	s.save(body(1, "one", 1), body(2, "two", 1))
	boom := errors.New("boom")
	calls := 0
	if err := s.LoadBindings(t.Context(), func(location.Row) error { calls++; return boom }); !errors.Is(err, boom) || calls != 1 {
		t.Errorf("error %v after %d calls, want the function's after one", err, calls)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	never := func(r location.Row) error { t.Errorf("row %d was loaded", r.ID); return nil }
	if err := s.LoadBindings(ended, never); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	s.close()
	if _, err := s.SaveBindings(t.Context(), &location.Batch{Rows: []location.Row{body(3, "three", 1)}}); err == nil {
		t.Error("saved after close")
	}
	if s.LoadBindings(t.Context(), never) == nil {
		t.Error("loaded after close")
	}
}
