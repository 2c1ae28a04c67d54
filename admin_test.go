package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestTheAdminPortTellsHowTheEngineIs(t *testing.T) {
	stdin, typed := io.Pipe() // nobody types, and nobody leaves
	defer typed.Close()
	w, err := newWorld(t.Context(), &demoCmd{Seed: 1}, &environment{stdin: stdin, stdout: &output{}, stderr: &output{}, log: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if err := w.inject("bad-rollout", 20*time.Second); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.run(ctx, 0, true, nil) }()
	var broken error
	h := adminFlags{}.handler(func(ctx context.Context) error { return errors.Join(broken, w.core.ready(ctx)) }, fleetMetrics{w.core.engine})
	get := func(path string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		return rec
	}
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(get("/metrics").Body.String(), `atlhyper_incidents_open{cluster="demo",stage="incident"} 1`); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the incident is not counted:\n%s", get("/metrics").Body)
		}
	}
	text := get("/metrics").Body.String()
	for _, want := range []string{`atlhyper_build_info{version="dev"} 1`, `atlhyper_cluster_up{cluster="demo"} 1`, "atlhyper_proposals_pending 0", "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if !regexp.MustCompile(`atlhyper_cluster_risk{cluster="demo"} 0\.[1-9]`).MatchString(text) {
		t.Error("the risk of the incident is not told")
	}
	if problems, err := testutil.CollectAndLint(fleetMetrics{w.core.engine}); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if r := get("/readyz"); r.Code != http.StatusOK {
		t.Errorf("readyz: %d %s", r.Code, r.Body)
	}
	broken = errors.New("the disk is gone")
	if r := get("/readyz"); r.Code != http.StatusServiceUnavailable || !strings.Contains(r.Body.String(), "the disk is gone") {
		t.Errorf("readyz of a broken one: %d %s", r.Code, r.Body)
	}
	if r := get("/healthz"); r.Code != http.StatusOK {
		t.Errorf("healthz: %d", r.Code)
	}
	if r := get("/debug/pprof/"); r.Code != http.StatusNotFound {
		t.Errorf("profiles without their flag: %d", r.Code)
	}
	h = adminFlags{Pprof: true}.handler(w.core.ready)
	if r := get("/debug/pprof/"); r.Code != http.StatusOK {
		t.Errorf("profiles with it: %d", r.Code)
	}
	cancel()
	if err := left(<-done); err != nil {
		t.Error(err)
	}
}
