package ingress_test

import (
	"strings"
	"testing"
)

// TestRelayLaddersNotice: a ladder that does not tell the truth about proxies fails, at the line that does not.
func TestRelayLaddersNotice(t *testing.T) {
	const call = "alice -> INVITE bob@biloxi.example.com (offer)\nbob <- INVITE (offer)\n"
	for lie, want := range map[string]string{
		call + "bob -> 180\nalice <- 183":                                  "another message",
		call + "alice <- nothing\nbob -> 180\nwait 1s\nalice <- nothing":   "there is",
		call + "  Max-Forwards: 70\n":                                      "Max-Forwards is",
		call + "  Record-Route: -\n":                                       "has Record-Route",
		"alice -> MESSAGE bob@biloxi.example.com (text a)\nbob <- MESSAGE": "a body",
		"alice -> MESSAGE bob@biloxi.example.com\nbob <- MESSAGE (text a)": "the body was called",
		"alice calls bob\nalice/2 -> INVITE bob@biloxi.example.com\nbob/2 <- INVITE\nbob/2 -> 486\nbob/2 <- ACK\nalice <- 486": "another dialog",
		"mallory -> INVITE someone@elsewhere.example\nmallory <- 404":                                                          "another message",
		"alice -> INVITE bob@biloxi.example.com (offer)\nbob <- INVITE (answer)":                                               "the body was called offer",
	} {
		t.Run(strings.ReplaceAll(lie, "\n", ", "), func(t *testing.T) {
			w := &witness{TB: t}
			nodes, via := twoServers(relayNode{role: "proxy", tb: w})
			inRelays(t, nodes, via, func(r *relays) {
				r.Do(lie)
				if !strings.Contains(w.words, want) {
					t.Errorf("it said %q, want %q", w.words, want)
				}
			})
		})
	}
}
