package form

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"dialtone/internal/directory"
)

// Line is the number of a person or a room, as it is written.
type Line struct {
	Head
	Number   string   `json:"number" doc:"Any SIP user part, unique in the tenant"`
	Name     string   `json:"name,omitempty"`
	Product  string   `json:"product,omitempty" enum:"extension,sip-phone"`
	User     string   `json:"user,omitempty" doc:"Name of the person"`
	Site     string   `json:"site,omitempty" doc:"Name of the place"`
	MaxCalls int      `json:"max_calls,omitempty" doc:"Calls at a time over all devices; 0 is no limit"`
	Record   string   `json:"record,omitempty" enum:"off,always,on_demand" doc:"Whether calls are recorded; off wins over what the other line says"`
	Language string   `json:"language,omitempty" doc:"Language tag such as fa or zh-TW"`
	Devices  []Device `json:"devices,omitempty" nullable:"false" doc:"SIP accounts; several ring together"`
}

// Device is a SIP account of a line, as it is written. Of password, sealed and ha1 one is given, or none to keep what
// the device of that username has.
type Device struct {
	Username string           `json:"username" doc:"Authentication name, unique in the tenant"`
	Auth     string           `json:"auth,omitempty" enum:"password,static"`
	Password directory.Secret `json:"password,omitempty" writeOnly:"true" doc:"Unchanged when left out"`
	Sealed   string           `json:"sealed,omitempty" writeOnly:"true" doc:"The password as an export shows it"`
	HA1      directory.Secret `json:"ha1,omitempty" writeOnly:"true" doc:"MD5 hash of username:realm:password in hexadecimal digits; that of SHA-256 may follow after a comma"`
	From     []string         `json:"from,omitempty" nullable:"false" doc:"Networks that a static device sends from"`
	Address  string           `json:"address,omitempty" doc:"SIP URI of a static device"`

	Transport string `json:"transport,omitempty" enum:"udp,tcp,tls,ws,wss"`
	SRTP      string `json:"srtp,omitempty" enum:"off,optional,required"`
	Media     *Media `json:"media,omitempty" doc:"What is particular about the device's media"`
}

// Media is what is particular about the media of a device.
type Media struct {
	Codecs []string `json:"codecs,omitempty" nullable:"false" doc:"Codecs that may be used, the best first: opus, g722, pcma, pcmu ...; none means all"`
	DTMF   string   `json:"dtmf,omitempty" enum:"auto,rfc4733,info,inband" doc:"How pressed keys are sent and taken"`
	Keys   string   `json:"keys,omitempty" enum:"sdes,dtls" doc:"How the keys of encryption that is offered come about"`
	Suites []string `json:"suites,omitempty" nullable:"false" doc:"SRTP protection profiles that may be used, by their names of RFC 4568; none means all"`
	Waive  []string `json:"waive,omitempty" nullable:"false" enum:"unencrypted_srtp,unencrypted_srtcp,unauthenticated_srtp" doc:"Protections that the device may switch off"`
}

func ofMedia(m *directory.DeviceMedia) *Media {
	if m == nil {
		return nil
	}
	return &Media{Codecs: m.Codecs, DTMF: string(m.DTMF), Keys: string(m.Keys), Suites: m.Suites, Waive: m.Waive}
}

func (f *Media) object() *directory.DeviceMedia {
	if f == nil {
		return nil
	}
	m := &directory.DeviceMedia{DTMF: directory.DTMF(f.DTMF), Keys: directory.Keys(f.Keys), Suites: f.Suites, Waive: f.Waive}
	for _, name := range f.Codecs {
		m.Codecs = append(m.Codecs, strings.ToLower(name))
	}
	return m
}

// OfLine writes a line without the secrets of its devices.
func OfLine(l *directory.Line, names Names) Line {
	f := Line{
		Head: head(l), Number: l.Number, Name: l.Name, Product: string(l.Product), User: names.UserName(l.User),
		Site: names.SiteName(l.Site), MaxCalls: l.MaxCalls, Record: l.Record.String(), Language: l.Language,
	}
	for i := range l.Devices {
		d := &l.Devices[i]
		f.Devices = append(f.Devices, Device{
			Username: d.Username, Auth: string(d.Auth), From: texts(d.From), Address: d.Address,
			Transport: string(d.Transport), SRTP: string(d.SRTP), Media: ofMedia(d.Media),
		})
	}
	return f
}

