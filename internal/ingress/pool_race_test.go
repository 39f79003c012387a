//go:build race

package ingress

const pooled = 4
