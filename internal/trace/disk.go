package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// disk is the ring's files: NNNNNNNNNNNNNNNN.seg, numbered upwards. A process only ever appends to segments it has begun
// itself, so a tail that a crash has torn stays the end of its file.
type disk struct {
	mu      sync.Mutex
	dir     string
	segment int64 // size at which a new one is begun
	bytes   int64 // of the whole ring
	files   []file
	current *os.File // the last of files; nil = to be begun
}

// file is one segment.
type file struct {
	number uint64
	size   int64
}

const suffix = ".seg"

func (d *disk) name(number uint64) string {
	return filepath.Join(d.dir, fmt.Sprintf("%016x%s", number, suffix))
}

// open lists the segments and returns the highest sequence in them.
func (d *disk) open(dir string, bytes int64) (last uint64, err error) {
	d.dir, d.bytes, d.segment = dir, bytes, max(bytes/segments, minSegment)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		number, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), suffix), 16, 64)
		if err != nil || !strings.HasSuffix(e.Name(), suffix) {
			continue // not ours
		}
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		d.files = append(d.files, file{number, info.Size()})
	}
	slices.SortFunc(d.files, func(a, b file) int { return int(int64(a.number - b.number)) })
	for i := len(d.files) - 1; i >= 0 && last == 0; i-- { // the newest may be empty or torn at once
		segment, err := os.ReadFile(d.name(d.files[i].number))
		if err != nil {
			return 0, err
		}
		_ = frames(segment, func(f *frame) { last = max(last, f.seq) }) // ends at a torn tail
	}
	return last, nil
}

// write appends sealed frames to the ring, and drops the oldest segments beyond its size. The lock is held.
func (d *disk) write(b []byte) error {
	if d.current != nil && d.files[len(d.files)-1].size >= d.segment {
		err := d.current.Close()
		d.current = nil
		if err != nil {
			return fmt.Errorf("close segment: %w", err)
		}
	}
	if d.current == nil {
		if err := d.begin(); err != nil {
			return err
		}
	}
	n, err := d.current.Write(b)
	d.files[len(d.files)-1].size += int64(n)
	if err != nil {
		// What was written ends in the middle of a frame: go on in a new file.
		err = errors.Join(err, d.current.Close())
		d.current = nil
		return fmt.Errorf("write segment: %w", err)
	}
	return d.trim()
}

// begin starts a new segment.
func (d *disk) begin() error {
	next := uint64(1)
	if n := len(d.files); n > 0 {
		next = d.files[n-1].number + 1
	}
	f, err := os.OpenFile(d.name(next), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("begin segment: %w", err)
	}
	d.files = append(d.files, file{number: next})
	n, err := f.WriteString(magic)
	d.files[len(d.files)-1].size = int64(n)
	if err != nil {
		return errors.Join(fmt.Errorf("begin segment: %w", err), f.Close())
	}
	d.current = f
	return nil
}

// trim removes the oldest segments until the ring has its size; the current one stays.
func (d *disk) trim() error {
	total := d.total()
	for total > d.bytes && len(d.files) > 1 {
		if err := os.Remove(d.name(d.files[0].number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop oldest segment: %w", err)
		}
		total -= d.files[0].size
		d.files = d.files[1:]
	}
	return nil
}

// total is the size of all segments. The lock is held.
func (d *disk) total() (bytes int64) {
	for _, f := range d.files {
		bytes += f.size
	}
	return bytes
}

// names are the segments of this moment, oldest first.
func (d *disk) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := make([]string, len(d.files))
	for i, f := range d.files {
		names[i] = d.name(f.number)
	}
	return names
}

func (d *disk) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return nil
	}
	err := d.current.Close()
	d.current = nil
	return err
}
