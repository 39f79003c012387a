package number

import "slices"

// Service is the kind of help that an emergency number reaches, in the words of RFC 5031 §4.2.
type Service string

// The services. SOS is the general one.
const (
	SOS       Service = "sos"
	Police    Service = "sos.police"
	Fire      Service = "sos.fire"
	Ambulance Service = "sos.ambulance"
	Marine    Service = "sos.marine"
)

// Emergency is one emergency number of a country.
type Emergency struct {
	Number  string
	Service Service
}

// European countries that have 112 and no number of their own beside it in this table.
var only112 = [...]string{
	"EU", "BG", "DK", "EE", "FI", "LT", "MT", "NL", "PT", "RO", "SE", "IS",
}

var general112 = []Emergency{{"112", SOS}}

// anywhere is what is recognised where the country is not known: better one call too many to the desk that handles
// emergencies than one that is lost.
var anywhere = []Emergency{{"112", SOS}, {"911", SOS}}

// EmergencyNumbers returns the emergency numbers of a country (ISO 3166 alpha-2 in capitals, "EU" for the Union's
// common number). An unknown or empty country gives 112 and 911.
func EmergencyNumbers(country string) []Emergency { return slices.Clone(emergencyOf(country)) }

func emergencyOf(country string) []Emergency {
	switch country {
	case "IR":
		return iran
	case "VN":
		return vietnam
	case "TW":
		return taiwan
	case "SA":
		return saudiArabia
	case "AE":
		return emirates
	case "EG":
		return egypt
	case "IQ":
		return iraq
	case "US", "CA":
		return northAmerica
	case "GB", "IE":
		return britain
	case "DE":
		return germany
	case "FR":
		return france
	case "IT":
		return italy
	case "ES":
		return spain
	}
	if own, ok := europe[country]; ok {
		return own
	}
	if slices.Contains(only112[:], country) {
		return general112
	}
	return anywhere
}

// IsEmergency reports whether a normalised number is an emergency number of the country, and which service it asks
// for. 112 is one everywhere (3GPP TS 22.101 §10.1.1 makes every mobile phone dial it).
func IsEmergency(country, dialled string) (Service, bool) {
	if len(dialled) != 3 && len(dialled) != 2 {
		return "", false
	}
	for _, e := range emergencyOf(country) {
		if e.Number == dialled {
			return e.Service, true
		}
	}
	if dialled == "112" {
		return SOS, true
	}
	return "", false
}

var (
	iran         = []Emergency{{"110", Police}, {"115", Ambulance}, {"125", Fire}, {"112", SOS}}
	vietnam      = []Emergency{{"112", SOS}, {"113", Police}, {"114", Fire}, {"115", Ambulance}}
	taiwan       = []Emergency{{"110", Police}, {"119", Fire}, {"112", SOS}}
	saudiArabia  = []Emergency{{"911", SOS}, {"999", Police}, {"997", Ambulance}, {"998", Fire}, {"112", SOS}}
	emirates     = []Emergency{{"999", Police}, {"998", Ambulance}, {"997", Fire}, {"996", Marine}, {"112", SOS}}
	egypt        = []Emergency{{"122", Police}, {"123", Ambulance}, {"180", Fire}, {"112", SOS}}
	iraq         = []Emergency{{"104", Police}, {"122", Ambulance}, {"115", Fire}, {"911", SOS}, {"112", SOS}}
	northAmerica = []Emergency{{"911", SOS}, {"112", SOS}}
	britain      = []Emergency{{"999", SOS}, {"112", SOS}}
	germany      = []Emergency{{"112", SOS}, {"110", Police}}
	france       = []Emergency{{"112", SOS}, {"15", Ambulance}, {"17", Police}, {"18", Fire}, {"114", SOS}, {"196", Marine}}
	italy        = []Emergency{{"112", SOS}, {"113", Police}, {"115", Fire}, {"118", Ambulance}}
	spain        = []Emergency{{"112", SOS}, {"091", Police}, {"061", Ambulance}, {"080", Fire}}
)

var europe = map[string][]Emergency{
	"CY": {{"112", SOS}, {"199", SOS}},
	"LU": {{"112", SOS}, {"113", Police}},
	"SI": {{"112", SOS}, {"113", Police}},
	"AT": {{"112", SOS}, {"133", Police}, {"144", Ambulance}, {"122", Fire}},
	"BE": {{"112", SOS}, {"101", Police}, {"100", Ambulance}},
	"CZ": {{"112", SOS}, {"158", Police}, {"155", Ambulance}, {"150", Fire}},
	"GR": {{"112", SOS}, {"100", Police}, {"166", Ambulance}, {"199", Fire}, {"108", Marine}},
	"HR": {{"112", SOS}, {"192", Police}, {"194", Ambulance}, {"193", Fire}, {"195", Marine}},
	"HU": {{"112", SOS}, {"107", Police}, {"104", Ambulance}, {"105", Fire}},
	"LV": {{"112", SOS}, {"110", Police}, {"113", Ambulance}},
	"PL": {{"112", SOS}, {"997", Police}, {"999", Ambulance}, {"998", Fire}},
	"SK": {{"112", SOS}, {"158", Police}, {"155", Ambulance}, {"150", Fire}},
	"NO": {{"112", Police}, {"113", Ambulance}, {"110", Fire}},
	"CH": {{"112", SOS}, {"117", Police}, {"144", Ambulance}, {"118", Fire}},
}
