package directory

import (
	"slices"
	"strings"
	"time"
)

// HopHash says what decides which target of a set a request goes to.
type HopHash string

// The choices: requests that share it go to the same target.
const (
	HashCallID HopHash = "call-id" // all of one call
	HashSource HopHash = "source"  // all from one address
	HashNone   HopHash = "none"    // nothing: lots are drawn for each request
)

// HopHealth says how a set finds out which of its targets are alive.
type HopHealth string

// The ways.
const (
	HealthOptions HopHealth = "options" // they are asked with OPTIONS
	HealthNone    HopHealth = "none"    // only by what requests meet
)

// Bounds of a set.
const (
	maxTargets      = 64
	maxOrder        = 65535 // of priority and weight, as in SRV records (RFC 2782)
	defaultPatience = 2 * time.Second
	minPatience     = 500 * time.Millisecond // T1: an answer may need as long
	maxPatience     = 30 * time.Second       // less than timer B, which gives up by itself
)

// NextHop is a set of servers behind this one, and the requests that go to them: those for a domain, or those for our
// own domains whose user part begins with a prefix and is no line.
type NextHop struct {
	Meta
	Name string `json:"name"`
	// Domain is the domain of the Request-URI, lower case; "": our own ones.
	Domain string `json:"domain,omitempty"`
	// Prefix is what its user part begins with; "": anything. There is a domain, a prefix, or both.
	Prefix  string      `json:"prefix,omitempty"`
	Targets []HopTarget `json:"targets"`
	Hash    HopHash     `json:"hash"`
	Health  HopHealth   `json:"health"`
	// Patience is how long an INVITE waits for any response before it is sent to the next target as well.
	Patience time.Duration `json:"patience"`
}

// HopTarget is one server of a set.
type HopTarget struct {
	// URI is where it is: a SIP URI without user part; a name goes through NAPTR and SRV records (RFC 3263).
	URI string `json:"uri"`
	// Priority orders the targets, the lowest first; Weight shares the requests out among those of one priority.
	Priority int `json:"priority"`
	Weight   int `json:"weight"`
	// Drain keeps new requests away: what has begun there goes on.
	Drain bool `json:"drain,omitempty"`
}

// ObjectKind implements Object.
func (n *NextHop) ObjectKind() Kind { return KindNextHop }

// Key implements Object.
func (n *NextHop) Key() string { return n.Name }

// SetDefaults implements Object.
func (n *NextHop) SetDefaults() {
	n.Domain = CanonicalDomain(n.Domain)
	if n.Hash == "" {
		n.Hash = HashCallID
	}
	if n.Health == "" {
		n.Health = HealthOptions
	}
	if n.Patience == 0 {
		n.Patience = defaultPatience
	}
	n.Targets = slices.Clone(n.Targets)
	for i := range n.Targets {
		t := &n.Targets[i]
		if t.Priority == 0 {
			t.Priority = 1
		}
		if t.Weight == 0 {
			t.Weight = 1
		}
	}
}

// Validate implements Object.
func (n *NextHop) Validate() error {
	var errs Errors
	errs.label("name", n.Name)
	if n.Domain == "" && n.Prefix == "" {
		errs.add("domain", CodeRequired, "is required where there is no prefix")
	}
	if n.Domain != "" && !isDomain(n.Domain) {
		errs.add("domain", CodeInvalid, "is not a host name")
	}
	if n.Prefix != "" {
		errs.userPart("prefix", n.Prefix)
	}
	switch {
	case len(n.Targets) == 0:
		errs.add("targets", CodeRequired, "is required")
	case len(n.Targets) > maxTargets:
		errs.add("targets", CodeOutOfRange, "has more than 64 entries")
	}
	for i := range n.Targets {
		t := &n.Targets[i]
		errs.under(indexed("targets", i), t.validate())
		if slices.ContainsFunc(n.Targets[:i], func(o HopTarget) bool { return strings.EqualFold(o.URI, t.URI) }) {
			errs.add(indexed("targets", i)+".uri", CodeDuplicate, "is listed twice")
		}
	}
	oneOf(&errs, "hash", n.Hash, HashCallID, HashSource, HashNone)
	oneOf(&errs, "health", n.Health, HealthOptions, HealthNone)
	if n.Patience < minPatience || n.Patience > maxPatience {
		errs.add("patience", CodeOutOfRange, "must be from 500ms to 30s")
	}
	return errs.Err()
}

func (t *HopTarget) validate() (errs Errors) {
	switch reason := addressFault(t.URI); {
	case t.URI == "":
		errs.add("uri", CodeRequired, "is required")
	case reason != "":
		errs.add("uri", CodeInvalid, reason)
	case strings.ContainsAny(t.URI, "@?"):
		errs.add("uri", CodeInvalid, "names a server: it may have neither a user part nor headers")
	}
	if t.Priority < 1 || t.Priority > maxOrder {
		errs.add("priority", CodeOutOfRange, "must be from 1 to 65535")
	}
	if t.Weight < 1 || t.Weight > maxOrder {
		errs.add("weight", CodeOutOfRange, "must be from 1 to 65535")
	}
	return errs
}
