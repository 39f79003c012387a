package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTURN(t *testing.T) {
	c, err := Parse("f", []byte(`[turn]
listen = ["udp://0.0.0.0", "tcp://[::]:443", "tls://192.0.2.1"]
realm = "pbx.example"
ports = "30000-30099"
lifetime = "2h"`))
	if err != nil {
		t.Fatal(err)
	}
	want := TURN{Realm: "pbx.example", Ports: PortRange{30000, 30099}, Lifetime: Duration{2 * time.Hour}, Listen: []TURNListener{
		{"udp", netip.MustParseAddrPort("0.0.0.0:3478")}, {"tcp", netip.MustParseAddrPort("[::]:443")}, {"tls", netip.MustParseAddrPort("192.0.2.1:5349")},
	}}
	if !reflect.DeepEqual(c.TURN, want) {
		t.Errorf("%+v", c.TURN)
	}
	for _, l := range c.TURN.Listen {
		var again TURNListener
		if err := again.UnmarshalText([]byte(l.String())); err != nil || again != l {
			t.Errorf("%v reads as %v: %v", l, again, err)
		}
	}
	if d := Default().TURN; len(d.Listen) != 0 || d.Ports != (PortRange{20000, 20999}) || d.Lifetime.Duration != time.Hour {
		t.Errorf("by default %+v", d)
	}
}

func TestTURNFaults(t *testing.T) {
	for text, want := range map[string]string{
		`listen = ["ws://0.0.0.0"]`:                             "none of udp, tcp, tls",
		`listen = ["udp://0.0.0.0?role=proxy"]`:                 "option",
		`listen = ["udp://pbx.example"]`:                        "is not an IP address",
		`listen = ["tcp://0.0.0.0:3478", "tls://0.0.0.0:3478"]`: "f:2: turn.listen: tls://0.0.0.0:3478 is taken twice",
		`listen = ["udp://0.0.0.0:20005"]`:                      "lies in the ports",
		"listen = [\"udp://0.0.0.0\"]\nports = \"19000-20000\"": "f:3: turn.ports: 19000-20000 and rtp.ports, 10000-19999, overlap",
		`ports = "1-0"`:     "0 is not a port",
		`lifetime = "1s"`:   "f:2: turn.lifetime: 1s is not between",
		`lifetime = "169h"`: "turn.lifetime",
		`secret = "x"`:      "f:2: turn.secret: unknown key",
		`realm = "` + strings.Repeat("x", 128) + `"`: "turn.realm",
	} {
		if _, err := Parse("f", []byte("[turn]\n"+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
