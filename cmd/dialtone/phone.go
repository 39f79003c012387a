package main

import "time"

// phoneOptions are what the command line says about a phone.
type phoneOptions struct {
	Server     string        `help:"Where to register: HOST or HOST:PORT." required:"" placeholder:"HOST[:PORT]"`
	User       string        `help:"Username, or USERNAME@DOMAIN." required:"" short:"u"`
	Domain     string        `help:"SIP domain of the account; the host of --server by default." placeholder:"DOMAIN"`
	Password   string        `help:"Password." short:"p" env:"DIALTONE_PHONE_PASSWORD"`
	Call       string        `help:"Call this number." placeholder:"NUMBER" xor:"mode"`
	Answer     bool          `help:"Wait for calls and answer them." xor:"mode"`
	Wait       time.Duration `help:"How long an answering phone stays; until one call has ended by default."`
	Duration   time.Duration `help:"Talk time, then the phone hangs up."`
	Play       string        `help:"WAV file to play; a tone of 440 Hz by default." placeholder:"FILE" type:"path"`
	Record     string        `help:"WAV file for what is heard." placeholder:"FILE" type:"path"`
	ExpectTone []float64     `help:"Fail unless this tone is heard." placeholder:"HZ"`
	DTMF       string        `name:"dtmf" help:"Digits to press after the answer."`
	Transport  string        `help:"udp, tcp, tls, ws or wss." enum:"udp,tcp,tls,ws,wss" default:"udp"`
	CA         string        `name:"ca" help:"PEM file with the authority of the server's certificate." placeholder:"FILE" type:"path" xor:"trust"`
	Insecure   bool          `help:"Take any certificate." xor:"trust"`
	SRTP       string        `name:"srtp" help:"Encryption of the media: off, sdes or dtls; auto takes what is offered." enum:"auto,off,sdes,dtls" default:"auto"`
	Codec      []string      `help:"Codecs to offer, in order: opus, g722, pcma, pcmu, l16."`
	JSON       bool          `kong:"-"` // one event a line
}

type phoneCmd struct {
	phoneOptions `embed:""`
}

// Run runs a headless phone. Exit status 0 only if the call did what was asked.
func (c *phoneCmd) Run(s *session) error {
	if s.programs.phone == nil {
		return errAbsent
	}
	o := c.phoneOptions
	o.JSON = s.global.JSON
	return s.programs.phone(s.ctx, o, s.system)
}
