package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// tokens is a set of cluster tokens.
type tokens map[string]string

func (t tokens) VerifyCluster(_ context.Context, cluster, token string) (bool, error) {
	if cluster == "broken" {
		return false, errors.New("the store is away")
	}
	return token != "" && t[cluster] == token, nil
}

// sink remembers what was ingested.
type sink struct {
	mu      sync.Mutex
	batches []*report.ReportRequest
	skew    time.Duration
	fail    bool
}

func (s *sink) Joined(_ string, _ *report.JoinRequest, skew time.Duration) { s.skew = skew }

func (s *sink) Ingest(_ context.Context, _ string, b *report.ReportRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return errors.New("disk full at /secret/path")
	}
	s.batches = append(s.batches, b)
	return nil
}

type server struct {
	*Gateway
	sink *sink
	url  string
	now  time.Time
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{sink: &sink{}, now: time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)}
	var err error
	s.Gateway, err = New(Config{Tokens: tokens{"prod": "right", "other": "theirs"}, Sink: s.sink, Heartbeat: 50 * time.Millisecond, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(s.Handler())
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

// agent is a client with one cluster's credentials.
type agent struct {
	report.AgentServiceClient
	cluster, token, session string
}

func (s *server) agent(cluster, token string) *agent {
	return &agent{AgentServiceClient: report.NewAgentServiceClient(http.DefaultClient, s.url, report.ClientCompression()), cluster: cluster, token: token}
}

func signed[T any](a *agent, m *T) *connect.Request[T] {
	r := connect.NewRequest(m)
	r.Header().Set("Authorization", "Bearer "+a.token)
	r.Header().Set("Atlhyper-Cluster", a.cluster)
	return r
}

func (a *agent) join(t *testing.T) {
	t.Helper()
	res, err := a.Join(t.Context(), signed(a, &report.JoinRequest{Cluster: a.cluster}))
	if err != nil {
		t.Fatal(err)
	}
	a.session = res.Msg.GetSession()
}

func (a *agent) report(t *testing.T, r *report.ReportRequest) (*report.ReportResponse, error) {
	t.Helper()
	r.Session = a.session
	res, err := a.Report(t.Context(), signed(a, r))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func TestAWrongTokenIsRefusedWithTheRemedy(t *testing.T) {
	s := serve(t)
	for name, c := range map[string]struct{ cluster, token, want string }{
		"no token":                {"prod", "", "atlhyper cluster add"},
		"wrong token":             {"prod", "wrong", "atlhyper cluster rotate prod"},
		"another cluster's token": {"prod", "theirs", "atlhyper cluster rotate prod"},
		"a cluster nobody added":  {"nowhere", "right", "atlhyper cluster rotate nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.agent(c.cluster, c.token)
			_, err := a.Join(t.Context(), signed(a, &report.JoinRequest{Cluster: c.cluster}))
			if connect.CodeOf(err) != connect.CodeUnauthenticated || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want unauthenticated with %q", err, c.want)
			}
			if c.token != "" && strings.Contains(err.Error(), c.token) && c.token != "right" {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
	if len(s.sink.batches) != 0 {
		t.Error("something was ingested")
	}
}

func TestATokenStoreThatIsAwayIsNotAWrongToken(t *testing.T) {
	a := serve(t).agent("broken", "x")
	_, err := a.Join(t.Context(), signed(a, &report.JoinRequest{Cluster: "broken"}))
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("got %v, want unavailable: the agent tries again", err)
	}
}

func TestAReportForAnotherClusterIsRefused(t *testing.T) {
	a := serve(t).agent("prod", "right")
	_, err := a.Join(t.Context(), signed(a, &report.JoinRequest{Cluster: "other"}))
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("got %v", err)
	}
}

func TestASessionOfAnotherClusterCannotBeUsed(t *testing.T) {
	s := serve(t)
	prod, other := s.agent("prod", "right"), s.agent("other", "theirs")
	prod.join(t)
	other.session = prod.session
	if _, err := other.report(t, &report.ReportRequest{Sequence: 1, ResyncBegin: true}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("got %v", err)
	}
}

func TestBatchesAreAppliedOnceAndAMissedOneAsksForAResync(t *testing.T) {
	s := serve(t)
	a := s.agent("prod", "right")
	a.join(t)
	step := func(r *report.ReportRequest, wantAck uint64, wantResync bool, wantBatches int) {
		t.Helper()
		res, err := a.report(t, r)
		if err != nil {
			t.Fatal(err)
		}
		if res.GetAcknowledged() != wantAck || res.GetResync() != wantResync || len(s.sink.batches) != wantBatches {
			t.Errorf("batch %d: acknowledged %d, resync %t, %d applied; want %d, %t, %d", r.GetSequence(), res.GetAcknowledged(), res.GetResync(), len(s.sink.batches), wantAck, wantResync, wantBatches)
		}
	}
	pod := []*report.Resource{{Kind: "Pod", Name: "p"}}
	step(&report.ReportRequest{Sequence: 1}, 1, false, 1)              // it lives, and is still reading
	step(&report.ReportRequest{Sequence: 2, Upserts: pod}, 1, true, 1) // a delta before anything is known
	step(&report.ReportRequest{Sequence: 3, ResyncBegin: true, ResyncEnd: true}, 3, false, 2)
	step(&report.ReportRequest{Sequence: 4, Upserts: pod}, 4, false, 3)
	step(&report.ReportRequest{Sequence: 4, Upserts: pod}, 4, false, 3) // repeated
	step(&report.ReportRequest{Sequence: 6}, 4, true, 3)                // 5 is missing
	step(&report.ReportRequest{Sequence: 7, Upserts: pod}, 4, true, 3)  // still
	step(&report.ReportRequest{Sequence: 8, ResyncBegin: true, ResyncEnd: true}, 8, false, 4)
}

func TestAnEngineThatForgotTheSessionMakesTheAgentJoinAgain(t *testing.T) {
	a := serve(t).agent("prod", "right")
	a.session = "from an earlier life"
	if _, err := a.report(t, &report.ReportRequest{Sequence: 9}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("got %v", err)
	}
}

func TestAReportThatCannotBeAppliedIsNotAcknowledgedAndTellsNoPath(t *testing.T) {
	s := serve(t)
	a := s.agent("prod", "right")
	a.join(t)
	s.sink.fail = true
	_, err := a.report(t, &report.ReportRequest{Sequence: 1, ResyncBegin: true})
	if connect.CodeOf(err) != connect.CodeInternal || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	s.sink.fail = false
	if res, err := a.report(t, &report.ReportRequest{Sequence: 1, ResyncBegin: true, ResyncEnd: true}); err != nil || res.GetAcknowledged() != 1 {
		t.Errorf("the repeated batch was not taken: %v, %v", res, err)
	}
}

func TestClockSkewIsMeasuredAtJoin(t *testing.T) {
	s := serve(t)
	a := s.agent("prod", "right")
	res, err := a.Join(t.Context(), signed(a, &report.JoinRequest{Cluster: "prod", SentAt: timestamppb.New(s.now.Add(-5 * time.Minute))}))
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Msg.GetClockSkew().AsDuration(); got != 5*time.Minute || s.sink.skew != got {
		t.Errorf("skew %v told to the agent, %v to the engine; want 5m", got, s.sink.skew)
	}
}

// receive gives the next message of a stream that is no heartbeat.
func receive(t *testing.T, stream *connect.ServerStreamForClient[report.CommandsResponse]) *report.CommandsResponse {
	t.Helper()
	for stream.Receive() {
		if m := stream.Msg(); m.GetHeartbeat() == nil {
			return m
		}
	}
	t.Fatalf("the stream ended: %v", stream.Err())
	return nil
}

func TestACommandIsPushedAnsweredAndSentAgainOnANewStreamUntilItIs(t *testing.T) {
	s := serve(t)
	a := s.agent("prod", "right")
	a.join(t)
	ctx, drop := context.WithCancel(t.Context())
	first, err := a.Commands(ctx, signed(a, &report.CommandsRequest{Session: a.session}))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *report.Outcome, 1)
	var done sync.WaitGroup
	done.Go(func() {
		o, err := s.Do(t.Context(), "prod", &report.Command{Id: "c1"})
		if err != nil {
			t.Error(err)
		}
		got <- o
	})
	if m := receive(t, first); m.GetCommand().GetId() != "c1" {
		t.Fatalf("got %v", m)
	}
	drop() // the agent dies before it answers
	a.join(t)
	second, err := a.Commands(t.Context(), signed(a, &report.CommandsRequest{Session: a.session}))
	if err != nil {
		t.Fatal(err)
	}
	if m := receive(t, second); m.GetCommand().GetId() != "c1" {
		t.Fatalf("the new stream got %v", m)
	}
	for range 2 { // delivered at least once
		if _, err := a.Complete(t.Context(), signed(a, &report.CompleteRequest{Session: a.session, Outcome: &report.Outcome{Id: "c1", Status: report.Outcome_STATUS_SUCCEEDED}})); err != nil {
			t.Fatal(err)
		}
	}
	if o := <-got; o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
		t.Errorf("got %v", o)
	}
	done.Wait()
}

func TestAnotherClusterCannotAnswerACommand(t *testing.T) {
	s := serve(t)
	prod, other := s.agent("prod", "right"), s.agent("other", "theirs")
	prod.join(t)
	other.join(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var done sync.WaitGroup
	done.Go(func() {
		if o, err := s.Do(ctx, "prod", &report.Command{Id: "c1"}); err == nil {
			t.Errorf("a forged outcome was taken: %v", o)
		}
	})
	time.Sleep(50 * time.Millisecond) // the command is under way
	if _, err := other.Complete(t.Context(), signed(other, &report.CompleteRequest{Session: other.session, Outcome: &report.Outcome{Id: "c1", Status: report.Outcome_STATUS_SUCCEEDED}})); err != nil {
		t.Fatal(err)
	}
	done.Wait()
}

func TestAClusterWithoutAgentIsOfflineAtOnce(t *testing.T) {
	s := serve(t)
	if _, err := s.Query(t.Context(), "prod", &report.Query{}); !errors.Is(err, ErrOffline) {
		t.Errorf("got %v", err)
	}
}

func TestAStreamOfAnOldSessionEndsWhenTheClusterJoinsAgain(t *testing.T) {
	s := serve(t)
	a := s.agent("prod", "right")
	a.join(t)
	stream, err := a.Commands(t.Context(), signed(a, &report.CommandsRequest{Session: a.session}))
	if err != nil {
		t.Fatal(err)
	}
	a.join(t)
	for stream.Receive() { // heartbeats that were under way
	}
	if connect.CodeOf(stream.Err()) != connect.CodeAborted {
		t.Errorf("got %v", stream.Err())
	}
}
