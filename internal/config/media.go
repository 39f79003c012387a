package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Recording is the [recording] section.
type Recording struct {
	Keep    Age    `toml:"keep"`    // how long recordings are kept; 0 is for ever
	Format  string `toml:"format"`  // one of the names below
	Encrypt bool   `toml:"encrypt"` // at rest, with the key of the data directory
	Dir     string `toml:"dir"`     // "" is recordings below the data directory
	Beep    Age    `toml:"beep"`    // how often both parties hear that they are recorded; 0 is never
}

// The formats of recordings.
const (
	WAVALaw = "wav-alaw" // one megabyte a minute
	WAVPCM  = "wav-pcm"  // four
	Opus    = "opus"     // a third of one
)

// Music is the [music] section.
type Music struct {
	Hold bool   `toml:"hold"` // played to whoever is held
	Dir  string `toml:"dir"`  // whose sound files are played; "" is a piece of our own
}

// Age is a length of time that may also be written in days ("90d").
type Age struct{ time.Duration }

// UnmarshalText reads an age that is not negative.
func (a *Age) UnmarshalText(text []byte) error {
	days, isDays := strings.CutSuffix(string(text), "d")
	if !isDays {
		var d Duration
		if err := d.UnmarshalText(text); err != nil {
			return fmt.Errorf("%q is not a duration like \"90d\" or \"12h\"", text)
		}
		a.Duration = d.Duration
		return nil
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return fmt.Errorf("%q is not a number of days", text)
	}
	a.Duration = time.Duration(n) * 24 * time.Hour
	return nil
}

// shortestBeep leaves something to be said between two beeps.
const shortestBeep = 2 * time.Second

func (r *Recording) check(fault func(key, format string, args ...any)) {
	switch r.Format {
	case WAVALaw, WAVPCM, Opus:
	default:
		fault("recording.format", "%q is none of wav-alaw, wav-pcm, opus", r.Format)
	}
	if r.Beep.Duration > 0 && r.Beep.Duration < shortestBeep {
		fault("recording.beep", "%s is less than %s", r.Beep, shortestBeep)
	}
}
