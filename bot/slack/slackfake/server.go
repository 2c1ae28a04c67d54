// Package slackfake is a Slack workspace in memory: enough of the Web API, Socket Mode and the signed HTTP deliveries
// that a real client cannot tell. It keeps channels, threads, modals and files, enforces Slack's limits by Slack's own
// error codes, and lets a test or a benchmark act as people do: type, reply, click a button by its label.
//
// What the bot does wrong is refused, as Slack would, and remembered: see Server.Faults.
package slackfake

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// The fixed names of the workspace.
const (
	BotToken      = "xoxb-fake-bot"
	AppToken      = "xapp-fake-app"
	SigningSecret = "fake-signing-secret"
	Team          = "T0HOME"
	OtherTeam     = "T0AWAY"
	BotUser       = "U0BOT"
	BotID         = "B0BOT"
	BotName       = "atlhyper"
)

// Config sets how strict the workspace is.
type Config struct {
	Now func() time.Time // the clock of limits and message ids; time.Now when nil
	// PerSecond is how many messages a channel takes a second, and Burst how many at once before that counts.
	// 0 stands for 1 and 10; a negative Burst turns the limit off.
	PerSecond float64
	Burst     int
	PingEvery time.Duration // of the websocket; 5 s when 0
	// AckWithin is how soon an event must be acknowledged; 3 s, as Slack's, when 0.
	AckWithin time.Duration
}

// User is a person of the workspace, or a visitor.
type User struct {
	ID, Name, Locale    string
	Team                string // Team when empty
	Bot, Guest, Deleted bool
	Email               string // "" for none
	Unconfirmed         bool   // the address
}

// Channel is a channel. Direct message channels come to be by Server.Direct.
type Channel struct {
	ID, Name string
	Outside  bool // the bot was not invited
	Archived bool
	Shared   bool // with another organisation
}

// Server is the workspace. Its methods are safe for concurrent use.
type Server struct {
	cfg  Config
	http *httptest.Server
	work sync.WaitGroup // deliveries that nobody waits for

	mu       sync.Mutex // guards everything below
	changed  chan struct{}
	closed   bool
	users    map[string]User
	channels map[string]Channel
	groups   map[string][]string // user groups with their members
	log      []*post             // every message, by time
	lastTS   int64               // microseconds
	serial   int
	triggers map[string]*trigger
	replies  map[string]*response
	views    map[string]View
	homes    map[string]*View // by person: what the app's home tab shows them
	app      app              // as it was installed
	// assistants are the assistant's threads, by channel and thread.
	assistants map[string]*AssistantThread
	uploads    map[string]*upload
	buckets    map[string]*bucket
	conns      []*socket
	acks       map[string]chan json.RawMessage
	lastSent   func() error // delivers the last event once more

	eventsURL string
	outage    bool
	revoked   bool
	scopes    map[string]bool // those taken away
	failures  map[string][]failure
	calls     map[string]int
	faults    []string
}

type failure struct{ code string }

type trigger struct {
	at   time.Time
	user string
	used bool
}

// New starts a workspace with one channel, C0OPS, and two people, U0MIA and U0KEN. Close stops it.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.PerSecond = cmp.Or(cfg.PerSecond, 1)
	cfg.Burst = cmp.Or(cfg.Burst, 10)
	cfg.PingEvery = cmp.Or(cfg.PingEvery, 5*time.Second)
	cfg.AckWithin = cmp.Or(cfg.AckWithin, 3*time.Second)
	s := &Server{
		cfg:      cfg,
		changed:  make(chan struct{}),
		users:    map[string]User{},
		channels: map[string]Channel{},
		groups:   map[string][]string{},
		triggers: map[string]*trigger{},
		replies:  map[string]*response{},
		views:    map[string]View{},
		homes:    map[string]*View{},

		assistants: map[string]*AssistantThread{},
		uploads:    map[string]*upload{},
		buckets:    map[string]*bucket{},
		acks:       map[string]chan json.RawMessage{},
		scopes:     map[string]bool{},
		failures:   map[string][]failure{},
		calls:      map[string]int{},
	}
	s.AddUser(User{ID: BotUser, Name: BotName, Bot: true})
	s.AddUser(User{ID: "U0MIA", Name: "Mia", Locale: "en-GB"})
	s.AddUser(User{ID: "U0KEN", Name: "Ken", Locale: "ja-JP"})
	s.AddChannel(Channel{ID: "C0OPS", Name: "ops"})
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", s.serveAPI)
	mux.HandleFunc("POST /upload/{id}", s.serveUpload)
	mux.HandleFunc("POST /response/{id}", s.serveResponse)
	mux.HandleFunc("/socket", s.serveSocket)
	s.http = httptest.NewServer(mux)
	return s
}

