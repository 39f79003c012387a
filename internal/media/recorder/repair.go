package recorder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"dialtone/internal/media/ogg"
	"dialtone/internal/media/wav"
)

// ErrUnknown is for a file that is not one of ours.
var ErrUnknown = errors.New("not a recording")

// Repair puts in order what a crash left of a recording: a WAVE file gets a header that knows all samples there are, an
// Ogg file loses the page that was cut and gets an end, a sealed file needs nothing. It tells whether the file was
// changed, and does nothing to one that is in order. It must not be called while the file is written.
func Repair(path string) (changed bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("repair recording: %w", err)
	}
	changed, err = repair(f)
	if changed && err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return changed, fmt.Errorf("repair recording %s: %w", path, err)
	}
	return changed, nil
}

// disk is what a repair needs of a file.
type disk interface {
	io.ReaderAt
	io.WriterAt
	io.Seeker
	Truncate(size int64) error
}

func repair(f disk) (changed bool, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	head := make([]byte, 64)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	head = head[:n]
	switch {
	case n >= 44 && string(head[:4]) == "RIFF":
		return repairWave(f, head, size)
	case n >= 4 && string(head[:4]) == "OggS":
		return repairOgg(f, size)
	case n >= 8 && string(head[:8]) == sealMagic:
		return false, nil
	}
	return false, ErrUnknown
}

// repairWave writes the header that the length of the file calls for.
func repairWave(f disk, head []byte, size int64) (bool, error) {
	is, ok := ownFormat(head)
	if !ok {
		return false, ErrUnknown
	}
	bytes := min(size-int64(is.HeaderSize()), is.MostBytes())
	bytes -= bytes % int64(is.BlockSize())
	want := is.AppendHeader(nil, bytes)
	if string(want) == string(head[:len(want)]) {
		return false, nil
	}
	_, err := f.WriteAt(want, 0)
	return err == nil, err
}

// ownFormat is the format of a header that is ours but for its sizes.
func ownFormat(head []byte) (wav.Format, bool) {
	is := wav.Format{
		Encoding: map[uint16]string{1: "PCM16", 6: "PCMA"}[binary.LittleEndian.Uint16(head[20:])],
		Channels: int(binary.LittleEndian.Uint16(head[22:])), Rate: int(binary.LittleEndian.Uint32(head[24:])),
	}
	if is.Validate() != nil || len(head) < is.HeaderSize() {
		return is, false
	}
	n := is.HeaderSize()
	bytes := int64(binary.LittleEndian.Uint32(head[n-4:]))
	return is, string(is.AppendHeader(nil, bytes)[8:n]) == string(head[8:n])
}

// repairOgg cuts behind the last whole page and ends the stream with an empty one.
func repairOgg(f disk, size int64) (bool, error) {
	pages := ogg.NewPageReader(io.NewSectionReader(f, 0, size))
	var last ogg.Page
	count := 0
	for {
		p, err := pages.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, ogg.ErrFormat) {
			break
		}
		if err != nil {
			return false, err
		}
		last = ogg.Page{Flags: p.Flags, Granule: p.Granule, Serial: p.Serial, Sequence: p.Sequence}
		count++
	}
	if count < 2 {
		return false, ErrUnknown // not even the headers
	}
	if last.Flags&ogg.Last != 0 && pages.Read == size {
		return false, nil
	}
	if err := f.Truncate(pages.Read); err != nil || last.Flags&ogg.Last != 0 {
		return err == nil, err
	}
	end := ogg.Page{Flags: ogg.Last, Granule: last.Granule, Serial: last.Serial, Sequence: last.Sequence + 1}
	_, err := f.WriteAt(end.Append(nil), pages.Read)
	return err == nil, err
}
