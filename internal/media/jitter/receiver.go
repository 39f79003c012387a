// Package jitter turns the RTP packets of one party into an endless stream of linear PCM that is pulled on a clock.
//
// It owns the order of the packets, the delay that is added, what is played in place of packets that did not arrive, and
// the counts of all that. It does not own sockets, SRTP, latching, codecs, key presses (packets of telephone-event take
// their place in the order and are otherwise passed over) nor the clock: time comes in as an argument.
//
// A packet waits in a ring until the frame is pulled that needs its samples. Playing begins with the first sample of a
// packet at the beginning of a frame, so that on a clean network the delay is the phase between arrival and pull plus
// Config.Least, and a packet is never kept without cause. For each packet the spare time between arrival and the pull
// that needs it is known; when the least of the last seconds is too little, or more than a whole frame too much, the
// delay changes by a frame: in silence at once, in speech by pitch periods with overlap-add. Drift of the party's clock
// is followed by the same rule. A frame for which no packet is there in time is concealed and the delay grows by as much
// as is waited; behind Config.Most, or when the party pauses, playing begins anew with the packet that comes next.
//
// While frozen (fax, modems) the delay is fixed: time is never stretched, nothing is concealed or made up. Where samples
// are missing there is digital silence of exactly their length, so that those behind keep their place. Packets later
// than that are discarded; only when 200 ms are missing, or the ring runs over, is the delay set anew.
//
// There are no goroutines. A Receiver has one lock; Put runs on a media worker while ReadFrame runs on the clock. The
// functions of Config.Codec and of codecs are called under it and must not call back. Packets may be put in any order;
// frames come in the order of the calls.
//
// RFCs: 3550 (sequence numbers, timestamps), 3389 (comfort noise), 3551 (several frames in a packet), 3611 (metrics of
// loss, discard and delay), 4733 (telephone-event).
package jitter

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/noise"
	"dialtone/internal/codec/resample"
	"dialtone/internal/rtp"
)

// Defaults of Config.
const (
	DefaultLeast = 3 * time.Millisecond
	DefaultMost  = 200 * time.Millisecond
)

// ErrConfig says that a Receiver cannot be made.
var ErrConfig = errors.New("jitter: no sampling rate or no codecs")

// Config is what a Receiver is made of.
type Config struct {
	// Rate of the frames that are pulled, in Hz; one that resample.Supported names.
	Rate int
	// Codec says what a payload type of the party means: the codec and the parameters of its decoder, of which only
	// FMTP counts. false: not audio that can be decoded. It is asked when a payload type is first seen, and again
	// after Reset.
	Codec func(pt uint8) (codec.Spec, codec.Params, bool)
	// Least is the time that a packet should be here before it is needed; 0 means DefaultLeast.
	Least time.Duration
	// Most is the longest delay that is added to packets that came the fastest way; 0 means DefaultMost.
	Most time.Duration
}

// Receiver plays one party. Make it with New.
type Receiver struct {
	mu     sync.Mutex
	cfg    Config
	frozen bool

	arrivals arrivals
	ring     ring
	voices   [128]*voice // by payload type, as far as seen
	delay    delay
	stats    counters

	pcm      queue
	scratch  codec.Frame   // decoded, at the rate of the codec
	shifted  codec.Frame   // the same at the rate of the frames
	frame    time.Duration // of the last frame pulled
	playing  bool          // false: waiting for a packet to begin with
	end      time.Duration // media time behind the last sample decoded
	waited   time.Duration // concealed while nothing was there, in the place of what may still come
	missing  time.Duration // made up since the last packet that was decoded
	debt     debt
	current  *voice // that was decoded last
	quiet    bool   // the party is silent on purpose: nothing to conceal
	comfort  comfort
	last     int16 // sample that was queued last
	seam     bool  // what is queued next does not go on with what was queued before
	headroom bool  // playing was frozen just now: room for the fixed delay is to be made
}

