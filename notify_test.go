package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/discord/discordfake"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

func TestAPlayedIncidentIsToldToItsWebhookOnceEach(t *testing.T) {
	var mu sync.Mutex
	var events, keys []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var h struct{ Key, Event, Title string }
		if err := json.Unmarshal(raw, &h); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		events, keys = append(events, h.Event), append(keys, h.Key)
	}))
	defer server.Close()
	dir := t.TempDir()
	routes, secret := filepath.Join(dir, "routes.yaml"), filepath.Join(dir, "url")
	text := "targets:\n- {name: pager, webhook: {file: " + secret + "}}\nroutes:\n- {clusters: [demo], severity: low, to: [pager]}\n"
	for path, content := range map[string]string{routes: text, secret: server.URL + "/hook\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"demo", "--play", "bad-rollout", "--routes", routes}, func(string) string { return "" }, strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatalf("code %d\n%s\n%s", code, out.String(), errs.String())
	}
	mu.Lock()
	defer mu.Unlock()
	if d := cmp.Diff(len(keys), len(slices.Compact(slices.Sorted(slices.Values(keys))))); d != "" {
		t.Errorf("told twice: %q", keys)
	}
	if len(events) < 2 || events[0] != "incident.opened" || events[len(events)-1] != "incident.resolved" || slices.Contains(events[1:], "incident.opened") {
		t.Errorf("told %q", events)
	}
}

func TestRoutesThatMakeNoSenseKeepItFromStarting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(path, []byte("routes:\n- severity: terrible\n  to: [nobody]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	code := run(t.Context(), []string{"demo", "--play", "none", "--routes", path}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	for _, want := range []string{path, "line 2: \"terrible\" is no severity", "line 3: there is no target nobody"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("code %d: %q does not say %q", code, errs.String(), want)
		}
	}
	if code == 0 {
		t.Error("it started")
	}
}

func TestWhoIsOnCallIsMentionedInTheIncidentsThread(t *testing.T) {
	slackServer, discordServer := slackfake.New(slackfake.Config{}), discordfake.New(discordfake.Config{})
	defer slackServer.Close()
	defer discordServer.Close()
	rooms := []room{slackRoom{slackServer}, discordRoom{discordServer}}
	path := filepath.Join(t.TempDir(), "routes.yaml")
	text := "routes:\n- {to: [oncall]}\nrota:\n  people:\n  - {name: Mia, ids: [slack:" + mia + ", discord:" + discordfake.Mia + "]}\n  shifts:\n  - {name: always, people: [Mia], start: 2026-01-05}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"demo", "--scenario", "bad-rollout", "--speed", "120", "--routes", path}
	for _, r := range rooms { // the demo has its own admin
		args = append(args, r.flags()[:len(r.flags())-2]...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stdin, typing := io.Pipe()
	defer typing.Close()
	ended := make(chan int, 1)
	var errs strings.Builder
	go func() { ended <- run(ctx, args, func(string) string { return "" }, stdin, io.Discard, &errs) }()
	for i, r := range rooms {
		mention := []string{"<@" + mia + ">", "<@" + discordfake.Mia + ">"}[i]
		err := r.Wait(ctx, func() bool {
			for _, parent := range r.channel() {
				for _, m := range r.thread(parent) {
					if strings.Contains(m.text, mention) && strings.Contains(m.text, "Mia is on call") {
						return true
					}
				}
			}
			return false
		})
		if err != nil {
			t.Errorf("room %d: nobody was mentioned: %v", i, err)
		}
		if f := r.Faults(); len(f) > 0 {
			t.Errorf("room %d: %q", i, f)
		}
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("code %d: %s", code, errs.String())
	}
}
