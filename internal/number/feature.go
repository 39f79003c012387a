package number

import "strings"

// Feature is what a feature code asks for.
type Feature string

// The features that have a default code.
const (
	MyVoicemail           Feature = "my voicemail"
	AnyVoicemail          Feature = "any voicemail"
	LeaveVoicemail        Feature = "leave voicemail"
	ForwardAlwaysOn       Feature = "forward always on"
	ForwardAlwaysOff      Feature = "forward always off"
	ForwardBusyOn         Feature = "forward busy on"
	ForwardBusyOff        Feature = "forward busy off"
	ForwardNoAnswerOn     Feature = "forward no answer on"
	ForwardNoAnswerOff    Feature = "forward no answer off"
	ForwardUnreachableOn  Feature = "forward unreachable on"
	ForwardUnreachableOff Feature = "forward unreachable off"
	DoNotDisturbOn        Feature = "do not disturb on"
	DoNotDisturbOff       Feature = "do not disturb off"
	GroupPickup           Feature = "group pickup"
	DirectedPickup        Feature = "directed pickup"
	Listen                Feature = "listen"
	Whisper               Feature = "whisper"
	Barge                 Feature = "barge"
	Intercom              Feature = "intercom"
	Page                  Feature = "page"
	AgentLogin            Feature = "agent login"
	AgentPause            Feature = "agent pause"
	CallBack              Feature = "call back"
	BlacklistAdd          Feature = "blacklist add"
	BlacklistRemove       Feature = "blacklist remove"
	BlacklistLast         Feature = "blacklist last caller"
	LastCaller            Feature = "last caller"
	Redial                Feature = "redial"
	Echo                  Feature = "echo test"
	Time                  Feature = "time"
	MyNumber              Feature = "my number"
	Music                 Feature = "music"
)

// Code is one feature code: the digits and, where Argument is set, a number that follows them ("*99" and "101").
type Code struct {
	Digits   string
	Feature  Feature
	Argument bool // a number may follow
	Required bool // a number must follow
}

// DefaultCodes are the feature codes of a fresh tenant.
func DefaultCodes() []Code { return append([]Code(nil), defaultCodes[:]...) }

var defaultCodes = [...]Code{
	{"*97", MyVoicemail, false, false}, {"*98", AnyVoicemail, true, false}, {"*99", LeaveVoicemail, true, true},
	{"*72", ForwardAlwaysOn, true, true}, {"*73", ForwardAlwaysOff, false, false},
	{"*90", ForwardBusyOn, true, true}, {"*91", ForwardBusyOff, false, false},
	{"*52", ForwardNoAnswerOn, true, true}, {"*53", ForwardNoAnswerOff, false, false},
	{"*54", ForwardUnreachableOn, true, true}, {"*55", ForwardUnreachableOff, false, false},
	{"*78", DoNotDisturbOn, false, false}, {"*79", DoNotDisturbOff, false, false},
	{"*8", GroupPickup, false, false}, {"**", DirectedPickup, true, true},
	{"*61", Listen, true, true}, {"*62", Whisper, true, true}, {"*63", Barge, true, true},
	{"*80", Intercom, true, true}, {"*81", Page, true, false},
	{"*45", AgentLogin, false, false}, {"*46", AgentPause, false, false}, {"*38", CallBack, true, false},
	{"*30", BlacklistAdd, true, true}, {"*31", BlacklistRemove, true, true}, {"*32", BlacklistLast, false, false},
	{"*69", LastCaller, false, false}, {"*66", Redial, false, false},
	{"*43", Echo, false, false}, {"*60", Time, false, false}, {"*65", MyNumber, false, false}, {"*9664", Music, false, false},
}

// IsFeatureLike reports whether a normalised number has the form of a feature code.
func IsFeatureLike(dialled string) bool {
	return strings.HasPrefix(dialled, "*") || strings.HasPrefix(dialled, "#")
}

// MatchFeature finds the default feature code of a normalised number. Codes are matched whole: "*43" is the echo test,
// "*431" is nothing. Where a number follows, the longest code wins and argument is the rest.
func MatchFeature(dialled string) (f Feature, argument string, ok bool) {
	best := -1
	for i, c := range defaultCodes {
		rest, has := strings.CutPrefix(dialled, c.Digits)
		if !has || rest != "" && !c.Argument || rest == "" && c.Required || IsFeatureLike(rest) {
			continue
		}
		if best < 0 || len(c.Digits) > len(defaultCodes[best].Digits) {
			best, f, argument = i, c.Feature, rest
		}
	}
	return f, argument, best >= 0
}
