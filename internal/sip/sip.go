// Package sip is the wire format of SIP: messages, headers, URIs, as pure values.
//
// A Message is a view on bytes: the parser finds the lines and the few facts that every element needs (start line,
// CSeq, Content-Length), and everything else is decoded when somebody asks for it. What is not looked at costs nothing
// and survives a round trip byte for byte and in order. A Message that was parsed into a worker's receive buffer is
// valid as long as that buffer; whoever keeps it calls Clone.
//
// New messages are written with a Builder. The package opens no sockets, starts no goroutines, reads no clock and
// keeps no state; transactions, dialogs and routing live above it.
//
// RFC 3261 §7, §19, §20, §25; RFC 3966 (tel), RFC 3581 (rport), RFC 5118 (IPv6), RFC 4475 (torture messages).
package sip

// Limits of a message. They bound the memory and time that one message can cost (RFC 4475 §3.1.1.5 asks for long
// values; 64 KB is also what a UDP datagram can carry).
const (
	MaxMessage = 65535 // bytes of a whole message
	MaxHeaders = 200   // header lines
	MaxLine    = 8192  // bytes of one header line, folds included
)

// span is a part of Message.raw.
type span struct{ off, end uint16 }

func (s span) empty() bool { return s.off == s.end }

func (s span) of(b []byte) []byte { return b[s.off:s.end:s.end] }

// ParseError says why a message, or a part of it, is refused.
type ParseError struct {
	Status int    // the response status that fits: 400, 416, 505, 513 ...
	Reason string // words for the reason phrase and the log; never quotes the message
}

// Error implements error.
func (e *ParseError) Error() string { return "sip: " + e.Reason }

// bad is a table entry rather than a constructor, so that the parser does not allocate for hostile input.
var (
	errTooLarge      = &ParseError{513, "Message Too Large"}
	errLineEnd       = &ParseError{400, "Bad Line Ending"}
	errStartLine     = &ParseError{400, "Bad Start Line"}
	errVersion       = &ParseError{505, "Version Not Supported"}
	errStatus        = &ParseError{400, "Bad Status Code"}
	errHeader        = &ParseError{400, "Bad Header Line"}
	errHeaderLong    = &ParseError{400, "Header Line Too Long"}
	errHeaderCount   = &ParseError{400, "Too Many Headers"}
	errMissing       = &ParseError{400, "Mandatory Header Missing"}
	errDuplicate     = &ParseError{400, "Duplicate Header"}
	errContentLength = &ParseError{400, "Bad Content-Length"}
	errVia           = &ParseError{400, "Bad Via"}
	errCSeq          = &ParseError{400, "Bad CSeq"}
	errCSeqMethod    = &ParseError{400, "CSeq Method Mismatch"}
	errMaxForwards   = &ParseError{400, "Bad Max-Forwards"}
	errCallID        = &ParseError{400, "Bad Call-ID"}
	errAddress       = &ParseError{400, "Bad Address"}
	errParams        = &ParseError{400, "Bad Parameter"}
	errURI           = &ParseError{400, "Bad URI"}
	errScheme        = &ParseError{416, "Unsupported URI Scheme"}
	errNumber        = &ParseError{400, "Number Out Of Range"}
	errDate          = &ParseError{400, "Bad Date"}
)
