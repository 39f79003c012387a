package number

import "strings"

// Plan is what has to be known of a country's numbering to read what is dialled there. Lengths are bit sets: bit n
// stands for n digits.
type Plan struct {
	Code          string   // country code, "98"
	Trunk         string   // dialled before an area code, "0"
	International []string // dialled before a country code, "00"
	National      uint32   // lengths of a number with its area code, without the trunk prefix
	Local         uint32   // lengths of a number within its area
}

func lengths(ns ...uint) (set uint32) {
	for _, n := range ns {
		set |= 1 << n
	}
	return set
}

func has(set uint32, n int) bool { return n < 32 && set&(1<<n) != 0 }

// PlanOf returns the numbering plan of a country (ISO 3166 alpha-2 in capitals).
func PlanOf(country string) (Plan, bool) {
	switch country {
	case "IR": // 0 + 2-digit area + 8 digits, mobile 09 + 9 digits; 8 digits within the area
		return Plan{"98", "0", []string{"00"}, lengths(10), lengths(8)}, true
	case "VN": // 0 + area of 2 digits + 8 or of 3 + 7, mobile 0 + 9
		return Plan{"84", "0", []string{"00"}, lengths(9, 10), lengths(7, 8)}, true
	case "TW": // 0 + area + 6 to 8, mobile 09 + 8; carrier selection in the international prefix
		return Plan{"886", "0", []string{"002", "005", "006", "007", "009"}, lengths(8, 9, 10), lengths(6, 7, 8)}, true
	case "SA": // 01x + 7, mobile 05 + 8
		return Plan{"966", "0", []string{"00"}, lengths(9), lengths(7)}, true
	case "AE": // 0x + 7, mobile 05x + 7
		return Plan{"971", "0", []string{"00"}, lengths(8, 9), lengths(7)}, true
	case "EG": // 02 + 8, mobile 01x + 8
		return Plan{"20", "0", []string{"00"}, lengths(8, 9, 10), lengths(7, 8)}, true
	case "IQ": // 01 + 7, mobile 07xx + 7
		return Plan{"964", "0", []string{"00"}, lengths(8, 9, 10), lengths(6, 7)}, true
	case "US", "CA": // 10 digits, with or without 1 in front; 7 within the area
		return Plan{"1", "1", []string{"011"}, lengths(10), lengths(7)}, true
	}
	return Plan{}, false
}

// E.164 §6: at most 15 digits; fewer than 7 reach no subscriber in another country.
const (
	minInternational = 7
	maxInternational = 15
)

// E164 reads a normalised number as it is dialled in a country and area ("21", without trunk prefix; "" unknown) and
// returns its one international form: 88776655, 02188776655, 00982188776655 and +982188776655 are all +982188776655 in
// Tehran. ok is false when it has none of these forms; short codes and extensions have none.
func E164(country, area, dialled string) (international string, ok bool) {
	if rest, plus := strings.CutPrefix(dialled, "+"); plus {
		return whole(rest)
	}
	p, known := PlanOf(country)
	if !known || !isDigits(dialled) {
		return "", false
	}
	for _, prefix := range p.International {
		if rest, abroad := strings.CutPrefix(dialled, prefix); abroad {
			if e164, ok := whole(rest); ok {
				return e164, true
			}
		}
	}
	if rest, trunk := strings.CutPrefix(dialled, p.Trunk); trunk && has(p.National, len(rest)) {
		return "+" + p.Code + rest, true
	}
	if has(p.Local, len(dialled)) && area != "" && has(p.National, len(area)+len(dialled)) && !strings.HasPrefix(dialled, p.Trunk) {
		return "+" + p.Code + area + dialled, true
	}
	return "", false
}

// whole checks a number that begins with a country code.
func whole(digits string) (string, bool) {
	if len(digits) < minInternational || len(digits) > maxInternational || !isDigits(digits) || digits[0] == '0' {
		return "", false
	}
	return "+" + digits, true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
