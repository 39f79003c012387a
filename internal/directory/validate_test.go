package directory

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

// faults validates an object as it is after SetDefaults and lists "field code".
func faults(t *testing.T, o Object) string {
	t.Helper()
	o.SetDefaults()
	err := o.Validate()
	if err == nil {
		return ""
	}
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatalf("error %T", err)
	}
	var out []string
	for _, e := range errs {
		if e.Reason == "" {
			t.Errorf("%s has no reason", e.Field)
		}
		out = append(out, e.Field+" "+e.Code)
	}
	return strings.Join(out, ", ")
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 129)
	id := NewID()
	secret := []Credential{{Secret: "s3cret"}}
	device := func(d Device) *Line { return &Line{Number: "101", Devices: []Device{d}} }
	for _, c := range []struct {
		object Object
		want   string
	}{
		{&Tenant{Name: "acme"}, ""},
		{&Tenant{Name: "acme", Kind: Reseller, Domains: []string{"a.example", "xn--mgba3a4f16a.ir", "10.0.0.1", "[2001:db8::1]", "host"}, Language: "zh-TW"}, ""},
		{&Tenant{}, "name required, realm required"},
		{&Tenant{Name: "a:b", Realm: "r"}, "name invalid"},
		{&Tenant{Name: " a", Realm: "r"}, "name invalid"},
		{&Tenant{Name: "a\n", Realm: "r"}, "name invalid"},
		{&Tenant{Name: long, Realm: "r"}, "name too_long"},
		{&Tenant{Name: "a", Realm: `a"b`}, "realm invalid"},
		{&Tenant{Name: "a", Realm: "a:b"}, "realm invalid"},
		{&Tenant{Name: "a", Realm: long}, "realm too_long"},
		{&Tenant{Name: "a", Kind: "boss"}, "kind invalid"},
		{&Tenant{Name: "a", Language: "farsi please"}, "language invalid"},
		{&Tenant{Name: "a", Domains: []string{"ok.example", "not ok", "-x.example", "a..b", "", "OK.example."}},
			"domains[1] invalid, domains[2] invalid, domains[3] invalid, domains[4] invalid, domains[5] duplicate"},
		{&Tenant{Meta: Meta{ID: id}, Name: "a", Parent: id}, "parent conflict"},

		{&Site{Name: "tehran", AreaCode: "21", Country: "IR", Subnets: prefixes("10.1.0.0/16", "2001:db8::/48")}, ""},
		{&Site{Country: "ir", AreaCode: "02x"}, "name required, area_code invalid, country invalid"},
		{&Site{Name: "x", Country: "IRN", AreaCode: "123456789"}, "area_code invalid, country invalid"},
		{&Site{Name: "x", Subnets: append(prefixes("10.1.2.3/16", "10.1.0.0/16"), netip.Prefix{})}, "subnets[1] duplicate, subnets[2] invalid"},

		{&User{Name: "sara", Email: "sara@example.com", Language: "fa"}, ""},
		{&User{Role: "king", Email: "nobody"}, "name required, email invalid, role invalid"},
		{&User{Name: "a", Email: "Sara <sara@example.com>"}, "email invalid"},
		{&User{Name: "a", PasswordHash: "plain text"}, "password invalid"},

		{&Line{Number: "101", MaxCalls: MaxCallsLimit}, ""},
		{&Line{Number: "sara.ahmadi+1", Product: SIPPhone, MaxCalls: 1}, ""},
		{&Line{}, "number required"},
		{&Line{Number: "10 1", Product: "toy", MaxCalls: -1, Name: long, Language: "x"}, "number invalid, name too_long, product invalid, max_calls out_of_range, language invalid"},
		{&Line{Number: "a@b"}, "number invalid"},
		{&Line{Number: long}, "number too_long"},
		{&Line{Number: "1", MaxCalls: MaxCallsLimit + 1}, "max_calls out_of_range"},
		{&Line{Number: "1", Product: SIPPhone, MaxCalls: 2}, "max_calls conflict"},

		{device(Device{Username: "101", Credentials: secret, Transport: WSS, SRTP: SRTPRequired}), ""},
		{device(Device{Username: "101", Credentials: []Credential{{MD5: [16]byte{1}}, {Sealed: []byte("x")}}}), ""},
		{device(Device{Username: "101", Auth: AuthStatic, From: prefixes("10.0.0.0/8"), Address: "sip:bench@host.example:5060;transport=tcp?x=y"}), ""},
		{device(Device{Username: "101", Auth: AuthStatic, From: prefixes("10.0.0.0/8")}), ""},
		{device(Device{}), "devices[0].username required, devices[0].password required"},
		{device(Device{Username: "a", Auth: "magic", Transport: "sctp", SRTP: "maybe"}), "devices[0].auth invalid, devices[0].transport invalid, devices[0].srtp invalid"},
		{device(Device{Username: "a", Auth: AuthStatic, Credentials: secret}), "devices[0].from required, devices[0].password conflict"},
		{device(Device{Username: "a", Credentials: secret, From: prefixes("10.0.0.0/8"), Address: "sip:h"}), "devices[0].from conflict, devices[0].address conflict"},
		{device(Device{Username: "a", Credentials: []Credential{{}}}), "devices[0].password invalid"},
		{device(Device{Username: "a", Credentials: []Credential{{Secret: "a\x00b"}}}), "devices[0].password invalid"},
		{device(Device{Username: "a", Credentials: []Credential{secret[0], secret[0], secret[0]}}), "devices[0].password out_of_range"},
		{&Line{Number: "1", Devices: []Device{{Username: "a", Credentials: secret}, {Username: "a", Credentials: secret}}}, "devices[1].username duplicate"},

		{&Number{Number: "+982188776655", To: Destination{ToLine, "101"}}, ""},
		{&Number{Number: "1548", Kind: Short, To: Destination{ToLine, "101"}}, ""},
		{&Number{}, "number required, to required"},
		{&Number{Number: "02188776655", To: Destination{ToLine, "101"}}, "number invalid"},
		{&Number{Number: "+0123456789", To: Destination{ToLine, "101"}}, "number invalid"},
		{&Number{Number: "+1234567890123456", To: Destination{ToLine, "101"}}, "number invalid"},
		{&Number{Number: "+98218877", Kind: Short, To: Destination{ToLine, "101"}}, "number invalid"},
		{&Number{Number: "+98218877", Kind: "long", To: Destination{"planet", "x"}}, "kind invalid, to invalid"},
		{&Number{Number: "+98218877", To: Destination{ToMenu, "main"}}, "to unsupported"},
	} {
		if got := faults(t, c.object); got != c.want {
			t.Errorf("%s %+v: faults %q, want %q", c.object.ObjectKind(), c.object, got, c.want)
		}
	}
}

