package softphone

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/media/tone"
	"dialtone/internal/network"
)

func TestNewRefuses(t *testing.T) {
	net := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t}).Host(netip.MustParseAddr("192.0.2.1"))
	for _, c := range []struct {
		name   string
		config Config
		want   string // part of the error; "" is none
	}{
		{"host", Config{Network: net, Server: "192.0.2.9", User: "1"}, ""},
		{"host and port", Config{Network: net, Server: "pbx.example:5070", User: "1"}, ""},
		{"IPv6", Config{Network: net, Server: "[2001:db8::1]:5070", User: "1"}, ""},
		{"codecs", Config{Network: net, Server: "h", Codecs: []string{"PCMU", "pcma"}}, ""},
		{"no network", Config{Server: "h"}, "network"},
		{"no server", Config{Network: net}, "HOST"},
		{"bare IPv6", Config{Network: net, Server: "2001:db8::1"}, "HOST"},
		{"a URI", Config{Network: net, Server: "sip:h"}, "HOST"},
		{"a user", Config{Network: net, Server: "u@h"}, "HOST"},
		{"a line", Config{Network: net, Server: "h\r\nX: y"}, "HOST"},
		{"password alone", Config{Network: net, Server: "h", Password: "p"}, "user"},
		{"codec", Config{Network: net, Server: "h", Codecs: []string{"g729"}}, "g729"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := New(c.config)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if err == nil {
				p.Close() // of a phone that was never opened
			}
		})
	}
}

// memo is a Recorder in memory.
type memo struct {
	pcm     []int16
	rate    int
	flushed bool
	full    error
}

func (m *memo) Begin(rate int) error {
	m.rate = rate
	return nil
}

func (m *memo) Write(pcm []int16) error {
	m.pcm = append(m.pcm, pcm...)
	return m.full
}

func (m *memo) Flush() error {
	m.flushed = true
	return nil
}

// run runs both phones of a desk as `dialtone phone` does: the callee with one task, the caller with the other.
func run(t *testing.T, callee, caller Task) (Result, Result) {
	t.Helper()
	net := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
	var results [2]Result
	var servers [2]string
	done := make(chan error, 1)
	phones := [2]*Phone{}
	hosts := [2]*network.Host{net.Host(netip.MustParseAddr("192.0.2.2")), net.Host(netip.MustParseAddr("192.0.2.1"))}
	servers[0] = "192.0.2.1"
	for i, task := range []Task{callee, caller} {
		if i == 1 {
			// The callee's only socket for SIP is the first that it opens.
			servers[1] = "192.0.2.2:32768"
		}
		var err error
		if phones[i], err = New(Config{Network: hosts[i], Server: servers[i], User: fmt.Sprint(102 - i)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			go func() {
				var err error
				results[0], err = phones[0].Run(t.Context(), task)
				done <- err
			}()
			synctest.Wait()
			continue
		}
		if results[1], err = phones[1].Run(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return results[0], results[1]
}

func TestTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tape := &memo{}
		pcm := make([]int16, 2*8000)
		tone.NewGenerator(tone.Sine(700, -10)).Read(pcm)
		callee, caller := run(t,
			Task{Answer: true, Talk: Talk{PCM: pcm}, ExpectTone: []float64{440}},
			Task{Call: "102", Talk: Talk{Duration: 4 * time.Second, Record: tape, Press: "12#"}, ExpectTone: []float64{700}})
		if !callee.OK || !caller.OK || caller.Status != 200 || caller.TalkMS != 4000 || !slices.Equal(caller.TonesHz, []int{700}) ||
			caller.RX < 190 || caller.Lost != 0 || caller.MOS < 4.3 || caller.Cause != "normal" {
			t.Errorf("callee %+v, caller %+v", callee, caller)
		}
		// Two seconds of the file and two of the silence behind it.
		if n := len(tape.pcm); !tape.flushed || n < 3900*8 || n > 4000*8 {
			t.Fatalf("%d samples recorded, complete: %v", n, tape.flushed)
		}
		if l := tone.Goertzel(tape.pcm[8000:8800], 700); l < -11 || l > -9 {
			t.Errorf("recorded at %.1f dBm0", l)
		}
		if l := tone.Goertzel(tape.pcm[3*8000:3*8000+800], 700); l > -60 {
			t.Errorf("the file goes on at %.1f dBm0", l)
		}
	})
}

// What was asked and did not happen fails the task.
func TestTasksThatFail(t *testing.T) {
	for _, c := range []struct {
		name           string
		callee, caller Task
		calleeOK       bool
		want           Result // of the caller: status and cause
	}{
		{"the tone is not heard", Task{Answer: true}, Task{Call: "102", ExpectTone: []float64{1000}, Talk: Talk{Duration: time.Second}}, true,
			Result{Status: 200, Cause: "1000 Hz was not heard"}},
		{"the recording fails", Task{Answer: true}, Task{Call: "102", Talk: Talk{Duration: time.Second, Record: &memo{full: errors.New("disk full")}}},
			true, Result{Status: 200, Cause: "record: disk full"}},
		{"nobody answers there", Task{Wait: 10 * time.Second}, Task{Call: "102"}, true, Result{Status: 486, Cause: "busy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				callee, caller := run(t, c.callee, c.caller)
				if callee.OK != c.calleeOK || caller.OK || caller.Status != c.want.Status || caller.Cause != c.want.Cause {
					t.Errorf("callee %+v, caller %+v", callee, caller)
				}
			})
		})
	}
}

func TestAnsweringPhoneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})
		p, err := New(Config{Network: net.Host(netip.MustParseAddr("192.0.2.1")), Server: "192.0.2.9", User: "1"})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r, err := p.Run(t.Context(), Task{Answer: true, Wait: 7 * time.Second})
		if err != nil || r.OK || r.Status != 0 || r.Cause != "no call came" || time.Since(start) < 7*time.Second {
			t.Errorf("%+v, %v after %v", r, err, time.Since(start))
		}
	})
}

// A phone that leaves during a call hangs up, and reports that call.
func TestAnsweringPhoneLeavesDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callee, caller := run(t, Task{Answer: true, Wait: 5 * time.Second, ExpectTone: []float64{440}}, Task{Call: "102"})
		if !callee.OK || callee.Status != 200 || callee.TalkMS < 1000 || !caller.OK || caller.TalkMS < 1000 || caller.TalkMS > 5000 {
			t.Errorf("callee %+v, caller %+v", callee, caller)
		}
	})
}

func TestJudge(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	answered := Outcome{Answer: at, End: at.Add(1500 * time.Millisecond), Cause: cause.Normal(cause.Caller), TonesHz: []int{441, 700},
		Media: media.StreamStats{PacketsIn: 75, Lost: 2, MOSIn: 4.4, Codec: "opus", Crypto: "sdes", Suite: "AEAD_AES_256_GCM"}}
	cut := answered
	cut.Cause = cause.SessionExpired()
	plain := answered
	plain.Media.Codec, plain.Media.Crypto, plain.Media.Suite = "PCMA", "", ""
	unpressed := answered
	unpressed.Err = errors.New("press 1: no")
	for _, c := range []struct {
		name   string
		expect []float64
		o      Outcome
		want   Result
	}{
		{"answered", nil, answered, Result{true, 200, "normal", 1500, []int{441, 700}, 75, 2, 4.4, "opus", "sdes", "AEAD_AES_256_GCM"}},
		{"plain", nil, plain, Result{true, 200, "normal", 1500, []int{441, 700}, 75, 2, 4.4, "pcma", "none", ""}},
		{"heard", []float64{440, 702}, answered, Result{true, 200, "normal", 1500, []int{441, 700}, 75, 2, 4.4, "opus", "sdes", "AEAD_AES_256_GCM"}},
		{"not heard", []float64{440, 710}, answered, Result{false, 200, "710 Hz was not heard", 1500, []int{441, 700}, 75, 2, 4.4, "opus", "sdes", "AEAD_AES_256_GCM"}},
		{"cut", nil, cut, Result{false, 200, "session expired", 1500, []int{441, 700}, 75, 2, 4.4, "opus", "sdes", "AEAD_AES_256_GCM"}},
		{"unpressed", nil, unpressed, Result{false, 200, "press 1: no", 1500, []int{441, 700}, 75, 2, 4.4, "opus", "sdes", "AEAD_AES_256_GCM"}},
		{"busy", []float64{440}, Outcome{End: at, Cause: cause.Busy()}, Result{Status: 486, Cause: "busy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Task{ExpectTone: c.expect}.judge(&c.o)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 67_000_000, time.UTC)
	for _, c := range []struct {
		value any
		want  string
	}{
		{Result{OK: true, Status: 200, Cause: "normal", TalkMS: 3000, TonesHz: []int{440}, RX: 150, Lost: 1, MOS: 4.396, Codec: "opus", Crypto: "sdes", Suite: "AEAD_AES_256_GCM"},
			`{"result":{"ok":true,"status":200,"cause":"normal","talk_ms":3000,"tones_hz":[440],"rx":150,"lost":1,"mos":4.4,"codec":"opus","crypto":"sdes","suite":"AEAD_AES_256_GCM"}}`},
		{Result{Status: 486, Cause: "busy"},
			`{"result":{"ok":false,"status":486,"cause":"busy","talk_ms":0,"tones_hz":[],"rx":0,"lost":0,"mos":0,"codec":"","crypto":"","suite":""}}`},
		{Event{Kind: Registered, Time: at, Status: 200}, `{"event":"registered","time":"2026-01-02T03:04:05.067Z","status":200}`},
		{Event{Kind: DTMF, Time: at, Number: "102", Digit: '#'}, `{"event":"dtmf","time":"2026-01-02T03:04:05.067Z","number":"102","digit":"#"}`},
		{Event{Kind: Ended, Time: at, Number: "102", Status: 486, Cause: "busy"},
			`{"event":"ended","time":"2026-01-02T03:04:05.067Z","number":"102","status":486,"cause":"busy"}`},
	} {
		got, err := json.Marshal(c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v\nwant %s", got, err, c.want)
		}
	}
}
