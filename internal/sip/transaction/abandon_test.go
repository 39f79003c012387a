package transaction

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/sip"
)

// TestAbandon: an INVITE that is given up is not repeated; a late response still finds its transaction, a provisional one
// the CANCEL.
func TestAbandon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		var invite *Server
		var req *sip.Message
		p.uas.answer = func(tx *Server, m *sip.Message) {
			if tx != nil && m.Method() == sip.INVITE && invite == nil {
				invite, req = tx, m.Clone() // it is silent
			}
		}
		c, err := p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		sent := len(p.up.lines()) // after 0, 0.5 and 1.5 s
		c.Abandon("SIP;cause=408")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := len(p.up.lines()); sent != 3 || n != sent {
			t.Fatalf("sent %d times, then %d", sent, n)
		}
		invite.Respond(sip.NewResponse(req, 180, "", "b"))
		time.Sleep(time.Second)
		synctest.Wait()
		if lines := p.up.lines(); p.uas.cancels != 1 || !strings.HasPrefix(lines[sent], "CANCEL ") {
			t.Fatalf("%d cancels; sent %q", p.uas.cancels, lines)
		}
		invite.Respond(sip.NewResponse(req, 487, "", "b"))
		time.Sleep(time.Second)
		synctest.Wait()
		if fmt.Sprint(p.uac.statuses) != "[180 487]" {
			t.Errorf("statuses %v", p.uac.statuses)
		}
		time.Sleep(time.Minute)
		p.gone(t)
	})
	// Nothing ever comes: the transaction ends as it would have.
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 1, 1)
		c, err := p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		c.Abandon("")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(p.up.lines()); n != 3 {
			t.Errorf("sent %d times", n)
		}
		p.gone(t)
	})
}
