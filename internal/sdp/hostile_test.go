package sdp

import (
	"strings"
	"testing"
)

// TestControlCharacters: what a party writes into its description does not command the other party's display, nor name
// a codec in the records.
func TestControlCharacters(t *testing.T) {
	const evil = "\x1b[31mEVIL\x07\x7f\u009b"
	d := mustParse(t, crlf("v=0", "o="+"\x1b[1m"+"x 1 1 IN IP4 192.0.2.10", "s="+evil, "i="+evil, "c=IN IP4 192.0.2.10", "t=0 0", "a=note:"+evil,
		"m=audio 4000 RTP/AVP 8 96 97", "a=rtpmap:8 P\x1b[31mC/8000", "a=rtpmap:96 "+evil+"/8000", "a=rtpmap:97 opus/48000/2", "a=x:tab\there é"))
	for _, c := range d.Media[0].Codecs() {
		if c.Name != "PCMA" && c.Name != "opus" {
			t.Errorf("a codec %q", c.Name)
		}
	}
	printed := string(d.Append([]byte("before\x1b")))
	rest, found := strings.CutPrefix(printed, "before\x1b")
	if !found {
		t.Fatalf("what was there is changed: %q", printed)
	}
	if strings.ContainsAny(rest, "\x1b\x07\x7f\u009b") {
		t.Errorf("printed %q", rest)
	}
	if !strings.Contains(rest, "s=[31mEVIL\r\n") || !strings.Contains(rest, "a=x:tab\there é\r\n") {
		t.Errorf("printed %q", rest)
	}
}
