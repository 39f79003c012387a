//go:build race

package srtp

// poolLosses: the race detector makes pools forget things at random.
const poolLosses = 16
