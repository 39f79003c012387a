package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/nexthop"
	"dialtone/internal/sip"
)

func TestRank(t *testing.T) {
	order := []int{600, 300, 401, 415, 400, 404, 408, 487, 500, 503}
	for i := range order[1:] {
		if rank(order[i]) >= rank(order[i+1]) {
			t.Errorf("%d is not before %d", order[i], order[i+1])
		}
	}
	for status := 300; status < 700; status++ {
		if status/100 != 6 && rank(status) <= rank(603) {
			t.Errorf("%d is before a 6xx", status)
		}
	}
}

func TestBest(t *testing.T) {
	for _, c := range []struct {
		statuses []int
		want     int
	}{
		{nil, -1}, {[]int{0, 0}, -1}, {[]int{0, 486}, 1}, {[]int{200, 486}, 1}, {[]int{486, 486}, 0}, {[]int{503, 599}, 1}, {[]int{401, 407}, 0},
		{[]int{404, 302, 600, 603}, 2},
	} {
		f := fork{}
		for _, s := range c.statuses {
			f.attempts = append(f.attempts, attempt{status: s})
		}
		if got := f.best(); got != c.want {
			t.Errorf("best of %v is %d, want %d", c.statuses, got, c.want)
		}
	}
}

func TestPermissionFor(t *testing.T) {
	ours, configured, foreign := destination{tenant: &directory.Tenant{}}, destination{set: &nexthop.Set{}}, destination{}
	prefixed := destination{tenant: &directory.Tenant{}, set: &nexthop.Set{}}
	onward := destination{set: &nexthop.Set{}, onRoute: true}
	for _, c := range []struct {
		name    string
		vouched bool
		next    string
		d       destination
		claims  bool
		want    permission
	}{
		{"stranger to a line", false, "", ours, false, granted},
		{"line to a line", false, "", ours, true, wanted},
		{"stranger to a foreign domain", false, "", foreign, false, wanted},
		{"line to a foreign domain", false, "", foreign, true, wanted},
		{"stranger to a configured domain", false, "", configured, false, granted},
		{"line to a configured domain", false, "", configured, true, wanted},
		{"stranger to a number with a prefix", false, "", prefixed, false, wanted},
		{"line to a number with a prefix", false, "", prefixed, true, wanted},
		{"inside a dialog, to a number with a prefix", true, "", prefixed, false, granted},
		{"stranger along a Route, to a line", false, "sip:x", ours, false, wanted},
		{"stranger along a Route, to a configured domain", false, "sip:x", configured, false, wanted},
		{"stranger along a Route, to the next hop of the domain", false, "sip:h", onward, false, granted},
		{"line along a Route, to the next hop of the domain", false, "sip:h", onward, true, wanted},
		{"inside a dialog, to a foreign domain", true, "", foreign, false, granted},
		{"inside a dialog, along a Route", true, "sip:x", foreign, true, granted},
	} {
		course := course{vouched: c.vouched}
		if c.next != "" {
			course.next = []byte(c.next)
		}
		if got := permissionFor(&course, c.d, c.claims); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestIsSameHop(t *testing.T) {
	for _, c := range []struct {
		route, hop string
		want       bool
	}{
		{"sip:192.0.2.9:5060;lr", "sip:192.0.2.9", true}, {"sip:HOME.example;lr", "sip:home.example:5060", true},
		{"sip:192.0.2.9:5061;lr", "sip:192.0.2.9", false}, {"sip:192.0.2.8;lr", "sip:192.0.2.9", false},
		{"sips:192.0.2.9;lr", "sip:192.0.2.9", false}, {"sip:192.0.2.9;maddr=192.0.2.8;lr", "sip:192.0.2.9", false}, {"tel:1", "sip:1", false},
	} {
		if got := isSameHop([]byte(c.route), []byte(c.hop)); got != c.want {
			t.Errorf("%s and %s: %v", c.route, c.hop, got)
		}
	}
	if isSameHop(nil, []byte("sip:h")) {
		t.Error("no Route leads nowhere")
	}
}

func TestBreadth(t *testing.T) {
	for _, c := range []struct {
		value   uint32
		present bool
		want    int
	}{{0, false, 60}, {0, true, 0}, {1, true, 1}, {60, true, 60}, {61, true, 60}, {1 << 31, true, 60}} {
		if got := breadthOf(c.value, c.present); got != c.want {
			t.Errorf("breadthOf(%d, %v) = %d", c.value, c.present, got)
		}
	}
	for b := range 61 {
		for n := 1; n < 80; n++ {
			if s := share(b, n); s*n > b || s == 0 && b >= n {
				t.Errorf("share(%d, %d) = %d", b, n, s)
			}
		}
	}
}

// simulation plays random events against a fork and checks what must always hold: RFC 3261 §16.7.
type simulation struct {
	t         *testing.T
	f         fork
	running   map[int]bool
	started   map[int]bool
	cancelled map[int]bool
	finals    int // non-2xx finals sent upstream
	accepted  int // 2xx sent upstream
	log       []string
}

func (s *simulation) obey(what string, o orders) {
	s.log = append(s.log, fmt.Sprintf("%s -> %+v", what, o))
	for _, i := range o.cancel {
		if !s.running[i] || s.cancelled[i] || !s.f.invite {
			s.fault("cancels %d, which is not running", i)
		}
		s.cancelled[i] = true
	}
	for _, i := range o.start {
		switch {
		case s.started[i]:
			s.fault("starts %d again", i)
		case s.accepted > 0 || s.f.cancelled:
			s.fault("starts %d when all is decided", i)
		case !o.instead && len(s.running) > 0 && s.f.attempts[i].group != s.groupRunning():
			s.fault("starts %d beside another group", i)
		}
		s.started[i], s.running[i] = true, true
	}
	if o.finish {
		s.finals++
		if len(s.running) > 0 || s.accepted > 0 || s.finals > 1 {
			s.fault("finishes with %d running, %d accepted, %d finals", len(s.running), s.accepted, s.finals)
		}
	}
}

func (s *simulation) groupRunning() int {
	for i := range s.running {
		return s.f.attempts[i].group
	}
	return -1
}

func (s *simulation) fault(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf(format+"\n%v", append(args, s.log)...)
}

func (s *simulation) step(r *rand.Rand) {
	running := make([]int, 0, len(s.running))
	for i := range s.running {
		running = append(running, i)
	}
	slices.Sort(running)
	i := running[r.IntN(len(running))]
	switch r.IntN(7) {
	case 6: // a redirection to some new targets, one group or two
		if s.f.stopped || len(s.f.attempts) > 20 {
			return
		}
		first, group := len(s.f.attempts), 100+len(s.f.attempts)
		for n := r.IntN(4); n > 0; n-- {
			group += r.IntN(2)
			s.f.attempts = append(s.f.attempts, attempt{group: group})
		}
		delete(s.running, i)
		o := s.f.onRedirect(i, 302*r.IntN(2), first)
		if o.forward || len(o.cancel) > 0 || first < len(s.f.attempts) && len(o.start) == 0 {
			s.fault("a redirection of %d to %d more", i, len(s.f.attempts)-first)
		}
		s.obey(fmt.Sprint(i, " redirected"), o)
	case 0:
		o := s.f.onProvisional(i)
		if o.forward != (s.accepted == 0) {
			s.fault("a provisional response of %d is forwarded: %v", i, o.forward)
		}
		s.obey("provisional", o)
	case 1:
		o := s.f.onTimerC(i)
		if s.f.attempts[i].stage == ended { // without a provisional response it is over at once
			delete(s.running, i)
		}
		s.obey("timer C", o)
	case 2:
		s.obey("cancel", s.f.onCancel())
	default:
		statuses := []int{200, 302, 404, 408, 486, 487, 503, 603}
		status := statuses[r.IntN(len(statuses))]
		delete(s.running, i)
		o := s.f.onFinal(i, status)
		if status == 200 {
			if want := s.f.invite || s.accepted == 0; o.forward != want {
				s.fault("a 200 is forwarded: %v", o.forward)
			}
			s.accepted++
		}
		s.obey(fmt.Sprint(i, " ", status), o)
	}
}

func TestForkAlwaysAnswersOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 20000 {
		s := &simulation{t: t, running: map[int]bool{}, started: map[int]bool{}, cancelled: map[int]bool{}}
		s.f.invite = round%3 != 0
		group := 0
		for n := r.IntN(6); n >= 0; n-- {
			group += r.IntN(2)
			s.f.attempts = append(s.f.attempts, attempt{group: group})
		}
		s.obey("begin", s.f.begin())
		for len(s.running) > 0 {
			s.step(r)
		}
		if s.accepted == 0 && s.finals != 1 {
			s.fault("ended with %d answers", s.finals)
		}
	}
}

func TestTimerCOfAFork(t *testing.T) {
	f := fork{invite: true, attempts: []attempt{{}, {group: 1}}}
	f.begin()
	f.onProvisional(0)
	if o := f.onTimerC(0); len(o.cancel) != 1 || o.finish || len(o.start) > 0 {
		t.Errorf("after a provisional response: %+v", o)
	}
	if o := f.onFinal(0, 487); len(o.start) != 1 || f.attempts[0].status != 408 {
		t.Errorf("a 487 after timer C: %+v, status %d", o, f.attempts[0].status)
	}
	if o := f.onTimerC(1); !o.finish || f.attempts[1].status != 408 {
		t.Errorf("without one: %+v, status %d", o, f.attempts[1].status)
	}
	f = fork{invite: true, attempts: []attempt{{}}}
	f.begin()
	f.onProvisional(0)
	f.onTimerC(0)
	if o := f.onFinal(0, 200); !o.forward { // it was quicker than the CANCEL
		t.Errorf("a 200 after timer C: %+v", o)
	}
}

func message(t testing.TB, text string) *sip.Message {
	t.Helper()
	m := &sip.Message{}
	if err := m.Parse(bytes.ReplaceAll([]byte(text), []byte("\n"), []byte("\r\n"))); err != nil {
		t.Fatal(err)
	}
	return m
}

const sample = "INVITE sip:a@h SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\nRoute: <sip:r;lr>\nFrom: <sip:f@h>;tag=1\nTo: <sip:a@h>\nCall-ID: c\nCSeq: 7 INVITE\nProxy-Require: p\n\n"

// RFC 5393 §4.2.1: the second part varies with all that decides where a request goes, and not with the method.
func TestLoopPart(t *testing.T) {
	key := Key{1}
	part := func(old, new, place string) uint64 {
		m := message(t, string(bytes.Replace([]byte(sample), []byte(old), []byte(new), 1)))
		return key.loopPart(place, &course{uri: m.RequestURI()}, m)
	}
	usual := part("", "", "one")
	for _, c := range []struct {
		old, new, place string
		same            bool
	}{
		{"sip:a@h SIP", "sip:b@h SIP", "one", false}, {"<sip:r;lr>", "<sip:q;lr>", "one", false}, {"tag=1", "tag=2", "one", false},
		{"<sip:a@h>", "<sip:a@h>;tag=5", "one", false}, {"Call-ID: c", "Call-ID: d", "one", false}, {"7 INVITE", "8 INVITE", "one", false},
		{"Require: p", "Require: q", "one", false}, {"", "", "two", false},
		{"branch=z9hG4bKx", "branch=z9hG4bKy", "one", true}, {"From: <sip:f@h>", "From: <sip:g@h>", "one", true},
	} {
		if got := part(c.old, c.new, c.place) == usual; got != c.same {
			t.Errorf("%q for %q at %s: same %v", c.new, c.old, c.place, got)
		}
	}
	m := message(t, sample)
	ack := message(t, string(bytes.ReplaceAll([]byte(sample), []byte("INVITE"), []byte("CANCEL"))))
	if key.loopPart("", &course{uri: m.RequestURI()}, m) != key.loopPart("", &course{uri: ack.RequestURI()}, ack) {
		t.Error("varies with the method")
	}
	if a, b := key.steadyID(m), key.steadyID(ack); a != b {
		t.Error("CANCEL is another transaction than its INVITE")
	}
}

func TestMarks(t *testing.T) {
	key, other := Key{1}, Key{2}
	call := []byte("call")
	branch := key.appendBranch(nil, 77, 99, call)
	loop, ok := key.made(branch, call)
	if !ok || !equalHex(loop, 99) {
		t.Errorf("made(%s) = %s, %v", branch, loop, ok)
	}
	steady := key.appendSteadyBranch(nil, 77, call)
	if loop, ok := key.made(steady, call); !ok || loop != nil || !isSteady(steady) || isSteady(branch) {
		t.Errorf("made(%s) = %s, %v", steady, loop, ok)
	}
	for _, b := range [][]byte{branch, steady} {
		if _, ok := other.made(b, call); ok {
			t.Error("another key")
		}
		if _, ok := key.made(b, []byte("other")); ok {
			t.Error("another call")
		}
		for i := range b {
			forged := bytes.Clone(b)
			forged[i] ^= 1
			_, ok := key.made(forged, call)
			// The loop part is not sealed: what it holds can only make a request of one's own a loop.
			if inLoop := len(b) == len(branch) && i > len(statefulHead)+hexLen && i <= len(statefulHead)+2*hexLen; ok != inLoop {
				t.Errorf("forged at %d: %s: %v", i, forged, ok)
			}
		}
	}
	flow := bytes.Repeat([]byte{7}, flowTokenLen)
	for _, flow := range [][]byte{nil, flow} {
		token := key.appendToken(nil, flow, call)
		if got, ok := key.readToken(nil, token, call); !ok || !bytes.Equal(got, flow) {
			t.Errorf("readToken(%s) = %v, %v", token, got, ok)
		}
		if _, ok := key.readToken(nil, token, []byte("other")); ok {
			t.Error("a Record-Route of another call")
		}
		if _, ok := key.readToken(nil, key.appendToken(nil, flow, nil), []byte("any")); !ok {
			t.Error("a Path is for any call")
		}
	}
}

// FuzzMarks: nothing that does not come from the key is taken for a mark.
func FuzzMarks(f *testing.F) {
	key, other := Key{9}, Key{10}
	f.Add([]byte("z9hG4bK-d0123456789abcdef.0123456789abcdef0123456789abcdef"), []byte("c"))
	f.Add(other.appendToken(nil, nil, []byte("c")), []byte("c"))
	f.Add([]byte("AAAAAAAAA\r\n"), []byte("c")) // some decoders pass over line ends
	f.Fuzz(func(t *testing.T, b, call []byte) {
		if _, ok := key.made(b, call); ok {
			t.Errorf("branch %q", b)
		}
		if _, ok := key.readToken(nil, b, call); ok {
			t.Errorf("token %q", b)
		}
		token := key.appendToken(nil, nil, call)
		if _, ok := key.readToken(nil, token, call); !ok {
			t.Errorf("own token %q", token)
		}
	})
}

func TestMarksAllocateNothing(t *testing.T) {
	key, m := Key{1}, message(t, sample)
	c := course{uri: m.RequestURI()}
	buf := make([]byte, 0, 256)
	token := key.appendToken(nil, make([]byte, flowTokenLen), m.CallID())
	var room [flowTokenLen]byte
	if n := testing.AllocsPerRun(100, func() {
		buf = key.appendBranch(buf[:0], 1, key.loopPart("place", &c, m), m.CallID())
		buf = key.appendSteadyBranch(buf[:0], key.steadyID(m), m.CallID())
		buf = key.appendToken(buf[:0], room[:], m.CallID())
		key.readToken(room[:0], token, m.CallID())
		key.looped(m, 5)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