// URL is the API's base address, for SLACK_API_URL.
func (s *Server) URL() string { return s.http.URL + "/api/" }

// Close ends every connection and waits for deliveries.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	conns := slices.Clone(s.conns)
	s.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
	s.work.Wait()
	s.http.CloseClientConnections()
	s.http.Close()
}

// AddUser adds or replaces a person.
func (s *Server) AddUser(u User) {
	u.Team = cmp.Or(u.Team, Team)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[u.ID] = u
}

// AddChannel adds or replaces a channel.
func (s *Server) AddChannel(c Channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[c.ID] = c
}

// EventsURL makes Slack deliver by signed HTTP to this base address instead of the socket; "" goes back.
func (s *Server) EventsURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventsURL = strings.TrimSuffix(base, "/")
}

// Outage makes every call fail with 503 while it is on.
func (s *Server) Outage(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = on
}

// Revoke makes the tokens worthless.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = true
}

// Lost is a code for Fail: Slack does what it was asked, and the answer never arrives.
const Lost = "lost"

// Fail makes the next n calls of a method fail: with a code of Slack's, with an HTTP status when it is a number, or
// Lost. A 429 made so carries no Retry-After.
func (s *Server) Fail(method, code string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.failures[method] = append(s.failures[method], failure{code})
	}
}

// SetGroup makes a user group, or changes its members.
func (s *Server) SetGroup(id string, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[id] = members
}

// DropScope takes a scope from the tokens.
func (s *Server) DropScope(scope string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scopes[scope] = true
}

// Calls is how often a method was called, refused calls among them.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Faults are the bot's mistakes so far: calls that broke a limit, events that were not acknowledged in time. Failures
// that Fail or Outage ordered, and 429, are none.
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

func (s *Server) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultLocked(format, args...)
}

func (s *Server) faultLocked(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// Wait returns when the condition holds. It is looked at after each change of the workspace, with no lock held.
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
			return fmt.Errorf("slackfake: wait: %w", ctx.Err())
		}
	}
}

// WaitMessage waits for a message in a channel, its threads among it, that shows these words.
func (s *Server) WaitMessage(ctx context.Context, channel, words string) (Message, error) {
	var found Message
	err := s.Wait(ctx, func() bool {
		for _, m := range slices.Backward(s.all(channel)) {
			if m.User == BotUser && strings.Contains(m.Text(), words) {
				found = m
				return true
			}
		}
		return false
	})
	if err != nil {
		var seen []string
		for _, m := range s.all(channel) {
			seen = append(seen, m.Text())
		}
		return Message{}, fmt.Errorf("slackfake: no message with %q in %s: %w; there is:\n%s", words, channel, err, strings.Join(seen, "\n---\n"))
	}
	return found, nil
}

// WaitConnected waits for a Socket Mode connection.
func (s *Server) WaitConnected(ctx context.Context) error {
	return s.Wait(ctx, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) > 0
	})
}

// WaitDisconnected waits until no Socket Mode connection is left, such as after the bot's process was killed.
func (s *Server) WaitDisconnected(ctx context.Context) error {
	return s.Wait(ctx, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 0
	})
}

// changedLocked wakes those who Wait.
func (s *Server) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// idLocked makes an id that no other has.
func (s *Server) idLocked(prefix string) string {
	s.serial++
	return fmt.Sprintf("%s%06d", prefix, s.serial)
}

// tsLocked makes a message's ts: the time, and later than every one before.
func (s *Server) tsLocked() string {
	s.lastTS = max(s.lastTS+1, s.cfg.Now().UnixMicro())
	return fmt.Sprintf("%d.%06d", s.lastTS/1e6, s.lastTS%1e6)
}

func (s *Server) triggerLocked(user string) string {
	id := s.idLocked("trigger.")
	s.triggers[id] = &trigger{at: s.cfg.Now(), user: user}
	return id
}

// bucket is a channel's allowance of messages.
type bucket struct {
	tokens float64
	at     time.Time
}

// takeLocked takes one message from a channel's allowance, or says for how many seconds there is none.
func (s *Server) takeLocked(channel string) (retryAfter int) {
	if s.cfg.Burst < 0 {
		return 0
	}
	now := s.cfg.Now()
	b := s.buckets[channel]
	if b == nil {
		b = &bucket{tokens: float64(s.cfg.Burst), at: now}
		s.buckets[channel] = b
	}
	b.tokens = min(float64(s.cfg.Burst), b.tokens+now.Sub(b.at).Seconds()*s.cfg.PerSecond)
	b.at = now
	if b.tokens < 1 {
		return int((1-b.tokens)/s.cfg.PerSecond) + 1
	}
	b.tokens--
	return 0
}
