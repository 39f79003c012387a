package sdp

import (
	"errors"
	"strings"
)

// FragmentType is the media type of a trickled ICE fragment in a SIP INFO request (RFC 8840 §9.1).
const FragmentType = "application/trickle-ice-sdpfrag"

// maxFragment is the greatest fragment in bytes.
const maxFragment = 16 << 10

// Fragment is a body of trickled candidates (RFC 8840 §9). It belongs to the generation of candidates that its user
// fragment names; one of an older generation is to be ignored (§4.4).
type Fragment struct {
	ICE     // before the first pseudo m= line; holds for all streams
	Streams []FragmentStream
}

// FragmentStream is what follows one pseudo m= line.
type FragmentStream struct {
	Kind string // "audio"; says nothing else (RFC 8840 §4.3)
	MID  string // a=mid of the stream in the description; "" when the peer did not say
	ICE         // Ufrag is "" when the one before the first m= line holds
}

// ParseFragment reads a fragment. Unknown attributes are ignored (RFC 8840 §9.2); lines may end in LF alone.
func ParseFragment(b []byte) (*Fragment, error) {
	if len(b) > maxFragment {
		return nil, errors.New("parse ICE fragment: longer than 16 KiB")
	}
	f := new(Fragment)
	current := &f.ICE
	for text := string(b); len(text) > 0; {
		var line string
		line, text = cutLine(text)
		switch {
		case line == "":
		case strings.ContainsAny(line, "\r\x00"):
			return nil, errors.New("parse ICE fragment: control character inside a line")
		case strings.HasPrefix(line, "m="):
			if len(f.Streams) == MaxMedia {
				return nil, errors.New("parse ICE fragment: more than 64 m= lines")
			}
			kind, _ := cutField(line[2:])
			if !isToken(kind) {
				return nil, errors.New("parse ICE fragment: m= line without a kind")
			}
			f.Streams = append(f.Streams, FragmentStream{Kind: kind})
			current = &f.Streams[len(f.Streams)-1].ICE
		case strings.HasPrefix(line, "a="):
			name, value, _ := strings.Cut(line[2:], ":")
			if strings.EqualFold(name, "mid") && len(f.Streams) > 0 {
				if s := &f.Streams[len(f.Streams)-1]; s.MID == "" && isToken(value) {
					s.MID = value
				}
				continue
			}
			current.readAttribute(name, value)
		case len(line) < 2 || line[1] != '=':
			return nil, errors.New("parse ICE fragment: line is not of the form x=value")
		}
	}
	return f, nil
}

// Bytes prints the fragment.
func (f *Fragment) Bytes() []byte {
	var b []byte
	if f.Lite {
		b = append(b, "a=ice-lite\r\n"...)
	}
	b = f.append(b)
	for i := range f.Streams {
		s := &f.Streams[i]
		// RFC 8840 §4.3: a receiver reads nothing of the line but that a section begins.
		b = append(append(append(b, "m="...), s.Kind...), " 9 RTP/AVP 0\r\n"...)
		if s.MID != "" {
			b = Attribute{"mid", s.MID}.append(b)
		}
		if s.Lite {
			b = append(b, "a=ice-lite\r\n"...)
		}
		b = s.append(b)
	}
	return b
}

// append prints the lines of one section; a user fragment or a password may stand alone in a fragment.
func (ice *ICE) append(b []byte) []byte {
	if ice.Ufrag == "" && ice.Pwd != "" {
		b = Attribute{"ice-pwd", ice.Pwd}.append(b)
	}
	for _, a := range ice.Attributes() {
		if a.Name != "ice-pwd" || a.Value != "" {
			b = a.append(b)
		}
	}
	return b
}
