package server

import (
	"path/filepath"

	"dialtone/internal/call"
	"dialtone/internal/metrics"
	"dialtone/internal/recording"
)

// buildRecordings makes the archive of recordings, as the static file has it.
func (s *Server) buildRecordings() (*recording.Archive, error) {
	c := s.options.Config.Recording
	dir := c.Dir
	if dir == "" {
		dir = filepath.Join(s.options.Config.Data, "recordings")
	}
	return recording.New(recording.Config{
		Store: s.store, Directory: s.directory, Events: s.bus, Media: s.media, Dir: dir, Format: recording.Format(c.Format),
		Calls: func(id string) (*call.Call, bool) { return s.exchange.Calls().Call(id) },
		Keys:  s.keys, Encrypt: c.Encrypt, Keep: c.Keep.Duration, Beep: c.Beep.Duration, Log: s.log, Open: s.options.OpenRecording,
	})
}

// Recordings is the archive of recordings.
func (s *Server) Recordings() *recording.Archive { return s.recordings }

// recordingReadings are the metrics of recordings.
func (s *Server) recordingReadings() []metrics.Reading {
	one := func(v func(recording.Stats) float64) func() map[string]float64 {
		return func() map[string]float64 { return map[string]float64{"": v(s.recordings.Stats())} }
	}
	return []metrics.Reading{
		{Name: "recordings_active", Help: "Calls that are being recorded.",
			Values: one(func(r recording.Stats) float64 { return float64(r.Active) })},
		{Name: "recordings_failed_total", Help: "Recordings that could not begin or were cut short.", Counter: true,
			Values: one(func(r recording.Stats) float64 { return float64(r.Failed) })},
		{Name: "recordings_bytes_total", Help: "Bytes of recordings that were written.", Counter: true,
			Values: one(func(r recording.Stats) float64 { return float64(r.Bytes) })},
	}
}
