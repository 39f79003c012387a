package jitter

import (
	"time"

	"dialtone/internal/codec"
)

const (
	usualFrame = 20 * time.Millisecond
	stall      = 100 * time.Millisecond // that pulls may be late by
	// tolerance of timestamps that are made from a clock and not from counting samples.
	tolerance = 2500 * time.Microsecond
	// longestLoss is what is concealed before playing begins anew; the decoders have faded out long before.
	longestLoss = 200 * time.Millisecond
	// longestGap of lost packets is waited out, more is a new beginning.
	longestGap = time.Second
	// frozenRoom is the spare time that packets get while frozen, since nothing can be changed afterwards.
	frozenRoom = 40 * time.Millisecond
)

// fill queues the next samples, need of them when there is nothing better to go by. Each call queues some or leaves a
// packet behind.
func (r *Receiver) fill(need int, now time.Duration) {
	if !r.playing {
		// A beginning is aligned to the frame: whatever is left of this one stays what it is.
		if r.pcm.len() > 0 || !r.begin(now) {
			r.substitute(need)
		}
		return
	}
	seq, s := r.ring.first()
	if s == nil {
		r.wait(need, now)
		return
	}
	if s.voice.kind != speech {
		r.skipTo(seq)
		r.event(s)
		return
	}
	lost, gap := seq-r.ring.next, s.at-r.end
	if covered := min(r.waited, gap); covered > 0 {
		// What was made up while waiting was for packets that never came.
		r.end += covered
		gap -= covered
		r.waited -= covered
	}
	if r.waited > 0 {
		r.waited = 0
		r.delay.moved = true
	}
	switch {
	case r.frozen && gap < -s.voice.length/2:
		r.skipTo(seq)
		r.discard()
	case gap > longestGap, gap > tolerance && lost == 0 && !r.frozen:
		// The party was silent, or its timestamps have leapt: not a loss.
		r.quiet = r.quiet || lost == 0
		r.skipTo(seq)
		r.pause()
	case gap > tolerance:
		r.bridge(s, lost, gap)
	default:
		r.skipTo(seq)
		r.decode(s)
	}
}

// bridge makes up for a part of a gap before a packet.
func (r *Receiver) bridge(s *slot, lost int64, gap time.Duration) {
	v := s.voice
	part := gap
	if v.length > 0 {
		part = min(gap, v.length)
	}
	r.end += part
	recoverer, able := v.decoder.(codec.Recoverer)
	switch {
	case r.frozen:
		r.silence(r.samples(part))
	case r.missing >= longestLoss || r.current == nil:
		r.background(r.samples(part))
	case able && v == r.current && gap == part && lost > 0:
		// Only the packet directly before can be won back, and it is the end of the gap.
		r.scratch = recoverer.Recover(r.scratch[:0], s.payload, samplesOf(part, v.rate))
		r.queue(v, r.scratch)
		r.stats.recovered++
	default:
		r.conceal(r.samples(part))
	}
	r.missing += part
}

// wait makes up a frame for which nothing is here. What comes later is played later; while frozen it is not.
func (r *Receiver) wait(need int, now time.Duration) {
	length := r.duration(need)
	behind := now - r.place() - r.delay.base
	switch {
	case r.missing >= longestLoss, r.quiet && !r.frozen, !r.frozen && behind+r.frame > r.cfg.Most:
		r.pause()
	case r.frozen:
		r.silence(need)
		r.end += length
		r.missing += length
	default:
		r.substitute(need)
		r.waited += length
	}
}

// begin looks for a packet to begin with.
func (r *Receiver) begin(now time.Duration) bool {
	for {
		seq, s := r.ring.first()
		if s == nil {
			return false
		}
		if !s.voice.ready(r.cfg.Rate, s.payload) {
			r.skipTo(seq)
			r.event(s)
			continue
		}
		length := s.voice.length
		target := r.delay.target(r.cfg.Least, r.extra(s.voice))
		if r.frozen {
			target = min(max(target, frozenRoom), r.cfg.Most)
		}
		age := now - s.at - r.delay.base
		next := r.ring.behind(seq)
		// Of what has waited for long, as much is left out as is not needed for the delay.
		better := next != nil && next.voice.kind == speech && age > target+r.frame && age-length >= target
		switch {
		case better, age > r.cfg.Most+r.frame:
			r.skipTo(seq)
			r.discard()
		case age < target:
			return false
		default:
			r.skipTo(seq)
			r.end = s.at
			r.playing, r.waited, r.missing = true, 0, 0
			r.delay.moved = true
			r.headroom = false
			r.seam = r.seam || r.last != 0
			return true
		}
	}
}

// skipTo leaves behind what is missing before a packet.
func (r *Receiver) skipTo(seq int64) {
	for r.ring.next < seq {
		r.skip(false)
	}
}

