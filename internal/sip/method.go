package sip

// Method is a request method that this program knows by number. A method it does not know is Other; its name is in
// Message.MethodName.
type Method uint8

// The methods of RFC 3261 and its extensions.
const (
	Other Method = iota
	INVITE
	ACK
	BYE
	CANCEL
	OPTIONS
	REGISTER
	SUBSCRIBE // RFC 6665
	NOTIFY    // RFC 6665
	REFER     // RFC 3515
	INFO      // RFC 6086
	MESSAGE   // RFC 3428
	PRACK     // RFC 3262
	UPDATE    // RFC 3311
	PUBLISH   // RFC 3903
)

var methodNames = [...]string{Other: "", INVITE: "INVITE", ACK: "ACK", BYE: "BYE", CANCEL: "CANCEL", OPTIONS: "OPTIONS",
	REGISTER: "REGISTER", SUBSCRIBE: "SUBSCRIBE", NOTIFY: "NOTIFY", REFER: "REFER", INFO: "INFO", MESSAGE: "MESSAGE",
	PRACK: "PRACK", UPDATE: "UPDATE", PUBLISH: "PUBLISH"}

// String is the method's name; empty for Other.
func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return ""
}

// methodOf tells a method by its name. RFC 3261 §7.1: methods are case-sensitive.
func methodOf(b []byte) Method {
	switch string(b) {
	case "INVITE":
		return INVITE
	case "ACK":
		return ACK
	case "BYE":
		return BYE
	case "CANCEL":
		return CANCEL
	case "OPTIONS":
		return OPTIONS
	case "REGISTER":
		return REGISTER
	case "SUBSCRIBE":
		return SUBSCRIBE
	case "NOTIFY":
		return NOTIFY
	case "REFER":
		return REFER
	case "INFO":
		return INFO
	case "MESSAGE":
		return MESSAGE
	case "PRACK":
		return PRACK
	case "UPDATE":
		return UPDATE
	case "PUBLISH":
		return PUBLISH
	}
	return Other
}
