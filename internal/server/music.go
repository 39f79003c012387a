package server

import (
	"context"
	"sync"

	"dialtone/internal/conference"
	"dialtone/internal/directory"
	"dialtone/internal/media"
	"dialtone/internal/media/player"
	"dialtone/internal/metrics"
)

// music is what is played to those who wait: all hear the same place of it.
type music struct {
	narrow, wide *player.Stream
}

func newMusic(folder string) (*music, error) {
	library := player.New(player.Config{})
	narrow, err := player.NewStream(library, player.StreamConfig{Folder: folder, Rate: 8000})
	if err != nil {
		return nil, err
	}
	wide, err := player.NewStream(library, player.StreamConfig{Folder: folder, Rate: 16000})
	if err != nil {
		return nil, err
	}
	return &music{narrow, wide}, nil
}

// Music implements call.Music.
func (m *music) Music(rate int) media.Source {
	if rate <= 8000 {
		return m.narrow.Listen()
	}
	return m.wide.Listen()
}

// run loads what comes next until ctx ends.
func (m *music) run(ctx context.Context) error {
	var wide sync.WaitGroup
	var err error
	wide.Go(func() { err = m.wide.Run(ctx) })
	narrow := m.narrow.Run(ctx)
	wide.Wait()
	if narrow != nil {
		return narrow
	}
	return err
}

// roomReadings are the metrics of conference rooms.
func (s *Server) roomReadings() []metrics.Reading {
	return []metrics.Reading{{Name: "room_members", Help: "Members of the conference rooms in use, by room.", Label: "room",
		Values: func() map[string]float64 { return s.rooms.Counts(s.inTenant) }}}
}

// inTenant is the name of a thing, with that of its tenant before it unless that is the default one.
func (s *Server) inTenant(tenant directory.ID, name string) string {
	if t := s.directory.Snapshot().Tenant(tenant); t != nil && t.Name != directory.DefaultTenant {
		return t.Name + "/" + name // names have no slash
	}
	return name
}

// Rooms are the conference rooms in use.
func (s *Server) Rooms() *conference.Rooms { return s.rooms }
