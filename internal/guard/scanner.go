package guard

// scannersFrom are the names that begin with a letter of those programs that look for open exchanges and weak passwords,
// as they stand in a User-Agent, in lower case.
//
// Interop: real phones have none of them. A scanner that lies about its name is left to the budgets.
func scannersFrom(letter byte) []string {
	switch letter {
	case 'f':
		return []string{"friendly-scanner", "friendly-request"}
	case 'i':
		return []string{"iwar"}
	case 'm':
		return []string{"masscan"}
	case 'n':
		return []string{"nmap"}
	case 'p':
		return []string{"pplsip", "pbxscanner"}
	case 's':
		return []string{"sipvicious", "sundayddr", "sip-scan", "sipscan", "sipcli", "sipbomber", "siparmyknife", "sivus"}
	case 'v':
		return []string{"vaxsipuseragent", "vaxasip"}
	case 'z':
		return []string{"zmap"}
	}
	return nil
}

// IsScanner reports whether a User-Agent value names a well-known scanner.
func IsScanner(userAgent []byte) bool {
	const longest = 128
	if len(userAgent) > longest {
		userAgent = userAgent[:longest]
	}
	for i, c := range userAgent {
		for _, name := range scannersFrom(c | 0x20) {
			if hasPrefixFold(userAgent[i:], name) {
				return true
			}
		}
	}
	return false
}

// hasPrefixFold compares with a prefix of lower case.
func hasPrefixFold(b []byte, prefix string) bool {
	if len(b) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
