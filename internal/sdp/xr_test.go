package sdp

import (
	"reflect"
	"strings"
	"testing"
)

func TestExtendedReports(t *testing.T) {
	for _, tt := range []struct {
		value   string
		want    ExtendedReports
		printed string // "" for the same
	}{
		{"", ExtendedReports{}, ""},
		{"voip-metrics", ExtendedReports{VoIPMetrics: true}, ""},
		{"pkt-loss-rle=1500 rcvr-rtt=all:200 voip-metrics", ExtendedReports{LossRuns: XRBlock{true, 1500}, RoundTrip: RoundTripAll, RoundTripSize: 200, VoIPMetrics: true}, ""},
		{"pkt-dup-rle pkt-rcpt-times=9 rcvr-rtt=sender", ExtendedReports{DuplicateRuns: XRBlock{true, 0}, ReceiptTimes: XRBlock{true, 9}, RoundTrip: RoundTripSender}, ""},
		{"stat-summary=loss,dup,jitt,TTL", ExtendedReports{Summary: XRSummary{Wanted: true, Loss: true, Duplicates: true, Jitter: true, TTL: true}}, ""},
		{"stat-summary=HL,loss", ExtendedReports{Summary: XRSummary{Wanted: true, Loss: true, HopLimit: true}}, "stat-summary=loss,HL"},
		{"stat-summary", ExtendedReports{Summary: XRSummary{Wanted: true}}, ""},
		{"  voip-metrics \t rcvr-rtt=all ", ExtendedReports{RoundTrip: RoundTripAll, VoIPMetrics: true}, "rcvr-rtt=all voip-metrics"},
		{"voip-metrics=thr,msv", ExtendedReports{Other: []string{"voip-metrics=thr,msv"}}, ""},
		{"stat-summary=TTL,HL", ExtendedReports{Other: []string{"stat-summary=TTL,HL"}}, ""},
		{"stat-summary=loss, voip-metrics", ExtendedReports{VoIPMetrics: true, Other: []string{"stat-summary=loss,"}}, "voip-metrics stat-summary=loss,"},
		{"rcvr-rtt rcvr-rtt= rcvr-rtt=none rcvr-rtt=all:x pkt-loss-rle=", ExtendedReports{Other: []string{"rcvr-rtt", "rcvr-rtt=", "rcvr-rtt=none", "rcvr-rtt=all:x", "pkt-loss-rle="}}, ""},
		{"pkt-loss-rle=99999999999999999999", ExtendedReports{LossRuns: XRBlock{true, 1<<31 - 1}}, "pkt-loss-rle=2147483647"},
		{"future-block=7", ExtendedReports{Other: []string{"future-block=7"}}, ""},
	} {
		x := ParseExtendedReports(tt.value)
		printed := tt.printed
		if printed == "" {
			printed = tt.value
		}
		if !reflect.DeepEqual(x, tt.want) || x.String() != printed {
			t.Errorf("%q: %+v, %q, want %+v, %q", tt.value, x, x, tt.want, printed)
		}
	}
	if x := ParseExtendedReports(strings.Repeat("a ", 10_000)); len(x.Other) != mostOther {
		t.Errorf("%d unknown parameters are kept", len(x.Other))
	}
}

func TestExtendedReportsOfAStream(t *testing.T) {
	d, err := Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=rtcp-xr:rcvr-rtt=all\r\n" +
		"m=audio 4000 RTP/AVP 0\r\na=rtcp-xr:voip-metrics\r\nm=audio 4002 RTP/AVP 0\r\nm=audio 4004 RTP/AVP 0\r\na=rtcp-xr:\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []ExtendedReports{{VoIPMetrics: true}, {RoundTrip: RoundTripAll}, {}} {
		if x, ok := d.ExtendedReports(i); !ok || !reflect.DeepEqual(x, want) {
			t.Errorf("stream %d: %+v, %v", i, x, ok)
		}
	}
	d.RemoveAttributes("rtcp-xr")
	if x, ok := d.ExtendedReports(1); ok {
		t.Errorf("out of nothing: %+v", x)
	}
	d.Media[1].SetExtendedReports(ExtendedReports{VoIPMetrics: true, RoundTrip: RoundTripSender})
	if v, _ := d.Media[1].Attribute("rtcp-xr"); v != "rcvr-rtt=sender voip-metrics" {
		t.Errorf("%q", v)
	}
}

func TestAnswerToExtendedReports(t *testing.T) {
	mine := ExtendedReports{VoIPMetrics: true, RoundTrip: RoundTripAll, LossRuns: XRBlock{true, 500}, Summary: XRSummary{Wanted: true, Loss: true}}
	for offer, want := range map[string]string{
		"":                            "",
		"voip-metrics":                "voip-metrics",
		"rcvr-rtt=sender future=1":    "rcvr-rtt=all",
		"pkt-loss-rle=9 pkt-dup-rle":  "pkt-loss-rle=500",
		"stat-summary=jitt":           "stat-summary=loss",
		"voip-metrics rcvr-rtt=all:9": "rcvr-rtt=all voip-metrics",
	} {
		if got := mine.AnswerTo(ParseExtendedReports(offer)).String(); got != want {
			t.Errorf("%q: %q, want %q", offer, got, want)
		}
	}
	if got := (ExtendedReports{}).AnswerTo(mine).String(); got != "" {
		t.Errorf("who can nothing answers %q", got)
	}
}

// What is printed reads the same, stays the same, and has nothing in it that ends a line.
func FuzzExtendedReports(f *testing.F) {
	f.Add("pkt-loss-rle=1500 rcvr-rtt=all:200 stat-summary=loss,HL voip-metrics x=y")
	f.Add("stat-summary= rcvr-rtt=sender: pkt-dup-rle=0")
	f.Fuzz(func(t *testing.T, value string) {
		x := ParseExtendedReports(value)
		printed := x.String()
		y := ParseExtendedReports(printed)
		if !reflect.DeepEqual(x, y) || y.String() != printed {
			t.Fatalf("%q: %+v became %q: %+v", value, x, printed, y)
		}
		if !strings.ContainsAny(value, "\r\n") && strings.ContainsAny(printed, "\r\n") {
			t.Fatalf("%q gives %q", value, printed)
		}
	})
}
