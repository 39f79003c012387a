//go:build !(linux && (amd64 || arm64))

package network

import (
	"errors"
	"net"
	"syscall"
)

// fastPath: this system has only the portable way.
const fastPath = false

type sendBatch struct{}

func newSendBatch() *sendBatch { return &sendBatch{} }

func newFastConn(*OS, *net.UDPConn) (PacketConn, error) { return nil, errors.ErrUnsupported }
func newFastPoller(*OS, int) (Poller, error)            { return nil, errors.ErrUnsupported }

// packetControl sets nothing: a second shared socket fails to bind, and its caller runs one worker.
func packetControl(bool) func(string, string, syscall.RawConn) error { return nil }

func growReceive(c *net.UDPConn, n int) { c.SetReadBuffer(n) }

func markConn(*net.UDPConn, bool, int) error { return errors.ErrUnsupported }
