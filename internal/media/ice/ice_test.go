package ice

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"dialtone/internal/sdp"
)

const peerUfrag = "peerfrag"

var (
	alice = netip.MustParseAddrPort("192.0.2.1:4000")
	bob   = netip.MustParseAddrPort("[2001:db8::2]:5000")
	carol = netip.MustParseAddrPort("198.51.100.3:6000")
)

func agent(t testing.TB) *Agent {
	t.Helper()
	a, err := New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// number is an attribute of four bytes, or of eight.
func number(kind stun.AttrType, value ...byte) stun.RawAttribute {
	return stun.RawAttribute{Type: kind, Value: value}
}

func priority(n byte) stun.RawAttribute { return number(stun.AttrPriority, 0, 0, 0, n) }

var (
	useCandidate = number(stun.AttrUseCandidate)
	controlling  = number(stun.AttrICEControlling, 1, 2, 3, 4, 5, 6, 7, 8)
	controlled   = number(stun.AttrICEControlled, 1, 2, 3, 4, 5, 6, 7, 8)
)

// check is a Binding request as a peer sends it.
func check(t testing.TB, ufrag, theirs, pwd string, more ...stun.Setter) []byte {
	t.Helper()
	setters := []stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag + ":" + theirs)}
	setters = append(append(setters, more...), stun.NewShortTermIntegrity(pwd), stun.Fingerprint)
	m, err := stun.Build(setters...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// send hands in a check with the agent's present credentials.
func send(t testing.TB, a *Agent, from netip.AddrPort, now time.Duration, more ...stun.Setter) Verdict {
	t.Helper()
	ufrag, pwd := a.Credentials()
	reply, verdict := a.Handle(nil, check(t, ufrag, peerUfrag, pwd, more...), from, now)
	if verdict >= Accepted {
		succeeded(t, reply, pwd, from)
	}
	return verdict
}

// succeeded checks a reply as a peer does.
func succeeded(t testing.TB, reply []byte, pwd string, from netip.AddrPort) {
	t.Helper()
	var m stun.Message
	if _, err := m.Write(reply); err != nil {
		t.Fatal(err)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(&m); err != nil || m.Type != stun.BindingSuccess {
		t.Fatalf("%v %v", m.Type, err)
	}
	if addr, _ := netip.AddrFromSlice(mapped.IP); addr.Unmap() != from.Addr().Unmap() || mapped.Port != int(from.Port()) {
		t.Errorf("mapped %v, not %v", mapped, from)
	}
	if err := stun.NewShortTermIntegrity(pwd).Check(&m); err != nil {
		t.Error(err)
	}
	if err := stun.Fingerprint.Check(&m); err != nil {
		t.Error(err)
	}
}

func selected(t *testing.T, a *Agent, want netip.AddrPort) {
	t.Helper()
	if got, ok := a.Selected(); got != want || ok != want.IsValid() {
		t.Fatalf("selected %v, want %v", got, want)
	}
}

func TestCredentials(t *testing.T) {
	a, b := agent(t), agent(t)
	ufrag, pwd := a.Credentials()
	if other, _ := b.Credentials(); other == ufrag {
		t.Error("two agents with one user fragment")
	}
	d := sdp.Description{Media: []sdp.Media{{Attributes: []sdp.Attribute{{Name: "ice-ufrag", Value: ufrag}, {Name: "ice-pwd", Value: pwd}}}}}
	if ice, ok := d.ICE(0); !ok || ice.Ufrag != ufrag || ice.Pwd != pwd {
		t.Errorf("%q %q are no credentials for a description", ufrag, pwd)
	}
	if _, err := New(strings.NewReader("short")); err == nil {
		t.Error("credentials without randomness")
	}
}

func TestNomination(t *testing.T) {
	a := agent(t)
	a.Remote(peerUfrag, "")
	if v := send(t, a, alice, 0, priority(9), controlling); v != Accepted {
		t.Fatal(v)
	}
	selected(t, a, netip.AddrPort{})
	if !a.Verified(alice) || a.Verified(bob) || !a.Fresh(29*time.Second) || a.Fresh(30*time.Second) {
		t.Error("a check verifies its address, for thirty seconds")
	}
	if v := send(t, a, alice, time.Second, priority(9), useCandidate); v != Moved {
		t.Fatal(v)
	}
	selected(t, a, alice)
	if v := send(t, a, netip.MustParseAddrPort("[::ffff:192.0.2.1]:4000"), time.Second, priority(9), useCandidate); v != Accepted {
		t.Error("the same address in another form:", v)
	}
	if v := send(t, a, bob, 40*time.Second, priority(7)); v != Accepted || a.Fresh(40*time.Second) {
		t.Error("consent of another address than the selected:", v)
	}
	if v := send(t, a, bob, 40*time.Second, priority(7), useCandidate); v != Moved {
		t.Error("the selected is silent, another nominated:", v)
	}
	selected(t, a, bob)
}

func TestManyNominated(t *testing.T) {
	// Aggressive nomination (RFC 5245 §8.1.1.2): the highest priority holds, in whatever order they come.
	for _, order := range [][]byte{{1, 2, 3}, {3, 2, 1}, {2, 3, 1}, {3, 1, 2}} {
		a := agent(t)
		a.Remote(peerUfrag, "")
		for _, p := range order {
			send(t, a, netip.AddrPortFrom(alice.Addr(), uint16(p)), 0, priority(p), useCandidate)
		}
		selected(t, a, netip.AddrPortFrom(alice.Addr(), 3))
	}
	// A change of mind: the worse pair again and again, the better no more.
	a := agent(t)
	a.Remote(peerUfrag, "")
	send(t, a, alice, 0, priority(9), useCandidate)
	send(t, a, bob, time.Second, priority(5), useCandidate)
	send(t, a, alice, time.Second, priority(9), useCandidate)
	send(t, a, bob, 2*time.Second, priority(5), useCandidate)
	selected(t, a, alice)
	send(t, a, bob, 3*time.Second, priority(5), useCandidate)
	selected(t, a, bob)
	// A request that is sent again is not a second nomination.
	ufrag, pwd := a.Credentials()
	b := check(t, ufrag, peerUfrag, pwd, priority(4), useCandidate)
	for range 3 {
		a.Handle(nil, b, carol, 3*time.Second)
	}
	selected(t, a, bob)
}

func TestChecksBeforeTheAnswer(t *testing.T) {
	a := agent(t)
	if v := send(t, a, alice, 0, priority(2), useCandidate); v != Accepted {
		t.Fatal(v)
	}
	ufrag, pwd := a.Credentials()
	if _, v := a.Handle(nil, check(t, ufrag, "someoneelse", pwd, priority(9), useCandidate), bob, 0); v != Accepted {
		t.Fatal(v)
	}
	if a.Verified(alice) || a.Verified(bob) || a.Fresh(0) {
		t.Error("verified although nobody has answered")
	}
	selected(t, a, netip.AddrPort{})
	a.Remote(peerUfrag, "")
	selected(t, a, alice)
	if !a.Verified(alice) || a.Verified(bob) || !a.Fresh(0) {
		t.Error("not verified although the answer is here")
	}
	// Another party has answered in its place.
	a.Remote("someoneelse", "")
	selected(t, a, bob)
	a.Remote("nobody", "")
	selected(t, a, netip.AddrPort{})
}

func TestRefusals(t *testing.T) {
	a := agent(t)
	a.Remote(peerUfrag, "")
	ufrag, pwd := a.Credentials()
	user := stun.NewUsername(ufrag + ":" + peerUfrag)
	build := func(setters ...stun.Setter) []byte {
		return stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, setters...)...).Raw
	}
	strange := number(0x7777, 1, 2, 3, 4)
	for _, tt := range []struct {
		name string
		b    []byte
		code stun.ErrorCode // 0: silence
	}{
		{"no integrity", build(user, stun.Fingerprint), 400},
		{"wrong password", check(t, ufrag, peerUfrag, pwd+"x", useCandidate), 401},
		{"unknown attribute", check(t, ufrag, peerUfrag, pwd, strange, useCandidate), 420},
		{"both are controlled", check(t, ufrag, peerUfrag, pwd, controlled, useCandidate), 487},
		{"no fingerprint", build(user, stun.NewShortTermIntegrity(pwd)), 0},
		{"unknown user fragment", check(t, "nobody", peerUfrag, pwd), 0},
		{"prefix of the user fragment", check(t, ufrag[:7], peerUfrag, pwd), 0},
		{"user fragment and more", check(t, ufrag+"x", peerUfrag, pwd), 0},
		{"long user fragment", check(t, ufrag, strings.Repeat("x", 257), pwd), 0},
		{"no username", build(stun.NewShortTermIntegrity(pwd), stun.Fingerprint), 0},
		{"indication", stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.Fingerprint).Raw, 0},
		{"response", stun.MustBuild(stun.TransactionID, stun.BindingSuccess, stun.Fingerprint).Raw, 0},
		{"allocate", stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), user, stun.NewShortTermIntegrity(pwd), stun.Fingerprint).Raw, 0},
		{"nothing", nil, 0},
		{"RTP", append([]byte{0x80, 0}, make([]byte, 30)...), 0},
	} {
		reply, verdict := a.Handle([]byte("head"), tt.b, alice, 0)
		if tt.code == 0 {
			if verdict != Dropped || string(reply) != "head" {
				t.Errorf("%s: %v, reply %x", tt.name, verdict, reply)
			}
			continue
		}
		var m stun.Message
		var code stun.ErrorCodeAttribute
		if _, err := m.Write(reply[4:]); err != nil || verdict != Refused || code.GetFrom(&m) != nil || code.Code != tt.code || stun.Fingerprint.Check(&m) != nil {
			t.Errorf("%s: %v, %v", tt.name, verdict, code)
		}
		if signed := stun.NewShortTermIntegrity(pwd).Check(&m) == nil; signed != (tt.code >= 420) {
			t.Errorf("%s: integrity %v", tt.name, signed)
		}
		var unknown stun.UnknownAttributes
		if err := unknown.GetFrom(&m); tt.code == 420 && (err != nil || !reflect.DeepEqual(unknown, stun.UnknownAttributes{0x7777})) {
			t.Errorf("%s: %v %v", tt.name, err, unknown)
		}
		if len(reply)-4 > len(tt.b)+36 {
			t.Errorf("%s: %d bytes are answered with %d", tt.name, len(tt.b), len(reply)-4)
		}
	}
	if a.Verified(alice) || len(a.pairs) != 0 {
		t.Error("an address is verified by a check that was not accepted")
	}
	good := check(t, ufrag, peerUfrag, pwd, useCandidate, priority(4))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, v := a.Handle(nil, bad, alice, 0); v >= Accepted {
			t.Errorf("accepted with byte %d changed", i)
		}
	}
	// An attribute behind the integrity was not written by the peer (RFC 8489 §14.5).
	m := stun.MustBuild(stun.TransactionID, stun.BindingRequest, user, stun.NewShortTermIntegrity(pwd), useCandidate, stun.Fingerprint)
	if _, v := a.Handle(nil, m.Raw, alice, 0); v != Accepted {
		t.Errorf("USE-CANDIDATE behind the integrity: %v", v)
	}
}

