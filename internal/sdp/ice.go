package sdp

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what ICE brings into a description.
const (
	maxCandidates = 64 // of one stream
	maxExtensions = 16 // of one candidate
	maxICEOptions = 16
)

// ICE is what a description says about ICE for one stream (RFC 8839).
type ICE struct {
	Ufrag, Pwd string // of the side that says so
	Lite       bool   // a=ice-lite, of the session
	Mismatch   bool   // a=ice-mismatch: ICE must not be used for the stream (RFC 8839 §5.3)
	Ended      bool   // a=end-of-candidates (RFC 8840): no more will be trickled
	Options    []string
	Candidates []Candidate // those that can be used, at most 64
}

// Candidate is one a=candidate line (RFC 8839 §5.1) with an address; lines with names are ignored as the RFC demands.
type Candidate struct {
	Foundation string // 1 to 32 letters, digits, "+" and "/"
	Component  int    // 1 RTP, 2 RTCP; up to 256
	Transport  string // "UDP", in upper case
	Priority   uint32 // 1 to 1<<31-1
	Address    netip.AddrPort
	Type       string         // "host", "srflx", "prflx", "relay", ...
	Related    netip.AddrPort // raddr and rport; not valid when absent
	Extensions []Attribute    // name and value pairs, e.g. tcptype
}

// ICE is what holds for stream i; ok is false unless there is a user fragment with its password.
//
// RFC 8839 §5.4: ufrag and password of the stream take precedence over those of the session.
func (d *Description) ICE(i int) (ice ICE, ok bool) {
	m := &d.Media[i]
	ice.read(d.Attributes)
	session := ice
	ice = ICE{Lite: session.Lite, Ended: session.Ended, Options: session.Options}
	ice.read(m.Attributes)
	ice.Lite = session.Lite // RFC 8839 §5.3: a session-level attribute only
	ice.Ufrag, ice.Pwd = or(ice.Ufrag, session.Ufrag), or(ice.Pwd, session.Pwd)
	return ice, ice.Ufrag != "" && ice.Pwd != ""
}

// read takes the attributes of one section.
func (ice *ICE) read(attributes []Attribute) {
	for i := range attributes {
		ice.readAttribute(attributes[i].Name, attributes[i].Value)
	}
}

// readAttribute takes one attribute; RFC 8840 §9.2 has names regardless of case.
func (ice *ICE) readAttribute(name, value string) {
	switch strings.ToLower(name) {
	case "ice-ufrag":
		if ice.Ufrag == "" && isICEText(value, 4, 256) {
			ice.Ufrag = value
		}
	case "ice-pwd":
		if ice.Pwd == "" && isICEText(value, 22, 256) {
			ice.Pwd = value
		}
	case "ice-lite":
		ice.Lite = true
	case "ice-mismatch":
		ice.Mismatch = true
	case "end-of-candidates":
		ice.Ended = true
	case "ice-options":
		for _, option := range strings.Fields(value) {
			if len(ice.Options) < maxICEOptions && isICEOption(option) && !slices.Contains(ice.Options, option) {
				ice.Options = append(slices.Clip(ice.Options), option)
			}
		}
	case "candidate":
		if c, err := ParseCandidate(value); err == nil && len(ice.Candidates) < maxCandidates {
			ice.Candidates = append(ice.Candidates, c)
		}
	}
}

// Attributes are the lines for the section of a stream. That of ice-lite is not among them: it belongs to the session.
func (ice *ICE) Attributes() []Attribute {
	var lines []Attribute
	if ice.Ufrag != "" {
		lines = append(lines, Attribute{"ice-ufrag", ice.Ufrag}, Attribute{"ice-pwd", ice.Pwd})
	}
	if len(ice.Options) > 0 {
		lines = append(lines, Attribute{"ice-options", strings.Join(ice.Options, " ")})
	}
	if ice.Mismatch {
		lines = append(lines, Attribute{Name: "ice-mismatch"})
	}
	for i := range ice.Candidates {
		lines = append(lines, ice.Candidates[i].Attribute())
	}
	if ice.Ended {
		lines = append(lines, Attribute{Name: "end-of-candidates"})
	}
	return lines
}

