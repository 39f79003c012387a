package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time written as Go writes it ("30s", "3m5s"). It is a struct so that a bare number, whose
// unit nobody can know, is a type error.
type Duration struct{ time.Duration }

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration like \"30s\" or \"3m5s\"", text)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative", text)
	}
	d.Duration = v
	return nil
}

// Level is how much is logged.
type Level struct{ slog.Level }

// UnmarshalText reads one of the four words.
func (l *Level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "debug":
		l.Level = slog.LevelDebug
	case "info":
		l.Level = slog.LevelInfo
	case "warn":
		l.Level = slog.LevelWarn
	case "error":
		l.Level = slog.LevelError
	default:
		return fmt.Errorf("%q is none of debug, info, warn, error", text)
	}
	return nil
}

// Algorithm is a digest algorithm that a challenge may offer (RFC 7616, RFC 8760).
type Algorithm string

// The algorithms of a challenge.
const (
	MD5    Algorithm = "md5"
	SHA256 Algorithm = "sha-256"
)

// algorithm reads the name of an algorithm.
func algorithm(name string) (Algorithm, error) {
	switch a := Algorithm(name); a {
	case MD5, SHA256:
		return a, nil
	default:
		return "", fmt.Errorf("%q is none of md5, sha-256", name)
	}
}

// PortRange is an inclusive range of UDP ports, written "10000-19999".
type PortRange struct{ First, Last uint16 }

// UnmarshalText reads a range. RTP takes even ports and RTCP the odd one above (RFC 3550 §11), so that a range needs
// at least one such pair.
func (p *PortRange) UnmarshalText(text []byte) error {
	first, last, ok := strings.Cut(string(text), "-")
	if !ok {
		return fmt.Errorf("%q is not a range like \"10000-19999\"", text)
	}
	f, err := port(first)
	if err != nil {
		return err
	}
	l, err := port(last)
	if err != nil {
		return err
	}
	if even := uint32(f) + uint32(f%2); even+1 > uint32(l) {
		return fmt.Errorf("%q holds no pair of an even port and the odd one above it", text)
	}
	p.First, p.Last = f, l
	return nil
}

// String writes the range as the file does.
func (p PortRange) String() string { return fmt.Sprintf("%d-%d", p.First, p.Last) }

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a port", s)
	}
	if n == 0 {
		return 0, errors.New("0 is not a port")
	}
	return uint16(n), nil
}
