package dialplan

import (
	"strings"
	"testing"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
)

var (
	tehran = directory.ID{1}
	other  = directory.ID{2}
)

func sample(t testing.TB) *directory.Snapshot {
	t.Helper()
	var changes []directory.Change
	add := func(o directory.Object, id byte, tenant directory.ID) {
		h := o.Head()
		h.ID, h.Tenant, h.Version = directory.ID{id, 9}, tenant, 1
		o.SetDefaults()
		changes = append(changes, directory.Change{After: o})
	}
	add(&directory.Tenant{Name: "default", Domains: []string{"pbx.example.ir"}}, 1, tehran)
	changes[0].After.Head().ID = tehran
	add(&directory.Tenant{Name: "other", Domains: []string{"other.example"}}, 2, other)
	changes[1].After.Head().ID = other
	add(&directory.Site{Name: "tehran", Country: "IR", AreaCode: "21"}, 3, tehran)
	site := directory.ID{3, 9}
	add(&directory.Line{Number: "101", Name: "Sara", Site: site}, 4, tehran)
	add(&directory.Line{Number: "102"}, 5, tehran)
	add(&directory.Line{Number: "112", Site: site}, 6, tehran)
	add(&directory.Line{Number: "reza.k"}, 7, tehran)
	add(&directory.Line{Number: "*43"}, 8, tehran)
	add(&directory.Line{Number: "*97"}, 9, tehran)
	add(&directory.Line{Number: "200"}, 10, other)
	add(&directory.Line{Number: "101"}, 11, other)
	to := func(s string) directory.Destination {
		d, err := directory.ParseDestination(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	add(&directory.Number{Number: "+982188776655", To: to("line:101")}, 12, tehran)
	add(&directory.Number{Number: "1548", Kind: directory.Short, To: to("line:102")}, 13, tehran)
	add(&directory.Number{Number: "+982188776656", To: to("line:999")}, 14, tehran)
	add(&directory.Number{Number: "+982188776657", To: to("hangup:")}, 15, tehran)
	add(&directory.Number{Number: "+982188776658", To: to("menu:main")}, 16, tehran)
	add(&directory.Number{Number: "+982188776659", To: to("line:200")}, 17, other)
	add(&directory.Room{Name: "board", Number: "800"}, 18, tehran)
	add(&directory.Room{Name: "hall", Number: "801"}, 19, other)
	add(&directory.Number{Number: "+982188776660", To: to("room:board")}, 20, tehran)
	add(&directory.Number{Number: "+982188776661", To: to("room:hall")}, 21, tehran)
	return directory.New().Apply(changes)
}

type live map[string]int

func (l live) Bindings(_ directory.ID, line string) int { return l[line] }

func TestMake(t *testing.T) {
	s := sample(t)
	for _, tt := range []struct {
		name     string
		who      Caller
		dialled  Dialled
		want     string // the step
		reason   string // part of it
		refusal  cause.Cause
		emerg    string
		ofTenant directory.ID
	}{
		{name: "a line", dialled: Dialled{Number: "102"}, want: "dial 102", reason: "102 is a line, reachable at 2 addresses"},
		{name: "its name and state", dialled: Dialled{Number: "101"}, want: "dial 101", reason: "101 is a line (Sara), reachable at 1 address"},
		{name: "not registered", dialled: Dialled{Number: "reza.k"}, want: "dial reza.k", reason: "not registered"},
		{name: "separators", dialled: Dialled{Number: "1-0-2"}, want: "dial 102", reason: "102 is a line"},
		{name: "Persian digits", dialled: Dialled{Number: "۱۰۲"}, want: "dial 102", reason: "102 is a line"},
		{name: "own domain", dialled: Dialled{Number: "102", Domain: "PBX.example.ir."}, want: "dial 102", reason: "102 is a line"},
		{name: "address of this host", dialled: Dialled{Number: "102", Domain: "192.0.2.10"}, want: "dial 102", reason: "102 is a line"},
		{name: "another tenant's domain", dialled: Dialled{Number: "200", Domain: "other.example"}, want: "refuse unknown number", reason: "not a domain of the caller's tenant", refusal: cause.UnknownNumber()},
		{name: "another tenant's line", dialled: Dialled{Number: "200"}, want: "refuse unknown number", reason: `no line, room, number or feature code is "200"`, refusal: cause.UnknownNumber()},
		{name: "each tenant its own 101", who: Caller{Tenant: other, Line: "200"}, dialled: Dialled{Number: "101"}, want: "dial 101", reason: "101 is a line", ofTenant: other},
		{name: "echo", dialled: Dialled{Number: "*43"}, want: "echo", reason: "*43 is the feature code of the echo test"},
		{name: "music", dialled: Dialled{Number: "*9664"}, want: "music", reason: "*9664 is the feature code of the music"},
		{name: "a room", dialled: Dialled{Number: "800"}, want: "room board", reason: "800 is the room board"},
		{name: "a room in Persian digits", dialled: Dialled{Number: "۸۰۰"}, want: "room board", reason: "800 is the room board"},
		{name: "another tenant's room", dialled: Dialled{Number: "801"}, want: "refuse unknown number", reason: "no line", refusal: cause.UnknownNumber()},
		{name: "a number to a room", dialled: Dialled{Number: "+982188776660"}, want: "room board", reason: "number +982188776660 leads to room:board"},
		{name: "a number to another tenant's room", dialled: Dialled{Number: "+982188776661"}, want: "refuse no route", reason: "leads to room:hall, which does not exist", refusal: cause.NoRoute()},
		{name: "echo in Persian digits", dialled: Dialled{Number: "*۴۳"}, want: "echo", reason: "*43 is the feature code"},
		{name: "a line with a feature's number that is free", dialled: Dialled{Number: "*97"}, want: "dial *97", reason: "*97 is a line"},
		{name: "a feature that is not there", dialled: Dialled{Number: "*72102"}, want: "refuse unknown number", reason: "feature code *72102 (forward always on) is not in use", refusal: cause.UnknownNumber()},
		{name: "a number", dialled: Dialled{Number: "+98 21 8877 6655"}, want: "dial 101", reason: "number +982188776655 leads to line:101 (Sara)"},
		{name: "a number as it is dialled in its area", dialled: Dialled{Number: "8877 6655"}, want: "dial 101", reason: "number +982188776655 leads to line:101"},
		{name: "a number as it is dialled in its country", dialled: Dialled{Number: "02188776655"}, want: "dial 101", reason: "number +982188776655 leads to line:101"},
		{name: "a number as it is dialled from abroad", dialled: Dialled{Number: "00982188776655"}, want: "dial 101", reason: "number +982188776655 leads to line:101"},
		{name: "a number where nobody knows the place", who: Caller{Tenant: tehran, Line: "102"}, dialled: Dialled{Number: "88776655"}, want: "refuse unknown number", reason: "no line", refusal: cause.UnknownNumber()},
		{name: "a short code", dialled: Dialled{Number: "1548"}, want: "dial 102", reason: "number 1548 leads to line:102"},
		{name: "a number to nowhere", dialled: Dialled{Number: "+982188776656"}, want: "refuse no route", reason: "leads to line:999, which does not exist", refusal: cause.NoRoute()},
		{name: "a number to a hangup", dialled: Dialled{Number: "+982188776657"}, want: "refuse not allowed", reason: "leads to hangup:", refusal: cause.NotAllowed()},
		{name: "a number to what is not there", dialled: Dialled{Number: "+982188776658"}, want: "refuse no route", reason: "leads to menu:main", refusal: cause.NoRoute()},
		{name: "another tenant's number", dialled: Dialled{Number: "+982188776659"}, want: "refuse unknown number", reason: "no line", refusal: cause.UnknownNumber()},
		{name: "unknown", dialled: Dialled{Number: "555"}, want: "refuse unknown number", reason: `"555"`, refusal: cause.UnknownNumber()},
		{name: "nothing", dialled: Dialled{}, want: "refuse invalid number", reason: "nothing was dialled", refusal: cause.InvalidNumber()},
		{name: "emergency", dialled: Dialled{Number: "115"}, want: "refuse no route", reason: "115 is the emergency number of country IR (sos.ambulance)", refusal: cause.NoRoute(), emerg: "sos.ambulance"},
		{name: "no line shadows an emergency number", dialled: Dialled{Number: "112"}, want: "refuse no route", reason: "emergency", refusal: cause.NoRoute(), emerg: "sos"},
		{name: "not even in another domain", dialled: Dialled{Number: "110", Domain: "other.example"}, want: "refuse no route", reason: "emergency", refusal: cause.NoRoute(), emerg: "sos.police"},
		{name: "no country, but a line has the number", who: Caller{Tenant: tehran, Line: "102"}, dialled: Dialled{Number: "112"}, want: "dial 112", reason: "112 is a line"},
		{name: "no country and no line", who: Caller{Tenant: tehran, Line: "102"}, dialled: Dialled{Number: "911"}, want: "refuse no route", reason: "an unknown country", refusal: cause.NoRoute(), emerg: "sos"},
		{name: "another country's emergency number", dialled: Dialled{Number: "999"}, want: "refuse unknown number", reason: `"999"`, refusal: cause.UnknownNumber()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.who == (Caller{}) {
				tt.who = Caller{Tenant: tehran, Line: "101", Device: "101"}
			}
			p := Make(s, live{"101": 1, "102": 2}, tt.who, tt.dialled, time.Now())
			if len(p.Steps) != 1 || len(p.Reasons) != 1 {
				t.Fatalf("plan %+v", p)
			}
			if got := p.Steps[0].String(); got != tt.want {
				t.Errorf("step %q, want %q", got, tt.want)
			}
			if !strings.Contains(p.Reasons[0], tt.reason) {
				t.Errorf("reason %q, want %q", p.Reasons[0], tt.reason)
			}
			if string(p.Emergency) != tt.emerg {
				t.Errorf("emergency %q, want %q", p.Emergency, tt.emerg)
			}
			switch step := p.Steps[0].(type) {
			case Refuse:
				if step.Cause != tt.refusal {
					t.Errorf("refused with %v, want %v", step.Cause, tt.refusal)
				}
			case Dial:
				want := tt.ofTenant
				if want.IsZero() {
					want = tehran
				}
				if step.Line.Tenant != want || step.Timeout != RingTime {
					t.Errorf("dials %+v", step)
				}
			}
			if got := p.String(); got != "1. "+tt.want+": "+p.Reasons[0]+"\n" {
				t.Errorf("prints %q", got)
			}
		})
	}
}

// TestWhatWasCalled: the record tells the number of the directory that was dialled, and its international form.
func TestWhatWasCalled(t *testing.T) {
	s := sample(t)
	for _, c := range []struct{ line, dialled, e164, called string }{
		{"101", "+98 21 8877 6655", "+982188776655", "+982188776655"},
		{"101", "88776655", "+982188776655", "+982188776655"},
		{"101", "02188776655", "+982188776655", "+982188776655"},
		{"101", "00982188776655", "+982188776655", "+982188776655"},
		{"101", "1548", "", "1548"},
		{"101", "+982188776657", "+982188776657", "+982188776657"}, // leads to a hangup
		{"101", "02188770000", "+982188770000", ""},                // nobody's
		{"102", "02188776655", "", ""},                             // from a place that nobody knows
		{"102", "+982188776655", "+982188776655", "+982188776655"},
		{"101", "102", "", ""},
		{"101", "*43", "", ""},
		{"101", "555", "", ""},
	} {
		p := Make(s, nil, Caller{Tenant: tehran, Line: c.line}, Dialled{Number: c.dialled}, time.Now())
		if p.E164 != c.e164 || p.Called != c.called {
			t.Errorf("%s dials %s: %q, number %q; want %q, %q", c.line, c.dialled, p.E164, p.Called, c.e164, c.called)
		}
	}
}

func TestMakeWithoutLive(t *testing.T) {
	p := Make(sample(t), nil, Caller{Tenant: tehran}, Dialled{Number: "101"}, time.Now())
	if p.Reasons[0] != "101 is a line (Sara)" {
		t.Errorf("reason %q", p.Reasons[0])
	}
}

// Whatever is dialled, there is a plan with a reason for each step, and its number is normalised.
func FuzzMake(f *testing.F) {
	s := sample(f)
	f.Add("101", "pbx.example.ir")
	f.Add("*43", "")
	f.Add("\x00", "\xff")
	f.Fuzz(func(t *testing.T, dialled, domain string) {
		p := Make(s, nil, Caller{Tenant: tehran, Line: "101"}, Dialled{Number: dialled, Domain: domain}, time.Time{})
		if len(p.Steps) == 0 || len(p.Steps) != len(p.Reasons) {
			t.Fatalf("plan %+v", p)
		}
		for i, step := range p.Steps {
			if p.Reasons[i] == "" {
				t.Errorf("step %v has no reason", step)
			}
			if d, ok := step.(Dial); ok && d.Line.Tenant != tehran {
				t.Errorf("%q leads to another tenant", dialled)
			}
		}
	})
}

func BenchmarkMake(b *testing.B) {
	s := sample(b)
	b.ReportAllocs()
	for b.Loop() {
		Make(s, nil, Caller{Tenant: tehran, Line: "101"}, Dialled{Number: "102"}, time.Time{})
	}
}
