package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Capabilities is what an end that terminates media itself (a softphone, an echo, an announcement) can do.
type Capabilities struct {
	// Origin is the o= line; its address is Address when it says none.
	Origin Origin
	// Address goes into c=; when it is not valid, "0.0.0.0" stands there, for someone below to replace.
	Address netip.Addr
	// Ports are the RTP ports of the audio streams, first stream first: an answer accepts as many. nil is one stream
	// on port 9 (discard), for a description whose ports are put in later.
	Ports []int
	// Audio are the codecs in order of preference, with the payload types for offers.
	Audio []Codec
	// DTMF adds telephone-event (RFC 4733), one for each clock rate of the codecs.
	DTMF bool
	// Direction is what this end wants to do; SendRecv by default.
	Direction Direction
	// PTime is the packet length in milliseconds to be sent to us; 0 says nothing.
	PTime int
	// Mux offers and accepts RTP and RTCP on one port.
	Mux bool
	// Protos are the transports that are accepted, the first being offered; nil accepts every kind of RTP, since encryption is
	// the business of someone below, and offers RTP/AVP.
	Protos []string
}

// Agreed is one stream that both sides want, seen by the side whose Capabilities were used.
type Agreed struct {
	Index     int            // of the m= line
	Codec     Codec          // to send and to expect, with the offer's payload type
	DTMF      int            // payload type of telephone-event; -1 without
	Direction Direction      // of this end
	Remote    netip.AddrPort // where to send RTP; see Description.Address
	RTCP      netip.AddrPort // where to send RTCP
	Mux       bool           // RTCP goes on the RTP port
	PTime     int            // milliseconds per packet that the other side wants; 0 = 20
}

// ErrNoCommonMedia says that no stream of an offer can be accepted: SIP answers 488 Not Acceptable Here.
var ErrNoCommonMedia = errors.New("no media format in common")

// Answer answers an offer as the capabilities allow and tells what was agreed, stream by stream. The streams keep
// number and order (RFC 3264 §6); those that cannot be had are refused with port 0. With no stream left the answer is
// still complete and comes with ErrNoCommonMedia.
//
// Of each accepted stream the first codec of the offer that is known here is taken, alone, so that there is never a
// question of what will arrive.
func Answer(offer *Description, c Capabilities) (*Description, []Agreed, error) {
	d := c.description()
	// RFC 3264 §6: "The "t=" line in the answer MUST be equal to the one in the offer."
	d.Timing = offer.Timing
	d.Media = make([]Media, len(offer.Media))
	var agreed []Agreed
	for i := range offer.Media {
		if len(agreed) < len(c.ports()) {
			if m, a, ok := c.accept(offer, i, c.ports()[len(agreed)]); ok {
				d.Media[i] = m
				agreed = append(agreed, a)
				continue
			}
		}
		d.Media[i] = refuse(&offer.Media[i])
	}
	if len(agreed) == 0 {
		return d, nil, ErrNoCommonMedia
	}
	return d, agreed, nil
}

// refuse is the answer to a stream that is not wanted.
//
// RFC 3264 §6: "the port number in the corresponding stream in the answer MUST be set to zero"; the formats are ignored
// but at least one must stand there.
func refuse(offered *Media) Media {
	return Media{Kind: offered.Kind, Proto: offered.Proto, Formats: slices.Clone(offered.Formats)}
}

// accept answers stream i of the offer, if it is one that can be had.
func (c *Capabilities) accept(offer *Description, i, port int) (Media, Agreed, bool) {
	offered := &offer.Media[i]
	if offered.Port == 0 || offered.Kind != "audio" || !c.carries(offered) {
		return Media{}, Agreed{}, false
	}
	codec, ok := c.choose(offered.Codecs())
	if !ok {
		return Media{}, Agreed{}, false
	}
	m := Media{Kind: offered.Kind, Port: port, Proto: offered.Proto}
	m.AddCodec(codec)
	a := Agreed{
		Index:     i,
		Codec:     codec,
		DTMF:      -1,
		Direction: offer.Direction(i).Answer(c.Direction),
		Remote:    offer.Address(i),
		RTCP:      offer.RTCPAddress(i),
		Mux:       c.Mux && offered.RTCPMux(),
		PTime:     offered.PTime(),
	}
	if pt, ok := offered.TelephoneEvent(codec.ClockRate); c.DTMF && ok {
		event, _ := offered.Codec(pt)
		event.FMTP = "0-15"
		m.AddCodec(event)
		a.DTMF = int(pt)
	}
	c.finish(&m, a.Direction, a.Mux)
	return m, a, true
}

// choose takes the first offered codec that is known here. Parameters are ours, the payload type is the offer's
// (RFC 3264 §6.1: "the answerer SHOULD use the same payload type").
func (c *Capabilities) choose(offered []Codec) (Codec, bool) {
	for _, o := range offered {
		for _, mine := range c.Audio {
			if o.Same(mine) {
				mine.PayloadType, mine.Name = o.PayloadType, o.Name
				return mine, true
			}
		}
	}
	return Codec{}, false
}

// finish adds what stands behind the codecs of a stream.
func (c *Capabilities) finish(m *Media, dir Direction, mux bool) {
	if c.PTime > 0 {
		m.SetAttribute("ptime", strconv.Itoa(c.PTime))
	}
	if mux {
		m.SetAttribute("rtcp-mux", "")
	}
	m.SetDirection(dir)
}

