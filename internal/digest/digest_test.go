package digest

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// The examples of RFC 2617 §3.5 and RFC 7616 §3.9.1.
var vectors = []struct {
	name          string
	ha1           []byte
	method, value string
}{
	{
		name: "RFC 2617 §3.5", ha1: HA1(MD5, "Mufasa", "testrealm@host.com", "Circle Of Life"), method: "GET",
		value: `Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ` +
			`uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", ` +
			`response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
	},
	{
		name: "RFC 7616 §3.9.1 MD5", ha1: HA1(MD5, "Mufasa", "http-auth@example.org", "Circle of Life"), method: "GET",
		value: "Digest username=\"Mufasa\",\r\n    realm=\"http-auth@example.org\",\r\n uri=\"/dir/index.html\", algorithm=MD5, " +
			`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ` +
			`cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, ` +
			`response="8ca523f5e9506fed4657c9700eebdbec", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
	},
	{
		name: "RFC 7616 §3.9.1 SHA-256", ha1: HA1(SHA256, "Mufasa", "http-auth@example.org", "Circle of Life"), method: "GET",
		value: `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=SHA-256, ` +
			`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ` +
			`cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, ` +
			`response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"`,
	},
	{
		// RFC 2069 form, no qop; the value is RFC 2069 §2.4 as corrected by its erratum 749.
		name: "RFC 2069 §2.4", ha1: HA1(MD5, "Mufasa", "testrealm@host.com", "CircleOfLife"), method: "GET",
		value: `Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ` +
			`uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
	},
}

func TestVerifyVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			c, err := ParseCredentials([]byte(v.value))
			if err != nil {
				t.Fatal(err)
			}
			if !c.Verify(v.method, v.ha1) {
				t.Error("the response of the RFC is refused")
			}
			if c.Verify("POST", v.ha1) {
				t.Error("accepted for another method")
			}
			if c.Verify(v.method, make([]byte, len(v.ha1))) {
				t.Error("accepted with another HA1")
			}
			upper := c
			upper.Response = bytes.ToUpper(c.Response)
			if !upper.Verify(v.method, v.ha1) {
				t.Error("upper-case hexadecimal is refused")
			}
			for _, change := range []func(*Credentials){
				func(c *Credentials) { c.URI = []byte("/dir/other.html") },
				func(c *Credentials) { c.Nonce = []byte("x") },
				func(c *Credentials) { c.Response = c.Response[1:] },
				func(c *Credentials) { c.Response = nil },
				func(c *Credentials) { c.Algorithm = Unknown },
				func(c *Credentials) { c.Algorithm = SHA512256 },
			} {
				other := c
				change(&other)
				if other.Verify(v.method, v.ha1) {
					t.Errorf("accepted after a change: %+v", other)
				}
			}
			if c.QOP == nil {
				return
			}
			for _, change := range []func(*Credentials){
				func(c *Credentials) { c.NC = []byte("00000002") },
				func(c *Credentials) { c.CNonce = []byte("x") },
				func(c *Credentials) { c.QOP = nil },
			} {
				other := c
				change(&other)
				if other.Verify(v.method, v.ha1) {
					t.Errorf("accepted after a change: %+v", other)
				}
			}
		})
	}
}

func TestHA1(t *testing.T) {
	// RFC 2617: MD5("Mufasa:testrealm@host.com:Circle Of Life").
	if got := HA1(MD5, "Mufasa", "testrealm@host.com", "Circle Of Life"); hex.EncodeToString(got) != "939e7578ed9e3c518a452acee763bce9" {
		t.Errorf("MD5: %x", got)
	}
	sum := sha512.Sum512_256([]byte("u:r:p"))
	if got := HA1(SHA512256, "u", "r", "p"); !bytes.Equal(got, sum[:]) {
		t.Errorf("SHA-512-256: %x", got)
	}
	if got := HA1(Unknown, "u", "r", "p"); got != nil {
		t.Errorf("Unknown: %q", got)
	}
	for _, a := range []Algorithm{MD5, SHA256, SHA512256} {
		if got := HA1(a, strings.Repeat("u", 300), "r", "p"); len(got) != a.Size() {
			t.Errorf("%v: length %d", a, len(got))
		}
		if ParseAlgorithm(strings.ToLower(a.String())) != a {
			t.Errorf("%v does not parse", a)
		}
	}
	for _, name := range []string{"", "MD5-sess", "SHA-256-sess", "AKAv1-MD5", "SHA256"} {
		if a := ParseAlgorithm(name); a != Unknown {
			t.Errorf("%q is %v", name, a)
		}
	}
}

func TestParseCredentialsRefuses(t *testing.T) {
	const all = `username="u", realm="r", nonce="n", uri="sip:x", response="00"`
	tests := []struct {
		name, value string
		want        error
	}{
		{"empty", ``, ErrScheme},
		{"basic", `Basic dTpw`, ErrScheme},
		{"scheme glued", `Digestusername="u"`, ErrScheme},
		{"scheme alone", `Digest`, ErrScheme},
		{"nothing after scheme", `Digest `, ErrMissing},
		{"no username", `Digest realm="r", nonce="n", uri="sip:x", response="00"`, ErrMissing},
		{"no response", `Digest username="u", realm="r", nonce="n", uri="sip:x"`, ErrMissing},
		{"twice", `Digest ` + all + `, Nonce="m"`, ErrDuplicate},
		{"algorithm twice", `Digest ` + all + `, algorithm=MD5, algorithm=MD5`, ErrDuplicate},
		{"qop without cnonce", `Digest ` + all + `, qop=auth, nc=00000001`, ErrMissing},
		{"qop without nc", `Digest ` + all + `, qop=auth, cnonce="c"`, ErrMissing},
		{"nc too long", `Digest ` + all + `, qop=auth, cnonce="c", nc=000000001`, ErrSyntax},
		{"nc no number", `Digest ` + all + `, qop=auth, cnonce="c", nc=xyz`, ErrSyntax},
		{"open quote", `Digest ` + all + `, opaque="abc`, ErrSyntax},
		{"escape at the end", `Digest ` + all + `, opaque="abc\`, ErrSyntax},
		{"control character", "Digest " + all + ", opaque=\"a\x00b\"", ErrSyntax},
		{"line break in quotes", "Digest " + all + ", opaque=\"a\r\nb\"", ErrSyntax},
		{"no value", `Digest ` + all + `, opaque=`, ErrSyntax},
		{"no equals", `Digest ` + all + `, opaque`, ErrSyntax},
		{"no name", `Digest ` + all + `, ="x"`, ErrSyntax},
		{"rubbish after a value", `Digest ` + all + `, opaque="x" y`, ErrSyntax},
		{"too many", `Digest ` + all + strings.Repeat(`, a=b`, maxParameters), ErrSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := ParseCredentials([]byte(tt.value)); !errors.Is(err, tt.want) {
				t.Errorf("got %+v, %v; want %v", c, err, tt.want)
			}
		})
	}
}

func TestParseCredentialsTolerates(t *testing.T) {
	c, err := ParseCredentials([]byte("  dIgEsT\t, ,USERNAME = \"a\\\"b\" ,realm=r,nonce=\"n\",uri=sip:x@y;z,response=\"00\"," +
		"algorithm=\"sha-256\",qop=\"Auth\",nc=\"A\",cnonce=\"\",auth-param=\"?\", "))
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Username) != `a\"b` || c.User() != `a"b` || string(c.URI) != "sip:x@y;z" || c.Algorithm != SHA256 ||
		!c.QOPIsAuth() || c.Count != 10 || c.CNonce == nil || string(c.Realm) != "r" {
		t.Errorf("%+v", c)
	}
}

func TestChallenge(t *testing.T) {
	tests := []struct {
		name, value string
		want        Challenge
		err         error
	}{
		{
			name:  "RFC 7616 §3.9.1",
			value: `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf", opaque="FQhe"`,
			want: Challenge{
				Realm: "http-auth@example.org", Nonce: "7ypf", Opaque: "FQhe", Algorithm: SHA256, Auth: true, AuthInt: true,
			},
		},
		{
			name: "RFC 2069", value: `Digest realm="r", nonce="n", stale=TRUE, domain="sip:a"`,
			want: Challenge{Realm: "r", Nonce: "n", Algorithm: MD5, Stale: true, Domain: "sip:a"},
		},
		{
			name: "escapes", value: `Digest realm="a \"b\" \\c", nonce="n", qop=auth`,
			want: Challenge{Realm: `a "b" \c`, Nonce: "n", Algorithm: MD5, Auth: true},
		},
		{
			name: "unknown qop alone", value: `Digest realm="r", nonce="n", qop="token"`,
			want: Challenge{Realm: "r", Nonce: "n", Algorithm: Unknown},
		},
		{
			name: "session variant", value: `Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth"`,
			want: Challenge{Realm: "r", Nonce: "n", Algorithm: Unknown, Auth: true},
		},
		{name: "no nonce", value: `Digest realm="r"`, err: ErrMissing},
		{name: "no realm", value: `Digest nonce="r"`, err: ErrMissing},
		{name: "nonce twice", value: `Digest realm="r", nonce="n", nonce="n"`, err: ErrDuplicate},
		{name: "other scheme", value: `Negotiate abc`, err: ErrScheme},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseChallenge([]byte(tt.value))
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Fatalf("got %+v, %v", got, err)
			}
			if err != nil || got.Algorithm == Unknown {
				return
			}
			again, err := ParseChallenge(got.Append(nil))
			if err != nil || again != got {
				t.Errorf("printed and parsed: %+v, %v", again, err)
			}
		})
	}
}

