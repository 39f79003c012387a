package registrar

import (
	"net/netip"
	"testing"

	"dialtone/internal/directory"
	"dialtone/internal/location"
	"dialtone/internal/sip"
)

// Where requests for a contact go: over the way of its REGISTER, or where its URI says.
func TestContactElsewhere(t *testing.T) {
	const source = "192.0.2.7:5062"
	straight := "Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1;rport"
	instance := `;+sip.instance="<urn:uuid:1>";reg-id=1`
	for _, c := range []struct {
		name, via, contact string
		transport          directory.Transport
		leads              bool
	}{
		{"at the source", straight, "<sip:a@192.0.2.7:5062>", directory.UDP, true},
		{"at the source, said twice", straight, "<sip:a@192.0.2.7:5062;transport=UDP>", directory.UDP, true},
		{"another port of the same host", straight, "<sip:a@192.0.2.7:5070>", directory.UDP, false},
		{"the usual port of the same host", straight, "<sip:a@192.0.2.7>", directory.UDP, false},
		{"another transport", straight, "<sip:a@192.0.2.7:5062;transport=tcp>", directory.UDP, false},
		{"another host", straight, "<sip:a@192.0.2.8:5062>", directory.UDP, true},
		{"a name", straight, "<sip:a@phone.example>", directory.UDP, true},
		{"a flow of an instance", straight, "<sip:a@192.0.2.7:5070>" + instance, directory.UDP, true},
		{"a connection", straight, "<sip:a@192.0.2.7:5070>", directory.TCP, true},
		{"behind a NAT", "Via: SIP/2.0/UDP 10.0.0.7:5062;branch=z9hG4bK1", "<sip:a@192.0.2.7:5070>", directory.UDP, true},
		{"behind a NAT that keeps the address", "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1", "<sip:a@192.0.2.7:5070>", directory.UDP, true},
		{"a name in Via", "Via: SIP/2.0/UDP phone.example:5062;branch=z9hG4bK1", "<sip:a@192.0.2.7:5070>", directory.UDP, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Policy{})
			m := request(t, 1, c.via, "Contact: "+c.contact)
			m.Received = netip.MustParseAddrPort("[::ffff:192.0.2.7]:5062")
			from := location.Flow{Transport: c.transport, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort(source)}
			var out sip.Builder
			if status := b.r.Respond(&out, m, "tag", Subject{AOR: line, Device: "101"}, from, b.now); status != 200 {
				t.Fatalf("status %d", status)
			}
			got := b.table.Lookup(nil, line, b.now)
			if len(got) != 1 || got[0].Flow.Leads() != c.leads || got[0].Flow.Remote != from.Remote {
				t.Errorf("%+v", got)
			}
		})
	}
}
