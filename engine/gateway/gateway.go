// Package gateway is the RPC endpoint that agents dial. It knows sessions, sequence numbers and what is under way; what
// a report means is the engine's business.
package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// MaxBatch is the largest report that is read, decompressed.
const MaxBatch = 16 << 20

// Tokens says whether a token is a cluster's. Implementations compare in constant time.
type Tokens interface {
	VerifyCluster(ctx context.Context, cluster, token string) (bool, error)
}

// Sink takes what agents report. Calls for one cluster come one at a time and in order.
type Sink interface {
	Joined(cluster string, j *report.JoinRequest, skew time.Duration)
	Ingest(ctx context.Context, cluster string, batch *report.ReportRequest) error
}

// Config of a Gateway.
type Config struct {
	Tokens    Tokens
	Sink      Sink
	Heartbeat time.Duration    // default 10 s: how often an agent speaks at least
	Now       func() time.Time // default time.Now
	Logger    *slog.Logger
}

// Gateway implements report.AgentServiceHandler. It is safe for concurrent use.
type Gateway struct {
	cfg Config
	log *slog.Logger

	mu       sync.Mutex // guards all below
	sessions map[string]*session
	current  map[string]*session // by cluster
	pending  map[string]*pending // by query or command id
}

// session is one agent's life with us. Its mutex orders the reports of the session.
type session struct {
	id, cluster string
	reporting   sync.Mutex
	last        uint64        // highest sequence applied
	fresh       bool          // a resync has begun in this session
	out         chan struct{} // capacity 1: something is to be sent on the stream
	gone        chan struct{} // closed when a newer session of the cluster replaces this one
}

// pending is a query or command whose outcome has not come.
type pending struct {
	cluster string
	message *report.CommandsResponse
	sentTo  string // the stream that carried it; another stream sends it again
	done    chan *report.Outcome
}

// ErrOffline is returned for a cluster whose agent is not connected.
var ErrOffline = errors.New("the agent is not connected")

// New checks the configuration.
func New(cfg Config) (*Gateway, error) {
	if cfg.Tokens == nil || cfg.Sink == nil {
		return nil, errors.New("gateway: tokens and sink are needed")
	}
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 10*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Gateway{
		cfg: cfg, log: cfg.Logger,
		sessions: map[string]*session{}, current: map[string]*session{}, pending: map[string]*pending{},
	}, nil
}

// Handler gives the path and the handler to mount.
func (g *Gateway) Handler() (string, http.Handler) {
	return report.NewAgentServiceHandler(g, report.HandlerCompression(), connect.WithReadMaxBytes(MaxBatch))
}

// Join opens a session and ends the cluster's earlier one.
func (g *Gateway) Join(ctx context.Context, req *connect.Request[report.JoinRequest]) (*connect.Response[report.JoinResponse], error) {
	cluster, err := g.authenticate(ctx, req.Header())
	if err != nil {
		return nil, err
	}
	if req.Msg.GetCluster() != cluster {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the report is of cluster %q and the token of %q", req.Msg.GetCluster(), cluster))
	}
	var skew time.Duration
	if at := req.Msg.GetSentAt(); at.IsValid() && at.GetSeconds() > 0 {
		skew = g.cfg.Now().Sub(at.AsTime())
	}
	s := &session{id: rand.Text(), cluster: cluster, out: make(chan struct{}, 1), gone: make(chan struct{})}
	g.mu.Lock()
	if old := g.current[cluster]; old != nil {
		delete(g.sessions, old.id)
		close(old.gone)
	}
	g.sessions[s.id], g.current[cluster] = s, s
	g.mu.Unlock()
	g.cfg.Sink.Joined(cluster, req.Msg, skew)
	g.log.Info("agent joined", "cluster", cluster, "agent", req.Msg.GetAgentVersion(), "skew", skew)
	return connect.NewResponse(&report.JoinResponse{
		Session: s.id, Heartbeat: durationpb.New(g.cfg.Heartbeat), ClockSkew: durationpb.New(skew),
	}), nil
}

// Report applies one batch. A repeated one is acknowledged and not applied again; a missed one asks for a resync.
func (g *Gateway) Report(ctx context.Context, req *connect.Request[report.ReportRequest]) (*connect.Response[report.ReportResponse], error) {
	s, err := g.session(ctx, req.Header(), req.Msg.GetSession())
	if err != nil {
		return nil, err
	}
	s.reporting.Lock()
	defer s.reporting.Unlock()
	seq := req.Msg.GetSequence()
	// Before its first resync an agent may say what it sees and that it lives, but not what changed in what we do not know.
	bare := len(req.Msg.GetUpserts())+len(req.Msg.GetDeletes()) == 0
	switch {
	case seq <= s.last:
		return connect.NewResponse(&report.ReportResponse{Acknowledged: s.last}), nil
	case req.Msg.GetResyncBegin():
		s.fresh = true
	case seq != s.last+1, !s.fresh && !bare:
		s.fresh = false
		return connect.NewResponse(&report.ReportResponse{Acknowledged: s.last, Resync: true}), nil
	}
	if err := g.cfg.Sink.Ingest(ctx, s.cluster, req.Msg); err != nil {
		g.log.Error("report not applied", "cluster", s.cluster, "err", err)
		return nil, connect.NewError(connect.CodeInternal, errors.New("the engine could not take the report; send it again"))
	}
	s.last = seq
	return connect.NewResponse(&report.ReportResponse{Acknowledged: seq}), nil
}

