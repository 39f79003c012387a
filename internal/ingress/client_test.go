package ingress_test

import (
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/digest"
	"dialtone/internal/sip/transport"
	"dialtone/internal/sipleg"
)

// rings lets line 104 be rung at a place that is reached by way of targets.
func (o *office) rings(uri string, caller sipleg.Caller, targets ...transport.Target) {
	if targets != nil {
		caller.Source = places{targets: targets}
	}
	o.extra = map[string][]call.Target{"104": {{Line: "104", Device: "carrier", URI: uri, Source: caller}}}
}

func target(k transport.Kind, addr string) transport.Target {
	return transport.Target{Kind: k, Addr: netip.MustParseAddrPort(addr)}
}

// TestChallenges: RFC 3665 §3.3, RFC 3261 §22: a carrier challenges the INVITE, later the re-INVITE with a new nonce, and last the BYE.
func TestChallenges(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.rings("sip:104@192.0.2.16:5060", sipleg.Caller{Domain: "carrier.example",
			Credentials: &digest.Client{Username: "u", Password: "secret-p", Realm: "carrier"}})
		o.Do(`
alice -> INVITE 104 (offer)
proxy <- INVITE (offer)
    Call-ID: {call}
    From: <sip:101@carrier.example>;tag=*
    CSeq: 1 INVITE
    Authorization: -
    Proxy-Authorization: -
proxy -> 407
    Proxy-Authenticate: Digest realm="carrier", nonce="one", algorithm=MD5, qop="auth"
proxy <- ACK
proxy <- INVITE (offer same)
    Call-ID: {call}
    CSeq: 2 INVITE
    Proxy-Authorization: *username="u"*nonce="one"*
proxy -> 200 (answer)
proxy <- ACK
    CSeq: 2 ACK
    Proxy-Authorization: *nonce="one"*nc=00000001*
alice <- 200 (answer)
alice -> ACK
alice -> INFO (text 1)
alice <- 200
proxy <- INFO (text 1)
    Proxy-Authorization: *nonce="one"*nc=00000002*
proxy -> 200
alice -> INVITE (offer sendonly)
proxy <- INVITE (offer sendonly)
    CSeq: 4 INVITE
    Proxy-Authorization: *nonce="one"*
proxy -> 407
    Proxy-Authenticate: Digest realm="carrier", nonce="two", algorithm=MD5, qop="auth", stale=true
proxy <- ACK
proxy <- INVITE (offer same)
    CSeq: 5 INVITE
    Proxy-Authorization: *nonce="two"*
proxy -> 200 (answer recvonly)
proxy <- ACK
    Proxy-Authorization: *nonce="two"*
alice <- 200 (answer recvonly)
alice -> ACK
alice -> BYE
alice <- 200
proxy <- BYE
    CSeq: 6 BYE
proxy -> 401
    WWW-Authenticate: Digest realm="carrier", nonce="three", algorithm=MD5, qop="auth", stale=true
proxy <- BYE
    CSeq: 7 BYE
    Authorization: *nonce="three"*
proxy -> 200
record 200/16 normal (caller)
`)
	})
}

// TestWrongCredentials: the same challenge again is a refusal; a stranger's realm gets no answer of ours.
func TestWrongCredentials(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		account := &digest.Client{Username: "u", Password: "secret-p", Realm: "carrier"}
		o.rings("sip:104@192.0.2.16:5060", sipleg.Caller{Credentials: account})
		o.Do(`
alice -> INVITE 104 (offer)
proxy <- INVITE (offer)
proxy -> 401
    WWW-Authenticate: Digest realm="carrier", nonce="one"
proxy <- ACK
proxy <- INVITE (offer same)
proxy -> 401
    WWW-Authenticate: Digest realm="carrier", nonce="two"
proxy <- ACK
alice <- 401
    WWW-Authenticate: -
alice -> ACK
record 401/21 not allowed (callee)
alice -> INVITE 104 (offer)
proxy <- INVITE (offer)
proxy -> 401
    WWW-Authenticate: Digest realm="phish", nonce="one"
proxy <- ACK
alice <- 401
alice -> ACK
record 401/21 not allowed (callee)
`)
	})
}

// TestNextTarget: RFC 3665 §3.4, RFC 3263 §4.3: a place that refuses the connection, one that says 503 (and changes its mind too late);
// the third answers.
func TestNextTarget(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.rings("sip:104@carrier.example", sipleg.Caller{}, target(transport.TCP, "192.0.2.13:5060"), target(transport.UDP, "192.0.2.16:5060"),
			target(transport.UDP, "192.0.2.12:5060"))
		o.Do(`
alice -> INVITE 104 (offer)
proxy <- INVITE (offer)
    URI: sip:104@carrier.example
    CSeq: 1 INVITE
proxy -> 503
proxy <- ACK
bob <- INVITE (offer)
    CSeq: 2 INVITE
bob -> 200 (answer)
bob <- ACK
alice <- 200 (answer)
alice -> ACK
proxy -> 200 INVITE (answer)
alice leaves bob
record 200/16 normal (caller)
`)
	})
}

