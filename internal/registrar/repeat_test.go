package registrar

import (
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/sip"
)

// TestRepeat: a REGISTER that was carried out is answered as it was; whatever differs from it is no repetition.
func TestRepeat(t *testing.T) {
	b := newBench(t, Policy{})
	b.register("101", "Contact: <sip:101@10.0.0.1>", "Call-ID: one", "CSeq: 7 REGISTER")
	b.now = b.now.Add(10 * time.Second)
	elsewhere := flow
	elsewhere.Remote = netip.MustParseAddrPort("203.0.113.10:40000")
	tests := []struct {
		name, device string
		lines        []string
		elsewhere    bool
		want         bool
	}{
		{name: "the same", device: "101", lines: []string{"Call-ID: one", "CSeq: 7 REGISTER"}, want: true},
		{name: "a later one", device: "101", lines: []string{"Call-ID: one", "CSeq: 8 REGISTER"}},
		{name: "another Call-ID", device: "101", lines: []string{"Call-ID: two", "CSeq: 7 REGISTER"}},
		{name: "another device", device: "102", lines: []string{"Call-ID: one", "CSeq: 7 REGISTER"}},
		{name: "from elsewhere", device: "101", lines: []string{"Call-ID: one", "CSeq: 7 REGISTER"}, elsewhere: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := request(t, 7, append(tt.lines, "Contact: <sip:101@10.0.0.1>")...)
			from := flow
			if tt.elsewhere {
				from = elsewhere
			}
			var out sip.Builder
			if got := b.r.Repeat(&out, m, "tag", Subject{AOR: line, Device: tt.device}, from, b.now); got != tt.want {
				t.Fatalf("repeated: %v, want %v", got, tt.want)
			}
			if !tt.want {
				return
			}
			resp, err := out.Message()
			if err != nil {
				t.Fatal(err)
			}
			contact, _ := resp.Header(sip.HContact)
			if resp.Status() != 200 || string(contact) != "<sip:101@10.0.0.1>;expires=3590" {
				t.Errorf("%d with %s", resp.Status(), contact)
			}
		})
	}
}
