package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/media/tone"
	"dialtone/internal/media/wav"
)

// phone is a baresip: it plays a tone of its own in every call and records what it hears.
type phone struct {
	*process
	t      *testing.T
	dir    string
	number string
	port   int // where it listens for SIP; it takes the next one for TLS
	media  int // the first of its RTP ports

	control net.Conn
	answers chan string

	mu     sync.Mutex
	events []phoneEvent
	wake   chan struct{}
}

// phoneEvent is what baresip says about itself.
type phoneEvent struct {
	Type      string `json:"type"`
	Direction string `json:"direction"`
	Param     string `json:"param"`
}

// phoneSetup says what kind of phone a test wants.
type phoneSetup struct {
	number    string
	transport string  // udp, tcp, tls
	hz        float64 // of the tone that it plays
	voice     uint64  // it speaks in that voice instead, at the rate of its codec; see speech
	codec     string  // "" = PCMA; PCMU, G722, opus
	manual    bool    // the test answers, or nobody does
	mediaenc  string  // "" = plain RTP; srtp, srtp-mand, dtls_srtp
	video     bool    // it sends moving pictures of nothing, in VP8
	in        string  // network namespace; "" = that of the test
	at        string  // its address; "" = host
	outbound  int     // port of a proxy on the way; 0 = none
}

// accountCodecs are the codecs as baresip names them.
var accountCodecs = map[string]string{"PCMA": "PCMA/8000/1", "PCMU": "PCMU/8000/1", "G722": "G722/16000/1", "opus": "opus/48000/2"}

// phone starts a baresip that registers and answers by itself.
func (x *server) phone(s phoneSetup) *phone {
	x.t.Helper()
	if s.codec == "" {
		s.codec = "PCMA"
	}
	if s.at == "" {
		s.at = host
	}
	p := &phone{t: x.t, dir: filepath.Join(x.t.ArtifactDir(), s.number), number: s.number, port: freePorts(x.t, 2),
		answers: make(chan string, 8), wake: make(chan struct{})}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		x.t.Fatal(err)
	}
	control, media := freePorts(x.t, 1), freePorts(x.t, rtpPorts+1)
	media += media % 2 // RFC 3550 §11, and baresip takes the even port below an odd one
	p.media = media
	format, source := "audio_srate 8000\naudio_channels 1", filepath.Join(p.dir, "tone.wav")
	if s.voice != 0 {
		format, source = "", filepath.Join(x.t.TempDir(), "voice.wav") // what format the codec has
		writeSpeech(x.t, source, s.voice, s.codec)
	} else {
		writeTone(x.t, source, s.hz, time.Minute)
	}
	server, answer := x.sip, "auto"
	if s.transport == "tls" {
		server = x.tls
	}
	if s.manual {
		answer = "manual"
	}
	if s.outbound == 0 {
		s.outbound = server
	}
	account := fmt.Sprintf("<sip:%s@%s:%d;transport=%s>;auth_pass=secret-of-%s;regint=60;answermode=%s;audio_codecs=%s;"+
		"outbound=\"sip:%s:%d;transport=%s\"", s.number, x.at, server, s.transport, s.number, answer, accountCodecs[s.codec], x.at, s.outbound, s.transport)
	if s.mediaenc != "" {
		account += ";mediaenc=" + s.mediaenc
	}
	pictures := ""
	if s.video {
		account += ";video_codecs=VP8"
		pictures = "module vp8.so\nmodule fakevideo.so\nvideo_source fakevideo,nil\nvideo_display fakevideo,nil\n" +
			"video_size 176x144\nvideo_bitrate 200000\nvideo_fps 15"
	}
	write(x.t, filepath.Join(p.dir, "accounts"), account+"\n")
	write(x.t, filepath.Join(p.dir, "contacts"), "")
	write(x.t, filepath.Join(p.dir, "config"), fmt.Sprintf(`
sip_listen %[1]s:%[2]d
audio_source aufile,%[10]s
audio_player aubridge,%[3]s
audio_alert aubridge,%[3]s-alert
%[8]s
rtp_ports %[4]d-%[5]d
rtp_stats yes
statmode_default off
redial_attempts 0
net_interface %[1]s
snd_path %[3]s
module_path %[6]s
module g711.so
module g722.so
module opus.so
opus_bitrate 64000
opus_complexity 5
module aufile.so
module aubridge.so
module sndfile.so
module uuid.so
module srtp.so
module dtls_srtp.so
%[9]s
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen %[1]s:%[7]d
`, s.at, p.port, p.dir, media, media+rtpPorts-1, modulePath(x.t), control, format, pictures, source))
	p.process = start(x.t, "baresip "+s.number, inside(s.in, "baresip", "-4", "-s", "-f", p.dir))
	eventually(x.t, 10*time.Second, "controllable", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort(s.at, strconv.Itoa(control)))
		p.control = c
		return err == nil
	})
	x.t.Cleanup(func() { p.control.Close() })
	go p.listen()
	return p
}

