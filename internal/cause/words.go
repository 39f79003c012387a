package cause

// The words of every cause, in one place: they are stable (call records, metrics labels, translations are keyed by
// them) and lower case.
const (
	WordsNormal            = "normal"
	WordsBusy              = "busy"
	WordsNoAnswer          = "no answer"
	WordsDeclined          = "declined"
	WordsUnreachable       = "unreachable"
	WordsNoResponse        = "no response"
	WordsUnknownNumber     = "unknown number"
	WordsInvalidNumber     = "invalid number"
	WordsNumberChanged     = "number changed"
	WordsNoRoute           = "no route"
	WordsNotAllowed        = "not allowed"
	WordsCancelled         = "cancelled"
	WordsAnsweredElsewhere = "answered elsewhere"
	WordsNoChannels        = "no channels"
	WordsLineInUse         = "line in use"
	WordsMediaTimeout      = "media timeout"
	WordsSessionExpired    = "session expired"
	WordsMaxDuration       = "maximum duration"
	WordsTooManyHops       = "too many hops"
	WordsLoop              = "loop"
	WordsRecovered         = "recovered"
	WordsDraining          = "draining"
	WordsOverloaded        = "overloaded"
	WordsNotAcceptable     = "not acceptable"
	WordsRequestPending    = "request pending"
	WordsRedirected        = "redirected"
	WordsConnectionLost    = "connection lost"
	WordsNoAck             = "not acknowledged"
	WordsNotImplemented    = "not implemented"
	WordsFailed            = "failed"
	WordsUnspecified       = "unspecified"
)

// Normal is the end of an answered call by hanging up.
func Normal(by Party) Cause { return Cause{200, 16, by, WordsNormal} }

// Busy: the called party, or its line's last free channel, is taken.
func Busy() Cause { return Cause{486, 17, Callee, WordsBusy} }

// NoAnswer: it rang until the time was over. RFC 3398 §7.2.4.1 gives 480 for Q.850 19; 408 is kept for a target that
// sent no response at all.
func NoAnswer() Cause { return Cause{480, 19, Callee, WordsNoAnswer} }

// Declined: a person refused the call, for all of their devices.
func Declined() Cause { return Cause{603, 21, Callee, WordsDeclined} }

// Unreachable: no device of the called line is registered, or none can be reached.
func Unreachable() Cause { return Cause{480, 20, Callee, WordsUnreachable} }

// NoResponse: the target sent no final response in time.
func NoResponse() Cause { return Cause{408, 18, Callee, WordsNoResponse} }

// UnknownNumber: nothing in the dial plan has the dialled number.
func UnknownNumber() Cause { return Cause{404, 1, System, WordsUnknownNumber} }

// InvalidNumber: the number is incomplete or malformed.
func InvalidNumber() Cause { return Cause{484, 28, System, WordsInvalidNumber} }

// NoRoute: the number is understood, but there is no way to it.
func NoRoute() Cause { return Cause{404, 3, System, WordsNoRoute} }

// NotAllowed: the caller may not do this.
func NotAllowed() Cause { return Cause{403, 21, System, WordsNotAllowed} }

// Cancelled: the caller gave up before the answer.
func Cancelled() Cause { return Cause{487, 16, Caller, WordsCancelled} }

// AnsweredElsewhere ends the other forks when one has answered (RFC 3326 §3.1).
func AnsweredElsewhere() Cause { return Cause{200, 26, System, WordsAnsweredElsewhere} }

// NoChannels: every channel of a trunk is taken.
func NoChannels() Cause { return Cause{503, 34, System, WordsNoChannels} }

// LineInUse: the calling line has no channel left for a further outbound call.
func LineInUse() Cause { return Cause{403, 34, System, WordsLineInUse} }

// MediaTimeout: neither RTP nor RTCP was seen for the media timeout.
func MediaTimeout() Cause { return Cause{408, 102, System, WordsMediaTimeout} }

// SessionExpired: the party did not refresh the session (RFC 4028 §10).
func SessionExpired() Cause { return Cause{408, 102, System, WordsSessionExpired} }

// MaxDuration: the call reached the longest duration that is allowed.
func MaxDuration() Cause { return Cause{200, 31, System, WordsMaxDuration} }

// TooManyHops: Max-Forwards was used up.
func TooManyHops() Cause { return Cause{483, 25, System, WordsTooManyHops} }

// Loop: the call came back to where it had been, or grew too many legs.
func Loop() Cause { return Cause{482, 25, System, WordsLoop} }

// Recovered is the end of a call that was cut by a crash and found in the journal.
func Recovered() Cause { return Cause{500, 41, System, WordsRecovered} }

// Draining: the server is stopping; it takes no new calls and ends the running ones when its patience is over.
func Draining() Cause { return Cause{503, 41, System, WordsDraining} }

// Overloaded: the server has no resources left for the call (ports, memory, processor).
func Overloaded() Cause { return Cause{503, 42, System, WordsOverloaded} }

// NotAcceptable: the parties have no media in common.
func NotAcceptable() Cause { return Cause{488, 65, System, WordsNotAcceptable} }

// RequestPending refuses a change of the media while another one is under way (RFC 3261 §14.2).
func RequestPending() Cause { return Cause{491, 0, System, WordsRequestPending} }

// ConnectionLost: the signalling path to the party is gone.
func ConnectionLost() Cause { return Cause{503, 38, System, WordsConnectionLost} }

// NotAcknowledged is an answer whose ACK never came, or a provisional response without its PRACK.
func NotAcknowledged() Cause { return Cause{408, 102, System, WordsNoAck} }

// Failed: a fault of our own.
func Failed() Cause { return Cause{500, 41, System, WordsFailed} }
