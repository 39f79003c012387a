package trace

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// twoLegs is a call from an IPv4 phone to an IPv6 phone, through a socket bound to any address.
func twoLegs() []Entry {
	any := netip.MustParseAddrPort("[::]:5060")
	sdp := "\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\n"
	build := func(i int, d Direction, remote netip.AddrPort, callID, first, cseq, rest string) Entry {
		return Entry{
			Seq: uint64(i), At: noon.Add(time.Duration(i) * 10 * time.Millisecond), Direction: d, Kind: "udp",
			Local: any, Remote: remote, SIPCallID: callID,
			Message: []byte(first + "\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n" +
				"Call-ID: " + callID + "\r\nCSeq: " + cseq + rest),
		}
	}
	const none = "\r\nContent-Length: 0\r\n\r\n"
	return []Entry{
		build(0, In, alice, "a", "INVITE sip:102@pbx SIP/2.0", "1 INVITE", sdp),
		build(1, Out, alice, "a", "SIP/2.0 100 Trying", "1 INVITE", none),
		build(2, Out, robert, "b", "INVITE sip:102@host SIP/2.0", "7 INVITE", sdp),
		build(3, Out, robert, "b", "INVITE sip:102@host SIP/2.0", "7 INVITE", sdp),
		build(4, In, robert, "b", "SIP/2.0 180 Ring\x1b[31ming\x07", "7 INVITE", none),
		build(5, Out, alice, "a", "SIP/2.0 200 A reason phrase that is a good deal too long", "1 INVITE", sdp),
	}
}

func TestWriteText(t *testing.T) {
	var b bytes.Buffer
	if err := WriteText(&b, twoLegs()); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/ladder.txt")
	if err != nil || b.String() != string(want) {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, b.String(), want)
	}
	b.Reset()
	if err := WriteText(&b, nil); err != nil || b.String() != "no messages\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestLabel(t *testing.T) {
	for in, want := range map[string]string{
		"BYE sip:a SIP/2.0\r\nCSeq: 2 BYE\r\n\r\n":              "BYE (2)",
		"SIP/2.0 200 OK\r\ncseq : 2 BYE\r\n\r\n":                "200 OK (BYE 2)",
		"SIP/2.0 486 Busy Here\r\nCSeq:  9   INVITE\r\n\r\n":    "486 Busy Here (INVITE 9)",
		"INVITE sip:a SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n": "INVITE (1, sdp)",
		"\r\n\r\n":                        "keep-alive",
		"":                                "keep-alive",
		"garbage":                         "garbage (?)",
		"X\x00Y sip:a\r\nCSeq: a b c\r\n": "X?Y (?)",
	} {
		if got := label([]byte(in)); got != want {
			t.Errorf("%q is labelled %q, want %q", in, got, want)
		}
	}
}

func TestPCAPBytes(t *testing.T) {
	var b bytes.Buffer
	entry := Entry{At: noon, Kind: "udp", Direction: Out, Local: local, Remote: alice, Message: []byte("hello")}
	if err := WritePCAP(&b, []Entry{entry}); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()
	if len(raw) != 24+16+20+8+5 {
		t.Fatalf("%d bytes", len(raw))
	}
	packet := raw[40:]
	if checksum(0, packet[:20]) != 0 {
		t.Error("the IP header's checksum does not verify")
	}
	if checksum(pseudoHeader(local.Addr(), alice.Addr(), 13), packet[20:]) != 0 {
		t.Error("the UDP checksum does not verify")
	}
	if src, dst := binary.BigEndian.Uint16(packet[20:]), binary.BigEndian.Uint16(packet[22:]); src != 5060 || dst != 5070 {
		t.Errorf("ports %d -> %d", src, dst)
	}
	b.Reset()
	if err := WritePCAP(&b, nil); err != nil || b.Len() != 24 {
		t.Errorf("empty capture of %d bytes, %v", b.Len(), err)
	}
	b.Reset()
	entry.Message = make([]byte, maxMessage)
	if err := WritePCAP(&b, []Entry{entry}); err != nil || b.Len() != 40+0xffff {
		t.Errorf("a long message makes a capture of %d bytes, %v", b.Len(), err)
	}
}

// The capture must mean the same to an independent reader.
func TestTsharkReadsSIP(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Log("tshark is not installed: the bytes are checked by TestPCAPBytes only")
		return
	}
	name := filepath.Join(t.TempDir(), "call.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := WritePCAP(f, twoLegs()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tshark, "-r", name, "-Y", "sip", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
		"-T", "fields", "-E", "separator=/s", "-e", "frame.number", "-e", "sip.Call-ID", "-e", "sip.CSeq.seq",
		"-e", "sip.Status-Code", "-e", "sip.Method", "-e", "udp.checksum.status")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const want = "1 a 1  INVITE 1\n2 a 1 100  1\n3 b 7  INVITE 1\n4 b 7  INVITE 1\n5 b 7 180  1\n6 a 1 200  1\n"
	if string(out) != want {
		t.Errorf("tshark reads\n%swant\n%s", out, want)
	}
}
