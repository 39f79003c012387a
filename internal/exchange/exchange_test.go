package exchange_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dialtone/internal/admission"
	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
	"dialtone/internal/cause"
	"dialtone/internal/dialplan"
	"dialtone/internal/directory"
	"dialtone/internal/exchange"
	"dialtone/internal/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var tenant = directory.ID{1}

// locations are bindings by line: "device@address".
type locations struct {
	mu       sync.Mutex
	bindings map[string][]string
}

func (l *locations) Targets(_ directory.ID, line *directory.Line) []call.Target {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ts []call.Target
	for _, b := range l.bindings[line.Number] {
		device, _, _ := strings.Cut(b, "@")
		ts = append(ts, call.Target{Line: line.Number, Device: device, URI: "sip:" + b})
	}
	return ts
}

// office is an exchange with a directory, in virtual time.
type office struct {
	t         *testing.T
	x         *exchange.Exchange
	directory *directory.Directory
	locations *locations
	dialer    *calltest.Dialer
	seen      *calltest.Recorder
}

func inOffice(t *testing.T, act func(o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &office{
			t: t, directory: directory.New(), dialer: &calltest.Dialer{}, seen: &calltest.Recorder{},
			locations: &locations{bindings: map[string][]string{
				"101": {"101@a1", "101-mobile@a2"}, "102": {"102@b1", "102@b2"}, "103": {"103@c1"}, "104": {"104@d1"},
			}},
		}
		var changes []directory.Change
		add := func(obj directory.Object) {
			h := obj.Head()
			if h.ID = directory.NewID(); obj.ObjectKind() == directory.KindTenant {
				h.ID = tenant
			}
			h.Tenant = tenant
			obj.SetDefaults()
			changes = append(changes, directory.Change{After: obj})
		}
		add(&directory.Tenant{Name: "default", Domains: []string{"pbx.example.ir"}})
		site := &directory.Site{Name: "tehran", Country: "IR"}
		add(site)
		add(&directory.Line{Number: "101", Name: "Sara", Site: site.ID})
		add(&directory.Line{Number: "102", Name: "Reza", MaxCalls: 2})
		add(&directory.Line{Number: "103", Product: directory.SIPPhone, Site: site.ID})
		add(&directory.Line{Number: "104"})
		add(&directory.Number{Number: "+982188776655", To: directory.Destination{Kind: directory.ToHangup}})
		add(&directory.Line{Number: "105"})
		add(&directory.Line{Number: "106", Devices: []directory.Device{{Username: "bench", Auth: directory.AuthStatic, Address: "sip:127.0.0.1:26000"}}})
		o.directory.Apply(changes)
		o.x = exchange.New(exchange.Config{
			Directory: o.directory, Locator: o.locations, Dialer: o.dialer, Observer: o.seen, RingTime: 25 * time.Second,
		})
		act(o)
		o.x.Drain(expired(t))
		synctest.Wait()
		if n := o.x.Lines().Total(); n != 0 {
			t.Errorf("%d calls are still counted", n)
		}
	})
}

// expired is a context that is over.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// pass lets virtual time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// calls lets a device of a line call a number.
func (o *office) calls(line, device, dialled string) *calltest.Leg {
	return o.invite(exchange.Invitation{Line: line, Device: device, Dialled: dialplan.Dialled{Number: dialled}, Offer: described("offer"), MaxForwards: 70})
}

func (o *office) invite(inv exchange.Invitation) *calltest.Leg {
	inv.Tenant, inv.Mailbox = tenant, call.NewMailbox()
	a := calltest.NewLeg("a", inv.Mailbox)
	o.x.Inbound(a, inv)
	synctest.Wait()
	return a
}

func described(name string) *sdp.Description { return calltest.Description(name, sdp.SendRecv) }

func (o *office) asked(l *calltest.Leg, want string) {
	o.t.Helper()
	if got := strings.Join(l.Asked(), " / "); got != want {
		o.t.Errorf("leg %s was asked %q, want %q", l.ID(), got, want)
	}
}

// says lets a leg speak.
func (o *office) says(l *calltest.Leg, e call.Event) {
	o.t.Helper()
	if !l.Say(e) {
		o.t.Errorf("%T was not taken", e)
	}
	synctest.Wait()
}

