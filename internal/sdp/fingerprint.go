package sdp

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// maxFingerprints is how many fingerprints of a stream are read.
const maxFingerprints = 16

// Fingerprint is one a=fingerprint line (RFC 8122 §5): the hash of the certificate that the side shows in DTLS or TLS.
type Fingerprint struct {
	Hash string // "sha-256", in lower case
	Sum  []byte
}

// Fingerprints are those that hold for stream i: its own, or the session's when it has none (RFC 8122 §5: "an attribute
// at the media level takes precedence"). Faulty lines are left out.
func (d *Description) Fingerprints(i int) []Fingerprint {
	if own := fingerprints(d.Media[i].Attributes); own != nil {
		return own
	}
	return fingerprints(d.Attributes)
}

func fingerprints(attributes []Attribute) []Fingerprint {
	var all []Fingerprint
	for i := range attributes {
		if attributes[i].Name != "fingerprint" {
			continue
		}
		if f, err := ParseFingerprint(attributes[i].Value); err == nil && len(all) < maxFingerprints {
			all = append(all, f)
		}
	}
	return all
}

// ParseFingerprint reads "sha-256 4A:AD:...". A known hash must have its length.
//
// Interop: RFC 8122 §5 has the bytes in upper case; both cases are sent.
func ParseFingerprint(value string) (Fingerprint, error) {
	hash, rest := cutField(value)
	text, rest := cutField(rest)
	f := Fingerprint{Hash: strings.ToLower(hash)}
	if f.Hash == "" || len(f.Hash) > 32 || !isToken(f.Hash) || rest != "" {
		return Fingerprint{}, errors.New("parse fingerprint: not of the form hash XX:XX:...")
	}
	if len(text)%3 != 2 || len(text) > 3*64 {
		return Fingerprint{}, errors.New("parse fingerprint: length of the sum")
	}
	digits := make([]byte, 0, 128)
	for i := 0; i < len(text); i++ {
		if i%3 != 2 {
			digits = append(digits, text[i])
		} else if text[i] != ':' {
			return Fingerprint{}, errors.New("parse fingerprint: no colon between the bytes")
		}
	}
	sum, err := hex.AppendDecode(nil, digits)
	if err != nil {
		return Fingerprint{}, errors.New("parse fingerprint: sum is not hexadecimal")
	}
	if size := hashSize(f.Hash); size != 0 && size != len(sum) {
		return Fingerprint{}, errors.New("parse fingerprint: sum has not the length of its hash")
	}
	f.Sum = sum
	return f, nil
}

// hashSize is the length of a sum in bytes; 0 for a hash that is not known.
func hashSize(name string) int {
	switch name {
	case "md2", "md5":
		return 16
	case "sha-1":
		return 20
	case "sha-224":
		return 28
	case "sha-256":
		return 32
	case "sha-384":
		return 48
	case "sha-512":
		return 64
	}
	return 0
}

// String is the value of the line: "sha-256 4A:AD:...".
func (f Fingerprint) String() string {
	const digits = "0123456789ABCDEF"
	b := append(make([]byte, 0, len(f.Hash)+3*len(f.Sum)+1), f.Hash...)
	separator := byte(' ')
	for _, c := range f.Sum {
		b = append(b, separator, digits[c>>4], digits[c&15])
		separator = ':'
	}
	return string(b)
}

// Attribute is the a= line.
func (f Fingerprint) Attribute() Attribute { return Attribute{"fingerprint", f.String()} }

// Equal tells whether both name the same certificate by the same hash.
func (f Fingerprint) Equal(o Fingerprint) bool { return f.Hash == o.Hash && slices.Equal(f.Sum, o.Sum) }

// Setup says who opens a connection or begins a DTLS association (RFC 4145 §4). The zero value says nothing.
type Setup uint8

// The roles of RFC 4145 §4.
const (
	NoSetup  Setup = iota
	Active         // begins: the DTLS client
	Passive        // waits: the DTLS server
	ActPass        // leaves it to the answer; every offer of DTLS-SRTP (RFC 8842 §5.2)
	HoldConn       // nothing for now
)

// String is the word of the attribute, "" for NoSetup.
func (s Setup) String() string {
	switch s {
	case Active:
		return "active"
	case Passive:
		return "passive"
	case ActPass:
		return "actpass"
	case HoldConn:
		return "holdconn"
	}
	return ""
}

// Setup is the role that holds for stream i: its own or the session's; NoSetup when none is said.
func (d *Description) Setup(i int) Setup {
	value, ok := d.Media[i].Attribute("setup")
	if !ok {
		value, _ = d.Attribute("setup")
	}
	for s := Active; s <= HoldConn; s++ {
		if strings.EqualFold(value, s.String()) {
			return s
		}
	}
	return NoSetup
}

// Answer is the role to answer an offered one with.
//
// RFC 4145 §4.1 has the table; an offer that says nothing means active. RFC 8842 §5.3: an answer to actpass SHOULD be
// active, so that the association begins as soon as possible.
func (s Setup) Answer() Setup {
	switch s {
	case ActPass, Passive:
		return Active
	case HoldConn:
		return HoldConn
	}
	return Passive
}

// Attribute is the a= line; not for NoSetup.
func (s Setup) Attribute() Attribute { return Attribute{"setup", s.String()} }

// TLSID is the identity of the DTLS association of stream i (RFC 8842 §4): another one than before asks for a new
// association. It is "" when there is none or when it is faulty.
func (d *Description) TLSID(i int) string {
	value, _ := d.Media[i].Attribute("tls-id")
	// RFC 8842 §4: tls-id-value = 20*255(tls-id-char)
	if len(value) < 20 || len(value) > 255 {
		return ""
	}
	for j := 0; j < len(value); j++ {
		if c := value[j]; c != '-' && c != '_' && !isICEChar(c) {
			return ""
		}
	}
	return value
}
