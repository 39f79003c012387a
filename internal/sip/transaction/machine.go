package transaction

// The four state machines of RFC 3261 §17 as amended by RFC 6026, as one pure function. What an Action means is carried
// out by the shell in client.go and server.go.

// Kind is one of the four machines.
type Kind uint8

// The machines: RFC 3261 §17.1.1, §17.1.2, §17.2.1, §17.2.2.
const (
	ClientInvite Kind = iota
	ClientOther
	ServerInvite
	ServerOther
)

// State of a machine. Not every machine has every state.
type State uint8

// The states: Calling and Trying are where the machines begin, Accepted is RFC 6026 §7.
const (
	Calling State = iota // client INVITE
	Trying               // the two non-INVITE machines
	Proceeding
	Completed
	Confirmed // server INVITE
	Accepted  // the two INVITE machines, after a 2xx
	Terminated
)

// Event is what can happen to a machine.
type Event uint8

// The events.
const (
	Provisional    Event = iota // client: a 1xx came in; server: the user sends one
	Success                     // 2xx, likewise
	Failure                     // 300-699, likewise
	Request                     // server: the request came again
	Ack                         // server INVITE: ACK for a final response other than 2xx
	Acknowledged                // server INVITE: the user has seen the ACK for its 2xx
	RetransmitTime              // timer A, E or G has fired
	LifetimeTime                // timer B, D, F, H, I, J, K, L or M has fired
	SendFailed                  // the transport refused the message
)

// Action is a set of things to do, in the order of the constants.
type Action uint16

// The actions.
const (
	Send          Action = 1 << iota // send the message at hand: the user's response
	Resend                           // send the stored request or response again
	SendAck                          // client INVITE: ACK for a final response other than 2xx
	Deliver                          // hand the response to the user
	StartRetry                       // (re)start the retransmission timer: T1, doubled with each firing
	StopRetry                        //
	SlowRetry                        // client non-INVITE: from now on retransmit each T2
	StartLife                        // start the timer that ends the state (lifetime tells how long)
	StopLife                         //
	ReportTimeout                    // tell the user that nobody answered, or that nobody acknowledged
	ReportFailure                    // tell the user that the transport failed
	End                              // forget the transaction
)

// Step is the whole of RFC 3261 §17 and RFC 6026: the next state and what to do. An event that means nothing in a
// state changes nothing.
func Step(k Kind, s State, e Event, reliable bool) (State, Action) {
	switch k {
	case ClientInvite:
		return stepClientInvite(s, e, reliable)
	case ClientOther:
		return stepClientOther(s, e, reliable)
	case ServerInvite:
		return stepServerInvite(s, e, reliable)
	}
	return stepServerOther(s, e, reliable)
}

// stepClientInvite is figure 5 of RFC 3261 as redrawn in RFC 6026 §8.4.
func stepClientInvite(s State, e Event, reliable bool) (State, Action) {
	switch s {
	case Calling, Proceeding:
		switch e {
		case Provisional:
			// §17.1.1.2: a provisional response stops the retransmissions; timer B ends with the Calling state.
			return Proceeding, Deliver | StopRetry | StopLife
		case Success:
			return Accepted, Deliver | StopRetry | StartLife // RFC 6026 §8.4: timer M
		case Failure:
			if reliable {
				return Terminated, SendAck | Deliver | End // timer D is zero
			}
			return Completed, SendAck | Deliver | StopRetry | StartLife // timer D
		case RetransmitTime:
			if s == Calling && !reliable {
				return Calling, Resend | StartRetry // timer A
			}
		case LifetimeTime:
			return Terminated, ReportTimeout | End // timer B; in Proceeding the time that a CANCEL leaves
		case SendFailed:
			return Terminated, ReportFailure | End
		}
	case Completed:
		switch e {
		case Failure:
			return Completed, SendAck // §17.1.1.2: the response came again, so our ACK was lost
		case LifetimeTime:
			return Terminated, End // timer D
		case SendFailed:
			return Terminated, ReportFailure | End
		}
	case Accepted:
		switch e {
		case Success:
			return Accepted, Deliver // RFC 6026 §7.2: retransmitted or forked 2xx reach the user, who sends ACK
		case LifetimeTime:
			return Terminated, End // timer M
		}
	}
	return s, 0
}

