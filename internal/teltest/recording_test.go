package teltest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/config"
	"dialtone/internal/event"
	"dialtone/internal/media/recorder"
	"dialtone/internal/media/tap"
	"dialtone/internal/media/tone"
	"dialtone/internal/recording"
	"dialtone/internal/softphone"
	"dialtone/internal/store"
)

// recorded is the lines of a Lab with 101 recorded always, 103 never.
func recorded() string {
	text := strings.Replace(Lines(), "name: Line 101\n", "name: Line 101\n    record: always\n", 1)
	return strings.Replace(text, "name: Line 103\n", "name: Line 103\n    record: off\n", 1)
}

// happened collects the types of the events whose names begin with a word.
func happened(lab *Lab, prefix string) func() []string {
	sub := lab.Server.Events().Subscribe(event.Scope{AllTenants: true})
	lab.T.Cleanup(sub.Close)
	return func() (types []string) {
		for {
			select {
			case e := <-sub.Events():
				if strings.HasPrefix(e.Type, prefix) {
					types = append(types, strings.TrimPrefix(e.Type, prefix))
				}
			default:
				return types
			}
		}
	}
}

// recordings are all that the archive has, the newest first.
func recordings(lab *Lab) []recording.Recording {
	lab.T.Helper()
	list, err := lab.Server.Recordings().List(lab.T.Context(), store.RecordingQuery{})
	lab.must(err)
	return list
}

// channels reads both channels of a WAVE recording in A-law.
func channels(lab *Lab, r recording.Recording) (channels [2][]int16) {
	lab.T.Helper()
	file, err := lab.Server.Recordings().Open(r)
	lab.must(err)
	defer file.Close()
	all, err := io.ReadAll(file)
	lab.must(err)
	at := strings.Index(string(all), "data")
	if string(all[:4]) != "RIFF" || binary.LittleEndian.Uint16(all[20:]) != 6 || at < 0 {
		lab.T.Fatalf("no WAVE file in A-law: %q", all[:60])
	}
	for i, b := range all[at+8:] {
		channels[i%2] = append(channels[i%2], g711.DecodeALaw(b))
	}
	return channels
}

// sounds asserts that what is between two moments of a channel is one tone; 0 is silence.
func sounds(t *testing.T, what string, pcm []int16, from, to time.Duration, hz float64) {
	t.Helper()
	a, b := int(from.Milliseconds())*8, int(to.Milliseconds())*8
	if len(pcm) < b {
		t.Errorf("%s: %d samples, want %d at least", what, len(pcm), b)
		return
	}
	var d tone.Detector
	d.Write(pcm[a:b])
	if heard := d.Hz(); hz == 0 && len(heard) > 0 || hz != 0 && (len(heard) != 1 || !d.Heard(hz)) {
		t.Errorf("%s: %v Hz from %v to %v, want %v", what, heard, from, to, hz)
	}
}

func TestCallsAreRecorded(t *testing.T) {
	for name, encrypt := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			inLab(t, Options{File: recorded(), Configure: func(c *config.Config) { c.Recording.Encrypt = encrypt }}, func(t *testing.T, lab *Lab) {
				events := happened(lab, "recording.")
				a, b := lab.Phone("101"), lab.Phone("102")
				near, _ := a.Connect("102", b)
				lab.Hears(near, b.Hz)
				lab.Pass(10 * time.Second)
				near.Hangup()
				lab.Ended(near)
				record := lab.Record()
				list := recordings(lab)
				if len(list) != 1 || !slices.Equal(record.Recordings, []string{list[0].ID}) || *record.Flags.RecordingFailed {
					t.Fatalf("%d recordings, the record has %v", len(list), record.Recordings)
				}
				r := list[0]
				if r.State != recording.Complete || r.CallID != record.CallID || r.From != "101" || r.To != "102" || r.By != "policy" ||
					r.Length < 11*time.Second || r.Length > 12*time.Second || r.Bytes < 16000*11 || r.Fault != "" || r.Lost != 0 || r.Encrypted != encrypt {
					t.Errorf("recording %+v", r)
				}
				sound := channels(lab, r)
				sounds(t, "the caller's channel", sound[0], 500*time.Millisecond, 11*time.Second, a.Hz)
				sounds(t, "the called one's channel", sound[1], 500*time.Millisecond, 11*time.Second, b.Hz)
				if got := events(); !slices.Equal(got, []string{"started", "stopped"}) {
					t.Errorf("events %v", got)
				}
				raw, err := os.ReadFile(filepath.Join(dataOf(lab), "recordings", r.File))
				lab.must(err)
				if sealed := !strings.HasPrefix(string(raw), "RIFF"); sealed != encrypt {
					t.Errorf("the file on disk is encrypted: %v, want %v", sealed, encrypt)
				}
				lab.must(lab.Server.Recordings().Remove(t.Context(), r))
				if _, err := lab.Server.Recordings().Find(t.Context(), r.ID); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("a recording that was removed is found: %v", err)
				}
				if _, err := os.Stat(filepath.Join(dataOf(lab), "recordings", r.File)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the file of a recording that was removed is there: %v", err)
				}
			})
		})
	}
}

