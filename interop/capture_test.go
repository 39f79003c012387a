package interop

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/internal/codec/g711"
)

// privileged is a command that needs root: by itself when we are, else with sudo, which must not ask.
func privileged(name string, args ...string) *exec.Cmd {
	if os.Geteuid() != 0 {
		name, args = "sudo", append([]string{"-n", name}, args...)
	}
	return exec.Command(name, args...)
}

// capture records the packets from and to a range of UDP ports on loopback, and TCP ones to the first of them. The
// function ends it and returns the file.
func capture(t *testing.T, first, last int) (end func() string) {
	t.Helper()
	file := filepath.Join(t.ArtifactDir(), "calls.pcap")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	cmd := privileged("tshark", "-i", "lo", "-w", "-", "-F", "pcap", "-f", fmt.Sprintf("udp portrange %d-%d", first, last))
	cmd.Stdout = out // not a file of tshark's: it may run as somebody else
	p := start(t, "tshark", cmd)
	p.hear("Capturing on", 20*time.Second)
	// It says so before it does.
	eventually(t, 10*time.Second, "capturing", func() bool {
		info, err := out.Stat()
		return err == nil && info.Size() > 0
	})
	return func() string {
		t.Helper()
		size := int64(-1) // until nothing is added any more
		eventually(t, 10*time.Second, "written", func() bool {
			time.Sleep(300 * time.Millisecond)
			info, err := out.Stat()
			same := err == nil && info.Size() == size
			size = info.Size()
			return same
		})
		p.stop(10 * time.Second)
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		return file
	}
}

// judge lists the packets of a capture that a filter of tshark finds: one line each.
func judge(t *testing.T, file, filter string, sip int, fields ...string) []string {
	t.Helper()
	args := []string{"-r", file, "-2", "-R", filter,
		"-d", fmt.Sprintf("udp.port==%d,sip", sip), "-d", fmt.Sprintf("tcp.port==%d,sip", sip),
		"-o", "rtp.heuristic_rtp:FALSE"}
	if len(fields) > 0 {
		args = append(args, "-T", "fields")
		for _, f := range fields {
			args = append(args, "-e", f)
		}
	}
	cmd := exec.Command("tshark", args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %s: %v\n%s", filter, err, &errs)
	}
	var lines []string
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

// onTheWire is the sound that the server sent, by the port that it was sent to: PCMA, as 8 kHz samples.
func (x *server) onTheWire(file string) map[int][]int16 {
	x.t.Helper()
	sound := map[int][]int16{}
	filter := fmt.Sprintf("udp.srcport >= %d && udp.srcport <= %d && rtp.p_type == 8", x.rtp[0], x.rtp[1])
	for _, line := range judge(x.t, file, filter, x.sip, "udp.dstport", "rtp.payload") {
		var port int
		var payload []byte
		if _, err := fmt.Sscanf(line, "%d %x", &port, &payload); err != nil {
			x.t.Fatalf("%q: %v", line, err)
		}
		for _, b := range payload {
			sound[port] = append(sound[port], g711.DecodeALaw(b))
		}
	}
	return sound
}

// TestPacketsAreSound lets tshark judge what we send in a call with a hold in it.
func TestPacketsAreSound(t *testing.T) {
	x, a, b := pair(t, "udp")
	end := capture(t, x.sip, x.rtp[1])
	connect(a, b, "102")
	time.Sleep(6 * time.Second)
	a.tell("sndcode", "7")
	b.expect("CALL_DTMF_END", 5*time.Second)
	a.tell("hold", "")
	time.Sleep(time.Second)
	a.tell("resume", "")
	time.Sleep(6 * time.Second) // RFC 3550 §6.2: the first report comes after 2.5 s, the next ones every 5 s or so
	disconnect(a, b)
	file := end()

	fromUs := fmt.Sprintf("(udp.srcport >= %d && udp.srcport <= %d)", x.sip, x.rtp[1])
	for _, bad := range []string{"_ws.malformed", "_ws.expert.severity == error"} {
		if found := judge(t, file, fromUs+" && ("+bad+")", x.sip); len(found) > 0 {
			t.Errorf("%s:\n%s", bad, strings.Join(found, "\n"))
		}
	}
	for what, least := range map[string]int{
		"sip.Method == \"INVITE\" && sdp":         2, // to B, and the hold
		"sip.Status-Code == 200 && sdp":           2,
		"rtp":                                     2 * 11 * 50,
		"rtpevent":                                6,
		"rtcp.pt == 200 || rtcp.pt == 201":        4, // sender and receiver reports
		"rtcp.pt == 202":                          4, // source descriptions
		"rtcp.pt == 203 || sip.Method == \"BYE\"": 1,
	} {
		if found := judge(t, file, fromUs+" && ("+what+")", x.sip); len(found) < least {
			t.Errorf("%d packets of %s, want %d", len(found), what, least)
		}
	}

	// RFC 3550 §5.1: within a stream, sequence numbers go up by one.
	streams := map[string]int{}
	for _, line := range judge(t, file, fromUs+" && rtp", x.sip, "rtp.ssrc", "udp.dstport", "rtp.seq") {
		var ssrc string
		var port, seq int
		if _, err := fmt.Sscan(line, &ssrc, &port, &seq); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		stream := fmt.Sprint(ssrc, " to ", port)
		if last, known := streams[stream]; known && seq != (last+1)&0xffff {
			t.Errorf("stream %s: %d follows %d", stream, seq, last)
		}
		streams[stream] = seq
	}
	if len(streams) < 2 {
		t.Errorf("only %d streams", len(streams))
	}
}

// TestTraceDecodes: the capture that `dialtone trace` writes is one that tshark can read, with every message of both
// legs in it.
func TestTraceDecodes(t *testing.T) {
	x, a, b := pair(t, "tcp")
	connect(a, b, "102")
	disconnect(a, b)
	file := filepath.Join(t.TempDir(), "trace.pcap")
	id := x.record().CallID
	x.run("trace", id, "--pcap", file)
	if bad := judge(t, file, "_ws.malformed", x.sip); len(bad) > 0 {
		t.Errorf("malformed:\n%s", strings.Join(bad, "\n"))
	}
	for filter, want := range map[string]int{
		`sip.Method == "INVITE"`:                                3, // one without credentials, one with, one to B
		`sip.Status-Code == 401 && sip.CSeq.method == "INVITE"`: 1,
		`sip.Status-Code == 200 && sip.CSeq.method == "INVITE"`: 2,
		`sip.Method == "ACK"`:                                   3,
		`sip.Method == "BYE"`:                                   2,
		`sip.Status-Code == 200 && sip.CSeq.method == "BYE"`:    2,
	} {
		if found := judge(t, file, filter, x.sip); len(found) != want {
			t.Errorf("%d messages of %s, want %d", len(found), filter, want)
		}
	}
	// What could be guessed a password from is masked.
	responses := judge(t, file, "sip.auth.digest.response", x.sip, "sip.auth.digest.response")
	if len(responses) == 0 {
		t.Error("no request with credentials")
	}
	for _, response := range responses {
		if strings.Trim(response, "*\"x") != "" {
			t.Errorf("a digest can be read: %s", response)
		}
	}
	if ladder := x.run("trace", id); !strings.Contains(ladder, "INVITE") {
		t.Errorf("the ladder:\n%s", ladder)
	}
}