// New makes a Receiver. Nothing is allocated later but by the first packets of a codec and by a growing delay.
func New(cfg Config) (*Receiver, error) {
	if cfg.Rate < 8000 || !resample.Supported(cfg.Rate) || cfg.Codec == nil {
		return nil, ErrConfig
	}
	if cfg.Least <= 0 {
		cfg.Least = DefaultLeast
	}
	if cfg.Most <= 0 {
		cfg.Most = DefaultMost
	}
	cfg.Most = max(cfg.Most, cfg.Least)
	r := &Receiver{cfg: cfg, frame: usualFrame, quiet: true, comfort: comfort{generator: noise.NewGenerator(1)}}
	r.delay.limit = cfg.Most
	return r, nil
}

// Rate is the sampling rate of the frames in Hz.
func (r *Receiver) Rate() int { return r.cfg.Rate }

// Put takes a packet that arrived at a time since any fixed moment, the same that ReadFrame counts from. It keeps
// nothing of p.
func (r *Receiver) Put(p *rtp.Packet, arrival time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(p, arrival)
}

// Freeze begins or ends the fixed delay that fax and modems need.
func (r *Receiver) Freeze(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headroom = on && !r.frozen
	r.frozen = on
	r.debt = debt{}
	// What was made up while frozen has already moved the place that is played.
	r.waited = 0
}

// Reset forgets what payload types mean, after a new description of the party. Playing goes on.
func (r *Receiver) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, v := range r.voices {
		if v == nil {
			continue
		}
		if fresh := r.ask(uint8(i)); !fresh.same(v) {
			r.voices[i] = fresh
		}
	}
}

// Codec is the RTP encoding name of what was decoded last; empty before.
func (r *Receiver) Codec() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		return ""
	}
	return r.current.spec.Name
}

// ReadFrame fills the frame with what is due at now: speech, concealment, comfort noise or silence.
func (r *Receiver) ReadFrame(frame codec.Frame, now time.Duration) {
	if len(frame) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frame = r.duration(len(frame))
	r.observe(now)
	for r.pcm.len() < len(frame) {
		r.fill(len(frame)-r.pcm.len(), now)
	}
	r.pcm.read(frame)
	r.stats.frames++
}

// observe looks at the delay before a frame is made, and decides whether it has to change.
func (r *Receiver) observe(now time.Duration) {
	if !r.playing {
		return
	}
	// What is made up while waiting counts as lost until it shows to have been late.
	offset := now - r.place() - r.waited
	r.delay.pulled(offset)
	switch {
	case offset-r.delay.base > r.cfg.Most+stall || r.delay.offset-r.delay.base > r.cfg.Most+r.frame+slip:
		// Nobody has pulled for a while, or the party's clock has leapt.
		r.pause()
	case r.frozen:
		if r.headroom {
			r.headroom = false
			if room := min(frozenRoom, r.cfg.Most) - r.delay.spare(); room > 0 {
				r.silence(r.samples(min(room, frozenRoom)))
			}
		}
	case r.debt.samples == 0:
		if change := r.delay.change(r.cfg.Least, r.extra(r.current), r.frame); change != 0 {
			r.debt = debt{samples: r.samples(change.Abs()) * sign(change)}
		}
	}
}

// pause ends playing until a packet can be begun with.
func (r *Receiver) pause() {
	r.playing = false
	r.debt = debt{}
	r.waited = 0
}

// place is the media time of the first sample that the next frame takes from what is decoded.
func (r *Receiver) place() time.Duration { return r.end - r.duration(r.pcm.len()) }

// extra is how far into a frame packets of a voice may begin.
func (r *Receiver) extra(v *voice) time.Duration {
	if v == nil {
		return 0
	}
	return roundUp(v.length, r.frame)
}

// duration is the time of n samples of the frames.
func (r *Receiver) duration(n int) time.Duration { return timeOf(n, r.cfg.Rate) }

// samples is how many samples of the frames last d.
func (r *Receiver) samples(d time.Duration) int { return samplesOf(d, r.cfg.Rate) }

func sign(d time.Duration) int { return cmp.Compare(d, 0) }

func timeOf(n, rate int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(rate)
}

// samplesOf rounds to the nearest.
func samplesOf(d time.Duration, rate int) int {
	return int((d*time.Duration(rate) + time.Second/2) / time.Second)
}
