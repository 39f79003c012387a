package call

import (
	"strings"

	"dialtone/internal/directory"
	"dialtone/internal/media"
)

// TermsOf is what is configured for the media of a device; nil: nothing particular.
func TermsOf(d *directory.Device) *media.Terms {
	if d.Media == nil && d.SRTP == directory.SRTPOptional {
		return nil
	}
	t := new(media.Terms)
	switch d.SRTP {
	case directory.SRTPOff:
		t.Protection = media.Off
	case directory.SRTPRequired:
		t.Protection = media.Required
	}
	m := d.Media
	if m == nil {
		return t
	}
	t.Codecs, t.Suites = m.Codecs, m.Suites
	if m.Keys == directory.KeysDTLS {
		t.Keying = media.ByHandshake
	}
	for _, w := range m.Waive {
		t.Waived = append(t.Waived, strings.ToUpper(w))
	}
	switch m.DTMF {
	case directory.DTMFEvents:
		t.Digits = media.DigitEvents
	case directory.DTMFInfo:
		t.Digits = media.DigitInfo
	case directory.DTMFInBand:
		t.Digits = media.DigitTones
	}
	return t
}
