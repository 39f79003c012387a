//go:build linux && (amd64 || arm64)

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// farPeer is the key of a peer that does not fit into one.
const farPeer = 1

// peerKey is an IPv4 address and port in one word, so that a sender compares them with one load.
func peerKey(a netip.AddrPort) uint64 {
	ip := a.Addr()
	if !ip.Is4() {
		return farPeer
	}
	b := ip.As4()
	return 1<<63 | uint64(binary.BigEndian.Uint32(b[:]))<<16 | uint64(a.Port())
}

// isPeer reports whether the descriptor is connected to this address.
func (s *socket) isPeer(to netip.AddrPort) bool {
	switch s.peer.Load() {
	case 0:
		return false
	case farPeer:
		far := s.far.Load()
		return far != nil && *far == to
	case peerKey(to):
		return true
	}
	return false
}

// Connect implements Connector.
func (s *polledSocket) Connect(to netip.AddrPort) error {
	if s.shared {
		return fmt.Errorf("connect a shared port: %w", errors.ErrUnsupported)
	}
	to = unmapped(to)
	var name sockaddr
	n := name.put(to, s.v6, &s.o.zones)
	if n == 0 || to.Port() == 0 || to.Addr().IsUnspecified() {
		return fmt.Errorf("connect to %v: %w", to, syscall.EAFNOSUPPORT)
	}
	if !s.hold() {
		return net.ErrClosed
	}
	defer s.drop()
	s.connecting.Lock()
	defer s.connecting.Unlock()
	// The peer before has fixed our address, which may not be the one that reaches this one.
	if err := s.disconnect(); err != nil {
		return err
	}
	if err := s.connect(&name, n); err != nil {
		return err
	}
	s.far.Store(&to)
	s.peer.Store(peerKey(to))
	return nil
}

// Disconnect implements Connector.
func (s *polledSocket) Disconnect() error {
	if !s.hold() {
		return net.ErrClosed
	}
	defer s.drop()
	s.connecting.Lock()
	defer s.connecting.Unlock()
	return s.disconnect()
}

// disconnect takes the peer away, if there is one. The caller holds s.connecting and the descriptor.
func (s *polledSocket) disconnect() error {
	if s.peer.Swap(0) == 0 { // from now on senders name the address
		return nil
	}
	var none sockaddr // AF_UNSPEC, see connect(2)
	if err := s.connect(&none, uint32(len(none))); err != nil || !s.auto {
		return err
	}
	// A port that the system has chosen is lost with the peer by some versions of Linux, and is taken again.
	if local, err := s.bound(); err != nil || local.Port() == s.local.Port() {
		return err
	}
	var name sockaddr
	n := name.put(s.local, s.v6, &s.o.zones)
	if _, _, errno := syscall.RawSyscall(unix.SYS_BIND, uintptr(s.fd), uintptr(unsafe.Pointer(&name)), uintptr(n)); errno != 0 {
		return os.NewSyscallError("bind", errno)
	}
	return nil
}

func (s *polledSocket) connect(name *sockaddr, n uint32) error {
	_, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(s.fd), uintptr(unsafe.Pointer(name)), uintptr(n))
	if errno != 0 {
		return os.NewSyscallError("connect", errno)
	}
	return nil
}
