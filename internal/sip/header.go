package sip

// HeaderID is a header field that this program knows by number; HUnknown is any other.
type HeaderID uint8

// The known header fields: RFC 3261 §20 and the extensions that the roles of this server need.
const (
	HUnknown HeaderID = iota
	HVia
	HFrom
	HTo
	HCallID
	HCSeq
	HMaxForwards
	HContact
	HRoute
	HRecordRoute
	HContentLength
	HContentType
	HExpires
	HAuthorization
	HProxyAuthorization
	HWWWAuthenticate
	HProxyAuthenticate
	HRequire
	HProxyRequire
	HSupported
	HUnsupported
	HAllow
	HEvent
	HAllowEvents
	HReason
	HSubject
	HReferTo
	HReferredBy
	HReplaces
	HJoin
	HSessionExpires
	HMinSE
	HRSeq
	HRAck
	HPath
	HServiceRoute
	HMinExpires
	HRetryAfter
	HContentEncoding
	HContentDisposition
	HContentLanguage
	HMIMEVersion
	HAccept
	HAcceptEncoding
	HAcceptLanguage
	HAcceptContact
	HRejectContact
	HRequestDisposition
	HUserAgent
	HServer
	HDate
	HTimestamp
	HWarning
	HPriority
	HOrganization
	HInReplyTo
	HAlertInfo
	HCallInfo
	HErrorInfo
	HReplyTo
	HAuthenticationInfo
	HSubscriptionState
	HPrivacy
	HPAssertedIdentity
	HPPreferredIdentity
	HDiversion
	HHistoryInfo
	HGeolocation
	HIdentity
	HMaxBreadth
	HFlowTimer
	HSIPETag
	HSIPIfMatch
	HInfoPackage
	HRecvInfo
	HSessionID
	HPAccessNetworkInfo
	HPEarlyMedia
	HUsertoUser
	HAnswerMode
	HReferSub
	HTargetDialog
	HGeolocationRouting
	HGeolocationError
	HResourcePriority
	headerCount
)

// headerNames are the names as they are printed.
var headerNames = [headerCount]string{
	HVia:                "Via",
	HFrom:               "From",
	HTo:                 "To",
	HCallID:             "Call-ID",
	HCSeq:               "CSeq",
	HMaxForwards:        "Max-Forwards",
	HContact:            "Contact",
	HRoute:              "Route",
	HRecordRoute:        "Record-Route",
	HContentLength:      "Content-Length",
	HContentType:        "Content-Type",
	HExpires:            "Expires",
	HAuthorization:      "Authorization",
	HProxyAuthorization: "Proxy-Authorization",
	HWWWAuthenticate:    "WWW-Authenticate",
	HProxyAuthenticate:  "Proxy-Authenticate",
	HRequire:            "Require",
	HProxyRequire:       "Proxy-Require",
	HSupported:          "Supported",
	HUnsupported:        "Unsupported",
	HAllow:              "Allow",
	HEvent:              "Event",
	HAllowEvents:        "Allow-Events",
	HReason:             "Reason",
	HSubject:            "Subject",
	HReferTo:            "Refer-To",
	HReferredBy:         "Referred-By",
	HReplaces:           "Replaces",
	HJoin:               "Join",
	HSessionExpires:     "Session-Expires",
	HMinSE:              "Min-SE",
	HRSeq:               "RSeq",
	HRAck:               "RAck",
	HPath:               "Path",
	HServiceRoute:       "Service-Route",
	HMinExpires:         "Min-Expires",
	HRetryAfter:         "Retry-After",
	HContentEncoding:    "Content-Encoding",
	HContentDisposition: "Content-Disposition",
	HContentLanguage:    "Content-Language",
	HMIMEVersion:        "MIME-Version",
	HAccept:             "Accept",
	HAcceptEncoding:     "Accept-Encoding",
	HAcceptLanguage:     "Accept-Language",
	HAcceptContact:      "Accept-Contact",
	HRejectContact:      "Reject-Contact",
	HRequestDisposition: "Request-Disposition",
	HUserAgent:          "User-Agent",
	HServer:             "Server",
	HDate:               "Date",
	HTimestamp:          "Timestamp",
	HWarning:            "Warning",
	HPriority:           "Priority",
	HOrganization:       "Organization",
	HInReplyTo:          "In-Reply-To",
	HAlertInfo:          "Alert-Info",
	HCallInfo:           "Call-Info",
	HErrorInfo:          "Error-Info",
	HReplyTo:            "Reply-To",
	HAuthenticationInfo: "Authentication-Info",
	HSubscriptionState:  "Subscription-State",
	HPrivacy:            "Privacy",
	HPAssertedIdentity:  "P-Asserted-Identity",
	HPPreferredIdentity: "P-Preferred-Identity",
	HDiversion:          "Diversion",
	HHistoryInfo:        "History-Info",
	HGeolocation:        "Geolocation",
	HIdentity:           "Identity",
	HMaxBreadth:         "Max-Breadth",
	HFlowTimer:          "Flow-Timer",
	HSIPETag:            "SIP-ETag",
	HSIPIfMatch:         "SIP-If-Match",
	HInfoPackage:        "Info-Package",
	HRecvInfo:           "Recv-Info",
	HSessionID:          "Session-ID",
	HPAccessNetworkInfo: "P-Access-Network-Info",
	HPEarlyMedia:        "P-Early-Media",
	HUsertoUser:         "User-to-User",
	HAnswerMode:         "Answer-Mode",
	HReferSub:           "Refer-Sub",
	HTargetDialog:       "Target-Dialog",
	HGeolocationRouting: "Geolocation-Routing",
	HGeolocationError:   "Geolocation-Error",
	HResourcePriority:   "Resource-Priority",
}