// Object reads the form over what is there (nil: nothing) into a new object of the tenant, whose realm is given. A
// device keeps its identifier by its username.
func (f *Line) Object(tenant directory.ID, realm string, before *directory.Line, names Names) (*directory.Line, directory.Errors) {
	var e errs
	l := &directory.Line{
		Number: f.Number, Name: f.Name, Product: directory.Product(f.Product), MaxCalls: f.MaxCalls, Record: directory.Recording(f.Record),
		Language: f.Language,
	}
	l.Tenant = tenant
	if before != nil {
		l.Meta = before.Meta
	}
	if f.User != "" {
		id, ok := names.UserID(tenant, f.User)
		if !ok {
			e.add("user", directory.CodeUnknown, "no such user")
		}
		l.User = id
	}
	if f.Site != "" {
		id, ok := names.SiteID(tenant, f.Site)
		if !ok {
			e.add("site", directory.CodeUnknown, "no such site")
		}
		l.Site = id
	}
	for i := range f.Devices {
		form := &f.Devices[i]
		var old *directory.Device
		if before != nil {
			at := slices.IndexFunc(before.Devices, func(d directory.Device) bool { return d.Username == form.Username })
			if at >= 0 {
				old = &before.Devices[at]
			}
		}
		l.Devices = append(l.Devices, form.object(&e, "devices["+strconv.Itoa(i)+"].", realm, old))
	}
	return l, e.validate(l)
}

func (f *Device) object(e *errs, prefix, realm string, old *directory.Device) directory.Device {
	d := directory.Device{
		Username: f.Username, Auth: directory.Auth(f.Auth), From: e.prefixes(prefix+"from", f.From), Address: f.Address,
		Transport: directory.Transport(f.Transport), SRTP: directory.SRTP(f.SRTP), Media: f.Media.object(),
	}
	if old != nil {
		d.ID = old.ID
	}
	given := 0
	for _, secret := range []string{string(f.Password), f.Sealed, string(f.HA1)} {
		if secret != "" {
			given++
		}
	}
	if given > 1 {
		e.add(prefix+"password", directory.CodeConflict, "give one of password, sealed and ha1")
		return d
	}
	// A secret that is at fault is not also missing. What stands for it is never kept: the fault refuses the line.
	faulty := []directory.Credential{{Secret: "at fault"}}
	kept := func(same func(c *directory.Credential) bool) bool {
		if old == nil || len(old.Credentials) == 0 || !same(&old.Credentials[0]) {
			return false
		}
		d.Credentials = old.Credentials
		return true
	}
	switch {
	case f.Password != "":
		if !kept(func(c *directory.Credential) bool { return c.Matches(f.Username, realm, f.Password) }) {
			d.Credentials = []directory.Credential{{Secret: f.Password}}
		}
	case f.Sealed != "":
		sealed, err := base64.StdEncoding.DecodeString(f.Sealed)
		if err != nil {
			e.add(prefix+"sealed", directory.CodeInvalid, "is not what an export shows")
			d.Credentials = faulty
			return d
		}
		if !kept(func(c *directory.Credential) bool { return bytes.Equal(c.Sealed, sealed) }) {
			d.Credentials = []directory.Credential{{Sealed: sealed}}
		}
	case f.HA1 != "":
		c, ok := parseHA1(string(f.HA1))
		if !ok {
			e.add(prefix+"ha1", directory.CodeInvalid, "is not 32 hexadecimal digits, and 64 more after a comma")
			d.Credentials = faulty
			return d
		}
		md5Only := !strings.Contains(string(f.HA1), ",")
		same := func(o *directory.Credential) bool { return o.MD5 == c.MD5 && (md5Only || o.SHA256 == c.SHA256) }
		if !kept(same) {
			d.Credentials = []directory.Credential{c}
		}
	case d.Auth != directory.AuthStatic && old != nil:
		d.Credentials = old.Credentials
	}
	return d
}

// parseHA1 reads one hash or both. Where that of SHA-256 is not known, a random one stands for it that no password
// answers to: an absent hash must never be a guessable one.
func parseHA1(text string) (directory.Credential, bool) {
	c := directory.Credential{HashOnly: true}
	first, second, both := strings.Cut(text, ",")
	m, err := hex.DecodeString(strings.TrimSpace(first))
	if err != nil || len(m) != len(c.MD5) {
		return c, false
	}
	copy(c.MD5[:], m)
	if !both {
		// crypto/rand ends the program when it fails.
		_, _ = rand.Read(c.SHA256[:])
		return c, true
	}
	s, err := hex.DecodeString(strings.TrimSpace(second))
	if err != nil || len(s) != sha256.Size {
		return c, false
	}
	copy(c.SHA256[:], s)
	return c, true
}

// Weak is why passwords of the form are too easy to guess, by field.
func (f *Line) Weak() directory.Errors {
	var e errs
	for i := range f.Devices {
		d := &f.Devices[i]
		if d.Password == "" {
			continue
		}
		if reason := d.Password.Weak(d.Username); reason != "" {
			e.add("devices["+strconv.Itoa(i)+"].password", CodeWeak, reason)
		}
	}
	return e.list
}
