// Package codec says what a voice codec is to the rest of the system: something that turns linear samples into RTP
// payload and back. The codecs themselves are the sub-packages.
//
// Pure values and functions; no goroutines. A Codec may keep state between calls (all but G.711 do), so it belongs to
// one direction of one stream.
package codec

// Rate is the sampling rate of the telephone network in Hz, which frames have unless a codec says otherwise.
const Rate = 8000

// FrameSamples is the usual 20 ms of samples at Rate.
const FrameSamples = 160

// Frame is linear PCM: signed 16-bit samples, one channel.
type Frame []int16

// Codec encodes and decodes one payload format. Neither method keeps its arguments.
type Codec interface {
	// Name is the RTP encoding name (RFC 3551), "PCMA".
	Name() string
	// Encode appends the payload for the samples to dst.
	Encode(dst []byte, pcm Frame) []byte
	// Decode appends the samples of a payload to dst.
	Decode(dst Frame, payload []byte) Frame
}
