package cdr

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/media"
	"dialtone/internal/store"
)

// phoneCall is what the call package tells at the end of a call between two phones.
func phoneCall() *call.Record {
	return &call.Record{
		ID: "0193", Tenant: directory.NewID(), Direction: call.Internal,
		From: call.Side{Number: "101", Name: "Sara", Line: "101", Device: "101-desk"}, Dialled: "102",
		Start: day, Ring: at(100), Answer: at(1100), End: at(11_100), Hold: time.Second,
		Cause: cause.Normal(cause.Callee),
		Legs: []call.LegRecord{
			{ID: "a", Info: call.LegInfo{Device: "101-desk"}, Streams: []media.StreamStats{{
				Codec: "pcma", Crypto: "sdes", PacketsIn: 500, LossPct: 2, JitterMS: 1.5, MOSIn: 4.1, MOSOut: 4.2, RTTMS: 30,
			}}},
			{ID: "b1", Info: call.LegInfo{Device: "102"}, Streams: []media.StreamStats{{}, {Codec: "opus"}}},
			{ID: "b2"},
		},
		Path: []call.PathStep{{At: day, Step: "dial 102", Reason: "line 102"}},
	}
}

func TestFactsOfCall(t *testing.T) {
	r := Build(FactsOf(phoneCall()))
	if *r.From != "101" || *r.FromName != "Sara" || *r.To != "102" || *r.Direction != "internal" || *r.TalkMS != 10_000 ||
		*r.RingMS != 1000 || *r.HoldMS != 1000 || r.Cause.Words != cause.Normal(cause.Callee).Words {
		t.Errorf("%+v", r)
	}
	if len(r.Path) != 1 || r.Path[0].Kind != "dial" || r.Path[0].Detail != "102" || r.Path[0].Reason != "line 102" {
		t.Errorf("path %+v", r.Path)
	}
	got, err := json.Marshal(r.Legs)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"device":"101-desk","codec":"pcma","crypto":"sdes","mos_in":4.1,"mos_out":4.2,"loss":0.02,"jitter_ms":1.5,` +
		`"rtt_ms":30,"site":null},{"device":"102","codec":"opus","crypto":"none","mos_in":null,"mos_out":null,"loss":null,` +
		`"jitter_ms":null,"rtt_ms":null,"site":null},{"device":null,"codec":null,"crypto":null,"mos_in":null,"mos_out":null,` +
		`"loss":null,"jitter_ms":null,"rtt_ms":null,"site":null}]`
	if string(got) != want {
		t.Errorf("legs\n%s\nwant\n%s", got, want)
	}
	unnamed := phoneCall()
	unnamed.From.Number = ""
	if f := FactsOf(unnamed); f.From != "101-desk" {
		t.Errorf("a call without a number is from %q", f.From)
	}
}

func TestRecorderFollowsACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		w := openWriter(t, t.TempDir(), d, nil)
		r := &Recorder{Writer: w, TenantName: func(directory.ID) string { return "default" }, Log: slog.New(slog.DiscardHandler)}
		ended := phoneCall()
		running := *ended
		running.End, running.Cause = time.Time{}, cause.Cause{}
		early := running
		early.Answer = time.Time{}

		unwanted := func() ([]byte, error) {
			t.Error("the state of a call that was not answered was asked for")
			return nil, nil
		}
		r.Observe(call.CallStarted{Record: &early})
		r.Observe(call.CallNegotiated{Record: &early, State: unwanted})
		after(2 * tick)
		wantCounts(t, d, 0, 0)

		r.Observe(call.CallAnswered{Record: &running})
		after(2 * tick)
		wantCounts(t, d, 1, 0)
		r.Observe(call.CallNegotiated{Record: &running, State: func() ([]byte, error) { return []byte("legs"), nil }})
		after(2 * tick)
		row := d.journal["0193"]
		if string(row.State) != "legs" || row.AnsweredMS != running.Answer.UnixMilli() || row.Tenant != running.Tenant {
			t.Errorf("journal row %+v", row)
		}
		if cut := Recover([]store.JournalRow{row})[0]; cut.Tenant != "default" || *cut.From != "101" || *cut.TalkMS != 0 {
			t.Errorf("a crash now would leave %+v", cut)
		}
		r.Observe(call.CallNegotiated{Record: &running, State: func() ([]byte, error) { return nil, errors.New("no") }})
		r.Observe(call.CallEnded{Record: ended})
		after(2 * tick)
		wantCounts(t, d, 0, 1)
		var record Record
		if err := json.Unmarshal(d.records["0193"].Body, &record); err != nil || record.Tenant != "default" || *record.TalkMS != 10_000 {
			t.Errorf("record %+v, %v", record, err)
		}
		closeWriter(t, w)
	})
}

func TestRunningAsksNobodyWhenNothingRuns(t *testing.T) {
	if got := Running(call.NewRegistry(call.Config{})); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
