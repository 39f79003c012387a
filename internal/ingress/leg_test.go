package ingress_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/sip/transport"
	"dialtone/internal/sipleg"
)

// Revive implements sipleg.Reviver.
func (r router) Revive(name string, remote netip.AddrPort) (sipleg.Flow, error) {
	kind, _, _ := strings.Cut(name, " ")
	return r.o.transport.Connect(transport.Target{Kind: transport.ParseKind(kind), Addr: remote})
}

// only is the only live call.
func (o *office) only() *call.Call {
	o.t.Helper()
	records := o.exchange.Calls().Records()
	if len(records) != 1 {
		o.t.Fatalf("%d calls", len(records))
	}
	c, _ := o.exchange.Calls().Call(records[0].ID)
	return c
}

// TestRestoreLeg: a connected leg is written down and taken up by another endpoint: the same state, and a BYE that its party
// understands.
func TestRestoreLeg(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.Do("alice calls bob\nbob -> INFO (text 1)\nbob <- 200\nalice <- INFO (text 1)\nalice -> 200")
		text, err := o.only().Snapshot(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var saved struct {
			Legs []struct {
				ID    string `json:"id"`
				State []byte `json:"state"`
			} `json:"legs"`
		}
		if err := json.Unmarshal(text, &saved); err != nil || len(saved.Legs) != 2 {
			t.Fatalf("%v in %s", err, text)
		}
		// Another process, on another machine with its own ports.
		engine, err := media.New(media.Config{Network: o.network.Host(netip.MustParseAddr("192.0.2.2")), Ports: media.PortRange{Min: 10000, Max: 10999}})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		other := sipleg.New(sipleg.Config{Transactions: o.transactions, Router: router{o}, Media: engine, UserAgent: "Other"})
		var legs []call.Leg
		for _, s := range saved.Legs {
			leg, err := other.RestoreLeg(s.ID, s.State, call.NewMailbox())
			if err != nil {
				t.Fatal(err)
			}
			again, err := leg.State()
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, s.State, again, "totals", "last", "counts") {
				t.Errorf("leg %s:\n%s\n%s", s.ID, s.State, again)
			}
			legs = append(legs, leg)
		}
		if other.Len() != 2 {
			t.Fatalf("%d legs", other.Len())
		}
		leg, err := other.RestoreLeg("z", saved.Legs[0].State, call.NewMailbox())
		if err == nil {
			t.Errorf("the ports are taken, but %v was restored", leg)
		}
		for _, leg := range legs {
			leg.Hangup(cause.Recovered())
		}
		o.Do(`
alice <- BYE
    CSeq: 2 BYE
    Reason: *recovered*
alice -> 200
bob <- BYE
    CSeq: 2 BYE
bob -> 200
`)
		if n := engine.Counters().PortsUsed; n != 0 || other.Len() != 0 {
			t.Errorf("%d ports and %d legs are left", n, other.Len())
		}
		for _, bad := range []string{"", "{}", "null", `{"dialog":{}}`} {
			if leg, err := other.RestoreLeg("x", []byte(bad), call.NewMailbox()); err == nil {
				t.Errorf("%q: %v", bad, leg)
			}
		}
		o.Do("alice leaves bob\nrecord 200/16 normal (caller)")
	})
}

// sameJSON compares two texts without the named fields.
func sameJSON(t *testing.T, a, b []byte, without ...string) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatal("no JSON")
	}
	var strip func(v any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range without {
				delete(v, name)
			}
			for _, e := range v {
				strip(e)
			}
		case []any:
			for _, e := range v {
				strip(e)
			}
		}
	}
	strip(x)
	strip(y)
	return reflect.DeepEqual(x, y)
}

// TestLegsKeepLittle: what a leg of a call that has been held for a while keeps, besides its media and what is shared.
func TestLegsKeepLittle(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.Do(`
alice calls bob
alice -> INVITE (offer sendonly)
bob <- INVITE (offer sendonly)
bob -> 200 (answer recvonly)
bob <- ACK
alice <- 200 (answer recvonly)
alice -> ACK
wait 40s
`)
		if n := o.transactions.Len(); n != 0 {
			t.Errorf("%d transactions", n)
		}
		total := uintptr(0)
		shards := reflect.ValueOf(o.endpoint).Elem().FieldByName("shards")
		for i := range shards.Len() {
			legs := shards.Index(i).FieldByName("legs")
			for it := legs.MapRange(); it.Next(); {
				n := deepSize(it.Value(), map[uintptr]bool{})
				t.Logf("%d bytes in %s", n, it.Key())
				total += n
			}
		}
		if total == 0 || total > 8<<10 {
			t.Errorf("both legs keep %d bytes", total)
		}
		o.Do("alice leaves bob\nrecord 200/16 normal (caller)")
	})
}

// deepSize is what a value keeps alive, except for what legs share or what is not theirs: the endpoint, flows, mailbox,
// media, timers.
func deepSize(v reflect.Value, seen map[uintptr]bool) uintptr {
	switch v.Kind() {
	case reflect.Pointer:
		switch v.Type().Elem() {
		case reflect.TypeFor[sipleg.Endpoint](), reflect.TypeFor[call.Mailbox](), reflect.TypeFor[media.Session](),
			reflect.TypeFor[transport.Flow](), reflect.TypeFor[time.Timer]():
			return 0
		}
		if v.IsNil() || seen[v.Pointer()] {
			return 0
		}
		seen[v.Pointer()] = true
		return v.Type().Elem().Size() + deepSize(v.Elem(), seen)
	case reflect.Interface:
		return deepSize(v.Elem(), seen)
	case reflect.String:
		return uintptr(v.Len())
	case reflect.Slice:
		n := uintptr(v.Cap()) * v.Type().Elem().Size()
		for i := range v.Len() {
			n += deepSize(v.Index(i), seen)
		}
		return n
	case reflect.Struct:
		n := uintptr(0)
		for i := range v.NumField() {
			n += deepSize(v.Field(i), seen)
		}
		return n
	}
	return 0
}
