// Package discordfake is a Discord server in memory: enough of the REST API, the gateway and the signed interaction
// deliveries that a real client cannot tell. It keeps channels, threads, messages and prompts, enforces Discord's
// limits, and lets a test act as people do: type, reply, click a button by its label.
//
// What the bot does wrong is refused, as Discord would, and remembered: see Server.Faults.
package discordfake

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The fixed names of the server.
const (
	BotToken = "fake-token"
	BotUser  = "100"
	Guild    = "200"
	Ops      = "300" // the one channel
	Mia      = "401"
	Ken      = "402"
	OnCall   = "501" // Mia's role
)

// Config sets how strict the server is.
type Config struct {
	Now func() time.Time // the clock of limits; time.Now when nil
	// Burst is how many messages a channel takes in PerWindow before it answers 429; 0 stands for 5 in 5 s, which is
	// what Discord is known to allow. A negative Burst turns the limit off.
	Burst     int
	PerWindow time.Duration
	// AnswerWithin is how soon an interaction must get its first answer; 3 s, as Discord's, when 0.
	AnswerWithin time.Duration
	// NoContentIntent refuses the Message Content Intent, as for an application that did not switch it on.
	NoContentIntent bool
}

// User is a person.
type User struct {
	ID, Name string
	Roles    []string
	Bot      bool
	Outside  bool   // not a member of the guild
	Locale   string // of the client; "ja" when empty
}

type channel struct {
	id, parent, owner, name string
	direct                  string // the person of a direct message channel
}

// Server is the Discord server. Its methods are safe for concurrent use.
type Server struct {
	cfg  Config
	http *httptest.Server
	key  ed25519.PrivateKey

	mu           sync.Mutex // guards everything below
	changed      chan struct{}
	closed       bool
	users        map[string]User
	channels     map[string]*channel
	log          []*Message
	serial       int64
	nonces       map[string]string // nonce to message id
	interactions map[string]*interaction
	prompts      map[string]Prompt // open, by person
	sent         map[string][]time.Time
	commands     []string
	described    map[string]string // the command's directions, by locale
	onMessages   []string          // those in the menus of messages
	options      []commandOption   // of the last command
	conns        []*gateway
	seq          int
	events       []map[string]any // every event, for sessions that resume
	welcomed     bool             // a session was begun
	httpURL      string
	lastSent     func() error
	outage       bool
	revoked      bool
	failures     map[string][]string
	calls        map[string]int
	faults       []string
}

// New starts a server with the channel Ops and its members Mia and Ken. Close stops it.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Burst = cmp.Or(cfg.Burst, 5)
	cfg.PerWindow = cmp.Or(cfg.PerWindow, 5*time.Second)
	cfg.AnswerWithin = cmp.Or(cfg.AnswerWithin, 3*time.Second)
	s := &Server{
		cfg:          cfg,
		key:          ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		changed:      make(chan struct{}),
		users:        map[string]User{},
		channels:     map[string]*channel{Ops: {id: Ops, name: "ops"}},
		serial:       1000,
		nonces:       map[string]string{},
		interactions: map[string]*interaction{},
		prompts:      map[string]Prompt{},
		sent:         map[string][]time.Time{},
		failures:     map[string][]string{},
		calls:        map[string]int{},
	}
	s.AddUser(User{ID: Mia, Name: "Mia", Roles: []string{OnCall}})
	s.AddUser(User{ID: Ken, Name: "Ken"})
	s.http = httptest.NewServer(s.routes())
	return s
}

// URL is the API's base address, for DISCORD_API_URL.
func (s *Server) URL() string { return s.http.URL + "/api/v9" }

// PublicKey is what signed deliveries verify with, for DISCORD_PUBLIC_KEY.
func (s *Server) PublicKey() string {
	return hex.EncodeToString(s.key.Public().(ed25519.PublicKey))
}

// Close ends every connection.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	conns := slices.Clone(s.conns)
	for _, i := range s.interactions {
		i.timer.Stop()
	}
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.conn.Close()
	}
	s.http.CloseClientConnections()
	s.http.Close()
}

