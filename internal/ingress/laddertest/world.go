package laddertest

import (
	"net/netip"
	"strings"

	"dialtone/internal/network"
)

// World is what a call flow is played in.
type World struct {
	Network  *network.Memory
	Exchange netip.AddrPort // where the parties send to
	// Parties by name: "101@192.0.2.11:5060" is user and address; with "tcp:" in front the party opens a stream to the
	// exchange when it speaks for the first time. Their passwords are "secret-" and the user. Behind it may stand
	// "via 192.0.2.2:5060", the server that it speaks to, and "of example.com", its domain.
	Parties map[string]string
	// Records are the causes of the calls that have ended so far, in the order of their ends. nil: there are none.
	Records func() []string
	// Forwards: the parties speak to proxies. What they receive must be what somebody has sent, but for what a proxy changes.
	Forwards bool
}

// place is where a party is.
type place struct {
	user, domain string
	addr, server netip.AddrPort
	stream       bool
}

// place reads "101@192.0.2.11:5060".
func (w *World) place(text string) (p place, err error) {
	text, p.stream = strings.CutPrefix(text, "tcp:")
	words := strings.Fields(text)
	user, address, _ := strings.Cut(words[0], "@")
	p.user, p.server, p.domain = user, w.Exchange, w.Exchange.Addr().String()
	if p.addr, err = netip.ParseAddrPort(address); err != nil {
		return p, err
	}
	for i := 1; i+1 < len(words); i += 2 {
		switch words[i] {
		case "via":
			if p.server, err = netip.ParseAddrPort(words[i+1]); err != nil {
				return p, err
			}
		case "of":
			p.domain = words[i+1]
		}
	}
	return p, nil
}
