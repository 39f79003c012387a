package rtp

import (
	"math"
	"testing"
	"time"
)

func TestMetricsOfReception(t *testing.T) {
	const ms = time.Millisecond
	burst := BurstGap{PacketTime: 10 * ms}
	pattern(&burst, "11110111111111111111111X111X1011110111111111111111111X111111111")
	r := Reception{
		SSRC: 7, Figures: burst.Figures(), RoundTrip: 81600 * time.Microsecond, EndSystemDelay: 90 * ms,
		SignalLevel: -18.4, NoiseLevel: -62, EchoLoss: 45, R: 71.6, MOSLQ: 3.84, MOSCQ: 3.67, Concealment: ConcealmentStandard,
		Buffer: JitterBuffer{Known: true, Adaptive: true, Rate: 5, Nominal: 40 * ms, Maximum: 80 * ms, Limit: 200 * ms},
	}
	m := r.Metrics()
	want := VoIPMetrics{SSRC: 7, LossRate: 12, DiscardRate: 12, BurstDensity: 85, GapDensity: 10, BurstDuration: 120, GapDuration: 255,
		RoundTrip: 82, EndSystemDelay: 90, SignalLevel: -18, NoiseLevel: -62, RERL: 45, Gmin: 16, RFactor: 72, ExternalR: 127,
		MOSLQ: 38, MOSCQ: 37, RXConfig: 0b11_11_0101, BufferNominal: 40, BufferMaximum: 80, BufferLimit: 200}
	if m != want {
		t.Errorf("%+v, want\n%+v", m, want)
	}
	if m.Concealment() != r.Concealment || m.Buffer() != r.Buffer {
		t.Errorf("%v, %+v", m.Concealment(), m.Buffer())
	}
}

// Nothing known gives a block that says so, and figures off the scale one that keeps to it.
func TestMetricsKeepToTheirRange(t *testing.T) {
	nothing := (&Reception{}).Metrics()
	want := VoIPMetrics{SignalLevel: 127, NoiseLevel: 127, RERL: 127, Gmin: 16, RFactor: 127, ExternalR: 127, MOSLQ: 127, MOSCQ: 127}
	if nothing != want {
		t.Errorf("%+v, want\n%+v", nothing, want)
	}
	if _, ok := nothing.Listening(); ok || nothing.Buffer().Known || nothing.Concealment() != ConcealmentUnknown {
		t.Error("something is known of nothing")
	}
	nan, hour := math.NaN(), time.Hour
	for _, x := range []float64{nan, math.Inf(1), math.Inf(-1), 1e300, -1e300, 129} {
		r := Reception{
			Figures:   Figures{LossRate: x, DiscardRate: x, BurstDensity: x, GapDensity: x, BurstDuration: hour, GapDuration: -hour},
			RoundTrip: hour, EndSystemDelay: -hour, SignalLevel: x, NoiseLevel: -x, EchoLoss: x, R: x, ExternalR: x, MOSLQ: x, MOSCQ: 3,
			Buffer: JitterBuffer{Known: true, Rate: 200, Nominal: hour, Maximum: hour, Limit: 5},
		}
		m := r.Metrics()
		if m.BurstDuration != math.MaxUint16 || m.GapDuration != 0 || m.RoundTrip != math.MaxUint16 || m.EndSystemDelay != 0 {
			t.Errorf("%v: %+v", x, m)
		}
		// RFC 3611 §4.7.5: 0 to 100 or 127; 10 to 50 or 127.
		for _, f := range []uint8{m.RFactor, m.ExternalR} {
			if f > 100 && f != 127 {
				t.Errorf("%v: R factor %d", x, f)
			}
		}
		if (m.MOSLQ < 10 || m.MOSLQ > 50) && m.MOSLQ != 127 {
			t.Errorf("%v: MOS-LQ %d", x, m.MOSLQ)
		}
		// §4.7.7: of a fixed buffer the limit is the maximum.
		if m.BufferLimit != m.BufferMaximum || m.Buffer().Adaptive {
			t.Errorf("%v: %+v", x, m.Buffer())
		}
	}
}

