package transport

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// RecordType is what is asked of the DNS.
type RecordType uint8

// The types. Addresses are A and AAAA together.
const (
	Addresses RecordType = iota
	ServiceRecords
	NamingAuthority
)

// DNS answers one question. A name or a type that does not exist is an empty Answer, not an error; an error says that
// nobody knows.
type DNS interface {
	Lookup(ctx context.Context, name string, t RecordType) (Answer, error)
}

// Answer holds the records that were asked for; the other fields are empty.
type Answer struct {
	Addrs []netip.Addr
	SRV   []SRV
	NAPTR []NAPTR
	TTL   time.Duration // the least of the records', or how long their absence holds
}

func (a Answer) empty() bool { return len(a.Addrs) == 0 && len(a.SRV) == 0 && len(a.NAPTR) == 0 }

// SRV is a service record (RFC 2782).
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string
}

// NAPTR is a naming authority pointer (RFC 3403 §4.1).
type NAPTR struct {
	Order, Preference      uint16
	Flags, Service, Regexp string
	Replacement            string
}

// Bounds on what an answer may make us do.
const (
	maxServices = 16 // SRV records that are followed, the best ones
	maxAddrs    = 8  // addresses of one name
	maxTargets  = 32 // of one URI
)

// orderSRV puts service records into the order in which they are to be tried: by priority, and within one by a draw
// in which each has chances in proportion to its weight (RFC 2782, "Usage rules"). draw(n) is a number from 0 to n.
func orderSRV(in []SRV, draw func(n int) int) []SRV {
	rest := slices.DeleteFunc(slices.Clone(in), func(s SRV) bool {
		return s.Target == "" || s.Target == "." || s.Port == 0 // RFC 2782: "." means that the service is not there
	})
	// Weight 0 first: it then has a very small chance instead of none.
	slices.SortStableFunc(rest, func(a, b SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(min(a.Weight, 1), min(b.Weight, 1)))
	})
	out := make([]SRV, 0, len(rest))
	for len(rest) > 0 {
		total, n := 0, 0
		for ; n < len(rest) && rest[n].Priority == rest[0].Priority; n++ {
			total += int(rest[n].Weight)
		}
		pick, sum, at := draw(total), 0, n-1
		for i := range n {
			if sum += int(rest[i].Weight); sum >= pick {
				at = i
				break
			}
		}
		out = append(out, rest[at])
		rest = slices.Delete(rest, at, at+1)
	}
	return out
}

// service is one way to reach a domain: a transport and the name of its SRV records.
type service struct {
	kind Kind
	name string
}

// serviceOf translates the service field of a NAPTR record: RFC 3263 §4.1, RFC 7118 §5.3 and its registration of D2W.
func serviceOf(field string) Kind {
	switch strings.ToUpper(field) {
	case "SIP+D2U":
		return UDP
	case "SIP+D2T":
		return TCP
	case "SIPS+D2T":
		return TLS
	case "SIP+D2W":
		return WS
	case "SIPS+D2W":
		return WSS
	}
	return 0
}

// prefix is what the SRV records of a transport begin with (RFC 3263 §4.1).
func (k Kind) prefix() string {
	switch k {
	case UDP:
		return "_sip._udp."
	case TCP:
		return "_sip._tcp."
	case TLS:
		return "_sips._tcp."
	case WS:
		return "_sip._ws."
	}
	return "_sips._ws."
}

// orderNAPTR picks the records that lead to a transport that we speak, and that is secure where it must be, in their
// order (RFC 3263 §4.1).
func orderNAPTR(in []NAPTR, speaks func(Kind) bool, secure bool) []service {
	sorted := slices.Clone(in)
	slices.SortStableFunc(sorted, func(a, b NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference))
	})
	var out []service
	for _, r := range sorted {
		k := serviceOf(r.Service)
		if k == 0 || !speaks(k) || secure && !k.Secure() || !strings.EqualFold(r.Flags, "s") || r.Regexp != "" {
			continue
		}
		if name := canonical(r.Replacement); name != "" {
			out = append(out, service{k, name})
		}
	}
	return out[:min(len(out), int(WSS))]
}

// canonical is a name as it is asked for: lower case and without the final dot.
func canonical(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// orderAddrs puts IPv4 before IPv6, otherwise as given, without repetition.
func orderAddrs(in []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, v4 := range []bool{true, false} {
		for _, a := range in {
			if a = a.Unmap(); a.IsValid() && a.Is4() == v4 && !slices.Contains(out, a) && len(out) < maxAddrs {
				out = append(out, a)
			}
		}
	}
	return out
}
