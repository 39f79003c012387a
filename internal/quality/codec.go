package quality

import "strings"

// Codec is what the E-model knows of a codec: its equipment impairment and its robustness to lost packets.
type Codec struct {
	Name     string
	Ie       float64 // equipment impairment factor without loss; Ie,wb of a wideband codec
	Bpl      float64 // packet loss robustness factor
	Wideband bool    // 50 to 7000 Hz or more: rated by G.107.1
}

// G711 is G.711 without packet loss concealment, G.113 Appendix I.
func G711() Codec { return Codec{Name: "G.711", Bpl: 4.3} }

// G711PLC is G.711 with the concealment that telephones have (G.711 Appendix I).
func G711PLC() Codec { return Codec{Name: "G.711 + PLC", Bpl: 25.1} }

// G729A is G.729 Annex A, G.113 Appendix I.
func G729A() Codec { return Codec{Name: "G.729A", Ie: 11, Bpl: 19} }

// G722 is G.722 at 64 kbit/s: Ie,wb of G.113 Appendix IV. Its Bpl is our own estimate for a decoder that repeats and
// fades: between G.711 without concealment and with it.
func G722() Codec { return Codec{Name: "G.722", Ie: 13, Bpl: 10, Wideband: true} }

// Opus is Opus at 24 to 32 kbit/s wideband. G.113 has no wideband values for it. Ours are estimates: in listening tests
// it stood with AMR-WB at its highest rates, which has an Ie,wb of 1 to 8 there, and its concealment with that of
// telephones.
func Opus() Codec { return Codec{Name: "Opus", Ie: 5, Bpl: 20, Wideband: true} }

// L16 is linear PCM at that sampling rate in Hz, which costs nothing; lost packets are concealed as those of G.711 are
// below 16 kHz, and as those of G.722 from there on.
func L16(rate int) Codec {
	if rate >= 16000 {
		return Codec{Name: "L16", Bpl: 10, Wideband: true}
	}
	return Codec{Name: "L16", Bpl: 25.1}
}

// CodecNamed finds a codec by its RTP encoding name, whatever its case, at its usual rate. G.711 is taken with
// concealment, and so is every codec that the table does not have: nothing is known against it. Values without a remark
// are those of G.113 Appendix I, wideband ones (Ie,wb) those of Appendix IV.
func CodecNamed(name string) Codec {
	switch strings.ToUpper(name) {
	case "OPUS":
		return Opus()
	case "G722":
		return G722()
	case "L16":
		return L16(8000)
	case "G729", "G729D", "G729E":
		return G729A()
	case "G723":
		return Codec{Name: "G.723.1", Ie: 15, Bpl: 16.1} // 6.3 kbit/s with VAD
	case "GSM":
		return Codec{Name: "GSM FR", Ie: 20, Bpl: 10}
	case "GSM-EFR":
		return Codec{Name: "GSM EFR", Ie: 5, Bpl: 10}
	case "AMR":
		return Codec{Name: "AMR", Ie: 5, Bpl: 10} // 12.2 kbit/s, which is GSM EFR
	case "AMR-WB":
		return Codec{Name: "AMR-WB", Ie: 13, Bpl: 10, Wideband: true} // 12.65 kbit/s; Bpl as that of AMR
	case "ILBC":
		return Codec{Name: "iLBC", Ie: 11, Bpl: 32}
	case "G728":
		return Codec{Name: "G.728", Ie: 7, Bpl: 17}
	case "G726-32":
		return Codec{Name: "G.726-32", Ie: 7, Bpl: 17}
	}
	return G711PLC()
}

// CodecAt is CodecNamed for a codec that several sampling rates are usual for; rate is the clock rate of its a=rtpmap
// in Hz.
func CodecAt(name string, rate int) Codec {
	if strings.EqualFold(name, "L16") {
		return L16(rate)
	}
	return CodecNamed(name)
}
