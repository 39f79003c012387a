package srtp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"
)

// keyed is what a Sender and a Receiver have in common: one key, the sources under it, and the cipher.
//
// Roll-over counters and replay windows are kept here and not in the cipher: it forgets the sequence number with which a
// counter belongs, so that a stream could not be taken up by another process. The cipher is told the counter before
// every packet; its own guess is thereby never used.
type keyed struct {
	suite    *Suite
	key      []byte
	options  Options
	cipher   *pion.Context
	sources  map[uint32]*source
	last     *source // of the packet before
	packets  uint64  // RTP packets secured or opened under the key
	controls uint64
	header   rtp.Header // room for the cipher
	control  rtcp.Header
}

func newKeyed(suite *Suite, key []byte, o Options) (keyed, error) {
	if err := suite.check(key, o); err != nil {
		return keyed{}, err
	}
	o.MKI = slices.Clone(o.MKI)
	settings := []pion.ContextOption{pion.MasterKeyIndicator(o.MKI)}
	if o.PlainRTP {
		settings = append(settings, pion.SRTPNoEncryption())
	}
	if o.PlainRTCP {
		settings = append(settings, pion.SRTCPNoEncryption())
	}
	if o.NoAuth {
		settings = append(settings, pion.SRTPAuthenticationTagLength(0))
	}
	key = slices.Clone(key)
	cipher, err := pion.CreateContext(key[:suite.KeyLen], key[suite.KeyLen:], suite.profile, settings...)
	if err != nil {
		return keyed{}, fmt.Errorf("use %s: %w", suite.Name, err)
	}
	return keyed{suite: suite, key: key, options: o, cipher: cipher, sources: make(map[uint32]*source)}, nil
}

// find is a source that is known, nil when it is not.
func (k *keyed) find(ssrc uint32) *source {
	if k.last != nil && k.last.ssrc == ssrc {
		return k.last
	}
	s := k.sources[ssrc]
	if s != nil {
		k.last = s
	}
	return s
}

// add makes a source known.
func (k *keyed) add(ssrc uint32) *source {
	s := &source{ssrc: ssrc}
	k.sources[ssrc], k.last = s, s
	return s
}

// spent tells whether the key may secure no further packet of a kind of which there were count.
//
// RFC 4568 §6.1: the lifetime is the number of SRTP packets, and of SRTCP packets.
func (k *keyed) spent(count, limit uint64) bool {
	return count > limit || k.options.Lifetime != 0 && count >= k.options.Lifetime
}

// Format implements fmt.Formatter: no verb shows the key.
func (k keyed) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// String tells suite and number of sources, never the key.
func (k keyed) String() string { return fmt.Sprintf("%s, %d sources", k.suite.Name, len(k.sources)) }

// LogValue implements slog.LogValuer.
func (k keyed) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Sender secures the packets that go one way. It is for one goroutine at a time.
//
// A sequence number that was used, or is 1024 behind the newest, is refused with ErrReplay: two packets under one index
// would lay each other open, and no receiver takes the second. So the numbers of a source must go on for as long as the
// key is used. RFC 4568 §6.4: a source SHOULD begin with a number below 32768, so that losses at its start do not confuse
// the receiver.
type Sender struct{ keyed }

// NewSender makes a Sender; key is the master key with its salt, which is copied.
func NewSender(suite *Suite, key []byte, o Options) (*Sender, error) {
	k, err := newKeyed(suite, key, o)
	if err != nil {
		return nil, err
	}
	return &Sender{k}, nil
}

// Seal appends the secured packet to dst. With dst = packet[:0] it is done in place; otherwise dst must not overlap the
// packet. Nothing is allocated when dst has room for the packet and Overhead.
func (s *Sender) Seal(dst, packet []byte) ([]byte, error) {
	if headerSize(packet) == 0 {
		return dst, ErrMalformed
	}
	ssrc := binary.BigEndian.Uint32(packet[8:])
	from := s.find(ssrc)
	if from == nil {
		if len(s.sources) == MaxSources {
			return dst, ErrSources
		}
		from = s.add(ssrc)
	}
	index, ok := from.index(binary.BigEndian.Uint16(packet[2:]))
	switch {
	case ok && !from.rtp.isNew(index), !ok && from.rtp.highest < 1<<16: // the latter lies before the first packet
		return dst, ErrReplay
	case !ok, s.spent(s.packets, maxIndex):
		return dst, ErrExhausted
	}
	s.cipher.SetROC(ssrc, uint32(index>>16))
	dst = slices.Grow(dst, len(packet)+s.suite.tag(&s.options))
	sealed, err := s.cipher.EncryptRTP(dst[len(dst):], packet, &s.header)
	if err != nil {
		return dst, ErrMalformed
	}
	s.packets++
	from.rtp.add(index)
	return dst[:len(dst)+len(sealed)], nil
}

