package admin

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Connections that never finish a request keep nobody out, and one source cannot have them all.
func TestHalfOpenConnections(t *testing.T) {
	b := newBench(t)
	address := strings.TrimPrefix(b.url, "http://")
	half := func() net.Conn {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n"); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for range connectionsPerSource - 1 {
		half()
	}
	begin := time.Now()
	if r := b.http(basic("admin", adminPassword), "GET", Prefix+"/status", ""); r.status != 200 {
		t.Errorf("status %d", r.status)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a good request took %v", took)
	}
	// The good client keeps its connection: the source has its share now.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("one connection too many: %v, want it closed", err)
	}
}
