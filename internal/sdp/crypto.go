package sdp

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"math/big"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Bounds of an a=crypto line.
const (
	maxCryptos    = 16      // usable lines of one stream
	maxKey        = 256     // bytes of master key and salt; the longest suite has 46
	maxMKI        = 128     // RFC 4568 §6.1: a longer MKI makes the attribute invalid
	maxParams     = 16      // session parameters of one line
	maxLifetime   = 1 << 48 // RFC 4568 §6.2: packets that a suite secures at most with one key
	maxTag        = 999_999_999
	maxDerivation = 24 // KDR is an exponent of two
)

// SRTP session parameters of RFC 4568 §6.3 that are understood here. Those with a value stand as "NAME=value".
const (
	UnencryptedSRTP     = "UNENCRYPTED_SRTP"
	UnencryptedSRTCP    = "UNENCRYPTED_SRTCP"
	UnauthenticatedSRTP = "UNAUTHENTICATED_SRTP"
	KeyDerivationRate   = "KDR"       // value: exponent of two, 0 to 24
	WindowSizeHint      = "WSH"       // value: packets, at least 64
	FECOrder            = "FEC_ORDER" // value: FEC_SRTP or SRTP_FEC
)

// Crypto is one a=crypto line (RFC 4568): an SRTP suite and the master key of the side that says so. It is a secret:
// String, GoString and LogValue leave the key out, only Attribute has it.
type Crypto struct {
	Tag      int    // RFC 4568 §4.1: names the line; the answer repeats the one that it takes
	Suite    string // as it was written; whether it is known, and whether Key has its length, internal/media/srtp says
	Key      []byte // master key followed by master salt, raw
	Lifetime uint64 // packets that the key may secure; 0 when nothing is said
	MKI      []byte // master key identifier as it stands in packets; nil without
	Params   []string
}

// Cryptos are the usable a=crypto lines of the stream in their order, which is that of preference, at most 16.
//
// RFC 4568 §6.1, §6.3.7: a line with a faulty key, lifetime or MKI or with an unknown mandatory parameter is invalid; it
// is left out, and so is one that repeats the tag of another. Deviation: a line with several master keys is left out
// as well, one key is all that is ever used here.
func (m *Media) Cryptos() []Crypto {
	var cryptos []Crypto
	for i := range m.Attributes {
		if m.Attributes[i].Name != "crypto" {
			continue
		}
		c, err := ParseCrypto(m.Attributes[i].Value)
		if err != nil || slices.ContainsFunc(cryptos, func(o Crypto) bool { return o.Tag == c.Tag }) {
			continue
		}
		if cryptos = append(cryptos, c); len(cryptos) == maxCryptos {
			break
		}
	}
	return cryptos
}

// ParseCrypto reads the value of an a=crypto line. Its errors never quote the line.
func ParseCrypto(value string) (Crypto, error) {
	tag, rest := cutField(value)
	suite, rest := cutField(rest)
	key, rest := cutField(rest)
	c := Crypto{Suite: suite}
	n, ok := decimal(tag, maxTag)
	if !ok {
		return Crypto{}, errors.New("parse crypto: tag is no number of up to nine digits")
	}
	c.Tag = int(n)
	if !isCryptoWord(suite) {
		return Crypto{}, errors.New("parse crypto: no suite")
	}
	if err := c.readKey(key); err != nil {
		return Crypto{}, err
	}
	for rest != "" {
		var p string
		if p, rest = cutField(rest); p == "" {
			break
		}
		if len(c.Params) == maxParams || !isCryptoParam(p) {
			return Crypto{}, errors.New("parse crypto: session parameter unknown or faulty")
		}
		c.Params = append(c.Params, p)
	}
	return c, nil
}

// readKey takes "inline:" key||salt ["|" lifetime] ["|" MKI ":" length] (RFC 4568 §6.1, §9.2).
func (c *Crypto) readKey(text string) error {
	const method = "inline:"
	if len(text) < len(method) || !strings.EqualFold(text[:len(method)], method) {
		return errors.New("parse crypto: key method is not inline")
	}
	if strings.Contains(text, ";") {
		return errors.New("parse crypto: several master keys")
	}
	encoded, rest, more := strings.Cut(text[len(method):], "|")
	// RFC 4568 §6.1: "padding characters (i.e., one or two "=" at the end of the base64-encoded data) are discarded".
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil || len(key) == 0 || len(key) > maxKey {
		return errors.New("parse crypto: master key is no base64")
	}
	c.Key = key
	for part := ""; more; {
		part, rest, more = strings.Cut(rest, "|")
		ok := false
		switch {
		case c.MKI != nil: // nothing may follow the MKI
		case strings.Contains(part, ":"): // RFC 4568 §6.1: the lifetime never includes a colon, the MKI always does
			c.MKI, ok = parseMKI(part)
		case c.Lifetime == 0:
			c.Lifetime, ok = parseLifetime(part)
		}
		if !ok {
			return errors.New("parse crypto: lifetime or MKI is faulty")
		}
	}
	return nil
}

