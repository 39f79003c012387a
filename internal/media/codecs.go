package media

import (
	"slices"
	"strconv"
	"strings"

	"dialtone/internal/codec/catalog"
	"dialtone/internal/sdp"
)

// telephoneEvent is what we offer and answer where the other party says nothing of it: keys are converted here.
func telephoneEvent() payload {
	return payload{Type: 101, Name: sdp.TelephoneEvent, ClockRate: 8000, Channels: 1, FMTP: "0-16"}
}

// offerCodecs decides what an offered m-line lists: the other party's codecs as far as the terms allow them, and behind them
// what we can convert to, once the party has refused the first list or is a browser.
//
// A party that is shown codecs which need a conversion may choose one of them although there is one in common; so they are
// shown only where there is reason to.
func (s *Session) offerCodecs(x *section) {
	list := x.theirCodecs()
	if x.m.Kind == "audio" {
		list = s.withoutEvents(s.allowed(list))
		if s.extended.Load() || s.terms.Browser || !slices.ContainsFunc(list, isBasic) {
			list = s.extend(list, x.theirCodecs())
		}
	} else if x.foreign {
		list = slices.DeleteFunc(list, payload.isRepair)
	}
	x.replace(list, x.theirCodecs(), nil)
}

// isBasic reports whether every telephone speaks the codec.
func isBasic(p payload) bool {
	return p.ClockRate == 8000 && (strings.EqualFold(p.Name, "PCMA") || strings.EqualFold(p.Name, "PCMU"))
}

// theirCodecs are those of the other party.
func (x *section) theirCodecs() []payload { return payloadsOf(&x.theirs.Media[x.index]) }

// allowed leaves out what the terms do not name, and puts the rest into their order. What is no voice codec stays.
func (s *Session) allowed(list []payload) []payload {
	if len(s.terms.Codecs) == 0 {
		return slices.Clone(list)
	}
	rank := func(p payload) int {
		i := slices.IndexFunc(s.terms.Codecs, func(name string) bool { return strings.EqualFold(name, p.Name) })
		if !p.isSpeech() {
			i = len(s.terms.Codecs)
		}
		return i
	}
	kept := slices.DeleteFunc(slices.Clone(list), func(p payload) bool { return rank(p) < 0 })
	slices.SortStableFunc(kept, func(a, b payload) int { return rank(a) - rank(b) })
	return kept
}

// extend adds the codecs that can be converted from one of theirs.
func (s *Session) extend(list, theirs []payload) []payload {
	if !slices.ContainsFunc(theirs, canDecode) {
		return list
	}
	for _, spec := range catalog.All() {
		p := payload{Type: spec.PayloadType, Name: spec.Name, ClockRate: uint32(spec.ClockRate), Channels: spec.Channels, FMTP: spec.FMTP}
		if spec.NewEncoder == nil || strings.EqualFold(spec.Name, "L16") || slices.ContainsFunc(list, p.same) {
			continue
		}
		if len(s.allowed([]payload{p})) == 0 {
			continue
		}
		if numbered := appendFree(list, p); len(numbered) > len(list) {
			// Behind the voices, before events and comfort noise.
			at := slices.IndexFunc(list, func(o payload) bool { return !o.isSpeech() })
			if at < 0 {
				at = len(list)
			}
			list = slices.Insert(list, at, numbered[len(list)])
		}
	}
	if s.terms.takesEvents() && !slices.ContainsFunc(list, payload.isEvent) {
		list = appendFree(list, telephoneEvent())
	}
	return list
}

// takesEvents reports whether keys may go to and come from the party as events.
func (t *Terms) takesEvents() bool { return t.Digits == DigitsAuto || t.Digits == DigitEvents }

// withoutEvents leaves events out where the terms want keys in another form. The list is the caller's own.
func (s *Session) withoutEvents(list []payload) []payload {
	if s.terms.takesEvents() {
		return list
	}
	return slices.DeleteFunc(list, payload.isEvent)
}

// canDecode reports whether the codec is one that is made here.
func canDecode(p payload) bool {
	spec, ok := p.spec()
	return ok && spec.NewDecoder != nil && spec.NewEncoder != nil
}

