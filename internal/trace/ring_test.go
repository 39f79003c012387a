package trace

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	local  = netip.MustParseAddrPort("192.0.2.1:5060")
	alice  = netip.MustParseAddrPort("192.0.2.7:5070")
	robert = netip.MustParseAddrPort("[2001:db8::9]:16384")
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 123_000_000, time.UTC)
)

func openRing(t testing.TB, dir string, bytes int64) *Ring {
	t.Helper()
	r, err := Open(Config{Dir: dir, Bytes: bytes, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func closeRing(t testing.TB, r *Ring) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func ladder(t *testing.T, r *Ring, id string) []Entry {
	t.Helper()
	entries, err := r.Ladder(id)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func message(callID, first string) []byte {
	return fmt.Appendf(nil, "%s\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n", first, callID)
}

// tapCall plays a call of two legs, the messages in wire order; it returns their first lines.
func tapCall(r *Ring, call string) (lines []string) {
	a, b := call+"-a", call+"-b"
	for i, m := range []struct {
		d      Direction
		remote netip.AddrPort
		callID string
		line   string
	}{
		{In, alice, a, "INVITE sip:102@pbx SIP/2.0"},
		{Out, alice, a, "SIP/2.0 100 Trying"},
		{Out, robert, b, "INVITE sip:102@host SIP/2.0"},
		{In, robert, b, "SIP/2.0 180 Ringing"},
		{Out, alice, a, "SIP/2.0 180 Ringing"},
		{In, robert, b, "SIP/2.0 200 OK"},
		{Out, alice, a, "SIP/2.0 200 OK"},
	} {
		if i == 1 {
			r.Join(call, a) // after the leg's first message
		}
		if i == 2 {
			r.Join(call, b)
		}
		r.Tap(m.d, "udp", local, m.remote, []byte(m.callID), noon.Add(time.Duration(i)*time.Millisecond), message(m.callID, m.line))
		lines = append(lines, m.line)
	}
	return lines
}

func wantLines(t *testing.T, entries []Entry, lines []string) {
	t.Helper()
	var got []string
	for _, e := range entries {
		line, _, _ := strings.Cut(string(e.Message), "\r\n")
		got = append(got, line)
	}
	if fmt.Sprint(got) != fmt.Sprint(lines) {
		t.Errorf("ladder\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func TestLadderJoinsBothLegsInOrder(t *testing.T) {
	r := openRing(t, t.TempDir(), 0)
	defer closeRing(t, r)
	var lines []string
	for i := range 20 { // other calls around it
		lines = tapCall(r, fmt.Sprint("call", i))
	}
	entries := ladder(t, r, "call7")
	wantLines(t, entries, lines)
	e := entries[3]
	if e.Direction != In || e.Kind != "udp" || e.Local != local || e.Remote != robert || e.SIPCallID != "call7-b" ||
		!e.At.Equal(noon.Add(3*time.Millisecond)) {
		t.Errorf("entry %+v", e)
	}
	if got := ladder(t, r, "call7-a"); len(got) != 4 {
		t.Errorf("%d messages of one leg, want 4", len(got))
	}
	if got := ladder(t, r, "nobody"); len(got) != 0 {
		t.Errorf("%d messages of no call", len(got))
	}
	if r.Dropped() != 0 {
		t.Errorf("%d dropped", r.Dropped())
	}
}

func TestLadderIsFoundAfterRestartAndTornTail(t *testing.T) {
	dir := t.TempDir()
	r := openRing(t, dir, 0)
	lines := tapCall(r, "first")
	closeRing(t, r)
	closeRing(t, r)

	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	// As kill -9 in the middle of a write leaves it.
	if err := os.WriteFile(names[0], append(whole, whole[len(magic):len(magic)+50]...), 0o600); err != nil {
		t.Fatal(err)
	}
	r = openRing(t, dir, 0)
	defer closeRing(t, r)
	wantLines(t, ladder(t, r, "first"), lines)
	wantLines(t, ladder(t, r, "second"), nil)
	tapCall(r, "first") // goes on where it was
	entries := ladder(t, r, "first")
	wantLines(t, entries, append(lines, lines...))
	for i := range entries[1:] {
		if entries[i].Seq >= entries[i+1].Seq {
			t.Fatalf("sequence %d stands before %d", entries[i].Seq, entries[i+1].Seq)
		}
	}
}

func TestRingIsBounded(t *testing.T) {
	const size = 256 << 10
	dir := t.TempDir()
	r := openRing(t, dir, size)
	for i := range 2000 {
		tapCall(r, fmt.Sprint("call", i))
		if i%20 == 0 {
			if err := r.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantLines(t, ladder(t, r, "call0"), nil)
	if n := len(ladder(t, r, "call1999")); n != 7 {
		t.Errorf("%d messages of the latest call", n)
	}
	closeRing(t, r)
	var total int64
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > size || total < size/2 {
		t.Errorf("the ring has %d bytes, want up to %d", total, size)
	}
}

func TestMessagesReachTheDiskByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := openRing(t, dir, 0)
		tapCall(r, "c")
		<-time.After(2 * flushEvery)
		synctest.Wait()
		names := r.disk.names()
		n := 0
		if err := read(names, func(*frame) { n++ }); err != nil || n != 9 {
			t.Errorf("%d frames on disk, want 7 messages and 2 joins; %v", n, err)
		}
		closeRing(t, r)
	})
}

func TestTooMuchIsDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still: nothing is written
		r := openRing(t, t.TempDir(), 0)
		big := bytes.Repeat([]byte("x"), maxMessage)
		r.Tap(In, "udp", local, alice, []byte("c"), noon, append(big, 'x'))
		if r.Dropped() != 1 {
			t.Errorf("%d dropped, want the one that is too large", r.Dropped())
		}
		const n = 100
		for range n {
			r.Tap(In, "udp", local, alice, []byte("c"), noon, big)
		}
		kept := len(ladder(t, r, "c"))
		if dropped := int(r.Dropped()) - 1; kept+dropped != n || kept == 0 || dropped == 0 {
			t.Errorf("%d kept and %d dropped of %d", kept, dropped, n)
		}
		tapCall(r, "after")
		if got := len(ladder(t, r, "after")); got != 7 {
			t.Errorf("%d messages after the flood", got)
		}
		closeRing(t, r)
	})
}

func TestWriteErrorIsSurvived(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ring")
	r := openRing(t, dir, 0)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	tapCall(r, "lost")
	if err := r.flush(); err == nil {
		t.Error("writing into a directory that is gone is no error")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lines := tapCall(r, "kept")
	wantLines(t, ladder(t, r, "kept"), lines)
	closeRing(t, r)
}

func TestConcurrentTaps(t *testing.T) {
	r := openRing(t, t.TempDir(), 0)
	defer closeRing(t, r)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				tapCall(r, fmt.Sprint("call", g, ".", i))
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			if _, err := r.Ladder("call0.0"); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for g := range 4 {
		if n := len(ladder(t, r, fmt.Sprint("call", g, ".99"))); n != 7 {
			t.Errorf("%d messages", n)
		}
	}
}

func TestTapAllocatesNothing(t *testing.T) {
	r := openRing(t, t.TempDir(), 0)
	defer closeRing(t, r)
	id, msg := []byte("call"), message("call", "INVITE sip:102@pbx SIP/2.0")
	if n := testing.AllocsPerRun(200, func() { r.Tap(In, "udp", local, alice, id, noon, msg) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSpare: between two writes so many messages are kept that belong to no call; calls have no such bound.
func TestSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := openRing(t, t.TempDir(), 0)
		defer closeRing(t, r)
		for write := range 3 {
			kept := 0
			for range 3 * spare {
				if r.Spare() {
					kept++
				}
			}
			if kept != spare {
				t.Errorf("%d were kept after %d writes, want %d", kept, write, spare)
			}
			time.Sleep(flushEvery)
			synctest.Wait()
		}
	})
}

// FuzzSegment: whatever stands in a file, reading it ends without harm, and what was read is what frames write.
func FuzzSegment(f *testing.F) {
	r := openRing(f, f.TempDir(), 0)
	tapCall(r, "c")
	closeRing(f, r)
	segment, err := os.ReadFile(r.disk.names()[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(segment)
	f.Add(segment[:len(segment)-7])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		again := []byte(magic)
		err := frames(b, func(f *frame) {
			start := len(again)
			n := frameLength(len(f.kind), len(f.callID), len(f.message))
			again = appendHead(again, f.typ, f.direction, f.seq, f.at, f.local, f.remote, len(f.kind), len(f.callID), n)
			again = append(append(append(again, f.kind...), f.callID...), f.message...)
			seal(again[start:])
			e := f.entry()
			if len(e.Message) != len(f.message) {
				t.Fatal("the entry is not the frame")
			}
		})
		if err != nil && len(again) == len(magic) {
			return
		}
		// The address of a mapped IPv4 may be written in one way only, so that the prefix is the same bytes.
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("read %q\nwrote %q", b, again)
		}
		if err == nil && len(again) != len(b) {
			t.Fatalf("%d of %d bytes were read without an error", len(again), len(b))
		}
	})
}

func BenchmarkTap(b *testing.B) {
	r := openRing(b, b.TempDir(), 0)
	defer r.Close()
	msg := append(message("c", "INVITE sip:102@pbx SIP/2.0"), bytes.Repeat([]byte("a=rtpmap:0 PCMU/8000\r\n"), 30)...)
	id := []byte("3848276298220188511@atlanta.example.com")
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%1000 == 999 { // the disk's part is not measured here
			b.StopTimer()
			_ = r.flush()
			b.StartTimer()
		}
		r.Tap(In, "udp", local, alice, id, noon, msg)
	}
	if r.Dropped() > 0 {
		b.Fatalf("%d dropped", r.Dropped())
	}
}

func ringSize(r *Ring) int64 {
	r.disk.mu.Lock()
	defer r.disk.mu.Unlock()
	return r.disk.total()
}

// BenchmarkLadder reads a call out of a full ring of the default size.
func BenchmarkLadder(b *testing.B) {
	r := openRing(b, b.TempDir(), 0)
	defer r.Close()
	for i := 0; ringSize(r) < defaultBytes*9/10; i++ {
		tapCall(r, fmt.Sprint("call", i))
		if i%500 == 0 {
			if err := r.flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		if entries, err := r.Ladder("call40000"); err != nil || len(entries) != 7 {
			b.Fatalf("%d messages, %v", len(entries), err)
		}
	}
}
