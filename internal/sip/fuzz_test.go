package sip

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzMessage: what parses can be looked at without a panic, its frame is the message itself, a clone is equal, and
// what a Builder prints from it parses to the same values.
func FuzzMessage(f *testing.F) {
	f.Add(invite)
	for _, pattern := range []string{"testdata/rfc4475/*", "testdata/rfc5118/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: no seeds (%v)", pattern, err)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if m.Parse(b) != nil {
			if m.Answerable() { // a refusal of it must be a message
				refusal := NewResponse(&m, 400, "", "t").Append(nil)
				if _, total, err := Frame(refusal); err != nil || total != len(refusal) {
					t.Fatalf("the refusal of an answerable request is no message: %q", refusal)
				}
			}
			return
		}
		checked := m.Check() == nil
		_, _ = lookAtAll(&m)
		for range m.Parts() {
		}
		_, _ = m.From()
		_ = m.Summary()
		c := m.Clone()
		if !bytes.Equal(c.Bytes(), m.Bytes()) || c.Len() != m.Len() || c.CSeq() != m.CSeq() {
			t.Fatal("clone differs")
		}
		again := reprint(t, &m)
		compare(t, &m, again, checked)
	})
}

// reprint writes the message anew with a Builder and parses that.
func reprint(t *testing.T, m *Message) *Message {
	var b Builder
	if m.IsRequest() {
		b.Request(string(m.MethodName()), string(m.RequestURI()))
	} else {
		b.reset()
		b.start = append(b.start, m.raw[:m.first]...)
	}
	for i := range m.Len() {
		name, value, id := m.At(i)
		switch id {
		case HContentLength:
		case HUnknown:
			b.AddNamed(string(name), string(value))
		default:
			b.AddBytes(id, value)
		}
	}
	b.body = m.Body()
	again, err := b.Message()
	if err != nil {
		t.Fatalf("print of a parsed message does not parse: %v\n%q", err, b.Append(nil))
	}
	return again
}

func compare(t *testing.T, m, n *Message, checked bool) {
	if m.Method() != n.Method() || m.Status() != n.Status() || !bytes.Equal(m.RequestURI(), n.RequestURI()) ||
		m.CSeq() != n.CSeq() || !bytes.Equal(m.Body(), n.Body()) {
		t.Fatalf("start line, CSeq or body differ: %q %q", m.Bytes(), n.Bytes())
	}
	flat := func(v []byte) []byte { return flattenLines(bytes.Clone(v), 0) }
	i := 0
	for k := range m.Len() {
		name, value, id := m.At(k)
		if id == HContentLength {
			continue
		}
		for {
			if _, _, id := n.At(i); id != HContentLength {
				break
			}
			i++
		}
		name2, value2, id2 := n.At(i)
		i++
		if id != id2 || id == HUnknown && !bytes.Equal(name, name2) || !bytes.Equal(flat(value), value2) {
			t.Fatalf("header %q: %q became %q: %q", name, value, name2, value2)
		}
	}
	if checked && n.Check() != nil {
		t.Fatalf("a sound message became unsound: %v", n.Check())
	}
}

// FuzzURI: print(parse(x)) is x in value, and a URI equals itself.
func FuzzURI(f *testing.F) {
	for _, s := range []string{"sip:alice@atlanta.com", "sips:1212@gateway.com;user=phone", "sip:[2001:db8::10]:5070;transport=tcp?subject=a&b=c",
		"tel:+1-201-555-0123;phone-context=x", "sip:a:b@c:1;lr;x=y", "http://example.com", "sip:%61@h", "sip:;;;@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI([]byte(s))
		if err != nil {
			return
		}
		printed := u.Append(nil)
		v, err := ParseURI(printed)
		if err != nil {
			t.Fatalf("%q printed as %q: %v", s, printed, err)
		}
		if !u.Equal(&v) || !v.Equal(&u) {
			t.Fatalf("%q printed as %q is another URI", s, printed)
		}
		_, _ = u.HostAddr()
	})
}

// FuzzAddress: print(parse(x)) is x in value.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{`"A \"q\" B" <sip:a@b>;tag=1`, "sip:a@b;tag=2", "Bob <sip:b@c;lr>;q=0.5", "*", "<tel:+1>;x=\"y;z\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress([]byte(s))
		if err != nil {
			return
		}
		printed := a.Append(nil)
		b, err := ParseAddress(printed)
		if err != nil {
			t.Fatalf("%q printed as %q: %v", s, printed, err)
		}
		if name := a.DisplayName(); string(AppendVisible(nil, name)) != name || len(name) > maxDisplayName {
			t.Fatalf("%q has the display name %q", s, name)
		}
		if a.DisplayName() != b.DisplayName() || !a.URI.Equal(&b.URI) || !bytes.Equal(a.Tag(), b.Tag()) {
			t.Fatalf("%q printed as %q is another address", s, printed)
		}
	})
}

// FuzzFrame: a frame never reaches beyond the bytes, and its message parses with exactly that length.
func FuzzFrame(f *testing.F) {
	f.Add(invite)
	f.Add([]byte("OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabcd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, total, err := Frame(b)
		if err != nil || total == 0 {
			return
		}
		if head > total || total > len(b) {
			t.Fatalf("head %d, total %d of %d", head, total, len(b))
		}
		var m Message
		if m.Parse(b[:total]) == nil && len(m.Bytes()) != total {
			t.Fatalf("frame of %d bytes holds a message of %d", total, len(m.Bytes()))
		}
	})
}
