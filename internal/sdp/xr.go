package sdp

import (
	"math"
	"strconv"
	"strings"
)

// ExtendedReports are the report blocks that a stream may or shall have in its RTCP: the value of a=rtcp-xr, RFC 3611 §5.1.
// The zero value is an attribute without parameters: no blocks are to be sent.
type ExtendedReports struct {
	LossRuns      XRBlock       // pkt-loss-rle
	DuplicateRuns XRBlock       // pkt-dup-rle
	ReceiptTimes  XRBlock       // pkt-rcpt-times
	RoundTrip     RoundTripMode // rcvr-rtt: reference times and their answers
	RoundTripSize int           // octets of a DLRR block at most; 0 says nothing
	Summary       XRSummary     // stat-summary
	VoIPMetrics   bool          // voip-metrics
	Other         []string      // parameters that RFC 3611 does not have, as written
}

// XRBlock is a block that may be limited in size.
type XRBlock struct {
	Wanted  bool
	MaxSize int // octets of the whole block; 0 says nothing
}

// RoundTripMode says who answers reference times.
type RoundTripMode string

// The modes of rcvr-rtt.
const (
	RoundTripNone   RoundTripMode = ""
	RoundTripAll    RoundTripMode = "all"
	RoundTripSender RoundTripMode = "sender" // only who sends RTP
)

// XRSummary says what the statistics summary is to hold.
type XRSummary struct {
	Wanted                   bool
	Loss, Duplicates, Jitter bool
	TTL, HopLimit            bool // not both
}

// ExtendedReports are those of stream i; ok is false when neither the stream nor the session says anything.
//
// RFC 3611 §5.1: "Any media level specification MUST replace a session level specification".
func (d *Description) ExtendedReports(i int) (x ExtendedReports, ok bool) {
	value, ok := d.Media[i].Attribute("rtcp-xr")
	if !ok {
		value, ok = d.Attribute("rtcp-xr")
	}
	if !ok {
		return ExtendedReports{}, false
	}
	return ParseExtendedReports(value), true
}

// Clone is a copy that does not share memory with the description.
func (x ExtendedReports) Clone() ExtendedReports {
	other := make([]string, len(x.Other))
	for i, text := range x.Other {
		other[i] = strings.Clone(text)
	}
	if x.Other = other; len(other) == 0 {
		x.Other = nil
	}
	return x
}

// SetExtendedReports puts the attribute into the stream.
func (m *Media) SetExtendedReports(x ExtendedReports) { m.SetAttribute("rtcp-xr", x.String()) }

// mostOther is how many unknown parameters are kept.
const mostOther = 32

// ParseExtendedReports reads the value of a=rtcp-xr. What is no known parameter, or is malformed, is kept as one that
// RFC 3611 does not have: every string without white space may be one (format-ext). Of a parameter given twice, the last
// counts.
func ParseExtendedReports(value string) ExtendedReports {
	var x ExtendedReports
	for rest := value; rest != ""; {
		var field string
		if field, rest = cutField(rest); field == "" {
			continue
		}
		if !x.parse(field) && len(x.Other) < mostOther {
			x.Other = append(x.Other, field)
		}
	}
	return x
}

func (x *ExtendedReports) parse(field string) bool {
	name, value, given := strings.Cut(field, "=")
	switch name {
	case "pkt-loss-rle":
		return x.LossRuns.parse(value, given)
	case "pkt-dup-rle":
		return x.DuplicateRuns.parse(value, given)
	case "pkt-rcpt-times":
		return x.ReceiptTimes.parse(value, given)
	case "rcvr-rtt":
		mode, text, limited := strings.Cut(value, ":")
		size, ok := 0, true
		if limited {
			size, ok = parseSize(text)
		}
		if ok = ok && (mode == string(RoundTripAll) || mode == string(RoundTripSender)); ok {
			x.RoundTrip, x.RoundTripSize = RoundTripMode(mode), size
		}
		return ok
	case "stat-summary":
		return x.Summary.parse(value, given)
	case "voip-metrics":
		x.VoIPMetrics = x.VoIPMetrics || !given
		return !given
	}
	return false
}

