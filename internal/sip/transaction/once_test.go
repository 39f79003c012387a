package transaction

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/sip"
)

// TestRespondOnce: RFC 3261 §26.3.2.4: whoever writes another's address on an INVITE has that other sent one packet, not
// eleven, and nothing is remembered. A request that comes again gets the same answer with the same tag.
func TestRespondOnce(t *testing.T) {
	for _, method := range []sip.Method{sip.INVITE, sip.REGISTER} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, false, 0, 1)
			p.down.peer = nil // a victim that has asked for nothing
			var tags []string
			p.uas.answer = func(tx *Server, m *sip.Message) {
				tags = append(tags, tx.RequestTag())
				if err := tx.RespondOnce(sip.NewResponse(m, 401, "", tx.RequestTag())); err != nil {
					t.Error(err)
				}
			}
			raw := request(method, 1).Add(sip.HVia, p.up.Via(), ";branch=z9hG4bK1").Append(nil)
			send := func(b []byte) {
				var m sip.Message
				if err := m.Parse(b); err != nil {
					t.Fatal(err)
				}
				m.Received = netip.MustParseAddrPort("192.0.2.1:5060")
				p.server.HandleMessage(p.down, &m)
			}
			send(raw)
			p.gone(t)
			time.Sleep(time.Minute)
			if got := p.down.lines(); len(got) != 1 || !strings.HasPrefix(got[0], "SIP/2.0 401") {
				t.Fatalf("%v: sent %q", method, got)
			}
			send(raw)
			send(bytes.ReplaceAll(raw, []byte("z9hG4bK1"), []byte("z9hG4bK2")))
			if len(tags) != 3 || tags[0] != tags[1] || tags[0] == tags[2] {
				t.Errorf("%v: tags %q", method, tags)
			}
			p.gone(t)
		})
	}
}

// TestMergedOnce: a merged INVITE is refused once, too.
func TestMergedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, false, 0, 1)
		p.down.peer = nil
		p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		p.client.Request(request(sip.INVITE, 1), p.up, p.uac)
		time.Sleep(300 * time.Millisecond) // less than T1: the client has not repeated itself
		synctest.Wait()
		p.up.mu.Lock()
		p.up.broken = true
		p.up.mu.Unlock()
		time.Sleep(20 * time.Second)
		if got := p.down.lines(); len(got) != 1 || !strings.HasPrefix(got[0], "SIP/2.0 482") {
			t.Errorf("sent %q", got)
		}
	})
}
