//go:build opus && cgo

package opus

/*
#cgo CFLAGS: -O2
#cgo LDFLAGS: -l:libopus.a -lm
#cgo noescape opus_encode
#cgo nocallback opus_encode
#cgo noescape opus_decode
#cgo nocallback opus_decode
#cgo noescape encoder_set
#cgo nocallback encoder_set
#include <opus/opus.h>

// cgo calls no functions with a varying number of arguments.
static int encoder_set(OpusEncoder *st, int request, int value) { return opus_encoder_ctl(st, request, (opus_int32)value); }
*/
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"dialtone/internal/codec"
)

// Implementation names what encodes and decodes.
func Implementation() string { return C.GoString(C.opus_get_version_string()) }

// offered says that we make use of the correction in what we get (RFC 7587 §6.1).
const offered = "useinbandfec=1"

// assumedLoss is the loss in per cent that error correction reckons with before the receiver has reported any.
const assumedLoss = 5

// room returns memory for a state of libopus: of Go, so that it is collected, and aligned as malloc does.
func room(size C.int) []byte {
	b := make([]byte, int(size)+15)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & 15
	return b[skip:]
}

// fault puts an error code of libopus into words.
func fault(verb string, code C.int) error {
	return fmt.Errorf("%s: libopus: %s", verb, C.GoString(C.opus_strerror(code)))
}

// Encoder makes the payloads of one stream. It is a codec.Encoder and a codec.Tuner.
type Encoder struct {
	memory     []byte // the state of libopus
	parameters Parameters
	payload    [mostPayload]byte
}

func encoderOf() func(codec.Params) (codec.Encoder, error) {
	return func(p codec.Params) (codec.Encoder, error) { return NewEncoder(p) }
}

