package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"dialtone/internal/admin/client"
	"dialtone/internal/admin/form"
)

type lineCmd struct {
	remote
	List listCmd   `cmd:"" help:"List lines."`
	Show showCmd   `cmd:"" help:"Show a line."`
	Add  lineAdd   `cmd:"" help:"Add a line with a device of the same name, or with those given."`
	Set  lineSet   `cmd:"" help:"Change a line."`
	Rm   removeCmd `cmd:"" help:"Remove lines."`
}

// AfterApply binds the noun that the subcommands speak of.
func (c *lineCmd) AfterApply(k *kong.Context) error {
	k.Bind(&noun{path: "/lines", key: "number", columns: []string{"number", "name", "product", "user", "site", "max_calls", "devices"}})
	return nil
}

type lineFields struct {
	Name     *string `json:"name,omitempty" help:"Name that people read."`
	Product  *string `json:"product,omitempty" help:"extension or sip-phone."`
	User     *string `json:"user,omitempty" help:"Name of the person."`
	Site     *string `json:"site,omitempty" help:"Name of the place."`
	MaxCalls *int    `json:"max_calls,omitempty" help:"Calls at a time; 0 is no limit."`
	Record   *string `json:"record,omitempty" help:"Whether calls are recorded: off, always or on_demand."`
	Language *string `json:"language,omitempty" help:"Language tag such as fa."`

	Device    []string `json:"-" placeholder:"USERNAME[:PASSWORD]" sep:"none" help:"Device to add or change; may be repeated. A new one without password gets one, which is shown once."`
	Transport *string  `json:"-" help:"Of these devices: udp, tcp, tls, ws or wss."`
	SRTP      *string  `json:"-" name:"srtp" help:"Of these devices: off, optional or required."`
	Codecs    []string `json:"-" help:"Of these devices: codecs that may be used, the best first; may be repeated."`
	DTMF      *string  `json:"-" name:"dtmf" help:"Of these devices: auto, rfc4733, info or inband."`
	Keys      *string  `json:"-" help:"Of these devices: sdes or dtls, how keys of encryption come about."`
	From      []string `json:"-" help:"These devices are known by their address: the network they send from; may be repeated."`
	Address   *string  `json:"-" help:"SIP URI where such a device is reached."`
}

// device is one of the line's devices as it is sent. Absent fields stay as they are.
type device struct {
	Username  string   `json:"username"`
	Auth      string   `json:"auth,omitempty"`
	Password  string   `json:"password,omitempty"`
	From      []string `json:"from,omitempty"`
	Address   string   `json:"address,omitempty"`
	Transport string   `json:"transport,omitempty"`
	SRTP      string   `json:"srtp,omitempty"`

	Media *form.Media `json:"media,omitempty"`
}

// devices puts the devices of the command line over those that there are, and returns the passwords that were made up.
func (f *lineFields) devices(there []form.Device) ([]device, map[string]string) {
	var all []device
	for _, d := range there {
		all = append(all, device{
			Username: d.Username, Auth: d.Auth, From: d.From, Address: d.Address, Transport: d.Transport, SRTP: d.SRTP, Media: d.Media,
		})
	}
	made := map[string]string{}
	for _, text := range f.Device {
		username, password, _ := strings.Cut(text, ":")
		at := slices.IndexFunc(all, func(d device) bool { return d.Username == username })
		if at < 0 {
			all = append(all, device{Username: username})
			at = len(all) - 1
			if password == "" && len(f.From) == 0 {
				password = rand.Text() // 128 bits
				made[username] = password
			}
		}
		d := &all[at]
		d.Password = password
		for to, from := range map[*string]*string{&d.Transport: f.Transport, &d.SRTP: f.SRTP, &d.Address: f.Address} {
			if from != nil {
				*to = *from
			}
		}
		if len(f.Codecs) > 0 || f.DTMF != nil || f.Keys != nil {
			m := form.Media{}
			if d.Media != nil {
				m = *d.Media
			}
			if len(f.Codecs) > 0 {
				m.Codecs = f.Codecs
			}
			for to, from := range map[*string]*string{&m.DTMF: f.DTMF, &m.Keys: f.Keys} {
				if from != nil {
					*to = *from
				}
			}
			d.Media = &m
		}
		if len(f.From) > 0 {
			d.Auth, d.From = "static", f.From
		}
	}
	return all, made
}

