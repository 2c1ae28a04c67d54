// Package enginefake is a stateful fake of the engine's end of the protocol, for tests of what talks to it: it checks
// tokens and sequence numbers, keeps the state that reports build up, and pushes queries and commands.
package enginefake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

// Engine is the fake. Its methods may be called by any goroutine.
type Engine struct {
	server *httptest.Server

	mu       sync.Mutex // guards all below
	token    string
	beat     time.Duration
	skew     time.Duration
	sessions int
	session  string // the one that is known; empty after Forget
	last     uint64 // sequence number applied last
	applied  []*report.ReportRequest
	state    map[kube.Key]*report.Resource
	resync   map[kube.Key]*report.Resource // what a running resync has brought; nil when none runs
	kinds    map[string]*report.KindStatus
	frames   []*report.TelemetryFrame
	minutes  []*report.TelemetryMinute
	again    int // minutes that came although they had been applied
	joins    []*report.JoinRequest
	synced   int                           // resyncs ended
	down     bool                          // every call fails
	deaf     int                           // so many batches are applied and their answers lost
	stream   chan *report.CommandsResponse // of the open stream; nil when there is none
	outcomes map[string][]*report.Outcome
	news     chan struct{} // closed and made anew at each change
}

// New starts an engine that takes this token. It is stopped at the end of the test.
func New(t testing.TB, token string) *Engine {
	e := &Engine{
		token: token, beat: time.Second, state: map[kube.Key]*report.Resource{}, kinds: map[string]*report.KindStatus{},
		outcomes: map[string][]*report.Outcome{}, news: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.Handle(report.NewAgentServiceHandler(e, report.HandlerCompression()))
	e.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		e.server.CloseClientConnections()
		e.server.Close()
	})
	return e
}

// URL is where the engine listens.
func (e *Engine) URL() string { return e.server.URL }

// edit changes the fake under its lock and wakes who waits for a change.
func (e *Engine) edit(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	close(e.news)
	e.news = make(chan struct{})
}

// SetToken changes the token that is taken.
func (e *Engine) SetToken(token string) { e.edit(func() { e.token = token }) }

// SetHeartbeat changes what the next Join promises.
func (e *Engine) SetHeartbeat(d time.Duration) { e.edit(func() { e.beat = d }) }

// SetSkew changes how far the engine's clock is said to be ahead of the agent's.
func (e *Engine) SetSkew(d time.Duration) { e.edit(func() { e.skew = d }) }

// Cut makes every call fail until Mend, and ends the open stream.
func (e *Engine) Cut() {
	e.edit(func() { e.down = true })
	e.server.CloseClientConnections()
}

// Mend ends Cut.
func (e *Engine) Mend() { e.edit(func() { e.down = false }) }

// LoseAnswers makes the next n batches be applied without the agent being told.
func (e *Engine) LoseAnswers(n int) { e.edit(func() { e.deaf = n }) }

// Forget makes the engine as after a restart without memory.
func (e *Engine) Forget() {
	e.edit(func() {
		e.session, e.state, e.resync = "", map[kube.Key]*report.Resource{}, nil
		if e.stream != nil {
			close(e.stream)
			e.stream = nil
		}
	})
}

// Ask pushes a query once a stream is open.
func (e *Engine) Ask(t testing.TB, q *report.Query) {
	t.Helper()
	e.push(t, &report.CommandsResponse{Message: &report.CommandsResponse_Query{Query: q}})
}

// Order pushes a command once a stream is open.
func (e *Engine) Order(t testing.TB, c *report.Command) {
	t.Helper()
	e.push(t, &report.CommandsResponse{Message: &report.CommandsResponse_Command{Command: c}})
}

func (e *Engine) push(t testing.TB, m *report.CommandsResponse) {
	t.Helper()
	e.wait(t, "a command stream", func() bool {
		if e.stream == nil {
			return false
		}
		select {
		case e.stream <- m:
			return true
		default:
			return false
		}
	})
}

