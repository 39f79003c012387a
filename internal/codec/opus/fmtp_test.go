package opus

import "testing"

func TestParseFMTP(t *testing.T) {
	for _, tt := range []struct {
		fmtp string
		want Parameters
	}{
		{"", Parameters{MaxPlaybackRate: 48000}},
		{"minptime=10;useinbandfec=1", Parameters{MaxPlaybackRate: 48000, InbandFEC: true}},
		{" useinbandfec = 1 ; UseDTX=1; stereo=0;sprop-stereo=1", Parameters{MaxPlaybackRate: 48000, InbandFEC: true, DTX: true}},
		{"maxplaybackrate=16000; maxaveragebitrate=20000; cbr=1; stereo=1", Parameters{MaxPlaybackRate: 16000, MaxAverageBitrate: 20000, CBR: true, Stereo: true}},
		{"maxplaybackrate=1; maxaveragebitrate=5999; cbr=2", Parameters{MaxPlaybackRate: 8000}},
		{"maxplaybackrate=99999999999999999999; maxaveragebitrate=-1", Parameters{MaxPlaybackRate: 48000}},
		{"maxplaybackrate=192000;maxaveragebitrate=510001;=;;useinbandfec;usedtx=", Parameters{MaxPlaybackRate: 48000}},
	} {
		if got := ParseFMTP(tt.fmtp); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.fmtp, got, tt.want)
		}
	}
}

func TestBitrates(t *testing.T) {
	for _, tt := range []struct {
		fmtp       string
		rate, want int
	}{
		{"", 8000, 16000}, {"", 16000, 24000}, {"", 48000, 32000},
		{"maxplaybackrate=8000", 48000, 16000}, {"maxplaybackrate=12000", 16000, 24000},
		{"maxaveragebitrate=20000", 48000, 20000}, {"maxaveragebitrate=64000", 48000, 32000},
	} {
		if got := ParseFMTP(tt.fmtp).bitrate(tt.rate); got != tt.want {
			t.Errorf("%q at %d Hz: %d bit/s, want %d", tt.fmtp, tt.rate, got, tt.want)
		}
	}
	if p := (Parameters{MaxAverageBitrate: 20000}); p.within(1) != lowestBitrate || p.within(1e6) != 20000 {
		t.Error("bit rates leave their bounds")
	}
}

// Whatever is said, the values stay in their bounds.
func FuzzParseFMTP(f *testing.F) {
	f.Add("maxplaybackrate=16000; maxaveragebitrate=20000; cbr=1; stereo=1;useinbandfec=1;usedtx=1")
	f.Fuzz(func(t *testing.T, fmtp string) {
		p := ParseFMTP(fmtp)
		if p.MaxPlaybackRate < 8000 || p.MaxPlaybackRate > 48000 || p.MaxAverageBitrate != 0 && p.within(p.MaxAverageBitrate) != p.MaxAverageBitrate {
			t.Fatalf("%q: %+v", fmtp, p)
		}
	})
}