func TestAppendChallenge(t *testing.T) {
	for _, stale := range []bool{false, true} {
		c := Challenge{Realm: `a "b"`, Nonce: "n-_", Algorithm: SHA256, Stale: stale, Auth: true}
		if got, want := string(AppendChallenge(nil, c.Realm, []byte(c.Nonce), SHA256, stale)), string(c.Append(nil)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzParseCredentials(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.value))
	}
	f.Add([]byte("Digest , username=\"a\\\"b\" ,realm=r,nonce=\"n\",uri=sip:x@y;z,response=\"00\",algorithm=\"x\",qop=\"\",nc=A,cnonce=\"\""))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := ParseCredentials(value)
		if err != nil {
			return
		}
		printed := c.Append(nil)
		again, err := ParseCredentials(printed)
		if err != nil {
			t.Fatalf("%q printed as %q: %v", value, printed, err)
		}
		if c.Algorithm == Unknown {
			again.Algorithm = Unknown // an unknown name is not kept
		}
		same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
		if !same(c.Username, again.Username) || !same(c.Realm, again.Realm) || !same(c.Nonce, again.Nonce) ||
			!same(c.URI, again.URI) || !same(c.Response, again.Response) || !same(c.QOP, again.QOP) || !same(c.NC, again.NC) ||
			!same(c.CNonce, again.CNonce) || !same(c.Opaque, again.Opaque) || c.Count != again.Count || c.Algorithm != again.Algorithm {
			t.Fatalf("%q printed as %q: %+v became %+v", value, printed, c, again)
		}
	})
}

func FuzzParseChallenge(f *testing.F) {
	f.Add([]byte(`Digest realm="a \"b\"", nonce="n", opaque="", domain="d", qop="auth,auth-int", stale=true, algorithm=SHA-256`))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := ParseChallenge(value)
		if err != nil || c.Algorithm == Unknown {
			return
		}
		again, err := ParseChallenge(c.Append(nil))
		if err != nil || again != c {
			t.Fatalf("%q printed as %q: %+v, %v", value, c.Append(nil), again, err)
		}
	})
}
