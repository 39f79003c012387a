package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Reading is a metric of one label at most whose values somebody else keeps.
type Reading struct {
	Name    string // without the prefix
	Help    string
	Label   string // "": there is one value, whose key is ""
	Counter bool   // else a gauge
	// Values are the values by label. It is called on the goroutine that serves the page and must not block.
	Values func() map[string]float64
}

// description is that of the page.
func (r *Reading) description() *prometheus.Desc {
	var labels []string
	if r.Label != "" {
		labels = []string{r.Label}
	}
	return prometheus.NewDesc("dialtone_"+r.Name, r.Help, labels, nil)
}

// collect reports the values in the order of their labels.
func (r *Reading) collect(report func(kind prometheus.ValueType, v float64, labels ...string)) {
	kind := prometheus.GaugeValue
	if r.Counter {
		kind = prometheus.CounterValue
	}
	values := r.Values()
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if r.Label == "" {
			report(kind, values[k])
		} else {
			report(kind, values[k], k)
		}
	}
}
