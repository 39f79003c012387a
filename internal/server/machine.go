package server

import (
	"bytes"
	"os"
	"strconv"
)

// machineMemory is how many bytes of memory this process may count on: that of the machine or, where that is less, of its
// control group. 0: nobody says.
func machineMemory() uint64 {
	least := uint64(0)
	take := func(v uint64) {
		if v > 0 && (least == 0 || v < least) {
			least = v
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		take(memTotal(text))
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(name); err == nil {
			v, _ := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64) // "max" is none
			take(v)
		}
	}
	return least
}

// memTotal finds "MemTotal: 24601234 kB" in the text of /proc/meminfo; 0: it is not there.
func memTotal(text []byte) uint64 {
	for line := range bytes.Lines(text) {
		rest, found := bytes.CutPrefix(line, []byte("MemTotal:"))
		if !found {
			continue
		}
		number, unit, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
		v, err := strconv.ParseUint(string(number), 10, 54)
		if err != nil || string(unit) != "kB" {
			return 0
		}
		return v << 10
	}
	return 0
}
