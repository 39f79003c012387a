package config

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Error is one mistake in the static file.
type Error struct {
	File   string
	Line   int    // counted from 1; 0 when the key is absent and only its default is meant
	Key    string // dotted: "sip.timer_c"; "" for a fault of the syntax
	Reason string
}

// Error writes "file:line: key: reason".
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Reason)
	return b.String()
}

// Errors are all mistakes that were found, in the order of their lines.
type Errors []Error

// Error writes one mistake a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Parse reads the text of a static file over the defaults. name is how mistakes call the file.
func Parse(name string, text []byte) (Config, error) {
	c := Default()
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Config{}, located(name, text, err)
	}
	c.source = source{name: name, keys: readKeys(text)}
	if es := c.check(); len(es) > 0 {
		return Config{}, es
	}
	return c, nil
}

// located gives the decoder's complaints our form, with the whole path of the key, which the decoder does not always
// know.
func located(name string, text []byte, err error) error {
	keys := readKeys(text)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		es := make(Errors, 0, len(strict.Errors))
		for i := range strict.Errors {
			line, _ := strict.Errors[i].Position()
			path := strings.Join(strict.Errors[i].Key(), ".")
			leaf := "." + path[strings.LastIndexByte(path, '.')+1:]
			for _, k := range keys {
				if k.line == line && strings.HasSuffix(k.path, leaf) {
					path = k.path
				}
			}
			es = append(es, Error{name, line, path, "unknown key"})
		}
		return es
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, _ := decode.Position()
		reason := strings.TrimPrefix(decode.Error(), "toml: ")
		return Errors{{name, line, strings.Join(decode.Key(), "."), reason}}
	}
	// A bare value where text is wanted is given to the text's reader, whose error has no place.
	for _, k := range keys {
		if k.bare != "" && strings.Contains(err.Error(), strconv.Quote(k.bare)) {
			return Errors{{name, k.line, k.path, err.Error()}}
		}
	}
	return Errors{{File: name, Reason: err.Error()}}
}

// source is where the keys of a file stand.
type source struct {
	name string
	keys []key
}

// key is one key or table of a file.
type key struct {
	path string // dotted
	line int    // counted from 1
	bare string // its value as written, when that is a number, a boolean or a date
}

// readKeys finds the keys of a document as far as it can be read.
func readKeys(text []byte) []key {
	var r keyReader
	r.parser.Reset(text)
	var table []string
	for r.parser.NextExpression() {
		switch expression := r.parser.Expression(); expression.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = r.read(nil, expression)
		case unstable.KeyValue:
			r.read(table, expression)
		default: // comments
		}
	}
	return r.keys
}

type keyReader struct {
	parser unstable.Parser
	keys   []key
}

// read notes the key of node, which stands below table, and those of the inline tables in its value.
func (r *keyReader) read(table []string, node *unstable.Node) []string {
	path := slices.Clone(table)
	k := key{}
	for part := node.Key(); part.Next(); {
		path = append(path, string(part.Node().Data))
		if k.line == 0 {
			k.line = r.parser.Shape(part.Node().Raw).Start.Line
		}
	}
	k.path = strings.Join(path, ".")
	if node.Kind != unstable.KeyValue {
		r.keys = append(r.keys, k)
		return path
	}
	switch value := node.Value(); value.Kind {
	case unstable.InlineTable:
		r.keys = append(r.keys, k)
		for child := value.Children(); child.Next(); {
			r.read(path, child.Node())
		}
	case unstable.String, unstable.Array:
		r.keys = append(r.keys, k)
	default:
		k.bare = string(value.Data)
		r.keys = append(r.keys, k)
	}
	return path
}

// line is where path stands; 0 when the file does not have it.
func (s source) line(path string) int {
	for _, k := range s.keys {
		if k.path == path {
			return k.line
		}
	}
	return 0
}

// fault is a mistake at a key, or at the nearest table around it that the file has.
func (s source) fault(key, format string, args ...any) Error {
	name := s.name
	if name == "" {
		name = "defaults"
	}
	line := 0
	for k := key; k != "" && line == 0; {
		line = s.line(k)
		k = k[:max(0, strings.LastIndexByte(k, '.'))]
	}
	return Error{name, line, key, fmt.Sprintf(format, args...)}
}

