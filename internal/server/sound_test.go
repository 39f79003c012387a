package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/media"
	"dialtone/internal/network"
	"dialtone/internal/softphone"
)

// What the API and the metrics show of the media of a call while it lasts: one leg encrypted by a handshake, the other plain
// and with another codec.
func TestMediaOfALiveCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
		c := small(t)
		c.SIP.Listen[0].Addr = netip.MustParseAddrPort("10.0.0.1:5060")
		c.Guard.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		s, err := New(t.Context(), Options{Config: c, Network: net.Host(netip.MustParseAddr("10.0.0.1")), NoAPI: true, Getenv: noEnv})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		if _, err := s.Apply(ctx, []byte("tenant: default\nlines:\n"+
			"  - {number: \"101\", product: extension, devices: [{username: \"101\", password: pw-101-secret}]}\n"+
			"  - {number: \"102\", product: extension, devices: [{username: \"102\", password: pw-102-secret, srtp: off, media: {codecs: [pcma]}}]}\n")); err != nil {
			t.Fatal(err)
		}
		phone := func(user, addr string, srtp softphone.SRTP, codec string) *softphone.Phone {
			p, err := softphone.New(softphone.Config{Network: net.Host(netip.MustParseAddr(addr)), Server: "10.0.0.1", User: user, Password: "pw-" + user + "-secret",
				SRTP: srtp, Codecs: []string{codec}, Answer: func(softphone.Incoming) softphone.Decision { return softphone.Decision{} }})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Open(ctx); err != nil {
				t.Fatal(err)
			}
			if err := p.Register(ctx); err != nil {
				t.Fatal(err)
			}
			return p
		}
		a, b := phone("101", "10.0.0.2", softphone.SRTPDTLS, "g722"), phone("102", "10.0.0.3", softphone.SRTPOff, "pcma")
		defer a.Close()
		defer b.Close()
		if _, ok := (live{s}).Media("nothing"); ok {
			t.Error("there is media of no call")
		}
		k, err := a.Dial("102", softphone.Talk{})
		if err != nil {
			t.Fatal(err)
		}
		<-k.Answered()
		<-time.After(12 * time.Second)

		call := (live{s}).Calls()[0]
		if len(call.Legs) != 2 || call.Legs[0].MOSIn == nil || *call.Legs[0].MOSIn < 4 || call.Legs[1].MOSIn == nil || call.Legs[1].MOSOut == nil || *call.Legs[1].MOSOut < 4 {
			t.Errorf("legs %+v", call.Legs)
		}
		m, ok := (live{s}).Media(call.ID)
		if !ok || len(m.Legs) != 2 || *m.Legs[0].Device != "101" || *m.Legs[1].Device != "102" {
			t.Fatalf("media %+v", m)
		}
		near, far := m.Legs[0].Streams[0], m.Legs[1].Streams[0]
		if near.Crypto != media.DTLS || near.Suite == "" || near.Codec != "G722" || near.Transcoded != "g722 -> pcma" || far.Crypto != "" || far.Codec != "PCMA" {
			t.Errorf("streams %+v and %+v", near, far)
		}
		for _, want := range []string{"decrypt " + near.Suite, "jitter buffer -> g722 -> pcma -> send", "10.0.0.3:"} {
			if !strings.Contains(m.Legs[0].Chain, want) {
				t.Errorf("chain %q has no %q", m.Legs[0].Chain, want)
			}
		}
		if want := "encrypt " + near.Suite; !strings.Contains(m.Legs[1].Chain, want) {
			t.Errorf("chain %q has no %q", m.Legs[1].Chain, want)
		}
		page := httptest.NewRecorder()
		s.metrics.Handler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for _, want := range []string{"dialtone_media_conversions 2", `dialtone_srtp_streams{method="dtls-srtp"} 1`, `dialtone_srtp_streams{method="sdes"} 0`,
			`dialtone_dtls_handshakes_total{result="failed"} 0`, `dialtone_dtls_handshakes_total{result="ok"} `, "dialtone_media_sessions 2", "dialtone_calls_poor 0",
			`dialtone_rtp_dropped_total{reason="unauthentic"} 0`, `dialtone_rtp_dropped_total{reason="foreign"} 0`,
			`dialtone_rtp_dropped_total{reason="malformed"} 0`, "dialtone_ice_streams 0"} {
			if !strings.Contains(page.Body.String(), "\n"+want) {
				t.Errorf("the page has no %q", want)
			}
		}
		k.Hangup()
		<-k.Done()
	})
}

// Every metric of the media plane stands in the document.
func TestMediaMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range (&Server{}).mediaReadings() {
		if !strings.Contains(string(text), "`dialtone_"+r.Name+"`") {
			t.Errorf("docs/metrics.md does not name dialtone_%s", r.Name)
		}
	}
}
