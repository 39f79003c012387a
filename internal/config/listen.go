package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Role is what a SIP listener does with the requests that arrive at it.
type Role string

// The roles of a SIP listener.
const (
	Exchange  Role = "exchange" // registrar, location, B2BUA, services: the default
	Proxy     Role = "proxy"    // stateful, forking
	Stateless Role = "stateless"
	Redirect  Role = "redirect"
	Registrar Role = "registrar"
)

// SIPListener is a place where SIP arrives, written "udp://[::]:5060?role=proxy&digest=sha-256,md5".
type SIPListener struct {
	Transport string         // "udp", "tcp", "tls", "ws" or "wss"
	Addr      netip.AddrPort // [::] is dual stack
	Role      Role
	Digest    []Algorithm // in the order offered; empty: that of [sip] digest
}

// UnmarshalText reads a listener URL.
func (l *SIPListener) UnmarshalText(text []byte) error {
	u, query, err := splitURL(string(text), "role", "digest")
	if err != nil {
		return err
	}
	v := SIPListener{Transport: u.Scheme, Role: Exchange}
	var defaultPort uint16
	switch u.Scheme {
	case "udp", "tcp":
		defaultPort = 5060
	case "tls":
		defaultPort = 5061
	case "ws":
		defaultPort = 80
	case "wss":
		defaultPort = 443
	default:
		return fmt.Errorf("%q: the transport is none of udp, tcp, tls, ws, wss", text)
	}
	if v.Addr, err = address(u, defaultPort); err != nil {
		return err
	}
	if query.Has("role") {
		v.Role = Role(query.Get("role"))
		if !slices.Contains([]Role{Exchange, Proxy, Stateless, Redirect, Registrar}, v.Role) {
			return fmt.Errorf("role %q is none of exchange, proxy, stateless, redirect, registrar", v.Role)
		}
	}
	if query.Has("digest") {
		for name := range strings.SplitSeq(query.Get("digest"), ",") {
			a, err := algorithm(name)
			if err != nil {
				return fmt.Errorf("digest %w", err)
			}
			if slices.Contains(v.Digest, a) {
				return fmt.Errorf("digest %q is named twice", name)
			}
			v.Digest = append(v.Digest, a)
		}
	}
	*l = v
	return nil
}

// String writes the listener as the file does.
func (l SIPListener) String() string {
	var query []string
	if l.Role != Exchange && l.Role != "" {
		query = append(query, "role="+string(l.Role))
	}
	if len(l.Digest) > 0 {
		names := make([]string, len(l.Digest))
		for i, a := range l.Digest {
			names[i] = string(a)
		}
		query = append(query, "digest="+strings.Join(names, ","))
	}
	s := l.Transport + "://" + l.Addr.String()
	if len(query) > 0 {
		s += "?" + strings.Join(query, "&")
	}
	return s
}

// Service is something that an HTTP listener serves.
type Service string

// The services of an HTTP listener.
const (
	Console   Service = "console"
	API       Service = "api"
	Phone     Service = "phone"
	Provision Service = "provision"
	Metrics   Service = "metrics"
)

// Services lists all of them: what a listener serves that does not say otherwise.
func Services() []Service { return []Service{Console, API, Phone, Provision, Metrics} }

// HTTPListener is a place where HTTP arrives, written "https://0.0.0.0:8443?serve=console,api&from=lan".
type HTTPListener struct {
	TLS   bool
	Addr  netip.AddrPort
	Serve []Service
	LAN   bool // from=lan: loopback and private source addresses only
	// Chosen tells that serve= was written: what cannot be served then is an error, not a gap.
	Chosen bool
}

// Serves tells whether the listener offers s.
func (l HTTPListener) Serves(s Service) bool { return slices.Contains(l.Serve, s) }

// UnmarshalText reads a listener URL.
func (l *HTTPListener) UnmarshalText(text []byte) error {
	u, query, err := splitURL(string(text), "serve", "from")
	if err != nil {
		return err
	}
	v := HTTPListener{TLS: u.Scheme == "https", Serve: Services()}
	var defaultPort uint16
	switch u.Scheme {
	case "http":
		defaultPort = 80
	case "https":
		defaultPort = 443
	default:
		return fmt.Errorf("%q: the scheme is none of http, https", text)
	}
	if v.Addr, err = address(u, defaultPort); err != nil {
		return err
	}
	if query.Has("serve") {
		v.Serve, v.Chosen = nil, true
		for name := range strings.SplitSeq(query.Get("serve"), ",") {
			s := Service(name)
			if !slices.Contains(Services(), s) {
				return fmt.Errorf("serve %q is none of console, api, phone, provision, metrics", name)
			}
			if !slices.Contains(v.Serve, s) {
				v.Serve = append(v.Serve, s)
			}
		}
	}
	if query.Has("from") {
		if query.Get("from") != "lan" {
			return fmt.Errorf("from %q is not lan", query.Get("from"))
		}
		v.LAN = true
	}
	*l = v
	return nil
}

// URL is where the listener is reached at its address.
func (l HTTPListener) URL() string {
	if l.TLS {
		return "https://" + l.Addr.String()
	}
	return "http://" + l.Addr.String()
}

// String writes the listener as the file does.
func (l HTTPListener) String() string {
	s := l.URL()
	sep := "?"
	if l.Chosen {
		names := make([]string, len(l.Serve))
		for i, v := range l.Serve {
			names[i] = string(v)
		}
		s += sep + "serve=" + strings.Join(names, ",")
		sep = "&"
	}
	if l.LAN {
		s += sep + "from=lan"
	}
	return s
}

// splitURL takes a listener URL apart and refuses what a listener has no use for.
func splitURL(text string, keys ...string) (*url.URL, url.Values, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%q is not a URL", text)
	}
	if u.User != nil || u.Fragment != "" || (u.Path != "" && u.Path != "/") || u.Opaque != "" {
		return nil, nil, fmt.Errorf("%q: a listener is scheme://address:port?options", text)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, nil, fmt.Errorf("%q: the options cannot be read", text)
	}
	for key, values := range query {
		if !slices.Contains(keys, key) {
			return nil, nil, fmt.Errorf("option %q is none of %s", key, strings.Join(keys, ", "))
		}
		if len(values) > 1 {
			return nil, nil, fmt.Errorf("option %q is given twice", key)
		}
	}
	return u, query, nil
}

// address reads the host and port of a listener. A host name would make the place depend on DNS at boot, so that only
// addresses (and localhost, for convenience) are taken.
func address(u *url.URL, defaultPort uint16) (netip.AddrPort, error) {
	host := u.Hostname()
	switch host {
	case "":
		return netip.AddrPort{}, errors.New("the address is missing")
	case "localhost":
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address", host)
	}
	number := defaultPort
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q is not a port", p)
		}
		number = uint16(n) // 0 asks the system for a free port
	}
	return netip.AddrPortFrom(ip, number), nil
}
