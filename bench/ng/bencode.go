// Package ng reads and writes what rtpengine's control protocol is made of: bencoded dictionaries of texts. It knows neither
// sockets nor the commands, and has no goroutines.
package ng

import (
	"errors"
	"strconv"
)

// maxDepth is how deep lists and dictionaries may stand in each other.
const maxDepth = 8

// ErrSyntax is the error of everything that is no dictionary.
var ErrSyntax = errors.New("no bencoded dictionary")

// ParseFields reads a bencoded dictionary and returns its texts; numbers, lists and dictionaries in it are skipped.
//
//	dictionary  d key value ... e     keys are texts
//	list        l value ... e
//	number      i digits e
//	text        length : bytes
func ParseFields(b []byte) (map[string]string, error) {
	if len(b) == 0 || b[0] != 'd' {
		return nil, ErrSyntax
	}
	fields := map[string]string{}
	b = b[1:]
	for len(b) > 0 && b[0] != 'e' {
		key, rest, err := parseText(b)
		if err != nil || len(rest) == 0 {
			return nil, ErrSyntax
		}
		b = rest
		if b[0] < '0' || b[0] > '9' {
			if b, err = skip(b, maxDepth); err != nil {
				return nil, err
			}
			continue
		}
		value, rest, err := parseText(b)
		if err != nil {
			return nil, err
		}
		fields[string(key)], b = string(value), rest
	}
	if len(b) != 1 {
		return nil, ErrSyntax
	}
	return fields, nil
}

// parseText reads one text and returns what follows it.
func parseText(b []byte) (text, rest []byte, err error) {
	n := 0
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			if n = n*10 + int(c-'0'); n > len(b) {
				return nil, nil, ErrSyntax
			}
		case c == ':' && i > 0 && n <= len(b)-i-1:
			return b[i+1 : i+1+n], b[i+1+n:], nil
		default:
			return nil, nil, ErrSyntax
		}
	}
	return nil, nil, ErrSyntax
}

// skip steps over one value.
func skip(b []byte, depth int) (rest []byte, err error) {
	if len(b) == 0 || depth == 0 {
		return nil, ErrSyntax
	}
	switch b[0] {
	case 'i':
		for i := range b {
			if b[i] == 'e' {
				return b[i+1:], nil
			}
		}
		return nil, ErrSyntax
	case 'l', 'd':
		b = b[1:]
		for len(b) > 0 && b[0] != 'e' {
			if b, err = skip(b, depth-1); err != nil {
				return nil, err
			}
		}
		if len(b) == 0 {
			return nil, ErrSyntax
		}
		return b[1:], nil
	}
	_, rest, err = parseText(b)
	return rest, err
}

// AppendFields writes a dictionary of texts; the keys must be given in order.
func AppendFields(b []byte, keysAndValues ...string) []byte {
	b = append(b, 'd')
	for _, s := range keysAndValues {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		b = append(b, s...)
	}
	return append(b, 'e')
}
