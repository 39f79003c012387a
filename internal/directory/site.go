package directory

import (
	"net/netip"
	"slices"
)

// Site is a place: an office with its networks. Lines belong to one; what is dialled there is read with its area code
// and country, and emergency calls come from it.
type Site struct {
	Meta
	Name string `json:"name"`
	// Subnets are the networks of the site, masked.
	Subnets []netip.Prefix `json:"subnets,omitempty"`
	// AreaCode is the trunk code of the place without its leading zero ("21").
	AreaCode string `json:"area_code,omitempty"`
	// Country is the ISO 3166-1 alpha-2 code ("IR").
	Country string `json:"country,omitempty"`
	// DirectMedia lets the media of calls within the site go straight between its devices.
	DirectMedia bool `json:"direct_media,omitempty"`
}

// ObjectKind implements Object.
func (s *Site) ObjectKind() Kind { return KindSite }

// Key implements Object.
func (s *Site) Key() string { return s.Name }

// SetDefaults implements Object.
func (s *Site) SetDefaults() { s.Subnets = maskedPrefixes(s.Subnets) }

// Validate implements Object.
func (s *Site) Validate() error {
	var errs Errors
	errs.label("name", s.Name)
	errs.prefixes("subnets", s.Subnets)
	if len(s.AreaCode) > 8 || !isDigits(s.AreaCode) {
		errs.add("area_code", CodeInvalid, "must be up to 8 digits without the leading zero")
	}
	if s.Country != "" && (len(s.Country) != 2 || s.Country[0] < 'A' || s.Country[0] > 'Z' || s.Country[1] < 'A' || s.Country[1] > 'Z') {
		errs.add("country", CodeInvalid, "must be two capital letters such as IR (ISO 3166-1)")
	}
	return errs.Err()
}

// maskedPrefixes clears host bits and writes IPv4-mapped IPv6 networks as IPv4.
func maskedPrefixes(in []netip.Prefix) []netip.Prefix {
	out := slices.Clone(in)
	for i, p := range out {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out[i] = p.Masked()
	}
	return out
}

func (e *Errors) prefixes(field string, prefixes []netip.Prefix) {
	for i, p := range prefixes {
		switch {
		case !p.IsValid():
			e.add(indexed(field, i), CodeInvalid, "is not a network such as 10.1.0.0/16")
		case slices.Contains(prefixes[:i], p):
			e.add(indexed(field, i), CodeDuplicate, "is listed twice")
		}
	}
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
