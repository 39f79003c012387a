// Package config reads the static file of the server: the few settings that need a restart (listeners, data
// directory, database, logs). Everything else lives in the store and is edited through the API.
//
// It owns the grammar of that file, its defaults and its checks. It does not open what the file names, and it does not
// look at the environment except through the function that it is given. No goroutines, no state.
//
// The file is TOML and every key is optional. A key that is not known is an error with its line, as is a value that
// cannot be understood: a misspelt limit must never be silently absent. A key that is known but asks for something this
// version cannot do is reported by Config.Unsupported, so that the server refuses to start rather than ignore it.
package config

import (
	"log/slog"
	"net/netip"
	"os"
	"time"
)

// DataVariable is the environment variable that names the data directory; it wins over the file and loses to the flag.
const DataVariable = "DIALTONE_DATA"

// DefaultData is the data directory when nothing names one, relative to the working directory.
const DefaultData = "data"

// Config is the static file with its defaults filled in.
type Config struct {
	Data     string `toml:"data"`     // directory of the database, keys, recordings; created by the server
	Database string `toml:"database"` // "" is the embedded SQLite below Data
	Cluster  string `toml:"cluster"`  // "" is a single node
	Node     string `toml:"node"`     // name of this node, host name by default
	Log      Level  `toml:"log"`

	SIP       SIP       `toml:"sip"`
	RTP       RTP       `toml:"rtp"`
	Recording Recording `toml:"recording"`
	Music     Music     `toml:"music"`
	HTTP      HTTP      `toml:"http"`
	TLS       TLS       `toml:"tls"`
	Guard     Guard     `toml:"guard"`
	TURN      TURN      `toml:"turn"`
	H323      H323      `toml:"h323"`

	// source remembers where the keys stood, so that later complaints can name the line.
	source source
}

// SIP is the [sip] section.
type SIP struct {
	Listen []SIPListener `toml:"listen"`
	// Digest is what a listener offers that does not say otherwise, in this order. Many phones fail when SHA-256 is
	// offered at all, hence MD5 alone by default.
	Digest         []Algorithm  `toml:"digest"`
	SessionExpires Duration     `toml:"session_expires"` // RFC 4028; at least 90 s
	Registration   Registration `toml:"registration"`
	TimerC         Duration     `toml:"timer_c"`       // RFC 3261 §16.6 step 11: more than 3 minutes
	MediaTimeout   Duration     `toml:"media_timeout"` // both parties silent for so long ends the call; 0 is never
	Drain          Duration     `toml:"drain"`         // how long running calls may go on after SIGTERM
	Public         string       `toml:"public"`        // "auto", an address, or a host name told to parties outside
	Domains        []string     `toml:"domains"`       // of the default tenant, besides the addresses of this host
	Resume         bool         `toml:"resume"`        // take up calls that were answered before a crash
}

// Registration bounds the expiry of a binding (RFC 3261 §10.3 step 6): shorter is refused with 423, longer is cut.
type Registration struct {
	Min Duration `toml:"min"`
	Max Duration `toml:"max"`
}

// RTP is the [rtp] section.
type RTP struct {
	Ports  PortRange      `toml:"ports"`
	Shared netip.AddrPort `toml:"shared"` // of streams that share a port, an even one; RTCP has the next. The zero value is off
}

// HTTP is the [http] section.
type HTTP struct {
	Listen []HTTPListener `toml:"listen"`
}

// TLS is the [tls] section: PEM files.
type TLS struct {
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
	ClientCA    string `toml:"client_ca"`
}

