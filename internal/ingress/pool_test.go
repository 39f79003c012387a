//go:build !race

package ingress

// pooled is how many allocations a look into a pool may cost: a pool of the race detector loses things on purpose.
const pooled = 0
