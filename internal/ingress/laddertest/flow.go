package laddertest

import (
	"fmt"
	"strings"
)

// usual are the flows with a name: party <a>, party <b>, and how <b> is called.
var usual = map[string]string{
	"calls": `
<a> -> INVITE <to> (offer)
<b> <- INVITE (offer)
<b> -> 180
<a> <- 180
<b> -> 200 (answer)
<b> <- ACK
<a> <- 200 (answer)
<a> -> ACK
`,
	"leaves": `
<a> -> BYE
<a> <- 200
<b> <- BYE
<b> -> 200
`,
}

// forwarded are those that look otherwise where the exchange is a proxy: what is end to end goes from end to end.
var forwarded = map[string]string{
	"calls": `
<a> -> INVITE <to> (offer)
<b> <- INVITE (offer)
<b> -> 180
<a> <- 180
<b> -> 200 (answer)
<a> <- 200 (answer)
<a> -> ACK
<b> <- ACK
`,
	"leaves": `
<a> -> BYE
<b> <- BYE
<b> -> 200
<a> <- 200
`,
	"registers": `
<a> -> REGISTER sip:<domain>
<a> <- 401
<a> -> REGISTER sip:<domain> auth
<a> <- 200
`,
}

// usual is the flow that a line stands for; "" when it is none.
func (p *Player) usual(a *party, words []string) string {
	flow := usual[words[1]]
	if p.world.Forwards {
		flow = forwarded[words[1]]
	}
	if flow == "" {
		return ""
	}
	fill := []string{"<a>", words[0], "<domain>", a.domain}
	if strings.Contains(flow, "<b>") {
		if len(words) < 3 {
			return ""
		}
		name, _, _ := strings.Cut(words[2], "/")
		b := p.parties[name]
		if b == nil {
			return ""
		}
		fill = append(fill, "<b>", words[2], "<to>", b.user)
		if p.world.Forwards {
			fill[len(fill)-1] = b.user + "@" + b.domain
		}
	}
	return strings.NewReplacer(fill...).Replace(flow)
}

// withHeaders puts headers below each REGISTER of a flow.
func withHeaders(flow string, headers []header) string {
	var b strings.Builder
	for line := range strings.Lines(flow) {
		b.WriteString(line)
		if strings.Contains(line, "-> REGISTER") {
			for _, h := range headers {
				fmt.Fprintf(&b, "  %s: %s\n", h.name, h.value)
			}
		}
	}
	return b.String()
}
