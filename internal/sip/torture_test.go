package sip

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// verdict is what must become of a torture message: accepted by Parse and Check, or refused with one of the statuses
// that the RFC allows (0 stands for a response that is dropped).
type verdict struct {
	file     string
	statuses []int // empty: accepted
	section  string
}

// torture4475 has every message of RFC 4475, by section. Where the RFC leaves the refusal to something that a parser
// cannot know (who is addressed, what is supported), the message is accepted here and the layer above refuses it; those
// verdicts have tests of their own there.
var torture4475 = []verdict{
	{"wsinv", nil, "3.1.1.1"}, {"intmeth", nil, "3.1.1.2"}, {"esc01", nil, "3.1.1.3"}, {"escnull", nil, "3.1.1.4"},
	{"esc02", nil, "3.1.1.5"}, {"lwsdisp", nil, "3.1.1.6"}, {"longreq", nil, "3.1.1.7"}, {"dblreq", nil, "3.1.1.8"},
	{"semiuri", nil, "3.1.1.9"}, {"transports", nil, "3.1.1.10"}, {"mpart01", nil, "3.1.1.11"},
	{"unreason", nil, "3.1.1.12"}, {"noreason", nil, "3.1.1.13"},

	{"badinv01", []int{400}, "3.1.2.1"}, {"clerr", []int{400}, "3.1.2.2"}, {"ncl", []int{400}, "3.1.2.3"},
	{"scalar02", []int{400}, "3.1.2.4"}, {"scalarlg", []int{0}, "3.1.2.5"}, {"quotbal", []int{400}, "3.1.2.6"},
	{"ltgtruri", []int{400}, "3.1.2.7"}, {"lwsruri", []int{400}, "3.1.2.8"}, {"lwsstart", []int{400}, "3.1.2.9"},
	{"trws", []int{400}, "3.1.2.10"}, {"escruri", []int{400}, "3.1.2.11"}, {"baddate", []int{400}, "3.1.2.12"},
	{"regbadct", []int{400}, "3.1.2.13"}, {"badaspec", []int{400}, "3.1.2.14"}, {"baddn", []int{400}, "3.1.2.15"},
	{"badvers", []int{505}, "3.1.2.16"}, {"mismatch01", []int{400}, "3.1.2.17"}, {"mismatch02", []int{400, 501}, "3.1.2.18"},
	{"bigcode", []int{0}, "3.1.2.19"},

	{"badbranch", nil, "3.2.1"}, // the branch is not that of RFC 3261: matched by the rules of RFC 2543

	{"insuf", []int{400}, "3.3.1"}, {"unkscm", []int{416}, "3.3.2"}, {"novelsc", []int{416}, "3.3.3"},
	{"unksm2", nil, "3.3.4"}, // the registrar refuses the AOR and the contact (400, 403, 404 or 416)
	{"bext01", nil, "3.3.5"}, // 420 by whoever is addressed
	{"invut", nil, "3.3.6"},  // 415 by the UAS
	{"regaut01", nil, "3.3.7"},
	{"multi01", []int{400}, "3.3.8"}, {"mcl01", []int{400}, "3.3.9"},
	{"bcast", nil, "3.3.10"},  // a response whose Via is somebody else's: matches no transaction
	{"zeromf", nil, "3.3.11"}, // 483 by a proxy, answered by a UAS
	{"cparam01", nil, "3.3.12"}, {"cparam02", nil, "3.3.13"}, {"regescrt", nil, "3.3.14"},
	{"sdp01", nil, "3.3.15"}, // 406 or 488 by the UAS: no SDP accepted
	{"inv2543", nil, "3.4.1"},
}

var torture5118 = []verdict{
	{"ipv6-good", nil, "4.1"}, {"ipv6-bad", []int{400}, "4.2"}, {"port-ambiguous", nil, "4.3"},
	{"port-unambiguous", nil, "4.4"}, {"via-received-param-with-delim", nil, "4.5"},
	{"via-received-param-no-delim", nil, "4.5"}, {"ipv6-in-sdp", nil, "4.6"}, {"mult-ip-in-header", nil, "4.7"},
	{"mult-ip-in-sdp", nil, "4.8"}, {"ipv4-mapped-ipv6", nil, "4.9"}, {"ipv6-bug-abnf-3-colons", nil, "4.10"},
	{"ipv6-correct-abnf-2-colons", nil, "4.10"},
}

func TestRFC4475(t *testing.T) {
	runTorture(t, "testdata/rfc4475", ".dat", torture4475, func(b []byte) []byte { return b })
}

// TestRFC5118: the archive of this RFC is not what would stand on the wire: its bare line feeds stand for CRLF, the
// empty line after the last header is missing in two messages, and the Content-Length of §4.6 counts 17 octets more than
// its body has. All of it is mended before the message is judged.
func TestRFC5118(t *testing.T) {
	runTorture(t, "testdata/rfc5118", "", torture5118, func(b []byte) []byte {
		b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
		if !bytes.Contains(b, []byte("\r\n\r\n")) {
			b = append(b, "\r\n"...)
		}
		return bytes.Replace(b, []byte("Content-Length: 268"), []byte("Content-Length: 251"), 1)
	})
}

