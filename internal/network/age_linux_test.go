//go:build linux && (amd64 || arm64)

package network

import (
	"net/netip"
	"testing"
	"time"
)

// TestAge: the system tells how long a datagram has waited to be read.
func TestAge(t *testing.T) {
	o := NewOS(OSConfig{})
	loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	in, err := o.ListenPacket(loopback, false)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := o.ListenPacket(loopback, false)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	aged, ok := in.(Aged)
	if !ok {
		t.Fatal("a socket of this system knows no age")
	}
	batch := make([]Packet, batchCap)
	read := func() time.Duration {
		t.Helper()
		for i := range batch {
			batch[i].Data = make([]byte, 100)
		}
		if _, err := in.ReadBatch(batch); err != nil {
			t.Fatal(err)
		}
		age, ok := aged.Age()
		if !ok {
			t.Fatal("no age")
		}
		return age
	}
	send := func() {
		t.Helper()
		if err := out.WriteTo([]byte("x"), in.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	send()
	read()
	<-time.After(50 * time.Millisecond) // the first question makes the system stamp what comes, a little later
	const wait = 30 * time.Millisecond
	for _, c := range []time.Duration{0, wait} {
		send()
		began := time.Now()
		<-time.After(c)
		if age := read(); age < c || age > time.Since(began)+time.Millisecond {
			t.Errorf("waited for %v at least, said to be %v old", c, age)
		}
	}
	if n := testing.AllocsPerRun(100, func() { aged.Age() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	in.Close()
	if _, ok := aged.Age(); ok {
		t.Error("a closed socket knows an age")
	}
}