// NewEncoder makes an encoder for a receiver with the format parameters p.FMTP.
func NewEncoder(p codec.Params) (*Encoder, error) {
	rate, err := p.Choose(Rates())
	if err != nil {
		return nil, fmt.Errorf("encode Opus: %w", err)
	}
	switch p.PTime {
	case 0, 10, 20, 40, 60:
	default:
		return nil, fmt.Errorf("encode Opus: no frames of %d ms", p.PTime)
	}
	e := &Encoder{memory: room(C.opus_encoder_get_size(1)), parameters: ParseFMTP(p.FMTP)}
	if code := C.opus_encoder_init(e.state(), C.opus_int32(rate), 1, C.OPUS_APPLICATION_VOIP); code != C.OPUS_OK {
		return nil, fault("encode Opus", code)
	}
	r := &e.parameters
	for _, s := range []struct{ request, value int }{
		{C.OPUS_SET_COMPLEXITY_REQUEST, Complexity},
		{C.OPUS_SET_BITRATE_REQUEST, r.bitrate(rate)},
		{C.OPUS_SET_VBR_REQUEST, bit(!r.CBR)},
		{C.OPUS_SET_DTX_REQUEST, bit(r.DTX)},
		{C.OPUS_SET_INBAND_FEC_REQUEST, bit(r.InbandFEC)},
		{C.OPUS_SET_PACKET_LOSS_PERC_REQUEST, assumedLoss * bit(r.InbandFEC)},
		{C.OPUS_SET_MAX_BANDWIDTH_REQUEST, bandwidth(r.MaxPlaybackRate)},
	} {
		if err := e.set(s.request, s.value); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func bit(set bool) int {
	if set {
		return 1
	}
	return 0
}

// bandwidth is the widest that makes sense for a receiver's sampling rate (RFC 7587 §3.1.1, Table 1).
func bandwidth(rate int) int {
	switch {
	case rate < 12000:
		return C.OPUS_BANDWIDTH_NARROWBAND
	case rate < 16000:
		return C.OPUS_BANDWIDTH_MEDIUMBAND
	case rate < 24000:
		return C.OPUS_BANDWIDTH_WIDEBAND
	case rate < 48000:
		return C.OPUS_BANDWIDTH_SUPERWIDEBAND
	}
	return C.OPUS_BANDWIDTH_FULLBAND
}

func (e *Encoder) state() *C.OpusEncoder {
	return (*C.OpusEncoder)(unsafe.Pointer(unsafe.SliceData(e.memory)))
}

func (e *Encoder) set(request, value int) error {
	if code := C.encoder_set(e.state(), C.int(request), C.int(value)); code != C.OPUS_OK {
		return fault(fmt.Sprintf("set %d of the Opus encoder to %d", request, value), code)
	}
	return nil
}

// Encode appends the payload for pcm, which is 10, 20, 40 or 60 ms long; for other lengths, and for pauses when the
// receiver likes them not to be sent, it appends nothing.
func (e *Encoder) Encode(dst []byte, pcm codec.Frame) []byte {
	if len(pcm) == 0 {
		return dst
	}
	n := C.opus_encode(e.state(), (*C.opus_int16)(unsafe.Pointer(&pcm[0])), C.int(len(pcm)),
		(*C.uchar)(unsafe.Pointer(&e.payload[0])), mostPayload)
	// libopus: a payload of one or two bytes does not need to be sent when pauses are not.
	if n <= 0 || n <= 2 && e.parameters.DTX {
		return dst
	}
	return append(dst, e.payload[:n]...)
}

// Tune makes error correction reckon with the loss, and sets the bit rate within what the receiver allows.
func (e *Encoder) Tune(lossPct float64, bitrate int) {
	// Neither can fail: the values are in their bounds.
	loss := 0
	if lossPct > 0 { // not so for NaN
		loss = int(min(lossPct, 100) + 0.5)
	}
	_ = e.set(C.OPUS_SET_PACKET_LOSS_PERC_REQUEST, loss)
	if bitrate > 0 {
		_ = e.set(C.OPUS_SET_BITRATE_REQUEST, e.parameters.within(bitrate))
	}
}

// Decoder turns the payloads of one stream into PCM. It is a codec.Decoder and a codec.Recoverer.
type Decoder struct {
	memory []byte // the state of libopus
	rate   int
	spare  [48000 / 400]int16 // 2.5 ms
}

func newDecoder(p codec.Params) (codec.Decoder, error) { return NewDecoder(p) }

// NewDecoder makes a decoder to p.Rate. What the sender may do is in the payloads; format parameters do not matter.
func NewDecoder(p codec.Params) (*Decoder, error) {
	rate, err := p.Choose(Rates())
	if err != nil {
		return nil, fmt.Errorf("decode Opus: %w", err)
	}
	d := &Decoder{memory: room(C.opus_decoder_get_size(1)), rate: rate}
	if code := C.opus_decoder_init(d.state(), C.opus_int32(rate), 1); code != C.OPUS_OK {
		return nil, fault("decode Opus", code)
	}
	return d, nil
}

func (d *Decoder) state() *C.OpusDecoder {
	return (*C.OpusDecoder)(unsafe.Pointer(unsafe.SliceData(d.memory)))
}

// decode gives n samples for a payload, or in place of one when it is empty; or those before it when correct is set.
// It tells how many were given.
func (d *Decoder) decode(out []int16, payload []byte, correct int) int {
	var data *C.uchar
	if len(payload) > 0 {
		data = (*C.uchar)(unsafe.Pointer(&payload[0]))
	}
	n := C.opus_decode(d.state(), data, C.opus_int32(len(payload)), (*C.opus_int16)(unsafe.Pointer(&out[0])), C.int(len(out)), C.int(correct))
	return max(int(n), 0)
}

// Decode appends the samples of a payload; stereo is mixed to mono.
func (d *Decoder) Decode(dst codec.Frame, payload []byte) codec.Frame {
	n := Samples(payload, d.rate)
	if n == 0 {
		return dst
	}
	begin := len(dst)
	dst = slices.Grow(dst, n)[:begin+n]
	return dst[:begin+d.decode(dst[begin:], payload, 0)]
}

// Conceal appends n samples that go on with what was heard.
func (d *Decoder) Conceal(dst codec.Frame, n int) codec.Frame { return d.fill(dst, nil, n) }

// Recover appends the n samples before those of next from the correction that next carries; where it has none they are
// concealed.
func (d *Decoder) Recover(dst codec.Frame, next []byte, n int) codec.Frame {
	if Samples(next, d.rate) == 0 {
		next = nil
	}
	return d.fill(dst, next, n)
}

// fill appends n samples that were lost. libopus makes them in units of 2.5 ms; the rest of one is left out.
func (d *Decoder) fill(dst codec.Frame, next []byte, n int) codec.Frame {
	unit := d.rate / 400
	most := longest * d.rate / 1000
	for n > 0 {
		part := min(n-n%unit, most)
		if part == 0 {
			made := d.decode(d.spare[:unit], nil, 0)
			clear(d.spare[made:unit])
			return append(dst, d.spare[:n]...)
		}
		correct := 0
		var from []byte
		if part == n-n%unit && next != nil { // the last whole units before next
			from, correct = next, 1
		}
		begin := len(dst)
		dst = slices.Grow(dst, part)[:begin+part]
		made := d.decode(dst[begin:], from, correct)
		clear(dst[begin+made:])
		n -= part
		if n < unit {
			next = nil
		}
	}
	return dst
}
