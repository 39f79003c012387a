package sip

import "net/netip"

// Via is one via-parm (RFC 3261 §20.42):
//
//	SIP/2.0/UDP host:port;branch=...;received=...;rport=...
//
// Its slices point into the text that was parsed.
type Via struct {
	Transport []byte // "UDP", "TCP", "TLS", "WS", "WSS" or anything else, as written
	Host      []byte // an IPv6 address may stand with or without brackets
	Port      uint16 // 0 when there is none
	Branch    []byte
	Received  []byte
	RPort     uint16 // value of rport; 0 when it is empty or absent
	HasRPort  bool   // rport is there, with or without a value (RFC 3581)
	Params    Params // all parameters, with the leading ";"
	end       int    // index in the value where the via-parm ends
}

// Magic is how a branch of RFC 3261 begins (§8.1.1.7).
const Magic = "z9hG4bK"

// ParseVia reads the first via-parm of a Via value.
func ParseVia(b []byte) (Via, error) {
	var v Via
	err := parseVia(b, &v)
	return v, err
}

func parseVia(b []byte, v *Via) error {
	*v = Via{}
	i, ok := viaProtocol(b)
	if !ok {
		return errVia
	}
	start := i
	for i < len(b) && classes[b[i]]&classToken != 0 {
		i++
	}
	v.Transport = b[start:i]
	if start == i || i == len(b) || !isSpace(b[i]) {
		return errVia
	}
	i = skipSpace(b, i)
	n, ok := hostEnd(b[i:])
	if !ok {
		return errVia
	}
	v.Host = b[i : i+n]
	i = skipSpace(b, i+n)
	if i < len(b) && b[i] == ':' {
		i = skipSpace(b, i+1)
		start = i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		p, ok := number(b[start:i], 65535)
		if !ok {
			return errVia
		}
		v.Port = uint16(p)
		i = skipSpace(b, i)
	}
	end := elementEnd(b, i)
	if end < 0 {
		return errVia
	}
	v.Params, v.end = Params(trimSpace(b[i:end])), end
	return v.readParams()
}

// viaProtocol reads "SIP / 2.0 /" with the spaces that the grammar allows and returns the index of the transport.
func viaProtocol(b []byte) (int, bool) {
	if len(b) > 8 && string(b[:8]) == "SIP/2.0/" && !isSpace(b[8]) {
		return 8, true
	}
	if len(b) < 3 || !equalFold(b[:3], "SIP") {
		return 0, false
	}
	i := skipSpace(b, 3)
	if i >= len(b) || b[i] != '/' {
		return 0, false
	}
	i = skipSpace(b, i+1)
	if i+3 > len(b) || string(b[i:i+3]) != "2.0" {
		return 0, false
	}
	i = skipSpace(b, i+3)
	if i >= len(b) || b[i] != '/' {
		return 0, false
	}
	return skipSpace(b, i+1), true
}

func (v *Via) readParams() error {
	it := v.Params.Iter()
	for it.Next() {
		switch n := it.name; len(n) {
		case 5:
			if equalFold(n, "rport") {
				v.HasRPort = true
				if len(it.value) > 0 {
					p, ok := number(it.value, 65535)
					if !ok {
						return errVia
					}
					v.RPort = uint16(p)
				}
			}
		case 6:
			if equalFold(n, "branch") {
				v.Branch = it.value
			}
		case 8:
			if equalFold(n, "received") {
				v.Received = it.value
			}
		}
	}
	return it.err
}

// SentBy is the host and port that the sender put in, the port 0 when absent.
func (v *Via) SentBy() (host []byte, port uint16) { return v.Host, v.Port }

// HostAddr is the sent-by host as an IP address, if it is one.
func (v *Via) HostAddr() (netip.Addr, bool) { return hostAddr(v.Host) }

// ReceivedAddr is the received parameter as an address. RFC 5118 §4.5: it may stand with or without brackets.
func (v *Via) ReceivedAddr() (netip.Addr, bool) {
	if len(v.Received) == 0 {
		return netip.Addr{}, false
	}
	return hostAddr(v.Received)
}

// IsRFC3261 tells whether the branch is unique across transactions (RFC 3261 §8.1.1.7).
func (v *Via) IsRFC3261() bool {
	return len(v.Branch) > len(Magic) && string(v.Branch[:len(Magic)]) == Magic
}