// dialled is the newest leg to a place.
func (o *office) dialled(uri string) *calltest.Leg {
	o.t.Helper()
	legs := o.dialer.Legs()
	for i := len(legs) - 1; i >= 0; i-- {
		if legs[i].Invite.Target.URI == uri {
			return legs[i]
		}
	}
	o.t.Fatalf("%s was not dialled", uri)
	return nil
}

// answers lets a place answer.
func (o *office) answers(uri string) *calltest.Leg {
	o.t.Helper()
	l := o.dialled(uri)
	o.says(l, call.Connected{Leg: l, Description: described("answer")})
	return l
}

func (o *office) inUse(number string) int {
	return o.x.Lines().InUse(admission.Line{Tenant: tenant, Number: number})
}

func TestInboundLineToLine(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.calls("101", "101", "102")
		if n := len(o.dialer.Legs()); n != 2 {
			t.Fatalf("%d places were rung", n)
		}
		b := o.answers("sip:102@b1")
		o.asked(a, "answer answer")
		o.asked(o.dialled("sip:102@b2"), "hangup 200 answered elsewhere")
		if o.inUse("101") != 1 || o.inUse("102") != 1 {
			t.Errorf("counts %d and %d", o.inUse("101"), o.inUse("102"))
		}
		if from := b.Invite.From; from != (call.Side{Number: "101", Name: "Sara", Line: "101", Device: "101"}) {
			t.Errorf("from %+v", from)
		}
		o.says(b, call.Ended{Leg: b})
		r := o.seen.Ended()[0]
		if r.To != (call.Side{Number: "102", Name: "Reza", Line: "102", Device: "102"}) || r.Dialled != "102" || r.Tenant != tenant || r.Direction != call.Internal {
			t.Errorf("record %+v", r)
		}
		if len(r.Path) != 1 || r.Path[0].Step != "dial 102" || !strings.Contains(r.Path[0].Reason, "102 is a line") {
			t.Errorf("path %+v", r.Path)
		}
		if o.inUse("101") != 0 || o.inUse("102") != 0 {
			t.Error("the lines are not free")
		}
	})
}

func TestInboundRefusals(t *testing.T) {
	inOffice(t, func(o *office) {
		for _, tt := range []struct {
			name, dialled, want string
			forwards            int
		}{
			{"unknown number", "555", "hangup 404 unknown number", 70},
			{"nobody registered", "105", "hangup 480 unreachable", 70},
			{"too many hops", "102", "hangup 483 too many hops", 0},
			{"emergency without a trunk", "115", "hangup 404 no route", 70},
			{"number that leads nowhere", "02188776655", "hangup 403 not allowed", 70},
		} {
			a := o.invite(exchange.Invitation{Line: "101", Dialled: dialplan.Dialled{Number: tt.dialled}, Offer: described("o"), MaxForwards: tt.forwards})
			o.asked(a, tt.want)
		}
		if n := len(o.seen.Ended()); n != 5 {
			t.Errorf("%d records: every call has one", n)
		}
		if !o.seen.Ended()[3].Emergency || o.seen.Ended()[0].Emergency {
			t.Error("the emergency call is not marked, or another one is")
		}
		if r := o.seen.Ended()[4]; r.Dialled != "02188776655" || r.DialledE164 != "+982188776655" || r.Number != "+982188776655" {
			t.Errorf("the record says that %q, %q, number %q was dialled", r.Dialled, r.DialledE164, r.Number)
		}
		if n := len(o.dialer.Legs()); n != 0 {
			t.Errorf("%d places were rung", n)
		}
	})
}

func TestInboundNoAnswer(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.calls("101", "101", "104")
		pass(25*time.Second - time.Millisecond)
		o.asked(a, "")
		pass(time.Millisecond)
		o.asked(a, "hangup 480 no answer")
		o.asked(o.dialled("sip:104@d1"), "hangup 480 no answer")
	})
}

