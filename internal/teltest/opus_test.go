//go:build opus

package teltest

import "testing"

func TestPhonesWithOpus(t *testing.T) {
	for _, tt := range []struct {
		near, far string
		converted bool
	}{{"opus", "pcmu", true}, {"pcma", "opus", true}, {"opus", "g722", true}, {"opus", "opus", false}} {
		t.Run(tt.near+" "+tt.far, func(t *testing.T) { phonesConvert(t, tt.near, tt.far, tt.converted) })
	}
}
