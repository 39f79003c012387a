//go:build race

package proxy_test

const steadyAllocs = 6 // the race detector makes pools forget