// isICEChar tells whether c is an ice-char of RFC 8839 §5.1.
func isICEChar(c byte) bool {
	return c == '+' || c == '/' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func isICEText(s string, least, most int) bool {
	for i := 0; i < len(s); i++ {
		if !isICEChar(s[i]) {
			return false
		}
	}
	return least <= len(s) && len(s) <= most
}

// isICEOption tells whether s is an option tag. Interop: some have a dash or an underscore in theirs, which RFC 8839
// §5.6 does not.
func isICEOption(s string) bool {
	return len(s) <= 64 && isICEText(strings.NewReplacer("-", "", "_", "").Replace(s), 1, 64)
}

// ParseCandidate reads the value of an a=candidate line. Host names, mDNS ones too, are errors: RFC 8839 §5.1 "MUST
// ignore "candidate" lines that include candidates with FQDNs".
func ParseCandidate(value string) (Candidate, error) {
	field := strings.Fields(value)
	if len(field) < 8 || len(field) > 12+2*maxExtensions {
		return Candidate{}, errors.New("parse candidate: number of fields")
	}
	c := Candidate{Foundation: field[0], Transport: strings.ToUpper(field[2]), Type: strings.ToLower(field[7])}
	component, err := strconv.ParseUint(field[1], 10, 16)
	priority, err2 := strconv.ParseUint(field[3], 10, 31)
	switch {
	case !isICEText(c.Foundation, 1, 32):
		return Candidate{}, errors.New("parse candidate: foundation")
	case err != nil || component < 1 || component > 256:
		return Candidate{}, errors.New("parse candidate: component is not 1 to 256")
	case !isToken(c.Transport):
		return Candidate{}, errors.New("parse candidate: transport")
	case err2 != nil || priority < 1:
		return Candidate{}, errors.New("parse candidate: priority is not 1 to 2^31-1")
	case !strings.EqualFold(field[6], "typ") || !isToken(c.Type):
		return Candidate{}, errors.New("parse candidate: no type")
	}
	c.Component, c.Priority = int(component), uint32(priority)
	var ok bool
	if c.Address, ok = candidateAddress(field[4], field[5]); !ok {
		return Candidate{}, errors.New("parse candidate: no address")
	}
	c.readPairs(field[8:])
	return c, nil
}

// candidateAddress reads an address with its port.
func candidateAddress(address, port string) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Zone() != "" {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), err == nil && n > 0
}

// readPairs takes what follows the type: raddr, rport and extensions.
func (c *Candidate) readPairs(field []string) {
	var address, port string
	for ; len(field) >= 2; field = field[2:] {
		switch name, value := field[0], field[1]; {
		case strings.EqualFold(name, "raddr"):
			address = value
		case strings.EqualFold(name, "rport"):
			port = value
		case isToken(name) && len(c.Extensions) < maxExtensions:
			c.Extensions = append(c.Extensions, Attribute{name, value})
		}
	}
	c.Related, _ = candidateAddress(address, port)
	if c.Related.Port() == 0 {
		c.Related = netip.AddrPort{}
	}
}

// String is the value of the line.
func (c *Candidate) String() string {
	b := append(make([]byte, 0, 96), c.Foundation...)
	b = strconv.AppendInt(append(b, ' '), int64(c.Component), 10)
	b = append(append(b, ' '), c.Transport...)
	b = strconv.AppendUint(append(b, ' '), uint64(c.Priority), 10)
	b = appendEndpoint(b, " ", " ", c.Address)
	b = append(append(b, " typ "...), c.Type...)
	if c.Related.IsValid() {
		b = appendEndpoint(b, " raddr ", " rport ", c.Related)
	}
	for _, e := range c.Extensions {
		b = append(append(b, ' '), e.Name...)
		b = append(append(b, ' '), e.Value...)
	}
	return string(b)
}

func appendEndpoint(b []byte, before, between string, a netip.AddrPort) []byte {
	b = a.Addr().AppendTo(append(b, before...))
	return strconv.AppendUint(append(b, between...), uint64(a.Port()), 10)
}

// Attribute is the a= line.
func (c *Candidate) Attribute() Attribute { return Attribute{"candidate", c.String()} }
