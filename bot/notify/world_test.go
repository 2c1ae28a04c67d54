package notify_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/notify"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares a text with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (write it anew with -update):\n%s", name, d)
	}
}

// plan parses routes with secrets that the test gives.
func plan(t *testing.T, text string, env map[string]string) *notify.Plan {
	t.Helper()
	p, err := notify.Parse([]byte(text), func(name string) string { return env[name] }, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// world is an engine on real storage, with a notifier.
type world struct {
	t      *testing.T
	db     *storage.DB
	engine *engine.Engine
	cfg    notify.Config
	logged *logs
	stop   func()

	notifier *notify.Notifier
}

// logs is a buffer that may be read while it is written.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T, p *notify.Plan, change func(*notify.Config)) *world {
	t.Helper()
	db, err := storage.Open(t.Context(), filepath.Join(t.TempDir(), "notify.db"), storage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, logged: &logs{}, stop: func() {}}
	t.Cleanup(func() { w.stop(); db.Close() })
	w.cfg = notify.Config{Plan: p, Store: db, Now: time.Now, Poll: 5 * time.Millisecond, PageURL: "https://page.example", Logger: slog.New(slog.NewTextHandler(w.logged, nil))}
	if change != nil {
		change(&w.cfg)
	}
	if w.engine, err = engine.New(t.Context(), engine.Config{Store: db, Rota: p.Rota, Now: w.cfg.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.engine.Close)
	w.engine.Fleet.Join("prod-eu").SetStatus(func(s *fleet.Status) { s.Synced, s.LastSeen = true, w.cfg.Now() })
	w.cfg.Engine = w.engine
	if w.cfg.Tools, err = tools.New(w.engine, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return w
}

// start runs a new notifier, as a new process does.
func (w *world) start() {
	w.t.Helper()
	n, err := notify.New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.notifier = n
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the notifier ended with %v", err)
		}
	})
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// save stores an incident with an event that tells of it.
func (w *world) save(i *incident.Incident, kind event.Type) {
	w.t.Helper()
	w.ok(w.db.SaveIncidents(w.t.Context(), []*incident.Incident{i}, []event.Event{{At: time.Now(), Type: kind, Cluster: i.Cluster, Incident: i.ID}}))
}

// settle waits until nothing is left to read or to deliver.
func (w *world) settle() {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		idle, err := w.notifier.Idle(w.t.Context())
		w.ok(err)
		waiting, err := w.db.Outbox(w.t.Context(), notify.Surface, time.Now().Add(time.Hour), 1)
		w.ok(err)
		if idle && len(waiting) == 0 {
			return
		}
	}
	w.t.Fatalf("it did not settle; the log says:\n%s", w.logged)
}

var opened = time.Date(2026, 11, 5, 2, 51, 20, 0, time.UTC)

func failing(id string, s incident.Severity) *incident.Incident {
	return &incident.Incident{
		ID: id, Cluster: "prod-eu", Namespace: "shop", Title: "checkout is failing", Stage: incident.StageIncident, Severity: s, OpenedAt: opened, Risk: 0.7, PeakRisk: 0.7,
		Cause: incident.Cause{
			Entity: entity.Ref{Cluster: "prod-eu", Kind: "Deployment", Namespace: "shop", Name: "payments"}, Kind: "CrashLoopBackOff",
			Summary: "deployment/payments: 3 of 3 pods in CrashLoopBackOff", Confidence: "high",
		},
		Entities: []incident.Affected{{Entity: entity.Ref{Cluster: "prod-eu", Kind: "Service", Namespace: "shop", Name: "checkout"}, Role: incident.RoleSymptom, Why: "error rate 31 % (normal 0.2 %)"}},
	}
}

func over(i *incident.Incident) *incident.Incident {
	i.Stage, i.ResolvedAt = incident.StageResolved, i.OpenedAt.Add(19*time.Minute)
	return i
}

// received is one request to a webhook.
type received struct {
	header http.Header
	path   string
	body   string
	at     time.Time
}

// hooks is what answers webhooks, without a network, so that it lives in a bubble of simulated time.
type hooks struct {
	answer func(n int, r received) (int, http.Header) // of the n-th request; default 200

	mu  sync.Mutex
	got []received
}

func (h *hooks) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	x := received{r.Header, r.URL.Path, string(body), time.Now()}
	h.mu.Lock()
	defer h.mu.Unlock()
	code, header := 200, http.Header{}
	if h.answer != nil {
		code, header = h.answer(len(h.got), x)
	}
	if code == 0 {
		return nil, fmt.Errorf("dial tcp: connection refused")
	}
	if code == 200 {
		h.got = append(h.got, x)
	}
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: header, Body: io.NopCloser(strings.NewReader("said"))}, nil
}

// keys lists what arrived, by key.
func (h *hooks) keys() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, r := range h.got {
		out = append(out, r.header.Get("Idempotency-Key"))
	}
	return out
}
