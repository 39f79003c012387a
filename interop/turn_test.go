package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// outward is an IPv4 address of this machine that others could reach.
func outward(t *testing.T) netip.Addr {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	t.Skip("this machine has no address but loopback: nothing can be relayed")
	return netip.Addr{}
}

// echo sends back whatever arrives at a port.
func echo(t *testing.T, at netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(b[:n], from) // the test looks at what arrives
		}
	}()
}

// refusesOrEnds waits until a client that cannot be served has given up, or until what it sends has been refused: it begins
// to send after some seconds that it chooses by chance, and waits for ever for what does not come.
func (x *server) refusesOrEnds(client *process) {
	const refused = `dialtone_turn_refused_total{reason="peer"}`
	before := x.metric(refused)
	for range 60 {
		select {
		case <-client.done:
			return
		case <-time.After(500 * time.Millisecond):
		}
		if x.metric(refused) >= before+10 { // of 20: there was time for an answer to the first
			break
		}
	}
	client.stop(time.Second)
}

var receivedMessages = regexp.MustCompile(`tot_recv_msgs=(\d+)`)

// TestTURN: coturn's client reaches a port of our media over UDP and TCP, and nothing else of this machine; nobody gets in
// with a wrong password.
func TestTURN(t *testing.T) {
	here := outward(t)
	first := freePorts(t, 22)
	x := serve(t, setup{more: fmt.Sprintf("[turn]\nlisten = [\"udp://%[1]s:%[2]d\", \"tcp://%[1]s:%[2]d\"]\nports = \"%[3]d-%[4]d\"",
		here, first, first+1, first+20)})
	media := netip.AddrPortFrom(here, uint16(x.rtp[1]))
	echo(t, media)
	other := netip.AddrPortFrom(here, uint16(first+21))
	echo(t, other)
	loopback := netip.AddrPortFrom(netip.MustParseAddr(host), uint16(x.rtp[1]))
	echo(t, loopback)

	var made struct {
		URLs       []string `json:"urls"`
		Username   string   `json:"username"`
		Credential string   `json:"credential"`
	}
	if err := json.Unmarshal([]byte(x.run("turn", "credentials", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("turn:%s:%d?transport=udp", here, first); len(made.URLs) != 3 || made.URLs[1] != want {
		t.Errorf("urls %v, want %s", made.URLs, want)
	}
	for _, c := range []struct {
		name, password string
		peer           netip.AddrPort
		more           []string
		received       int
	}{
		{"UDP", made.Credential, media, nil, 20},
		{"TCP", made.Credential, media, []string{"-t"}, 20},
		{"UDP, send indications", made.Credential, media, []string{"-s"}, 20},
		{"TCP, send indications", made.Credential, media, []string{"-t", "-s"}, 20},
		{"another port", made.Credential, other, nil, 0},
		{"loopback", made.Credential, loopback, nil, 0},
		{"wrong password", "wrong", media, nil, 0},
	} {
		args := append([]string{"-c", "-n", "20", "-u", made.Username, "-w", c.password, "-p", strconv.Itoa(first),
			"-e", c.peer.Addr().String(), "-r", strconv.Itoa(int(c.peer.Port())), "-v"}, c.more...)
		client := start(t, "turnutils_uclient", exec.Command("turnutils_uclient", append(args, here.String())...))
		if c.received > 0 {
			client.wait(30 * time.Second)
		} else {
			x.refusesOrEnds(client)
		}
		received := 0
		for _, m := range receivedMessages.FindAllStringSubmatch(client.said(), -1) {
			received, _ = strconv.Atoi(m[1]) // digits
		}
		if received != c.received {
			t.Errorf("%s: %d messages came back, want %d\n%s", c.name, received, c.received, tail(client.said(), 30))
		}
		if c.name == "loopback" && !strings.Contains(client.said(), "channel bind: error 40") {
			t.Errorf("loopback is not forbidden:\n%s", tail(client.said(), 30))
		}
	}
	for name, least := range map[string]float64{
		`dialtone_turn_refused_total{reason="peer"}`: 2, `dialtone_turn_refused_total{reason="credential"}`: 0,
		`dialtone_turn_bytes_total{direction="out"}`: 8000, `dialtone_turn_bytes_total{direction="in"}`: 8000,
	} {
		if got := x.metric(name); got < least {
			t.Errorf("%s is %v", name, got)
		}
	}
}
