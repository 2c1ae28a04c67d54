package mcp_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent"
	"github.com/bukahou/atlhyper/agent/sim"
	"github.com/bukahou/atlhyper/bot/mcp"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

var night = time.Date(2026, 3, 3, 2, 45, 0, 0, time.UTC)

// house is an engine with a simulated cluster, whose tools are served over a real network to real tokens.
type house struct {
	t      *testing.T
	db     *storage.DB
	engine *engine.Engine
	tools  *tools.Registry
	url    string
	target map[string]any // one of the shop's Deployments
	down   atomic.Bool    // the engine answers nothing
	tokens map[string]string
}

func open(t *testing.T) *house {
	t.Helper()
	clock := func() time.Time { return night }
	h := &house{t: t, tokens: map[string]string{}}
	var err error
	if h.db, err = storage.Open(t.Context(), ":memory:", storage.Config{Now: clock}); err != nil {
		t.Fatal(err)
	}
	if h.engine, err = engine.New(t.Context(), engine.Config{Store: h.db, Now: clock}); err != nil {
		t.Fatal(err)
	}
	if h.tools, err = tools.New(h.engine, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for name, role := range map[string]people.Role{"mia": people.Operator, "ken": people.Viewer} {
		if h.tokens[name], err = h.db.AddPerson(t.Context(), name, role); err != nil {
			t.Fatal(err)
		}
	}
	served, err := mcp.NewHandler(mcp.Config{Tools: h.tools, Tokens: h.db, Now: clock, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(h.engine.Gateway().Handler())
	mux.HandleFunc(mcp.Path, func(w http.ResponseWriter, r *http.Request) {
		if h.down.Load() {
			panic(http.ErrAbortHandler)
		}
		served.ServeHTTP(w, r)
	})
	server := httptest.NewServer(mux)
	h.url = server.URL

	shop, err := sim.New(sim.Config{Seed: 7, Start: night})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := h.db.AddCluster(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(agent.Config{
		Cluster: "prod", EngineURL: h.url, Token: cluster, Client: shop.Client(), Source: shop, Logs: shop, Usage: shop,
		DataDir: t.TempDir(), Version: "v1", Now: clock, Ticks: make(chan time.Time),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("the agent ended: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		server.CloseClientConnections()
		server.Close()
		h.engine.Close()
		if err := h.db.Close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-a.Synced():
	case <-time.After(20 * time.Second):
		t.Fatal("the agent did not sync")
	}
	all, err := shop.Client().AppsV1().Deployments(shop.Namespace()).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(all.Items) == 0 {
		t.Fatalf("%d deployments, %v", len(all.Items), err)
	}
	h.target = map[string]any{"target": "deployment/" + all.Items[0].Name, "namespace": shop.Namespace(), "cluster": "prod"}
	if err := h.engine.Evaluate(t.Context(), night); err != nil {
		t.Fatal(err)
	}
	return h
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (h *house) session(t *testing.T, transport sdk.Transport) *sdk.ClientSession {
	t.Helper()
	s, err := sdk.NewClient(&sdk.Implementation{Name: "test"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// overHTTP connects as somebody's client does.
func (h *house) overHTTP(t *testing.T, token string) *sdk.ClientSession {
	t.Helper()
	return h.session(t, &sdk.StreamableClientTransport{Endpoint: h.url + mcp.Path, HTTPClient: &http.Client{Transport: bearer(token)}, DisableStandaloneSSE: true, MaxRetries: -1})
}

// overStdio connects through a bridge, as an editor does that starts a program.
func (h *house) overStdio(t *testing.T, token string) *sdk.ClientSession {
	t.Helper()
	in, toBridge := io.Pipe()
	fromBridge, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := mcp.Bridge(context.Background(), mcp.BridgeConfig{URL: h.url, Token: token, In: in, Out: out, Version: "v1"})
		out.Close()
		done <- err
	}()
	s := h.session(t, &sdk.IOTransport{Reader: fromBridge, Writer: toBridge})
	t.Cleanup(func() {
		s.Close()
		toBridge.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the bridge ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the bridge did not end with its client")
		}
	})
	return s
}

func each(t *testing.T, test func(t *testing.T, h *house, connect func(t *testing.T, token string) *sdk.ClientSession)) {
	h := open(t)
	for name, connect := range map[string]func(*testing.T, string) *sdk.ClientSession{"over HTTP": h.overHTTP, "over stdio": h.overStdio} {
		t.Run(name, func(t *testing.T) { test(t, h, connect) })
	}
}

func call(t *testing.T, s *sdk.ClientSession, tool string, args any) (string, bool) {
	t.Helper()
	res, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	var text []string
	for _, c := range res.Content {
		text = append(text, c.(*sdk.TextContent).Text)
	}
	return strings.Join(text, "\n"), res.IsError
}

func TestTheToolsAreThoseOfThePersonsRole(t *testing.T) {
	each(t, func(t *testing.T, h *house, connect func(*testing.T, string) *sdk.ClientSession) {
		for name, role := range map[string]people.Role{"mia": people.Operator, "ken": people.Viewer} {
			who, known, err := h.db.VerifyPerson(t.Context(), h.tokens[name])
			if err != nil || !known {
				t.Fatal(known, err)
			}
			want := map[string]tools.Spec{}
			for _, s := range h.tools.Tools(tools.Caller{Person: who}) {
				if !s.ByHand && !s.Private {
					want[s.Name] = s
				}
			}
			s := connect(t, h.tokens[name])
			got := 0
			for tool, err := range s.Tools(t.Context(), nil) {
				if err != nil {
					t.Fatal(err)
				}
				got++
				spec, ok := want[tool.Name]
				if !ok || spec.Role > role {
					t.Errorf("%s is offered %s", name, tool.Name)
				}
				if tool.Annotations.ReadOnlyHint == spec.Write || tool.Description == "" {
					t.Errorf("%s is described as %+v", tool.Name, tool.Annotations)
				}
			}
			if got != len(want) || got < 10 {
				t.Errorf("%s is offered %d tools, want %d", name, got, len(want))
			}
		}
	})
}

func TestAQuestionIsAnsweredFromTheEngine(t *testing.T) {
	each(t, func(t *testing.T, h *house, connect func(*testing.T, string) *sdk.ClientSession) {
		s := connect(t, h.tokens["ken"])
		text, failed := call(t, s, "list_resources", map[string]any{"kind": "deployments"})
		var shown struct{ Headline string }
		if err := json.Unmarshal([]byte(text), &shown); err != nil || failed || !strings.Contains(shown.Headline, "prod") {
			t.Errorf("answered %q, %v", text, err)
		}
		if text, failed := call(t, s, "list_resources", map[string]any{"kind": "nonsense"}); !failed || text == "" {
			t.Errorf("nonsense is answered %q", text)
		}
		if info := s.InitializeResult(); !strings.Contains(info.Instructions, "only propose") {
			t.Errorf("a model is told %q", info.Instructions)
		}
	})
}

func TestAWriteToolOnlyProposesAndAViewerCannotEvenThat(t *testing.T) {
	each(t, func(t *testing.T, h *house, connect func(*testing.T, string) *sdk.ClientSession) {
		before, err := h.engine.Desk.Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text, failed := call(t, connect(t, h.tokens["mia"]), "rollout_restart", h.target)
		if failed || !strings.Contains(text, "This is a proposal, and nothing has changed.") {
			t.Errorf("answered %q", text)
		}
		after, err := h.engine.Desk.Pending(t.Context())
		if err != nil || len(after) > len(before)+1 || len(after) == 0 {
			t.Errorf("%d proposals wait, before %d, %v", len(after), len(before), err)
		}
		res, err := connect(t, h.tokens["ken"]).CallTool(t.Context(), &sdk.CallToolParams{Name: "rollout_restart", Arguments: h.target})
		if err == nil && !res.IsError {
			t.Errorf("a viewer proposed: %v", res)
		}
		if last, err := h.engine.Desk.Pending(t.Context()); err != nil || len(last) != len(after) {
			t.Errorf("a viewer's call left %d proposals, want %d", len(last), len(after))
		}
	})
}

func TestATokenThatIsWrongOrHasEndedOpensNothing(t *testing.T) {
	h := open(t)
	for name, token := range map[string]string{"none": "", "wrong": "nonsense"} {
		err := mcp.Bridge(t.Context(), mcp.BridgeConfig{URL: h.url, Token: token, In: strings.NewReader(""), Out: io.Discard})
		if err != mcp.ErrToken {
			t.Errorf("with %s the bridge says %v", name, err)
		}
	}
	s := h.overHTTP(t, h.tokens["ken"])
	bridged := h.overStdio(t, h.tokens["ken"])
	if err := h.db.RemovePerson(t.Context(), "ken"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: "list_resources", Arguments: map[string]any{"kind": "pods"}}); err == nil {
		t.Error("a token that has ended still works")
	}
	if text, failed := call(t, bridged, "list_resources", map[string]any{"kind": "pods"}); !failed || !strings.Contains(text, "does not know this token") {
		t.Errorf("through the bridge it says %q", text)
	}
}

func TestAnEngineThatIsAwayIsSaidAndComesBack(t *testing.T) {
	h := open(t)
	s := h.overStdio(t, h.tokens["ken"])
	ask := func() (string, bool) { return call(t, s, "list_resources", map[string]any{"kind": "deployments"}) }
	if text, failed := ask(); failed {
		t.Fatal(text)
	}
	h.down.Store(true)
	if text, failed := ask(); !failed || !strings.Contains(text, "No engine answers there") {
		t.Errorf("an engine that is away gives %q", text)
	}
	h.down.Store(false)
	if text, failed := ask(); failed {
		t.Errorf("an engine that is back gives %q", text)
	}
	if err := mcp.Bridge(t.Context(), mcp.BridgeConfig{URL: "http://127.0.0.1:1", Token: "x", In: strings.NewReader(""), Out: io.Discard}); err == nil || !strings.Contains(err.Error(), "no engine answers there") {
		t.Errorf("nobody there gives %v", err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if err := mcp.Bridge(t.Context(), mcp.BridgeConfig{URL: other.URL, Token: "x", In: strings.NewReader(""), Out: io.Discard}); err != mcp.ErrNoMCP {
		t.Errorf("something else there gives %v", err)
	}
}

func TestEverySchemaIsTakenByTheLibrary(t *testing.T) {
	h := open(t)
	var names []string
	for tool, err := range h.overHTTP(t, h.tokens["mia"]).Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, tool.Name)
	}
	if !slices.Contains(names, "explain") || !slices.Contains(names, "scale") {
		t.Errorf("tools are %q", names)
	}
}
