package server

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/config"
)

// TestTURN: a server with TURN says where it is, makes credentials, keeps its secret over a restart, and shows its
// metrics; one without has none of it.
func TestTURN(t *testing.T) {
	c := small(t)
	c.SIP.Domains = []string{"pbx.example"}
	at := netip.MustParseAddrPort("127.0.0.1:0")
	c.TURN.Listen = []config.TURNListener{{Transport: "udp", Addr: at}, {Transport: "tcp", Addr: at}, {Transport: "tls", Addr: at}}
	var urls, passwords []string
	for range 2 {
		s, err := New(t.Context(), Options{Config: c, Getenv: noEnv})
		if err != nil {
			t.Fatal(err)
		}
		if s.turnRealm() != "pbx.example" {
			t.Errorf("realm %q", s.turnRealm())
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		got, ok := turns{s}.TURNCredentials("nima")
		if !ok || got.TTL != 3600 || !strings.HasSuffix(got.Username, ":nima") {
			t.Errorf("%+v", got)
		}
		urls = got.URLs
		passwords = append(passwords, s.turn.Credentials("nima", time.Unix(1764000000, 0)).Password)
		lines := strings.Join(s.Listening(), "\n")
		for _, kind := range []string{"udp", "tcp", "tls"} {
			if !strings.Contains(lines, kind+"://127.0.0.1:") || strings.Count(lines, "(turn)") != 3 {
				t.Errorf("%s is not among\n%s", kind, lines)
			}
		}
		bind(t, urls[0])
		values := map[string]map[string]float64{}
		for _, r := range s.readings() {
			if strings.HasPrefix(r.Name, "turn_") {
				values[r.Name] = r.Values()
			}
		}
		if len(values) != 3 || values["turn_bytes_total"]["in"] != 0 || len(values["turn_refused_total"]) != 9 {
			t.Errorf("metrics %v", values)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if passwords[0] != passwords[1] {
		t.Error("a restart has made the credentials worthless")
	}
	if info, err := os.Stat(filepath.Join(c.Data, "turn.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info, err)
	}
	if !slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, "turns:127.0.0.1:") }) {
		t.Errorf("urls %v", urls)
	}
	c.TURN.Listen = nil
	s, err := New(t.Context(), Options{Config: c, Getenv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := (turns{s}).TURNCredentials("nima"); ok || len(s.turnListening()) > 0 || s.turnReadings()[0].Values() != nil {
		t.Error("TURN without a listener")
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// bind asks a STUN server for the address that it sees: "stun:127.0.0.1:3478".
func bind(t *testing.T, url string) {
	t.Helper()
	conn, err := net.Dial("udp", strings.TrimPrefix(url, "stun:"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, "transaction."...)
	answer := make([]byte, 1500)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(answer)
	if err != nil || n < 32 || string(answer[:2]) != "\x01\x01" || string(answer[8:20]) != "transaction." {
		t.Fatalf("binding: %q %v", answer[:n], err)
	}
}

func TestMediaIsOurs(t *testing.T) {
	c := small(t)
	c.SIP.Public = "203.0.113.7"
	c.RTP.Shared = netip.MustParseAddrPort("0.0.0.0:40000")
	s, err := New(t.Context(), Options{Config: c, Getenv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	want := map[string]bool{
		"203.0.113.7:40000": true, "203.0.113.7:40001": true, "203.0.113.7:40002": false, "203.0.113.7:39999": false,
		"203.0.113.7:41000": true, "203.0.113.7:41019": true, "203.0.113.7:0": true,
		"203.0.113.7:40999": false, "203.0.113.7:41020": false, "203.0.113.8:41000": false,
		"127.0.0.1:41000": false, "[::1]:41000": false, "[fe80::1]:41000": false, "0.0.0.0:41000": false,
	}
	for _, a := range hostAddrs() {
		want[netip.AddrPortFrom(a, 41001).String()] = true
		want[netip.AddrPortFrom(a, 8080).String()] = false
	}
	for a, is := range want {
		if s.isMedia(netip.MustParseAddrPort(a)) != is {
			t.Errorf("%s: not %v", a, is)
		}
	}
}
