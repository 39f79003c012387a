// Package disk keeps large objects (recordings, messages, prompts) as files below one directory.
//
// It owns the directory's layout and that a name never leads out of it: names are checked, and all access goes through
// os.Root, which follows no link to the outside. It does not know what the objects are, nor when they may go.
//
// Goroutines: none. Ordering: an object is visible when Put has returned, whole or not at all.
package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"dialtone/internal/store"
)

// Blobs implements store.Blobs.
type Blobs struct {
	root *os.Root
}

var _ store.Blobs = (*Blobs)(nil)

// Open takes a directory into use and makes it (mode 0700) when it is missing.
func Open(dir string) (*Blobs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	return &Blobs{root}, nil
}

// Close ends the use of the directory; objects that are open stay readable.
func (b *Blobs) Close() error { return b.root.Close() }

const (
	maxName    = 255
	unfinished = ".unfinished-" // begins the name of a file that is being written: no object's name begins with a dot
)

// Put implements store.Blobs: it writes beside the object, makes it durable and then puts it in place.
func (b *Blobs) Put(ctx context.Context, name string, r io.Reader) (int64, error) {
	if err := check(name); err != nil {
		return 0, err
	}
	if err := b.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return 0, fmt.Errorf("put object %s: %w", name, err)
	}
	temp := path.Join(path.Dir(name), unfinished+rand.Text())
	n, err := b.write(ctx, temp, r)
	if err == nil {
		err = b.root.Rename(temp, name)
	}
	if err == nil {
		err = b.syncDir(path.Dir(name))
	}
	if err != nil {
		if gone := b.root.Remove(temp); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return 0, fmt.Errorf("put object %s: %w", name, err)
	}
	return n, nil
}

func (b *Blobs) write(ctx context.Context, temp string, r io.Reader) (n int64, err error) {
	f, err := b.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if n, err = io.Copy(f, &whileAlive{ctx, r}); err != nil {
		return n, err
	}
	return n, f.Sync()
}

// syncDir makes a rename durable.
func (b *Blobs) syncDir(dir string) error {
	d, err := b.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open implements store.Blobs.
func (b *Blobs) Open(_ context.Context, name string) (io.ReadSeekCloser, error) {
	if err := check(name); err != nil {
		return nil, err
	}
	f, err := b.root.Open(name)
	if err != nil {
		return nil, fault("open", name, err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fault("open", name, fs.ErrNotExist), f.Close())
	}
	return f, nil
}

// Remove implements store.Blobs.
func (b *Blobs) Remove(_ context.Context, name string) error {
	if err := check(name); err != nil {
		return err
	}
	info, err := b.root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = b.root.Remove(name)
	}
	if err != nil {
		return fault("remove", name, err)
	}
	return nil
}

func fault(verb, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = store.ErrNotFound
	}
	return fmt.Errorf("%s object %s: %w", verb, name, err)
}

// check holds names to the form that store.Blobs states.
func check(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("object name is empty or longer than %d bytes", maxName)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' {
			return errors.New("object name has an empty part or one that begins with a dot")
		}
		for i := range len(part) {
			switch c := part[i]; {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
			default:
				return errors.New("object name may have letters, digits and ._- only")
			}
		}
	}
	return nil
}

// whileAlive ends a copy with its context.
type whileAlive struct {
	ctx context.Context
	r   io.Reader
}

func (w *whileAlive) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}