// lonely tells whether flags of devices were given without a device.
func (f *lineFields) lonely() bool {
	return len(f.Device) == 0 && (f.Transport != nil || f.SRTP != nil || f.Address != nil || len(f.From) > 0 ||
		len(f.Codecs) > 0 || f.DTMF != nil || f.Keys != nil)
}

type lineAdd struct {
	inTenant
	lineFields
	Number   string `arg:""`
	NoDevice bool   `help:"Add no device."`
}

// Run adds a line.
func (c *lineAdd) Run(s *session, n *noun) error {
	if len(c.Device) == 0 && !c.NoDevice {
		c.Device = []string{c.Number}
	}
	if c.lonely() {
		return usage("--transport, --srtp, --codecs, --dtmf, --keys, --from and --address belong to a --device")
	}
	body, err := object(c.lineFields)
	if err != nil {
		return err
	}
	body["number"] = c.Number
	devices, made := c.devices(nil)
	if len(devices) > 0 {
		body["devices"] = devices
	}
	server, err := s.client()
	if err != nil {
		return err
	}
	answer, err := server.Do(s.ctx, client.Request{Method: http.MethodPost, Path: n.path, Query: c.query(), Body: body})
	if err != nil {
		return err
	}
	return s.printLine(answer.Body, made)
}

type lineSet struct {
	inTenant
	lineFields
	Number   string   `arg:""`
	RmDevice []string `help:"Username of a device to remove; may be repeated." placeholder:"USERNAME"`
}

// Run changes a line. Devices are a list in the API: it is read, changed and written back as long as nobody else has
// changed it meanwhile.
func (c *lineSet) Run(s *session, n *noun) error {
	if c.lonely() {
		return usage("--transport, --srtp, --codecs, --dtmf, --keys, --from and --address belong to a --device")
	}
	if len(c.Device) == 0 && len(c.RmDevice) == 0 {
		return s.set(n, c.inTenant, c.Number, c.lineFields)
	}
	server, err := s.client()
	if err != nil {
		return err
	}
	path := n.path + "/" + url.PathEscape(c.Number)
	answer, err := server.Do(s.ctx, client.Request{Path: path, Query: c.query()})
	if err != nil {
		return err
	}
	var line form.Line
	if err := json.Unmarshal(answer.Body, &line); err != nil {
		return fmt.Errorf("understand the answer: %w", err)
	}
	for _, username := range c.RmDevice {
		at := slices.IndexFunc(line.Devices, func(d form.Device) bool { return d.Username == username })
		if at < 0 {
			return fmt.Errorf("line %s has no device %s", c.Number, username)
		}
		line.Devices = slices.Delete(line.Devices, at, at+1)
	}
	body, err := object(c.lineFields)
	if err != nil {
		return err
	}
	devices, made := c.devices(line.Devices)
	body["devices"] = slices.Concat([]device{}, devices)
	answer, err = server.Do(s.ctx, client.Request{
		Method: http.MethodPatch, Path: path, Query: c.query(), Body: body, Type: "application/merge-patch+json",
		Match: answer.Header.Get("ETag"),
	})
	if err != nil {
		return err
	}
	return s.printLine(answer.Body, made)
}

// printLine prints a line with the passwords that were made up, which nobody can ask for later.
func (s *session) printLine(text []byte, made map[string]string) error {
	if !s.global.JSON {
		if err := s.printObject(text); err != nil {
			return err
		}
		for username, password := range made {
			fmt.Fprintf(s.stdout, "password of %s  %s\n", plain(username), password)
		}
		return nil
	}
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		return fmt.Errorf("understand the answer: %w", err)
	}
	devices, _ := line["devices"].([]any) // absent when there are none
	for _, d := range devices {
		if o, ok := d.(map[string]any); ok {
			if password, ok := made[fmt.Sprint(o["username"])]; ok {
				o["password"] = password
			}
		}
	}
	return s.printJSON(line)
}
