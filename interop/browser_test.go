package interop

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a headless Chromium with one page, in which JsSIP is a telephone; see browser/page.js.
type browser struct {
	*process
	t       *testing.T
	number  string
	version string // of Chromium
	in      io.Writer

	mu      sync.Mutex
	events  []browserEvent
	results map[int]browserResult
	last    int
	wake    chan struct{}
}

// browserEvent is what the page tells.
type browserEvent struct {
	Type       string
	Originator string // local, remote
	Cause      string // of an end
	Status     int    // of a failure
	Key        string
	Kind, SDP  string // of a description: offer, answer
	What       string
	Version    string
}

type browserResult struct {
	Result json.RawMessage
	Error  string
}

// browserModules installs what the page and its driver are made of, once; it says why that cannot be.
var browserModules = sync.OnceValue(func() error {
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = "browser"
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, tail(out.String(), 10))
	}
	return nil
})

// needsBrowser leaves a test out, aloud, where the packages that it is made of cannot be fetched.
func needsBrowser(t *testing.T) (chromium string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: run `make peers`")
	}
	if err := browserModules(); err != nil {
		var unreachable bool
		for _, code := range []string{"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"} {
			unreachable = unreachable || strings.Contains(err.Error(), code)
		}
		if !unreachable {
			t.Fatal(err)
		}
		t.Skipf("npm's registry cannot be reached, so there is no browser to test with: %v", err)
	}
	return chromium
}

// browser starts a Chromium that speaks with a voice and registers over WebSocket.
func (x *server) browser(number string, voice uint64) *browser {
	x.t.Helper()
	chromium := needsBrowser(x.t)
	file := filepath.Join(x.t.TempDir(), "voice.wav")
	saveSpeech(x.t, file, voice, fullRate, 1)
	cmd := exec.Command("node", "driver.mjs", chromium, file)
	cmd.Dir = "browser"
	in, err := cmd.StdinPipe()
	if err != nil {
		x.t.Fatal(err)
	}
	out, lines := io.Pipe()
	cmd.Stdout = lines
	b := &browser{t: x.t, number: number, in: in, results: map[int]browserResult{}, wake: make(chan struct{})}
	go b.listen(out)
	b.process = start(x.t, "chromium "+number, cmd)
	x.t.Cleanup(func() { in.Close(); _ = b.waitQuietly(5 * time.Second) }) // it ends Chromium when it is told no more
	b.version = b.expect("ready", 30*time.Second).Version
	b.do("register", map[string]any{"ws": fmt.Sprintf("ws://%s:%d/ws", host, x.ws), "uri": fmt.Sprintf("sip:%s@%s", number, host),
		"password": "secret-of-" + number})
	b.expect("registered", 10*time.Second)
	return b
}

// waitQuietly waits for the end.
func (p *process) waitQuietly(patience time.Duration) error {
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		return errors.New("still runs")
	}
}

// listen reads what the driver says.
func (b *browser) listen(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Event  *browserEvent
			Result json.RawMessage
			Error  string
			Log    string
		}
		if err := json.Unmarshal(line, &m); err != nil {
			m.Log = string(line)
		}
		b.mu.Lock()
		switch {
		case m.Log != "":
			b.events = append(b.events, browserEvent{Type: "log", What: m.Log})
		case m.Event != nil:
			b.events = append(b.events, *m.Event)
		default:
			b.results[m.ID] = browserResult{m.Result, m.Error}
		}
		close(b.wake)
		b.wake = make(chan struct{})
		b.mu.Unlock()
	}
}

// until waits for something that listen has brought.
func (b *browser) until(what string, patience time.Duration, look func() bool) {
	b.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		b.mu.Lock()
		found, wake, seen := look(), b.wake, fmt.Sprintf("%+v", b.events)
		b.mu.Unlock()
		if found {
			return
		}
		select {
		case <-wake:
		case <-timer.C:
			b.t.Fatalf("chromium %s: no %s within %v, only %s\n%s", b.number, what, patience, seen, tail(b.said(), 40))
		}
	}
}

// do lets the page do something and returns what comes of it.
func (b *browser) do(call string, with any) json.RawMessage {
	b.t.Helper()
	b.last++
	id := b.last
	text, err := json.Marshal(map[string]any{"id": id, "call": call, "with": with})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, '\n')); err != nil {
		b.t.Fatal(err)
	}
	var r browserResult
	b.until("result of "+call, 15*time.Second, func() (ok bool) { r, ok = b.results[id]; return ok })
	if r.Error != "" {
		b.t.Fatalf("chromium %s: %s: %s", b.number, call, r.Error)
	}
	return r.Result
}

// expect waits for the next event of a kind; what came before it is forgotten.
func (b *browser) expect(kind string, patience time.Duration) (e browserEvent) {
	b.t.Helper()
	b.until(kind, patience, func() bool {
		for i := range b.events {
			if e = b.events[i]; e.Type == kind {
				b.events = b.events[i+1:]
				return true
			}
		}
		return false
	})
	return e
}

// call calls a number of the server.
func (b *browser) call(x *server, number string, video bool) {
	b.t.Helper()
	b.do("call", map[string]any{"uri": fmt.Sprintf("sip:%s@%s", number, host), "video": video})
}

// heard is what the page has heard in its call, at a rate.
func (b *browser) heard(rate int) []int16 {
	b.t.Helper()
	var text string
	if err := json.Unmarshal(b.do("heard", nil), &text); err != nil {
		b.t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b.t.Fatal(err)
	}
	pcm := make([]int16, len(raw)/2)
	for i := range pcm {
		pcm[i] = int16(raw[2*i]) | int16(raw[2*i+1])<<8
	}
	return resampled(pcm, fullRate, rate)
}

// browserStats is the part of getStats() that is judged.
type browserStats struct {
	Inbound map[string]struct {
		PacketsReceived  int
		PacketsLost      int
		FramesDecoded    int
		TotalAudioEnergy float64
		AudioLevel       float64
		ConcealedSamples int
		TotalSamples     int `json:"totalSamplesReceived"`
		KeyFramesDecoded int
		PLICount         int
	}
	Outbound map[string]struct {
		PacketsSent int
		FramesSent  int
		PLICount    int
	}
	Remote map[string]struct {
		RoundTripTime float64
		PacketsLost   int
	}
	Transports []struct {
		DTLSState  string
		SRTPCipher string
		ICEState   string
	}
	Pair struct{ CurrentRoundTripTime float64 }
}

func (b *browser) stats() (s browserStats) {
	b.t.Helper()
	if err := json.Unmarshal(b.do("stats", nil), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}
