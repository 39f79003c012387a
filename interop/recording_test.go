package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/codec/g711"
)

// stereo reads both channels of a WAVE file in A-law.
func stereo(t *testing.T, name string) (left, right []int16) {
	t.Helper()
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(file), "data")
	if string(file[:4]) != "RIFF" || file[20] != 6 || at < 0 {
		t.Fatalf("no WAVE file in A-law: %q", file[:60])
	}
	samples := file[at+8:]
	for i := 0; i+1 < len(samples); i += 2 {
		left, right = append(left, g711.DecodeALaw(samples[i])), append(right, g711.DecodeALaw(samples[i+1]))
	}
	return left, right
}

// recordings are those that the server knows of.
func (x *server) recordings() []admin.Recording {
	x.t.Helper()
	return decode[admin.Recording](x.t, x.run("recordings", "--json"))
}

// TestEncryptedCallIsRecorded: a phone that insists on SRTP calls one that knows none; the recording, which is encrypted on
// the disk, has the voice of each in its own channel.
func TestEncryptedCallIsRecorded(t *testing.T) {
	x := serve(t, setup{site: site(encrypted("101"), registering("102"))})
	a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA, mediaenc: "srtp-mand"})
	b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB})
	x.registered(2)
	connect(a, b, "102")
	call := decode[admin.Call](t, x.run("calls", "--json"))[0]
	const talk = 5 * time.Second
	x.run("calls", "record", call.ID, "start")
	if active := x.metric("dialtone_recordings_active"); active != 1 {
		t.Errorf("%v recordings under way by the metric", active)
	}
	time.Sleep(talk)
	x.run("calls", "record", call.ID, "stop")
	disconnect(a, b)
	a.hears(toneB, toneA, talk-time.Second)
	b.hears(toneA, toneB, talk-time.Second)
	list := x.recordings()
	if len(list) != 1 || list[0].State != "complete" || !list[0].Encrypted {
		t.Fatalf("recordings %+v", list)
	}
	if r := x.record(); len(r.Recordings) != 1 || r.Recordings[0] != list[0].ID {
		t.Errorf("the record has %v", r.Recordings)
	}
	file := filepath.Join(t.TempDir(), "call.wav")
	x.run("recordings", "get", list[0].ID, file)
	left, right := stereo(t, file)
	for _, c := range []struct {
		side    string
		pcm     []int16
		hz, not float64
	}{{"left", left, toneA, toneB}, {"right", right, toneB, toneA}} {
		if good, bad := sounds(c.pcm, c.hz), sounds(c.pcm, c.not); good < talk-time.Second || bad > 0 {
			t.Errorf("%s channel: %v of its party, %v of the other one", c.side, good, bad)
		}
	}
	if audit := x.run("recordings", "show", list[0].ID); !strings.Contains(audit, list[0].ID) {
		t.Errorf("shown: %s", audit)
	}
	x.run("recordings", "rm", list[0].ID)
	if left := x.recordings(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// TestRecordingSurvivesKill9: what was recorded before the server was killed is there after the next start, encrypted or not,
// and so is its row.
func TestRecordingSurvivesKill9(t *testing.T) {
	for _, encrypt := range []bool{true, false} {
		t.Run(fmt.Sprintf("encrypt=%v", encrypt), func(t *testing.T) {
			lines := []string{registering("102"), strings.Replace(registering("101"), "devices:", "record: always, devices:", 1)}
			x := serve(t, setup{site: site(lines...), more: fmt.Sprintf("[recording]\nencrypt = %v", encrypt)})
			a := x.phone(phoneSetup{number: "101", transport: "udp", hz: toneA})
			b := x.phone(phoneSetup{number: "102", transport: "udp", hz: toneB})
			x.registered(2)
			connect(a, b, "102")
			const talk = 6 * time.Second
			time.Sleep(talk)
			x.signal(syscall.SIGKILL)
			x.wait(5 * time.Second)
			x.boot()
			var list []admin.Recording
			eventually(t, 5*time.Second, "a repaired recording", func() bool {
				list = x.recordings()
				return len(list) == 1 && list[0].State == "recovered"
			})
			if ms := list[0].LengthMS; ms < (talk-3*time.Second).Milliseconds() || list[0].End == nil {
				t.Errorf("%d ms of %v are left", ms, talk)
			}
			if r := x.record(); len(r.Recordings) != 1 || r.Recordings[0] != list[0].ID || r.Cause.Words != "recovered" {
				t.Errorf("the record has %v, cause %v", r.Recordings, *r.Cause)
			}
			file := filepath.Join(t.TempDir(), "call.wav")
			x.run("recordings", "get", list[0].ID, file)
			left, right := stereo(t, file)
			if l, r := sounds(left, toneA), sounds(right, toneB); l < talk-4*time.Second || r < talk-4*time.Second {
				t.Errorf("%v of the caller, %v of the called one", l, r)
			}
		})
	}
}
