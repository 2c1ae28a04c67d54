// Package uplink carries an agent's reports to the engine and the engine's queries and commands back. The agent only
// dials out.
//
// What must not be lost is never queued: of a changed object only its key is kept, and its newest form is read when a
// batch is made, so a link that is down for an hour costs no more memory than one that is down for a second. A batch
// that was sent is sent again, unchanged and under its number, until the engine acknowledges it; a new session starts
// with everything. Telemetry frames wait in a bounded spool whose oldest frames give way; whole minutes stay with who made
// them until the engine has acknowledged them.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

// State is the cluster as the agent sees it. Its methods are called by one goroutine at a time and must not block.
type State interface {
	// Resource gives the newest form of an object, nil when it is gone.
	Resource(kube.Key) *report.Resource
	// Snapshot gives everything that is there.
	Snapshot() []*report.Resource
	// Kinds gives what could be listed and what not.
	Kinds() []*report.KindStatus
	// Settled is closed when Snapshot is complete. Before that no snapshot is sent, so that an agent that starts while
	// the API server is away does not report an empty cluster.
	Settled() <-chan struct{}
}

// Runner answers what the engine asks. Both methods always give an outcome, honour their context and may be called
// by many goroutines; of commands, those of one target come one after the other.
type Runner interface {
	Query(context.Context, *report.Query) *report.Outcome
	Command(context.Context, *report.Command) *report.Outcome
}

// Minutes are the whole minutes of telemetry that wait to be sent. Its methods may be called by any goroutine.
type Minutes interface {
	// Pending gives the oldest ones that were not acknowledged, oldest first: as many as fit into room bytes, at least one
	// if there is any.
	Pending(room int) []*report.TelemetryMinute
	// Acknowledged notes that the engine has these; Pending does not give them again.
	Acknowledged([]*report.TelemetryMinute)
}

// Retry says how long to wait between attempts. The wait doubles from Min to Max; a random half of it is left off, so
// that a hundred agents do not come back in step.
type Retry struct {
	Min     time.Duration // default 200 ms
	Max     time.Duration // default 30 s
	Refused time.Duration // after a token was refused: somebody must act first; default 1 min
}

// Config is what an Uplink needs.
type Config struct {
	Cluster string
	Token   string
	// EngineURL is where the engine listens for agents: "https://atlhyper.example:8081".
	EngineURL string
	// HTTPClient makes the calls; the default is an own one, whose connections Run closes.
	HTTPClient connect.HTTPClient
	// Hello gives what the agent says of itself at each Join; cluster and time are filled in.
	Hello  func() *report.JoinRequest
	State  State
	Runner Runner
	// Minutes are sent after the state; a minute that was not acknowledged is sent again. Optional.
	Minutes Minutes

	MaxBatchResources int           // default 500
	MaxBatchBytes     int           // uncompressed; default 2 MB
	SpoolFrames       int           // default 360: an hour of 10 s ticks
	SpoolBytes        int           // default 32 MB
	Gather            time.Duration // how long a batch waits for more changes; default 20 ms
	Queries           int           // how many run at once; default 8
	StopGrace         time.Duration // what running commands get at the end to finish and report; default 5 s
	Retry             Retry

	Now    func() time.Time // default time.Now
	Logger *slog.Logger
}

func (c *Config) defaults() error {
	if c.Cluster == "" {
		return errors.New("uplink: no cluster id; give one with --cluster-id")
	}
	if c.State == nil || c.Runner == nil {
		return errors.New("uplink: State and Runner are needed")
	}
	u, err := url.Parse(c.EngineURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("uplink: engine address %q is not a URL like https://atlhyper.example:8081; give it with --engine", c.EngineURL)
	}
	if u.User != nil {
		return errors.New("uplink: the engine address must hold no credentials; give the cluster token with --token")
	}
	c.EngineURL = strings.TrimSuffix(c.EngineURL, "/")
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	wait := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.MaxBatchResources, 500)
	set(&c.MaxBatchBytes, 2<<20)
	set(&c.SpoolFrames, 360)
	set(&c.SpoolBytes, 32<<20)
	set(&c.Queries, 8)
	wait(&c.Gather, 20*time.Millisecond)
	wait(&c.StopGrace, 5*time.Second)
	wait(&c.Retry.Min, 200*time.Millisecond)
	wait(&c.Retry.Max, 30*time.Second)
	wait(&c.Retry.Refused, time.Minute)
	if c.Hello == nil {
		c.Hello = func() *report.JoinRequest { return &report.JoinRequest{} }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Stats counts what was done since the start.
type Stats struct {
	Batches       uint64 // acknowledged
	Resyncs       uint64 // ended and acknowledged
	Upserts       uint64
	Deletes       uint64
	Frames        uint64
	DroppedFrames uint64    // left out because the spool was full
	Minutes       uint64    // acknowledged
	Bytes         uint64    // of reports, before compression, each attempt counted
	WireBytes     uint64    // the same as sent
	Connected     bool      // the last call was answered
	LastReport    time.Time // when the last batch was acknowledged
	LastError     string    // of the last failed call, empty when the one after it succeeded; never holds the token
}

// session is what a Join gave.
type session struct {
	id        string
	heartbeat time.Duration
	skew      time.Duration // engine clock minus ours
}

// Uplink is the agent's link to the engine. Its methods may be called by any goroutine.
type Uplink struct {
	cfg    Config
	client report.AgentServiceClient
	meter  *meter
	own    *http.Transport // of the default client, closed by Run; nil when one was given
	wake   chan struct{}   // holds one token: there may be something to send
	synced chan struct{}   // closed when the first resync was acknowledged
	once   sync.Once       // closes synced

	mu      sync.Mutex // guards all below
	pending pending
	session session
	rejoin  bool
	stats   Stats
}

// New checks the configuration; Run does the work.
func New(cfg Config) (*Uplink, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	u := &Uplink{cfg: cfg, wake: make(chan struct{}, 1), synced: make(chan struct{})}
	u.pending = newPending(cfg.SpoolFrames, cfg.SpoolBytes)
	if cfg.HTTPClient == nil {
		u.own = newTransport()
		cfg.HTTPClient = &http.Client{Transport: u.own}
	}
	u.meter = &meter{next: cfg.HTTPClient, cluster: cfg.Cluster, token: cfg.Token}
	u.client = report.NewAgentServiceClient(u.meter, cfg.EngineURL, report.ClientCompression(), connect.WithReadMaxBytes(8<<20))
	return u, nil
}

// newTransport notices a peer that went away without a word: an HTTP/2 connection that carries an open stream would
// otherwise look alive for ever.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
	return t
}

