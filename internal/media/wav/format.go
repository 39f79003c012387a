package wav

import (
	"encoding/binary"
	"fmt"
	"math"

	"dialtone/internal/codec/resample"
)

// Format says what the samples of a file are.
type Format struct {
	Encoding string // "PCM16", "PCMA" or "PCMU"
	Rate     int    // samples a second
	Channels int    // samples of all of them stand side by side
}

// Validate returns an error that wraps ErrFormat for what cannot be written.
func (f Format) Validate() error {
	if _, bits := f.tag(); bits == 0 {
		return fmt.Errorf("%w: encoding %q", ErrFormat, f.Encoding)
	}
	if !resample.Supported(f.Rate) || f.Channels < 1 || f.Channels > 255 {
		return fmt.Errorf("%w: %d channels of %d samples a second", ErrFormat, f.Channels, f.Rate)
	}
	return nil
}

func (f Format) tag() (tag, bits int) {
	switch f.Encoding {
	case "PCM16":
		return tagPCM, 16
	case "PCMA":
		return tagALaw, 8
	case "PCMU":
		return tagMuLaw, 8
	}
	return 0, 0
}

// BlockSize is how many bytes one sample of all channels takes.
func (f Format) BlockSize() int {
	_, bits := f.tag()
	return f.Channels * bits / 8
}

// HeaderSize is how many bytes AppendHeader appends.
func (f Format) HeaderSize() int {
	if f.Encoding == "PCM16" {
		return headerSize
	}
	return headerSize + 2 + 12
}

// MostBytes is how many bytes of samples a file can have.
func (f Format) MostBytes() int64 { return math.MaxUint32 - 64 }

// AppendHeader appends the header of a file with that many bytes of samples, at most MostBytes.
//
// RFC 2361 and the RIFF specification: whatever is not PCM has an extension size and a "fact" chunk with the number of
// samples of a channel.
func (f Format) AppendHeader(dst []byte, bytes int64) []byte {
	tag, bits := f.tag()
	dst = append(dst, "RIFF"...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(int64(f.HeaderSize())-8+bytes))
	dst = append(dst, "WAVEfmt "...)
	extra := 0
	if tag != tagPCM {
		extra = 2
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(16+extra))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(tag))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(f.Channels))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(f.Rate))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(f.Rate*f.BlockSize()))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(f.BlockSize()))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(bits))
	if tag != tagPCM {
		dst = append(dst, 0, 0)
		dst = append(dst, "fact\x04\x00\x00\x00"...)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(bytes/int64(f.BlockSize())))
	}
	dst = append(dst, "data"...)
	return binary.LittleEndian.AppendUint32(dst, uint32(bytes))
}
