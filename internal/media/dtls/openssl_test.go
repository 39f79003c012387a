package dtls

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/internal/media/srtp"
	"dialtone/internal/sdp"
)

// tool is a run of openssl; its output comes line by line.
type tool struct {
	lines chan string
	cmd   *exec.Cmd
	stdin *os.File
}

func openssl(t *testing.T, arguments ...string) *tool {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed: DTLS is not tried against an independent implementation")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // guards against a tool that hangs
	o := &tool{lines: make(chan string, 1000), cmd: exec.CommandContext(ctx, path, arguments...)}
	read, write, err := os.Pipe() // openssl ends with its input
	if err != nil {
		t.Fatal(err)
	}
	o.cmd.Stdin, o.stdin = read, write
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.cmd.Stderr = o.cmd.Stdout
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanned := make(chan struct{})
	go func() {
		defer close(scanned)
		defer close(o.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			o.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = write.Close()
		cancel()
		<-scanned
		_ = o.cmd.Wait()
		_ = read.Close()
	})
	return o
}

// find waits for a line with a prefix and gives what follows it.
func (o *tool) find(t *testing.T, prefix string) string {
	t.Helper()
	var all []string
	for line := range o.lines {
		if _, rest, ok := strings.Cut(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
		all = append(all, line)
	}
	t.Fatalf("openssl said nothing of %q:\n%s", prefix, strings.Join(all, "\n"))
	return ""
}

// files writes an identity where openssl reads it.
func files(t *testing.T, i *Identity) (certificate, key string) {
	t.Helper()
	c, k, err := i.PEM()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string][]byte{certificate: c, key: k} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// socket is a UDP socket whose datagrams go to whatever h holds.
func socket(t *testing.T, l *link) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for b := make([]byte, 4096); ; {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			l.from.Store(&from)
			l.send(b[:n])
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-read
	})
	return conn
}

// sameKeys compares our keys with what openssl has exported: client key, server key, client salt, server salt.
func sameKeys(t *testing.T, exported string, client, server []byte, s *srtp.Suite) {
	t.Helper()
	material, err := hex.DecodeString(exported)
	if err != nil {
		t.Fatal(err)
	}
	ours := bytes.Join([][]byte{client[:s.KeyLen], server[:s.KeyLen], client[s.KeyLen:], server[s.KeyLen:]}, nil)
	if !bytes.Equal(material, ours) {
		t.Errorf("openssl has %x, we have %x", material, ours)
	}
}

func names() map[string]string {
	return map[string]string{
		"AES_CM_128_HMAC_SHA1_80": "SRTP_AES128_CM_SHA1_80", "AES_CM_128_HMAC_SHA1_32": "SRTP_AES128_CM_SHA1_32",
		"AEAD_AES_128_GCM": "SRTP_AEAD_AES_128_GCM", "AEAD_AES_256_GCM": "SRTP_AEAD_AES_256_GCM",
	}
}

func TestOpenSSLClient(t *testing.T) {
	for ours, theirs := range names() {
		t.Run(ours, func(t *testing.T) {
			suite := srtp.Named(ours)
			peer := identity(t)
			certificate, key := files(t, peer)
			l := new(link)
			conn := socket(t, l)
			p := begin(t, Config{Identity: identity(t), Fingerprints: []sdp.Fingerprint{peer.Fingerprint()}, Timeout: 30 * time.Second, Send: func(b []byte) {
				_, _ = conn.WriteToUDPAddrPort(b, *l.from.Load())
			}})
			defer p.Close()
			l.to.Store(p.Handshake)
			o := openssl(t, "s_client", "-dtls1_2", "-connect", conn.LocalAddr().String(), "-cert", certificate, "-key", key, "-use_srtp", theirs,
				"-keymatexport", exporter, "-keymatexportlen", fmt.Sprint(2*(suite.KeyLen+suite.SaltLen)))
			<-p.done
			if p.err != nil || p.keys.Suite != suite {
				t.Fatalf("%v %v", p.err, p.keys)
			}
			sameKeys(t, o.find(t, "Keying material: "), p.keys.Remote, p.keys.Local, suite)
			_ = o.stdin.Close()
			<-p.Ended() // openssl says close_notify as it goes
		})
	}
}

func TestOpenSSLServer(t *testing.T) {
	for ours, theirs := range names() {
		t.Run(ours, func(t *testing.T) {
			suite := srtp.Named(ours)
			peer := identity(t)
			certificate, key := files(t, peer)
			o := openssl(t, "s_server", "-dtls1_2", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-use_srtp", theirs, "-Verify", "1",
				"-keymatexport", exporter, "-keymatexportlen", fmt.Sprint(2*(suite.KeyLen+suite.SaltLen)))
			to, err := net.ResolveUDPAddr("udp4", o.find(t, "ACCEPT "))
			if err != nil {
				t.Fatal(err)
			}
			l := new(link)
			conn := socket(t, l)
			p := begin(t, Config{Identity: identity(t), Client: true, Fingerprints: []sdp.Fingerprint{peer.Fingerprint()}, Timeout: 30 * time.Second, Send: func(b []byte) {
				_, _ = conn.WriteToUDP(b, to)
			}})
			defer p.Close()
			l.to.Store(p.Handshake)
			<-p.done
			if p.err != nil || p.keys.Suite != suite {
				t.Fatalf("%v %v", p.err, p.keys)
			}
			sameKeys(t, o.find(t, "Keying material: "), p.keys.Local, p.keys.Remote, suite)
		})
	}
}
