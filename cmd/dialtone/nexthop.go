package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"dialtone/internal/admin/client"
	"dialtone/internal/admin/form"
)

type nextHopCmd struct {
	remote
	List    listCmd        `cmd:"" help:"List next hops, and how their targets are."`
	Show    showCmd        `cmd:"" help:"Show a next hop, and how its targets are."`
	Add     nextHopAdd     `cmd:"" help:"Add a next hop."`
	Set     nextHopSet     `cmd:"" help:"Change a next hop."`
	Drain   nextHopDrain   `cmd:"" help:"Keep new requests away from a target."`
	Undrain nextHopUndrain `cmd:"" help:"Let a target have new requests again."`
	Rm      removeCmd      `cmd:"" help:"Remove next hops."`
}

// AfterApply binds the noun that the subcommands speak of.
func (c *nextHopCmd) AfterApply(k *kong.Context) error {
	k.Bind(&noun{path: "/next_hops", key: "name", columns: []string{"name", "domain", "prefix", "hash", "health", "targets", "state"}})
	return nil
}

type nextHopFields struct {
	Domain   *string `json:"domain,omitempty" help:"Domain of the requests; our own ones without it."`
	Prefix   *string `json:"prefix,omitempty" help:"What their user part begins with."`
	Hash     *string `json:"hash,omitempty" help:"What requests share that go to the same target: call-id, source or none."`
	Health   *string `json:"health,omitempty" help:"options or none."`
	Patience *string `json:"patience,omitempty" help:"How long an INVITE waits for any response, such as 2s."`

	Target []string `json:"-" sep:"none" placeholder:"\"URI [priority=N] [weight=N] [drain]\"" help:"Server to add or change; may be repeated."`
}

// targets puts those of the command line over those that there are; what a target of theirs does not say stays.
func (f *nextHopFields) targets(there []form.HopTarget) ([]form.HopTarget, error) {
	for _, text := range f.Target {
		words := strings.Fields(text)
		if len(words) == 0 {
			return nil, usage("--target needs a URI")
		}
		at := targetAt(there, words[0])
		t := form.HopTarget{URI: words[0]}
		if at >= 0 {
			t = there[at]
		}
		for _, word := range words[1:] {
			name, value, _ := strings.Cut(word, "=")
			n, err := strconv.Atoi(value)
			switch {
			case name == "priority" && err == nil:
				t.Priority = n
			case name == "weight" && err == nil:
				t.Weight = n
			case word == "drain":
				t.Drain = true
			default:
				return nil, usage("--target %q: %q is none of priority=N, weight=N and drain", text, word)
			}
		}
		if at >= 0 {
			there[at] = t
		} else {
			there = append(there, t)
		}
	}
	return there, nil
}

func targetAt(targets []form.HopTarget, uri string) int {
	return slices.IndexFunc(targets, func(t form.HopTarget) bool { return strings.EqualFold(t.URI, uri) })
}

type nextHopAdd struct {
	inTenant
	nextHopFields
	Name string `arg:""`
}

// Run adds a next hop.
func (c *nextHopAdd) Run(s *session, n *noun) error {
	body, err := object(c.nextHopFields)
	if err != nil {
		return err
	}
	if body["targets"], err = c.targets(nil); err != nil {
		return err
	}
	return s.add(n, c.inTenant, c.Name, body)
}

type nextHopSet struct {
	inTenant
	nextHopFields
	Name     string   `arg:""`
	RmTarget []string `help:"URI of a target to remove; may be repeated." placeholder:"URI"`
}

// Run changes a next hop.
func (c *nextHopSet) Run(s *session, n *noun) error {
	if len(c.Target) == 0 && len(c.RmTarget) == 0 {
		return s.set(n, c.inTenant, c.Name, c.nextHopFields)
	}
	return s.setTargets(n, c.inTenant, c.Name, c.nextHopFields, func(there []form.HopTarget) ([]form.HopTarget, error) {
		for _, uri := range c.RmTarget {
			at := targetAt(there, uri)
			if at < 0 {
				return nil, fmt.Errorf("next hop %s has no target %s", c.Name, uri)
			}
			there = slices.Delete(there, at, at+1)
		}
		return c.targets(there)
	})
}

// setTargets changes a next hop with its targets, which are a list in the API: it is read, changed and written back as long
// as nobody else has changed it meanwhile.
func (s *session) setTargets(n *noun, tenant inTenant, name string, fields any, change func([]form.HopTarget) ([]form.HopTarget, error)) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	path := n.path + "/" + url.PathEscape(name)
	answer, err := server.Do(s.ctx, client.Request{Path: path, Query: tenant.query()})
	if err != nil {
		return err
	}
	var hop form.NextHop
	if err := json.Unmarshal(answer.Body, &hop); err != nil {
		return fmt.Errorf("understand the answer: %w", err)
	}
	body, err := object(fields)
	if err != nil {
		return err
	}
	targets, err := change(hop.Targets)
	if err != nil {
		return err
	}
	body["targets"] = slices.Concat([]form.HopTarget{}, targets)
	answer, err = server.Do(s.ctx, client.Request{
		Method: http.MethodPatch, Path: path, Query: tenant.query(), Body: body, Type: "application/merge-patch+json",
		Match: answer.Header.Get("ETag"),
	})
	if err != nil {
		return err
	}
	return s.printObject(answer.Body)
}

// drained is what drain and undrain have in common.
type drained struct {
	inTenant
	Name string `arg:""`
	URI  string `arg:"" name:"uri" help:"The target."`
}

func (c *drained) run(s *session, n *noun, drain bool) error {
	return s.setTargets(n, c.inTenant, c.Name, struct{}{}, func(there []form.HopTarget) ([]form.HopTarget, error) {
		at := targetAt(there, c.URI)
		if at < 0 {
			return nil, fmt.Errorf("next hop %s has no target %s", c.Name, c.URI)
		}
		there[at].Drain = drain
		return there, nil
	})
}

type nextHopDrain struct{ drained }

// Run keeps new requests away from a target.
func (c *nextHopDrain) Run(s *session, n *noun) error { return c.run(s, n, true) }

type nextHopUndrain struct{ drained }

// Run lets a target have new requests again.
func (c *nextHopUndrain) Run(s *session, n *noun) error { return c.run(s, n, false) }
