package t38

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// capture writes datagrams from and to port 6004 as a packet capture.
func capture(t *testing.T, all [][]byte) string {
	t.Helper()
	var b bytes.Buffer
	head := []uint32{0xa1b2c3d4, 4<<16 | 2, 0, 0, 65535, 101} // raw IP
	for _, v := range head {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	for i, d := range all {
		at := time.Unix(1764000000, int64(i)*20e6)
		n := uint32(28 + len(d))
		for _, v := range []uint32{uint32(at.Unix()), uint32(at.Nanosecond() / 1000), n, n} {
			_ = binary.Write(&b, binary.LittleEndian, v)
		}
		ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}
		binary.BigEndian.PutUint16(ip[2:], uint16(n))
		udp := []byte{0x17, 0x74, 0x17, 0x74, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(udp[4:], uint16(8+len(d)))
		b.Write(ip)
		b.Write(udp)
		b.Write(d)
	}
	name := filepath.Join(t.TempDir(), "fax.pcap")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Another implementation reads what we write: every type, with secondary packets and with parity, and sees the same.
func TestTsharkReadsTheSame(t *testing.T) {
	program, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	packets := course()
	for version, first := range map[int]string{0: "TRUE", 2: "FALSE"} {
		for name, s := range map[string]Sender{"bare": {}, "secondary": {Redundancy: 2}, "parity": {Span: 3, Entries: 2}} {
			all := datagrams(t, s, encoded(t, packets, version))
			out, err := exec.Command(program, "-r", capture(t, all), "-d", "udp.port==6004,t38",
				"-o", "t38.use_pre_corrigendum_asn1_specification:"+first, "-V").Output()
			if err != nil {
				t.Fatalf("tshark: %v", err)
			}
			compare(t, fmt.Sprintf("version %d, %s", version, name), s, packets, string(out))
		}
	}
}

// compare looks for what was written in what tshark has read.
func compare(t *testing.T, name string, s Sender, packets []IFP, text string) {
	t.Helper()
	if strings.Contains(text, "Malformed") || strings.Contains(text, "[Expert Info (Error") || strings.Contains(text, "unparsed") {
		t.Errorf("%s: tshark complains:\n%s", name, around(text, "Malformed", "[Expert Info (Error", "unparsed"))
	}
	frames := strings.Split(text, "\nFrame ")
	if len(frames) != len(packets) {
		t.Fatalf("%s: %d frames for %d packets", name, len(frames), len(packets))
	}
	for i, frame := range frames {
		want := []string{"seq-number: " + strconv.Itoa(i), packets[i].Type.String() + " ("}
		for _, f := range packets[i].Fields {
			want = append(want, "field-type: "+f.Type.String())
		}
		if s.Redundancy > 0 && i > 2 {
			want = append(want, "secondary-ifp-packets: 2 items")
		}
		if s.Span > 0 {
			want = append(want, "fec-npackets: 3", "fec-data: 2 items")
		}
		for _, w := range want {
			if !strings.Contains(frame, w) {
				t.Fatalf("%s: packet %d: no %q in\n%s", name, i, w, frame)
			}
		}
	}
}

// around is the text about the first of the marks.
func around(text string, marks ...string) string {
	for _, m := range marks {
		if i := strings.Index(text, m); i >= 0 {
			return text[max(0, i-1500):min(len(text), i+200)]
		}
	}
	return ""
}
