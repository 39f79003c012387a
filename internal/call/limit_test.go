//go:build !race

package call_test

const heldCallLimit = 12 << 10 // bytes
