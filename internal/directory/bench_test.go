package directory

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

var sizes = []struct{ tenants, lines int }{{1, 100}, {10_000, 200_000}, {1, 200_000}}

// BenchmarkEdit makes the next snapshot after one change of a line.
func BenchmarkEdit(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("tenants=%d/lines=%d", size.tenants, size.lines), func(b *testing.B) {
			d, tenant := big(b, size.tenants, size.lines)
			l := *d.Snapshot().Line(tenant, "100000")
			b.ReportAllocs()
			for b.Loop() {
				l.Version++
				d.Apply([]Change{{After: &l}})
			}
		})
	}
}

// BenchmarkAdd makes the next snapshot after a new line, which is removed again.
func BenchmarkAdd(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("tenants=%d/lines=%d", size.tenants, size.lines), func(b *testing.B) {
			d, tenant := big(b, size.tenants, size.lines)
			l := phone(tenant, "5", "5")
			l.ID = NewID()
			b.ReportAllocs()
			for b.Loop() {
				d.Apply([]Change{{After: l}})
				d.Apply([]Change{{Before: l}})
			}
		})
	}
}

// BenchmarkLookup is what a request costs: domain, device by username.
func BenchmarkLookup(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("tenants=%d/lines=%d", size.tenants, size.lines), func(b *testing.B) {
			d, _ := big(b, size.tenants, size.lines)
			names := make([]string, size.lines)
			hosts := make([]string, size.tenants)
			for i := range names {
				names[i] = fmt.Sprint(100000 + i)
			}
			for i := range hosts {
				hosts[i] = fmt.Sprintf("tenant%d.example", i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % size.lines
				s := d.Snapshot()
				if _, ok := s.Device(s.TenantByDomain(hosts[i%size.tenants]).ID, names[i]); !ok {
					b.Fatal(names[i])
				}
			}
		})
	}
}

// BenchmarkStaticDevice finds one of 2,000 devices behind one address by its name.
func BenchmarkStaticDevice(b *testing.B) {
	d, tenant := big(b, 1, 200_000)
	src := netip.MustParseAddr("10.0.0.7")
	b.ReportAllocs()
	for b.Loop() {
		if a, ok := d.Snapshot().StaticDevice(tenant, src, "150050"); !ok || a.Device.Username != "150050" {
			b.Fatal(ok)
		}
	}
}

// BenchmarkMemory reports what a line with one device costs.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		d, _ := big(b, 10_000, 200_000)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/200_000, "B/line")
		runtime.KeepAlive(d)
	}
}
