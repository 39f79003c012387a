package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dialtone/internal/directory"
)

func ring(t testing.TB) (*Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	k, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

// TestTampered: a change of any byte, of the place or of the length is noticed.
func TestTampered(t *testing.T) {
	k, _ := ring(t)
	place, plain := []byte("device 1"), []byte("s3cret")
	sealed := k.Seal(place, plain)
	if got, err := k.Open(place, sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("open: %q, %v", got, err)
	}
	if bytes.Contains(sealed, plain) {
		t.Error("the secret is not encrypted")
	}
	if bytes.Equal(sealed, k.Seal(place, plain)) {
		t.Error("sealing twice gives the same bytes: a nonce is used again")
	}
	for i := range sealed {
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(sealed)
			bad[i] ^= bit
			if _, err := k.Open(place, bad); !errors.Is(err, ErrOpen) {
				t.Errorf("byte %d changed: %v", i, err)
			}
		}
		if _, err := k.Open(place, sealed[:i]); !errors.Is(err, ErrOpen) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	for _, other := range []string{"", "device 2", "device 1 "} {
		if _, err := k.Open([]byte(other), sealed); !errors.Is(err, ErrOpen) {
			t.Errorf("opened at %q: %v", other, err)
		}
	}
}

// TestRotate: the new key seals, the old one still opens, and both are in the file.
func TestRotate(t *testing.T) {
	k, path := ring(t)
	old := k.Seal(nil, []byte("old"))
	if err := k.Rotate(path); err != nil {
		t.Fatal(err)
	}
	fresh := k.Seal(nil, []byte("new"))
	if k.Current(old) || !k.Current(fresh) {
		t.Error("the new key is not the current one")
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, ring := range []*Keyring{k, again} {
		for want, sealed := range map[string][]byte{"old": old, "new": fresh} {
			if got, err := ring.Open(nil, sealed); err != nil || string(got) != want {
				t.Errorf("open %s: %q, %v", want, got, err)
			}
		}
	}
	if !again.Current(fresh) {
		t.Error("after loading another key is the current one")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files left: %v, %v", entries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestKeyFile: files that are not whole, not private or not there are refused, and never quoted.
func TestKeyFile(t *testing.T) {
	const key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, c := range map[string]struct {
		text, want string
		mode       fs.FileMode
	}{
		"empty":     {"", "no key", 0o600},
		"no ID":     {key, "line 1", 0o600},
		"short ID":  {"0102 " + key, "line 1", 0o600},
		"short key": {"01020304 AAAA", "line 1", 0o600},
		"no base64": {"\n01020304 ????", "line 2", 0o600},
		"twice":     {"01020304 " + key + "\n01020304 " + key, "line 2", 0o600},
		"readable":  {"01020304 " + key, "0644", 0o644},
		"group":     {"01020304 " + key, "0620", 0o620},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
			_, err := LoadOrCreate(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "AAAA") {
				t.Errorf("load: %v, want %s", err, c.want)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "keys")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load of nothing: %v", err)
	}
	_, path := ring(t)
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a key file: %v", err)
	}
}

// TestPassword: a hash verifies its password only, and no two hashes are equal.
func TestPassword(t *testing.T) {
	hash := HashPassword("correct horse")
	if !strings.HasPrefix(hash.Reveal(), "$argon2id$v=19$m=65536,t=3,p=1$") {
		t.Errorf("hash is %s", hash.Reveal())
	}
	for password, want := range map[directory.Secret]bool{"correct horse": true, "correct horsf": false, "": false} {
		if ok, err := VerifyPassword(hash, password); err != nil || ok != want {
			t.Errorf("%q: %v, %v", password.Reveal(), ok, err)
		}
	}
	if HashPassword("correct horse") == hash {
		t.Error("the salt is not random")
	}
}

// TestForeignHash verifies a hash that the reference implementation made:
// echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 -e.
func TestForeignHash(t *testing.T) {
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := VerifyPassword(hash, "password"); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

// TestBadHash: what is not a hash of ours, or costs too much to look at, is an error at once.
func TestBadHash(t *testing.T) {
	const salt, hash = "c29tZXNhbHRzb21lc2FsdA", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, bad := range []string{
		"", "password", "$2a$10$abc", "$argon2i$v=19$m=65536,t=3,p=1$" + salt + "$" + hash,
		"$argon2id$v=18$m=65536,t=3,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=4294967295,t=3,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=65536,t=1000,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=65536,t=3,p=0$" + salt + "$" + hash,
		"$argon2id$v=19$m=4,t=3,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=65536,t=3,p=1$" + salt, "$argon2id$v=19$m=65536,t=3,p=1$$" + hash,
		"$argon2id$v=19$m=65536,t=3,p=1$" + salt + "$" + hash + "$x",
	} {
		if ok, err := VerifyPassword(directory.Secret(bad), "password"); ok || !errors.Is(err, ErrHash) {
			t.Errorf("%s: %v, %v", bad, ok, err)
		}
	}
}

// FuzzParsePHC: whatever is accepted is within bounds and prints to a hash that is read the same.
func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=65536,t=3,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			return
		}
		if p.memory > maxMemory || p.passes > maxPasses || p.lanes > maxLanes {
			t.Errorf("accepted %+v", p)
		}
		printed := phcText(p)
		if q, err := parsePHC(printed); err != nil || fmt.Sprint(q) != fmt.Sprint(p) {
			t.Errorf("%s is read as %+v, not %+v (%v)", printed, q, p, err)
		}
	})
}

// FuzzParseKeys: no text of a key file crashes the reader, and what is accepted has a key that works.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(newLine() + newLine()))
	f.Add([]byte("01020304 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parse(data)
		if err != nil {
			return
		}
		k := &Keyring{}
		k.keys.Store(set)
		if got, err := k.Open(nil, k.Seal(nil, []byte("x"))); err != nil || string(got) != "x" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	k, _ := ring(b)
	place := []byte("device credential\x00acme.example\x00101")
	sealed := k.Seal(place, make([]byte, 64))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(place, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