// compactForm tells a header by its one-letter name (RFC 3261 §7.3.3 and the RFCs of the extensions).
func compactForm(c byte) HeaderID {
	switch c | 0x20 {
	case 'a':
		return HAcceptContact
	case 'b':
		return HReferredBy
	case 'c':
		return HContentType
	case 'd':
		return HRequestDisposition
	case 'e':
		return HContentEncoding
	case 'f':
		return HFrom
	case 'i':
		return HCallID
	case 'j':
		return HRejectContact
	case 'k':
		return HSupported
	case 'l':
		return HContentLength
	case 'm':
		return HContact
	case 'o':
		return HEvent
	case 'r':
		return HReferTo
	case 's':
		return HSubject
	case 't':
		return HTo
	case 'u':
		return HAllowEvents
	case 'v':
		return HVia
	case 'x':
		return HSessionExpires
	case 'y':
		return HIdentity
	}
	return HUnknown
}

// String is the name as it is printed; empty for HUnknown.
func (h HeaderID) String() string {
	if h < headerCount {
		return headerNames[h]
	}
	return ""
}

// headerOf finds the header of a name, compact forms included, whatever its case.
func headerOf(name []byte) HeaderID {
	if len(name) == 1 {
		return compactForm(name[0])
	}
	for _, id := range headerBuckets[headerHash(len(name), name[0], name[len(name)-1])] {
		if id == HUnknown {
			break
		}
		if equalFold(name, headerNames[id]) {
			return id
		}
	}
	return HUnknown
}

// HeaderByName finds the header of a name (long or compact, any case); HUnknown when it has no number here.
func HeaderByName(name string) HeaderID {
	if name == "" {
		return HUnknown
	}
	return headerOf([]byte(name))
}

const headerBucketSize = 4

// headerBuckets spreads the names over a small table by length, first and last letter; a bucket ends with HUnknown.
var headerBuckets = makeHeaderBuckets()

func headerHash(n int, first, last byte) uint8 {
	return uint8(n)*7 ^ (first|0x20)*31 ^ (last|0x20)*17
}

func makeHeaderBuckets() (t [256][headerBucketSize]HeaderID) {
	for id := HUnknown + 1; id < headerCount; id++ {
		n := headerNames[id]
		b := &t[headerHash(len(n), n[0], n[len(n)-1])]
		i := 0
		for b[i] != HUnknown {
			i++ // a fifth name in one bucket would panic here at start, and in every test
		}
		b[i] = id
	}
	return t
}
