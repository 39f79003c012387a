package ice

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// State is what another process needs to go on in place of an Agent. It encodes as JSON, passwords included; printed and
// logged it shows none.
type State struct {
	Ufrag       string           `json:"ufrag"`
	Pwd         string           `json:"pwd"`
	RemoteUfrag string           `json:"remote_ufrag,omitempty"`
	RemotePwd   string           `json:"remote_pwd,omitempty"`
	Selected    netip.AddrPort   `json:"selected"`
	Verified    []netip.AddrPort `json:"verified,omitempty"`

	// While a restart is not complete: the credentials of before and the addresses proven with them.
	OldUfrag       string           `json:"old_ufrag,omitempty"`
	OldPwd         string           `json:"old_pwd,omitempty"`
	OldRemoteUfrag string           `json:"old_remote_ufrag,omitempty"`
	OldVerified    []netip.AddrPort `json:"old_verified,omitempty"`
}

// Format implements fmt.Formatter: no verb shows a password.
func (s State) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// String tells the user fragments and the selected address.
func (s State) String() string {
	return fmt.Sprintf("ICE %s:%s %v", s.Ufrag, s.RemoteUfrag, s.Selected)
}

// LogValue implements slog.LogValuer.
func (s State) LogValue() slog.Value { return slog.StringValue(s.String()) }

// State is a copy of where the agent stands.
func (a *Agent) State() State {
	s := State{
		Ufrag: a.ours.ufrag, Pwd: string(a.ours.pwd), RemoteUfrag: a.theirs.ufrag, RemotePwd: string(a.theirs.pwd), Selected: a.chosen,
		OldUfrag: a.older.ufrag, OldPwd: string(a.older.pwd), OldRemoteUfrag: a.formerly,
	}
	for i := range a.pairs {
		switch p := &a.pairs[i]; {
		case !a.counts(p):
		case p.generation == a.restarts:
			s.Verified = append(s.Verified, p.remote)
		default:
			s.OldVerified = append(s.OldVerified, p.remote)
		}
	}
	return s
}

// Restore makes an agent that goes on after a State. Its addresses count as heard at now.
func Restore(s State, now time.Duration) (*Agent, error) {
	if s.Ufrag == "" || s.Pwd == "" {
		return nil, errors.New("restore ICE: no credentials")
	}
	if len(s.Verified)+len(s.OldVerified) > maxPairs {
		return nil, errors.New("restore ICE: too many addresses")
	}
	a := &Agent{ours: credentials{s.Ufrag, []byte(s.Pwd)}, theirs: credentials{s.RemoteUfrag, []byte(s.RemotePwd)}}
	if s.OldUfrag != "" {
		a.restarts, a.older, a.formerly = 1, credentials{s.OldUfrag, []byte(s.OldPwd)}, s.OldRemoteUfrag
	}
	add := func(remotes []netip.AddrPort, generation int, ufrag string) {
		for _, remote := range remotes {
			if a.find(remote) == nil {
				a.pairs = append(a.pairs, pair{remote: remote, generation: generation, ufrag: ufrag, heard: now, nominated: remote == s.Selected})
			}
		}
	}
	add(s.Verified, a.restarts, s.RemoteUfrag)
	add(s.OldVerified, 0, s.OldRemoteUfrag)
	if a.find(s.Selected) != nil {
		a.chosen = s.Selected
	}
	return a, nil
}

// Format implements fmt.Formatter: no verb shows a password.
func (a *Agent) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.State().String())) }

// LogValue implements slog.LogValuer.
func (a *Agent) LogValue() slog.Value { return a.State().LogValue() }