func runTorture(t *testing.T, dir, ext string, verdicts []verdict, wire func([]byte) []byte) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(verdicts) {
		t.Errorf("%d messages in %s, %d verdicts", len(files), dir, len(verdicts))
	}
	for _, v := range verdicts {
		t.Run(v.file, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dir, v.file+ext))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := judge(wire(b)), v.statuses; !allowed(got, want) {
				t.Errorf("§%s: %s, want one of %v (empty: accepted)", v.section, got, want)
			}
		})
	}
}

// outcome is what Parse and Check say.
type outcome struct {
	err      error
	status   int
	response bool
}

func (o outcome) String() string {
	if o.err == nil {
		return "accepted"
	}
	return o.err.Error()
}

func judge(b []byte) outcome {
	var m Message
	err := m.Parse(b)
	if err == nil {
		err = m.Check()
	}
	var pe *ParseError
	if errors.As(err, &pe) {
		return outcome{err, pe.Status, !m.IsRequest()}
	}
	return outcome{err: err}
}

func allowed(o outcome, statuses []int) bool {
	if len(statuses) == 0 {
		return o.err == nil
	}
	for _, s := range statuses {
		if o.err != nil && (s == o.status && !o.response || s == 0 && o.response) {
			return true
		}
	}
	return false
}

// TestTortureCopies compares our copies with the reference files where they lie beside the project.
func TestTortureCopies(t *testing.T) {
	reference := "../../../shared/testdata"
	if _, err := os.Stat(reference); err != nil {
		t.Skipf("reference messages are not here: %v", err)
	}
	for _, dir := range []string{"rfc4475", "rfc5118"} {
		files, err := os.ReadDir(filepath.Join("testdata", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			ours, err := os.ReadFile(filepath.Join("testdata", dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := os.ReadFile(filepath.Join(reference, dir, f.Name()))
			if err != nil {
				t.Error(err)
			} else if !bytes.Equal(ours, theirs) {
				t.Errorf("%s/%s differs from the reference", dir, f.Name())
			}
		}
	}
}

// TestTortureDetails looks into messages whose point is what is understood, not whether.
func TestTortureDetails(t *testing.T) {
	parse := func(name string) *Message {
		t.Helper()
		b, err := os.ReadFile("testdata/rfc4475/" + name + ".dat")
		if err != nil {
			t.Fatal(err)
		}
		m := &Message{}
		if err := m.Parse(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return m
	}
	t.Run("wsinv", func(t *testing.T) {
		m := parse("wsinv")
		if m.CSeq() != 9 || m.Method() != INVITE {
			t.Errorf("CSeq %d %v", m.CSeq(), m.Method())
		}
		if n, ok := m.MaxForwards(); n != 68 || !ok {
			t.Errorf("Max-Forwards %d", n)
		}
		n := 0
		for e := m.Elements(HVia); e.Next(); n++ {
			if v, err := e.Via(); err != nil || len(v.Branch) == 0 {
				t.Errorf("Via %q: %v", e.Value(), err)
			}
		}
		if n != 3 {
			t.Errorf("%d Via, want 3", n)
		}
		if v, ok := m.HeaderNamed("newfangledheader"); !ok || !bytes.HasPrefix(v, []byte("newfangled value\r\n continued")) {
			t.Errorf("unknown header %q", v)
		}
	})
	t.Run("intmeth", func(t *testing.T) {
		m := parse("intmeth")
		if m.Method() != Other || string(m.MethodName()) != "!interesting-Method0123456789_*+`.%indeed'~" {
			t.Errorf("method %q", m.MethodName())
		}
		u, err := m.URI()
		if err != nil || string(u.Host) != "example.com" || string(u.Password) != "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)" {
			t.Errorf("URI %q %q: %v", u.Host, u.Password, err)
		}
	})
	t.Run("esc01", func(t *testing.T) {
		u, err := parse("esc01").URI()
		if err != nil || u.UserUnescaped() != "sips:user@example.com" {
			t.Errorf("user %q: %v", u.UserUnescaped(), err)
		}
	})
	t.Run("semiuri", func(t *testing.T) {
		u, err := parse("semiuri").URI()
		if err != nil || u.UserUnescaped() != "user;par=u@example.net" || string(u.Host) != "example.com" {
			t.Errorf("URI %q@%q: %v", u.UserUnescaped(), u.Host, err)
		}
	})
	t.Run("dblreq", func(t *testing.T) {
		m := parse("dblreq")
		if m.Method() != REGISTER || len(m.Body()) != 0 || bytes.Contains(m.Bytes(), []byte("INVITE")) {
			t.Error("the second request of the datagram is part of the first")
		}
	})
	t.Run("mpart01", func(t *testing.T) {
		m, n := parse("mpart01"), 0
		for range m.Parts() {
			n++
		}
		if n != 2 {
			t.Errorf("%d parts, want 2", n)
		}
	})
	t.Run("unreason", func(t *testing.T) {
		m := parse("unreason")
		if m.Status() != 200 || string(m.Reason()) != "= 2**3 * 5**2 но сто девяносто девять - простое" {
			t.Errorf("%d %q", m.Status(), m.Reason())
		}
	})
}
