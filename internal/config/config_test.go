package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func noEnvironment(string) string { return "" }

func TestLoadWithoutFileIsTheDefaults(t *testing.T) {
	c, err := Load("", noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	if c.Node == "" {
		t.Error("the node has no name")
	}
	want := Default()
	want.Node = c.Node
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if es := c.Unsupported(); len(es) > 0 {
		t.Errorf("the defaults are not supported: %v", es)
	}
	var listeners []string
	for _, l := range c.SIP.Listen {
		listeners = append(listeners, l.String())
	}
	if got := strings.Join(listeners, " "); got != "udp://[::]:5060 tcp://[::]:5060 tls://[::]:5061" {
		t.Errorf("listeners %s", got)
	}
}

func TestParseWholeFile(t *testing.T) {
	c, err := Parse("d.toml", []byte(`
data = "/srv/dialtone"
database = "postgres://db/dialtone"
cluster = "nats://n1"
node = "n1"
log = "debug"

[sip]
listen = ["udp://127.0.0.1:5070?role=proxy&digest=sha-256,md5", "wss://[::1]", "tls://[::]"]
digest = ["sha-256", "md5"]
session_expires = "90s"
registration = {min = "30s", max = "2h"}
timer_c = "181s"
media_timeout = "0s"
drain = "5s"
public = "pbx.example.ir"
domains = ["pbx.example.ir", "10.0.0.1"]
resume = true

[rtp]
ports = "20000-20001"
shared = "0.0.0.0:9998"

[recording]
keep = "30d"
format = "opus"
encrypt = false
dir = "/srv/recordings"
beep = "15s"

[music]
hold = false
dir = "/srv/music"

[http]
listen = ["http://localhost", "https://0.0.0.0:8443?serve=console,api&from=lan"]

[tls]
certificate = "c.pem"
key = "k.pem"
client_ca = "ca.pem"

[guard]
requests_per_second = 7
registrations_failed = 2
trusted = ["10.0.0.0/8", "fd00::/8"]
burst = 9
first_ban = "2m"
longest_ban = "3h"
probes = 4
sources = 2048
queue_delay = "0s"
connections = 5
connections_per_source = 6
handshakes = 8
handshake_time = "1s"
message_time = "2s"
stranger_time = "3s"
connection_time = "4m"
unsent = 65536

[h323]
listen = ["0.0.0.0:1720"]
`))
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort
	second := func(n int) Duration { return Duration{time.Duration(n) * time.Second} }
	want := Config{
		Data: "/srv/dialtone", Database: "postgres://db/dialtone", Cluster: "nats://n1", Node: "n1",
		Log: Level{slog.LevelDebug},
		SIP: SIP{
			Listen: []SIPListener{
				{Transport: "udp", Addr: addr("127.0.0.1:5070"), Role: Proxy, Digest: []Algorithm{SHA256, MD5}},
				{Transport: "wss", Addr: addr("[::1]:443"), Role: Exchange},
				{Transport: "tls", Addr: addr("[::]:5061"), Role: Exchange},
			},
			Digest:         []Algorithm{SHA256, MD5},
			SessionExpires: second(90),
			Registration:   Registration{Min: second(30), Max: second(7200)},
			TimerC:         second(181),
			MediaTimeout:   second(0),
			Drain:          second(5),
			Public:         "pbx.example.ir",
			Domains:        []string{"pbx.example.ir", "10.0.0.1"},
			Resume:         true,
		},
		RTP:       RTP{Ports: PortRange{20000, 20001}, Shared: addr("0.0.0.0:9998")},
		Recording: Recording{Keep: Age{30 * 24 * time.Hour}, Format: Opus, Dir: "/srv/recordings", Beep: Age{15 * time.Second}},
		Music:     Music{Dir: "/srv/music"},
		HTTP: HTTP{Listen: []HTTPListener{
			{Addr: addr("127.0.0.1:80"), Serve: Services()},
			{TLS: true, Addr: addr("0.0.0.0:8443"), Serve: []Service{Console, API}, LAN: true, Chosen: true},
		}},
		TLS: TLS{Certificate: "c.pem", Key: "k.pem", ClientCA: "ca.pem"},
		Guard: Guard{RequestsPerSecond: 7, RegistrationsFailed: 2, Trusted: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
		}, Burst: 9, FirstBan: second(120), LongestBan: second(3 * 3600), Probes: 4, Sources: 2048,
			Connections: 5, ConnectionsPerSource: 6, Handshakes: 8, HandshakeTime: second(1), MessageTime: second(2),
			StrangerTime: second(3), ConnectionTime: second(240), Unsent: 65536},
		TURN: Default().TURN,
		H323: H323{Listen: []netip.AddrPort{addr("0.0.0.0:1720")}},
	}
	got := c
	got.source = source{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	unsupported := map[string]int{"database": 3, "cluster": 4, "h323.listen": 63, "http.listen": 36}
	for _, e := range c.Unsupported() {
		if unsupported[e.Key] != e.Line {
			t.Errorf("%v: want line %d", e, unsupported[e.Key])
		}
		delete(unsupported, e.Key)
	}
	if len(unsupported) > 0 {
		t.Errorf("not refused: %v", unsupported)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"syntax", "data = \n", "f.toml:1"},
		{"unknown key", "data = \"d\"\ndat = \"e\"\n", "f.toml:2: dat: unknown key"},
		{"unknown section", "[sips]\nx = 1\n", "f.toml:1: sips: unknown key"},
		{"unknown key of a section", "[sip]\n\ntimerc = \"3s\"\n", "f.toml:3: sip.timerc: unknown key"},
		{"unknown key of an inline table", "[sip]\nregistration = {mim = \"3s\"}\n", "f.toml:2: sip.registration.mim: unknown key"},
		{"level", "log = \"loud\"", `f.toml:1: log: "loud" is none of debug, info, warn, error`},
		{"number for a duration", "[sip]\ntimer_c = 185", "f.toml:2: sip.timer_c:"},
		{"number for a nested duration", "[sip]\nregistration = {min = 60}", "f.toml:2: sip.registration.min:"},
		{"no duration", "[sip]\ntimer_c = \"soon\"", `f.toml:2: sip.timer_c: "soon" is not a duration`},
		{"negative duration", "[sip]\ndrain = \"-1s\"", `f.toml:2: sip.drain: "-1s" is negative`},
		{"timer C", "[sip]\ntimer_c = \"3m\"", "f.toml:2: sip.timer_c: 3m0s is not more than 3m0s"},
		{"session", "[sip]\nsession_expires = \"89s\"", "f.toml:2: sip.session_expires: 1m29s is less than 90s"},
		{"registration order", "[sip]\nregistration = {min = \"2h\"}", "f.toml:2: sip.registration.max: 1h0m0s is less than min"},
		{"registration zero", "[sip]\nregistration.min = \"0s\"", "f.toml:2: sip.registration.min: 0s is less than 1s"},
		{"no digest", "[sip]\ndigest = []", "f.toml:2: sip.digest: is empty"},
		{"digest", "[sip]\ndigest = [\"md4\"]", `f.toml:2: sip.digest: "md4" is none of md5, sha-256`},
		{"public", "[sip]\npublic = \"a b\"", `f.toml:2: sip.public: "a b" is neither`},
		{"domain", "[sip]\ndomains = [\"-x\"]", `f.toml:2: sip.domains: "-x" is not a host name`},
		{"listener transport", "[sip]\nlisten = [\n \"udp://[::]:5060\",\n \"sctp://[::]:5060\"]", `f.toml:4: sip.listen: "sctp://[::]:5060": the transport`},
		{"listener host", "[sip]\nlisten = [\"udp://pbx:5060\"]", `f.toml:2: sip.listen: "pbx" is not an IP address`},
		{"listener without host", "[sip]\nlisten = [\"udp://:5060\"]", "f.toml:2: sip.listen: the address is missing"},
		{"listener port", "[sip]\nlisten = [\"udp://[::]:70000\"]", `f.toml:2: sip.listen: "70000" is not a port`},
		{"listener role", "[sip]\nlisten = [\"udp://[::]?role=king\"]", `f.toml:2: sip.listen: role "king" is none of`},
		{"listener option", "[sip]\nlisten = [\"udp://[::]?rule=proxy\"]", `f.toml:2: sip.listen: option "rule" is none of role, digest`},
		{"listener option twice", "[sip]\nlisten = [\"udp://[::]?role=proxy&role=proxy\"]", `option "role" is given twice`},
		{"listener digest", "[sip]\nlisten = [\"udp://[::]?digest=md5,md5\"]", `digest "md5" is named twice`},
		{"listener path", "[sip]\nlisten = [\"udp://[::]/x\"]", "a listener is scheme://address:port?options"},
		{"listener twice", "[sip]\nlisten = [\"udp://[::]\", \"udp://[::]:5060?role=proxy\"]", "f.toml:2: sip.listen: udp://[::]:5060?role=proxy is taken twice"},
		{"tcp and tls on one port", "[sip]\nlisten = [\"tcp://[::]:5061\", \"tls://[::]:5061\"]", "is taken twice"},
		{"http scheme", "[http]\nlisten = [\"ftp://127.0.0.1\"]", "the scheme is none of http, https"},
		{"http serve", "[http]\nlisten = [\"http://127.0.0.1?serve=api,all\"]", `serve "all" is none of`},
		{"http from", "[http]\nlisten = [\"http://127.0.0.1?from=wan\"]", `from "wan" is not lan`},
		{"http twice", "[http]\nlisten = [\"http://127.0.0.1\", \"https://127.0.0.1:80\"]", "127.0.0.1:80 is taken twice"},
		{"ports", "[rtp]\nports = \"10000\"", `f.toml:2: rtp.ports: "10000" is not a range`},
		{"ports without a pair", "[rtp]\nports = \"10001-10002\"", "holds no pair"},
		{"shared port without a host", "[rtp]\nshared = \"9998\"", "f.toml:2: rtp.shared: "},
		{"odd shared port", "[rtp]\nshared = \"0.0.0.0:9999\"", "f.toml:2: rtp.shared: 0.0.0.0:9999 has no even port"},
		{"shared port among the others", "[rtp]\nshared = \"0.0.0.0:10000\"", "rtp.shared: 10000 and rtp.ports, 10000-19999, overlap"},
		{"shared port of SIP", "[sip]\nlisten = [\"udp://0.0.0.0:5061\"]\n[rtp]\nshared = \"0.0.0.0:5060\"", "rtp.shared: udp://0.0.0.0:5061 listens on port 5061"},
		{"shared port on loopback", "[rtp]\nshared = \"127.0.0.1:9998\"", "is no address that parties reach"},
		{"port zero", "[rtp]\nports = \"0-10\"", "0 is not a port"},
		{"certificate alone", "[tls]\ncertificate = \"c.pem\"", "f.toml:1: tls: certificate and key belong together"},
		{"guard", "[guard]\nrequests_per_second = 0", "f.toml:2: guard.requests_per_second: 0 is less than 1"},
		{"guard, too much", "[guard]\nprobes = 2000000", "f.toml:2: guard.probes: 2000000 is more than 1000000"},
		{"guard, too short", "[guard]\nmessage_time = \"1ms\"", "f.toml:2: guard.message_time: 1ms is less than 100ms"},
		{"guard, too long", "[guard]\nstranger_time = \"2h\"", "f.toml:2: guard.stranger_time: 2h0m0s is more than 1h0m0s"},
		{"bans", "[guard]\nfirst_ban = \"2h\"", "f.toml:1: guard.longest_ban: 1h0m0s is less than first_ban, 2h0m0s"},
		{"queue delay", "[guard]\nqueue_delay = \"1ms\"", "f.toml:2: guard.queue_delay: 1ms is not between 5ms and 10s"},
		{"trusted", "[guard]\ntrusted = [\"10.0.0.0\"]", "f.toml:2: guard.trusted:"},
		{"h323", "[h323]\nlisten = [\"1720\"]", "f.toml:2: h323.listen:"},
		{"data", "data = \"\"", "f.toml:1: data: is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f.toml", []byte(c.text))
			var es Errors
			if !errors.As(err, &es) {
				t.Fatalf("error %v, want Errors", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestAllUnknownKeysAreReported(t *testing.T) {
	_, err := Parse("f.toml", []byte("a = 1\n[sip]\nb = 2\n[guard]\nc = 3\n"))
	want := "f.toml:1: a: unknown key\nf.toml:3: sip.b: unknown key\nf.toml:5: guard.c: unknown key"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestDataDirPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.toml")
	if err := os.WriteFile(path, []byte(`data = "from-file"`), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := func(key string) string { return map[string]string{DataVariable: "from-env"}[key] }
	for _, c := range []struct {
		flag, path string
		getenv     func(string) string
		want       string
	}{
		{"from-flag", path, environment, "from-flag"},
		{"", path, environment, "from-env"},
		{"", path, noEnvironment, "from-file"},
		{"", "", noEnvironment, "data"},
	} {
		got, err := DataDir(c.flag, c.path, c.getenv)
		if err != nil || got != c.want {
			t.Errorf("DataDir(%q, %q) = %q, %v; want %q", c.flag, c.path, got, err, c.want)
		}
	}
	if _, err := DataDir("", path+".absent", noEnvironment); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestListenersPrintAsTheyRead(t *testing.T) {
	for _, text := range []string{
		"udp://[::]:5060", "tcp://127.0.0.1:5060?role=proxy", "tls://[::1]:5061?digest=sha-256,md5",
		"ws://0.0.0.0:8088?role=registrar&digest=md5",
	} {
		var l SIPListener
		if err := l.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if l.String() != text {
			t.Errorf("%s printed as %s", text, l)
		}
	}
	for _, text := range []string{"http://127.0.0.1:8080", "https://0.0.0.0:8443?serve=console,api&from=lan", "http://[::1]:1?from=lan"} {
		var l HTTPListener
		if err := l.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if l.String() != text {
			t.Errorf("%s printed as %s", text, l)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("data = \"x\"\n[sip]\nlisten = [\"udp://[::]:5060?role=proxy&digest=md5\"]\nregistration = {min = \"1s\"}\n"))
	f.Add([]byte("[http]\nlisten = [\"https://0.0.0.0:1?serve=api&from=lan\"]\n[rtp]\nports = \"1-9\"\n"))
	f.Add([]byte("[sip]\ntimer_c = 3\n[[x]]\ny.z = {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f", text)
		if err != nil {
			var es Errors
			if !errors.As(err, &es) || len(es) == 0 {
				t.Fatalf("error %T %v is not Errors", err, err)
			}
			for _, e := range es {
				if e.Line > 1+strings.Count(string(text), "\n") {
					t.Fatalf("%v: the text is not so long", e)
				}
			}
			return
		}
		for _, l := range c.SIP.Listen {
			var again SIPListener
			if err := again.UnmarshalText([]byte(l.String())); err != nil || !reflect.DeepEqual(again, l) {
				t.Fatalf("%s reads back as %s: %v", l, again, err)
			}
		}
		for _, l := range c.HTTP.Listen {
			var again HTTPListener
			if err := again.UnmarshalText([]byte(l.String())); err != nil || !reflect.DeepEqual(again, l) {
				t.Fatalf("%s reads back as %s: %v", l, again, err)
			}
		}
	})
}
