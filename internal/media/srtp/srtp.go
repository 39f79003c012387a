// Package srtp secures RTP and RTCP packets of one direction of a stream and opens them (RFC 3711, 6188, 7714).
//
// It owns the table of suites, which packet index a packet has (roll-over counters), the replay windows, the limits on
// sources and packets, and the state with which another process goes on. The ciphers themselves are those of
// github.com/pion/srtp. It does not own the negotiation: keys come from a=crypto lines (internal/sdp) or from a DTLS
// handshake (internal/media/dtls), and what happens to refused packets is the caller's business.
//
// There are no goroutines. A Sender and a Receiver are each for one goroutine at a time; two of them share nothing.
// Packets may come in any order; the order in which they are opened decides only which of two copies is the replay.
//
// RFCs: 3711 (SRTP), 4568 (session parameters), 5764 (profiles of DTLS-SRTP), 6188 (AES-256), 7714 (AES-GCM).
package srtp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	pion "github.com/pion/srtp/v3"

	"dialtone/internal/sdp"
)

// Errors of Seal and Open. They are these values themselves.
var (
	ErrAuth      = errors.New("srtp: authentication failed")
	ErrReplay    = errors.New("srtp: packet seen before or too old") // by a Receiver, or by a Sender
	ErrMalformed = errors.New("srtp: no RTP or RTCP packet")
	ErrSources   = errors.New("srtp: too many sources under one key")
	ErrExhausted = errors.New("srtp: the key has secured as many packets as it may")
)

// MaxSources is how many SSRC one Sender or Receiver knows; those beyond are refused. Only authenticated packets make a
// source known. None is ever forgotten: its old packets could be replayed then.
const MaxSources = 64

// Suite is a way to secure a stream. There is one value of each, compare pointers.
type Suite struct {
	Name       string // of a=crypto (RFC 4568 §6.2, 6188 §4, 7714 §14.2)
	KeyLen     int    // bytes of the master key
	SaltLen    int    // bytes of the master salt that follows it
	Tag        int    // bytes that an RTP packet grows by, MKI not counted
	ControlTag int    // bytes that an RTCP packet grows by, MKI not counted: tag and index
	DTLS       uint16 // protection profile of DTLS-SRTP (RFC 5764 §4.1.2, 7714 §14.2); 0 when there is none

	older   string // another name in use
	profile pion.ProtectionProfile
	aead    bool
}

// indexSize is the SRTCP index with its E bit.
const indexSize = 4

