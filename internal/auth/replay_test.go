package auth

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/digest"
)

// TestDigestReplay: what can be done with credentials taken from the wire.
func TestDigestReplay(t *testing.T) {
	const target = "sip:102@pbx.example"
	stranger := netip.MustParseAddrPort("203.0.113.66:5060")
	tests := []struct {
		name   string
		after  time.Duration
		src    netip.AddrPort
		method string
		uri    string
		stale  bool
		failed bool
	}{
		{"at once", 0, phone, "INVITE", target, true, false},
		{"1 s later", time.Second, phone, "INVITE", target, true, false},
		{"10 min later", 10 * time.Minute, phone, "INVITE", target, true, false},
		{"from another port", time.Second, netip.AddrPortFrom(phone.Addr(), 9), "INVITE", target, true, false},
		{"from another address", time.Second, stranger, "INVITE", target, true, false},
		{"other method", time.Second, phone, "MESSAGE", target, true, false},
		{"other URI", time.Second, phone, "INVITE", "sip:900123@pbx.example", false, false},
		{"other host", time.Second, phone, "INVITE", "sip:102@evil.example", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			c := answer(t, "100", "secret-100", b.challenges(phone, "INVITE", target, own, target))
			captured := authorization(c, "INVITE", target)
			if res, _ := b.identify(message(t, "INVITE", target, own, target, captured), phone); res.Verdict != Allow {
				t.Fatalf("the original: %+v", res)
			}
			b.now = b.now.Add(tt.after)
			res, _ := b.identify(message(t, tt.method, tt.uri, own, target, captured), tt.src)
			if res.Verdict != Challenge || res.Status != 401 || res.Stale != tt.stale || res.Failed != tt.failed || res.Proved {
				t.Errorf("the copy: %+v", res)
			}
		})
	}
	t.Run("counts out of order are fine once", func(t *testing.T) {
		b := newBench(t)
		c := answer(t, "100", "secret-100", b.challenges(phone, "INVITE", target, own, target))
		var all []string
		for range 5 {
			all = append(all, authorization(c, "INVITE", target))
		}
		for _, i := range []int{4, 0, 2, 1, 3} {
			if res, _ := b.identify(message(t, "INVITE", target, own, target, all[i]), phone); res.Verdict != Allow {
				t.Errorf("count %d: %+v", i+1, res)
			}
		}
		for i := range all {
			if res, _ := b.identify(message(t, "INVITE", target, own, target, all[i]), phone); res.Verdict != Challenge {
				t.Errorf("count %d again: %+v", i+1, res)
			}
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		b := newBench(t)
		b.a = New(Config{Key: digest.Key{1}})
		c := answer(t, "100", "secret-100", b.challenges(phone, "INVITE", target, own, target))
		captured := authorization(c, "INVITE", target)
		if res, _ := b.identify(message(t, "INVITE", target, own, target, captured), phone); res.Verdict != Allow {
			t.Fatalf("the original: %+v", res)
		}
		b.a = New(Config{Key: digest.Key{1}})
		if res, _ := b.identify(message(t, "INVITE", target, own, target, captured), phone); res.Verdict != Challenge || !res.Stale {
			t.Errorf("the copy: %+v", res)
		}
	})
	t.Run("an altered count", func(t *testing.T) {
		b := newBench(t)
		c := answer(t, "100", "secret-100", b.challenges(phone, "INVITE", target, own, target))
		altered := strings.Replace(authorization(c, "INVITE", target), "nc=00000001", "nc=00000002", 1)
		if res, _ := b.identify(message(t, "INVITE", target, own, target, altered), phone); res.Verdict != Challenge || !res.Failed {
			t.Errorf("%+v", res)
		}
	})
	t.Run("without qop", func(t *testing.T) {
		b := newBench(t)
		list := b.challenges(phone, "INVITE", target, own, target)
		for i := range list {
			list[i].Auth = false // a client that answers as RFC 2069 did
		}
		c := answer(t, "100", "secret-100", list)
		if res, _ := b.identify(message(t, "INVITE", target, own, target, authorization(c, "INVITE", target)), phone); res.Verdict != Challenge || res.Failed {
			t.Errorf("%+v", res)
		}
	})
	t.Run("an algorithm that is not offered", func(t *testing.T) {
		b := newBench(t)
		list := b.challenges(phone, "INVITE", target, own, target)
		c := answer(t, "100", "secret-100", list[1:])
		b.algs = []digest.Algorithm{digest.SHA256}
		if res, _ := b.identify(message(t, "INVITE", target, own, target, authorization(c, "INVITE", target)), phone); res.Verdict != Challenge {
			t.Errorf("MD5 where only SHA-256 is offered: %+v", res)
		}
	})
}