// A SIP phone has one call at a time: the second one in is busy, the second one out is refused, a hold frees nothing,
// and an emergency call always passes.
func TestSIPPhoneOneCallAtATime(t *testing.T) {
	inOffice(t, func(o *office) {
		first := o.calls("101", "101", "103")
		if o.inUse("103") != 1 {
			t.Error("a ringing call is not counted")
		}
		second := o.calls("104", "104", "103")
		o.asked(second, "hangup 486 busy")
		out := o.calls("103", "103", "104")
		o.asked(out, "hangup 403 line in use")

		b := o.answers("sip:103@c1")
		o.says(b, call.Updated{Leg: b, Offer: calltest.Description("hold", sdp.SendOnly)})
		o.says(first, call.Answered{Leg: first, Description: described("ok")})
		o.asked(o.calls("104", "104", "103"), "hangup 486 busy")
		o.asked(o.calls("103", "103", "*43"), "hangup 403 line in use")

		// Refused for want of a trunk, not because the line is in use.
		o.asked(o.calls("103", "103", "115"), "hangup 404 no route")

		o.says(first, call.Ended{Leg: first})
		o.asked(b, "respond ok / hangup 200 normal")
		if o.inUse("103") != 0 {
			t.Error("the line is not free")
		}
		third := o.calls("103", "103", "104")
		o.asked(o.calls("101", "101", "103"), "hangup 486 busy")
		o.says(third, call.Ended{Leg: third, Cause: cause.Cancelled()})
		o.asked(o.dialled("sip:104@d1"), "hangup 487 cancelled")
	})
}

func TestMaxCallsOverAllDevices(t *testing.T) {
	inOffice(t, func(o *office) {
		o.calls("102", "102", "104")
		o.calls("101", "101", "102")
		o.asked(o.calls("104", "104", "102"), "hangup 486 busy")
		o.asked(o.calls("102", "102-other", "101"), "hangup 403 line in use")
	})
}

func TestLineCallsItself(t *testing.T) {
	places := func(o *office) string {
		var uris []string
		for _, l := range o.dialer.Legs() {
			uris = append(uris, l.Invite.Target.URI)
		}
		return strings.Join(uris, " ")
	}
	t.Run("the only place of its device", func(t *testing.T) {
		inOffice(t, func(o *office) {
			o.calls("101", "101", "101")
			if got := places(o); got != "sip:101-mobile@a2" {
				t.Errorf("rang %s", got)
			}
		})
	})
	t.Run("known by its Contact", func(t *testing.T) {
		inOffice(t, func(o *office) {
			o.invite(exchange.Invitation{Line: "102", Device: "102", Contact: "sip:102@b1", Dialled: dialplan.Dialled{Number: "102"}, Offer: described("o"), MaxForwards: 70})
			if got := places(o); got != "sip:102@b2" {
				t.Errorf("rang %s", got)
			}
		})
	})
	t.Run("known by its Contact with other parameters", func(t *testing.T) {
		inOffice(t, func(o *office) {
			o.invite(exchange.Invitation{Line: "102", Device: "102", Contact: "sip:102@B2:5060;transport=tcp", Dialled: dialplan.Dialled{Number: "102"}, Offer: described("o"), MaxForwards: 70})
			if got := places(o); got != "sip:102@b1" {
				t.Errorf("rang %s", got)
			}
		})
	})
	t.Run("known by nothing", func(t *testing.T) {
		inOffice(t, func(o *office) {
			o.invite(exchange.Invitation{Line: "102", Device: "102", Contact: "sip:102@b3", Dialled: dialplan.Dialled{Number: "102"}, Offer: described("o"), MaxForwards: 70})
			if got := places(o); got != "sip:102@b1 sip:102@b2" {
				t.Errorf("rang %s", got)
			}
		})
	})
	t.Run("an address that several share", func(t *testing.T) {
		inOffice(t, func(o *office) {
			o.invite(exchange.Invitation{Line: "106", Device: "bench", Contact: "sip:127.0.0.1:27000", Dialled: dialplan.Dialled{Number: "106"}, Offer: described("o"), MaxForwards: 70})
			if got := places(o); got != "sip:127.0.0.1:26000" {
				t.Errorf("rang %s", got)
			}
			o.asked(o.invite(exchange.Invitation{Line: "106", Device: "bench", Contact: "sip:127.0.0.1:26000", Dialled: dialplan.Dialled{Number: "106"}, Offer: described("o"), MaxForwards: 70}), "hangup 480 unreachable")
		})
	})
	t.Run("nobody else", func(t *testing.T) {
		inOffice(t, func(o *office) {
			o.asked(o.calls("104", "104", "104"), "hangup 480 unreachable")
		})
	})
	t.Run("a SIP phone is busy with its own call", func(t *testing.T) {
		inOffice(t, func(o *office) {
			o.locations.bindings["103"] = []string{"103@c1", "103-b@c2"}
			o.asked(o.calls("103", "103", "103"), "hangup 486 busy")
		})
	})
}

