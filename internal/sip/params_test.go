package sip

import "testing"

func TestParamsCheck(t *testing.T) {
	for _, c := range []struct {
		params string
		sound  bool
	}{
		{"", true},
		{";lr;a=b", true},
		{`;+sip.instance="<urn:uuid:00dc6acf-ac00-7027-a486-dca79575e37c>";reg-id=1`, true}, // RFC 5626 §4.1
		{`;text="a, b < c > d"`, true},
		{";a=<b>", false},
		{";a=b>", false},
		{";a=b,c", false},
		{";a=", false},
		{";=b", false},
		{`;a="b`, false},
		{";a@b=c", false},
	} {
		if err := Params(c.params).check(); (err == nil) != c.sound {
			t.Errorf("%s: %v", c.params, err)
		}
	}
}
