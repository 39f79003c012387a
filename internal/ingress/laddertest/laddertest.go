// Package laddertest runs call flows that are written down the way the RFCs draw them: who sends what to the exchange,
// and what comes back, line by line.
//
//	alice -> INVITE 102 (offer)
//	bob   <- INVITE (offer)
//	bob   -> 180
//	alice <- 180
//	bob   -> 200 (answer)
//	alice <- 200 (answer)
//	alice -> ACK
//	bob   <- ACK
//	wait 5s
//	alice -> BYE
//	alice <- 200
//	bob   <- BYE
//	bob   -> 200
//	record 200/16 normal (caller)
//
// It owns the scripted parties: SIP over datagrams or a stream on a network in memory, one dialog each, no timers and no
// retransmissions of their own, so that whatever repeats itself is the exchange's doing. It does not own the exchange.
//
// Lines. "->" sends, "<-" takes the party's next message and compares it; 100 is passed over unless it is asked for.
// Behind the method or status may stand the method of a response ("200 INVITE"), whom a new call is for ("INVITE 102"),
// a body in parentheses (see body.go) and flags: "again" is byte for byte the same as before, "xN" N times, "merged" the
// same request by another way (a new branch), "auth" with the answer to the last challenge, "as TAG" a response with another
// To tag, "within D" waits longer than the usual 100 ms. "nothing" expects silence. A message that is expected without a body must have none.
//
// Indented lines are headers: "Name: value" replaces the header when sending; when receiving it must match, where * stands
// for anything; "Name: -" is a header that is left out, or must not be there. {name} stands for a value that was captured by an
// expectation of the same form.
//
// "alice/2" is alice in another dialog, which lives beside her first; "via ADDRESS" sends a new request, and what follows
// in its dialog, elsewhere than to her server.
//
// "alice calls bob" stands for the messages of an ordinary call up to the ACK, "alice leaves bob" for those of its end.
// "wait D" lets time pass; "hangup alice" closes her stream; "forget alice" throws away
// what she has heard; "record CAUSE" names the record of the next call that has ended. Everything that is not
// expected by the end is an error.
//
// Goroutines: one reader for each party; Close ends them. It runs inside a synctest bubble.
package laddertest

import (
	"bufio"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
)

// Player plays lines.
type Player struct {
	t       testing.TB
	world   World
	parties map[string]*party
	hosts   map[netip.Addr]*network.Host
	vars    map[string]string
	records int // that were named
	sent    map[string]carried
	where   string
}

// New opens the parties' sockets.
func New(t testing.TB, w World) *Player {
	t.Helper()
	p := &Player{t: t, world: w, parties: map[string]*party{}, hosts: map[netip.Addr]*network.Host{}, vars: map[string]string{}, sent: map[string]carried{}}
	for _, name := range slices.Sorted(maps.Keys(w.Parties)) { // in order: what arrives at one instant is ordered by sender
		place, err := w.place(w.Parties[name])
		if err != nil {
			t.Fatalf("party %s: %v", name, err)
		}
		host := place.addr.Addr()
		if p.hosts[host] == nil {
			p.hosts[host] = w.Network.Host(host)
		}
		p.parties[name] = newParty(p, name, place)
		if !place.stream {
			p.parties[name].bind(p.hosts[host])
		}
	}
	return p
}

// Host is the machine of a party.
func (p *Player) Host(name string) *network.Host { return p.hosts[p.parties[name].addr.Addr()] }

// Close closes the sockets and waits for their readers.
func (p *Player) Close() {
	for _, party := range p.parties {
		party.close()
	}
}

// Finish checks that nothing was left unsaid: no message that nobody expected, and no record that nobody named.
func (p *Player) Finish() {
	p.t.Helper()
	synctest.Wait()
	for _, party := range p.parties {
		for _, r := range party.waiting() {
			p.t.Errorf("nobody expected, at %s:\n%s", party.name, r.Bytes())
		}
	}
	if p.world.Records == nil {
		return
	}
	if all := p.world.Records(); len(all) != p.records {
		p.t.Errorf("records %q, but the ladder names %d", all, p.records)
	}
}

// line is one line of a ladder with the headers below it.
type line struct {
	number  int
	text    string
	headers []header
}

type header struct{ name, value string }

// Play plays a whole ladder.
func (p *Player) Play(name, script string) {
	p.t.Helper()
	lines, err := parse(script)
	if err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
	for i := range lines {
		p.where = fmt.Sprintf("%s:%d: %s", name, lines[i].number, lines[i].text)
		p.step(&lines[i])
		if p.t.Failed() {
			return // what follows would only be a consequence
		}
	}
}

// Do plays a few lines.
func (p *Player) Do(script string) {
	p.t.Helper()
	p.Play("", script)
}

// parse splits a ladder into lines and their headers.
func parse(script string) ([]line, error) {
	var lines []line
	s := bufio.NewScanner(strings.NewReader(script))
	for n := 1; s.Scan(); n++ {
		text := strings.TrimRight(s.Text(), " \t")
		bare := strings.TrimSpace(text)
		switch {
		case bare == "" || strings.HasPrefix(bare, "#"):
		case text[0] == ' ' || text[0] == '\t':
			name, value, ok := strings.Cut(bare, ":")
			if !ok || len(lines) == 0 {
				return nil, fmt.Errorf("line %d: no header: %q", n, bare)
			}
			last := &lines[len(lines)-1]
			last.headers = append(last.headers, header{strings.TrimSpace(name), strings.TrimSpace(value)})
		default:
			lines = append(lines, line{number: n, text: bare})
		}
	}
	return lines, s.Err()
}

