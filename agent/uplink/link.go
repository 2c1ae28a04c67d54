package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

const (
	callTimeout      = 30 * time.Second
	defaultHeartbeat = 10 * time.Second
)

var (
	errRejoin = errors.New("a new session was asked for")
	errResync = errors.New("the engine asked for everything again")
)

// refused says that the engine does not accept our token: waiting does not help, somebody must act.
func refused(err error) bool {
	c := connect.CodeOf(err)
	return c == connect.CodeUnauthenticated || c == connect.CodePermissionDenied
}

// lost says that a call cannot succeed in this session, however often it is repeated.
func lost(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeNotFound, connect.CodeFailedPrecondition,
		connect.CodeInvalidArgument, connect.CodeUnimplemented:
		return true
	}
	return false
}

// explain gives one sentence with the remedy where there is one. The token is masked whatever the other side wrote.
func (u *Uplink) explain(what string, err error) string {
	var s string
	switch {
	case refused(err):
		s = fmt.Sprintf("the engine refuses the token of cluster %q: make a new one with `atlhyper cluster rotate %s` (or `cluster add`) and give it to the agent with --token (%v)",
			u.cfg.Cluster, u.cfg.Cluster, err)
	case connect.CodeOf(err) == connect.CodeUnimplemented:
		s = fmt.Sprintf("%s does not serve agents: give the engine's --agent-listen address with --engine (%v)", u.cfg.EngineURL, err)
	case connect.CodeOf(err) == connect.CodeUnavailable:
		s = fmt.Sprintf("%s: the engine at %s cannot be reached (%v)", what, u.cfg.EngineURL, err)
	default:
		s = fmt.Sprintf("%s: %v", what, err)
	}
	if u.cfg.Token != "" {
		s = strings.ReplaceAll(s, u.cfg.Token, "<token>")
	}
	return s
}

// jitter gives a random time between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d, less when ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

// meter signs each request and counts the bytes of reports as they leave.
type meter struct {
	next    connect.HTTPClient
	cluster string
	token   string
	sent    atomic.Uint64
}

func (m *meter) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+m.token)
	r.Header.Set("Atlhyper-Cluster", m.cluster)
	if r.Body != nil && r.URL != nil && strings.HasSuffix(r.URL.Path, report.AgentServiceReportProcedure) {
		r.Body = &countedBody{r.Body, &m.sent}
	}
	return m.next.Do(r)
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Uint64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(uint64(n))
	return n, err
}