// event takes a packet that is not speech: the party is silent for now.
func (r *Receiver) event(s *slot) {
	if s.voice.kind == comfortNoise {
		// RFC 3389 §4: the timestamp designates the beginning of the noise, which is now.
		r.comfort.set(s.payload)
	}
	r.quiet = true
	r.skip(false)
}

// decode plays the next packet.
func (r *Receiver) decode(s *slot) {
	v := s.voice
	if !v.ready(r.cfg.Rate, s.payload) {
		r.event(s)
		return
	}
	if r.current != v {
		r.seam = r.seam || r.current != nil
		r.current = v
	}
	if shift := s.at - r.end; shift > slip || shift < -slip {
		r.delay.moved = true
	}
	r.end = s.at
	r.scratch = v.decoder.Decode(r.scratch[:0], s.payload)
	if n := len(r.scratch); n > 0 {
		length := timeOf(n, v.rate)
		v.length = length
		r.end += length
		r.quiet, r.missing = false, 0
		old := r.pcm.len()
		r.queue(v, r.scratch)
		pcm := r.pcm.tail(old)
		r.comfort.heard(pcm)
		if r.debt.samples != 0 {
			r.stretch(pcm)
		}
		r.stats.played++
	} else if r.end += v.length; !r.frozen {
		// A payload that makes no sense counts as lost, as long as packets of this party are.
		r.conceal(r.samples(v.length))
		r.missing += v.length
	}
	r.skip(false)
}

// substitute queues what stands for missing samples: concealment first, then noise.
func (r *Receiver) substitute(n int) {
	before := r.pcm.len()
	switch {
	case r.frozen:
		r.silence(n)
	case r.quiet || r.current == nil || r.missing >= longestLoss:
		r.background(n)
	default:
		r.conceal(n)
	}
	r.missing = min(r.missing+r.duration(n), time.Hour)
	if short := n - (r.pcm.len() - before); short > 0 {
		r.silence(short)
	}
}

// conceal queues n samples made by the decoder.
func (r *Receiver) conceal(n int) {
	v := r.current
	if v == nil || v.decoder == nil || n <= 0 {
		return
	}
	wanted := (n*v.rate + r.cfg.Rate - 1) / r.cfg.Rate
	r.scratch = v.decoder.Conceal(r.scratch[:0], wanted)
	r.queue(v, r.scratch)
	r.stats.concealed += uint64(n)
}

// background queues n samples of comfort noise.
func (r *Receiver) background(n int) {
	if n <= 0 {
		return
	}
	tail := r.pcm.grow(n)
	r.comfort.fill(tail)
	r.seam = r.seam || r.last != 0
	r.join(tail)
	r.seam = r.last != 0
}

// silence queues n samples of zero.
func (r *Receiver) silence(n int) {
	if n <= 0 {
		return
	}
	clear(r.pcm.grow(n))
	r.last, r.seam = 0, false
	r.delay.moved = true
}

// queue takes samples of a voice at its own rate.
func (r *Receiver) queue(v *voice, pcm codec.Frame) {
	if v.resampler != nil {
		r.shifted = v.resampler.Write(r.shifted[:0], pcm)
		pcm = r.shifted
	}
	if len(pcm) == 0 {
		return
	}
	tail := r.pcm.grow(len(pcm))
	copy(tail, pcm)
	r.join(tail)
}

// join makes the beginning of samples go on with those before them where they come from elsewhere, without a click: the
// step is spread over 4 ms.
func (r *Receiver) join(pcm codec.Frame) {
	if r.seam && !r.frozen {
		step := int(r.last) - int(pcm[0])
		n := min(r.cfg.Rate/250, len(pcm))
		for i := range n {
			pcm[i] = int16(min(max(int(pcm[i])+step*(n-i)/n, -32768), 32767))
		}
	}
	r.seam = false
	r.last = pcm[len(pcm)-1]
}

// queue of samples, first in, first out.
type queue struct {
	pcm  codec.Frame
	from int
}

func (q *queue) len() int { return len(q.pcm) - q.from }

// grow makes room for n samples at the end.
func (q *queue) grow(n int) codec.Frame {
	if q.from > 0 {
		q.pcm = q.pcm[:copy(q.pcm, q.pcm[q.from:])]
		q.from = 0
	}
	end := len(q.pcm)
	for cap(q.pcm) < end+n {
		q.pcm = append(q.pcm[:cap(q.pcm)], 0)
	}
	q.pcm = q.pcm[:end+n]
	return q.pcm[end:]
}

// tail is what was queued behind n samples.
func (q *queue) tail(n int) codec.Frame { return q.pcm[q.from+n:] }

// shorten takes the last n samples back.
func (q *queue) shorten(n int) { q.pcm = q.pcm[:len(q.pcm)-n] }

// read takes the first samples.
func (q *queue) read(frame codec.Frame) {
	q.from += copy(frame, q.pcm[q.from:])
}
