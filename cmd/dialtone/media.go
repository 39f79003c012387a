package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/admin/client"
	"dialtone/internal/media"
)

type mediaCmd struct {
	remote
	inTenant
	Call  string `arg:"" optional:"" help:"Identifier of a call; all by default."`
	Watch bool   `short:"w" help:"Keep showing it until interrupted."`
}

// Run shows what becomes of the media of calls in progress.
func (c *mediaCmd) Run(s *session) error {
	server, err := s.client()
	if err != nil {
		return err
	}
	if c.Watch {
		return s.redraw(func(w io.Writer) error { return c.print(s, server, w) })
	}
	return c.print(s, server, s.stdout)
}

func (c *mediaCmd) print(s *session, server *client.Client, w io.Writer) error {
	if c.Call != "" {
		return c.show(s, server, w, c.Call, "")
	}
	count := 0
	err := client.Each(s.ctx, server, "/calls", c.query(), func(call admin.Call) error {
		count++
		err := c.show(s, server, w, call.ID, call.From+" -> "+call.To+"  "+call.State)
		var problem *admin.Problem
		if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
			return nil // it has ended meanwhile
		}
		return err
	})
	if err == nil && count == 0 && !s.global.JSON {
		_, err = fmt.Fprintln(w, "no calls")
	}
	return err
}

// show prints one call.
func (c *mediaCmd) show(s *session, server *client.Client, w io.Writer, id, words string) error {
	answer, err := server.Do(s.ctx, client.Request{Path: "/calls/" + url.PathEscape(id) + "/media"})
	if err != nil {
		return err
	}
	if s.global.JSON {
		var line bytes.Buffer
		if err := json.Compact(&line, answer.Body); err != nil {
			return fmt.Errorf("understand the answer: %w", err)
		}
		_, err := w.Write(append(line.Bytes(), '\n'))
		return err
	}
	var m admin.CallMedia
	if err := json.Unmarshal(answer.Body, &m); err != nil {
		return fmt.Errorf("understand the answer: %w", err)
	}
	_, err = io.WriteString(w, mediaText(m, words, time.Now()))
	return err
}

// mediaText is the media of a call for a person: of each leg both directions with their figures, and the chain of what the
// party sends.
func mediaText(m admin.CallMedia, words string, now time.Time) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(plain(fmt.Sprintf(format, args...)) + "\n") }
	line("%s", strings.TrimSpace("call "+m.Call+"  "+words))
	if len(m.Legs) == 0 {
		line("  no media yet")
	}
	for _, leg := range m.Legs {
		line("leg %s  %s", leg.ID, text0(leg.Device))
		for i := range leg.Streams {
			streamText(line, &leg.Streams[i], now)
		}
		for chain := range strings.Lines(leg.Chain) {
			line("  chain  %s", strings.TrimSpace(chain))
		}
	}
	return b.String()
}

func streamText(line func(string, ...any), x *media.StreamStats, now time.Time) {
	codec, crypto, heard := strings.ToLower(x.Codec), "plain", "never"
	if codec == "" {
		codec = "no codec yet"
	}
	if x.Crypto != "" {
		crypto = strings.TrimSpace(x.Crypto + " " + x.Suite)
	}
	if !x.LastMedia.IsZero() {
		heard = span(now.Sub(x.LastMedia)) + " ago"
	}
	remote := "nobody yet"
	if x.Remote.IsValid() {
		remote = x.Remote.String()
	}
	line("  %s  %s  %s  %s <-> %s  last heard %s", x.Kind, codec, crypto, x.Local, remote, heard)
	line("  in   %d packets  %d lost (%.1f %%) in %d bursts  jitter %.1f ms  mos %s", x.PacketsIn, x.Lost, x.LossPct, x.Bursts, x.JitterMS, mos(x.MOSIn))
	line("  out  %d packets  %.1f %% lost  jitter %.1f ms  rtt %.1f ms  mos %s", x.PacketsOut, x.LossOutPct, x.JitterOutMS, x.RTTMS, mos(x.MOSOut))
	if x.Transcoded != "" {
		line("  converted  %s: %s", x.Transcoded, x.TranscodedWhy)
	}
	if dropped := x.Foreign + x.Unauthentic; dropped > 0 {
		line("  dropped  %d of strangers, %d not authentic", x.Foreign, x.Unauthentic)
	}
}

// mos writes a score; a dash while it is unknown.
func mos(score float64) string {
	if score <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", score)
}
