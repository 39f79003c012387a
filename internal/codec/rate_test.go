package codec

import "testing"

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		rate  int
		rates []int
		want  int // 0: an error
	}{
		{0, []int{8000}, 8000}, {0, []int{16000}, 16000}, {0, []int{8000, 16000, 48000}, 16000}, {0, []int{48000}, 48000},
		{8000, []int{8000, 16000}, 8000}, {48000, []int{8000, 16000, 48000}, 48000},
		{16000, []int{8000}, 0}, {-1, []int{8000}, 0}, {44100, []int{8000, 48000}, 0},
	} {
		got, err := Params{Rate: tt.rate}.Choose(tt.rates)
		if got != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%d of %v: %d, %v", tt.rate, tt.rates, got, err)
		}
	}
}
