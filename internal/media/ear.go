package media

import (
	"io"
	"slices"
	"sync/atomic"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/jitter"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// Ear is a party's voice as a Source: its packets go into a jitter buffer of the Ear's own, from which frames are pulled.
// It follows the party through changes of the codec. Frames are read by one goroutine at a time; Close may be called
// from anywhere but a media worker.
type Ear struct {
	st       *Stream
	receiver *jitter.Receiver
	taps     bool                      // it hears beside the output; else it is the output
	known    atomic.Pointer[[]payload] // the party's payloads that the receiver was told of
	closed   atomic.Bool
}

// Hear gives what the party says on the first audio stream as a Source with rate samples a second. It takes the place of
// what the stream was connected to, and ends when the stream is connected elsewhere.
func (s *Session) Hear(rate int) (*Ear, error) {
	e, err := s.ear(rate)
	if err != nil {
		return nil, err
	}
	e.st.Connect(e)
	e.st.talk().reporter.start()
	return e, nil
}

// Tap gives what the party says on the first audio stream as a Source with rate samples a second, beside whatever becomes
// of it: relaying is not touched. It ends with Close, and with the session.
func (s *Session) Tap(rate int) (*Ear, error) {
	e, err := s.ear(rate)
	if err != nil {
		return nil, err
	}
	e.taps = true
	e.st.tap(func(ears []Stage) []Stage { return append(ears, e) })
	return e, nil
}

func (s *Session) ear(rate int) (*Ear, error) {
	st, err := s.speaking()
	if err != nil {
		return nil, err
	}
	receiver, err := st.receiver(rate)
	if err != nil {
		return nil, err
	}
	return &Ear{st: st, receiver: receiver}, nil
}

// Close ends it: the next frame is io.EOF. A packet that is under way may still be taken.
func (e *Ear) Close() {
	if e.closed.Swap(true) || !e.taps {
		return
	}
	e.st.tap(func(ears []Stage) []Stage { return slices.DeleteFunc(ears, func(o Stage) bool { return o == e }) })
}

// Rate implements Rated.
func (e *Ear) Rate() int { return e.receiver.Rate() }

// ReadFrame implements Source.
func (e *Ear) ReadFrame(frame codec.Frame) error {
	if e.closed.Load() || e.st.session.closed.Load() {
		return io.EOF
	}
	e.receiver.ReadFrame(frame, time.Duration(e.st.session.engine.now()))
	return nil
}

// Stats says how the party was received.
func (e *Ear) Stats() jitter.Stats { return e.receiver.Stats() }

// WritePackets implements Output. It leaves the packets as they are.
func (e *Ear) WritePackets(ps []network.Packet) {
	if e.closed.Load() || !e.st.isRTP.Load() {
		return
	}
	if list := e.st.received.Load(); e.known.Swap(list) != list {
		e.receiver.Reset() // a payload type may mean something else now
	}
	now := time.Duration(e.st.session.engine.now())
	for i := range ps {
		var p rtp.Packet
		if p.Parse(ps[i].Data) == nil {
			e.receiver.Put(&p, now)
		}
	}
}

// Pass implements Stage: everything goes on.
func (e *Ear) Pass(ps []network.Packet) []network.Packet {
	e.WritePackets(ps)
	return ps
}

// detach implements detacher: the stream was connected elsewhere.
func (e *Ear) detach() { e.closed.Store(true) }

// String implements Output.
func (e *Ear) String() string {
	if e.taps {
		return "ear"
	}
	return "jitter buffer"
}

// Hush lets what the party says end nowhere although the session is bridged, until it is called again: something else is
// played to the other party. RTCP of the party ends with it. Ears go on hearing.
func (s *Session) Hush(on bool) {
	if s.hushed.Swap(on) == on {
		return
	}
	if on {
		for _, st := range s.Streams() {
			if st.isVoice() {
				st.Connect(nil)
			}
		}
		return
	}
	s.link()
}
