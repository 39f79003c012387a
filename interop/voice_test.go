package interop

import (
	"bytes"
	little "encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"dialtone/internal/codec/resample"
	"dialtone/internal/media/wav"
	"dialtone/internal/quality/listen"
)

// A voice is speech that a phone plays from the moment its call is there: a second of silence, in which the other side may
// begin to listen, and then the same words at every rate.
const (
	hush    = time.Second
	phrases = 6 * time.Second  // that are judged
	spoken  = 40 * time.Second // that there are: baresip hangs up at the end of its file
)

// formats are the rate and the channels at which baresip works with a codec.
var formats = map[string]wav.Format{
	"PCMA": {Rate: 8000, Channels: 1}, "PCMU": {Rate: 8000, Channels: 1},
	"G722": {Rate: 16000, Channels: 1}, "opus": {Rate: 48000, Channels: 2},
}

// voices remembers what was said: making it takes time.
var voices struct {
	sync.Mutex
	made map[voiceKey][]int16
}

type voiceKey struct {
	seed uint64
	rate int
}

// speech is what a voice says after its hush: made at the highest rate and brought to the others, so that its noises are the
// same.
func speech(seed uint64, rate int) []int16 {
	voices.Lock()
	defer voices.Unlock()
	key := voiceKey{seed, rate}
	if pcm, ok := voices.made[key]; ok {
		return pcm
	}
	if voices.made == nil {
		voices.made = map[voiceKey][]int16{}
	}
	full, ok := voices.made[voiceKey{seed, fullRate}]
	if !ok {
		full = listen.Speech(seed, fullRate, spoken)
		voices.made[voiceKey{seed, fullRate}] = full
	}
	voices.made[key] = resampled(full, fullRate, rate)
	return voices.made[key]
}

const fullRate = 48000

func resampled(pcm []int16, from, to int) []int16 {
	if from == to {
		return pcm
	}
	change, err := resample.New(from, to)
	if err != nil {
		panic(err) // both are rates of codecs
	}
	return change.Flush(change.Write(nil, pcm))
}

// writeSpeech writes the file that a phone plays.
func writeSpeech(t *testing.T, name string, seed uint64, codec string) {
	t.Helper()
	f := formats[codec]
	saveSpeech(t, name, seed, f.Rate, f.Channels)
}

func saveSpeech(t *testing.T, name string, seed uint64, rate, channels int) {
	t.Helper()
	pcm := append(make([]int16, int(hush.Seconds()*float64(rate))), speech(seed, rate)...)
	size := int64(2 * channels * len(pcm))
	format := wav.Format{Encoding: "PCM16", Rate: rate, Channels: channels}
	b := format.AppendHeader(make([]byte, 0, size+64), size)
	for _, s := range pcm {
		for range channels {
			b = little.LittleEndian.AppendUint16(b, uint16(s))
		}
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sound reads a file as one channel at a rate.
func sound(t *testing.T, name string, rate int) []int16 {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := wav.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var pcm []int16
	chunk := make([]int16, 4096)
	for {
		n, err := r.Read(chunk)
		pcm = append(pcm, chunk[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return resampled(pcm, r.Rate, rate)
}

// judged compares what a phone has recorded with the first phrases of a voice.
func (p *phone) judged(t *testing.T, seed uint64, rate int) listen.Result {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "dump-*-dec.wav"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s has recorded %d times (%v)", p.name, len(files), err)
	}
	return listen.Compare(said(seed, rate), sound(t, files[0], rate), rate)
}

// said is the part of a voice that is judged.
func said(seed uint64, rate int) []int16 {
	return speech(seed, rate)[:int(phrases.Seconds()*float64(rate))]
}