func TestRestart(t *testing.T) {
	a := agent(t)
	a.Remote(peerUfrag, "")
	oldUfrag, oldPwd := a.Credentials()
	send(t, a, alice, 0, priority(9), useCandidate)
	if err := a.Restart(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if ufrag, pwd := a.Credentials(); ufrag == oldUfrag || pwd == oldPwd {
		t.Fatal("the same credentials")
	}
	selected(t, a, alice)
	if !a.Verified(alice) || !a.Fresh(time.Second) {
		t.Error("the selected address is lost while ICE restarts")
	}
	reply, v := a.Handle(nil, check(t, oldUfrag, peerUfrag, oldPwd), alice, 20*time.Second)
	if v != Accepted || !a.Fresh(49*time.Second) {
		t.Error("consent with the old credentials:", v)
	}
	succeeded(t, reply, oldPwd, alice)
	ufrag, pwd := a.Credentials()
	if _, v := a.Handle(nil, check(t, ufrag, "newfrag", pwd, priority(1), useCandidate), bob, 21*time.Second); v != Accepted {
		t.Error(v)
	}
	selected(t, a, alice)
	if err := a.Restart(strings.NewReader("")); err == nil {
		t.Error("a restart without randomness")
	}
	through(t, a)
	a.Remote("newfrag", "")
	selected(t, a, bob)
	if a.Verified(alice) {
		t.Error("verified by credentials that are no more")
	}
	if _, v := a.Handle(nil, check(t, oldUfrag, peerUfrag, oldPwd), alice, 20*time.Second); v != Dropped {
		t.Error("old credentials after the restart:", v)
	}
	// Two restarts in a row, the first without an answer.
	for range 2 {
		if err := a.Restart(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	if _, v := a.Handle(nil, check(t, ufrag, "newfrag", pwd), bob, 22*time.Second); v != Accepted || !a.Verified(bob) {
		t.Error("the credentials that were last in use:", v)
	}
	selected(t, a, bob)
}

// through sends the state of an agent through JSON.
func through(t *testing.T, a *Agent) *Agent {
	t.Helper()
	b, err := json.Marshal(a.State())
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	r, err := Restore(s, 100*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.State(), a.State()) {
		t.Errorf("restored %s\nfrom %s", b, fmt.Sprint(r.State()))
	}
	return r
}

func TestState(t *testing.T) {
	a := agent(t)
	a.Remote(peerUfrag, "theirpassword")
	send(t, a, alice, 0, priority(9), useCandidate)
	send(t, a, bob, 0, priority(8))
	r := through(t, a)
	selected(t, r, alice)
	if !r.Verified(bob) || r.Verified(carol) || !r.Fresh(129*time.Second) || r.Fresh(130*time.Second) {
		t.Error("what was verified is so for thirty seconds")
	}
	if v := send(t, r, alice, 110*time.Second); v != Accepted {
		t.Error(v)
	}
	for _, s := range []State{{}, {Ufrag: "x", Pwd: "y", Verified: make([]netip.AddrPort, 33)}} {
		if _, err := Restore(s, 0); err == nil {
			t.Errorf("%v restored", s)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "agent", a, "state", a.State())
	_, pwd := a.Credentials()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&log, verb+verb, a, a.State())
	}
	if strings.Contains(log.String(), pwd) || strings.Contains(log.String(), "theirpassword") {
		t.Error("a password is shown:", log.String())
	}
}

func TestManyAddresses(t *testing.T) {
	a := agent(t)
	a.Remote(peerUfrag, "")
	send(t, a, alice, 0, priority(9), useCandidate)
	for i := range 100 {
		send(t, a, netip.AddrPortFrom(carol.Addr(), uint16(i+1)), time.Duration(i+1), priority(1))
	}
	if len(a.pairs) != maxPairs {
		t.Errorf("%d pairs", len(a.pairs))
	}
	selected(t, a, alice)
	if !a.Verified(alice) || !a.Verified(netip.AddrPortFrom(carol.Addr(), 100)) || a.Verified(netip.AddrPortFrom(carol.Addr(), 1)) {
		t.Error("not the oldest were forgotten")
	}
}

func TestCandidates(t *testing.T) {
	lines := Candidates([]netip.AddrPort{alice, bob, netip.MustParseAddrPort("[::ffff:192.0.2.1]:9")}, 2)
	var got []string
	for i := range lines {
		got = append(got, lines[i].String())
		if _, err := sdp.ParseCandidate(lines[i].String()); err != nil {
			t.Error(err)
		}
	}
	// 126<<24 + 65535<<8 + 254
	want := []string{"1 2 UDP 2130706430 192.0.2.1 4000 typ host", "2 2 UDP 2130706174 2001:db8::2 5000 typ host", "1 2 UDP 2130705918 192.0.2.1 9 typ host"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

func TestUsername(t *testing.T) {
	b := check(t, "ours", "theirs", "p")
	if got, ok := Username(b); !ok || string(got) != "ours" {
		t.Errorf("%q %v", got, ok)
	}
	for _, b := range [][]byte{nil, b[:len(b)-4], stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw, stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("x")).Raw} {
		if got, ok := Username(b); ok {
			t.Errorf("%q from %x", got, b)
		}
	}
}

func TestAnswer(t *testing.T) {
	for _, from := range []netip.AddrPort{alice, bob} {
		for _, setters := range [][]stun.Setter{{stun.TransactionID, stun.BindingRequest}, {stun.TransactionID, stun.BindingRequest, stun.NewSoftware("x"), stun.Fingerprint}} {
			request := stun.MustBuild(setters...)
			reply, ok := Answer([]byte("head"), request.Raw, from)
			if !ok {
				t.Fatal("no answer")
			}
			var m stun.Message
			var mapped stun.XORMappedAddress
			if _, err := m.Write(reply[4:]); err != nil || m.TransactionID != request.TransactionID || mapped.GetFrom(&m) != nil || mapped.Port != int(from.Port()) || mapped.IP.String() != from.Addr().String() {
				t.Errorf("%v %v", err, mapped)
			}
			if m.Contains(stun.AttrFingerprint) != request.Contains(stun.AttrFingerprint) {
				t.Error("fingerprint")
			}
		}
	}
	reply, ok := Answer(nil, stun.MustBuild(stun.TransactionID, stun.BindingRequest, number(0x0003, 0, 0, 0, 6)).Raw, alice)
	var m stun.Message
	var code stun.ErrorCodeAttribute
	if _, err := m.Write(reply); !ok || err != nil || code.GetFrom(&m) != nil || code.Code != 420 {
		t.Errorf("CHANGE-REQUEST: %v %v", ok, code)
	}
	broken := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint).Raw
	broken[len(broken)-1] ^= 1
	for _, b := range [][]byte{nil, broken, check(t, "a", "b", "c"), stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw} {
		if reply, ok := Answer(nil, b, alice); ok {
			t.Errorf("%x is answered with %x", b, reply)
		}
	}
}

func TestAllocations(t *testing.T) {
	a := agent(t)
	a.Remote(peerUfrag, "")
	ufrag, pwd := a.Credentials()
	good := check(t, ufrag, peerUfrag, pwd, priority(5), controlling, useCandidate)
	stranger := check(t, "stranger", peerUfrag, pwd, priority(5))
	buffer := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		if _, v := a.Handle(buffer, good, alice, 0); v < Accepted {
			t.Fatal(v)
		}
		if _, v := a.Handle(buffer, stranger, alice, 0); v != Dropped {
			t.Fatal(v)
		}
		if !a.Verified(alice) || !a.Fresh(0) {
			t.Fatal("not verified")
		}
	}); n > poolLosses {
		t.Errorf("%v allocations", n)
	}
}

