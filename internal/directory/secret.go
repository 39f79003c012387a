package directory

import (
	"fmt"
	"log/slog"
)

const masked = "********"

// Secret is a text that must not be shown: a password, a token. Printed, logged or encoded it is "********"; only
// Reveal gives it away. Decoding JSON or text into a Secret works as for a string.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// Format implements fmt.Formatter, so that no verb (%q, %x, %#v, %d) shows the secret.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler; JSON and YAML encoders use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// Weak reports why a secret is too easy to guess for an account that the Internet can reach, "" when it is not.
// username is the name it protects.
func (s Secret) Weak(username string) string {
	const minLength = 8
	switch {
	case len(s) < minLength:
		return "is shorter than 8 characters"
	case username != "" && string(s) == username:
		return "is the username"
	}
	distinct, digits := map[rune]bool{}, true
	for _, r := range string(s) {
		distinct[r] = true
		digits = digits && r >= '0' && r <= '9'
	}
	switch {
	case len(distinct) < 4:
		return "has fewer than 4 different characters"
	case digits && len(s) < 12:
		return "has digits only"
	}
	return ""
}