func (p *Player) failf(format string, args ...any) {
	p.t.Helper()
	p.t.Errorf("%s\n\t%s", p.where, fmt.Sprintf(format, args...))
}

func (p *Player) step(l *line) {
	p.t.Helper()
	words := strings.Fields(l.text)
	switch words[0] {
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			p.t.Fatalf("%s: %v", p.where, err)
		}
		<-time.After(d)
		synctest.Wait()
		return
	case "hangup": // of the stream of a party
		p.parties[words[1]].close()
		synctest.Wait()
		return
	case "forget": // whatever a party has heard
		p.parties[words[1]].forget()
		return
	case "record":
		p.record(strings.TrimSpace(strings.TrimPrefix(l.text, "record")))
		return
	}
	name, dialog, _ := strings.Cut(words[0], "/")
	party := p.parties[name]
	if party == nil || len(words) < 2 {
		p.t.Fatalf("%s: no such party, or no message", p.where)
	}
	if flow := p.usual(party, words); flow != "" {
		where := p.where
		p.Play(where, withHeaders(flow, l.headers))
		p.where = where
		return
	}
	if len(words) < 3 {
		p.t.Fatalf("%s: no message", p.where)
	}
	who := party.dialogue(dialog)
	m, err := p.parseMove(l)
	if err != nil {
		p.t.Fatalf("%s: %v", p.where, err)
	}
	switch words[1] {
	case "->":
		for range m.times {
			who.send(m)
		}
	case "<-":
		who.expect(m)
	default:
		p.t.Fatalf("%s: neither -> nor <-", p.where)
	}
}

// uri is what a target stands for: a URI, user@domain, or a number of the exchange.
func (p *Player) uri(target string) string {
	switch {
	case strings.HasPrefix(target, "sip") || strings.HasPrefix(target, "tel:") || strings.HasPrefix(target, "urn:"):
		return target
	case strings.Contains(target, "@"):
		return "sip:" + target
	}
	return "sip:" + target + "@" + p.world.Exchange.Addr().String()
}

func (p *Player) record(want string) {
	p.t.Helper()
	for range 100 { // a record follows the last message of its call
		synctest.Wait()
		if len(p.world.Records()) > p.records {
			break
		}
		<-time.After(time.Millisecond)
	}
	all := p.world.Records()
	if len(all) <= p.records {
		p.failf("no record")
		return
	}
	if got := all[p.records]; got != want {
		p.failf("record %q", got)
	}
	p.records++
}

// move is what is sent or expected.
type move struct {
	method  string // of a request, or of the request that a response is for; "" for whatever it is
	status  int    // 0 for a request
	target  string // user or URI of a request outside a dialog
	body    string // what stands in parentheses
	hasBody bool
	again   bool
	merged  bool
	auth    bool
	nothing bool
	tag     string
	via     netip.AddrPort // where the dialog goes instead of the party's server
	times   int
	within  time.Duration
	headers []header
}

// parseMove reads "INVITE 102 (offer) again x3" and the headers.
func (p *Player) parseMove(l *line) (*move, error) {
	_, text, _ := strings.Cut(l.text, " ")
	text = strings.TrimSpace(strings.TrimSpace(text)[2:])
	m := &move{times: 1, within: patience}
	if from := strings.IndexByte(text, '('); from >= 0 {
		to := strings.LastIndexByte(text, ')')
		if to < from {
			return nil, fmt.Errorf("body without an end")
		}
		m.hasBody, m.body = true, text[from+1:to]
		text = text[:from] + " " + text[to+1:]
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, fmt.Errorf("no message")
	}
	if n, err := strconv.Atoi(words[0]); err == nil {
		m.status = n
	} else if m.method = words[0]; m.method == "nothing" {
		m.nothing = true
	}
	for i := 1; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "again":
			m.again = true
		case w == "merged":
			m.merged = true
		case w == "auth":
			m.auth = true
		case w == "within" && i+1 < len(words):
			i++
			d, err := time.ParseDuration(words[i])
			if err != nil {
				return nil, err
			}
			m.within = d
		case w == "via" && i+1 < len(words):
			i++
			to, err := netip.ParseAddrPort(words[i])
			if err != nil {
				return nil, err
			}
			m.via = to
		case w == "as" && i+1 < len(words):
			i++
			m.tag = words[i]
		case len(w) > 1 && w[0] == 'x' && strings.Trim(w[1:], "0123456789") == "":
			m.times, _ = strconv.Atoi(w[1:])
		case m.status > 0 && strings.ToUpper(w) == w:
			m.method = w
		case m.status == 0 && m.target == "":
			m.target = w
		default:
			return nil, fmt.Errorf("what is %q?", w)
		}
	}
	m.headers = l.headers
	return m, nil
}

// fill puts captured values in.
func (p *Player) fill(s string) string {
	for name, value := range p.vars {
		s = strings.ReplaceAll(s, "{"+name+"}", value)
	}
	return s
}

// matches compares a value with a pattern in which * stands for anything; a lone {name} that has no value yet takes it.
func (p *Player) matches(pattern, value string) bool {
	pattern = p.fill(pattern)
	if strings.HasPrefix(pattern, "{") && strings.HasSuffix(pattern, "}") {
		p.vars[pattern[1:len(pattern)-1]] = value
		return true
	}
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == value
	}
	if !strings.HasPrefix(value, parts[0]) {
		return false
	}
	value = value[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, ok := strings.Cut(value, part)
		if !ok {
			return false
		}
		value = rest
	}
	return strings.HasSuffix(value, parts[len(parts)-1])
}