// Somebody asks for a recording, pauses it, goes on, ends it, and begins another one.
func TestRecordingOnDemand(t *testing.T) {
	inLab(t, Options{File: recorded()}, func(t *testing.T, lab *Lab) {
		archive := lab.Server.Recordings()
		events := happened(lab, "recording.")
		a, b := lab.Phone("104"), lab.Phone("102")
		near, _ := a.Connect("102", b)
		id := lab.Server.Calls().Records()[0].ID
		if _, err := archive.Stop(t.Context(), id); !errors.Is(err, recording.ErrIdle) {
			t.Errorf("end of what has not begun: %v", err)
		}
		step := func(what string, do func(context.Context, string) (recording.Recording, error), want recording.State) recording.Recording {
			t.Helper()
			r, err := do(t.Context(), id)
			if err != nil || r.State != want {
				t.Fatalf("%s: %+v, %v", what, r, err)
			}
			return r
		}
		start := func(ctx context.Context, id string) (recording.Recording, error) {
			return archive.Start(ctx, id, "sara")
		}
		first := step("start", start, recording.Running)
		if _, err := archive.Start(t.Context(), id, "sara"); !errors.Is(err, recording.ErrActive) {
			t.Errorf("a second start: %v", err)
		}
		lab.Pass(3 * time.Second)
		step("pause", archive.Pause, recording.Paused)
		lab.Pass(3 * time.Second)
		step("resume", archive.Resume, recording.Running)
		lab.Pass(3 * time.Second)
		last := step("stop", archive.Stop, recording.Complete)
		if last.ID != first.ID || last.Length < 8900*time.Millisecond || last.Length > 9200*time.Millisecond {
			t.Errorf("recorded %v of 9s", last.Length)
		}
		second := step("start again", start, recording.Running)
		lab.Pass(2 * time.Second)
		near.Hangup()
		lab.Ended(near)
		if r := lab.Record(); !slices.Equal(r.Recordings, []string{first.ID, second.ID}) {
			t.Errorf("the record has %v, want %s and %s", r.Recordings, first.ID, second.ID)
		}
		for i, pcm := range channels(lab, last) {
			hz := [...]float64{a.Hz, b.Hz}[i]
			sounds(t, "before the pause", pcm, 500*time.Millisecond, 2900*time.Millisecond, hz)
			sounds(t, "pause", pcm, 3100*time.Millisecond, 5900*time.Millisecond, 0)
			sounds(t, "after the pause", pcm, 6300*time.Millisecond, 8800*time.Millisecond, hz)
		}
		want := []string{"started", "paused", "resumed", "stopped", "started", "stopped"}
		if got := events(); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
	})
}

// Off wins over always, nobody ends what is always recorded, and what connects no two parties is not recorded.
func TestRecordingPolicy(t *testing.T) {
	inLab(t, Options{File: recorded()}, func(t *testing.T, lab *Lab) {
		archive := lab.Server.Recordings()
		a, b, c := lab.Phone("101"), lab.Phone("102"), lab.Phone("103")
		near, _ := a.Connect("103", c)
		id := lab.Server.Calls().Records()[0].ID
		if _, err := archive.Start(t.Context(), id, "sara"); !errors.Is(err, recording.ErrOff) {
			t.Errorf("a call with a line that is never recorded: %v", err)
		}
		near.Hangup()
		lab.Ended(near)
		near, _ = b.Connect("101", a)
		lab.Pass(time.Second)
		id = lab.Server.Calls().Records()[0].ID
		if _, err := archive.Stop(t.Context(), id); !errors.Is(err, recording.ErrAlways) {
			t.Errorf("the end of what is always recorded: %v", err)
		}
		near.Hangup()
		lab.Ended(near)
		near = b.Dial("*43")
		lab.Answered(near)
		id = lab.Server.Calls().Records()[0].ID
		if _, err := archive.Start(t.Context(), id, "sara"); !errors.Is(err, recording.ErrUnconnected) {
			t.Errorf("an echo: %v", err)
		}
		near.Hangup()
		lab.Ended(near)
		lab.Pass(time.Second)
		if _, err := archive.Start(t.Context(), id, "sara"); !errors.Is(err, recording.ErrNoCall) {
			t.Errorf("a call that is over: %v", err)
		}
		lab.Pass(time.Second)
		list := recordings(lab)
		if len(list) != 1 || list[0].To != "101" || archive.Stats().Active != 0 || archive.Stats().Failed != 0 {
			t.Errorf("recordings %+v, %+v", list, archive.Stats())
		}
		files, err := filepath.Glob(filepath.Join(dataOf(lab), "recordings", "*", "*"))
		lab.must(err)
		if len(files) != 1 {
			t.Errorf("files %v, want one", files)
		}
	})
}