// Outcome waits for the answer to a query or command.
func (e *Engine) Outcome(t testing.TB, id string) *report.Outcome {
	t.Helper()
	var o *report.Outcome
	e.wait(t, "outcome "+id, func() bool {
		if list := e.outcomes[id]; len(list) > 0 {
			o = list[len(list)-1]
		}
		return o != nil
	})
	return o
}

// WaitOutcomes waits until an outcome was delivered n times.
func (e *Engine) WaitOutcomes(t testing.TB, id string, n int) {
	t.Helper()
	e.wait(t, fmt.Sprintf("outcome %s %d times", id, n), func() bool { return len(e.outcomes[id]) >= n })
}

// WaitKind waits until a kind has a state.
func (e *Engine) WaitKind(t testing.TB, kind string, state report.KindStatus_State) {
	t.Helper()
	e.wait(t, fmt.Sprintf("kind %s in %v", kind, state), func() bool { return e.kinds[kind].GetState() == state })
}

// WaitFrames waits for n telemetry frames.
func (e *Engine) WaitFrames(t testing.TB, n int) {
	t.Helper()
	e.wait(t, fmt.Sprintf("%d frames", n), func() bool { return len(e.frames) >= n })
}

// Outcomes gives how often an outcome was delivered.
func (e *Engine) Outcomes(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.outcomes[id])
}

// wait waits until a condition, evaluated under the lock, holds.
func (e *Engine) wait(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		e.mu.Lock()
		ok, news := cond(), e.news
		e.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-time.After(20 * time.Millisecond): // a stream that is full has no news
		case <-deadline:
			t.Fatalf("no %s within 60 s", what)
		}
	}
}

// WaitFor waits until the state holds what cond wants.
func (e *Engine) WaitFor(t testing.TB, what string, cond func(map[kube.Key]*report.Resource) bool) {
	t.Helper()
	e.wait(t, what, func() bool { return cond(e.state) })
}

// WaitSynced waits for the n-th resync to end.
func (e *Engine) WaitSynced(t testing.TB, n int) {
	t.Helper()
	e.wait(t, fmt.Sprintf("resync %d", n), func() bool { return e.synced >= n })
}

// State gives a copy of what the reports built up.
func (e *Engine) State() map[kube.Key]*report.Resource {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.state)
}

// Kinds gives the newest status of each kind.
func (e *Engine) Kinds() map[string]*report.KindStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.kinds)
}

// Frames gives the telemetry frames in the order of their arrival.
func (e *Engine) Frames() []*report.TelemetryFrame {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*report.TelemetryFrame(nil), e.frames...)
}

// Minutes gives the whole minutes in the order of their arrival, each once: one that is not newer than the newest was
// applied before. again is how many of those came.
func (e *Engine) Minutes() (minutes []*report.TelemetryMinute, again int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*report.TelemetryMinute(nil), e.minutes...), e.again
}

// WaitMinute waits until the minute that began at a time was applied.
func (e *Engine) WaitMinute(t testing.TB, start time.Time) {
	t.Helper()
	e.wait(t, fmt.Sprint("minute ", start), func() bool {
		n := len(e.minutes)
		return n > 0 && !e.minutes[n-1].GetStart().AsTime().Before(start)
	})
}

// Batches gives every batch that was applied.
func (e *Engine) Batches() []*report.ReportRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*report.ReportRequest(nil), e.applied...)
}

// Joins gives every Join that was accepted.
func (e *Engine) Joins() []*report.JoinRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*report.JoinRequest(nil), e.joins...)
}

// Everything gives all that was ever received, encoded, to search for what must not be in it.
func (e *Engine) Everything() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []byte
	add := func(m proto.Message) { all, _ = proto.MarshalOptions{}.MarshalAppend(all, m) }
	for _, b := range e.applied {
		add(b)
	}
	for _, j := range e.joins {
		add(j)
	}
	for _, list := range e.outcomes {
		for _, o := range list {
			add(o)
		}
	}
	return all
}

var errDown = connect.NewError(connect.CodeUnavailable, errors.New("the engine is down"))

func (e *Engine) check(h http.Header) error {
	if e.down {
		return errDown
	}
	if h.Get("Authorization") != "Bearer "+e.token || h.Get("Atlhyper-Cluster") == "" {
		return connect.NewError(connect.CodeUnauthenticated, errors.New("the token is not that of the cluster"))
	}
	return nil
}

