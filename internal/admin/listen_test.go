package admin

import (
	"net/http"
	"slices"
	"testing"

	"github.com/coder/websocket"

	"dialtone/internal/media/tap"
	"dialtone/internal/media/tone"
	"dialtone/internal/recording"
)

// Whoever may listen gets both parties of a call until it ends, and leaves an audit row.
func TestCallsAreListenedTo(t *testing.T) {
	b := newBench(t)
	b.live.calls = []Call{{ID: "c1", Tenant: b.tenant("default").String()}}
	rows := b.auditRows()
	conn, response, err := websocket.Dial(t.Context(), "ws://dialtone"+Prefix+"/calls/c1/audio?encoding=pcma", &websocket.DialOptions{HTTPClient: b.socket})
	if err != nil {
		t.Fatalf("%v, %+v", err, response)
	}
	defer conn.CloseNow()
	var said tone.Detector
	counts := map[tap.Direction]int{}
	for {
		kind, data, err := conn.Read(t.Context())
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("closed with %v", err)
			}
			break
		}
		var m tap.Message
		if err := m.Parse(data); err != nil || kind != websocket.MessageBinary || m.Encoding != tap.PCMA {
			t.Fatalf("message %v of %v: %v", kind, data[:8], err)
		}
		if counts[m.Direction]++; m.Direction == tap.Said {
			said.Write(m.Decode(nil))
		}
	}
	if counts[tap.Said] != 20 || counts[tap.Heard] != 20 || !said.Heard(440) {
		t.Errorf("messages %v, tones %v", counts, said.Hz())
	}
	if !slices.Equal(b.archive.acted, []string{"listen 8000 c1"}) {
		t.Errorf("asked for %v", b.archive.acted)
	}
	if n := b.auditRows() - rows; n != 1 {
		t.Errorf("%d audit rows", n)
	}
	b.must(404, "GET", Prefix+"/calls/c9/audio", "")
	b.must(422, "GET", Prefix+"/calls/c1/audio?encoding=mp3", "")
	b.archive.err = recording.ErrUnconnected
	if p := decode[Problem](t, b.must(http.StatusConflict, "GET", Prefix+"/calls/c1/audio", "").body); p.Code != CodeUnconnected {
		t.Errorf("problem %+v", p)
	}
}
