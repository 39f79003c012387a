package exchange

import (
	"context"
	"strings"

	"dialtone/internal/admission"
	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/dialplan"
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
	return x.resumeService(c)
}

// resumeService goes on with the service that the caller was connected to: the last step of the call's way.
func (x *Exchange) resumeService(c *call.Call) cause.Cause {
	r := c.Record()
	if len(r.Path) == 0 {
		return reflect(c)
	}
	step := r.Path[len(r.Path)-1].Step
	if name, isRoom := strings.CutPrefix(step, "room "); isRoom {
		room := x.config.Directory.Snapshot().Room(r.Tenant, name)
		if room == nil || x.config.Rooms == nil {
			return cause.UnknownNumber()
		}
		return x.config.Rooms.Rejoin(c, room)
	}
	if step == (dialplan.Music{}).String() {
		return x.playMusic(c)
	}
	return reflect(c)
}
