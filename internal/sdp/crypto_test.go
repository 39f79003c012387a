package sdp

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

const rfc4568Key = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"

func TestParseCrypto(t *testing.T) {
	key, _ := base64.StdEncoding.DecodeString(rfc4568Key)
	for _, tt := range []struct {
		line string
		want Crypto
	}{
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfc4568Key + "|2^20|1:4 FEC_ORDER=FEC_SRTP",
			Crypto{1, "AES_CM_128_HMAC_SHA1_80", key, 1 << 20, []byte{0, 0, 0, 1}, []string{"FEC_ORDER=FEC_SRTP"}}},
		{"2 AES_CM_128_HMAC_SHA1_32 inline:" + rfc4568Key, Crypto{Tag: 2, Suite: "AES_CM_128_HMAC_SHA1_32", Key: key}},
		{"3 X inline:" + rfc4568Key + "|1066:4", Crypto{Tag: 3, Suite: "X", Key: key, MKI: []byte{0, 0, 4, 42}}},
		{"4 X inline:" + rfc4568Key + "|1000", Crypto{Tag: 4, Suite: "X", Key: key, Lifetime: 1000}},
		{"5\t X  INLINE:AQ==  KDR=24 WSH=64 unencrypted_srtp UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP FEC_ORDER=SRTP_FEC -NEW=1 ",
			Crypto{Tag: 5, Suite: "X", Key: []byte{1}, Params: []string{"KDR=24", "WSH=64", "unencrypted_srtp", "UNENCRYPTED_SRTCP",
				"UNAUTHENTICATED_SRTP", "FEC_ORDER=SRTP_FEC", "-NEW=1"}}},
		{"6 X inline:AQ|2^48", Crypto{Tag: 6, Suite: "X", Key: []byte{1}, Lifetime: 1 << 48}},
	} {
		got, err := ParseCrypto(tt.line)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v %#v", tt.line, err, got)
		}
		again, err := ParseCrypto(got.Attribute().Value)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%s: printed as %s", tt.line, got.Attribute().Value)
		}
	}
}

func TestParseCryptoRefuses(t *testing.T) {
	const good = "1 X inline:AQID"
	if _, err := ParseCrypto(good); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"", "1", "1 X", "x X inline:AQID", "01 X inline:AQID", "1234567890 X inline:AQID", "-1 X inline:AQID", "1 X-Y inline:AQID",
		"1 X uri:AQID", "1 X inline:", "1 X inline:A", "1 X inline:!!!!", "1 X inline:" + strings.Repeat("AAAA", 100),
		"1 X inline:AQID;inline:AQIE",                                                                         // several keys
		good + "|", good + "|0", good + "|2^49", good + "|01", good + "|2^48|2^20", good + "|281474976710657", // lifetime
		good + "|1:", good + "|:4", good + "|0:4", good + "|01:4", good + "|256:1", good + "|1:0", good + "|1:129", good + "|1:4|2^20", good + "|-1:4",
		good + " NEW", good + " NEW=1", good + " KDR=25", good + " KDR", good + " KDR=01", good + " WSH=63", good + " WSH=064", good + " FEC_ORDER=X",
		good + " UNENCRYPTED_SRTP=1", good + " FEC_KEY=inline:AQID", good + " --", good + " -", good + " \x01", good + strings.Repeat(" -X", 17),
	} {
		c, err := ParseCrypto(line)
		if err == nil {
			t.Errorf("%q read as %#v", line, c)
		} else if strings.Contains(err.Error(), "AQID") {
			t.Errorf("%q: the error shows the key: %v", line, err)
		}
	}
}

func TestCryptos(t *testing.T) {
	m := Media{Attributes: []Attribute{{"rtcp-mux", ""}, {"crypto", "1 A inline:AQ"}, {"crypto", "2 B inline:AQ NEW"}, {"crypto", "1 C inline:AQ"}, {"crypto", "3 D inline:AQ"}}}
	got := m.Cryptos()
	if len(got) != 2 || got[0].Suite != "A" || got[1].Suite != "D" {
		t.Errorf("%v", got)
	}
	m.Attributes = nil
	for i := range 40 {
		m.Attributes = append(m.Attributes, Attribute{"crypto", fmt.Sprintf("%d X inline:AQ", i)})
	}
	if got := m.Cryptos(); len(got) != 16 {
		t.Errorf("%d lines", len(got))
	}
	c := Crypto{Params: []string{"kdr=3", "UNENCRYPTED_SRTP"}}
	if v, ok := c.Param(KeyDerivationRate); !ok || v != "3" {
		t.Errorf("KDR %q %v", v, ok)
	}
	if _, ok := c.Param(UnencryptedSRTCP); ok {
		t.Error("a parameter that is not there")
	}
}

func TestCryptoHidesItsKey(t *testing.T) {
	c, _ := ParseCrypto("1 X inline:" + rfc4568Key + "|2^20|1:4 WSH=64")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("crypto", "line", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("crypto", "line", &c)
	shown := fmt.Sprintf("%v %+v %#v %s %q", c, &c, c, c, c) + log.String()
	for _, secret := range []string{rfc4568Key[:8], string(c.Key[:6]), fmt.Sprint(c.Key[:4])[1:8], fmt.Sprintf("%x", c.Key[:4])} {
		if strings.Contains(shown, secret) {
			t.Errorf("the key is shown: %s", shown)
		}
	}
	if got := c.String(); got != "1 X inline:(hidden)|2^20|1:4 WSH=64" {
		t.Error(got)
	}
}

func FuzzParseCrypto(f *testing.F) {
	for _, s := range []string{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfc4568Key + "|2^20|1:4 FEC_ORDER=FEC_SRTP", "2 X inline:AQ|1000 -A", "3 X inline:AQ==|7:128"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := ParseCrypto(value)
		if err != nil {
			return
		}
		again, err := ParseCrypto(c.Attribute().Value)
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("%q is printed as %q: %v", value, c.Attribute().Value, err)
		}
	})
}
