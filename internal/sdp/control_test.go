package sdp

import "testing"

// Control characters are gone before anybody looks: an attribute cannot be hidden by them and be there again in what we print.
func TestControlsHideNothing(t *testing.T) {
	for _, hidden := range []string{"cand\x01idate", "cand\u0085idate", "cand\x7fidate", "cand\xc2\x01\x85idate", "cand\xc2\xc2\x85\x85idate", "\x1b\x1fcandidate"} {
		d, err := Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=" + hidden + ":1\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Media[0].Attributes[0]; got.Name != "candidate" || got.Value != "1" {
			t.Errorf("%q is read as %q", hidden, got.Name)
		}
	}
}