// Offer offers one audio stream per port with all codecs.
func Offer(c Capabilities) *Description {
	d := c.description()
	for _, port := range c.ports() {
		m := Media{Kind: "audio", Port: port, Proto: c.proto()}
		used := make(map[uint8]bool)
		for _, codec := range c.Audio {
			m.AddCodec(codec)
			used[codec.PayloadType] = true
		}
		if c.DTMF {
			c.offerEvents(&m, used)
		}
		c.finish(&m, c.Direction, c.Mux)
		d.Media = append(d.Media, m)
	}
	return d
}

// offerEvents adds telephone-event for each clock rate of the codecs (RFC 4733 §2.4.1), on 101 and the free dynamic
// payload types above it.
func (c *Capabilities) offerEvents(m *Media, used map[uint8]bool) {
	payloadType := uint8(101) // Interop: some gateways know telephone-event as 101 only, whatever the rtpmap says
	var rates []int
	for _, codec := range c.Audio {
		if slices.Contains(rates, codec.ClockRate) || codec.Is(TelephoneEvent) {
			continue
		}
		rates = append(rates, codec.ClockRate)
		for used[payloadType] {
			payloadType++
		}
		if payloadType > 127 {
			return
		}
		m.AddCodec(Codec{PayloadType: payloadType, Name: TelephoneEvent, ClockRate: codec.ClockRate, FMTP: "0-15"})
		used[payloadType] = true
	}
}

func (c *Capabilities) description() *Description {
	d := &Description{Origin: c.Origin}
	if c.Address.IsValid() {
		d.Conn = ConnectionTo(c.Address)
		if d.Origin.Address == "" {
			d.Origin.SetAddress(c.Address)
		}
	} else {
		d.Conn = ConnectionTo(netip.IPv4Unspecified())
	}
	return d
}

func (c *Capabilities) ports() []int {
	if c.Ports == nil {
		return []int{9}
	}
	return c.Ports
}

// carries tells whether a stream's transport is one that is accepted.
func (c *Capabilities) carries(m *Media) bool {
	if c.Protos == nil {
		return m.IsRTP()
	}
	return slices.Contains(c.Protos, m.Proto)
}

// proto is the transport that is offered.
func (c *Capabilities) proto() string {
	if len(c.Protos) == 0 {
		return "RTP/AVP"
	}
	return c.Protos[0]
}

// Accept tells what an answer to our own Offer agrees on, stream by stream; c is what the offer was made from. The
// error is that of Matches, or ErrNoCommonMedia when the answer refuses everything.
func Accept(answer, offer *Description, c Capabilities) ([]Agreed, error) {
	if err := Matches(answer, offer); err != nil {
		return nil, err
	}
	var agreed []Agreed
	for i := range answer.Media {
		m := &answer.Media[i]
		if m.Port == 0 {
			continue
		}
		codec, ok := c.choose(m.Codecs())
		if !ok {
			continue
		}
		a := Agreed{
			Index:     i,
			Codec:     codec,
			DTMF:      -1,
			Direction: answer.Direction(i).Answer(offer.Direction(i)),
			Remote:    answer.Address(i),
			RTCP:      answer.RTCPAddress(i),
			Mux:       m.RTCPMux() && offer.Media[i].RTCPMux(),
			PTime:     m.PTime(),
		}
		if pt, ok := m.TelephoneEvent(codec.ClockRate); c.DTMF && ok {
			a.DTMF = int(pt)
		}
		agreed = append(agreed, a)
	}
	if len(agreed) == 0 {
		return nil, ErrNoCommonMedia
	}
	return agreed, nil
}

// Matches checks an answer against its offer by the rules of RFC 3264 §6: as many streams, of the same kind, none
// revived that the offer had at port 0, with at least one format in common. A direction that goes further than the
// offer allows is no error, since telephones do that: Direction.Answer cuts it.
func Matches(answer, offer *Description) error {
	if len(answer.Media) != len(offer.Media) {
		return fmt.Errorf("answer has %d streams, offer %d", len(answer.Media), len(offer.Media))
	}
	for i := range answer.Media {
		a, o := &answer.Media[i], &offer.Media[i]
		switch {
		case a.Kind != o.Kind:
			return fmt.Errorf("stream %d: answer is %s, offer %s", i+1, a.Kind, o.Kind)
		case a.Port == 0:
		case o.Port == 0:
			return fmt.Errorf("stream %d: answer accepts what was not offered", i+1)
		case a.IsRTP() != o.IsRTP():
			return fmt.Errorf("stream %d: answer uses %s, offer %s", i+1, a.Proto, o.Proto)
		case !haveCommonFormat(a, o):
			return fmt.Errorf("stream %d: no format of the offer in the answer", i+1)
		}
	}
	return nil
}

func haveCommonFormat(a, o *Media) bool {
	if !o.IsRTP() {
		for _, f := range a.Formats {
			if slices.Contains(o.Formats, f) {
				return true
			}
		}
		return len(o.Formats) == 0
	}
	offered := o.Codecs()
	for _, c := range a.Codecs() {
		if c.Is(TelephoneEvent) && len(a.Formats) > 1 {
			continue
		}
		if slices.ContainsFunc(offered, c.Same) {
			return true
		}
	}
	// Formats that neither side explains can only be compared by number.
	for _, f := range a.Formats {
		pt, _, ok := cutPayloadType(f)
		_, known := a.Codec(pt)
		if ok && !known && slices.Contains(o.Formats, f) {
			return true
		}
	}
	return false
}