// SealControl is Seal for an RTCP packet, compound or not. With AES-GCM the cipher allocates a few bytes for each.
func (s *Sender) SealControl(dst, packet []byte) ([]byte, error) {
	if !isControl(packet) {
		return dst, ErrMalformed
	}
	ssrc := binary.BigEndian.Uint32(packet[4:])
	from := s.find(ssrc)
	if from == nil {
		if len(s.sources) == MaxSources {
			return dst, ErrSources
		}
		from = s.add(ssrc)
	}
	if from.control.highest >= maxControlIndex || s.spent(s.controls, maxControlIndex) {
		return dst, ErrExhausted
	}
	s.cipher.SetIndex(ssrc, uint32(from.control.highest))
	dst = slices.Grow(dst, len(packet)+s.suite.ControlTag+len(s.options.MKI))
	sealed, err := s.cipher.EncryptRTCP(dst[len(dst):], packet, &s.control)
	if err != nil {
		return dst, ErrMalformed
	}
	s.controls++
	from.control.started = true
	from.control.highest++
	return dst[:len(dst)+len(sealed)], nil
}

// Overhead is how many bytes Seal, and SealControl, make a packet longer at most.
func (k *keyed) Overhead() int { return k.suite.ControlTag + len(k.options.MKI) }

// Receiver opens the packets that come one way. It is for one goroutine at a time.
type Receiver struct{ keyed }

// NewReceiver makes a Receiver; key is the master key with its salt, which is copied.
func NewReceiver(suite *Suite, key []byte, o Options) (*Receiver, error) {
	k, err := newKeyed(suite, key, o)
	if err != nil {
		return nil, err
	}
	return &Receiver{k}, nil
}

// Open appends the RTP packet that was secured to dst. With dst = packet[:0] it is done in place; otherwise dst must not
// overlap the packet. In place, a packet that is refused with ErrAuth may be overwritten.
// Nothing is allocated for a packet that is opened, nor for a replay; for a forged one the cipher's error may be.
//
// RFC 3711 §3.3: replays are refused before the cipher is asked, and only what was authenticated is remembered.
func (r *Receiver) Open(dst, packet []byte) ([]byte, error) {
	size := headerSize(packet)
	if size == 0 || len(packet) < size+r.suite.tag(&r.options) {
		return dst, ErrMalformed
	}
	ssrc := binary.BigEndian.Uint32(packet[8:])
	from := r.find(ssrc)
	index := uint64(binary.BigEndian.Uint16(packet[2:]))
	switch {
	case from != nil:
		var ok bool
		if index, ok = from.index(uint16(index)); !ok || !from.rtp.isNew(index) {
			return dst, ErrReplay
		}
		r.cipher.SetROC(ssrc, uint32(index>>16))
	case len(r.sources) == MaxSources:
		return dst, ErrSources
	}
	// RFC 4568 §6.1: "MUST NOT accept incoming packets that violate the policy (e.g., after the master key lifetime has
	// expired)".
	if r.spent(r.packets, maxIndex) {
		return dst, ErrExhausted
	}
	dst = slices.Grow(dst, len(packet))
	opened, err := r.cipher.DecryptRTP(dst[len(dst):], packet, &r.header)
	if err != nil {
		return dst, refusal(err)
	}
	if from == nil {
		from = r.add(ssrc)
	}
	r.packets++
	from.rtp.add(index)
	return dst[:len(dst)+len(opened)], nil
}

// OpenControl is Open for an RTCP packet.
func (r *Receiver) OpenControl(dst, packet []byte) ([]byte, error) {
	if !isControl(packet) || len(packet) < 8+r.suite.ControlTag+len(r.options.MKI) {
		return dst, ErrMalformed
	}
	ssrc := binary.BigEndian.Uint32(packet[4:])
	index := uint64(r.controlIndex(packet))
	from := r.find(ssrc)
	switch {
	case from != nil && !from.control.isNew(index):
		return dst, ErrReplay
	case from == nil && len(r.sources) == MaxSources:
		return dst, ErrSources
	case r.spent(r.controls, maxControlIndex):
		return dst, ErrExhausted
	}
	dst = slices.Grow(dst, len(packet))
	opened, err := r.cipher.DecryptRTCP(dst[len(dst):], packet, &r.control)
	if err != nil {
		return dst, refusal(err)
	}
	if from == nil {
		from = r.add(ssrc)
	}
	r.controls++
	from.control.add(index)
	return dst[:len(dst)+len(opened)], nil
}

// controlIndex is the SRTCP index of a packet.
//
// RFC 3711 §3.4 has it before MKI and tag; RFC 7714 §9.2 puts the tag of an AEAD suite before it, with the ciphertext.
func (r *Receiver) controlIndex(packet []byte) uint32 {
	end := len(packet) - len(r.options.MKI)
	if !r.suite.aead {
		end -= r.suite.ControlTag - indexSize
	}
	return binary.BigEndian.Uint32(packet[end-indexSize:]) &^ (1 << 31) // the highest bit is E: the packet is encrypted
}

// refusal is our error for one of the cipher.
func refusal(err error) error {
	if errors.Is(err, pion.ErrFailedToVerifyAuthTag) || errors.Is(err, pion.ErrMKINotFound) {
		return ErrAuth
	}
	return ErrMalformed
}
