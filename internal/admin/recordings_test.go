package admin

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dialtone/internal/media/wav"
	"dialtone/internal/recording"
	"dialtone/internal/store"
)

// keep puts a recording of that many seconds, with a file, into the archive.
func (b *bench) keep(id, tenant string, seconds int) []byte {
	b.t.Helper()
	n := seconds * 16000
	file := wav.Format{Encoding: "PCMA", Channels: 2, Rate: 8000}.AppendHeader(nil, int64(n))
	for i := range n {
		file = append(file, byte(i))
	}
	dir := filepath.Join(b.archive.dir, "2026-11")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, id+".wav"), file, 0o600); err != nil {
		b.t.Fatal(err)
	}
	start := b.clock.now().UnixMilli()
	err := b.store.PutRecording(b.t.Context(), store.RecordingRow{ID: id, Tenant: b.tenant(tenant), CallID: "call of " + id, StartMS: start,
		EndMS: start + int64(seconds)*1000, State: string(recording.Complete),
		Body: fmt.Appendf(nil, `{"from":"101","to":"102","length_ms":%d,"bytes":%d,"format":"wav-alaw","by":"policy","file":"2026-11/%s.wav"}`,
			seconds*1000, len(file), id)})
	if err != nil {
		b.t.Fatal(err)
	}
	return file
}

// What is known of recordings, their sound in whole and in parts, and who has listened.
func TestRecordingsAreFetched(t *testing.T) {
	b := newBench(t)
	file := b.keep("r1", "default", 2)
	b.keep("r2", "default", 1)
	list := decode[Page[Recording]](t, b.must(200, "GET", Prefix+"/recordings?limit=1", "").body)
	if len(list.Items) != 1 || list.Items[0].ID != "r2" || list.Next == "" {
		t.Errorf("first page %+v", list)
	}
	list = decode[Page[Recording]](t, b.must(200, "GET", Prefix+"/recordings?limit=1&cursor="+list.Next, "").body)
	if r := list.Items[0]; r.ID != "r1" || r.CallID != "call of r1" || r.State != "complete" || r.LengthMS != 2000 || r.From != "101" || r.End == nil {
		t.Errorf("second page %+v", r)
	}
	b.must(422, "GET", Prefix+"/recordings?cursor=x", "")
	b.must(404, "GET", Prefix+"/recordings/r9", "")
	rows := b.auditRows()
	r := b.must(200, "GET", Prefix+"/recordings/r1/audio", "")
	if r.body != string(file) || r.header.Get("Content-Type") != "audio/wav" || r.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%d bytes of %d, %v", len(r.body), len(file), r.header)
	}
	r = b.must(206, "GET", Prefix+"/recordings/r1/audio", "", "Range: bytes=1000-1999")
	if r.body != string(file[1000:2000]) || r.header.Get("Content-Range") != fmt.Sprintf("bytes 1000-1999/%d", len(file)) {
		t.Errorf("%d bytes of a range, %v", len(r.body), r.header)
	}
	b.must(416, "GET", Prefix+"/recordings/r1/audio", "", "Range: bytes=9999999-")
	b.must(404, "GET", Prefix+"/recordings/r9/audio", "")
	if n := b.auditRows() - rows; n != 3 {
		t.Errorf("%d audit rows of three requests", n)
	}
	entry := decode[Page[AuditEntry]](t, b.must(200, "GET", Prefix+"/audit?limit=1", "").body).Items[0]
	if entry.Kind != "recording" || entry.Key != "r1" || entry.Actor != "local owner" || !strings.Contains(string(entry.After), "listen") {
		t.Errorf("audit %+v", entry)
	}
	if err := os.Remove(filepath.Join(b.archive.dir, "2026-11", "r1.wav")); err != nil {
		t.Fatal(err)
	}
	b.must(404, "GET", Prefix+"/recordings/r1/audio", "")
}

