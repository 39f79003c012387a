package mixer

import (
	"dialtone/internal/codec"
	"dialtone/internal/codec/resample"
)

// converter changes the rate of a stream frame by frame; what comes out is late by 3 ms.
type converter struct {
	resampler *resample.Resampler
	out       []int16
}

// newConverter is nil when there is nothing to convert.
func newConverter(from, to int) (*converter, error) {
	r, err := resample.NewStream(from, to)
	if err != nil || from == to {
		return nil, err
	}
	return &converter{resampler: r}, nil
}

// convert takes 20 ms and gives 20 ms.
func (c *converter) convert(dst, src codec.Frame) {
	c.out = c.resampler.Write(c.out[:0], src)
	clear(dst[copy(dst, c.out):])
}