// parseLifetime reads a number of packets, "2^20" or "1048576".
func parseLifetime(text string) (uint64, bool) {
	if exponent, ok := strings.CutPrefix(text, "2^"); ok {
		n, ok := decimal(exponent, 48)
		return 1 << n, ok
	}
	n, ok := decimal(text, maxLifetime)
	return n, ok && n > 0
}

// parseMKI reads "value:length" and gives the bytes that stand in packets.
func parseMKI(text string) ([]byte, bool) {
	value, size, _ := strings.Cut(text, ":")
	n, ok := decimal(size, maxMKI)
	// RFC 4568 §6.1: "a positive decimal integer", leading zeroes MUST NOT be used. 128 bytes are 309 digits.
	if !ok || n == 0 || value == "" || value[0] == '0' || len(value) > 309 || strings.Trim(value, "0123456789") != "" {
		return nil, false
	}
	number, ok := new(big.Int).SetString(value, 10)
	if !ok || number.BitLen() > int(n)*8 {
		return nil, false
	}
	return number.FillBytes(make([]byte, n)), true
}

// decimal reads a number without leading zeroes that is not above limit.
func decimal(text string, limit uint64) (uint64, bool) {
	if text == "" || len(text) > 1 && text[0] == '0' || text[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && n <= limit
}

func isCryptoWord(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '_' && !('0' <= c && c <= '9') && !('A' <= c && c <= 'Z') && !('a' <= c && c <= 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// isCryptoParam tells whether a session parameter lets its line be used.
//
// RFC 4568 §6.3.7: one "prefixed with the dash character ("-") ... MAY be ignored"; with any other that is unknown the
// attribute "MUST be considered invalid". §6.3.5: FEC_KEY is invalid when FEC shares the port of the stream, and it is
// never sent elsewhere here.
func isCryptoParam(p string) bool {
	for i := 0; i < len(p); i++ {
		if p[i] <= ' ' || p[i] > '~' {
			return false
		}
	}
	if strings.HasPrefix(p, "-") {
		return len(p) > 1 && p[1] != '-'
	}
	name, value, valued := strings.Cut(p, "=")
	switch strings.ToUpper(name) {
	case UnencryptedSRTP, UnencryptedSRTCP, UnauthenticatedSRTP:
		return !valued
	case KeyDerivationRate:
		_, ok := decimal(value, maxDerivation)
		return ok
	case WindowSizeHint:
		n, ok := decimal(value, 1<<32)
		return ok && n >= 64
	case FECOrder:
		return strings.EqualFold(value, "FEC_SRTP") || strings.EqualFold(value, "SRTP_FEC")
	}
	return false
}

// Param is the value of a session parameter, "" for one without; the name is compared without regard to case.
func (c Crypto) Param(name string) (value string, ok bool) {
	for _, p := range c.Params {
		if n, value, _ := strings.Cut(p, "="); strings.EqualFold(n, name) {
			return value, true
		}
	}
	return "", false
}

// Attribute is the a= line, key included.
func (c Crypto) Attribute() Attribute {
	return Attribute{"crypto", c.print(base64.StdEncoding.EncodeToString(c.Key))}
}

// print writes the value of the line with something in place of the key.
func (c Crypto) print(key string) string {
	b := strconv.AppendInt(nil, int64(c.Tag), 10)
	b = append(b, ' ')
	b = append(b, c.Suite...)
	b = append(b, " inline:"...)
	b = append(b, key...)
	switch {
	case c.Lifetime == 0:
	case bits.OnesCount64(c.Lifetime) == 1:
		b = strconv.AppendInt(append(b, "|2^"...), int64(bits.TrailingZeros64(c.Lifetime)), 10)
	default:
		b = strconv.AppendUint(append(b, '|'), c.Lifetime, 10)
	}
	if len(c.MKI) > 0 {
		b = new(big.Int).SetBytes(c.MKI).Append(append(b, '|'), 10)
		b = strconv.AppendInt(append(b, ':'), int64(len(c.MKI)), 10)
	}
	for _, p := range c.Params {
		b = append(append(b, ' '), p...)
	}
	return string(b)
}

// String is the line without its key.
func (c Crypto) String() string { return c.print("(hidden)") }

// GoString is String, so that %#v shows no key.
func (c Crypto) GoString() string { return c.String() }

// LogValue is String.
func (c Crypto) LogValue() slog.Value { return slog.StringValue(c.String()) }
