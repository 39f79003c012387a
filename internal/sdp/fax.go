package sdp

import (
	"strconv"
	"strings"
)

// Fax is the T.38 attributes of a stream, RFC 3362 §7.1 and T.38 Annex D.2.3. What a stream does not say has its zero
// value; the values that hold then are those of the fields' comments.
type Fax struct {
	Version        int // T38FaxVersion: 0 to 3
	MaxBitRate     int // T38MaxBitRate, bit/s; 0: unknown, 14400 is usual
	FillBitRemoval bool
	MMR, JBIG      bool    // T38FaxTranscodingMMR, T38FaxTranscodingJBIG
	Rate           FaxRate // T38FaxRateManagement
	MaxBuffer      int     // T38FaxMaxBuffer, bytes; 0: unknown
	MaxDatagram    int     // T38FaxMaxDatagram, bytes of UDPTL; 0: unknown
	MaxIFP         int     // T38FaxMaxIFP, bytes; 0: unknown
	EC             FaxEC   // T38FaxUdpEC
	// MinDepth and MaxDepth are T38FaxUdpECDepth: packets that error recovery reaches back; 0: not said.
	MinDepth, MaxDepth int
}

// FaxRate says where the training of the modems is checked.
type FaxRate uint8

// The kinds of rate management.
const (
	TransferredTCF FaxRate = iota // the check travels; the one for UDP
	LocalTCF                      // each gateway makes its own; the one for TCP
)

// FaxEC is the error recovery of UDPTL.
type FaxEC uint8

// The kinds of error recovery. T.38 Table D.1 has redundancy where nothing is said.
const (
	FaxRedundancy FaxEC = iota
	FaxFEC
	FaxNoEC
)

func rateNames() [2]string { return [...]string{"transferredTCF", "localTCF"} }

func ecNames() [3]string { return [...]string{"t38UDPRedundancy", "t38UDPFEC", "t38UDPNoEC"} }

// IsFax tells whether the stream is T.38 over UDPTL.
func (m *Media) IsFax() bool {
	return m.Kind == "image" && strings.EqualFold(m.Proto, "udptl") && len(m.Formats) > 0 && strings.EqualFold(m.Formats[0], "t38")
}

// Fax reads the T.38 attributes of the stream. What cannot be understood is left out, as an attribute that is not known is.
func (m *Media) Fax() Fax {
	var f Fax
	for i := range m.Attributes {
		name, value := m.Attributes[i].Name, strings.TrimSpace(m.Attributes[i].Value)
		// Interop: gateways write "T38faxVersion", "T38faxMaxBuffer" and the like.
		switch strings.ToLower(name) {
		case "t38faxversion":
			f.Version = faxNumber(value, 3)
		case "t38maxbitrate", "t38faxmaxbitrate":
			f.MaxBitRate = faxNumber(value, 1_000_000)
		case "t38faxfillbitremoval":
			f.FillBitRemoval = faxFlag(value)
		case "t38faxtranscodingmmr":
			f.MMR = faxFlag(value)
		case "t38faxtranscodingjbig":
			f.JBIG = faxFlag(value)
		case "t38faxratemanagement":
			for i, word := range rateNames() {
				if strings.EqualFold(value, word) {
					f.Rate = FaxRate(i)
				}
			}
		case "t38faxmaxbuffer":
			f.MaxBuffer = faxNumber(value, 1<<20)
		case "t38faxmaxdatagram":
			f.MaxDatagram = faxNumber(value, 65535)
		case "t38faxmaxifp":
			f.MaxIFP = faxNumber(value, 65535)
		case "t38faxudpec":
			for i, word := range ecNames() {
				if strings.EqualFold(value, word) {
					f.EC = FaxEC(i)
				}
			}
		case "t38faxudpecdepth": // "min" or "min/max"
			low, high, _ := strings.Cut(value, "/")
			f.MinDepth, f.MaxDepth = faxNumber(low, 255), faxNumber(high, 255)
		}
	}
	return f
}

// faxNumber reads a number from 0 to most; a greater one is cut, anything else is 0.
func faxNumber(text string, most int) int {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	if err != nil {
		return 0
	}
	return min(int(n), most)
}

// faxFlag reads a flag. Interop: T.38 has the bare name for yes; many gateways write ":1" and ":0".
func faxFlag(value string) bool { return value != "0" }

// SetFax writes the T.38 attributes of the stream in place of those that it has.
func (m *Media) SetFax(f Fax) {
	kept := m.Attributes[:0:0]
	for _, a := range m.Attributes {
		if name := strings.ToLower(a.Name); !strings.HasPrefix(name, "t38fax") && name != "t38maxbitrate" {
			kept = append(kept, a)
		}
	}
	m.Attributes = append(kept, f.attributes()...)
}

// attributes are the lines of f, in the order of T.38 Table D.1. Flags stand by their name alone, and only where they are set.
func (f Fax) attributes() []Attribute {
	out := []Attribute{{"T38FaxVersion", strconv.Itoa(f.Version)}}
	number := func(name string, n int) {
		if n > 0 {
			out = append(out, Attribute{name, strconv.Itoa(n)})
		}
	}
	number("T38MaxBitRate", f.MaxBitRate)
	for _, flag := range []struct {
		name string
		set  bool
	}{{"T38FaxFillBitRemoval", f.FillBitRemoval}, {"T38FaxTranscodingMMR", f.MMR}, {"T38FaxTranscodingJBIG", f.JBIG}} {
		if flag.set {
			out = append(out, Attribute{Name: flag.name})
		}
	}
	if int(f.Rate) < len(rateNames()) {
		out = append(out, Attribute{"T38FaxRateManagement", rateNames()[f.Rate]})
	}
	number("T38FaxMaxBuffer", f.MaxBuffer)
	number("T38FaxMaxDatagram", f.MaxDatagram)
	number("T38FaxMaxIFP", f.MaxIFP)
	if int(f.EC) < len(ecNames()) {
		out = append(out, Attribute{"T38FaxUdpEC", ecNames()[f.EC]})
	}
	switch {
	case f.MaxDepth > 0:
		out = append(out, Attribute{"T38FaxUdpECDepth", strconv.Itoa(f.MinDepth) + "/" + strconv.Itoa(f.MaxDepth)})
	case f.MinDepth > 0:
		number("T38FaxUdpECDepth", f.MinDepth)
	}
	return out
}