// TestBusyEndsTheSearch: a 408 moves on to the next place, a 486 does not.
func TestBusyEndsTheSearch(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.rings("sip:104@carrier.example", sipleg.Caller{}, target(transport.UDP, "192.0.2.16:5060"), target(transport.UDP, "192.0.2.12:5060"),
			target(transport.UDP, "192.0.2.13:5060"))
		o.Do(`
alice -> INVITE 104 (offer)
proxy <- INVITE (offer)
proxy -> 408
proxy <- ACK
bob <- INVITE (offer)
bob -> 486
bob <- ACK
alice <- 486
alice -> ACK
record 486/17 busy (callee)
`)
	})
}

// TestHangupWhileLooking: the caller gives up while the way to the callee is being looked for: nothing is sent.
func TestHangupWhileLooking(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		release := make(chan struct{})
		o.extra = map[string][]call.Target{"104": {{Line: "104", URI: "sip:104@slow.example", Source: sipleg.Caller{
			Source: places{[]transport.Target{target(transport.UDP, "192.0.2.12:5060")}, release}}}}}
		o.Do(`
alice -> INVITE 104 (offer)
alice <- 100
wait 2s
alice -> CANCEL
alice <- 200 CANCEL
alice <- 487
alice -> ACK
record 487/16 cancelled (caller)
`)
		close(release)
		o.Do("wait 1s\nbob <- nothing")
	})
}

// TestNoAnswerAnywhere: nobody says a word in 64*T1.
func TestNoAnswerAnywhere(t *testing.T) {
	inOffice(t, settings{ring: 2 * time.Minute}, func(o *office) {
		o.rings("sip:104@carrier.example", sipleg.Caller{}, target(transport.UDP, "192.0.2.12:5060"))
		o.Do(`
alice -> INVITE 104 (offer)
bob <- INVITE (offer)
wait 31800ms
bob <- INVITE again x6
alice <- 408 within 1s
    Reason: Q.850;cause=18*
alice -> ACK
record 408/18 no response (callee)
`)
	})
}

// TestNoPRACK: RFC 3262 §3: 64*T1 without PRACK: 5xx.
func TestNoPRACK(t *testing.T) {
	inOffice(t, settings{ring: 2 * time.Minute}, func(o *office) {
		o.Do(`
alice -> INVITE 102 (offer)
    Require: 100rel
bob <- INVITE (offer)
bob -> 180
alice <- 180
wait 31800ms
alice <- 180 again x6
alice <- 500 within 1s
alice -> ACK
bob <- CANCEL
bob -> 200 CANCEL
bob -> 487 INVITE
bob <- ACK
record 408/102 not acknowledged (system)
`)
	})
}

// TestConnectionLost: a stream that goes while the INVITE is under way is a place that is no good.
func TestConnectionLost(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		listener, err := o.Host("proxy").Listen(netip.MustParseAddrPort("192.0.2.16:5062"))
		if err != nil {
			t.Fatal(err)
		}
		o.background.Go(func() {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 100)
			_, _ = c.Read(b)
			_ = c.Close()
			_ = listener.Close()
		})
		o.rings("sip:104@carrier.example", sipleg.Caller{}, target(transport.TCP, "192.0.2.16:5062"))
		o.Do(`
alice -> INVITE 104 (offer)
alice <- 503
alice -> ACK
record 503/38 connection lost (system)
`)
	})
}

// TestAnsweredElsewhere: two phones ring, one answers; the other is told so (RFC 3326 §3.1), and a third place that
// answers at the same moment is ended.
func TestAnsweredElsewhere(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.extra = map[string][]call.Target{"104": {{Line: "104", Device: "a", URI: "sip:104@192.0.2.12:5060"},
			{Line: "104", Device: "b", URI: "sip:104@192.0.2.13:5060"}, {Line: "104", Device: "c", URI: "sip:104@192.0.2.16:5060"}}}
		o.Do(`
alice -> INVITE 104 (offer)
bob   <- INVITE (offer)
carol <- INVITE (offer)
proxy <- INVITE (offer)
bob   -> 180
alice <- 180
carol -> 180
proxy -> 183 (answer pcma)
alice <- 183 (answer pcma)
bob   -> 200 (answer pcmu)
bob   <- ACK
alice <- 200 (answer pcmu)
carol <- CANCEL
    Reason: *SIP;cause=200;text="*"*
carol -> 200 CANCEL
carol -> 487 INVITE
carol <- ACK
proxy <- CANCEL
proxy -> 200 INVITE (answer)
proxy <- ACK
proxy <- BYE
proxy -> 200 BYE
proxy -> 200 CANCEL
alice -> ACK
alice leaves bob
record 200/16 normal (caller)
`)
	})
}

// TestNoPorts: media ports for one leg only: nobody can be rung, and the caller is told 503.
func TestNoPorts(t *testing.T) {
	inOffice(t, settings{ports: 10001}, func(o *office) {
		for range 2 { // and nothing is lost on the way
			o.Do(`
alice -> INVITE 102 (offer video)
alice <- 503
alice -> ACK
record 503/42 overloaded (system)
`)
		}
	})
}
