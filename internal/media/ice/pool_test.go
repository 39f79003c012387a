//go:build !race

package ice

// poolLosses is how many allocations a round may cost because the library's pools have lost what was put in.
const poolLosses = 0
