package number

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormalise(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"102", "102"},
		{"+982188776655", "+982188776655"},
		{"+98 (21) 8877-6655", "+982188776655"},
		{"tel:+98-21-88776655", "+982188776655"},
		{"TEL:115", "115"},
		{"021.8877.6655", "02188776655"},
		{"021/8877 6655", "02188776655"},
		{"۰۲۱۸۸۷۷۶۶۵۵", "02188776655"},         // Persian
		{"٠٢١٨٨٧٧٦٦٥٥", "02188776655"},         // Arabic
		{"０２-２７１２３４５６", "0227123456"},          // full width
		{"\u200e+98\u00a021\u202c", "+9821"},   // direction marks, no-break space
		{"8877–6655", "88776655"},              // en dash
		{"*۴۳", "*43"},                         // feature code
		{"*72*101#", "*72*101#"},               //
		{" 102 ", "102"},                       //
		{"sara", "sara"}, {"sara.k", "sara.k"}, // names are left alone
		{"1-800-FLOWERS", "1-800-FLOWERS"},         //
		{"101;ext=5", "101;ext=5"}, {"1+2", "1+2"}, // a plus stands in front or nowhere
		{"", ""}, {"+", "+"}, {"-", "-"}, {"tel:", "tel:"}, // nothing to dial
	} {
		if got := Normalise(tt.in); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestNormaliseCostsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Normalise("02188776655") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"+98 21", "۱۲۳", "sara", "*43", "tel:+1-2", "\xff1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := Normalise(s)
		if again := Normalise(n); again != n {
			t.Errorf("%q becomes %q and then %q", s, n, again)
		}
		if n != s && !isPlain(n) {
			t.Errorf("%q becomes %q, which no phone can dial", s, n)
		}
		if utf8.RuneCountInString(n) > utf8.RuneCountInString(s) {
			t.Errorf("%q grows to %q", s, n)
		}
	})
}

func TestMatchFeature(t *testing.T) {
	for _, tt := range []struct {
		in       string
		feature  Feature
		argument string
		ok       bool
	}{
		{"*43", Echo, "", true},
		{"*431", "", "", false}, // matched whole
		{"*4", "", "", false},
		{"*97", MyVoicemail, "", true},
		{"*98", AnyVoicemail, "", true}, {"*98101", AnyVoicemail, "101", true},
		{"*99101", LeaveVoicemail, "101", true}, {"*99", "", "", false},
		{"*72102", ForwardAlwaysOn, "102", true}, {"*72+989121234567", ForwardAlwaysOn, "+989121234567", true},
		{"*73", ForwardAlwaysOff, "", true},
		{"*8", GroupPickup, "", true}, {"**101", DirectedPickup, "101", true}, {"**", "", "", false},
		{"*80101", Intercom, "101", true}, {"*81", Page, "", true}, // longer than *8
		{"*9664", Music, "", true}, {"*60", Time, "", true}, {"*66", Redial, "", true},
		{"*98*5", "", "", false}, // what follows is a number
		{"43", "", "", false}, {"", "", "", false}, {"#21#", "", "", false},
	} {
		f, arg, ok := MatchFeature(tt.in)
		if f != tt.feature || arg != tt.argument || ok != tt.ok {
			t.Errorf("%q is %q with %q, %t", tt.in, f, arg, ok)
		}
	}
}

// No code is given twice, and each is found.
func TestDefaultCodes(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range DefaultCodes() {
		if seen[c.Digits] || seen[string(c.Feature)] {
			t.Errorf("%+v is there twice", c)
		}
		seen[c.Digits], seen[string(c.Feature)] = true, true
		if !IsFeatureLike(c.Digits) || c.Required && !c.Argument {
			t.Errorf("%+v makes no sense", c)
		}
		dialled := c.Digits
		if c.Required {
			dialled += "101"
		}
		if f, _, ok := MatchFeature(dialled); !ok || f != c.Feature {
			t.Errorf("%s is %q", dialled, f)
		}
	}
	DefaultCodes()[0].Digits = "changed"
	if DefaultCodes()[0].Digits == "changed" {
		t.Error("the codes can be changed from outside")
	}
}

func TestIsEmergency(t *testing.T) {
	for country, want := range map[string]string{
		"IR": "110 sos.police, 112 sos, 115 sos.ambulance, 125 sos.fire",
		"VN": "112 sos, 113 sos.police, 114 sos.fire, 115 sos.ambulance",
		"TW": "110 sos.police, 112 sos, 119 sos.fire",
		"SA": "112 sos, 911 sos, 997 sos.ambulance, 998 sos.fire, 999 sos.police",
		"AE": "112 sos, 996 sos.marine, 997 sos.fire, 998 sos.ambulance, 999 sos.police",
		"EG": "112 sos, 122 sos.police, 123 sos.ambulance, 180 sos.fire",
		"IQ": "104 sos.police, 112 sos, 115 sos.fire, 122 sos.ambulance, 911 sos",
		"US": "112 sos, 911 sos", "CA": "112 sos, 911 sos",
		"EU": "112 sos", "SE": "112 sos", "DE": "110 sos.police, 112 sos", "GB": "112 sos, 999 sos",
		"FR": "112 sos, 114 sos, 15 sos.ambulance, 17 sos.police, 18 sos.fire, 196 sos.marine",
		"":   "112 sos, 911 sos", "ZZ": "112 sos, 911 sos",
	} {
		var got []string
		for n := range 1000 {
			for _, dialled := range forms(n) {
				if service, ok := IsEmergency(country, dialled); ok {
					got = append(got, dialled+" "+string(service))
				}
			}
		}
		slices.Sort(got)
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: %s, want %s", country, s, want)
		}
	}
	for _, dialled := range []string{"", "1", "1125", "+112", "0112", "*112", "abc"} {
		if _, ok := IsEmergency("IR", dialled); ok {
			t.Errorf("%q is an emergency number", dialled)
		}
	}
}

// forms are the ways to write n with two and three digits.
func forms(n int) []string {
	three := string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
	if n < 100 {
		return []string{three, three[1:]}
	}
	return []string{three}
}

func TestEmergencyNumbersBelongToNobody(t *testing.T) {
	EmergencyNumbers("IR")[0].Number = "changed"
	if EmergencyNumbers("IR")[0].Number == "changed" {
		t.Error("the numbers can be changed from outside")
	}
}
