package directory

import (
	"slices"
	"strconv"
	"strings"
)

// DeviceMedia is what is particular about the media of a device.
type DeviceMedia struct {
	// Codecs may be used, the best first, by their RTP encoding names in lower case; none means all.
	Codecs []string `json:"codecs,omitempty"`
	// DTMF is how keys are sent and taken; "" is DTMFAuto.
	DTMF DTMF `json:"dtmf,omitempty"`
	// Keys is how the keys of encryption that is offered to the device come about; "" is KeysSDES.
	Keys Keys `json:"keys,omitempty"`
	// Suites are the SRTP protection profiles that may be used, the best first, by their names of RFC 4568; none means all.
	Suites []string `json:"suites,omitempty"`
	// Waive are the protections that the device may switch off (RFC 4568 §6.3).
	Waive []string `json:"waive,omitempty"`
}

// DTMF says how a device sends and takes the keys that are pressed.
type DTMF string

// The ways of keys.
const (
	DTMFAuto       DTMF = "auto"    // events where the descriptions allow them, else INFO or tones
	DTMFEvents     DTMF = "rfc4733" // RTP events
	DTMFInfo       DTMF = "info"    // SIP INFO
	DTMFInBand     DTMF = "inband"  // tones in the voice
	maxDeviceMedia      = 16        // entries of each list
)

// Keys says how keys of encryption come about.
type Keys string

// The ways to agree on keys.
const (
	KeysSDES Keys = "sdes" // in the description (RFC 4568)
	KeysDTLS Keys = "dtls" // by a handshake on the media path (RFC 5764)
)

// The protections that may be waived.
const (
	WaiveEncryption        = "unencrypted_srtp"
	WaiveControlEncryption = "unencrypted_srtcp"
	WaiveAuthentication    = "unauthenticated_srtp"
)

func (m *DeviceMedia) clone() *DeviceMedia {
	if m == nil {
		return nil
	}
	c := *m
	c.Codecs, c.Suites, c.Waive = slices.Clone(m.Codecs), slices.Clone(m.Suites), slices.Clone(m.Waive)
	return &c
}

func (m *DeviceMedia) validate(errs *Errors) {
	if m == nil {
		return
	}
	oneOf(errs, "media.dtmf", m.DTMF, "", DTMFAuto, DTMFEvents, DTMFInfo, DTMFInBand)
	oneOf(errs, "media.keys", m.Keys, "", KeysSDES, KeysDTLS)
	words(errs, "media.codecs", m.Codecs)
	words(errs, "media.suites", m.Suites)
	for i, w := range m.Waive {
		oneOf(errs, "media.waive["+strconv.Itoa(i)+"]", w, WaiveEncryption, WaiveControlEncryption, WaiveAuthentication)
	}
	if len(m.Waive) > maxDeviceMedia {
		errs.add("media.waive", CodeOutOfRange, "has more than 16 entries")
	}
}

// words checks a list of names of the media plane.
func words(errs *Errors, field string, list []string) {
	if len(list) > maxDeviceMedia {
		errs.add(field, CodeOutOfRange, "has more than 16 entries")
		return
	}
	for i, w := range list {
		at := field + "[" + strconv.Itoa(i) + "]"
		switch {
		case w == "" || len(w) > 40 || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "":
			errs.add(at, CodeInvalid, "is no name: letters, digits, -, _ and . only")
		case slices.ContainsFunc(list[:i], func(o string) bool { return strings.EqualFold(o, w) }):
			errs.add(at, CodeConflict, "stands in the list twice")
		}
	}
}