// Commands carries queries and commands to the agent until it goes. A new stream of the cluster gets again what an
// earlier one was sent and not answered: the agent's journal answers what it has run.
func (g *Gateway) Commands(ctx context.Context, req *connect.Request[report.CommandsRequest], stream *connect.ServerStream[report.CommandsResponse]) error {
	s, err := g.session(ctx, req.Header(), req.Msg.GetSession())
	if err != nil {
		return err
	}
	id := rand.Text()
	beat := time.NewTicker(g.cfg.Heartbeat)
	defer beat.Stop()
	heartbeat := func() error {
		return stream.Send(&report.CommandsResponse{Message: &report.CommandsResponse_Heartbeat{
			Heartbeat: &report.Heartbeat{SentAt: timestamppb.New(g.cfg.Now())},
		}})
	}
	if err := heartbeat(); err != nil { // at once, so that the agent knows that the stream stands
		return err
	}
	for {
		for _, m := range g.unsent(s.cluster, id) {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.gone:
			return connect.NewError(connect.CodeAborted, errors.New("another agent joined for this cluster"))
		case <-s.out:
		case <-beat.C:
			if err := heartbeat(); err != nil {
				return err
			}
		}
	}
}

func (g *Gateway) unsent(cluster, stream string) []*report.CommandsResponse {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []*report.CommandsResponse
	for _, p := range g.pending {
		if p.cluster == cluster && p.sentTo != stream {
			p.sentTo = stream
			out = append(out, p.message)
		}
	}
	return out
}

// Complete takes an outcome. One that nobody waits for any more is acknowledged and dropped.
func (g *Gateway) Complete(ctx context.Context, req *connect.Request[report.CompleteRequest]) (*connect.Response[report.CompleteResponse], error) {
	// Any live session of the cluster may deliver: an agent that re-joined still owes the outcomes of its last life.
	cluster, err := g.authenticate(ctx, req.Header())
	if err != nil {
		return nil, err
	}
	o := req.Msg.GetOutcome()
	g.mu.Lock()
	p := g.pending[o.GetId()]
	if p != nil && p.cluster == cluster {
		delete(g.pending, o.GetId())
		p.done <- o // capacity 1, and only ever one
	}
	g.mu.Unlock()
	return connect.NewResponse(&report.CompleteResponse{}), nil
}

// Query puts a question to a cluster and waits for the answer, at most until ctx ends. It fails at once with
// ErrOffline when no agent is connected.
func (g *Gateway) Query(ctx context.Context, cluster string, q *report.Query) (*report.Outcome, error) {
	if q.GetId() == "" {
		q.Id = rand.Text()
	}
	if deadline, ok := ctx.Deadline(); ok && q.GetTimeout() == nil {
		q.Timeout = durationpb.New(time.Until(deadline))
	}
	return g.do(ctx, cluster, q.GetId(), &report.CommandsResponse{Message: &report.CommandsResponse_Query{Query: q}})
}

// Do sends a command and waits for its outcome. When ctx ends first the command may still run: the caller asks again
// with the same id, which the agent answers from its journal.
func (g *Gateway) Do(ctx context.Context, cluster string, c *report.Command) (*report.Outcome, error) {
	return g.do(ctx, cluster, c.GetId(), &report.CommandsResponse{Message: &report.CommandsResponse_Command{Command: c}})
}

func (g *Gateway) do(ctx context.Context, cluster, id string, m *report.CommandsResponse) (*report.Outcome, error) {
	p := &pending{cluster: cluster, message: m, done: make(chan *report.Outcome, 1)}
	g.mu.Lock()
	s := g.current[cluster]
	if s == nil {
		g.mu.Unlock()
		return nil, fmt.Errorf("cluster %s: %w", cluster, ErrOffline)
	}
	g.pending[id] = p
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		if g.pending[id] == p {
			delete(g.pending, id)
		}
		g.mu.Unlock()
	}()
	select {
	case s.out <- struct{}{}:
	default:
	}
	select {
	case o := <-p.done:
		return o, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("cluster %s did not answer: %w", cluster, ctx.Err())
	}
}

func (g *Gateway) session(ctx context.Context, h http.Header, id string) (*session, error) {
	cluster, err := g.authenticate(ctx, h)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sessions[id]
	if s == nil || s.cluster != cluster {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("unknown session: join again"))
	}
	return s, nil
}

func (g *Gateway) authenticate(ctx context.Context, h http.Header) (string, error) {
	cluster := h.Get("Atlhyper-Cluster")
	token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return "", connect.NewError(connect.CodeUnauthenticated, errors.New("a cluster token is needed: make one with `atlhyper cluster add NAME`"))
	}
	valid, err := g.cfg.Tokens.VerifyCluster(ctx, cluster, token)
	if err != nil {
		g.log.Error("token not checked", "err", err)
		return "", connect.NewError(connect.CodeUnavailable, errors.New("the token could not be checked now; try again"))
	}
	if !valid {
		return "", connect.NewError(connect.CodeUnauthenticated, fmt.Errorf("the token is not that of cluster %q: make a new one with `atlhyper cluster rotate %s`", cluster, cluster))
	}
	return cluster, nil
}
