package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"dialtone/bench/ng"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
)

// control answers the requests of the control protocol: a cookie, a blank and a dictionary.
type control struct {
	engine *media.Engine
	calls  map[string]*pair
	recent [recentCap]answered // a ring: a request that comes again gets the answer that it got
	next   int
}

// recentCap is how many answers are kept.
const recentCap = 64

type answered struct {
	from   netip.AddrPort
	cookie string
	answer []byte
}

// pair is one call: the session of the caller and that of the called party.
type pair struct{ caller, called *media.Session }

func newControl(e *media.Engine) *control {
	return &control{engine: e, calls: map[string]*pair{}}
}

// handle answers one request; nil when it is none.
func (c *control) handle(request []byte, from netip.AddrPort) []byte {
	cookie, body, found := bytes.Cut(request, []byte{' '})
	if !found {
		return nil
	}
	for i := range c.recent {
		if a := &c.recent[i]; a.from == from && a.cookie == string(cookie) {
			return a.answer
		}
	}
	fields, err := ng.ParseFields(body)
	if err != nil {
		return nil
	}
	answer := append(append([]byte(nil), cookie...), ' ')
	switch text, err := c.obey(fields, from); {
	case err != nil:
		answer = ng.AppendFields(answer, "error-reason", err.Error(), "result", "error")
	case fields["command"] == "ping":
		answer = ng.AppendFields(answer, "result", "pong")
	case text == "":
		answer = ng.AppendFields(answer, "result", "ok")
	default:
		answer = ng.AppendFields(answer, "result", "ok", "sdp", text)
	}
	c.recent[c.next] = answered{from, string(cookie), answer}
	c.next = (c.next + 1) % recentCap
	return answer
}

// obey does what is asked and returns the description for the other party, if there is one.
func (c *control) obey(fields map[string]string, from netip.AddrPort) (string, error) {
	id := fields["call-id"]
	switch fields["command"] {
	case "ping":
		return "", nil
	case "delete":
		if p := c.calls[id]; p != nil {
			p.close()
			delete(c.calls, id)
		}
		return "", nil
	case "offer", "answer":
	default:
		return "", fmt.Errorf("unknown command %q", fields["command"])
	}
	theirs, err := sdp.Parse([]byte(fields["sdp"]))
	if err != nil {
		return "", err
	}
	p := c.calls[id]
	if fields["command"] == "answer" {
		if p == nil {
			return "", fmt.Errorf("no call %q", id)
		}
		return pass(p.called.RemoteAnswer, p.caller.Answer, theirs, from.Addr())
	}
	if p == nil {
		if p, err = c.open(from.Addr(), theirs); err != nil {
			return "", err
		}
		c.calls[id] = p
	}
	return pass(p.caller.RemoteOffer, p.called.Offer, theirs, from.Addr())
}

// open makes the sessions of a call. The called party is offered encryption where the caller insists on it.
func (c *control) open(peer netip.Addr, offer *sdp.Description) (*pair, error) {
	var terms media.Terms
	if len(offer.Media) > 0 && strings.Contains(offer.Media[0].Proto, "SAVP") {
		terms.Protection = media.Required
	}
	caller, err := c.engine.NewSession(media.SessionConfig{Peer: peer, Terms: terms})
	if err != nil {
		return nil, err
	}
	called, err := c.engine.NewSession(media.SessionConfig{Peer: peer, Terms: terms})
	if err != nil {
		caller.Close()
		return nil, err
	}
	media.Bridge(caller, called)
	return &pair{caller, called}, nil
}

func (p *pair) close() {
	p.caller.Close()
	p.called.Close()
}

// pass lets one party's session hear its description and the other one's write that for the other party.
func pass(hear func(*sdp.Description, netip.Addr) error, write func(*sdp.Description) (*sdp.Description, error), theirs *sdp.Description, peer netip.Addr) (string, error) {
	if err := hear(theirs, peer); err != nil {
		return "", err
	}
	ours, err := write(theirs)
	if err != nil {
		return "", err
	}
	return ours.String(), nil
}