// full is a disk that has no room after a while.
type full struct {
	recorder.File
	left *int
}

func (f full) WriteAt(b []byte, at int64) (int, error) {
	if *f.left -= len(b); *f.left < 0 {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(b, at)
}

// A full disk ends the recording, loudly, and nothing else.
func TestFullDisk(t *testing.T) {
	left := 40_000
	open := func(path string) (recorder.File, error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		return full{f, &left}, err
	}
	inLab(t, Options{File: recorded(), OpenRecording: open, Configure: func(c *config.Config) { c.Recording.Encrypt = false }}, func(t *testing.T, lab *Lab) {
		events := happened(lab, "recording.")
		a, b := lab.Phone("101"), lab.Phone("102")
		near, far := a.Connect("102", b)
		lab.Pass(6 * time.Second)
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		near.Hangup()
		if o := lab.Ended(near); o.Status() != 200 || o.Media.Lost != 0 {
			t.Errorf("the call: %+v", o)
		}
		if got := events(); !slices.Equal(got, []string{"started", "failed"}) {
			t.Errorf("events %v", got)
		}
		r := recordings(lab)[0]
		if r.State != recording.Failed || !strings.Contains(r.Fault, "no space") {
			t.Errorf("recording %+v", r)
		}
		sounds(t, "what fitted", channels(lab, r)[0], 500*time.Millisecond, 1500*time.Millisecond, a.Hz)
		if record := lab.Record(); !*record.Flags.RecordingFailed || !slices.Equal(record.Recordings, []string{r.ID}) {
			t.Errorf("the record: failed %v, %v", *record.Flags.RecordingFailed, record.Recordings)
		}
		if s := lab.Server.Recordings().Stats(); s.Failed != 1 || s.Active != 0 {
			t.Errorf("figures %+v", s)
		}
	})
}

// Both parties hear that they are recorded, and their own voices are recorded without that.
func TestRecordingBeep(t *testing.T) {
	inLab(t, Options{File: recorded(), Configure: func(c *config.Config) { c.Recording.Beep.Duration = 2 * time.Second }}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		kept := &kept{}
		near := a.DialWith("102", talkInto(kept))
		lab.Answered(near)
		lab.Pass(5 * time.Second)
		near.Hangup()
		lab.Ended(near)
		lab.Pass(time.Second)
		beeps := 0
		for at := 0; at+1600 <= len(kept.pcm); at += 160 {
			if tone.Goertzel(kept.pcm[at:at+1600], 1400) > 4*tone.Goertzel(kept.pcm[at:at+1600], b.Hz) {
				beeps++
				at += 8000
			}
		}
		if beeps != 3 {
			t.Errorf("the caller has heard %d beeps in five seconds, want 3", beeps)
		}
		sounds(t, "the called one's channel", channels(lab, recordings(lab)[0])[1], 500*time.Millisecond, 4*time.Second, b.Hz)
	})
}

// What is old goes, unless a legal hold keeps it.
func TestRetention(t *testing.T) {
	inLab(t, Options{File: recorded(), Configure: func(c *config.Config) { c.Recording.Keep.Duration = 3 * time.Hour }}, func(t *testing.T, lab *Lab) {
		archive := lab.Server.Recordings()
		a, b := lab.Phone("101"), lab.Phone("102")
		for range 2 {
			near, _ := a.Connect("102", b)
			lab.Pass(2 * time.Second)
			near.Hangup()
			lab.Ended(near)
		}
		lab.Pass(time.Second)
		list := recordings(lab)
		lab.must(archive.Hold(t.Context(), list[0].ID, true))
		if err := archive.Remove(t.Context(), list[0]); !errors.Is(err, store.ErrHeld) {
			t.Errorf("a recording that is held was removed: %v", err)
		}
		lab.Pass(2 * time.Hour)
		if left := recordings(lab); len(left) != 2 {
			t.Errorf("%d recordings after two hours, want 2", len(left))
		}
		lab.Pass(2*time.Hour + time.Minute)
		left := recordings(lab)
		if len(left) != 1 || left[0].ID != list[0].ID || !left[0].Hold {
			t.Errorf("recordings after four hours: %+v", left)
		}
		if _, err := archive.Open(left[0]); err != nil {
			t.Errorf("the one that is held: %v", err)
		}
	})
}

// kept keeps what a phone hears.
type kept struct{ pcm []int16 }

func (k *kept) Write(pcm []int16) error { k.pcm = append(k.pcm, pcm...); return nil }
func (k *kept) Flush() error            { return nil }

