package media

import (
	"bytes"
	"sync"

	"dialtone/internal/media/srtp"
	"dialtone/internal/network"
)

// secret is the key of one direction with what belongs to it.
type secret struct {
	suite   *srtp.Suite
	key     []byte // master key and salt
	options srtp.Options
}

func (a secret) same(b secret) bool {
	return a.suite == b.suite && bytes.Equal(a.key, b.key) && a.options.PlainRTP == b.options.PlainRTP &&
		a.options.PlainRTCP == b.options.PlainRTCP && a.options.NoAuth == b.options.NoAuth && bytes.Equal(a.options.MKI, b.options.MKI)
}

// cipher is the keys that are in force on a port. RTP and RTCP of one key may come in on two ports and so on two workers,
// hence the locks; streams without encryption have no cipher.
type cipher struct {
	suite        *srtp.Suite
	ours, theirs secret

	in struct {
		mu       sync.Mutex
		receiver *srtp.Receiver
	}
	out struct {
		mu     sync.Mutex
		sender *srtp.Sender
	}
}

// newCipher makes the contexts of both directions. Of before, the cipher so far, it keeps those whose key is the same, so
// that rollover counters and replay windows go on; before may be nil.
func newCipher(ours, theirs secret, before *cipher) (*cipher, error) {
	c := &cipher{suite: theirs.suite, ours: ours, theirs: theirs}
	if before != nil {
		sameOurs, sameTheirs := before.ours.same(ours), before.theirs.same(theirs)
		if sameOurs && sameTheirs {
			return before, nil
		}
		if sameOurs {
			c.out.sender = before.out.sender
		}
		if sameTheirs {
			c.in.receiver = before.in.receiver
		}
	}
	var err error
	if c.out.sender == nil {
		if c.out.sender, err = srtp.NewSender(ours.suite, ours.key, ours.options); err != nil {
			return nil, err
		}
	}
	if c.in.receiver == nil {
		if c.in.receiver, err = srtp.NewReceiver(theirs.suite, theirs.key, theirs.options); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// CipherState is a cipher written down. It holds keys.
type CipherState struct {
	In  srtp.State `json:"in"`
	Out srtp.State `json:"out"`
}

func (c *cipher) state() *CipherState {
	if c == nil {
		return nil
	}
	var x CipherState
	c.in.mu.Lock()
	x.In = c.in.receiver.State()
	c.in.mu.Unlock()
	c.out.mu.Lock()
	x.Out = c.out.sender.State()
	c.out.mu.Unlock()
	return &x
}

func restoreCipher(x *CipherState) (*cipher, error) {
	c := new(cipher)
	var err error
	if c.in.receiver, err = srtp.RestoreReceiver(x.In); err != nil {
		return nil, err
	}
	if c.out.sender, err = srtp.RestoreSender(x.Out); err != nil {
		return nil, err
	}
	c.suite = srtp.Named(x.In.Suite)
	c.theirs = secret{c.suite, x.In.Key, x.In.Options}
	c.ours = secret{srtp.Named(x.Out.Suite), x.Out.Key, x.Out.Options}
	return c, nil
}

// proves reports whether a packet that could be opened can only be the party's: without tags, RTP can be anybody's.
func (c *cipher) proves(control bool) bool { return c != nil && (control || !c.theirs.options.NoAuth) }

// open checks and decrypts a packet of the party in place.
func (c *cipher) open(p *network.Packet, control bool) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	var err error
	if control {
		p.Data, err = c.in.receiver.OpenControl(p.Data[:0], p.Data)
	} else {
		p.Data, err = c.in.receiver.Open(p.Data[:0], p.Data)
	}
	return err
}

// seal encrypts packets for the party in place, as far as their slices have room, and returns how many could be.
func (c *cipher) seal(ps []network.Packet, control bool) int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	kept := 0
	for i := range ps {
		var err error
		data := ps[i].Data
		if control {
			data, err = c.out.sender.SealControl(data[:0], data)
		} else {
			data, err = c.out.sender.Seal(data[:0], data)
		}
		if err != nil {
			continue
		}
		ps[i].Data = data
		if kept != i {
			ps[kept], ps[i] = ps[i], ps[kept]
		}
		kept++
	}
	return kept
}
