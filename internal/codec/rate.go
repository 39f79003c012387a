package codec

import (
	"fmt"
	"slices"
)

// Choose is the rate that params ask of a codec that works at rates, ascending: the one named, or the highest that is
// no higher than 16000 Hz when none is.
func (p Params) Choose(rates []int) (int, error) {
	if p.Rate == 0 {
		best := rates[0]
		for _, r := range rates {
			if r <= 16000 {
				best = r
			}
		}
		return best, nil
	}
	if !slices.Contains(rates, p.Rate) {
		return 0, fmt.Errorf("sampling rate %d Hz: not one of %v", p.Rate, rates)
	}
	return p.Rate, nil
}
