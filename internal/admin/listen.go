package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dialtone/internal/directory"
	"dialtone/internal/media/tap"
	"dialtone/internal/store"
)

type listenIn struct {
	ID       string `path:"id" doc:"Our identifier of the call"`
	Rate     int    `query:"rate" minimum:"8000" maximum:"16000" multipleOf:"8000" default:"8000" doc:"Samples a second: 8000 or 16000"`
	Encoding string `query:"encoding" enum:"l16,pcma,pcmu" default:"l16" doc:"How samples are written; pcma and pcmu have a rate of 8000"`
}

// listenRoutes registers calls as they are spoken.
func (a *api) listenRoutes() {
	route(a, huma.Operation{
		OperationID: "listen-to-call", Method: http.MethodGet, Path: "/calls/{id}/audio", Tags: []string{"calls"},
		Summary: "Both parties of a call as they speak, over a WebSocket",
		Description: "Each binary message is 20 ms of one party: a byte for who speaks (1 the caller, 2 the other one), a byte for the " +
			"encoding (1 L16, 2 PCMA, 3 PCMU), a sequence number of the party (2 bytes), milliseconds since the beginning (4 bytes), then " +
			"the samples; most significant byte first. Beginning to listen leaves an audit row. The connection is closed when the call ends.",
		Responses: map[string]*huma.Response{"101": {Description: "The WebSocket is open"}},
	}, a.listen)
}

// writeTime is how long a listener may take for a message until it is cut off.
const writeTime = 5 * time.Second

func (a *api) listen(ctx context.Context, in *listenIn) (*huma.StreamResponse, error) {
	c, err := a.call(ctx, in.ID, hearCalls)
	if err != nil {
		return nil, err
	}
	encoding := map[string]tap.Encoding{"pcma": tap.PCMA, "pcmu": tap.PCMU}[in.Encoding]
	if encoding == 0 {
		encoding = tap.L16
	} else {
		in.Rate = 8000
	}
	framer, err := tap.NewFramer(tap.FramerConfig{Encoding: encoding, Rate: in.Rate})
	if err != nil {
		return nil, a.failed(err)
	}
	over, stop, err := a.Recordings.Listen(ctx, in.ID, in.Rate, framer)
	if err != nil {
		return nil, a.unrecorded(err, in.ID)
	}
	text, err := json.Marshal(map[string]any{"act": "listen"})
	tenant, wrong := directory.ParseID(c.Tenant)
	if err = errors.Join(err, wrong); err == nil {
		err = a.Store.Note(ctx, who(ctx).actor, store.Act{Tenant: tenant, Kind: "call", Key: c.ID, After: text})
	}
	if err != nil {
		stop()
		return nil, a.failed(err)
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer stop()
		a.streams.Add(1)
		defer a.streams.Done()
		r, w := humago.Unwrap(h)
		// Origins are compared by Accept: a page of another site cannot listen with somebody's credentials.
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			a.Log.Debug("call not listened to", "call", in.ID, "error", err)
			return
		}
		defer conn.CloseNow()
		a.streams.Go(func() {
			select {
			case <-over: // stop closes it, too
			case <-a.closed:
			}
			framer.Close()
		})
		if err := send(conn.CloseRead(context.WithoutCancel(ctx)), conn, framer); err != nil {
			a.Log.Debug("call no longer listened to", "call", in.ID, "error", err)
			return
		}
		_ = conn.Close(websocket.StatusNormalClosure, "the call has ended")
	}}, nil
}

// send sends what a framer has until it ends.
func send(ctx context.Context, conn *websocket.Conn, framer *tap.Framer) error {
	var message []byte
	for {
		var err error
		if message, err = framer.Next(ctx, message[:0]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		write, cancel := context.WithTimeout(ctx, writeTime)
		err = conn.Write(write, websocket.MessageBinary, message)
		cancel()
		if err != nil {
			return err
		}
	}
}