// AddUser adds or replaces a person.
func (s *Server) AddUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[u.ID] = u
}

// InteractionsURL makes Discord deliver interactions by signed HTTP to this address instead of the gateway.
func (s *Server) InteractionsURL(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.httpURL = address
}

// Outage makes every call fail with 503 while it is on.
func (s *Server) Outage(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = on
}

// Revoke makes the token worthless.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = true
}

// Lost is a code for Fail: Discord does what it was asked, and the answer never arrives.
const Lost = "lost"

// Fail makes the next n calls of a route, such as "POST /channels/{channel}/messages", fail: with an HTTP status, with
// one and Discord's own code ("403 50013"), or Lost.
func (s *Server) Fail(route, code string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.failures[route] = append(s.failures[route], code)
	}
}

// Calls is how often a route was called.
func (s *Server) Calls(route string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[route]
}

// Described are the directions of the command and of its options, as a client of a locale shows them.
func (s *Server) Described(locale string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{s.described[locale]}
	for _, o := range s.options {
		out = append(out, o.Local[locale])
	}
	return out
}

// Commands are the names of the application's commands.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Faults are the bot's mistakes so far: calls that broke a limit, interactions that got no answer in time.
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

func (s *Server) faultLocked(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// Wait returns when the condition holds. It is looked at after each change, with no lock held.
func (s *Server) Wait(ctx context.Context, condition func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if condition() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("discordfake: wait: %w", ctx.Err())
		}
	}
}

// WaitMessage waits for a message of the bot in a channel or thread that shows these words.
func (s *Server) WaitMessage(ctx context.Context, channel, words string) (Message, error) {
	var found Message
	err := s.Wait(ctx, func() bool {
		for _, m := range slices.Backward(s.Messages(channel)) {
			if m.Author == BotUser && strings.Contains(m.Text(), words) {
				found = m
				return true
			}
		}
		return false
	})
	if err != nil {
		var seen []string
		for _, m := range s.Messages(channel) {
			seen = append(seen, m.Text())
		}
		return Message{}, fmt.Errorf("discordfake: no message with %q in %s: %w; there is:\n%s", words, channel, err, strings.Join(seen, "\n---\n"))
	}
	return found, nil
}

// WaitConnected waits for a gateway connection that is ready.
func (s *Server) WaitConnected(ctx context.Context) error {
	return s.Wait(ctx, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) > 0
	})
}

func (s *Server) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// idLocked makes an id. Discord's are numbers that grow with time.
func (s *Server) idLocked() string {
	s.serial++
	return strconv.FormatInt(s.serial, 10)
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for route, run := range map[string]func(*Server, *call) (any, *refusal){
		"GET /users/@me":                                      (*Server).me,
		"GET /gateway":                                        (*Server).gatewayURL,
		"GET /channels/{channel}":                             (*Server).getChannel,
		"GET /guilds/{guild}/members/{user}":                  (*Server).getMember,
		"POST /users/@me/channels":                            (*Server).openDirect,
		"POST /channels/{channel}/messages":                   (*Server).postMessage,
		"PATCH /channels/{channel}/messages/{message}":        (*Server).editMessage,
		"POST /channels/{channel}/messages/{message}/threads": (*Server).startThread,
		"POST /interactions/{interaction}/{token}/callback":   (*Server).firstAnswer,
		"PATCH /webhooks/{app}/{token}/messages/@original":    (*Server).editOriginal,
		"DELETE /webhooks/{app}/{token}/messages/@original":   (*Server).deleteOriginal,
		"POST /webhooks/{app}/{token}":                        (*Server).followUp,
		"PUT /applications/{app}/commands":                    (*Server).setCommands,
		"PUT /applications/{app}/guilds/{guild}/commands":     (*Server).setCommands,
	} {
		verb, path, _ := strings.Cut(route, " ")
		mux.HandleFunc(verb+" /api/v9"+path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, route, run) })
	}
	mux.HandleFunc("/ws/", s.serveGateway)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.faultLocked("no such route: %s %s", r.Method, r.URL.Path)
		s.mu.Unlock()
		http.NotFound(w, r)
	})
	return mux
}
