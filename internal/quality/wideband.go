package quality

// MaxWideband is the rating factor of a wideband connection that nothing impairs, G.107.1 §6.2. The narrow-band scale ends
// at 93.2 with default values.
//
// What delay and its echo cost is taken from G.107: the formula for pure delay is the same in G.107.1, and R of both is on
// one scale.
const MaxWideband = 129

// WidebandScore is the mean opinion score of a rating factor on the scale of listeners who know wideband, 1 to 4.5: clean
// G.711 has only 3.7 there. G.107.1 Annex A.
func WidebandScore(r float64) float64 { return Score(r * 100 / MaxWideband) }
