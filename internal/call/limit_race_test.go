//go:build race

package call_test

const heldCallLimit = 16 << 10 // bytes; the race detector's bookkeeping comes on top
