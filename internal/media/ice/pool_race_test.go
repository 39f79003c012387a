//go:build race

package ice

// poolLosses: the race detector makes pools forget things at random.
const poolLosses = 16
