//go:build !race

package proxy_test

const steadyAllocs = 0
