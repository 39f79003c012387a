// Package metrics counts what the exchange does and shows it to Prometheus.
//
// It owns the counters behind the names dialtone_*, the registry they are in and the page /metrics. It does not own
// what it reads at scrape time (calls in progress, registrations): those are asked from their owners through Config. It
// measures nothing by itself.
//
// The counting methods are meant for hot paths: they take no lock and allocate nothing once a label value is known.
// Counters are spread over cache lines (see Counter) and summed when the page is read. Label values from outside are
// bounded: beyond maxLabels different ones of a metric the rest is counted as "other".
//
// Goroutines: none. All methods are safe for use by several goroutines; a nil *Metrics is not usable.
// Ordering: a scrape is not a snapshot, each value is read on its own.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Direction of a message, a packet or a call, seen from the exchange.
type Direction uint8

// The directions.
const (
	In Direction = iota
	Out
	directions
)

// String is the label value, "in" or "out".
func (d Direction) String() string {
	if d == In {
		return "in"
	}
	return "out"
}

// Config names the owners of values that are read at scrape time. A nil function leaves its metric out. The functions
// are called on the goroutine that serves the page; they must not block.
type Config struct {
	// CallsActive is the number of calls in progress.
	CallsActive func() int
	// Registrations is the number of bindings that are alive.
	Registrations func() int
	// RTP is what the media engine has counted since start: packets in and out, and packets that the senders sent and
	// that did not arrive.
	RTP func() (in, out, lost uint64)
	// NextHops is how the servers of all sets are; set and target are unique.
	NextHops func() []NextHop
	// Reasons of GuardBlocked that are shown from the start, as 0: a rate needs a value before the first event.
	Reasons []string
	// Limits are the limits that are in force, by name.
	Limits map[string]float64
	// Blocked is what was turned away where nobody calls GuardBlocked, by reason.
	Blocked func() map[string]uint64
	// Readings are what the owners of other values tell.
	Readings []Reading
	// Panics is how many the owners of calls and sockets have contained, by package.
	Panics func() map[string]uint64
}

// NextHop is one server behind.
type NextHop struct {
	Set, Target        string
	Up                 bool
	Requests, Failures uint64 // sent to it; of these it has failed
}

// Metrics is all counters of one server.
type Metrics struct {
	registry *prometheus.Registry
	config   Config

	sip          messages
	transactions histogram
	mos          histogram
	calls        labelled
	blocked      labelled
	poor         poor
}

// New makes the counters and a registry of their own, with those of the Go runtime and the process beside them.
func New(c Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), config: c}
	m.transactions.bounds = transactionBounds()
	m.mos.bounds = mosBounds()
	m.registry.MustRegister(
		&collector{m, describe()},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// SIPMessageBytes counts one message. method is that of the CSeq, as it stands in a receive buffer; code is the status of
// a response and 0 for a request.
func (m *Metrics) SIPMessageBytes(method []byte, code int, d Direction) {
	m.sip.counter(method, code, d).Add(1)
}

// Transaction counts a finished SIP transaction and how long it took, request to final response.
func (m *Metrics) Transaction(d time.Duration) { m.transactions.observe(d.Seconds()) }

// CallEnded counts a call. direction is "in", "out" or "internal"; cause are the words of its cause.
func (m *Metrics) CallEnded(direction, cause string) { m.calls.counter(direction, cause).Add(1) }

// CallMOS takes the mean opinion score of one direction of one leg at its end, 1 to 4.5 (ITU-T G.107).
func (m *Metrics) CallMOS(mos float64) { m.mos.observe(mos) }

// GuardBlocked counts a message turned away at the door.
func (m *Metrics) GuardBlocked(reason string) { m.blocked.counter(reason, "").Add(1) }

// Handler serves the page. A failing metric leaves the others on it.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}