// appendFree adds a payload under its own number, or under a free dynamic one when that is taken (RFC 3551 §3).
func appendFree(list []payload, p payload) []payload {
	taken := func(pt uint8) bool { _, found := find(list, pt); return found }
	for pt := uint8(96); taken(p.Type); pt++ {
		if pt > 127 {
			return list
		}
		p.Type = pt
	}
	return append(list, p)
}

// answerCodecs decides what an answered m-line lists, under the numbers of the party's own offer.
//
// RFC 3264 §6.1: the answer lists formats of the offer. Which of them the other party has taken comes first; only where it has
// taken none is a conversion agreed to.
func (s *Session) answerCodecs(x *section) error {
	offered, theirs := x.party.Payloads, x.theirCodecs()
	if len(theirs) == 0 {
		return nil // formats that neither side explains: they are compared by number, by the parties
	}
	var list []payload
	from := map[uint8]uint8{} // number in the answer -> number in the other party's words
	speech := false
	for _, t := range theirs {
		i := slices.IndexFunc(offered, t.same)
		if i < 0 || x.foreign && t.isRepair() || x.m.Kind == "audio" && len(s.allowed([]payload{t})) == 0 {
			continue
		}
		p := t
		p.Type = offered[i].Type
		if _, found := find(list, p.Type); found {
			continue
		}
		list = append(list, p)
		from[p.Type] = t.Type
		speech = speech || p.isSpeech()
	}
	if x.m.Kind != "audio" {
		if !speech {
			return ErrNoCommonCodec
		}
		x.replace(list, theirs, from)
		return nil
	}
	if !speech {
		p, ok := s.convertible(offered, theirs)
		if !ok {
			return ErrNoCommonCodec
		}
		list = slices.Insert(list, 0, p)
	}
	// Keys are converted between the legs (RFC 4733 §2.4.1: one form for each clock rate).
	if i := slices.IndexFunc(offered, payload.isEvent); i >= 0 && !slices.ContainsFunc(list, payload.isEvent) {
		list = append(list, offered[i])
	}
	list = s.withoutEvents(list)
	x.replace(list, theirs, from)
	return nil
}

// replace writes the list, unless it says what stands there already.
func (x *section) replace(list, theirs []payload, from map[uint8]uint8) {
	if !slices.Equal(list, theirs) {
		x.write(list, from)
	}
}

// convertible is the codec of the offer that is answered when none is in common: the first that is made here, provided that
// the other party speaks one that is, too.
func (s *Session) convertible(offered, theirs []payload) (payload, bool) {
	if !slices.ContainsFunc(theirs, canDecode) {
		return payload{}, false
	}
	for _, p := range s.allowed(offered) {
		if p.isSpeech() && canDecode(p) {
			return p, true
		}
	}
	return payload{}, false
}

// write puts a list of codecs into the m-line in place of what it had. from tells under which number the other party speaks
// of a payload; nil means under the same.
func (x *section) write(list []payload, from map[uint8]uint8) {
	m := x.m
	var feedback []sdp.Attribute
	for _, a := range m.Attributes {
		if a.Name == "rtcp-fb" {
			feedback = append(feedback, a)
		}
	}
	m.Formats = m.Formats[:0]
	m.RemoveAttributes("rtpmap", "fmtp", "rtcp-fb")
	rest := m.Attributes
	m.Attributes = make([]sdp.Attribute, 0, len(rest)+2*len(list))
	for _, p := range list {
		m.AddCodec(sdp.Codec{PayloadType: p.Type, Name: p.Name, ClockRate: int(p.ClockRate), Channels: p.Channels, FMTP: p.FMTP})
	}
	for _, a := range feedback {
		number, what, _ := strings.Cut(a.Value, " ")
		if number == "*" {
			m.Attributes = append(m.Attributes, a)
			continue
		}
		for _, p := range list {
			their := p.Type
			if from != nil {
				n, known := from[p.Type]
				if !known {
					continue
				}
				their = n
			}
			if strconv.Itoa(int(their)) == number {
				m.Attributes = append(m.Attributes, sdp.Attribute{Name: "rtcp-fb", Value: strconv.Itoa(int(p.Type)) + " " + what})
			}
		}
	}
	m.Attributes = append(m.Attributes, rest...)
}