func TestAddress(t *testing.T) {
	for uri, ok := range map[string]bool{
		"sip:127.0.0.1:26000": true, "sip:a@host": true, "sips:a:b@host.example;lr": true, "sip:[2001:db8::1]": true,
		"sip:[2001:db8::1]:5060": true, "sip:host:65535": true, "sip:host:65536": false, "sip:host:": false, "sip:host:x": false,
		"sip:": false, "sip:a@": false, "tel:101": false, "host": false, "": false, "sip:a b@host": false, "sip:<host>": false,
		"sip:host\r\nVia: x": false, "sip:" + strings.Repeat("a", 600): false,
	} {
		if got := addressFault(uri) == ""; got != ok {
			t.Errorf("%q: accepted %v, want %v", uri, got, ok)
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, c := range []struct{ tenant, want Tenant }{
		{Tenant{Name: "a"}, Tenant{Name: "a", Kind: Customer, Realm: "a"}},
		{Tenant{Name: "a", Domains: []string{"B.example."}}, Tenant{Name: "a", Kind: Customer, Realm: "b.example", Domains: []string{"b.example"}}},
		{Tenant{Name: "a", Domains: []string{"b.example"}, Realm: "old"}, Tenant{Name: "a", Kind: Customer, Realm: "old", Domains: []string{"b.example"}}},
	} {
		c.tenant.SetDefaults()
		if fmt.Sprint(c.tenant) != fmt.Sprint(c.want) {
			t.Errorf("tenant %+v, want %+v", c.tenant, c.want)
		}
	}
	l := &Line{Devices: []Device{{From: prefixes("10.1.2.3/8", "::ffff:192.0.2.1/120")}}}
	given := l.Devices[0].From
	l.SetDefaults()
	d := l.Devices[0]
	if l.Product != Extension || d.Auth != AuthPassword || d.SRTP != SRTPOptional || fmt.Sprint(d.From) != "[10.0.0.0/8 192.0.2.0/24]" {
		t.Errorf("line %+v", l)
	}
	if given[0].String() != "10.1.2.3/8" {
		t.Error("SetDefaults changed memory that others have")
	}
	for want, l := range map[int]Line{1: {Product: SIPPhone}, 0: {Product: Extension}, 5: {Product: Extension, MaxCalls: 5}} {
		if got := l.CallLimit(); got != want {
			t.Errorf("limit of %+v is %d, want %d", l, got, want)
		}
	}
}

func TestDestination(t *testing.T) {
	for text, want := range map[string]Destination{
		"line:101": {ToLine, "101"}, "remote:https://a/b": {ToRemote, "https://a/b"}, "hangup:": {ToHangup, ""}, "hangup:busy": {ToHangup, "busy"},
		"line:": {}, "line": {}, ":101": {}, "": {}, "planet:mars": {}, "LINE:101": {}, "line: 101": {}, "line:1\n": {}, "line:" + strings.Repeat("1", 600): {},
	} {
		if got, err := ParseDestination(text); got != want || (err == nil) != (want != Destination{}) {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
}

// FuzzDestination: what is accepted prints to what was read.
func FuzzDestination(f *testing.F) {
	f.Add("line:101")
	f.Add("hangup:")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDestination(s)
		if err != nil {
			return
		}
		if d.String() != s || d.IsZero() {
			t.Errorf("%q prints as %q", s, d.String())
		}
		text, _ := json.Marshal(d)
		var back Destination
		if err := json.Unmarshal(text, &back); err != nil || back.Kind != d.Kind {
			t.Errorf("%q does not survive JSON: %v", s, err)
		}
	})
}

// FuzzID: what is accepted prints to the same identifier.
func FuzzID(f *testing.F) {
	f.Add("01890a5d-ac96-774b-bcce-b302099a8057")
	f.Add("{1890a5d-ac96-774b-bcce-b302099a8057}")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil || id.IsZero() {
			return
		}
		if back, err := ParseID(id.String()); err != nil || back != id || !strings.EqualFold(s, id.String()) {
			t.Errorf("%q prints as %q", s, id)
		}
	})
}