func (b *XRBlock) parse(value string, given bool) bool {
	size, ok := 0, true
	if given {
		size, ok = parseSize(value)
	}
	if ok {
		*b = XRBlock{Wanted: true, MaxSize: size}
	}
	return ok
}

// parseSize reads max-size, 1*DIGIT; more than 32 bits hold is as much as they do.
func parseSize(text string) (size int, ok bool) {
	for i := 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		size = min(size*10+int(text[i]-'0'), math.MaxInt32)
	}
	return size, text != ""
}

func (s *XRSummary) parse(value string, given bool) bool {
	parsed := XRSummary{Wanted: true}
	for rest := value; given; {
		var flag string
		flag, rest, given = strings.Cut(rest, ",")
		switch flag {
		case "loss":
			parsed.Loss = true
		case "dup":
			parsed.Duplicates = true
		case "jitt":
			parsed.Jitter = true
		case "TTL":
			parsed.TTL = true
		case "HL":
			parsed.HopLimit = true
		default:
			return false
		}
	}
	// RFC 3611 §5.1: "The indicators "TTL" and "HL" MUST NOT be signaled together."
	if parsed.TTL && parsed.HopLimit {
		return false
	}
	*s = parsed
	return true
}

// String is the value of the attribute; "" for one without parameters.
func (x ExtendedReports) String() string {
	var fields []string
	for _, b := range []struct {
		name string
		XRBlock
	}{{"pkt-loss-rle", x.LossRuns}, {"pkt-dup-rle", x.DuplicateRuns}, {"pkt-rcpt-times", x.ReceiptTimes}} {
		if b.Wanted {
			fields = append(fields, b.name+sized("=", b.MaxSize))
		}
	}
	if x.RoundTrip != RoundTripNone {
		fields = append(fields, "rcvr-rtt="+string(x.RoundTrip)+sized(":", x.RoundTripSize))
	}
	if x.Summary.Wanted {
		fields = append(fields, "stat-summary"+x.Summary.flags())
	}
	if x.VoIPMetrics {
		fields = append(fields, "voip-metrics")
	}
	return strings.Join(append(fields, x.Other...), " ")
}

func sized(sign string, size int) string {
	if size <= 0 {
		return ""
	}
	return sign + strconv.Itoa(size)
}

func (s XRSummary) flags() string {
	text := ""
	for _, f := range []struct {
		name string
		set  bool
	}{{"loss", s.Loss}, {"dup", s.Duplicates}, {"jitt", s.Jitter}, {"TTL", s.TTL}, {"HL", s.HopLimit && !s.TTL}} {
		switch {
		case !f.set:
		case text == "":
			text = "=" + f.name
		default:
			text += "," + f.name
		}
	}
	return text
}

// AnswerTo is what an end that can do x answers to an offer: the blocks of both. The offer's size limits are its own
// business; they hold for what is sent to it.
//
// RFC 3611 §5.2: of a unilateral parameter in an offer "the answerer SHOULD send the corresponding XR blocks", and asks for
// its own by its answer; a collaborative one "declares the offerer capable of" answering. An attribute without parameters
// says that this end understands it and wants nothing.
func (x ExtendedReports) AnswerTo(offer ExtendedReports) ExtendedReports {
	both := func(mine, theirs XRBlock) XRBlock {
		if !theirs.Wanted {
			return XRBlock{}
		}
		return mine
	}
	answer := ExtendedReports{
		LossRuns:      both(x.LossRuns, offer.LossRuns),
		DuplicateRuns: both(x.DuplicateRuns, offer.DuplicateRuns),
		ReceiptTimes:  both(x.ReceiptTimes, offer.ReceiptTimes),
		VoIPMetrics:   x.VoIPMetrics && offer.VoIPMetrics,
	}
	if offer.RoundTrip != RoundTripNone {
		answer.RoundTrip, answer.RoundTripSize = x.RoundTrip, x.RoundTripSize
	}
	if offer.Summary.Wanted {
		answer.Summary = x.Summary
	}
	return answer
}
