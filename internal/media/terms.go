package media

import (
	"errors"
	"slices"
	"strings"

	"dialtone/internal/media/srtp"
	"dialtone/internal/sdp"
)

// Protection says whether the media of a leg is encrypted.
type Protection uint8

const (
	// Optional takes what the party offers, and offers encryption beside plain RTP where the signalling is private
	// (RFC 8643).
	Optional Protection = iota
	// Off is plain RTP; a party that insists on encryption is refused.
	Off
	// Required is SRTP; a party that offers plain RTP is refused.
	Required
)

// Keying is how the keys of an encrypted stream that we offer come about.
type Keying uint8

const (
	// InDescriptions sends them in a=crypto (RFC 4568). Whoever reads the signalling can read the media.
	InDescriptions Keying = iota
	// ByHandshake agrees on them on the media path (DTLS-SRTP, RFC 5763); the signalling carries a fingerprint.
	ByHandshake
)

// DigitForm is how a party sends and takes the keys that are pressed.
type DigitForm uint8

const (
	// DigitsAuto is RFC 4733 events where the descriptions allow them, else INFO where the party has sent one, else tones.
	DigitsAuto DigitForm = iota
	// DigitEvents are RFC 4733 events only.
	DigitEvents
	// DigitInfo is SIP INFO.
	DigitInfo
	// DigitTones are tones in the voice.
	DigitTones
)

// Terms are what is configured for the media of a leg. They are plain data, so that they can be written down.
type Terms struct {
	Protection Protection `json:"protection,omitempty"`
	Keying     Keying     `json:"keying,omitempty"`
	// Private tells that the signalling is encrypted: only then are keys offered unasked.
	Private bool `json:"private,omitempty"`
	// Browser tells that the party is a WebRTC endpoint: what it is offered has ICE, DTLS-SRTP and feedback (RFC 8834).
	Browser bool `json:"browser,omitempty"`
	// Codecs are the encoding names that the party may use, the best first; none means all.
	Codecs []string `json:"codecs,omitempty"`
	// Suites are the SRTP protection profiles that may be used, the best first, by their names of RFC 4568; none means
	// all of srtp.Suites.
	Suites []string `json:"suites,omitempty"`
	// Waived are the session parameters of RFC 4568 §6.3 by which a party may switch a protection off: UNENCRYPTED_SRTP,
	// UNENCRYPTED_SRTCP, UNAUTHENTICATED_SRTP.
	Waived []string  `json:"waived,omitempty"`
	Digits DigitForm `json:"digits,omitempty"`
}

// What is wrong with a description that cannot be agreed to.
var (
	// ErrPlain means that the party offers plain RTP where encryption is required.
	ErrPlain = errors.New("the media must be encrypted here, and the party offers plain RTP")
	// ErrEncrypted means that the party insists on encryption where it is switched off.
	ErrEncrypted = errors.New("encryption is switched off here, and the party insists on it")
	// ErrSuite means that no protection profile is known to both sides.
	ErrSuite = errors.New("no protection profile (RFC 4568 crypto-suite) in common")
	// ErrNoCommonCodec means that neither a codec in common nor a conversion connects the parties.
	ErrNoCommonCodec = errors.New("the parties have no codec in common and none that can be converted")
)

// encryption is how the party's description of a stream would have it encrypted.
type encryption uint8

const (
	plain      encryption = iota
	offersKeys            // RTP/AVP with keys beside it: RFC 8643
	insists               // RTP/SAVP, UDP/TLS/RTP/SAVP and their feedback forms
)

func (d *destination) encryption() encryption {
	switch {
	case !d.IsRTP:
		return plain
	case strings.Contains(d.Proto, "SAVP"):
		return insists
	case len(d.Crypto) > 0 || len(d.Fingerprints) > 0:
		return offersKeys
	}
	return plain
}

// admits tells whether an offer of the party may be taken under these terms.
func (t *Terms) admits(d *description) error {
	for i := range d.Media {
		m := &d.Media[i]
		if m.RTP.Port() == 0 || !m.IsRTP && m.Kind != "image" {
			continue // a fax is as secret as a voice; it may be sent through the voice
		}
		switch e := m.encryption(); {
		case e == plain && t.Protection == Required:
			return ErrPlain
		case e == insists && t.Protection == Off:
			return ErrEncrypted
		case e == insists && m.keyed(t) == "":
			return ErrSuite
		}
	}
	return nil
}

// keyed is how the keys of a stream come about that the party offers to encrypt: "dtls-srtp", "sdes", or "" when they
// cannot.
//
// RFC 8643 §3.1 leaves the choice to the answerer; a handshake keeps the keys out of the signalling.
func (d *destination) keyed(t *Terms) string {
	if len(d.Fingerprints) > 0 {
		return DTLS
	}
	if _, ok := d.chooseSuite(t); ok {
		return SDES
	}
	return ""
}

// How keys come about, in the words of the call record.
const (
	SDES = "sdes"
	DTLS = "dtls-srtp"
)

// chooseSuite is the first line of the party that we can use (RFC 4568 §5.1.2: its most preferred).
func (d *destination) chooseSuite(t *Terms) (sdp.Crypto, bool) {
	for _, c := range d.Crypto {
		if t.usable(c) {
			return c, true
		}
	}
	return sdp.Crypto{}, false
}

// usable tells whether a line of the party is one of ours: suite and key, and no protection waived that must not be.
func (t *Terms) usable(c sdp.Crypto) bool {
	if t.suite(c.Suite) == nil {
		return false
	}
	for _, p := range [...]string{sdp.UnencryptedSRTP, sdp.UnencryptedSRTCP, sdp.UnauthenticatedSRTP} {
		if _, waives := c.Param(p); waives && !slices.Contains(t.Waived, p) {
			return false
		}
	}
	_, _, err := srtp.Negotiated(c)
	return err == nil
}