func TestID(t *testing.T) {
	last := ID{}
	for range 1000 {
		id := NewID()
		if id.Compare(last) <= 0 {
			t.Fatalf("%s after %s", id, last)
		}
		if id.String()[14] != '7' {
			t.Fatalf("%s is not version 7", id)
		}
		last = id
	}
	var back ID
	if v, err := last.Value(); err != nil || back.Scan(v) != nil || back != last {
		t.Errorf("%v does not survive a database", last)
	}
	if v, err := (ID{}).Value(); v != nil || err != nil || back.Scan(nil) != nil || !back.IsZero() {
		t.Error("no identifier does not survive a database")
	}
	if back.Scan(7) == nil || back.Scan("x") == nil || back.Scan([]byte("x")) == nil {
		t.Error("scanned what is no identifier")
	}
}

// TestSecretsAreMasked tries the ways in which secrets get into logs and answers.
func TestSecretsAreMasked(t *testing.T) {
	s := Secret("hunter22")
	line := &Line{Number: "101", Devices: []Device{{Username: "101", Credentials: []Credential{{Secret: s, Sealed: []byte(s), MD5: [16]byte([]byte("hunter22hunter22"))}}}}}
	user := User{Name: "sara", PasswordHash: s}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "line", line, "user", user, "credential", line.Devices[0].Credentials[0])
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "line", line, "user", user, "credential", line.Devices[0].Credentials[0])
	texts := []string{log.String(), s.String()}
	for _, v := range []any{s, &s, line, *line, line.Devices, line.Devices[0].Credentials[0], user, []Secret{s}, map[string]Secret{"a": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	for _, text := range texts {
		for _, form := range []string{"hunter22", "68756e746572", "68, 75", "104 117", "0x68, 0x75", "aHVudGVy"} {
			if strings.Contains(text, form) {
				t.Errorf("shown: %s", text)
			}
		}
	}
	if s.Reveal() != "hunter22" || Secret("").String() != "" {
		t.Error("the secret is lost, or nothing looks like one")
	}
	var in struct{ Password Secret }
	if err := json.Unmarshal([]byte(`{"password":"hunter22"}`), &in); err != nil || in.Password != s {
		t.Errorf("read %q, %v", in.Password.Reveal(), err)
	}
	var c Credential
	if err := json.Unmarshal([]byte(`{"since":5,"Secret":"x","MD5":[1],"Sealed":"eA=="}`), &c); err != nil || c.Since != 5 || c.Secret != "" || c.Hashed() || c.Sealed != nil {
		t.Errorf("a credential came in by JSON: %v", err)
	}
}

func TestWeak(t *testing.T) {
	for secret, weak := range map[Secret]bool{
		"": true, "short1!": true, "username": true, "12345678": true, "aaaaaaaa": true, "ababababab": true,
		"s3cret-101": false, "123456789012": false, "correct horse": false,
	} {
		if got := secret.Weak("username") != ""; got != weak {
			t.Errorf("%q: weak %v, want %v", secret.Reveal(), got, weak)
		}
	}
}

// TestHA1 takes the account of RFC 7616 §3.9.1; the hashes are what md5sum and sha256sum say.
func TestHA1(t *testing.T) {
	m, s := HA1("Mufasa", "http-auth@example.org", "Circle of Life")
	if got := fmt.Sprintf("%x", m); got != "3d78807defe7de2157e2b0b6573a855f" {
		t.Errorf("MD5 %s", got)
	}
	if got := fmt.Sprintf("%x", s); got != "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232" {
		t.Errorf("SHA-256 %s", got)
	}
	c := Credential{MD5: m}
	if !c.Matches("Mufasa", "http-auth@example.org", "Circle of Life") || c.Matches("Mufasa", "http-auth@example.org", "circle of life") ||
		c.Matches("mufasa", "http-auth@example.org", "Circle of Life") || (&Credential{}).Matches("", "", "") {
		t.Error("matches what it should not, or not what it should")
	}
}
