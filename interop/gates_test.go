package interop

import (
	"fmt"
	"os"
	"testing"
	"time"

	"dialtone/internal/codec/g711"
	"dialtone/internal/quality/listen"
)

// TestConversionIsClean: Opus to G.711 and back.
func TestConversionIsClean(t *testing.T) {
	gates := listen.Transcoded()
	gates.Delay = 0 // the recording does not begin with the call
	gates.Gap = 40 * time.Millisecond
	m := &match{a: side{"opus", ""}, b: side{"PCMU", ""}}
	meet(t, []*match{m})
	m.call(t)
	m.hear(t, 8000, gates, listen.Result{}, [2]uint64{voiceB, voiceA})
}

// hear judges what the phones of a pair have heard of each other's voices; 0 is not judged.
func (m *match) hear(t *testing.T, rate int, gates listen.Gates, baseline listen.Result, voices [2]uint64) {
	t.Helper()
	for i, voice := range voices {
		if voice == 0 {
			continue
		}
		r := m.phones[i].judged(t, voice, rate)
		t.Logf("%s heard %+v", m.phones[i].name, r)
		if wrong := gates.Check(r, baseline); wrong != "" {
			t.Errorf("%s: %s", m.phones[i].name, wrong)
		}
	}
}

// call makes one call, long enough to be judged; what was recorded before is forgotten.
func (m *match) call(t *testing.T) {
	t.Helper()
	m.phones[0].forget()
	m.phones[1].forget()
	connect(m.phones[0], m.phones[1], m.phones[1].number)
	time.Sleep(hush + phrases + 500*time.Millisecond)
	disconnect(m.phones[0], m.phones[1])
}

// TestLossIsConcealed: every twentieth packet on the way to the exchange is lost; what is made of the rest sounds better than
// silence in its place.
func TestLossIsConcealed(t *testing.T) {
	const every = 20
	for _, codec := range []string{"PCMA", "opus", "G722"} {
		t.Run(codec, func(t *testing.T) {
			m := &match{a: side{codec, ""}, b: side{"PCMU", ""}}
			meet(t, []*match{m})
			from := m.phones[0]
			table := fmt.Sprintf("dialtone_%d_%d", os.Getpid(), from.media)
			rules := fmt.Sprintf("table inet %s { chain in { type filter hook input priority 0; udp sport %d-%d numgen inc mod %d 0 counter drop; }; }",
				table, from.media, from.media+rtpPorts-1, every)
			if out, err := privileged("nft", rules).CombinedOutput(); err != nil {
				t.Fatalf("nft: %v\n%s", err, out)
			}
			t.Cleanup(func() {
				if out, err := privileged("nft", "delete", "table", "inet", table).CombinedOutput(); err != nil {
					t.Errorf("nft: %v\n%s", err, out)
				}
			})
			m.call(t)
			silent := listen.Compare(said(voiceA, 8000), zeroFilled(said(voiceA, 8000), every), 8000)
			t.Logf("silence instead: %+v", silent)
			m.hear(t, 8000, listen.Gates{Advantage: 0.1, Gap: 60 * time.Millisecond}, silent, [2]uint64{0, voiceA})
		})
	}
}

// zeroFilled is speech after mu-law with silence in place of each so many-th packet.
func zeroFilled(pcm []int16, every int) []int16 {
	const packet = 160
	out := make([]int16, len(pcm))
	for i, s := range pcm {
		if i/packet%every != every/2 {
			out[i] = g711.DecodeMuLaw(g711.EncodeMuLaw(s))
		}
	}
	return out
}
