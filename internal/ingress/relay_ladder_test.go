package ingress_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/internal/digest"
)

// TestRelayLadders plays every call flow of testdata/relay: through one proxy, and through two. A first line "#!" says
// otherwise: "in=" names the worlds below, "passwords" stands where devices are not known by their address, "timer_c=20s" is
// how long a phone may ring. What a ladder says holds for any number of proxies; laddertest counts them.
func TestRelayLadders(t *testing.T) {
	files, err := filepath.Glob("testdata/relay/*.ladder")
	if err != nil || len(files) == 0 {
		t.Fatalf("no ladders: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".ladder")
		worlds, n := "one,two", relayNode{}
		if first, _, _ := strings.Cut(string(text), "\n"); strings.HasPrefix(first, "#!") {
			for _, word := range strings.Fields(first)[1:] {
				key, value, _ := strings.Cut(word, "=")
				switch key {
				case "in":
					worlds = value
				case "passwords":
					n.passwords = true
				case "digest": // what is offered beside MD5
					n.algorithms = []digest.Algorithm{digest.SHA256, digest.MD5}
				case "timer_c":
					if n.timerC, err = time.ParseDuration(value); err != nil {
						t.Fatal(err)
					}
				default:
					t.Fatalf("%s: what is %q?", name, word)
				}
			}
		}
		for world := range strings.SplitSeq(worlds, ",") {
			t.Run(name+", "+world, func(t *testing.T) {
				n := n
				n.role = "proxy"
				if world == "stateless" {
					n.role = "stateless"
				}
				nodes, via := twoServers(n)
				nodes[0].timerC = 0 // or it would give up together with the other
				switch world {
				case "one":
					nodes, via = oneServer(n)
				case "shared": // alice has an account at either proxy, and each asks for it
					nodes[0].passwords = true
					nodes[1].domains = append(nodes[1].domains, atlanta)
					nodes[1].users = append(nodes[1].users, "alice")
					nodes[1].secret = []string{"alice"}
				case "edges": // two proxies without lines before that of biloxi: tess speaks to the one, tess2 to the other
					for i, addr := range []string{first, third} {
						nodes = append(nodes, relayNode{addr: addr, role: n.role, domains: []string{fmt.Sprintf("edge%d.example", i)},
							hops: map[string]string{biloxi: "sip:" + second}})
					}
					nodes = nodes[1:]
					via = map[string]string{biloxi: second, "tess": first, "tess2": third}
				case "redirect": // the server of bob's domain redirects
					nodes[1].addr, nodes[1].role, nodes[1].passwords = third, "redirect", true
					via[biloxi] = third
				}
				inRelays(t, nodes, via, func(r *relays) { r.Play(name, string(text)) })
			})
		}
	}
}
