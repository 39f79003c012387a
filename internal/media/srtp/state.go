package srtp

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// State is what another process needs to go on in place of a Sender or a Receiver. It encodes as JSON, key included:
// where it is kept must be as safe as the key is to be. Printed and logged it shows no key.
type State struct {
	Suite    string        `json:"suite"`
	Key      []byte        `json:"key"` // master key and salt
	Options  Options       `json:"options"`
	Packets  uint64        `json:"packets"` // under this key so far
	Controls uint64        `json:"controls"`
	Sources  []SourceState `json:"sources,omitempty"` // by SSRC
}

// SourceState is where one SSRC stands.
type SourceState struct {
	SSRC           uint32 `json:"ssrc"`
	Started        bool   `json:"started,omitempty"` // there was an RTP packet; the next two mean nothing otherwise
	ROC            uint32 `json:"roc"`
	Sequence       uint16 `json:"sequence"` // the highest, under ROC
	ControlStarted bool   `json:"control_started,omitempty"`
	Control        uint32 `json:"control"` // the highest SRTCP index
}

// controlLeap is how far the SRTCP indexes of a restored Sender jump: the state may be older than the last packets of
// the process before, and an index used twice would lay both packets open.
const controlLeap = 1 << 16

// Format implements fmt.Formatter: no verb shows the key.
func (s State) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// String tells suite and number of sources.
func (s State) String() string { return fmt.Sprintf("%s, %d sources", s.Suite, len(s.Sources)) }

// LogValue implements slog.LogValuer.
func (s State) LogValue() slog.Value { return slog.StringValue(s.String()) }

// State is a copy of where this side stands. Roll-over counters come right as long as fewer than 32768 packets of a
// source passed between State and the restored side's first: eleven minutes at 50 packets a second.
func (k *keyed) State() State {
	st := State{Suite: k.suite.Name, Key: slices.Clone(k.key), Options: k.options, Packets: k.packets, Controls: k.controls}
	st.Options.MKI = slices.Clone(k.options.MKI)
	for _, s := range k.sources {
		st.Sources = append(st.Sources, SourceState{s.ssrc, s.rtp.started, uint32(s.rtp.highest >> 16), uint16(s.rtp.highest),
			s.control.started, uint32(s.control.highest)})
	}
	slices.SortFunc(st.Sources, func(a, b SourceState) int { return cmp.Compare(a.SSRC, b.SSRC) })
	return st
}

// RestoreSender makes a Sender that goes on after a State. The caller goes on with sequence numbers further ahead than the
// process before can have come since.
func RestoreSender(st State) (*Sender, error) {
	k, err := restore(st)
	if err != nil {
		return nil, err
	}
	for _, s := range k.sources {
		if s.control.started {
			s.control.highest = min(s.control.highest+controlLeap, maxControlIndex)
		}
	}
	return &Sender{k}, nil
}

// RestoreReceiver makes a Receiver that goes on after a State: all that is not newer than what the State had seen is
// refused as a replay. Packets that the process before had opened after its last State can be replayed once.
func RestoreReceiver(st State) (*Receiver, error) {
	k, err := restore(st)
	if err != nil {
		return nil, err
	}
	return &Receiver{k}, nil
}

func restore(st State) (keyed, error) {
	suite := Named(st.Suite)
	if suite == nil {
		return keyed{}, fmt.Errorf("restore SRTP: suite %.64q is not known", st.Suite)
	}
	if len(st.Sources) > MaxSources {
		return keyed{}, errors.New("restore SRTP: too many sources")
	}
	k, err := newKeyed(suite, st.Key, st.Options)
	if err != nil {
		return keyed{}, fmt.Errorf("restore SRTP: %w", err)
	}
	k.packets, k.controls = st.Packets, st.Controls
	for _, from := range st.Sources {
		s := k.add(from.SSRC)
		if from.Started {
			s.rtp.resume(uint64(from.ROC)<<16 | uint64(from.Sequence))
		}
		if from.ControlStarted {
			s.control.resume(uint64(from.Control & maxControlIndex))
		}
	}
	return k, nil
}
