package admin

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"dialtone/internal/admin/form"
	"dialtone/internal/call"
	"dialtone/internal/cdr"
	"dialtone/internal/config"
	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/guard"
	"dialtone/internal/media"
	"dialtone/internal/media/tap"
	"dialtone/internal/media/tone"
	"dialtone/internal/network"
	"dialtone/internal/recording"
	"dialtone/internal/store"
	"dialtone/internal/store/relational"
	"dialtone/internal/store/seal"
	"dialtone/internal/store/sqlite"
	"dialtone/internal/trace"
)

const adminPassword = "correct horse battery"

// cheapHash is a password hash of the least cost that is still verified.
func cheapHash(password string) directory.Secret {
	salt := []byte("salt of tests")
	enc := base64.RawStdEncoding.EncodeToString
	return directory.Secret(fmt.Sprintf("$argon2id$v=%d$m=8,t=1,p=1$%s$%s", argon2.Version, enc(salt),
		enc(argon2.IDKey([]byte(password), salt, 1, 8, 1, 32))))
}

// bench is a whole API on a real store, with a live exchange that is made up.
type bench struct {
	t         *testing.T
	data      string
	store     *relational.Store
	directory *directory.Directory
	bus       *event.Bus
	live      *fakeLive
	guard     *guard.Guard
	turn      *fakeTURN
	archive   *fakeArchive
	rooms     *fakeRooms
	server    *Server
	socket    *http.Client
	url       string // of the HTTP listener
	clock     *fakeClock
}

type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type fakeLive struct {
	mu            sync.Mutex
	calls         []Call
	registrations []Registration
	hungUp        []string
	media         map[string]CallMedia
	asked         RegistrationQuery
	hops          []form.HopState
	after         func() // a commit
}

func (l *fakeLive) Calls() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Call(nil), l.calls...)
}

func (l *fakeLive) Registrations(q RegistrationQuery) (page []Registration, next string) {
	l.asked = q
	for _, r := range l.registrations {
		if r.ID <= q.After || q.Tenant != "" && r.Tenant != q.Tenant || q.Line != "" && r.Line != q.Line {
			continue
		}
		if len(page) == q.Limit {
			return page, page[len(page)-1].ID
		}
		page = append(page, r)
	}
	return page, ""
}

func (l *fakeLive) Media(id string) (CallMedia, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.media[id]
	return m, ok
}

func (l *fakeLive) Status() Status {
	return Status{Version: "1", Node: "n1", State: "running", Calls: 1}
}

func (l *fakeLive) NextHop(directory.ID) []form.HopState { return l.hops }

func (l *fakeLive) Hangup(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.calls {
		if c.ID == id {
			l.calls = append(l.calls[:i:i], l.calls[i+1:]...)
			l.hungUp = append(l.hungUp, id)
			return true
		}
	}
	return false
}

// fakeArchive is an archive of real files whose takes are made up.
type fakeArchive struct {
	*recording.Archive
	dir   string
	owner func() directory.ID
	acted []string
	err   error // of what is asked for next
}

func (f *fakeArchive) act(what, callID string) (recording.Recording, error) {
	f.acted = append(f.acted, what+" "+callID)
	return recording.Recording{ID: "r1", Tenant: f.owner(), CallID: callID, State: recording.Running, Start: time.Unix(1, 0)}, f.err
}

func (f *fakeArchive) Start(_ context.Context, callID, by string) (recording.Recording, error) {
	return f.act("start for "+by, callID)
}

func (f *fakeArchive) Stop(_ context.Context, callID string) (recording.Recording, error) {
	return f.act("stop", callID)
}

func (f *fakeArchive) Pause(_ context.Context, callID string) (recording.Recording, error) {
	return f.act("pause", callID)
}

func (f *fakeArchive) Resume(_ context.Context, callID string) (recording.Recording, error) {
	return f.act("resume", callID)
}

