// Package codec says what a voice codec is to the rest of the system: something that turns linear samples into RTP
// payload and back, in one direction of one stream. The codecs themselves are the sub-packages, codec/catalog lists
// those of this build.
//
// It owns the interfaces and the description of a codec (Spec). It knows no payload types of a call, no packets and no
// clock: those belong to media. Pure values and functions; no goroutines. An Encoder or a Decoder keeps state from
// packet to packet and belongs to one goroutine at a time.
package codec

// Rate is the sampling rate of the telephone network in Hz, which frames have unless a codec says otherwise.
const Rate = 8000

// FrameSamples is the usual 20 ms of samples at Rate.
const FrameSamples = 160

// Frame is linear PCM: signed 16-bit samples, one channel.
type Frame []int16

// Encoder makes the payloads of one direction of one stream.
type Encoder interface {
	// Encode appends the payload of one packet for pcm, 10 to 60 ms of samples at Params.Rate. When nothing was
	// appended there is nothing to send (discontinuous transmission). It keeps neither argument.
	Encode(dst []byte, pcm Frame) []byte
}

// Decoder turns the payloads of one direction of one stream back into samples at Params.Rate.
type Decoder interface {
	// Decode appends the samples of one payload. It appends nothing for a payload that makes no sense.
	Decode(dst Frame, payload []byte) Frame
	// Conceal appends n samples in place of a packet that did not arrive. They go on with what was heard before and
	// fade out when call follows call.
	Conceal(dst Frame, n int) Frame
}

// Recoverer is a Decoder that can win a lost packet from the one behind it (Opus with in-band FEC).
type Recoverer interface {
	// Recover appends the n samples before those of next, a payload that has arrived and is to be decoded afterwards.
	// Where next carries nothing about them they are concealed.
	Recover(dst Frame, next []byte, n int) Frame
}

// Tuner is an Encoder that follows the network.
type Tuner interface {
	// Tune tells the loss that the receiver reports, in per cent, and the bits a second that it should take; 0 leaves
	// them as they are.
	Tune(lossPct float64, bitrate int)
}

// Params is what an Encoder or a Decoder is made for.
type Params struct {
	Rate  int    // of the PCM, in Hz; 0 means the highest of Spec.Rates that is no higher than 16000
	FMTP  string // format parameters of the receiver of what is encoded, from its description
	PTime int    // milliseconds a packet; 0 means 20
}

// Spec describes a codec.
type Spec struct {
	Name        string // RTP encoding name, "PCMU"; compared without regard to case (RFC 3551 §6)
	ClockRate   int    // of the RTP timestamps, in Hz
	Channels    int    // as a=rtpmap has them; what is made here is mono all the same
	Rates       []int  // PCM rates that it can work at, ascending
	PayloadType uint8  // the static one, or the one proposed in offers
	FMTP        string // proposed in offers

	NewEncoder func(Params) (Encoder, error) // nil: cannot be made in this build
	NewDecoder func(Params) (Decoder, error)
}