// rtpPorts is how many ports a phone has for its media.
const rtpPorts = 20

// modulePath is where Debian keeps the modules of baresip.
func modulePath(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/baresip/modules", "/usr/lib/*/baresip/modules"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	t.Fatal("the modules of baresip are not where Debian puts them")
	return ""
}

// listen reads what baresip says: netstrings of JSON.
func (p *phone) listen() {
	in := bufio.NewReader(p.control)
	for {
		size, err := in.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
		if err != nil {
			return
		}
		text := make([]byte, n+1) // the comma, too
		if _, err := io.ReadFull(in, text); err != nil {
			return
		}
		var message struct {
			phoneEvent
			Event    bool   `json:"event"`
			Response bool   `json:"response"`
			Data     string `json:"data"`
		}
		if json.Unmarshal(text[:n], &message) != nil {
			continue
		}
		if message.Response {
			p.answers <- message.Data
			continue
		}
		p.mu.Lock()
		p.events = append(p.events, message.phoneEvent)
		close(p.wake)
		p.wake = make(chan struct{})
		p.mu.Unlock()
	}
}

// tell gives baresip a command and returns its answer.
func (p *phone) tell(command, params string) string {
	p.t.Helper()
	text, err := json.Marshal(map[string]string{"command": command, "params": params, "token": "t"})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(p.control, "%d:%s,", len(text), text); err != nil {
		p.t.Fatal(err)
	}
	select {
	case answer := <-p.answers:
		return answer
	case <-time.After(5 * time.Second):
		p.t.Fatalf("%s does not answer to %s %s:\n%s", p.name, command, params, tail(p.said(), 40))
		return ""
	}
}

// expect waits for the next event of a kind; what came before it is forgotten.
func (p *phone) expect(kind string, patience time.Duration) phoneEvent {
	p.t.Helper()
	e, err := p.await(kind, patience)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

// forget forgets events and recordings so far.
func (p *phone) forget() {
	p.t.Helper()
	p.mu.Lock()
	p.events = nil
	p.mu.Unlock()
	files, err := filepath.Glob(filepath.Join(p.dir, "dump-*.wav"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, name := range files {
		if err := os.Remove(name); err != nil {
			p.t.Fatal(err)
		}
	}
}

// await is expect for those who go on without.
func (p *phone) await(kind string, patience time.Duration) (phoneEvent, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		for i, e := range p.events {
			if e.Type == kind {
				p.events = p.events[i+1:]
				p.mu.Unlock()
				return e, nil
			}
		}
		seen, wake := fmt.Sprint(p.events), p.wake
		p.mu.Unlock()
		select {
		case <-wake:
		case <-timer.C:
			return phoneEvent{}, fmt.Errorf("%s: no %s within %v, only %s\n%s", p.name, kind, patience, seen, tail(p.said(), 40))
		}
	}
}

// heard is what the phone has recorded of its calls, as 8 kHz samples; they have to be over. A phone that was held has
// begun a new file.
func (p *phone) heard() (pcm []int16) {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "dump-*-dec.wav"))
	if err != nil || len(files) == 0 {
		p.t.Fatalf("%s has recorded nothing (%v)", p.name, err)
	}
	for _, name := range files {

		f, err := os.Open(name)
		if err != nil {
			p.t.Fatal(err)
		}
		part, err := wav.Load(f, 0)
		f.Close()
		if err != nil {
			p.t.Fatalf("%s: %v", name, err)
		}
		pcm = append(pcm, part...)
	}
	return pcm
}

// hears asserts that the phone heard one tone for at least so long, and another one not at all.
func (p *phone) hears(hz, not float64, atLeast time.Duration) {
	p.t.Helper()
	pcm := p.heard()
	if n := sounds(pcm, hz); n < atLeast {
		p.t.Errorf("%s heard %.0f Hz for %v of %v, want %v", p.name, hz, n, length(pcm), atLeast)
	}
	// A tone that begins or ends within a block is heard at all frequencies there.
	if n := sounds(pcm, not); n > 4*blockTime {
		p.t.Errorf("%s heard %.0f Hz for %v", p.name, not, n)
	}
}

// blockTime is how much sound is judged at a time, and audible the level of a tone that counts; ours are at -10 dBm0.
const (
	blockTime = 50 * time.Millisecond
	audible   = -30 // dBm0
)

// sounds is how long a frequency was to be heard.
func sounds(pcm []int16, hz float64) (total time.Duration) {
	const block = int(8000 * blockTime / time.Second)
	for ; len(pcm) >= block; pcm = pcm[block:] {
		if tone.Goertzel(pcm[:block], hz) > audible {
			total += blockTime
		}
	}
	return total
}

func length(pcm []int16) time.Duration { return time.Duration(len(pcm)) * time.Second / 8000 }

func writeTone(t *testing.T, name string, hz float64, d time.Duration) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := wav.NewWriter(f, 8000)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, 8000*d/time.Second)
	tone.NewGenerator(tone.Sine(hz, -10)).Read(pcm)
	if err := w.Write(pcm); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}