func TestStaticDeviceIsRung(t *testing.T) {
	inOffice(t, func(o *office) {
		o.calls("101", "101", "106")
		if l := o.dialled("sip:127.0.0.1:26000"); l.Invite.Target.Device != "bench" || l.Invite.Target.Line != "106" {
			t.Errorf("rang %+v", l.Invite.Target)
		}
	})
}

func TestRedirectStaysInTheTenant(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.calls("101", "101", "104")
		d := o.dialled("sip:104@d1")
		o.says(d, call.Failed{Leg: d, Cause: cause.FromSIP(302), Contacts: []string{
			"sip:104@pbx.example.ir", "sip:0900123@elsewhere.example", "junk", "sip:103@pbx.example.ir",
		}})
		c := o.dialled("sip:103@c1")
		if n := len(o.dialer.Legs()); n != 2 || o.inUse("103") != 1 || o.inUse("104") != 1 {
			t.Errorf("%d places were rung, %d and %d in use", n, o.inUse("103"), o.inUse("104"))
		}
		o.answers("sip:103@c1")
		o.asked(a, "answer answer")
		o.says(c, call.Ended{Leg: c})
		r := o.seen.Ended()[0]
		if len(r.Path) != 2 || r.Path[1].Step != "dial 103" || r.To.Line != "103" {
			t.Errorf("record %+v", r)
		}
		if o.inUse("103") != 0 {
			t.Error("the line is not free")
		}
	})
}

func TestRedirectInCircles(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.calls("101", "101", "104")
		d := o.dialled("sip:104@d1")
		o.says(d, call.Failed{Leg: d, Cause: cause.FromSIP(302), Contacts: []string{"sip:103@pbx.example.ir"}})
		c := o.dialled("sip:103@c1")
		o.says(c, call.Failed{Leg: c, Cause: cause.FromSIP(302), Contacts: []string{"sip:104@pbx.example.ir"}})
		o.asked(a, "hangup 480 redirected")
	})
}

func TestRedirectEndsSomewhere(t *testing.T) {
	inOffice(t, func(o *office) {
		var changes []directory.Change
		for i := range 10 {
			l := &directory.Line{Number: fmt.Sprint(300 + i)}
			l.ID, l.Tenant = directory.NewID(), tenant
			l.SetDefaults()
			changes = append(changes, directory.Change{After: l})
			o.locations.bindings[l.Number] = []string{l.Number + "@x"}
		}
		o.directory.Apply(changes)
		a := o.calls("101", "101", "300")
		for i := 0; a.Mailbox.Post(call.Do{F: func() {}}) && i < 10; i++ {
			l := o.dialled(fmt.Sprintf("sip:%d@x", 300+i))
			o.says(l, call.Failed{Leg: l, Cause: cause.FromSIP(302), Contacts: []string{fmt.Sprintf("sip:%d@pbx.example.ir", 301+i)}})
		}
		o.asked(a, "hangup 480 redirected")
		if n := len(o.dialer.Legs()); n != 6 {
			t.Errorf("%d lines were rung: one and five diversions", n)
		}
	})
}

func TestDelayedOfferPasses(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.invite(exchange.Invitation{Line: "101", Dialled: dialplan.Dialled{Number: "104"}, MaxForwards: 70})
		b := o.answers("sip:104@d1")
		o.asked(a, "answer answer")
		o.says(a, call.Acked{Leg: a, Description: described("mine")})
		o.asked(b, "acknowledge mine")
		o.says(a, call.Ended{Leg: a})
	})
}