// suites is the table, in order of preference: authenticated ciphers are the safest and cost a quarter of the others;
// short tags come last.
var suites = []*Suite{
	{"AEAD_AES_128_GCM", 16, 12, 16, 16 + indexSize, 0x0007, "", pion.ProtectionProfileAeadAes128Gcm, true},
	{"AEAD_AES_256_GCM", 32, 12, 16, 16 + indexSize, 0x0008, "", pion.ProtectionProfileAeadAes256Gcm, true},
	{"AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10 + indexSize, 0x0001, "", pion.ProtectionProfileAes128CmHmacSha1_80, false},
	{"AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10 + indexSize, 0, "AES_CM_256_HMAC_SHA1_80", pion.ProtectionProfileAes256CmHmacSha1_80, false},
	// RFC 3711 §5.2: RTCP has 80 bits whatever RTP has.
	{"AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10 + indexSize, 0x0002, "", pion.ProtectionProfileAes128CmHmacSha1_32, false},
	{"AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10 + indexSize, 0, "AES_CM_256_HMAC_SHA1_32", pion.ProtectionProfileAes256CmHmacSha1_32, false},
}

// Suites are all suites in order of preference.
func Suites() []*Suite { return slices.Clone(suites) }

// Named is the suite with that name in an a=crypto line; nil when it is not known.
//
// Interop: AES_CM_256_HMAC_SHA1_80 is what drafts of RFC 6188 called AES_256_CM_HMAC_SHA1_80; telephones still do.
func Named(name string) *Suite {
	for _, s := range suites {
		if strings.EqualFold(name, s.Name) || s.older != "" && strings.EqualFold(name, s.older) {
			return s
		}
	}
	return nil
}

// Profile is the suite with that DTLS-SRTP protection profile; nil when it is not known.
func Profile(id uint16) *Suite {
	for _, s := range suites {
		if s.DTLS == id && id != 0 {
			return s
		}
	}
	return nil
}

// String is the name.
func (s *Suite) String() string { return s.Name }

// NewKey reads a master key with its salt from a source of randomness.
func (s *Suite) NewKey(random io.Reader) ([]byte, error) {
	key := make([]byte, s.KeyLen+s.SaltLen)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("make SRTP key: %w", err)
	}
	return key, nil
}

// Options are what else the two sides have agreed on. The zero value is the usual way.
type Options struct {
	PlainRTP  bool   `json:"plain_rtp,omitempty"`  // RTP is authenticated but not encrypted
	PlainRTCP bool   `json:"plain_rtcp,omitempty"` // RTCP is authenticated but not encrypted; a Receiver opens both kinds
	NoAuth    bool   `json:"no_auth,omitempty"`    // RTP carries no tag: anybody can send; not with AEAD
	MKI       []byte `json:"mki,omitempty"`        // stands in each packet
	Lifetime  uint64 `json:"lifetime,omitempty"`   // packets of each kind at most; 0 is as many as RFC 3711 §9.2 allows
}

// Negotiated is what an a=crypto line asks for. The error says why the line cannot be used.
func Negotiated(c sdp.Crypto) (*Suite, Options, error) {
	s := Named(c.Suite)
	if s == nil {
		return nil, Options{}, fmt.Errorf("use crypto: suite %.64q is not known", c.Suite)
	}
	o := Options{MKI: c.MKI, Lifetime: c.Lifetime}
	_, o.PlainRTP = c.Param(sdp.UnencryptedSRTP)
	_, o.PlainRTCP = c.Param(sdp.UnencryptedSRTCP)
	_, o.NoAuth = c.Param(sdp.UnauthenticatedSRTP)
	if rate, ok := c.Param(sdp.KeyDerivationRate); ok && rate != "0" {
		return nil, Options{}, errors.New("use crypto: keys are derived once here, KDR asks for more")
	}
	return s, o, s.check(c.Key, o)
}

// check tells why a key or options do not fit the suite.
func (s *Suite) check(key []byte, o Options) error {
	switch {
	case len(key) != s.KeyLen+s.SaltLen:
		// RFC 4568 §6.1: "If the length ... does not match ... the crypto attribute in question MUST be considered invalid."
		return fmt.Errorf("use %s: key and salt have %d bytes, not %d", s.Name, len(key), s.KeyLen+s.SaltLen)
	case o.NoAuth && s.aead:
		return fmt.Errorf("use %s: it cannot do without authentication", s.Name)
	case len(o.MKI) > 128:
		return fmt.Errorf("use %s: MKI is longer than 128 bytes", s.Name)
	}
	return nil
}

// tag is how many bytes of an RTP packet are not RTP.
func (s *Suite) tag(o *Options) int {
	if o.NoAuth {
		return len(o.MKI)
	}
	return s.Tag + len(o.MKI)
}

// headerSize is the length of the RTP header with its contributing sources and extension (RFC 3550 §5.1, §5.3.1); 0
// when the packet has none or is too short for it.
func headerSize(packet []byte) int {
	if len(packet) < 12 || packet[0]>>6 != 2 {
		return 0
	}
	size := 12 + 4*int(packet[0]&15)
	if packet[0]&0x10 != 0 {
		if len(packet) < size+4 {
			return 0
		}
		size += 4 + 4*int(binary.BigEndian.Uint16(packet[size+2:]))
	}
	if len(packet) < size {
		return 0
	}
	return size
}

// isControl tells whether there is the header of an RTCP packet with its SSRC (RFC 3550 §6.4).
func isControl(packet []byte) bool { return len(packet) >= 8 && packet[0]>>6 == 2 }
