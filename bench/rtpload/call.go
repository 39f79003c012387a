package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"dialtone/bench/ng"
	"dialtone/internal/media/srtp"
	"dialtone/internal/network"
	"dialtone/internal/sdp"
)

// suites are those of the caller and of the called party: the same work but for the length of the tag, and a relay cannot
// pass packets from one to the other without encrypting them anew (rtpengine does where it can).
var suites = [2]string{"AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"}

// connect opens the parties' sockets and sets all calls up.
func (s *settings) connect(n network.Network, poller network.Poller) (*load, error) {
	c, err := n.ListenPacket(netip.AddrPortFrom(s.local, 0), false)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	l := newLoad(2 * s.calls)
	for i := range s.calls {
		var pair [2]*party
		for k := range pair {
			at := netip.AddrPortFrom(s.local, s.port+uint16(4*i+2*k))
			if pair[k], err = l.open(poller, at, 2*i+k); err != nil {
				return nil, err
			}
			if s.srtp {
				if err := pair[k].makeKey(); err != nil {
					return nil, err
				}
			}
		}
		id := strconv.Itoa(i)
		offer, err := s.ask(c, "offer", id, pair[0].describe(1))
		if err != nil {
			return nil, fmt.Errorf("offer %d: %w", i, err)
		}
		tag, err := pair[1].hear(offer, s.srtp)
		if err != nil {
			return nil, fmt.Errorf("offer %d: %w", i, err)
		}
		answer, err := s.ask(c, "answer", id, pair[1].describe(tag))
		if err != nil {
			return nil, fmt.Errorf("answer %d: %w", i, err)
		}
		if _, err := pair[0].hear(answer, s.srtp); err != nil {
			return nil, fmt.Errorf("answer %d: %w", i, err)
		}
	}
	return l, nil
}

func (p *party) suite() string { return suites[p.index%2] }

// makeKey makes the key that the party encrypts with.
func (p *party) makeKey() error {
	suite := srtp.Named(p.suite())
	var err error
	if p.key, err = suite.NewKey(rand.Reader); err != nil {
		return err
	}
	p.sender, err = srtp.NewSender(suite, p.key, srtp.Options{})
	return err
}

// describe is the party's description; tag is that of its key.
func (p *party) describe(tag int) string {
	at := p.writer.LocalAddr()
	profile, crypto := "RTP/AVP", ""
	if p.sender != nil {
		profile = "RTP/SAVP"
		crypto = "a=crypto:" + sdp.Crypto{Tag: tag, Suite: p.suite(), Key: p.key}.Attribute().Value + "\r\n"
	}
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]v\r\ns=-\r\nc=IN IP4 %[1]v\r\nt=0 0\r\nm=audio %[2]d %[3]s 0\r\na=rtpmap:0 PCMU/8000\r\n%[4]sa=sendrecv\r\n",
		at.Addr(), at.Port(), profile, crypto)
}

// hear takes what the party is told, and returns the tag of the key line that it takes.
func (p *party) hear(text string, encrypted bool) (tag int, err error) {
	d, err := sdp.Parse([]byte(text))
	if err != nil {
		return 0, err
	}
	if len(d.Media) != 1 || d.Address(0).Port() == 0 {
		return 0, fmt.Errorf("there is nobody to talk to in %q", text)
	}
	p.to = d.Address(0)
	if !encrypted {
		return 1, nil
	}
	for _, c := range d.Media[0].Cryptos() {
		if c.Suite != p.suite() {
			continue
		}
		suite, options, err := srtp.Negotiated(c)
		if err != nil {
			return 0, err
		}
		p.theirs = c.Key
		p.receiver, err = srtp.NewReceiver(suite, c.Key, options)
		return c.Tag, err
	}
	return 0, errors.New("no key of " + p.suite())
}

// ask sends a request until it is answered, and returns the description in the answer.
func (s *settings) ask(c network.PacketConn, command, id, text string) (string, error) {
	cookie := command + id
	fields := []string{"call-id", id, "command", command, "from-tag", "a", "sdp", text}
	if command == "answer" {
		fields = append(fields, "to-tag", "b")
	}
	request := ng.AppendFields([]byte(cookie+" "), fields...)
	got := make(chan string, 1)
	failed := make(chan error, 1)
	go func() {
		ps := []network.Packet{{Data: make([]byte, 65536)}}
		for {
			ps[0].Data = ps[0].Data[:65536]
			if _, err := c.ReadBatch(ps); err != nil {
				failed <- err
				return
			}
			if text, found := cut(string(ps[0].Data), cookie+" "); found {
				got <- text
				return
			}
		}
	}()
	for range 10 {
		if err := c.WriteTo(request, s.relay); err != nil {
			return "", err
		}
		select {
		case text := <-got:
			fields, err := ng.ParseFields([]byte(text))
			if err != nil {
				return "", err
			}
			if fields["sdp"] == "" {
				return "", fmt.Errorf("the relay says %q", text)
			}
			return fields["sdp"], nil
		case err := <-failed:
			return "", err
		case <-time.After(300 * time.Millisecond):
		}
	}
	return "", errors.New("the relay does not answer")
}

func cut(text, prefix string) (string, bool) {
	if len(text) < len(prefix) || text[:len(prefix)] != prefix {
		return "", false
	}
	return text[len(prefix):], true
}
