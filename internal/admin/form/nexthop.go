package form

import (
	"time"

	"dialtone/internal/directory"
)

// NextHop is a set of servers that requests are sent on to, as it is written.
type NextHop struct {
	Head
	Name     string      `json:"name"`
	Domain   string      `json:"domain,omitempty" doc:"Of the requests; our own domains when there is none"`
	Prefix   string      `json:"prefix,omitempty" doc:"What their user part begins with; the longest that fits wins"`
	Targets  []HopTarget `json:"targets,omitempty" nullable:"false"`
	Hash     string      `json:"hash,omitempty" enum:"call-id,source,none" doc:"What requests share that go to the same target"`
	Health   string      `json:"health,omitempty" enum:"options,none" doc:"How it is found out which targets are alive"`
	Patience string      `json:"patience,omitempty" doc:"How long an INVITE waits for any response before the next target is tried, such as 2s"`
	State    []HopState  `json:"state,omitempty" nullable:"false" readOnly:"true" doc:"How the targets are now; absent where no listener forwards"`
}

// HopTarget is one server of a set.
type HopTarget struct {
	URI      string `json:"uri" doc:"SIP URI without user part; a name is looked up by NAPTR and SRV"`
	Priority int    `json:"priority,omitempty" doc:"The lowest is tried first"`
	Weight   int    `json:"weight,omitempty" doc:"Share of the requests among targets of one priority"`
	Drain    bool   `json:"drain,omitempty" doc:"Gets no new requests"`
}

// HopState is how one target is at this moment.
type HopState struct {
	URI string `json:"uri"`
	// Draining and looping targets get nothing; failed ones have just failed a request and, like those that are down, are
	// tried last.
	State string `json:"state" enum:"up,down,failed,draining,loop"`
	Since string `json:"since,omitempty" doc:"When a health check has last changed its mind, RFC 3339"`
}

// OfNextHop writes a set, without the state of its targets.
func OfNextHop(n *directory.NextHop, _ Names) NextHop {
	f := NextHop{Head: head(n), Name: n.Name, Domain: n.Domain, Prefix: n.Prefix, Hash: string(n.Hash), Health: string(n.Health),
		Patience: n.Patience.String()}
	for _, t := range n.Targets {
		f.Targets = append(f.Targets, HopTarget(t))
	}
	return f
}

// Object reads the form over what is there (nil: nothing) into a new object of the tenant.
func (f *NextHop) Object(tenant directory.ID, before *directory.NextHop) (*directory.NextHop, directory.Errors) {
	var e errs
	n := &directory.NextHop{Name: f.Name, Domain: f.Domain, Prefix: f.Prefix, Hash: directory.HopHash(f.Hash), Health: directory.HopHealth(f.Health)}
	n.Tenant = tenant
	if before != nil {
		n.Meta = before.Meta
	}
	for _, t := range f.Targets {
		n.Targets = append(n.Targets, directory.HopTarget(t))
	}
	if f.Patience != "" {
		d, err := time.ParseDuration(f.Patience)
		if err != nil || d <= 0 {
			e.add("patience", directory.CodeInvalid, "is not a length of time such as 2s")
		}
		n.Patience = d
	}
	return n, e.validate(n)
}
