// Package seal protects secrets that are kept: the passwords of devices by authenticated encryption under a key file
// beside the database, the passwords of people by argon2id.
//
// It owns the key file and the format of what is sealed. It does not own where sealed secrets are stored, nor what they
// are bound to: whoever seals names the place, and a secret moved to another place does not open.
//
// Goroutines: none; a Keyring may be used by many at once.
//
// Sources: draft-irtf-cfrg-xchacha-03 (XChaCha20-Poly1305; its 192-bit nonce may be random), RFC 9106 (argon2id).
package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// Keyring seals with its newest key and opens with any.
type Keyring struct {
	keys atomic.Pointer[keys]
}

// keys never changes.
type keys struct {
	byID    map[uint32]cipher.AEAD
	current uint32
}

// Layout of sealed bytes; version and key are authenticated, too.
//
//	 0               1                               5
//	+---------------+-------------------------------+----------------------+----------------------------+
//	| version = 1   | key ID (big endian)           | nonce (24)           | ciphertext, tag (16)       |
//	+---------------+-------------------------------+----------------------+----------------------------+
const (
	version   = 1
	headerLen = 1 + 4
	overhead  = headerLen + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

// ErrOpen is returned for what cannot be opened: altered, bound to another place, or sealed with a key that is not in
// the ring. Which of them is not told.
var ErrOpen = errors.New("sealed secret does not open: it was altered, belongs elsewhere, or its key is missing")

// Create writes a new key file (mode 0600) with one random key. It fails when the file exists.
func Create(path string) (*Keyring, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create key file: %w", err)
	}
	_, err = f.WriteString(newLine())
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("create key file: %w", err)
	}
	return Load(path)
}

// LoadOrCreate reads the key file, or makes one when there is none.
func LoadOrCreate(path string) (*Keyring, error) {
	k, err := Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Create(path)
	}
	return k, err
}

// Load reads a key file: lines of an eight-digit hexadecimal key ID and a base64 key of 32 bytes, the newest last. A
// file that others than its owner can touch is refused.
func Load(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read key file %s: mode %04o lets others read it, must be 0600", path, mode)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	defer clear(data)
	set, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", path, err)
	}
	k := &Keyring{}
	k.keys.Store(set)
	return k, nil
}

// Rotate adds a random key to the file at path, which the ring was loaded from. From then on it seals with that; older
// keys stay, to open what they sealed.
func (k *Keyring) Rotate(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	next := append(bytes.TrimRight(old, "\n"), ("\n" + newLine())...)
	defer clear(next)
	set, err := parse(next)
	if err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("rotate key: %w", err)
	}
	_, err = f.Write(next)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("rotate key: %w", errors.Join(err, os.Remove(f.Name())))
	}
	k.keys.Store(set)
	return nil
}

func newLine() string {
	var b [4 + chacha20poly1305.KeySize]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:4]) + " " + base64.StdEncoding.EncodeToString(b[4:]) + "\n"
}

// parse reads the text of a key file. Errors do not quote it.
func parse(data []byte) (*keys, error) {
	set := &keys{byID: map[uint32]cipher.AEAD{}}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, _ := strings.Cut(line, " ")
		id, err := hex.DecodeString(name)
		if err != nil || len(id) != 4 {
			return nil, fmt.Errorf("line %d: no key ID of eight hexadecimal digits", n)
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
		if err != nil || len(key) != chacha20poly1305.KeySize {
			return nil, fmt.Errorf("line %d: no base64 key of 32 bytes", n)
		}
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		set.current = binary.BigEndian.Uint32(id)
		if _, taken := set.byID[set.current]; taken {
			return nil, fmt.Errorf("line %d: key ID is there twice", n)
		}
		set.byID[set.current] = aead
	}
	if len(set.byID) == 0 {
		return nil, errors.New("no key in it")
	}
	return set, nil
}

// Seal encrypts plain. place names where the result belongs; Open needs the same.
func (k *Keyring) Seal(place, plain []byte) []byte {
	set := k.keys.Load()
	out := make([]byte, headerLen+chacha20poly1305.NonceSizeX, overhead+len(plain))
	out[0] = version
	binary.BigEndian.PutUint32(out[1:], set.current)
	_, _ = rand.Read(out[headerLen:]) // never fails
	return set.byID[set.current].Seal(out, out[headerLen:], plain, bind(out[:headerLen], place))
}

// Open decrypts what Seal returned, or returns ErrOpen.
func (k *Keyring) Open(place, sealed []byte) ([]byte, error) {
	if len(sealed) < overhead || sealed[0] != version {
		return nil, ErrOpen
	}
	aead, ok := k.keys.Load().byID[binary.BigEndian.Uint32(sealed[1:])]
	if !ok {
		return nil, ErrOpen
	}
	nonce, text := sealed[headerLen:headerLen+chacha20poly1305.NonceSizeX], sealed[headerLen+chacha20poly1305.NonceSizeX:]
	plain, err := aead.Open(nil, nonce, text, bind(sealed[:headerLen], place))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// Current reports whether sealed was made with the newest key.
func (k *Keyring) Current(sealed []byte) bool {
	return len(sealed) >= overhead && sealed[0] == version &&
		binary.BigEndian.Uint32(sealed[1:]) == k.keys.Load().current
}

// bind makes the additional data: the header, then the place.
func bind(header, place []byte) []byte {
	out := make([]byte, 0, 128)
	return append(append(out, header...), place...)
}
