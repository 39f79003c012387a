package digest

import (
	"errors"
	"testing"
)

func TestClientVectors(t *testing.T) {
	tests := []struct {
		name, password string
		challenge      Challenge
		cnonce, want   string
	}{
		{
			name: "RFC 7616 §3.9.1 SHA-256", password: "Circle of Life",
			challenge: Challenge{
				Realm: "http-auth@example.org", Nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
				Algorithm: SHA256, Auth: true, AuthInt: true,
			},
			cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
			want: `Digest username="Mufasa", realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", ` +
				`uri="/dir/index.html", response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", ` +
				`algorithm=SHA-256, qop=auth, nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"`,
		},
		{
			name: "RFC 2069 §2.4", password: "CircleOfLife",
			challenge: Challenge{
				Realm: "testrealm@host.com", Nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093", Algorithm: MD5,
				Opaque: "5ccc069c403ebaf9f0171e9517f40e41",
			},
			want: `Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ` +
				`uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea", algorithm=MD5, ` +
				`opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Client{Username: "Mufasa", Password: tt.password}
			if err := c.Challenged([]Challenge{tt.challenge}); err != nil {
				t.Fatal(err)
			}
			c.count++
			if got := string(c.appendWith(nil, "GET", "/dir/index.html", []byte(tt.cnonce))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestClientChooses(t *testing.T) {
	md5 := Challenge{Realm: "r", Nonce: "n", Algorithm: MD5, Auth: true}
	sha := Challenge{Realm: "r", Nonce: "n", Algorithm: SHA256, Auth: true}
	sess := Challenge{Realm: "r", Nonce: "n", Algorithm: Unknown, Auth: true}
	integrity := Challenge{Realm: "r", Nonce: "n", Algorithm: SHA256, AuthInt: true}
	foreign := Challenge{Realm: "evil", Nonce: "n", Algorithm: SHA256, Auth: true}
	tests := []struct {
		name       string
		client     Client
		challenges []Challenge
		want       Algorithm
		err        error
	}{
		{"SHA-256 first", Client{Password: "p"}, []Challenge{sha, md5}, SHA256, nil},
		{"SHA-256 last", Client{Password: "p"}, []Challenge{md5, sha}, SHA256, nil},
		{"only MD5", Client{Password: "p"}, []Challenge{sess, md5}, MD5, nil},
		{"nothing", Client{Password: "p"}, nil, 0, ErrNoChallenge},
		{"nothing we can do", Client{Password: "p"}, []Challenge{sess, integrity}, 0, ErrNoChallenge},
		{"foreign realm", Client{Password: "p", Realm: "r"}, []Challenge{foreign}, 0, ErrNoChallenge},
		{"own realm", Client{Password: "p", Realm: "r"}, []Challenge{foreign, md5}, MD5, nil},
		{"stored HA1 of MD5 alone", Client{HA1: map[Algorithm][]byte{MD5: HA1(MD5, "", "r", "p")}}, []Challenge{sha, md5}, MD5, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.client
			if err := c.Challenged(tt.challenges); !errors.Is(err, tt.err) {
				t.Fatalf("got %v", err)
			}
			if tt.err != nil {
				if got := c.Append(nil, "BYE", "sip:x"); got != nil || c.Ready() {
					t.Errorf("credentials without a challenge: %s", got)
				}
				return
			}
			cr, err := ParseCredentials(c.Append(nil, "INVITE", "sip:x"))
			if err != nil || cr.Algorithm != tt.want {
				t.Fatalf("got %v, %v", cr.Algorithm, err)
			}
			if !cr.Verify("INVITE", HA1(tt.want, "", "r", "p")) {
				t.Error("does not verify")
			}
		})
	}
}

func TestClientRounds(t *testing.T) {
	ch := []Challenge{{Realm: "r", Nonce: "n1", Algorithm: MD5, Auth: true}}
	stale := []Challenge{{Realm: "r", Nonce: "n2", Algorithm: MD5, Auth: true, Stale: true}}
	c := Client{Username: "u", Password: `p"\`}
	use := func(wantNonce string, wantCount uint32) {
		t.Helper()
		cr, err := ParseCredentials(c.Append(nil, "REGISTER", "sip:x"))
		if err != nil || string(cr.Nonce) != wantNonce || cr.Count != wantCount || !cr.Verify("REGISTER", HA1(MD5, "u", "r", `p"\`)) {
			t.Fatalf("%+v, %v", cr, err)
		}
	}
	challenged := func(chs []Challenge, want error) {
		t.Helper()
		if err := c.Challenged(chs); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	challenged(ch, nil)
	use("n1", 1)
	c.Accepted()
	use("n1", 2)
	use("n1", 3)
	challenged(stale, nil)
	use("n2", 1)
	c.Accepted()
	use("n2", 2)
	challenged(ch, nil) // an old nonce replaced without stale=true
	use("n1", 1)
	challenged(ch, ErrRefused)
	if c.Ready() {
		t.Error("ready after a refusal")
	}
	// A server that says stale for ever is given up.
	var err error
	for range 10 {
		if err = c.Challenged(stale); err != nil {
			break
		}
		use("n2", 1)
	}
	if !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestNoAllocations(t *testing.T) {
	value := []byte(vectors[2].value)
	challenge := Challenge{Realm: "r", Nonce: "n", Algorithm: SHA256, Auth: true}
	buf := make([]byte, 0, 256)
	for name, f := range map[string]func(){
		"parse and verify": func() {
			c, err := ParseCredentials(value)
			if err != nil || !c.Verify("GET", vectors[2].ha1) {
				t.Fatal("refused")
			}
		},
		"print": func() { buf = challenge.Append(buf[:0]) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkParseCredentials(b *testing.B) {
	value := []byte(vectors[1].value)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCredentials(value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, v := range vectors[1:3] {
		b.Run(v.name, func(b *testing.B) {
			c, err := ParseCredentials([]byte(v.value))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !c.Verify(v.method, v.ha1) {
					b.Fatal("refused")
				}
			}
		})
	}
}
