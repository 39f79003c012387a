package cause

// FromSIP makes a cause of a final SIP response that a party sent. A 2xx makes a normal end; the Party is Callee for
// refusals, to be changed with By where the caller spoke.
func FromSIP(status int) Cause {
	c := Cause{SIP: status, Q850: ToQ850(status), Party: Callee, Words: sipWords(status)}
	if status < 300 {
		c.Q850 = 16
	}
	return c
}

// FromQ850 makes a cause of a Q.850 value, with the SIP status of RFC 3398 §7.2.4.1.
func FromQ850(value int) Cause {
	status := ToSIP(value)
	return Cause{SIP: status, Q850: value, Party: Callee, Words: q850Words(value)}
}

// ToQ850 is the table of RFC 3398 §8.2.6.1 for a final SIP status. Statuses that the table does not list map to 31
// (normal, unspecified); 2xx to 16; provisional ones to 0.
func ToQ850(status int) int {
	switch status {
	case 401, 402, 403, 407, 603, 607, 608: // RFC 8197 §4, RFC 8688 §4: 607 and 608 are kinds of 603
		return 21 // call rejected
	case 404, 485, 604:
		return 1 // unallocated number
	case 405:
		return 63 // service or option unavailable
	case 406, 415, 501:
		return 79 // service or option not implemented
	case 408, 504:
		return 102 // recovery on timer expiry
	case 410:
		return 22 // number changed
	case 413, 414, 416, 420, 421, 423, 505, 513:
		return 127 // interworking
	case 480:
		return 18 // no user responding
	case 400, 481, 500, 503:
		return 41 // temporary failure
	case 482, 483:
		return 25 // exchange routing error
	case 484:
		return 28 // invalid number format
	case 486, 600:
		return 17 // user busy
	case 487:
		// RFC 3398 §8.2.6.1 has no mapping, because it answers our own CANCEL; what it ends is a normal clearing.
		return 16
	case 502:
		return 38 // network out of order
	}
	switch {
	case status < 200:
		return 0
	case status < 300:
		return 16
	}
	// RFC 3398 §8.2.6.1: codes not listed, and 488 and 606 without a Warning that says more.
	return 31
}

// ToSIP is the table of RFC 3398 §7.2.4.1 for a Q.850 value. 16 maps to 200 because it becomes a BYE or a CANCEL;
// values that the table does not list map to 500, values below 1 to 0.
func ToSIP(value int) int {
	switch value {
	case 1, 2, 3, 26:
		return 404
	case 16:
		return 200
	case 17:
		return 486
	case 18:
		return 408
	case 19, 20, 31:
		return 480
	case 21, 55, 57, 87:
		return 403
	case 22, 23:
		return 410
	case 27:
		return 502
	case 28:
		return 484
	case 29, 79:
		return 501
	case 34, 38, 41, 42, 47, 58, 88:
		return 503
	case 65, 70:
		return 488
	case 102:
		return 504
	}
	if value < 1 {
		return 0
	}
	return 500
}

func sipWords(status int) string {
	switch status {
	case 404, 604, 485:
		return WordsUnknownNumber
	case 401, 402, 403, 407:
		return WordsNotAllowed
	case 408, 504:
		return WordsNoResponse
	case 410:
		return WordsNumberChanged
	case 480:
		return WordsUnreachable
	case 482:
		return WordsLoop
	case 483:
		return WordsTooManyHops
	case 484, 414, 416:
		return WordsInvalidNumber
	case 486, 600:
		return WordsBusy
	case 487:
		return WordsCancelled
	case 488, 606, 415, 406:
		return WordsNotAcceptable
	case 491:
		return WordsRequestPending
	case 405, 420, 421, 501, 505:
		return WordsNotImplemented
	case 502, 503:
		return WordsUnreachable
	case 603, 607, 608:
		return WordsDeclined
	}
	switch {
	case status < 200:
		return ""
	case status < 300:
		return WordsNormal
	case status < 400:
		return WordsRedirected
	}
	return WordsFailed
}

func q850Words(value int) string {
	switch value {
	case 1:
		return WordsUnknownNumber
	case 2, 3:
		return WordsNoRoute
	case 16:
		return WordsNormal
	case 17:
		return WordsBusy
	case 18:
		return WordsNoResponse
	case 19:
		return WordsNoAnswer
	case 20, 27:
		return WordsUnreachable
	case 21:
		return WordsDeclined
	case 22, 23:
		return WordsNumberChanged
	case 25:
		return WordsLoop
	case 26:
		return WordsAnsweredElsewhere
	case 28:
		return WordsInvalidNumber
	case 29, 55, 57, 87:
		return WordsNotAllowed
	case 31:
		return WordsUnspecified
	case 34:
		return WordsNoChannels
	case 38:
		return WordsConnectionLost
	case 42, 47:
		return WordsOverloaded
	case 58, 65, 70, 88:
		return WordsNotAcceptable
	case 63, 69, 79:
		return WordsNotImplemented
	}
	return WordsFailed
}

// Better returns whichever of two refusals tells the caller more: what a person decided before what a device said,
// that before what the network said (after RFC 3261 §16.7 step 6). The first one wins a draw; the zero Cause always
// loses.
func Better(a, b Cause) Cause {
	if rank(b) < rank(a) {
		return b
	}
	return a
}

// rank orders refusals, the best first.
func rank(c Cause) int {
	switch q := c.Q(); {
	case c.IsZero():
		return 100
	case c.IsGlobal():
		return 0 // RFC 3261 §16.7: a 6xx is always the best response
	case c.SIP == 486:
		return 1
	case c.SIP == 403 && q == 21:
		return 2
	case c.SIP == 480 && q == 19:
		return 3
	case c.SIP == 480:
		return 4
	case c.SIP == 408:
		return 5
	case c.SIP == 487:
		return 8 // ended by ourselves: tells the caller nothing
	case c.SIP >= 400 && c.SIP < 500:
		return 6
	case c.SIP >= 300 && c.SIP < 400:
		return 7
	}
	return 9
}
