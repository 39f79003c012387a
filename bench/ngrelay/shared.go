package main

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// side is one of two shared ports between which packets are passed, all calls on one pair of ports: what the network's part
// of a shared media port costs. Which stream a packet belongs to is found by its source address and SSRC, as it would be for
// a real one; all of them go to the last sender on the other port, for the load generator has one address on each.
type side struct {
	last  atomic.Pointer[netip.AddrPort]
	other *side
	ports []network.PacketWriter
}

// lane is one worker's part of a side.
type lane struct {
	side    *side
	worker  int
	streams map[streamKey]*uint64 // packets
	from    netip.AddrPort
}

type streamKey struct {
	from netip.AddrPort
	ssrc uint32
}

// maxStreams bounds the table: what belongs to no call of ours would otherwise fill it.
const maxStreams = 1 << 16

// openShared opens the two ports.
func openShared(p network.Sharer, addr netip.AddrPort) error {
	a, b := &side{}, &side{}
	a.other, b.other = b, a
	for i, s := range []*side{a, b} {
		ports, err := p.OpenShared(netip.AddrPortFrom(addr.Addr(), addr.Port()+uint16(i)), func(worker int) network.PacketHandler {
			return &lane{side: s, worker: worker, streams: map[streamKey]*uint64{}}
		})
		if err != nil {
			return err
		}
		s.ports = ports
	}
	return nil
}

// HandlePackets implements network.PacketHandler.
func (l *lane) HandlePackets(_ network.PacketWriter, ps []network.Packet) {
	to := l.side.other.last.Load()
	kept := 0
	for i := range ps {
		if rtp.Classify(ps[i].Data) != rtp.RTP || len(ps[i].Data) < 12 {
			continue
		}
		key := streamKey{ps[i].Addr, binary.BigEndian.Uint32(ps[i].Data[8:])}
		count := l.streams[key]
		if count == nil {
			if len(l.streams) >= maxStreams {
				continue
			}
			count = new(uint64)
			l.streams[key] = count
		}
		*count++
		if ps[i].Addr != l.from {
			from := ps[i].Addr
			l.from = from
			l.side.last.Store(&from)
		}
		if to != nil {
			ps[kept], ps[i] = ps[i], ps[kept]
			ps[kept].Addr = *to
			kept++
		}
	}
	if out := l.side.other.ports; kept > 0 && l.worker < len(out) {
		_, _ = out[l.worker].WriteBatch(ps[:kept]) // what is lost here is lost as on any network
	}
}
