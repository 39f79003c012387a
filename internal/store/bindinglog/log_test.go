package bindinglog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dialtone/internal/location"
	"dialtone/internal/store"
	"dialtone/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestBindings(t *testing.T) {
	storetest.RunBindings(t, func(t testing.TB, dir string) store.Bindings { return open(t, dir) })
}

func closed(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// save keeps rows of so many bindings that there are.
func save(t testing.TB, l *Log, live int, rows ...location.Row) (again bool) {
	t.Helper()
	again, err := l.SaveBindings(t.Context(), &location.Batch{Rows: rows, Live: live})
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// rows are what a log gives back, each as a text.
func rows(t testing.TB, l *Log) (list []string) {
	t.Helper()
	if err := l.LoadBindings(t.Context(), func(r location.Row) error {
		list = append(list, text(r))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func text(r location.Row) string {
	return fmt.Sprintf("%d %d %q %v %q %v", r.ID, r.ExpiresMS, r.Body, r.Body == nil, r.Refresh, r.Refresh == nil)
}

// sample makes n rows of all kinds.
func sample(n int) (list []location.Row) {
	random := rand.New(rand.NewPCG(7, uint64(n)))
	for i := range n {
		r := location.Row{ID: 1 + random.Uint64()>>(8*random.IntN(8))}
		switch i % 4 {
		case 0, 1:
			r.ExpiresMS, r.Body = random.Int64N(1<<50), bytes.Repeat([]byte{byte(i)}, random.IntN(50))
		case 2:
			r.ExpiresMS, r.Refresh = random.Int64N(1<<50), []byte{1, 2, byte(i)}
		}
		list = append(list, r)
	}
	return list
}

// only is the one file of a log.
func only(t testing.TB, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v", files, err)
	}
	return files[0]
}

// TestCut: wherever a crash has cut the file, what was saved before the batch that was cut is there; and what is saved
// after the restart comes behind it.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	var ends []int64
	var all []string
	counts := []int{0}
	for i := range 6 {
		list := sample(1 + i*3)
		save(t, l, 1, list...)
		for _, r := range list {
			all = append(all, text(r))
		}
		counts = append(counts, len(all))
		ends = append(ends, l.size)
	}
	closed(t, l)
	whole, err := os.ReadFile(only(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range int64(len(whole)) + 1 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000001"+suffix), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		batches, _ := slices.BinarySearchFunc(ends, cut+1, func(end, at int64) int { return int(end - at) })
		want := slices.Clone(all[:counts[batches]])
		l := open(t, dir)
		if got := rows(t, l); !slices.Equal(got, want) {
			t.Fatalf("cut at %d: %d rows, want %d", cut, len(got), len(want))
		}
		if cut%17 == 0 {
			more := location.Row{ID: 5, ExpiresMS: 5, Refresh: []byte("more")}
			save(t, l, 1, more)
			closed(t, l)
			l = open(t, dir)
			if got := rows(t, l); !slices.Equal(got, append(want, text(more))) {
				t.Fatalf("cut at %d, saved after it: %d rows, want %d", cut, len(got), len(want)+1)
			}
		}
		closed(t, l)
	}
}

// TestDamaged: a byte that has changed ends the file before the batch it is in, and is told.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	first, second := sample(9), sample(10)
	save(t, l, 1, first...)
	end := l.size
	save(t, l, 1, second...)
	closed(t, l)
	l = open(t, dir)
	third := location.Row{ID: 1, ExpiresMS: 1, Body: []byte("of the next start")}
	save(t, l, 1, third)
	closed(t, l)
	name := filepath.Join(dir, "00000001"+suffix)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var sound []string
	for _, r := range first {
		sound = append(sound, text(r))
	}
	for at := range whole {
		damaged := slices.Clone(whole)
		damaged[at] ^= 0x41
		if err := os.WriteFile(name, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		l, err := Open(Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{text(third)}
		if int64(at) >= end {
			want = append(slices.Clone(sound), want...)
		}
		if got := rows(t, l); !slices.Equal(got, want) {
			t.Fatalf("byte %d: %d rows, want %d", at, len(got), len(want))
		}
		if !strings.Contains(said.String(), "damaged") {
			t.Fatalf("byte %d: nothing was said", at)
		}
		closed(t, l)
	}
}

// TestWrittenAnew: the files stay within a bound however long bindings are refreshed, and what is never refreshed stays.
func TestWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const live = 1000
	body := func(id int) location.Row {
		return location.Row{ID: uint64(id), ExpiresMS: 1, Body: bytes.Repeat([]byte{byte(id)}, 300)}
	}
	for id := 1; id <= live; id++ {
		save(t, l, live, body(id))
	}
	refreshes := make([]location.Row, live/2)
	for i := range refreshes {
		refreshes[i] = location.Row{ID: uint64(i + 1), ExpiresMS: 2, Refresh: []byte("0123456789")}
	}
	asked, largest := 0, int64(0)
	for range 3000 {
		if save(t, l, live, refreshes...) {
			asked++
			for id := 1; id <= live; id++ {
				save(t, l, live, body(id))
			}
			if _, err := l.SaveBindings(t.Context(), &location.Batch{Live: live, Complete: true}); err != nil {
				t.Fatal(err)
			}
			if err := l.sync(); err != nil {
				t.Fatal(err)
			}
		}
		largest = max(largest, l.size)
	}
	if onDisk := size(t, dir); onDisk != l.size {
		t.Errorf("%d bytes on the disk, %d by its own account", onDisk, l.size)
	}
	closed(t, l)
	if asked < 3 || largest > slack+4*live*320 {
		t.Errorf("asked %d times, %d bytes at most", asked, largest)
	}
	l = open(t, dir)
	defer closed(t, l)
	got := map[uint64]bool{}
	if err := l.LoadBindings(t.Context(), func(r location.Row) error { got[r.ID] = true; return nil }); err != nil || len(got) != live {
		t.Errorf("%d bindings are left, %v", len(got), err)
	}
}

func size(t testing.TB, dir string) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

// TestManyStarts: a log that is small, but in many files, is written anew as well.
func TestManyStarts(t *testing.T) {
	dir := t.TempDir()
	for range mostSegments {
		l := open(t, dir)
		if save(t, l, 1, sample(2)...) {
			t.Error("asked too early")
		}
		closed(t, l)
	}
	l := open(t, dir)
	defer closed(t, l)
	if !save(t, l, 1, sample(2)...) {
		t.Error("not asked")
	}
}

// tight is a disk that may be full.
type tight struct {
	*os.File
	room *int
}

func (f tight) WriteAt(b []byte, at int64) (int, error) {
	if len(b) > *f.room {
		n, err := f.File.WriteAt(b[:*f.room], at)
		return n, errors.Join(err, syscall.ENOSPC)
	}
	return f.File.WriteAt(b, at)
}

// TestDiskFull: a batch that does not fit is an error and leaves nothing behind; later ones are kept.
func TestDiskFull(t *testing.T) {
	dir, room := t.TempDir(), 1<<20
	l, err := Open(Config{Dir: dir, create: func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return tight{f, &room}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	first, second := sample(20), sample(21)
	room = 5
	if _, err := l.SaveBindings(t.Context(), &location.Batch{Rows: first}); !errors.Is(err, syscall.ENOSPC) || size(t, dir) != 0 {
		t.Errorf("without room for a file: %v, %d bytes", err, size(t, dir))
	}
	room = 1 << 20
	save(t, l, 1, first...)
	before := size(t, dir)
	for room = range 200 {
		if _, err := l.SaveBindings(t.Context(), &location.Batch{Rows: sample(30)}); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
		if after := size(t, dir); after != before {
			t.Fatalf("room for %d bytes: %d are left behind", room, after-before)
		}
	}
	room = 1 << 20
	save(t, l, 1, second...)
	closed(t, l)
	var want []string
	for _, r := range slices.Concat(first, second) {
		want = append(want, text(r))
	}
	l = open(t, dir)
	defer closed(t, l)
	if got := rows(t, l); !slices.Equal(got, want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

// TestFiles: nobody else may read them, and what is not one of them is left alone.
func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bindings")
	l := open(t, dir)
	if n := size(t, dir); n != 0 {
		t.Errorf("%d bytes before anything is saved", n)
	}
	save(t, l, 1, sample(5)...)
	closed(t, l)
	for name, mode := range map[string]fs.FileMode{dir: 0o700, only(t, dir): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	for _, name := range []string{"notes", "x" + suffix, "-1" + suffix} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("something else"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, dir)
	defer closed(t, l)
	if n := len(rows(t, l)); n != 5 {
		t.Errorf("%d rows", n)
	}
}

// TestSynced: what was written is on the disk within some seconds, by the log itself.
func TestSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		synced := make(chan struct{}, 1)
		l, err := Open(Config{Dir: t.TempDir(), create: func(path string) (file, error) {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			return watched{f, synced}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, l)
		save(t, l, 1, sample(5)...)
		time.Sleep(syncEvery + time.Millisecond)
		synctest.Wait()
		select {
		case <-synced:
		default:
			t.Error("not synced")
		}
	})
}

// watched tells when it is synced.
type watched struct {
	*os.File
	synced chan struct{}
}

func (f watched) Sync() error {
	select {
	case f.synced <- struct{}{}:
	default:
	}
	return f.File.Sync()
}

// FuzzRead: whatever a file holds, it is read up to a place, and what was read is written as it stands there; a batch
// that follows a sound file is found.
func FuzzRead(f *testing.F) {
	l := &Log{}
	l.frame(sample(12))
	l.frame(sample(3))
	f.Add(append([]byte(magic), l.buf...))
	f.Add([]byte(magic))
	f.Add([]byte("DTBIND1\n\x01\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, file []byte) {
		var got []location.Row
		keep := func(r location.Row, _ int) error {
			r.Body, r.Refresh = slices.Clone(r.Body), slices.Clone(r.Refresh)
			got = append(got, r)
			return nil
		}
		sound, err := read(bytes.NewReader(file), keep)
		if err != nil || sound < 0 || sound > int64(len(file)) {
			t.Fatalf("sound up to %d of %d, %v", sound, len(file), err)
		}
		if sound == 0 {
			return
		}
		first := slices.Clone(got)
		got = nil
		last := sample(4)
		l := &Log{buf: slices.Clone(file[:sound])}
		l.frame(last)
		again, err := read(bytes.NewReader(l.buf), keep)
		if err != nil || again != int64(len(l.buf)) {
			t.Fatalf("sound up to %d of %d, %v", again, len(l.buf), err)
		}
		// Of a frame with a right checksum and a row that is not one, the first reading has given the rows before that.
		if len(got) < len(last) || len(got)-len(last) > len(first) {
			t.Fatalf("%d rows, then %d", len(first), len(got))
		}
		for i, r := range got[:len(got)-len(last)] {
			if text(r) != text(first[i]) {
				t.Fatalf("row %d: %s, then %s", i, text(first[i]), text(r))
			}
		}
		for i := range last {
			if g, w := text(got[len(got)-len(last)+i]), text(last[i]); g != w && len(last[i].Body)+len(last[i].Refresh) > 0 {
				t.Fatalf("%s became %s", w, g)
			}
		}
	})
}

// FuzzRow: a row that is read is written in a form that is read as the same row.
func FuzzRow(f *testing.F) {
	for _, r := range sample(8) {
		f.Add(appendRow(nil, &r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		r, rest, err := parseRow(b)
		if err != nil {
			return
		}
		printed := appendRow(nil, &r)
		again, left, err := parseRow(append(printed, rest...))
		if err != nil || text(again) != text(r) || !bytes.Equal(left, rest) {
			t.Fatalf("%s became %s, %v", text(r), text(again), err)
		}
	})
}

// BenchmarkSave is a batch of 500 refreshes.
func BenchmarkSave(b *testing.B) {
	l := open(b, b.TempDir())
	defer closed(b, l)
	list := make([]location.Row, 500)
	for i := range list {
		list[i] = location.Row{ID: uint64(100_000 + i), ExpiresMS: time.Now().UnixMilli(), Refresh: []byte("12345678")}
	}
	b.ReportAllocs()
	for b.Loop() {
		save(b, l, 1<<40, list...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/binding")
}

// BenchmarkLoad reads 100,000 bindings of 300 bytes.
func BenchmarkLoad(b *testing.B) {
	const many = 100_000
	dir := b.TempDir()
	l := open(b, dir)
	for i := range many {
		save(b, l, many, location.Row{ID: uint64(i + 1), ExpiresMS: time.Now().UnixMilli(), Body: bytes.Repeat([]byte("x"), 300)})
	}
	defer closed(b, l)
	for b.Loop() {
		n := 0
		if err := l.LoadBindings(b.Context(), func(location.Row) error { n++; return nil }); err != nil || n != many {
			b.Fatal(n, err)
		}
	}
}