// Guard is the [guard] section.
type Guard struct {
	RequestsPerSecond   int            `toml:"requests_per_second"`  // per source, before parsing
	Burst               int            `toml:"burst"`                // per source, at once; 0 is twice RequestsPerSecond
	RegistrationsFailed int            `toml:"registrations_failed"` // per minute and source, then a ban that grows
	FirstBan            Duration       `toml:"first_ban"`            // each further one lasts twice as long
	LongestBan          Duration       `toml:"longest_ban"`
	Probes              int            `toml:"probes"`  // challenges that a source may leave unanswered, besides one a second
	Sources             int            `toml:"sources"` // remembered at a time
	Trusted             []netip.Prefix `toml:"trusted"` // neither limited nor banned

	QueueDelay Duration `toml:"queue_delay"` // how long work may wait before new work is refused; 0 is for ever

	Connections          int      `toml:"connections"` // SIP streams in all
	ConnectionsPerSource int      `toml:"connections_per_source"`
	Handshakes           int      `toml:"handshakes"`      // TLS handshakes at a time
	HandshakeTime        Duration `toml:"handshake_time"`  // for TLS and for the WebSocket upgrade
	MessageTime          Duration `toml:"message_time"`    // from the first byte of a message to its last
	StrangerTime         Duration `toml:"stranger_time"`   // silence of a stream on which nobody has authenticated
	ConnectionTime       Duration `toml:"connection_time"` // silence of one on which somebody has
	Unsent               int      `toml:"unsent"`          // bytes that may wait for a slow reader
}

// H323 is the [h323] section; no listener means that the gateway is off.
type H323 struct {
	Listen []netip.AddrPort `toml:"listen"`
}

// Default is the configuration of an absent file. Node is filled by Load.
func Default() Config {
	everywhere := func(transport string, port uint16) SIPListener {
		return SIPListener{Transport: transport, Addr: netip.AddrPortFrom(netip.IPv6Unspecified(), port), Role: Exchange}
	}
	return Config{
		Data: DefaultData,
		Log:  Level{slog.LevelInfo},
		SIP: SIP{
			Listen:         []SIPListener{everywhere("udp", 5060), everywhere("tcp", 5060), everywhere("tls", 5061)},
			Digest:         []Algorithm{MD5},
			SessionExpires: Duration{1800 * time.Second},
			Registration:   Registration{Min: Duration{60 * time.Second}, Max: Duration{3600 * time.Second}},
			TimerC:         Duration{185 * time.Second},
			MediaTimeout:   Duration{30 * time.Second},
			Drain:          Duration{30 * time.Second},
			Public:         "auto",
		},
		RTP:       RTP{Ports: PortRange{First: 10000, Last: 19999}},
		Recording: Recording{Keep: Age{90 * 24 * time.Hour}, Format: WAVALaw, Encrypt: true},
		Music:     Music{Hold: true},
		HTTP: HTTP{Listen: []HTTPListener{
			{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8080), Serve: Services()},
		}},
		TURN: TURN{Ports: PortRange{First: 20000, Last: 20999}, Lifetime: Duration{time.Hour}},
		Guard: Guard{
			RequestsPerSecond:   50,
			RegistrationsFailed: 5,
			FirstBan:            Duration{time.Minute},
			LongestBan:          Duration{time.Hour},
			Probes:              300,
			Sources:             65536,
			QueueDelay:          Duration{50 * time.Millisecond},

			Connections: 16384, ConnectionsPerSource: 512, Handshakes: 64,
			HandshakeTime: Duration{5 * time.Second}, MessageTime: Duration{5 * time.Second},
			StrangerTime: Duration{30 * time.Second}, ConnectionTime: Duration{2 * time.Hour},
			Unsent: 512 << 10,

			Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		},
	}
}

// Load reads the file at path, or takes the defaults when path is empty, and lets the environment override the data
// directory. The error is an Errors when the file can be read but is wrong: every line of it names file, line and key.
func Load(path string, getenv func(string) string) (Config, error) {
	c := Default()
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return Config{}, err
		}
		if c, err = Parse(path, text); err != nil {
			return Config{}, err
		}
	}
	if dir := getenv(DataVariable); dir != "" {
		c.Data = dir
	}
	if c.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			name = "dialtone"
		}
		c.Node = name
	}
	return c, nil
}

// DataDir is the data directory that a command works on: the flag, else the environment, else the static file, else
// ./data.
func DataDir(flag, path string, getenv func(string) string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	c, err := Load(path, getenv)
	if err != nil {
		return "", err
	}
	return c.Data, nil
}