// Join opens a session.
func (e *Engine) Join(_ context.Context, r *connect.Request[report.JoinRequest]) (resp *connect.Response[report.JoinResponse], err error) {
	e.edit(func() {
		if err = e.check(r.Header()); err != nil {
			return
		}
		e.sessions++
		e.session, e.last, e.resync = fmt.Sprintf("session-%d", e.sessions), 0, nil
		e.joins = append(e.joins, r.Msg)
		resp = connect.NewResponse(&report.JoinResponse{Session: e.session, Heartbeat: durationpb.New(e.beat), ClockSkew: durationpb.New(e.skew)})
	})
	return resp, err
}

// Report applies a batch.
func (e *Engine) Report(_ context.Context, r *connect.Request[report.ReportRequest]) (resp *connect.Response[report.ReportResponse], err error) {
	e.edit(func() {
		if err = e.check(r.Header()); err != nil {
			return
		}
		b := r.Msg
		switch {
		case b.GetSession() != e.session || b.GetSequence() > e.last+1:
			resp = connect.NewResponse(&report.ReportResponse{Acknowledged: e.last, Resync: true})
			return
		case b.GetSequence() == e.last+1:
			e.apply(b)
		}
		if e.deaf > 0 {
			e.deaf--
			err = errDown
			return
		}
		resp = connect.NewResponse(&report.ReportResponse{Acknowledged: e.last})
	})
	return resp, err
}

func (e *Engine) apply(b *report.ReportRequest) {
	e.last = b.GetSequence()
	e.applied = append(e.applied, b)
	if b.GetResyncBegin() {
		e.resync = map[kube.Key]*report.Resource{}
	}
	for _, r := range b.GetUpserts() {
		k := kube.Key{Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
		e.state[k] = r
		if e.resync != nil {
			e.resync[k] = r
		}
	}
	for _, k := range b.GetDeletes() {
		delete(e.state, kube.Key{Kind: k.GetKind(), Namespace: k.GetNamespace(), Name: k.GetName()})
	}
	for _, k := range b.GetKinds() {
		e.kinds[k.GetKind()] = k
	}
	e.frames = append(e.frames, b.GetFrames()...)
	for _, m := range b.GetMinutes() {
		if n := len(e.minutes); n > 0 && !m.GetStart().AsTime().After(e.minutes[n-1].GetStart().AsTime()) {
			e.again++
			continue
		}
		e.minutes = append(e.minutes, m)
	}
	if b.GetResyncEnd() && e.resync != nil {
		e.state, e.resync = e.resync, nil
		e.synced++
	}
}

// Commands holds a stream open.
func (e *Engine) Commands(ctx context.Context, r *connect.Request[report.CommandsRequest], s *connect.ServerStream[report.CommandsResponse]) error {
	mine := make(chan *report.CommandsResponse, 64)
	var err error
	var beat time.Duration
	e.edit(func() {
		if err = e.check(r.Header()); err != nil {
			return
		}
		if r.Msg.GetSession() != e.session {
			err = connect.NewError(connect.CodeFailedPrecondition, errors.New("no such session"))
			return
		}
		e.stream, beat = mine, e.beat
	})
	if err != nil {
		return err
	}
	defer e.edit(func() {
		if e.stream == mine {
			e.stream = nil
		}
	})
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		m := &report.CommandsResponse{Message: &report.CommandsResponse_Heartbeat{Heartbeat: &report.Heartbeat{SentAt: timestamppb.Now()}}}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case pushed, open := <-mine:
			if !open {
				return nil
			}
			m = pushed
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
}

// Complete takes an outcome.
func (e *Engine) Complete(_ context.Context, r *connect.Request[report.CompleteRequest]) (*connect.Response[report.CompleteResponse], error) {
	var err error
	e.edit(func() {
		if err = e.check(r.Header()); err != nil {
			return
		}
		id := r.Msg.GetOutcome().GetId()
		e.outcomes[id] = append(e.outcomes[id], r.Msg.GetOutcome())
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&report.CompleteResponse{}), nil
}