// A legal hold keeps a recording until it is lifted; both leave audit rows, and the removal an event.
func TestRecordingsAreHeldAndRemoved(t *testing.T) {
	b := newBench(t)
	b.keep("r1", "default", 1)
	events, rows := b.events("/events"), b.auditRows()
	if r := decode[Recording](t, b.must(200, "PATCH", Prefix+"/recordings/r1", `{"hold":true}`).body); !r.Hold {
		t.Errorf("hold: %+v", r)
	}
	b.must(200, "PATCH", Prefix+"/recordings/r1", `{"hold":true}`) // nothing to do
	if p := decode[Problem](t, b.must(409, "DELETE", Prefix+"/recordings/r1", "").body); p.Code != CodeRecordingHeld {
		t.Errorf("problem %+v", p)
	}
	b.must(200, "PATCH", Prefix+"/recordings/r1", `{"hold":false}`)
	b.must(204, "DELETE", Prefix+"/recordings/r1", "")
	b.must(404, "GET", Prefix+"/recordings/r1", "")
	if _, err := os.Stat(filepath.Join(b.archive.dir, "2026-11", "r1.wav")); !os.IsNotExist(err) {
		t.Errorf("the file: %v", err)
	}
	if e := events.next(); e.Type != "recording.removed" || e.Object != "r1" || e.Data["call_id"] != "call of r1" {
		t.Errorf("event %+v", e)
	}
	if n := b.auditRows() - rows; n != 3 {
		t.Errorf("%d audit rows of hold, end of hold, removal", n)
	}
	start := b.clock.now().UnixMilli()
	err := b.store.PutRecording(t.Context(), store.RecordingRow{ID: "r2", Tenant: b.tenant("default"), StartMS: start, State: "recording", Body: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{"DELETE", "/recordings/r2"}, {"GET", "/recordings/r2/audio"}} {
		if p := decode[Problem](t, b.must(409, c[0], Prefix+c[1], "").body); p.Code != CodeRecordingActive {
			t.Errorf("%v of one that runs: %+v", c, p)
		}
	}
}

// What is asked of a call reaches the archive, and what it refuses has a code.
func TestCallsAreRecordedByTheAPI(t *testing.T) {
	b := newBench(t)
	b.live.calls = []Call{{ID: "c1", Tenant: b.tenant("default").String()}}
	rows := b.auditRows()
	for _, action := range []string{"start", "pause", "resume", "stop"} {
		if r := decode[Recording](t, b.must(200, "POST", Prefix+"/calls/c1/record", `{"action":"`+action+`"}`).body); r.ID != "r1" || r.CallID != "c1" {
			t.Errorf("%s: %+v", action, r)
		}
	}
	if want := []string{"start for local owner c1", "pause c1", "resume c1", "stop c1"}; !slices.Equal(b.archive.acted, want) {
		t.Errorf("asked for %v", b.archive.acted)
	}
	if n := b.auditRows() - rows; n != 4 {
		t.Errorf("%d audit rows", n)
	}
	b.must(422, "POST", Prefix+"/calls/c1/record", `{"action":"sing"}`)
	b.must(404, "POST", Prefix+"/calls/c9/record", `{"action":"start"}`)
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{recording.ErrActive, http.StatusConflict, CodeRecordingActive},
		{recording.ErrIdle, http.StatusConflict, CodeRecordingIdle},
		{recording.ErrOff, http.StatusConflict, CodeRecordingOff},
		{recording.ErrAlways, http.StatusConflict, CodeRecordingAlways},
		{recording.ErrUnconnected, http.StatusConflict, CodeUnconnected},
		{recording.ErrNoCall, http.StatusNotFound, CodeNotFound},
		{fmt.Errorf("%w: no space left on device", recording.ErrFailed), http.StatusServiceUnavailable, CodeRecordingFailed},
	} {
		b.archive.err = c.err
		if p := decode[Problem](t, b.must(c.status, "POST", Prefix+"/calls/c1/record", `{"action":"start"}`).body); p.Code != c.code || strings.Contains(p.Detail, "device") {
			t.Errorf("%v: %+v", c.err, p)
		}
	}
}