// stepClientOther is figure 6 of RFC 3261.
func stepClientOther(s State, e Event, reliable bool) (State, Action) {
	switch s {
	case Trying, Proceeding:
		switch e {
		case Provisional:
			if s == Trying {
				return Proceeding, Deliver | SlowRetry // §17.1.2.2: timer E is T2 from now on; timer F runs on
			}
			return Proceeding, Deliver
		case Success, Failure:
			if reliable {
				return Terminated, Deliver | End // timer K is zero
			}
			return Completed, Deliver | StopRetry | StartLife // timer K
		case RetransmitTime:
			if !reliable {
				return s, Resend | StartRetry // timer E
			}
		case LifetimeTime:
			return Terminated, ReportTimeout | End // timer F
		case SendFailed:
			return Terminated, ReportFailure | End
		}
	case Completed:
		if e == LifetimeTime {
			return Terminated, End // timer K
		}
	}
	return s, 0
}

// stepServerInvite is figure 7 of RFC 3261 as redrawn in RFC 6026 §8.3. One thing of the UAS core lives here as well,
// because the timers do: in Accepted the 2xx is sent again until the user has seen its ACK (RFC 3261 §13.3.1.4).
func stepServerInvite(s State, e Event, reliable bool) (State, Action) {
	switch s {
	case Proceeding:
		switch e {
		case Request:
			return Proceeding, Resend // the last provisional response
		case Provisional:
			return Proceeding, Send
		case Success:
			return Accepted, Send | StartRetry | StartLife // timer L
		case Failure:
			if reliable {
				return Completed, Send | StartLife // timer H
			}
			return Completed, Send | StartRetry | StartLife // timers G and H
		case LifetimeTime:
			return Terminated, End // no answer was ever given
		case SendFailed:
			return Terminated, ReportFailure | End
		}
	case Completed:
		switch e {
		case Request:
			return Completed, Resend
		case RetransmitTime:
			return Completed, Resend | StartRetry // timer G
		case Ack:
			if reliable {
				return Terminated, StopRetry | End // timer I is zero
			}
			return Confirmed, StopRetry | StartLife // timer I
		case LifetimeTime:
			return Terminated, End // timer H: nothing that a user could do about a lost ACK for a refusal
		case SendFailed:
			return Terminated, End
		}
	case Confirmed:
		if e == LifetimeTime {
			return Terminated, End // timer I
		}
	case Accepted:
		switch e {
		case Success:
			return Accepted, Send // another 2xx of a forking user (RFC 6026 §7.1)
		case RetransmitTime:
			return Accepted, Resend | StartRetry // RFC 3261 §13.3.1.4, on reliable transports too
		case Acknowledged:
			return Accepted, StopRetry
		case LifetimeTime:
			return Terminated, ReportTimeout | End // timer L; the shell reports only when no ACK was seen
		case SendFailed:
			return Accepted, 0 // the next retransmission may get through
		}
		// Request: RFC 6026 §7.1: the INVITE came again: absorbed.
	}
	return s, 0
}

// stepServerOther is figure 8 of RFC 3261.
func stepServerOther(s State, e Event, reliable bool) (State, Action) {
	switch s {
	case Trying, Proceeding:
		switch e {
		case Request:
			if s == Proceeding {
				return Proceeding, Resend
			}
		case Provisional:
			return Proceeding, Send
		case Success, Failure:
			if reliable {
				return Terminated, Send | End // timer J is zero
			}
			return Completed, Send | StartLife // timer J
		case LifetimeTime:
			return Terminated, End // no answer was ever given: RFC 4320 §4.2 wants no 408
		case SendFailed:
			return Terminated, ReportFailure | End
		}
	case Completed:
		switch e {
		case Request:
			return Completed, Resend
		case LifetimeTime:
			return Terminated, End // timer J
		case SendFailed:
			return Terminated, End
		}
	}
	return s, 0
}
