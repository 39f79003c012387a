package exchange

import (
	"context"

	"dialtone/internal/admission"
	"dialtone/internal/call"
	"dialtone/internal/cause"
)

// Restore takes up a connected call that another process has written down (call.CallNegotiated, Call.Snapshot): its
// lines count again, whatever their limits, and it goes on until a party hangs up. A draining exchange takes none.
func (x *Exchange) Restore(state []byte, legs call.LegRestorer) (*call.Call, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.draining {
		return nil, &cause.Failure{Cause: cause.Draining()}
	}
	return x.calls.Restore(state, legs, x.resume)
}

// resume is the service of a restored call.
func (x *Exchange) resume(ctx context.Context, c *call.Call) cause.Cause {
	r := c.Record()
	for _, number := range [...]string{r.From.Line, r.To.Line} {
		if number != "" {
			defer x.lines.TakeEmergency(admission.Line{Tenant: r.Tenant, Number: number})()
		}
	}
	if peer := c.Peer(); peer != nil {
		return c.Bridge(ctx, peer)
	}
	return reflect(c)
}
