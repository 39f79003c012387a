package directory

import (
	"net/netip"
	"slices"
	"strings"
)

// Auth says how a device proves who it is.
type Auth string

// The ways to know a device.
const (
	AuthPassword Auth = "password" // digest (RFC 7616)
	AuthStatic   Auth = "static"   // by the source address of its packets
)

// Transport is the protocol a device uses; "" is any.
type Transport string

// The transports.
const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
	TLS Transport = "tls"
	WS  Transport = "ws"
	WSS Transport = "wss"
)

// SRTP says whether the media of a device is encrypted. "optional" is the default: what the device offers is taken, and
// encryption is offered where the signalling is encrypted.
type SRTP string

// The choices of media encryption.
const (
	SRTPOff      SRTP = "off"
	SRTPOptional SRTP = "optional"
	SRTPRequired SRTP = "required"
)

// Device is a SIP account of a line.
type Device struct {
	// ID is given by the store.
	ID ID `json:"id,omitzero"`
	// Username is the authentication name, unique in the tenant.
	Username string `json:"username"`
	Auth     Auth   `json:"auth"`
	// Credentials are the passwords that are valid now, the newest first: one, or two while a phone moves to the new one.
	Credentials []Credential `json:"credentials,omitempty"`
	// From are the networks a static device sends from. Several devices may send from one address.
	From []netip.Prefix `json:"from,omitempty"`
	// Address is the SIP URI where a static device is reached; "" for one that registers.
	Address   string    `json:"address,omitempty"`
	Transport Transport `json:"transport,omitempty"`
	SRTP      SRTP      `json:"srtp"`
	// Media is what is particular about the device's media; nil for most.
	Media *DeviceMedia `json:"media,omitempty"`
}

// MaxCredentials is the number of passwords of a device that can be valid at once.
const MaxCredentials = 2

// Static reports whether the device is known by its address.
func (d *Device) Static() bool { return d.Auth == AuthStatic }

func (d *Device) setDefaults() {
	if d.Auth == "" {
		d.Auth = AuthPassword
	}
	if d.SRTP == "" {
		d.SRTP = SRTPOptional
	}
	d.From = maskedPrefixes(d.From)
	d.Credentials = slices.Clone(d.Credentials)
}

func (d *Device) validate() Errors {
	var errs Errors
	errs.userPart("username", d.Username)
	oneOf(&errs, "auth", d.Auth, AuthPassword, AuthStatic)
	oneOf(&errs, "transport", d.Transport, "", UDP, TCP, TLS, WS, WSS)
	oneOf(&errs, "srtp", d.SRTP, SRTPOff, SRTPOptional, SRTPRequired)
	errs.prefixes("from", d.From)
	d.Media.validate(&errs)
	switch d.Auth {
	case AuthStatic:
		if len(d.From) == 0 {
			errs.add("from", CodeRequired, "is required for a static device")
		}
		if len(d.Credentials) > 0 {
			errs.add("password", CodeConflict, "a static device has none")
		}
	case AuthPassword:
		if len(d.Credentials) == 0 {
			errs.add("password", CodeRequired, "is required")
		}
		if len(d.From) > 0 {
			errs.add("from", CodeConflict, "is for static devices")
		}
		if d.Address != "" {
			errs.add("address", CodeConflict, "is for static devices, others register")
		}
	}
	if len(d.Credentials) > MaxCredentials {
		errs.add("password", CodeOutOfRange, "at most two can be valid at once")
	}
	for i := range d.Credentials {
		if reason := d.Credentials[i].fault(); reason != "" {
			errs.add("password", CodeInvalid, reason)
		}
	}
	if d.Address != "" {
		if reason := addressFault(d.Address); reason != "" {
			errs.add("address", CodeInvalid, reason)
		}
	}
	return errs
}

// addressFault checks the outline of a SIP URI (RFC 3261 §19.1); the parts are parsed where calls are sent.
func addressFault(uri string) string {
	rest, ok := strings.CutPrefix(uri, "sip:")
	if !ok {
		rest, ok = strings.CutPrefix(uri, "sips:")
	}
	switch {
	case !ok:
		return "must begin with sip: or sips:"
	case len(uri) > 512:
		return "is longer than 512 bytes"
	case strings.ContainsAny(rest, " \t\r\n<>\"") || !printable(rest):
		return "may not have blanks, <, > or quotes"
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	host, _, _ := strings.Cut(rest, ";")
	host, _, _ = strings.Cut(host, "?")
	if addr, err := netip.ParseAddrPort(host); err == nil && addr.IsValid() {
		return ""
	}
	if name, port, found := strings.Cut(host, ":"); found && !strings.HasPrefix(host, "[") {
		if port == "" || len(port) > 5 || !isDigits(port) || len(port) == 5 && port > "65535" {
			return "has a port that is not a number up to 65535"
		}
		host = name
	}
	if !isDomain(host) {
		return "has no host"
	}
	return ""
}