// A score goes through the block with the error of its tenth, a rating with that of its unit.
func TestScoresSurviveTheBlock(t *testing.T) {
	for mos := 1.0; mos <= 4.5; mos += 0.01 {
		r := Reception{MOSLQ: mos, MOSCQ: mos - (mos-1)/2, R: 20 * mos}
		m := r.Metrics()
		lq, okLQ := m.Listening()
		cq, okCQ := m.Conversation()
		rating, okR := m.Rating()
		if !okLQ || !okCQ || !okR || math.Abs(lq-r.MOSLQ) > 0.051 || math.Abs(cq-r.MOSCQ) > 0.051 || math.Abs(rating-r.R) > 0.51 {
			t.Fatalf("%+v became %v, %v, %v", r, lq, cq, rating)
		}
	}
}

func TestValuesOffTheScaleAreIgnored(t *testing.T) {
	for _, tt := range []struct {
		r, external, mos uint8
		rating, score    float64
	}{{90, 127, 42, 90, 4.2}, {90, 80, 10, 76, 1}, {20, 30, 50, 0, 5}, {101, 50, 9, -1, -1}, {127, 127, 127, -1, -1}, {255, 3, 51, -1, -1}, {80, 126, 0, 80, -1}} {
		m := VoIPMetrics{RFactor: tt.r, ExternalR: tt.external, MOSLQ: tt.mos, MOSCQ: tt.mos}
		if r, ok := m.Rating(); ok != (tt.rating >= 0) || ok && r != tt.rating {
			t.Errorf("%+v: rating %v, %v", tt, r, ok)
		}
		if s, ok := m.Listening(); ok != (tt.score >= 0) || ok && s != tt.score {
			t.Errorf("%+v: listening %v, %v", tt, s, ok)
		}
		if s, ok := m.Conversation(); ok != (tt.score >= 0) || ok && s != tt.score {
			t.Errorf("%+v: conversation %v, %v", tt, s, ok)
		}
	}
}

// A receiver that sends nothing learns the round trip: its reference time goes there, is answered later, comes back.
func TestRoundTripOfAReceiver(t *testing.T) {
	for _, tt := range []struct{ there, wait, back time.Duration }{
		{0, 0, 0}, {20 * time.Millisecond, 0, 30 * time.Millisecond}, {time.Millisecond, 4 * time.Second, time.Millisecond},
		{150 * time.Millisecond, 59 * time.Minute, 250 * time.Millisecond},
	} {
		// Just before the middle of the timestamp wraps.
		wall := Time(0xee8affff_ffff0000)
		out := ExtendedReport{SSRC: 5, ReferenceTime: NTP(wall)}
		var came, answer ExtendedReport
		if err := came.Parse(next(t, out.Append(nil))); err != nil {
			t.Fatal(err)
		}
		r, ok := came.Reference(time.Hour + tt.there)
		if !ok || r.SSRC != 5 {
			t.Fatalf("%+v, %v", r, ok)
		}
		reply := ExtendedReport{SSRC: 6, References: []LastReference{{1, 2, 3}, r.Answer(time.Hour + tt.there + tt.wait)}}
		if err := answer.Parse(next(t, reply.Append(nil))); err != nil {
			t.Fatal(err)
		}
		mine, ok := answer.Answer(5)
		if !ok {
			t.Fatal("no answer")
		}
		got, ok := mine.RoundTrip(NTP(wall.Add(tt.there + tt.wait + tt.back)))
		if want := tt.there + tt.back; !ok || (got-want).Abs() > 50*time.Microsecond {
			t.Errorf("%v, %v, want %v", got, ok, want)
		}
		if got, ok := mine.RoundTrip(NTP(wall.Add(-time.Second))); ok {
			t.Errorf("an answer before the question took %v", got)
		}
	}
	if _, ok := (&ExtendedReport{}).Reference(0); ok {
		t.Error("reference out of nothing")
	}
	if _, ok := (LastReference{SSRC: 1}).RoundTrip(12345 << 16); ok {
		t.Error("RFC 3611 §4.5: a zero LRR answers nothing")
	}
	if _, ok := (&ExtendedReport{}).Answer(5); ok {
		t.Error("answer out of nothing")
	}
}
