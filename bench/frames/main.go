// Command frames writes Opus packets of speech, 20 ms each, for load generators that send what they are given: a length of two bytes,
// low byte first, before each packet. It needs a build with libopus (-tags opus).
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/quality/listen"
)

const (
	rate   = 16000
	length = 20 * time.Second
	seed   = 1
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "frames:", err)
		os.Exit(1)
	}
}

func write() error {
	spec, ok := catalog.Find("opus", 48000, 2)
	if !ok || spec.NewEncoder == nil {
		return fmt.Errorf("this build does not encode Opus: -tags opus")
	}
	encoder, err := spec.NewEncoder(codec.Params{Rate: rate, PTime: 20})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	const frame = rate / 50
	for pcm := listen.Speech(seed, rate, length); len(pcm) >= frame; pcm = pcm[frame:] {
		packet := encoder.Encode(make([]byte, 2, 512), pcm[:frame])
		binary.LittleEndian.PutUint16(packet, uint16(len(packet)-2))
		if _, err := out.Write(packet); err != nil {
			return err
		}
	}
	return out.Flush()
}
