package laddertest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dialtone/internal/sdp"
)

// Bodies. "offer" and "answer" are descriptions; behind the word stand, in any order, codecs (pcmu, pcma, g722), a
// direction, "video" for a second m-line, and for what is sent "port=N", "c=ADDRESS" and "same" (the last one again).
// Received ones must name the exchange's address, have the direction (sendrecv without a word) and, where codecs are
// named, these in this order; "same" is the last one again, byte for byte. "dtmf D" is an INFO body; "text WORDS" plain
// text; "any" whatever it is.

var payloads = map[string]string{"pcmu": "0", "pcma": "8", "g722": "9"}

// compose makes the body of a message to send.
func (w *dialogue) compose(text string) (contentType string, body []byte) {
	kind, rest, _ := strings.Cut(text, " ")
	switch kind {
	case "dtmf":
		return "application/dtmf-relay", []byte("Signal=" + rest + "\r\nDuration=160\r\n")
	case "text":
		return "text/plain", []byte(rest)
	case "broken":
		return "application/sdp", []byte("v=0\r\nthis is no description\r\n")
	}
	words := strings.Fields(rest)
	if slices.Contains(words, "same") {
		return "application/sdp", w.described
	}
	host, port, direction := w.party.addr.Addr().String(), "40000", ""
	var codecs []string
	video := false
	for _, word := range words {
		switch {
		case payloads[word] != "":
			codecs = append(codecs, payloads[word])
		case strings.HasPrefix(word, "c="):
			host = word[2:]
		case strings.HasPrefix(word, "port="):
			port = word[5:]
		case word == "video":
			video = true
		default:
			direction = "a=" + word + "\r\n"
		}
	}
	if codecs == nil {
		codecs = []string{"0", "8"}
	}
	w.version++
	b := fmt.Sprintf("v=0\r\no=- 7 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %s RTP/AVP %s 101\r\n"+
		"a=rtpmap:101 telephone-event/8000\r\n%s", w.version, w.party.addr.Addr(), host, port, strings.Join(codecs, " "), direction)
	if video {
		b += "m=video 40010 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" + direction
	}
	w.described = []byte(b)
	return "application/sdp", w.described
}

// check compares a received body; "" is right.
func (w *dialogue) check(text, contentType string, body []byte) string {
	kind, rest, _ := strings.Cut(text, " ")
	switch kind {
	case "any":
		return ""
	case "dtmf":
		if contentType != "application/dtmf-relay" || !strings.Contains(string(body), "Signal="+rest+"\r\n") {
			return fmt.Sprintf("body %s %q", contentType, body)
		}
		return ""
	case "text":
		if string(body) != rest {
			return fmt.Sprintf("body %q", body)
		}
		return ""
	}
	last := w.heard
	w.heard = body
	d, err := sdp.Parse(body)
	if err != nil {
		return "description: " + err.Error()
	}
	if len(d.Media) == 0 {
		return "description without media"
	}
	words := strings.Fields(rest)
	if slices.Contains(words, "same") {
		if string(last) != string(body) {
			return fmt.Sprintf("description is not the same:\n%s\n%s", last, body)
		}
		return ""
	}
	direction := sdp.SendRecv.String()
	var codecs []string
	for _, word := range words {
		switch {
		case payloads[word] != "":
			codecs = append(codecs, payloads[word])
		case word == "video":
			if len(d.Media) < 2 || d.Media[1].Kind != "video" || d.Media[1].Port == 0 {
				return "no video"
			}
		default:
			direction = word
		}
	}
	if got := d.Direction(0).String(); got != direction {
		return "direction " + got
	}
	if a := d.Address(0); a.Addr() != w.party.player.world.Exchange.Addr() || a.Port() == 0 {
		return "media at " + a.String()
	}
	if len(codecs) > 0 && !slices.Equal(slices.DeleteFunc(slices.Clone(d.Media[0].Formats), func(f string) bool { return f == "101" }), codecs) {
		return "codecs " + strings.Join(d.Media[0].Formats, " ")
	}
	return ""
}

// cseq prints a CSeq value.
func cseq(n uint32, method string) string { return strconv.FormatUint(uint64(n), 10) + " " + method }
