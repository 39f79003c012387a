package sdp

import "strconv"

// Bytes prints the description as RFC 8866 has it, with CRLF line ends. Fields must not hold line breaks; those of a
// parsed description never do.
func (d *Description) Bytes() []byte {
	size := 128 + len(d.Origin.Username) + len(d.Origin.Address) + len(d.Name)
	size += printedSize(d.Lines, d.Attributes)
	for i := range d.Media {
		m := &d.Media[i]
		size += 96 + 8*len(m.Formats) + printedSize(m.Lines, m.Attributes)
	}
	return d.Append(make([]byte, 0, size))
}

func printedSize(lines []Line, attributes []Attribute) int {
	size := 0
	for _, l := range lines {
		size += len(l.Value) + 4
	}
	for _, a := range attributes {
		size += len(a.Name) + len(a.Value) + 5
	}
	return size
}

// String prints the description; for logs and tests.
func (d *Description) String() string { return string(d.Bytes()) }

// Append prints the description to dst. Control characters that a party has put into a field are left out: the other
// party's display and whoever reads the ladder are spared them.
func (d *Description) Append(dst []byte) []byte {
	start := len(dst)
	dst = d.append(dst)
	return dst[:start+len(withoutControls(dst[start:]))]
}

// hasControls tells whether withoutControls would remove anything.
func hasControls(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= ' ' && c < 0x7f, c == '\r', c == '\n', c == '\t':
		case c < ' ', c == 0x7f, c < 0xa0 && i > 0 && s[i-1] == 0xc2:
			return true
		}
	}
	return false
}

// withoutControls removes C0 (but for tabs and line ends), DEL, and C1 in its UTF-8 form, in place. What it leaves has none,
// also where removing one has brought two halves of another together.
func withoutControls(b []byte) []byte {
	kept := 0
	for _, c := range b {
		switch {
		case c == 0x7f, c < ' ' && c != '\r' && c != '\n' && c != '\t':
			continue
		case c >= 0x80 && c < 0xa0 && kept > 0 && b[kept-1] == 0xc2:
			kept--
			continue
		}
		b[kept] = c
		kept++
	}
	return b[:kept]
}

func (d *Description) append(dst []byte) []byte {
	dst = append(dst, "v="...)
	dst = strconv.AppendInt(dst, int64(d.Version), 10)
	dst = append(dst, "\r\no="...)
	o := &d.Origin
	dst = append(dst, or(o.Username, "-")...)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, o.SessID, 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, o.SessVersion, 10)
	dst = append(dst, ' ')
	dst = appendAddress(dst, o.NetType, o.AddrType, or(o.Address, "0.0.0.0"))
	dst = append(dst, "s="...)
	dst = append(dst, or(d.Name, "-")...)
	dst = append(dst, "\r\n"...)

	rest := d.Lines
	dst, rest = appendLines(dst, rest, rankConnection)
	dst = d.Conn.append(dst)
	dst, rest = appendLines(dst, rest, rankTime)
	dst = append(dst, "t="...)
	dst = append(dst, or(d.Timing, "0 0")...)
	dst = append(dst, "\r\n"...)
	for _, l := range rest {
		dst = l.append(dst)
	}
	for _, a := range d.Attributes {
		dst = a.append(dst)
	}
	for i := range d.Media {
		dst = d.Media[i].append(dst)
	}
	return dst
}

func (m *Media) append(dst []byte) []byte {
	dst = append(dst, "m="...)
	dst = append(dst, m.Kind...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(m.Port), 10)
	if m.PortCount > 0 {
		dst = append(dst, '/')
		dst = strconv.AppendInt(dst, int64(m.PortCount), 10)
	}
	dst = append(dst, ' ')
	dst = append(dst, m.Proto...)
	for _, f := range m.Formats {
		dst = append(dst, ' ')
		dst = append(dst, f...)
	}
	dst = append(dst, "\r\n"...)
	dst, rest := appendLines(dst, m.Lines, rankConnection)
	dst = m.Conn.append(dst)
	for _, l := range rest {
		dst = l.append(dst)
	}
	for _, a := range m.Attributes {
		dst = a.append(dst)
	}
	return dst
}

// appendLines prints the leading lines whose rank is below limit and returns the others.
func appendLines(dst []byte, lines []Line, limit int) ([]byte, []Line) {
	for len(lines) > 0 && rank(lines[0].Type) < limit {
		dst = lines[0].append(dst)
		lines = lines[1:]
	}
	return dst, lines
}

func (l Line) append(dst []byte) []byte {
	dst = append(dst, l.Type, '=')
	dst = append(dst, l.Value...)
	return append(dst, "\r\n"...)
}

func (a Attribute) append(dst []byte) []byte {
	dst = append(dst, "a="...)
	dst = append(dst, a.Name...)
	if a.Value != "" {
		dst = append(dst, ':')
		dst = append(dst, a.Value...)
	}
	return append(dst, "\r\n"...)
}

func (c *Connection) append(dst []byte) []byte {
	if c == nil {
		return dst
	}
	return appendAddress(append(dst, "c="...), c.NetType, c.AddrType, c.Address)
}

func appendAddress(dst []byte, netType, addrType, address string) []byte {
	dst = append(dst, or(netType, "IN")...)
	dst = append(dst, ' ')
	dst = append(dst, or(addrType, "IP4")...)
	dst = append(dst, ' ')
	dst = append(dst, address...)
	return append(dst, "\r\n"...)
}

func or(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}
