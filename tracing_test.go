package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traceSink takes what an exporter sends, as a collector does.
type traceSink struct {
	mu    sync.Mutex // guards what follows
	bytes strings.Builder
	spans []*trace.Span
	from  map[string]bool // service names
}

func (s *traceSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &req)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not spans", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes.Write(raw)
	for _, rs := range req.GetResourceSpans() {
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				s.from[a.GetValue().GetStringValue()] = true
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			s.spans = append(s.spans, ss.GetSpans()...)
		}
	}
}

func TestTracesOfTheProgramItselfAreSentAndHoldNothingThatAnybodySaid(t *testing.T) {
	sink := &traceSink{from: map[string]bool{}}
	srv := httptest.NewServer(sink)
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	w := newWorkspace(t)
	p := launch(t, filepath.Join(w.data, "log"), w.args[:len(w.args)-4]...) // launch names the log itself
	w.connected(p.alive)
	asked := w.mention(mia, "is payments healthy? my password is canary-7f3a")
	w.expectReply(asked, "deployment/payments")
	p.stop()

	sink.mu.Lock()
	defer sink.mu.Unlock()
	named := func(name string) *trace.Span {
		t.Helper()
		i := slices.IndexFunc(sink.spans, func(s *trace.Span) bool { return s.GetName() == name })
		if i < 0 {
			t.Fatalf("no span %q among %d", name, len(sink.spans))
		}
		return sink.spans[i]
	}
	if !sink.from["atlhyper-up"] {
		t.Errorf("spans of %v", sink.from)
	}
	for _, name := range []string{"answer", "evaluate", "report.v1.AgentService/Join", "report.v1.AgentService/Report"} {
		named(name)
	}
	answer := named("answer")
	if !slices.ContainsFunc(sink.spans, func(s *trace.Span) bool {
		return strings.HasPrefix(s.GetName(), "tool ") && string(s.GetTraceId()) == string(answer.GetTraceId())
	}) {
		t.Error("the answer's trace has no tool in it")
	}
	join := 0
	for _, s := range sink.spans {
		if s.GetName() == "report.v1.AgentService/Join" && string(s.GetTraceId()) == string(named("report.v1.AgentService/Join").GetTraceId()) {
			join++
		}
	}
	if join != 2 {
		t.Errorf("%d spans of one call of the agent to the engine, want its two ends", join)
	}
	if all := sink.bytes.String(); strings.Contains(all, "canary-7f3a") || strings.Contains(all, "xoxb") {
		t.Error("a span holds what somebody wrote, or a token")
	}
}

func TestTracesInAProtocolThatIsNotSpokenNameTheRemedy(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	out, code := call(t, nil, "engine", "--data-dir", t.TempDir())
	if code != 1 || !strings.Contains(out.stderr, "port 4318") {
		t.Errorf("code %d: %s", code, out.stderr)
	}
}