// FuzzHandle: whatever arrives, only what was signed with our password is accepted, and a reply is a STUN response that
// is little longer than what it answers.
func FuzzHandle(f *testing.F) {
	a := &Agent{ours: credentials{"oursours", []byte("ourpasswordourpassword")}}
	a.Remote(peerUfrag, "")
	ufrag, pwd := a.Credentials()
	f.Add(check(f, ufrag, peerUfrag, pwd, priority(5), controlling, useCandidate))
	f.Add(check(f, ufrag, peerUfrag, "wrong", controlled))
	f.Add(check(f, ufrag, peerUfrag, pwd, number(0x7777), number(0x0001)))
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		a := &Agent{ours: credentials{ufrag, []byte(pwd)}}
		a.Remote(peerUfrag, "")
		before := bytes.Clone(b)
		reply, verdict := a.Handle(nil, b, alice, 0)
		answer, answered := Answer(nil, b, alice)
		if !bytes.Equal(b, before) {
			t.Fatal("the datagram is changed")
		}
		if verdict >= Accepted {
			var m stun.Message
			if _, err := m.Write(b); err != nil || stun.NewShortTermIntegrity(pwd).Check(&m) != nil {
				t.Fatal("accepted without our password")
			}
		} else if len(a.pairs) != 0 {
			t.Fatal("an address is remembered")
		}
		if (verdict == Dropped) != (len(reply) == 0) || answered && verdict != Dropped {
			t.Fatalf("%v with a reply of %d bytes", verdict, len(reply))
		}
		for _, r := range [][]byte{reply, answer} {
			if len(r) == 0 {
				continue
			}
			var m stun.Message
			if _, err := m.Write(r); err != nil || m.Type.Method != stun.MethodBinding || m.Type.Class == stun.ClassRequest || len(r) > len(b)+64 {
				t.Fatalf("%d bytes are answered with %x", len(b), r)
			}
		}
		if name, ok := Username(b); ok && bytes.IndexByte(name, ':') >= 0 {
			t.Fatalf("user fragment %q", name)
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	a := agent(b)
	a.Remote(peerUfrag, "")
	ufrag, pwd := a.Credentials()
	good := check(b, ufrag, peerUfrag, pwd, priority(5), controlling, useCandidate)
	stranger := check(b, "stranger", peerUfrag, pwd, priority(5))
	buffer := make([]byte, 0, 256)
	for name, datagram := range map[string][]byte{"accepted": good, "stranger": stranger} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.Handle(buffer, datagram, alice, 0)
			}
		})
	}
}
