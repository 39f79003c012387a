package guard

// scannerNames stand in the User-Agent of programs that look for open exchanges and weak passwords. All lower case.
//
// Interop: real phones have none of them. A scanner that lies about its name is left to the budgets.
var scannerNames = [...]string{
	"friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "sip-scan", "sipscan", "sipcli", "sipbomber",
	"siparmyknife", "sivus", "vaxsipuseragent", "vaxasip", "pplsip", "pbxscanner", "iwar", "nmap", "zmap", "masscan",
}

// IsScanner reports whether a User-Agent value names a well-known scanner.
func IsScanner(userAgent []byte) bool {
	const longest = 128
	if len(userAgent) > longest {
		userAgent = userAgent[:longest]
	}
	var lower [longest]byte
	for i, c := range userAgent {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	text := lower[:len(userAgent)]
	for i, c := range text {
		switch c {
		case 'f', 's', 'v', 'p', 'i', 'n', 'z', 'm':
		default:
			continue
		}
		for _, name := range scannerNames {
			if name[0] == c && len(text)-i >= len(name) && string(text[i:i+len(name)]) == name {
				return true
			}
		}
	}
	return false
}
