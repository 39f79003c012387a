package sdp

import (
	"slices"
	"strings"
	"testing"
)

const faxOffer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=image 49170 udptl t38\r\n"

func faxMedia(t testing.TB, lines ...string) *Media {
	t.Helper()
	text := faxOffer
	for _, l := range lines {
		text += "a=" + l + "\r\n"
	}
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &d.Media[0]
}

func TestFax(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  Fax
	}{
		"nothing": {nil, Fax{}},
		"RFC 3362 example": {[]string{"T38FaxRateManagement:transferredTCF", "T38FaxMaxBuffer:72", "T38FaxMaxDatagram:316", "T38FaxVersion:0",
			"T38MaxBitRate:14400", "T38FaxUdpEC:t38UDPRedundancy"}, Fax{MaxBitRate: 14400, MaxBuffer: 72, MaxDatagram: 316}},
		"everything": {[]string{"T38FaxVersion:3", "T38MaxBitRate:33600", "T38FaxFillBitRemoval", "T38FaxTranscodingMMR", "T38FaxTranscodingJBIG",
			"T38FaxRateManagement:localTCF", "T38FaxMaxBuffer:1800", "T38FaxMaxDatagram:400", "T38FaxMaxIFP:200", "T38FaxUdpEC:t38UDPFEC", "T38FaxUdpECDepth:1/3"},
			Fax{Version: 3, MaxBitRate: 33600, FillBitRemoval: true, MMR: true, JBIG: true, Rate: LocalTCF, MaxBuffer: 1800, MaxDatagram: 400, MaxIFP: 200,
				EC: FaxFEC, MinDepth: 1, MaxDepth: 3}},
		"gateways": {[]string{"T38faxVersion:0", "T38FaxFillBitRemoval:0", "T38FaxTranscodingMMR:0", "T38FaxTranscodingJBIG:1", "t38faxudpec: T38UDPNoEC "},
			Fax{JBIG: true, EC: FaxNoEC}},
		"rubbish": {[]string{"T38FaxVersion:x", "T38MaxBitRate:-1", "T38FaxMaxDatagram:999999", "T38FaxUdpEC:none", "T38FaxRateManagement", "T38FaxUdpECDepth:/"},
			Fax{MaxDatagram: 65535}},
	} {
		m := faxMedia(t, c.lines...)
		if got := m.Fax(); got != c.want || !m.IsFax() {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if m := faxMedia(t); m.Proto != "udptl" {
		t.Errorf("%+v", m)
	}
}

func TestSetFax(t *testing.T) {
	m := faxMedia(t, "sendrecv", "T38FaxVersion:3", "t38faxmaxifp:9", "T38MaxBitRate:1", "label:7")
	f := Fax{MaxBitRate: 14400, FillBitRemoval: true, MaxDatagram: 400, EC: FaxFEC, MinDepth: 2}
	m.SetFax(f)
	var lines []string
	for _, a := range m.Attributes {
		lines = append(lines, strings.TrimSuffix(a.Name+":"+a.Value, ":"))
	}
	want := []string{"sendrecv", "label:7", "T38FaxVersion:0", "T38MaxBitRate:14400", "T38FaxFillBitRemoval", "T38FaxRateManagement:transferredTCF",
		"T38FaxMaxDatagram:400", "T38FaxUdpEC:t38UDPFEC", "T38FaxUdpECDepth:2"}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
	if m.Fax() != f {
		t.Errorf("reads as %+v", m.Fax())
	}
}

// What is read from any attributes is written so that it reads the same.
func FuzzFax(f *testing.F) {
	f.Add("T38FaxVersion", "3", "T38FaxUdpECDepth", "1/3")
	f.Add("T38FaxFillBitRemoval", "0", "T38FaxRateManagement", "localTCF")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		m := Media{Attributes: []Attribute{{a, b}, {c, d}, {"sendonly", ""}}}
		first := m.Fax()
		m.SetFax(first)
		second := m.Fax()
		if first != second {
			t.Fatalf("%+v is written as %+v", first, m.Attributes)
		}
	})
}
