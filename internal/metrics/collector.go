package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// transactionBounds are seconds: from a local answer to timers B and F (32 s, RFC 3261 §17).
func transactionBounds() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 32}
}

// mosBounds are the class limits of ITU-T G.107 Annex B and the halves between.
func mosBounds() []float64 { return []float64{1.5, 2, 2.6, 3.1, 3.6, 4.03, 4.34, 4.5} }

// descriptions are the names, help texts and labels of the page.
type descriptions struct {
	callsActive, calls, registrations, sip, transactions, rtp, lost, mos, blocked, limit, panics, hopUp, hopRequests, hopFailures,
	alarms, poor *prometheus.Desc
}

func describe() descriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("dialtone_"+name, help, labels, nil)
	}
	return descriptions{
		callsActive:   desc("calls_active", "Calls in progress."),
		calls:         desc("calls_total", "Calls that have ended, by direction and the words of their cause.", "direction", "cause"),
		registrations: desc("registrations", "Bindings of addresses of record to contacts that are alive."),
		sip: desc("sip_messages_total",
			"SIP messages. The code of a request is empty.", "method", "code", "direction"),
		transactions: desc("sip_transaction_seconds", "Duration of SIP transactions, from the request to its final response."),
		rtp:          desc("rtp_packets_total", "RTP packets.", "direction"),
		lost:         desc("rtp_lost_total", "RTP packets that were sent to the exchange and did not arrive."),
		mos:          desc("call_mos", "Mean opinion score of the legs of ended calls (G.107 estimate)."),
		alarms:       desc("call_quality_alarms_total", "Legs of calls that began to sound bad."),
		poor:         desc("calls_poor", "Calls in progress that sound bad."),
		blocked:      desc("guard_blocked_total", "Messages turned away at the door, by reason.", "reason"),
		hopUp:        desc("next_hop_up", "1 while a server that requests are sent on to is alive, 0 while it is tried last.", "set", "target"),
		hopRequests:  desc("next_hop_requests_total", "Requests that were sent on to a server.", "set", "target"),
		hopFailures:  desc("next_hop_failures_total", "Requests that a server has failed: silence, no connection, 408, 503.", "set", "target"),
		limit:        desc("limit", "The limits that are in force, by name: see security.md.", "name"),
		panics:       desc("panics_total", "Panics that cost one call or request, by package. Anything but 0 is a bug.", "package"),
	}
}

// collector shows the counters to a Prometheus registry.
type collector struct {
	m *Metrics
	d descriptions
}

// Describe sends all descriptions.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	d := &c.d
	for _, desc := range []*prometheus.Desc{d.callsActive, d.calls, d.registrations, d.sip, d.transactions, d.rtp, d.lost,
		d.mos, d.blocked, d.limit, d.panics, d.hopUp, d.hopRequests, d.hopFailures, d.alarms, d.poor} {
		ch <- desc
	}
	for i := range c.m.config.Readings {
		ch <- c.m.config.Readings[i].description()
	}
}

// Collect reads every counter once.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	m, d := c.m, &c.d
	value := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		metric, err := prometheus.NewConstMetric(desc, kind, v, labels...)
		if err != nil { // a label that is not UTF-8: shown by the page, the other metrics stay
			metric = prometheus.NewInvalidMetric(desc, err)
		}
		ch <- metric
	}
	if m.config.CallsActive != nil {
		value(d.callsActive, prometheus.GaugeValue, float64(m.config.CallsActive()))
	}
	if m.config.Registrations != nil {
		value(d.registrations, prometheus.GaugeValue, float64(m.config.Registrations()))
	}
	if m.config.RTP != nil {
		in, out, lost := m.config.RTP()
		value(d.rtp, prometheus.CounterValue, float64(in), In.String())
		value(d.rtp, prometheus.CounterValue, float64(out), Out.String())
		value(d.lost, prometheus.CounterValue, float64(lost))
	}
	if m.config.NextHops != nil {
		for _, h := range m.config.NextHops() {
			up := 0.0
			if h.Up {
				up = 1
			}
			value(d.hopUp, prometheus.GaugeValue, up, h.Set, h.Target)
			value(d.hopRequests, prometheus.CounterValue, float64(h.Requests), h.Set, h.Target)
			value(d.hopFailures, prometheus.CounterValue, float64(h.Failures), h.Set, h.Target)
		}
	}
	alarms, poor := m.poor.read()
	value(d.alarms, prometheus.CounterValue, float64(alarms))
	value(d.poor, prometheus.GaugeValue, float64(poor))
	m.sip.each(func(method string, code int, d Direction, n uint64) {
		text := ""
		if code != 0 {
			text = strconv.Itoa(code)
		}
		value(c.d.sip, prometheus.CounterValue, float64(n), method, text, d.String())
	})
	m.calls.each(func(l labels, n uint64) { value(d.calls, prometheus.CounterValue, float64(n), l[0], l[1]) })
	blocked := map[string]uint64{}
	for _, reason := range m.config.Reasons {
		blocked[reason] = 0
	}
	m.blocked.each(func(l labels, n uint64) { blocked[l[0]] += n })
	if m.config.Blocked != nil {
		for reason, n := range m.config.Blocked() {
			blocked[reason] += n
		}
	}
	for name, v := range m.config.Limits {
		value(d.limit, prometheus.GaugeValue, v, name)
	}
	for i := range m.config.Readings {
		r := &m.config.Readings[i]
		description := r.description()
		r.collect(func(kind prometheus.ValueType, v float64, labels ...string) { value(description, kind, v, labels...) })
	}
	for reason, n := range blocked {
		value(d.blocked, prometheus.CounterValue, float64(n), reason)
	}
	if m.config.Panics != nil {
		for pkg, n := range m.config.Panics() {
			value(d.panics, prometheus.CounterValue, float64(n), pkg)
		}
	}
	for desc, h := range map[*prometheus.Desc]*histogram{d.transactions: &m.transactions, d.mos: &m.mos} {
		count, sum, buckets := h.read()
		ch <- prometheus.MustNewConstHistogram(desc, count, sum, buckets)
	}
}