func talkInto(k *kept) softphone.Talk { return softphone.Talk{Record: k} }

// dataOf is the data directory of the exchange.
func dataOf(lab *Lab) string { return lab.Server.Status().Data }

// A call whose media goes straight between the phones comes here when it is to be recorded, and one that is always recorded is
// here from its beginning.
func TestDirectCallsAreRecorded(t *testing.T) {
	always := strings.Replace(office(""), `number: "102"`, `record: always, number: "102"`, 1)
	for name, file := range map[string]string{"on demand": office(""), "always": always} {
		t.Run(name, func(t *testing.T) {
			inLab(t, Options{File: file}, func(t *testing.T, lab *Lab) {
				a, b := lab.Phone("101"), lab.Phone("102")
				count := passing(lab)
				near, _ := a.Connect("102", b)
				lab.Hears(near, b.Hz)
				straight, through := count()
				if direct := straight > 0; direct == (name == "always") {
					t.Errorf("%d packets went straight, %d through the exchange", straight, through)
				}
				if name != "always" {
					_, err := lab.Server.Recordings().Start(t.Context(), lab.Server.Calls().Records()[0].ID, "sara")
					lab.must(err)
				}
				lab.Pass(4 * time.Second)
				lab.Hears(near, b.Hz)
				near.Hangup()
				lab.Ended(near)
				lab.Pass(time.Second)
				sound := channels(lab, recordings(lab)[0])
				sounds(t, "caller", sound[0], time.Second, 4*time.Second, a.Hz)
				sounds(t, "called one", sound[1], time.Second, 4*time.Second, b.Hz)
			})
		})
	}
}

// ears are detectors of both directions of a tap.
type ears struct {
	mu   sync.Mutex
	each [3]tone.Detector
}

func (e *ears) WriteTap(d tap.Direction, frame codec.Frame) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.each[d].Write(frame)
}

// Somebody listens to both parties while the call is recorded, until the call ends.
func TestCallsAreListenedTo(t *testing.T) {
	inLab(t, Options{File: recorded()}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near, far := a.Connect("102", b)
		e := &ears{}
		over, stop, err := lab.Server.Recordings().Listen(t.Context(), lab.Server.Calls().Records()[0].ID, 16000, halved{e})
		lab.must(err)
		defer stop()
		lab.Pass(3 * time.Second)
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		near.Hangup()
		lab.Ended(near)
		lab.Pass(time.Second)
		select {
		case <-over:
		default:
			t.Error("listening goes on after the call")
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if said, heard := &e.each[tap.Said], &e.each[tap.Heard]; !said.Heard(a.Hz) || said.Heard(b.Hz) || !heard.Heard(b.Hz) || heard.Heard(a.Hz) {
			t.Errorf("the caller says %v, the other one %v; want %v and %v", said.Hz(), heard.Hz(), a.Hz, b.Hz)
		}
	})
}

// halved takes every other sample, for detectors at 8 kHz.
type halved struct{ to *ears }

func (h halved) WriteTap(d tap.Direction, frame codec.Frame) {
	half := make(codec.Frame, len(frame)/2)
	for i := range half {
		half[i] = frame[2*i]
	}
	h.to.WriteTap(d, half)
}

// The formats that the static file names are what players take, encrypted or not.
func TestRecordingFormats(t *testing.T) {
	for format, kind := range map[string]string{config.WAVPCM: "audio/wav", config.Opus: "audio/ogg"} {
		if format == config.Opus && recorder.Encodes("opus") != nil {
			t.Log("this build does not encode Opus")
			continue
		}
		for _, encrypt := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, encrypted %v", format, encrypt), func(t *testing.T) {
				configure := func(c *config.Config) { c.Recording.Format, c.Recording.Encrypt = format, encrypt }
				inLab(t, Options{File: recorded(), Configure: configure}, func(t *testing.T, lab *Lab) {
					a, b := lab.Phone("101"), lab.Phone("102")
					near, _ := a.Connect("102", b)
					lab.Pass(5 * time.Second)
					near.Hangup()
					lab.Ended(near)
					lab.Pass(time.Second)
					r := recordings(lab)[0]
					if r.Fault != "" {
						t.Fatal(r.Fault)
					}
					file, err := lab.Server.Recordings().Open(r)
					lab.must(err)
					defer file.Close()
					all, err := io.ReadAll(file)
					lab.must(err)
					least := map[string]int{config.WAVPCM: 5 * 64000, config.Opus: 5000}[format]
					if r.State != recording.Complete || r.Length < 5*time.Second || file.ContentType() != kind || len(all) < least {
						t.Errorf("%+v: %d bytes of %s", r, len(all), file.ContentType())
					}
				})
			})
		}
	}
}
