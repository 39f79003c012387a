package trace

import (
	"bytes"
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Authorization: Digest username=\"a\", nonce=\"n\", response=\"0123abcd\", cnonce=\"c\"\r\n",
			"Authorization: Digest username=\"a\", nonce=\"n\", response=\"********\", cnonce=\"c\"\r\n"},
		{"PROXY-AUTHORIZATION : digest response = \"0123\",nc=00000001\r\n",
			"PROXY-AUTHORIZATION : digest response = \"****\",nc=00000001\r\n"},
		{"Authorization: Digest response=0123,nc=1\r\n", "Authorization: Digest response=****,nc=1\r\n"},
		{"Authorization: Digest username=\"a\",\r\n\tresponse=\"0123\"\r\nTo: x\r\n",
			"Authorization: Digest username=\"a\",\r\n\tresponse=\"****\"\r\nTo: x\r\n"},
		{"Authorization: Digest response=\"0123", "Authorization: Digest response=\"****"},
		{"Authorization: Digest response=0123\n", "Authorization: Digest response=****\n"},
		{"Authorization: Basic c2VjcmV0\r\n", "Authorization: Basic ********\r\n"},
		{"Authorization: Bearer a.b\r\n .c\r\nTo: x\r\n", "Authorization: Bearer ***\r\n***\r\nTo: x\r\n"},
		{"Authentication-Info: qop=auth, rspauth=\"0123\"\r\n", "Authentication-Info: qop=auth, rspauth=\"****\"\r\n"},
		{"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abcd|2^20|1:4 FEC\r\n",
			"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:****|2^20|1:4 FEC\r\n"},
		{"a=crypto:1 F8_128_HMAC_SHA1_80 inline:ab;inline:cd\r\na=sendrecv\r\n",
			"a=crypto:1 F8_128_HMAC_SHA1_80 inline:**;inline:**\r\na=sendrecv\r\n"},
		{"k=clear:secret\r\n", "k=************\r\n"},
		// Left alone.
		{"k: timer, 100rel\r\n", "k: timer, 100rel\r\n"},
		{"WWW-Authenticate: Digest nonce=\"n\"\r\n", "WWW-Authenticate: Digest nonce=\"n\"\r\n"},
		{"Subject: Authorization: Digest response=\"x\"\r\n", "Subject: Authorization: Digest response=\"x\"\r\n"},
		{"To: x\r\n response=\"0123\"\r\n", "To: x\r\n response=\"0123\"\r\n"},
		{"Hello, the response=42\r\n", "Hello, the response=42\r\n"},
		{"ACK sip:a:b@c SIP/2.0\r\n\r\n", "ACK sip:a:b@c SIP/2.0\r\n\r\n"},
	} {
		got := []byte(c.in)
		mask(got)
		if string(got) != c.want {
			t.Errorf("%q\ngot  %q\nwant %q", c.in, got, c.want)
		}
	}
}

func TestSecretsDoNotReachTheRing(t *testing.T) {
	r := openRing(t, t.TempDir(), 0)
	defer closeRing(t, r)
	in := []byte("REGISTER sip:x SIP/2.0\r\nAuthorization: Digest response=\"SECRET\"\r\n\r\na=crypto:1 A inline:SECRET\r\n")
	before := bytes.Clone(in)
	r.Tap(In, "tls", local, alice, []byte("c"), noon, in)
	if !bytes.Equal(in, before) {
		t.Error("Tap changed the message it was given")
	}
	for i := range r.shard {
		if bytes.Contains(r.shard[i].buf, []byte("SECRET")) {
			t.Error("the secret is in memory")
		}
	}
	entries := ladder(t, r, "c")
	if len(entries) != 1 || strings.Contains(string(entries[0].Message), "SECRET") || len(entries[0].Message) != len(in) {
		t.Errorf("%d entries: %v", len(entries), entries)
	}
}

// FuzzMask: masking keeps length and line structure, is done once and for all, and leaves no response readable.
func FuzzMask(f *testing.F) {
	f.Add([]byte("INVITE sip:a SIP/2.0\r\nAuthorization: Digest response=\"x\"\r\n\r\na=crypto:1 A inline:x|y\r\n"))
	f.Add([]byte("Authorization: Bearer x\n y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		once := bytes.Clone(b)
		mask(once)
		if len(once) != len(b) || bytes.Count(once, []byte("\n")) != bytes.Count(b, []byte("\n")) {
			t.Fatalf("%q became %q", b, once)
		}
		twice := bytes.Clone(once)
		mask(twice)
		if !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q and then %q", b, once, twice)
		}
		whole := append([]byte("Authorization: Digest x=1, "), append(bytes.ReplaceAll(b, []byte("\n"), nil),
			", response=\"SECRET\"\r\n"...)...)
		mask(whole)
		if bytes.Contains(whole, []byte("response=\"SECRET\"")) {
			t.Fatalf("a secret is left in %q", whole)
		}
	})
}
