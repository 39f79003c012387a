package cdr

import (
	"slices"
	"time"
)

// collector is the Writer's main goroutine: it alone owns the spill and decides which way a row takes. As long as the
// spill holds anything, every row goes through it: that keeps the order.
type collector struct {
	*Writer
	spill *spill

	held    []item // taken from the queue, not yet under way
	flight  *batch // with the saving goroutine
	retry   time.Duration
	retryAt time.Time
	strikes int  // rounds in a row in which the store took some rows of the spill's batch and refused others
	failing bool // the spill could not be written; said once
	marked  bool // fresh is closed
}

// run works until Close, then delivers what is left.
func (c *collector) run() error {
	t := time.NewTicker(tick)
	defer t.Stop()
	c.step()
	for open := true; open; {
		select {
		case <-t.C:
		case <-c.wake:
		case r := <-c.results:
			c.landed(r)
		case <-c.closing:
			open = false
		}
		c.step()
	}
	return c.finish(t)
}

// finish is run's end: the store gets a last chance, then the spill takes the rest.
func (c *collector) finish(t *time.Ticker) error {
	defer close(c.work)
	c.retryAt = time.Time{}
	deadline := time.NewTimer(closeTimeout)
	defer deadline.Stop()
	c.step()
	failed := false
	for c.flight != nil && !failed {
		select {
		case r := <-c.results:
			c.landed(r)
			failed = r.err != nil
		case <-t.C:
		case <-deadline.C:
			failed = true
		}
		if !failed {
			c.step()
		}
	}
	if c.flight != nil { // the store is stuck: stop it, then wait for its goroutine to let go
		c.cancel()
		c.landed(<-c.results)
	}
	c.held = append(c.held, c.take()...)
	err := c.store(c.held)
	if e := c.spill.close(); err == nil {
		err = e
	}
	return err
}

// step moves rows on as far as they go without waiting for the store.
func (c *collector) step() {
	c.held = append(c.held, c.take()...)
	now := time.Now()
	if c.flight != nil && !c.flight.safe && now.Sub(c.flight.since) >= patience {
		// The store is slow. Its batch may still arrive; delivered again from the spill it does no harm.
		c.flight.safe = c.store(c.flight.items) == nil
	}
	if !c.spill.empty() && len(c.held) > 0 && c.store(c.held) == nil {
		c.held = nil
	}
	c.mark()
	if c.flight != nil || now.Before(c.retryAt) {
		return
	}
	switch {
	case !c.spill.empty():
		items, length, err := c.spill.next(batchRows)
		if err != nil {
			c.log.Error("call records wait in the spill", "error", err)
			c.pause()
			return
		}
		c.launch(batch{items: items, spilled: length, safe: true})
	case len(c.held) > 0:
		items := c.held[:min(len(c.held), batchRows)]
		c.held = c.held[len(items):]
		c.launch(batch{items: items})
	}
}

// launch hands a batch to the saving goroutine, which is free.
func (c *collector) launch(b batch) {
	b.since = time.Now()
	c.flight = &b
	c.work <- b
}

// landed takes note of what has become of the batch under way.
func (c *collector) landed(r result) {
	b := c.flight
	c.flight = nil
	if len(r.refused) > 0 {
		if c.strikes++; c.strikes >= rounds {
			r.err = c.reject(r.refused)
		}
	}
	if r.err != nil {
		c.log.Warn("call records are kept on disk until the store takes them", "error", r.err, "rows", len(b.items))
		c.pause()
		if !b.safe && c.store(b.items) != nil {
			c.held = slices.Concat(b.items, c.held)
		}
		return
	}
	c.retry, c.retryAt, c.strikes = 0, time.Time{}, 0
	if b.spilled > 0 {
		if err := c.spill.done(b.spilled); err != nil {
			c.log.Error("call records wait in the spill", "error", err)
		}
	}
}

// pause puts the next attempt off, twice as long each time.
func (c *collector) pause() {
	c.retry = min(max(2*c.retry, retryFirst), retryMost)
	c.retryAt = time.Now().Add(c.retry)
}

// store writes rows to the spill. When that fails they stay in memory; it is said once.
func (c *collector) store(items []item) error {
	if len(items) == 0 {
		return nil
	}
	if err := c.spill.append(items); err != nil {
		if !c.failing {
			c.log.Error("call records are in memory only: neither the store nor the disk takes them", "error", err)
		}
		c.failing = true
		return err
	}
	c.failing = false
	c.count(func(s *Stats) { s.Spilled += len(items) })
	return nil
}

// mark tells those who wait that the spill of the earlier process has been delivered.
func (c *collector) mark() {
	if !c.marked && c.spill.empty() {
		c.marked = true
		close(c.fresh)
	}
}