func TestDrain(t *testing.T) {
	inOffice(t, func(o *office) {
		a := o.calls("101", "101", "104")
		b := o.answers("sip:104@d1")
		ctx, cancel := context.WithTimeout(o.t.Context(), 30*time.Second)
		defer cancel()
		done := make(chan int, 1)
		go func() { done <- o.x.Drain(ctx) }()
		synctest.Wait()
		late := o.calls("102", "102", "104")
		o.asked(late, "hangup 503 draining")
		if !o.x.IsDraining() || o.x.Calls().Len() != 1 {
			t.Errorf("%d calls", o.x.Calls().Len())
		}
		if cut := <-done; cut != 1 {
			t.Errorf("cut %d calls", cut)
		}
		o.asked(a, "answer answer / hangup 503 draining")
		o.asked(b, "hangup 503 draining")
	})
}

func TestExplain(t *testing.T) {
	inOffice(t, func(o *office) {
		p := o.x.Explain(dialplan.Caller{Tenant: tenant, Line: "101"}, dialplan.Dialled{Number: "102"})
		if got := p.String(); got != "1. dial 102: 102 is a line (Reza), reachable at 2 addresses\n" {
			t.Errorf("explained %q", got)
		}
	})
}

func TestRestore(t *testing.T) {
	inOffice(t, func(o *office) {
		o.calls("101", "101", "103")
		o.answers("sip:103@c1")
		state := o.seen.States()[0]
		second := exchange.New(exchange.Config{Directory: o.directory, Locator: o.locations, Dialer: o.dialer})
		legs := &calltest.Restorer{}
		if _, err := second.Restore(state, legs); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := second.Lines().InUse(admission.Line{Tenant: tenant, Number: "103"}); n != 1 {
			t.Errorf("the restored call counts %d times", n)
		}
		a := legs.Legs["a"]
		a.Say(call.Ended{Leg: a})
		synctest.Wait()
		o.asked(legs.Legs["b1"], "hangup 200 normal")
		if n := second.Lines().Total(); n != 0 {
			t.Errorf("%d calls are counted after the end", n)
		}
		if _, err := second.Restore([]byte("junk"), legs); err == nil {
			t.Error("junk was restored")
		}
		second.Drain(expired(o.t))
		if _, err := second.Restore(state, legs); cause.Of(err) != cause.Draining() {
			t.Errorf("a draining exchange took a call up: %v", err)
		}
	})
}

// A thousand calls at once to lines of one channel each: one call per line passes, and the counts end at zero.
func TestAccountingUnderLoad(t *testing.T) {
	inOffice(t, func(o *office) {
		var changes []directory.Change
		const lines, each = 100, 10
		for i := range lines {
			number := fmt.Sprint(2000 + i)
			l := &directory.Line{Number: number, Product: directory.SIPPhone}
			l.ID, l.Tenant = directory.NewID(), tenant
			l.SetDefaults()
			changes = append(changes, directory.Change{After: l})
			o.locations.bindings[number] = []string{number + "@x"}
		}
		o.directory.Apply(changes)
		legs := make([]*calltest.Leg, lines*each)
		var wg sync.WaitGroup
		for i := range legs {
			wg.Go(func() {
				m := call.NewMailbox()
				legs[i] = calltest.NewLeg("a", m)
				o.x.Inbound(legs[i], exchange.Invitation{
					Mailbox: m, Tenant: tenant, Dialled: dialplan.Dialled{Number: fmt.Sprint(2000 + i%lines)}, Offer: described("o"), MaxForwards: 70,
				})
			})
		}
		wg.Wait()
		synctest.Wait()
		busy := 0
		for _, l := range legs {
			if got := strings.Join(l.Asked(), " "); got == "hangup 486 busy" {
				busy++
			} else if got != "" {
				t.Errorf("asked %q", got)
			}
		}
		if busy != lines*(each-1) || o.x.Lines().Total() != lines || o.x.Calls().Len() != lines {
			t.Errorf("%d were busy, %d are counted, %d live", busy, o.x.Lines().Total(), o.x.Calls().Len())
		}
		for _, l := range legs {
			l.Say(call.Ended{Leg: l, Cause: cause.Cancelled()})
		}
		synctest.Wait()
		if n := o.x.Lines().Total(); n != 0 {
			t.Errorf("%d are counted in the end", n)
		}
	})
}
