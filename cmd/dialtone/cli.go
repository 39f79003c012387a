package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"dialtone/internal/admin"
	"dialtone/internal/admin/client"
	"dialtone/internal/config"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1 // refused or failed; one line says why
	exitUsage  = 2 // wrong usage
)

// system is what a command knows of the world.
type system struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// globals are the flags of every command.
type globals struct {
	Data   string `help:"Data directory of the server; DIALTONE_DATA, the static file, or ./data by default." placeholder:"DIR"`
	Config string `help:"Static file (TOML)." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON: one object a line."`
}

// remote are the flags of the commands that talk to a server.
type remote struct {
	Server string `help:"URL of a remote server; the one of the data directory by default." placeholder:"URL" env:"DIALTONE_SERVER"`
	Token  string `help:"Bearer token for a remote server." env:"DIALTONE_TOKEN"`
}

// AfterApply tells the session which server is meant.
func (r *remote) AfterApply(s *session) error {
	s.remote = *r
	return nil
}

// commands is the whole command line.
type commands struct {
	globals

	Serve serveCmd `cmd:"" help:"Run the server."`
	Demo  demoCmd  `cmd:"" help:"Run a furnished throw-away server with phones that keep calling."`
	Phone phoneCmd `cmd:"" help:"Run a headless phone."`

	Apply   applyCmd   `cmd:"" group:"Configuration" help:"Take over a configuration file."`
	Export  exportCmd  `cmd:"" group:"Configuration" help:"Print everything that is configured as one file."`
	Tenant  tenantCmd  `cmd:"" group:"Configuration" help:"Tenants: organisations on the exchange."`
	Site    siteCmd    `cmd:"" group:"Configuration" help:"Sites: places with their networks."`
	User    userCmd    `cmd:"" group:"Configuration" help:"Users: people."`
	Line    lineCmd    `cmd:"" group:"Configuration" help:"Lines: numbers of people and rooms, with their devices."`
	Number  numberCmd  `cmd:"" group:"Configuration" help:"Numbers: what callers dial from outside."`
	NextHop nextHopCmd `cmd:"" group:"Configuration" help:"Next hops: servers that requests are sent on to."`
	Room    roomCmd    `cmd:"" group:"Configuration" help:"Conference rooms, and who is in them."`
	Token   tokenCmd   `cmd:"" group:"Configuration" help:"Make a bearer token for the API."`

	Calls         callsCmd         `cmd:"" group:"Operation" help:"The calls in progress; record them."`
	Media         mediaCmd         `cmd:"" group:"Operation" help:"Show the media of calls in progress: ways, codecs, encryption, figures."`
	Hangup        hangupCmd        `cmd:"" group:"Operation" help:"End a call."`
	Registrations registrationsCmd `cmd:"" group:"Operation" help:"Show the devices that are registered."`
	Status        statusCmd        `cmd:"" group:"Operation" help:"Show how the server is."`
	Records       recordsCmd       `cmd:"" group:"Operation" help:"Show call records."`
	Recordings    recordingsCmd    `cmd:"" group:"Operation" help:"What was recorded of calls."`
	Ban           banCmd           `cmd:"" group:"Operation" help:"Sources of SIP messages that are not heard."`
	TURN          turnCmd          `cmd:"" group:"Operation" name:"turn" help:"The STUN and TURN server for browsers behind firewalls."`
	Trace         traceCmd         `cmd:"" group:"Operation" help:"Show the ladder of a call."`
}

// session is one run of the program.
type session struct {
	system
	ctx      context.Context // lives as long as the command
	global   *globals
	remote   remote
	programs entryPoints
}

// usageError is a mistake in the command line that the grammar cannot see.
type usageError struct{ reason string }

func (e usageError) Error() string { return e.reason }

func usage(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errSilent fails a command that has said why already.
var errSilent = errors.New("failed")

// exited is how kong ends the program for --help; run catches it.
type exited int

// run is the program: it returns the exit status.
func run(args []string, sys system, programs entryPoints) (status int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var root commands
	s := &session{system: sys, ctx: ctx, global: &root.globals, programs: programs}
	parser, err := kong.New(&root,
		kong.Name("dialtone"), kong.Description("A telephone exchange."), kong.UsageOnError(),
		kong.Writers(sys.stdout, sys.stderr), kong.Bind(s),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
	)
	if err != nil {
		fmt.Fprintln(sys.stderr, "dialtone:", err)
		return exitUsage
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			status = int(r)
		default:
			panic(r) // a fault must not look like a success
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(sys.stderr, "dialtone:", err)
		return exitUsage
	}
	return s.report(parsed.Run(s))
}

// report says in one line why a command failed, and returns the exit status.
func (s *session) report(err error) int {
	var wrong usageError
	var refused *admin.Problem
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errSilent):
		return exitFailed
	case errors.As(err, &wrong):
		fmt.Fprintln(s.stderr, "dialtone:", err)
		return exitUsage
	case s.ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitDone // the person has seen enough
	case errors.As(err, &refused):
		fmt.Fprintln(s.stderr, "dialtone:", refused)
	default:
		fmt.Fprintln(s.stderr, "dialtone:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return exitFailed
}

// client is the server that the command line means.
func (s *session) client() (*client.Client, error) {
	if s.remote.Server != "" {
		c, err := client.Remote(s.remote.Server, s.remote.Token)
		if err != nil {
			return nil, usage("%v", err)
		}
		return c, nil
	}
	data, err := config.DataDir(s.global.Data, s.global.Config, s.getenv)
	if err != nil {
		return nil, err
	}
	return client.Local(data), nil
}

// printJSON prints v on one line.
func (s *session) printJSON(v any) error {
	encoder := json.NewEncoder(escaper{s.stdout})
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// escaper writes JSON so that it means the same and commands no terminal: control characters and direction marks, which
// stand only in strings, become escapes. What is written at once is whole characters, as an encoder does.
type escaper struct{ w io.Writer }

func (e escaper) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+16)
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r >= 0x7f && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			out = fmt.Appendf(out, "\\u%04x", r)
		} else {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
