package demo

import "strings"

// visitor is the account for a softphone of whoever watches.
const visitor = "200"

// behind is the domain that the edge sends on to the exchange.
const behind = "inside.example"

// furniture is the apply file of the demonstration, for an exchange at that address.
func furniture(secret, exchange string) []byte {
	return []byte(strings.NewReplacer("SECRET", secret, "EXCHANGE", exchange, "BEHIND", behind).Replace(file))
}

const file = `
tenant: default
sites:
  - {name: tehran, country: IR, area_code: "21"}
  - {name: hanoi, country: VN, area_code: "24"}
users:
  - {name: sara, email: sara@example.com, role: admin, language: fa}
  - {name: reza, email: reza@example.com, role: user, language: fa}
  - {name: linh, email: linh@example.com, role: user, language: vi}
  - {name: wei, email: wei@example.com, role: user, language: zh}
  - {name: omar, email: omar@example.com, role: user, language: ar}
lines:
  - {number: "101", name: "سارا", user: sara, site: tehran, devices: [{username: "101", password: "SECRET"}]}
  - {number: "102", name: "رضا", user: reza, site: tehran, devices: [{username: "102", password: "SECRET"}]}
  - {number: "103", name: "Linh", user: linh, site: hanoi, devices: [{username: "103", password: "SECRET"}]}
  - {number: "104", name: "偉", user: wei, site: hanoi, devices: [{username: "104", password: "SECRET"}]}
  - {number: "105", name: "عمر", product: sip-phone, user: omar, site: tehran, devices: [{username: "105", password: "SECRET"}]}
  - {number: "106", name: Reception, site: tehran, devices: [{username: "106", password: "SECRET"}]}
  - {number: "107", name: Branch, devices: [{username: "107", password: "SECRET"}]}
  - {number: "200", name: Visitor, devices: [{username: "200", password: "SECRET"}]}
rooms:
  - {number: "800", name: board, pin: "2468"}
  - {number: "801", name: hall}
numbers:
  - {number: "+982188776655", to: "line:106", language: fa}
next_hops:
  - {name: inside, domain: BEHIND, targets: [{uri: "sip:EXCHANGE"}]}
`
