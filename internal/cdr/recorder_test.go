package cdr

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/media"
	"dialtone/internal/network"
	"dialtone/internal/sdp"
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
				Codec: "pcma", Crypto: "sdes", Suite: "AES_CM_128_HMAC_SHA1_80", Bursts: 3,
				Transcoded: "pcma -> opus", TranscodedWhy: "no codec in common", PacketsIn: 500, LossPct: 2, JitterMS: 1.5, MOSIn: 4.1, MOSOut: 4.2, RTTMS: 30,
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
	if r.ToE164 != nil || r.Number != nil {
		t.Errorf("a line has %s and %s of the public network", *r.ToE164, *r.Number)
	}
	public := phoneCall()
	public.Dialled, public.DialledE164, public.Number = "88776655", "+982188776655", "+982188776655"
	if p := Build(FactsOf(public)); *p.To != "88776655" || *p.ToE164 != "+982188776655" || *p.Number != "+982188776655" {
		t.Errorf("%+v", p)
	}
	if len(r.Path) != 1 || r.Path[0].Kind != "dial" || r.Path[0].Detail != "102" || r.Path[0].Reason != "line 102" {
		t.Errorf("path %+v", r.Path)
	}
	got, err := json.Marshal(r.Legs)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"device":"101-desk","codec":"pcma","crypto":"sdes","suite":"AES_CM_128_HMAC_SHA1_80","transcoded":"pcma -\u003e opus",` +
		`"transcoded_reason":"no codec in common","mos_in":4.1,"mos_out":4.2,"loss":0.02,"bursts":3,"jitter_ms":1.5,` +
		`"rtt_ms":30,"site":null},{"device":"102","codec":"opus","crypto":"none","suite":null,"transcoded":null,` +
		`"transcoded_reason":null,"mos_in":null,"mos_out":null,"loss":null,"bursts":null,` +
		`"jitter_ms":null,"rtt_ms":null,"site":null},{"device":null,"codec":null,"crypto":null,"suite":null,"transcoded":null,` +
		`"transcoded_reason":null,"mos_in":null,"mos_out":null,` +
		`"loss":null,"bursts":null,"jitter_ms":null,"rtt_ms":null,"site":null}]`
	if string(got) != want {
		t.Errorf("legs\n%s\nwant\n%s", got, want)
	}
	if *r.Flags.Encrypted {
		t.Error("a call with a plain leg is encrypted")
	}
	// A plain picture beside an encrypted voice is not an encrypted call.
	for crypto, want := range map[string]bool{"dtls-srtp": true, "": false} {
		c := phoneCall()
		c.Legs = c.Legs[:1]
		c.Legs[0].Streams = append(c.Legs[0].Streams, media.StreamStats{Kind: "video", Codec: "H264", Crypto: crypto})
		if r := Build(FactsOf(c)); *r.Flags.Encrypted != want || *r.Legs[0].Crypto != "sdes" || *r.Legs[0].Codec != "pcma" {
			t.Errorf("video %q: %+v %+v", crypto, r.Flags, r.Legs[0])
		}
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
		w := openWriter(t, t.TempDir(), d)
		r := &Recorder{Writer: w, KeepState: true, TenantName: func(directory.ID) string { return "default" }, Log: slog.New(slog.DiscardHandler)}
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

// announcement is a service that answers and then listens until the call is over.
func announcement(_ context.Context, c *call.Call) cause.Cause {
	c.Answer(calltest.Description("answer", sdp.SendRecv))
	c.Negotiated(nil)
	for {
		if _, err := c.Next(time.Time{}); err != nil {
			return c.Cause()
		}
	}
}

// A real call with real media: the journal knows at any time, 10 s off at most, what a crash would leave.
func TestJournalFollowsTheMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := network.NewMemory(network.MemoryConfig{Test: t})
		engine, err := media.New(media.Config{
			Network: net.Host(netip.MustParseAddr("192.0.2.10")), Workers: 1, Ports: media.PortRange{Min: 10000, Max: 10009},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		phone := netip.MustParseAddr("198.51.100.1")
		conn, err := net.Host(phone).ListenPacket(netip.AddrPortFrom(phone, 4000), false)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		session, err := engine.NewSession(media.SessionConfig{Peer: phone})
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := sdp.Parse([]byte("v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n" +
			"m=audio 4000 RTP/AVP 8\r\na=rtcp-mux\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := session.Offer(theirs)
		if err != nil {
			t.Fatal(err)
		}
		if err := session.RemoteAnswer(theirs, phone); err != nil {
			t.Fatal(err)
		}

		d := newDatabase()
		w := openWriter(t, t.TempDir(), d)
		recorder := &Recorder{Writer: w, KeepState: true, Log: slog.New(slog.DiscardHandler)}
		calls := call.NewRegistry(call.Config{Observer: recorder})
		ctx, stop := context.WithCancel(t.Context())
		var refreshing sync.WaitGroup
		refreshing.Go(func() {
			if err := recorder.Run(ctx, calls); err != nil {
				t.Error(err)
			}
		})
		defer refreshing.Wait()
		defer stop()
		mailbox := call.NewMailbox()
		leg := calltest.NewLeg("a", mailbox)
		leg.Session = session
		c := calls.Start(call.Setup{
			Caller: leg, Mailbox: mailbox, Offer: theirs, Tenant: directory.NewID(),
			From: call.Side{Number: "101"}, Dialled: "*60", MaxForwards: 70,
		}, announcement)

		var spoken time.Time
		for i := range 25 {
			spoken = time.Now()
			if err := conn.WriteTo(append([]byte{0x80, 8, 0, byte(i), 0, 0, byte(i), 0, 1, 2, 3, 4}, make([]byte, 160)...),
				ours.Address(0)); err != nil {
				t.Fatal(err)
			}
			after(time.Second)
		}
		wantCounts(t, d, 1, 0)
		row := d.journal[c.ID()]
		if behind := spoken.UnixMilli() - row.MediaMS; behind < 0 || behind > refreshEvery.Milliseconds() {
			t.Errorf("the journal is %d ms behind the media", behind)
		}
		if len(row.State) == 0 {
			t.Error("the journal has no state to take the call up with")
		}
		cut := Recover([]store.JournalRow{row})[0]
		if cut.End.UnixMilli() != row.MediaMS || *cut.TalkMS < 10_000 {
			t.Errorf("a crash now would leave an end at %s, %d ms of talk", cut.End, *cut.TalkMS)
		}

		c.Hangup(cause.Normal(cause.System))
		after(time.Second)
		wantCounts(t, d, 0, 1)
		var record Record
		if err := json.Unmarshal(d.records[c.ID()].Body, &record); err != nil {
			t.Fatal(err)
		}
		if *record.TalkMS < 24_000 || *record.To != "*60" || len(record.Legs) != 1 || *record.Legs[0].Codec == "" {
			t.Errorf("record %s", d.records[c.ID()].Body)
		}
		closeWriter(t, w)
	})
}

// TestShortCallLeavesNoJournal: what is over before a row of it was saved goes to the records alone; a newer row of one
// call replaces an older one.
func TestShortCallLeavesNoJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDatabase()
		w := openWriter(t, t.TempDir(), d)
		r := &Recorder{Writer: w, Log: slog.New(slog.DiscardHandler)}
		after(tick / 2) // between two looks into the queue
		ended := phoneCall()
		running := *ended
		running.End, running.Cause = time.Time{}, cause.Cause{}
		r.Observe(call.CallAnswered{Record: &running})
		r.Observe(call.CallNegotiated{Record: &running, State: func() ([]byte, error) {
			t.Error("the state of a call was asked for that is not to be kept")
			return nil, nil
		}})
		r.Observe(call.CallEnded{Record: ended})
		after(2 * tick)
		wantCounts(t, d, 0, 1)
		if d.calls != 1 {
			t.Errorf("the database was called %d times, want once, for the record", d.calls)
		}
		closeWriter(t, w)
	})
}