// Listen gives a second of a tone of the caller, and the silence of the other party.
func (f *fakeArchive) Listen(_ context.Context, callID string, rate int, to tap.Listener) (<-chan struct{}, func(), error) {
	f.acted = append(f.acted, fmt.Sprint("listen ", rate, " ", callID))
	over := make(chan struct{})
	var once sync.Once
	stop := func() { once.Do(func() { close(over) }) }
	generator := tone.NewGenerator(tone.Sine(440, -10))
	frame := make([]int16, rate/50)
	for range 20 { // what the queue of a framer holds
		generator.Read(frame)
		to.WriteTap(tap.Said, frame)
		to.WriteTap(tap.Heard, make([]int16, rate/50))
	}
	stop()
	return over, stop, f.err
}

// newArchive is that of a bench.
func newArchive(b *bench, keys *seal.Keyring) *fakeArchive {
	b.t.Helper()
	engine, err := media.New(media.Config{Network: network.NewOS(network.OSConfig{}),
		Workers: 1, Ports: media.PortRange{Min: 10000, Max: 10009}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = engine.Close() })
	f := &fakeArchive{dir: filepath.Join(b.data, "recordings"), owner: func() directory.ID { return b.tenant(directory.DefaultTenant) }}
	f.Archive, err = recording.New(recording.Config{Store: b.store, Directory: b.directory, Events: b.bus, Media: engine, Keys: keys,
		Calls: func(string) (*call.Call, bool) { return nil, false }, Dir: f.dir, Format: recording.WAVALaw})
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

// announcing is a guard whose ends of bans are events.
type announcing struct {
	*guard.Guard
	bus *event.Bus
}

func (a announcing) Unban(addr netip.Addr, now time.Time) bool {
	was := a.Guard.Unban(addr, now)
	if was {
		AnnounceUnban(a.bus, guard.Source(addr))
	}
	return was
}

type fakeLadders map[string][]trace.Entry

func (l fakeLadders) Ladder(id string) ([]trace.Entry, error) { return l[id], nil }

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		t: t, data: t.TempDir(), directory: directory.New(), bus: event.NewBus(event.Config{}), live: &fakeLive{}, rooms: &fakeRooms{},
		clock: &fakeClock{at: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)},
	}
	keys, err := seal.LoadOrCreate(filepath.Join(b.data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	b.store, err = sqlite.Open(t.Context(), sqlite.Config{Dir: b.data, Keys: keys, Now: b.clock.now, Committed: func(c []directory.Change) {
		b.directory.Apply(c)
		if b.live.after != nil {
			b.live.after()
		}
		Announce(b.bus, c)
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.store.Update(t.Context(), store.Actor{Name: "test"}, func(tx store.Tx) error {
		tenant := &directory.Tenant{Name: directory.DefaultTenant, Kind: directory.Operator, Domains: []string{"pbx.example"}}
		if _, err := tx.Tenants().Put(t.Context(), tenant); err != nil {
			return err
		}
		user := &directory.User{Name: "admin", Role: directory.RoleOwner, PasswordHash: cheapHash(adminPassword)}
		user.Tenant = tenant.ID
		_, err := tx.Users().Put(t.Context(), user)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b.turn = &fakeTURN{at: b.clock.now()}
	ladders := fakeLadders{"call-1": {{
		At: b.clock.now(), Kind: "udp", Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("192.0.2.9:5060"),
		SIPCallID: "x", Message: []byte("OPTIONS sip:a SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n"),
	}}}
	b.guard, err = guard.New(guard.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Began: func(ban guard.Ban) { AnnounceBan(b.bus, ban) }}, b.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	b.archive = newArchive(b, keys)
	b.server, err = NewServer(ServerConfig{
		Config: Config{
			Version: "1", Store: b.store, Directory: b.directory, Live: b.live, Ladders: ladders, Events: b.bus, Guard: announcing{b.guard, b.bus}, TURN: b.turn, Recordings: b.archive, Conferences: b.rooms,
			Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "dialtone_calls_active 0\n") }),
			Log:     slog.New(slog.DiscardHandler), Now: b.clock.now,
		},
		Data: b.data,
		HTTP: []config.HTTPListener{{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Serve: config.Services()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.server.Run(ctx) }()
	b.url = "http://" + b.server.Listeners()[0].Addr.String()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(b.data, SocketName))
	}}
	b.socket = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
		if err := b.store.Close(); err != nil {
			t.Errorf("store: %v", err)
		}
	})
	return b
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   string
}

// do asks over the socket; headers are "Name: value".
func (b *bench) do(method, path, body string, headers ...string) reply {
	b.t.Helper()
	return b.ask(b.socket, "http://dialtone"+path, method, body, headers...)
}

// http asks over the HTTP listener as user:password, or as nobody when user is "".
func (b *bench) http(user, method, path, body string, headers ...string) reply {
	b.t.Helper()
	if user != "" {
		headers = append(headers, "Authorization: "+user)
	}
	return b.ask(http.DefaultClient, b.url+path, method, body, headers...)
}

func (b *bench) ask(client *http.Client, url, method, body string, headers ...string) reply {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

// must is do with a status that has to come.
func (b *bench) must(status int, method, path, body string, headers ...string) reply {
	b.t.Helper()
	r := b.do(method, path, body, headers...)
	if r.status != status {
		b.t.Fatalf("%s %s: status %d, want %d\n%s", method, path, r.status, status, r.body)
	}
	return r
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// auditRows counts the rows of the audit trail.
func (b *bench) auditRows() int64 {
	b.t.Helper()
	n, err := b.store.VerifyAudit(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// tenant is the identifier of a tenant.
func (b *bench) tenant(name string) directory.ID {
	b.t.Helper()
	tenant := b.directory.Snapshot().TenantByName(name)
	if tenant == nil {
		b.t.Fatalf("no tenant %s", name)
	}
	return tenant.ID
}

// finish keeps the record of a call.
func (b *bench) finish(id, tenant string, start time.Time) {
	b.t.Helper()
	r := cdr.Build(cdr.Facts{CallID: id, Tenant: b.tenant(tenant).String(), From: "101", To: "102", Start: start, End: start.Add(time.Second)})
	body, err := json.Marshal(r)
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.store.FinishCalls(b.t.Context(), []store.RecordRow{{
		CallID: id, Tenant: b.tenant(tenant), StartMS: start.UnixMilli(), EndMS: start.UnixMilli() + 1000, From: "101", To: "102", Body: body,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// eventReader reads a stream of server-sent events.
type eventReader struct {
	t     *testing.T
	lines *bufio.Scanner
	body  io.Closer
}

type seenEvent struct {
	ID, Type, Tenant, Object string
	Seq                      uint64
	Time                     time.Time
	Data                     map[string]any
}

func (b *bench) events(path string, headers ...string) *eventReader {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "http://dialtone"+Prefix+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := b.socket.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		b.t.Fatalf("events: %s %v", response.Status, response.Header)
	}
	e := &eventReader{b.t, bufio.NewScanner(response.Body), response.Body}
	b.t.Cleanup(func() { _ = response.Body.Close() })
	if !e.lines.Scan() || e.lines.Text() != ": events" {
		b.t.Fatalf("the stream begins with %q", e.lines.Text())
	}
	return e
}

// next reads one event and holds its lines to its JSON.
func (e *eventReader) next() seenEvent {
	e.t.Helper()
	var id, kind string
	for e.lines.Scan() {
		line := e.lines.Text()
		switch {
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "event: "):
			kind = line[7:]
		case strings.HasPrefix(line, "data: "):
			seen := decode[seenEvent](e.t, line[6:])
			if seen.Type != kind || id != "" && seen.ID != id {
				e.t.Fatalf("id %q and event %q do not fit %s", id, kind, line)
			}
			return seen
		}
	}
	e.t.Fatalf("the stream ended: %v", e.lines.Err())
	return seenEvent{}
}