// Changed notes that an object came, changed or went.
func (u *Uplink) Changed(k kube.Key) {
	u.mu.Lock()
	u.pending.keys[k] = struct{}{}
	u.mu.Unlock()
	u.poke()
}

// KindChanged notes that the status of a kind changed.
func (u *Uplink) KindChanged() {
	u.mu.Lock()
	u.pending.kinds = true
	u.mu.Unlock()
	u.poke()
}

// Frame queues a telemetry frame, which must not be changed afterwards.
func (u *Uplink) Frame(f *report.TelemetryFrame) {
	u.mu.Lock()
	u.stats.DroppedFrames += u.pending.push(f)
	u.mu.Unlock()
	u.poke()
}

// MinuteOver notes that Minutes may have more to send.
func (u *Uplink) MinuteOver() { u.poke() }

// Rejoin opens a new session, for instance because Hello has more to say now.
func (u *Uplink) Rejoin() {
	u.mu.Lock()
	u.rejoin = true
	u.mu.Unlock()
	u.poke()
}

// Synced is closed when the engine has acknowledged the whole state for the first time.
func (u *Uplink) Synced() <-chan struct{} { return u.synced }

// Stats gives the counters.
func (u *Uplink) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.stats
	s.WireBytes = u.meter.sent.Load()
	return s
}

func (u *Uplink) poke() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// Run keeps the link until ctx is done, then lets running commands finish and report for the grace period. It returns
// only when everything that it started has stopped.
func (u *Uplink) Run(ctx context.Context) {
	d := newDispatcher(u)
	wait := u.cfg.Retry.Min
	for ctx.Err() == nil {
		s, err := u.join(ctx)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			wait = u.failed("join", err, wait)
			sleep(ctx, wait)
			continue
		}
		began := time.Now()
		err = u.hold(ctx, s, d)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errRejoin) {
			continue
		}
		// An engine that asks for a resync of every session must not be flooded with them.
		if time.Since(began) > u.cfg.Retry.Max {
			wait = u.cfg.Retry.Min
		}
		wait = u.failed("report", err, wait)
		sleep(ctx, wait)
	}
	d.stop()
	if u.own != nil {
		u.own.CloseIdleConnections()
	}
}

// hold runs one session until it is lost, and says why.
func (u *Uplink) hold(ctx context.Context, s session, d *dispatcher) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var listening sync.WaitGroup
	listening.Go(func() {
		if err := u.listen(ctx, s, d); err != nil {
			cancel(err)
		}
	})
	err := u.report(ctx, s)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	listening.Wait()
	return err
}

func (u *Uplink) join(ctx context.Context) (session, error) {
	u.mu.Lock()
	u.rejoin = false
	u.mu.Unlock()
	req := proto.CloneOf(u.cfg.Hello())
	req.Cluster = u.cfg.Cluster
	req.SentAt = stamp(u.cfg.Now())
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := u.client.Join(ctx, connect.NewRequest(req))
	if err != nil {
		return session{}, err
	}
	s := session{id: resp.Msg.GetSession(), heartbeat: resp.Msg.GetHeartbeat().AsDuration(), skew: resp.Msg.GetClockSkew().AsDuration()}
	if s.heartbeat <= 0 {
		s.heartbeat = defaultHeartbeat
	}
	u.mu.Lock()
	u.session = s
	u.mu.Unlock()
	u.answered()
	u.cfg.Logger.Info("joined the engine", "engine", u.cfg.EngineURL, "heartbeat", s.heartbeat, "clock_skew", s.skew)
	return s, nil
}

func (u *Uplink) current() session {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.session
}

func (u *Uplink) answered() {
	u.mu.Lock()
	u.stats.Connected, u.stats.LastError = true, ""
	u.mu.Unlock()
}

// failed notes an error and says how long to wait after it, given how long the wait was before.
func (u *Uplink) failed(what string, err error, before time.Duration) time.Duration {
	sentence := u.explain(what, err)
	u.mu.Lock()
	repeated := u.stats.LastError == sentence
	u.stats.Connected, u.stats.LastError = false, sentence
	u.mu.Unlock()
	level := slog.LevelWarn
	if repeated {
		level = slog.LevelDebug // said once is enough
	}
	wait := jitter(min(2*before, u.cfg.Retry.Max))
	if refused(err) {
		level = max(level, slog.LevelInfo)
		wait = jitter(u.cfg.Retry.Refused)
	}
	u.cfg.Logger.Log(context.Background(), level, "link to the engine failed", "err", sentence, "retry_in", wait)
	return wait
}