// check holds the values to the rules that no single value can see.
func (c *Config) check() Errors {
	var es Errors
	fault := func(key, format string, args ...any) { es = append(es, c.source.fault(key, format, args...)) }
	if c.Data == "" {
		fault("data", "is empty")
	}
	// RFC 4028 §4: the smallest session interval is 90 seconds.
	if c.SIP.SessionExpires.Duration < 90*time.Second {
		fault("sip.session_expires", "%s is less than 90s", c.SIP.SessionExpires)
	}
	// RFC 3261 §16.6 step 11: timer C must be larger than 3 minutes.
	if c.SIP.TimerC.Duration <= 3*time.Minute {
		fault("sip.timer_c", "%s is not more than 3m0s", c.SIP.TimerC)
	}
	if c.SIP.Registration.Min.Duration < time.Second {
		fault("sip.registration.min", "%s is less than 1s", c.SIP.Registration.Min)
	}
	if c.SIP.Registration.Min.Duration > c.SIP.Registration.Max.Duration {
		fault("sip.registration.max", "%s is less than min, %s", c.SIP.Registration.Max, c.SIP.Registration.Min)
	}
	if len(c.SIP.Digest) == 0 {
		fault("sip.digest", "is empty: nobody could register")
	}
	for _, a := range c.SIP.Digest {
		if _, err := algorithm(string(a)); err != nil {
			fault("sip.digest", "%v", err)
		}
	}
	if c.SIP.Public != "auto" && !isHost(c.SIP.Public) {
		fault("sip.public", "%q is neither auto, nor an address, nor a host name", c.SIP.Public)
	}
	for _, domain := range c.SIP.Domains {
		if !isHost(domain) {
			fault("sip.domains", "%q is not a host name", domain)
		}
	}
	for i, l := range c.SIP.Listen {
		if slices.ContainsFunc(c.SIP.Listen[:i], func(o SIPListener) bool { return o.collides(l) }) {
			fault("sip.listen", "%s is taken twice", l)
		}
	}
	for i, l := range c.HTTP.Listen {
		taken := func(o HTTPListener) bool { return o.Addr == l.Addr && l.Addr.Port() != 0 }
		if slices.ContainsFunc(c.HTTP.Listen[:i], taken) {
			fault("http.listen", "%s is taken twice", l.Addr)
		}
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		fault("tls", "certificate and key belong together")
	}
	c.Recording.check(fault)
	c.Guard.check(fault)
	c.checkShared(fault)
	c.TURN.check(c.RTP.Ports, fault)
	slices.SortStableFunc(es, func(a, b Error) int { return a.Line - b.Line })
	return es
}

// checkShared holds the port that media share to what can be.
func (c *Config) checkShared(fault func(key, format string, args ...any)) {
	shared := c.RTP.Shared
	if shared == (netip.AddrPort{}) {
		return
	}
	pair := PortRange{First: shared.Port(), Last: shared.Port() + 1}
	switch {
	case pair.First == 0 || pair.First%2 != 0: // RFC 3550 §11
		fault("rtp.shared", "%s has no even port", shared)
	case shared.Addr().IsLoopback() || shared.Addr().IsMulticast() || shared.Addr().Zone() != "":
		fault("rtp.shared", "%s is no address that parties reach", shared)
	case c.RTP.Ports.First <= pair.Last && pair.First <= c.RTP.Ports.Last:
		fault("rtp.shared", "%d and rtp.ports, %s, overlap", pair.First, c.RTP.Ports)
	case len(c.TURN.Listen) > 0 && c.TURN.Ports.First <= pair.Last && pair.First <= c.TURN.Ports.Last:
		fault("rtp.shared", "%d and turn.ports, %s, overlap", pair.First, c.TURN.Ports)
	}
	for _, l := range c.SIP.Listen {
		if l.Transport == "udp" && pair.holds(l.Addr.Port()) {
			fault("rtp.shared", "%s listens on port %d", l, l.Addr.Port())
		}
	}
	for _, l := range c.TURN.Listen {
		if l.Transport == "udp" && pair.holds(l.Addr.Port()) {
			fault("rtp.shared", "%s listens on port %d", l, l.Addr.Port())
		}
	}
}

// collides tells whether two listeners want the same socket.
func (l SIPListener) collides(o SIPListener) bool {
	return l.Addr == o.Addr && l.Addr.Port() != 0 && (l.Transport == "udp") == (o.Transport == "udp")
}

// isHost tells whether s is an IP address or looks like a host name (RFC 1123 §2.1).
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range []byte(label) {
			alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
			if !alnum && r != '-' && r != '_' {
				return false
			}
		}
	}
	return true
}

// Unsupported lists the settings that this version knows but cannot honour. The server must not start with them:
// whoever wrote such a line expects it to work.
func (c *Config) Unsupported() Errors {
	var es Errors
	refuse := func(key, format string, args ...any) { es = append(es, c.source.fault(key, format, args...)) }
	if c.Database != "" {
		refuse("database", "this version keeps its data in the embedded database only; leave it empty")
	}
	if c.Cluster != "" {
		refuse("cluster", "this version runs as a single node; leave it empty")
	}
	if len(c.H323.Listen) > 0 {
		refuse("h323.listen", "this version has no H.323 gateway; leave it empty")
	}
	for _, l := range c.HTTP.Listen {
		if !l.Chosen {
			continue
		}
		for _, s := range []Service{Console, Phone, Provision} {
			if l.Serves(s) {
				refuse("http.listen", "%s: this version does not serve %s", l, s)
			}
		}
	}
	return es
}
