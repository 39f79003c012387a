package metrics

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// page reads /metrics and returns its lines of ours.
func page(t *testing.T, m *Metrics) map[string]bool {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.Code, err, body)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "dialtone_") {
			lines[strings.TrimSpace(line)] = true
		}
	}
	return lines
}

func want(t *testing.T, lines map[string]bool, wanted ...string) {
	t.Helper()
	for _, line := range wanted {
		if !lines[line] {
			t.Errorf("the page lacks %s", line)
		}
	}
	if t.Failed() {
		t.Logf("%v", lines)
	}
}

func TestPage(t *testing.T) {
	m := New(Config{
		CallsActive: func() int { return 3 }, Registrations: func() int { return 17 }, Reasons: []string{"rate", "scanner"},
		RTP:    func() (in, out, lost uint64) { return 50, 49, 1 },
		Panics: func() map[string]uint64 { return map[string]uint64{"call": 1} },
		NextHops: func() []NextHop {
			return []NextHop{{"inside", "sip:10.0.0.7", true, 7, 1}, {"inside", "sip:10.0.0.8", false, 0, 0}}
		},
	})
	m.SIPMessageBytes([]byte("INVITE"), 0, In)
	m.SIPMessageBytes([]byte("INVITE"), 486, Out)
	m.SIPMessageBytes([]byte("INVITE"), 486, Out)
	m.SIPMessageBytes([]byte("invite"), 200, In) // methods are case-sensitive: not an INVITE
	m.SIPMessageBytes([]byte("BREAKDANCE"), 0, In)
	m.SIPMessageBytes([]byte("BYE"), 9999, In)
	m.CallEnded("in", "busy")
	m.CallEnded("in", "busy")
	m.CallEnded("internal", "normal clearing")
	m.GuardBlocked("scanner")
	m.Transaction(3 * time.Millisecond)
	m.Transaction(time.Minute)
	m.CallMOS(4.4)
	want(t, page(t, m),
		`dialtone_calls_active 3`,
		`dialtone_registrations 17`,
		`dialtone_calls_total{cause="busy",direction="in"} 2`,
		`dialtone_calls_total{cause="normal clearing",direction="internal"} 1`,
		`dialtone_sip_messages_total{code="",direction="in",method="INVITE"} 1`,
		`dialtone_sip_messages_total{code="486",direction="out",method="INVITE"} 2`,
		`dialtone_sip_messages_total{code="200",direction="in",method="other"} 1`,
		`dialtone_sip_messages_total{code="",direction="in",method="other"} 1`,
		`dialtone_sip_messages_total{code="699",direction="in",method="BYE"} 1`,
		`dialtone_rtp_packets_total{direction="in"} 50`,
		`dialtone_rtp_packets_total{direction="out"} 49`,
		`dialtone_rtp_lost_total 1`,
		`dialtone_guard_blocked_total{reason="rate"} 0`,
		`dialtone_guard_blocked_total{reason="scanner"} 1`,
		`dialtone_panics_total{package="call"} 1`,
		`dialtone_next_hop_up{set="inside",target="sip:10.0.0.7"} 1`,
		`dialtone_next_hop_up{set="inside",target="sip:10.0.0.8"} 0`,
		`dialtone_next_hop_requests_total{set="inside",target="sip:10.0.0.7"} 7`,
		`dialtone_next_hop_failures_total{set="inside",target="sip:10.0.0.7"} 1`,
		`dialtone_sip_transaction_seconds_bucket{le="0.0025"} 0`,
		`dialtone_sip_transaction_seconds_bucket{le="0.005"} 1`,
		`dialtone_sip_transaction_seconds_bucket{le="32"} 1`,
		`dialtone_sip_transaction_seconds_bucket{le="+Inf"} 2`,
		`dialtone_sip_transaction_seconds_sum 60.003`,
		`dialtone_sip_transaction_seconds_count 2`,
		`dialtone_call_mos_bucket{le="4.34"} 0`,
		`dialtone_call_mos_bucket{le="4.5"} 1`,
	)
}

func TestMetricsWithoutAnOwnerAreLeftOut(t *testing.T) {
	for line := range page(t, New(Config{})) {
		for _, name := range []string{"calls_active", "registrations", "rtp_packets_total", "rtp_lost_total", "panics_total", "next_hop_"} {
			if strings.HasPrefix(line, "dialtone_"+name) {
				t.Errorf("the page has %s", line)
			}
		}
	}
}

func TestLabelsAreBounded(t *testing.T) {
	m := New(Config{})
	const n = 10 * maxLabels
	for i := range n {
		m.GuardBlocked(fmt.Sprint("reason ", i))
	}
	m.GuardBlocked("reason 0")
	want(t, page(t, m),
		`dialtone_guard_blocked_total{reason="reason 0"} 2`,
		fmt.Sprintf(`dialtone_guard_blocked_total{reason="other"} %d`, n-maxLabels),
	)
}

func TestBrokenLabelSparesTheOthers(t *testing.T) {
	m := New(Config{Panics: func() map[string]uint64 { return map[string]uint64{"sip": 1} }})
	m.GuardBlocked("\xff")
	want(t, page(t, m), `dialtone_panics_total{package="sip"} 1`)
}

func TestConcurrentCounts(t *testing.T) {
	m := New(Config{})
	const workers, each = 8, 1000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				m.SIPMessageBytes([]byte("REGISTER"), 200, Out)
				m.GuardBlocked(fmt.Sprint(i % 40))
				m.CallEnded("in", fmt.Sprint(w))
				m.CallMOS(4)
			}
		})
	}
	wg.Wait()
	lines := page(t, m)
	want(t, lines,
		`dialtone_sip_messages_total{code="200",direction="out",method="REGISTER"} 8000`,
		`dialtone_call_mos_count 8000`,
		`dialtone_call_mos_sum 32000`,
		`dialtone_guard_blocked_total{reason="39"} 200`,
		`dialtone_calls_total{cause="7",direction="in"} 1000`,
	)
}

func TestHotPathAllocatesNothing(t *testing.T) {
	m := New(Config{})
	method := []byte("INVITE")
	stranger := []byte("A-METHOD-WITH-A-NAME-LONGER-THAN-THIRTY-TWO-BYTES")
	count := func() {
		m.SIPMessageBytes(method, 200, In)
		m.SIPMessageBytes(stranger, 200, In)
		m.SIPMessageBytes([]byte("BYE"), 0, Out)
		m.GuardBlocked("scanner")
		m.CallEnded("in", "busy")
		m.Transaction(time.Millisecond)
	}
	count()
	if n := testing.AllocsPerRun(100, count); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMethodTableIsItsOwnInverse(t *testing.T) {
	for i, name := range methodNames() {
		if got := methodIndex(name); got != i {
			t.Errorf("%s has row %d, want %d", name, got, i)
		}
	}
	for code := 100; code < 700; code++ {
		if got := codeOf(codeIndex(code)); got != code {
			t.Errorf("%d is counted as %d", code, got)
		}
	}
	if len(transactionBounds()) > maxBuckets || len(mosBounds()) > maxBuckets {
		t.Error("more bounds than buckets")
	}
}

func BenchmarkSIPMessage(b *testing.B) {
	m := New(Config{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.SIPMessageBytes([]byte("INVITE"), 200, Out)
		}
	})
}

func BenchmarkGuardBlocked(b *testing.B) {
	m := New(Config{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.GuardBlocked("scanner")
		}
	})
}
