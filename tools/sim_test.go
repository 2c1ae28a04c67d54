package tools_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/rota"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

// simulated is a shop with a fault, an agent beside it and an engine that watches it, all on one simulated clock.
type simulated struct {
	*tools.Registry
	e     *engine.Engine
	shop  *sim.Shop
	truth sim.Truth

	mu  sync.Mutex // guards now
	now time.Time
}

func (s *simulated) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func newSimulated(t *testing.T, scenario string) *simulated {
	t.Helper()
	s := &simulated{now: night}
	db, err := storage.Open(t.Context(), ":memory:", storage.Config{Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	crew := []rota.Person{{Name: "mia", IDs: []string{"slack:MIA"}}, {Name: "ken", Mail: "ken@example.com"}}
	onCall := &rota.Rota{Zone: time.UTC, People: crew, Shifts: []rota.Shift{{Name: "week", Zone: time.UTC, Start: night.Truncate(24 * time.Hour), Turn: 7, People: crew}}}
	if s.e, err = engine.New(t.Context(), engine.Config{Store: db, Now: s.clock, Admins: []string{"slack:mia"}, Rota: onCall}); err != nil {
		t.Fatal(err)
	}
	if s.Registry, err = tools.New(s.e, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if s.shop, err = sim.New(sim.Config{Seed: 7, Start: night}); err != nil {
		t.Fatal(err)
	}
	token, err := db.AddCluster(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(s.e.Gateway().Handler())
	server := httptest.NewServer(mux)
	ticks := make(chan time.Time)
	for f := range s.shop.History(night.Add(-time.Hour), night, 10*time.Second) {
		s.e.Warm("prod", f)
	}
	for step, ago := range map[time.Duration]time.Duration{time.Minute: time.Hour, time.Hour: 48 * time.Hour} {
		counts, err := s.shop.Requests(t.Context(), night.Add(-ago), night, step)
		if err != nil {
			t.Fatal(err)
		}
		s.e.Backfill("prod", counts)
	}
	a, err := agent.New(agent.Config{
		Cluster: "prod", EngineURL: server.URL, Token: token, Client: s.shop.Client(), Source: s.shop, Logs: s.shop, Usage: s.shop,
		DataDir: t.TempDir(), Version: "v1", Now: s.clock, Ticks: ticks,
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
		s.e.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-a.Synced():
	case <-time.After(20 * time.Second):
		t.Fatal("the agent did not sync")
	}
	if err := s.shop.Inject(scenario, night.Add(20*time.Second)); err != nil {
		t.Fatal(err)
	}
	view, _ := s.e.Fleet.Cluster("prod")
	for range 60 { // ten minutes
		for range 10 {
			s.mu.Lock()
			s.now = s.now.Add(time.Second)
			s.mu.Unlock()
			s.shop.Step(s.clock())
			// The clock outruns the watch, and a rollout is dated when it is heard of: it is waited for.
			if begun := s.clock().Sub(night); begun == 20*time.Second {
				for deadline := time.Now().Add(10 * time.Second); len(view.Changes(night)) == 0 && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond)
				}
			}
		}
		now := s.clock()
		ticks <- now
		for deadline := time.Now().Add(5 * time.Second); s.e.LastFrame("prod").Before(now) && time.Now().Before(deadline); {
			time.Sleep(200 * time.Microsecond)
		}
		if now.Second() == 0 {
			counts, err := s.shop.Requests(t.Context(), now.Add(-time.Minute), now, time.Minute)
			if err == nil {
				err = s.e.Ingest(t.Context(), "prod", &report.ReportRequest{Minutes: []*report.TelemetryMinute{{Start: timestamppb.New(now.Add(-time.Minute)), Requests: counts}}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.e.Evaluate(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	s.truth = s.shop.Truth()
	return s
}

var mia = people.Person{ID: "slack:mia", Name: "Mia"}

func TestEveryToolAnswersAboutARealFault(t *testing.T) {
	s := newSimulated(t, "bad-rollout")
	caller := tools.Caller{Person: mia, Lang: "en", Question: "test"}
	cause := s.truth.Roots[0].GetName()
	node := ""
	c, _ := s.e.Fleet.Cluster("prod")
	for _, n := range c.List("Node", "") {
		node = n.GetName()
	}
	other := ""
	for _, d := range c.List("Deployment", s.shop.Namespace()) {
		if d.GetName() != cause && d.GetWorkload().GetDesired() == 2 {
			other = d.GetName()
		}
	}
	pods := c.List("Pod", s.shop.Namespace())
	pod := pods[len(pods)-1].GetName()
	lines := []struct {
		line  string
		tool  string
		shows []string // that the answer must show somewhere
	}{
		{"status", "overview", []string{"One thing is wrong in prod / " + s.shop.Namespace(), cause, "INC-1"}},
		{"clusters", "clusters", []string{"One cluster: prod", "connected"}},
		{"alerts", "alerts", []string{cause}},
		{"alerts " + cause, "alerts", []string{cause}},
		{"list pods -n " + s.shop.Namespace(), "list_resources", []string{cause, "Running"}},
		{"get pods", "get_resource", []string{"pods in prod"}},
		{"describe " + cause, "describe", []string{"Replicas", "Events"}},
		{"get " + cause, "get_resource", []string{"kind: Deployment"}},
		{"logs " + cause + " --tail 5", "logs", []string{"deployment/" + cause + " · prod / "}},
		{"events --all", "events", []string{"prod", "pod/"}},
		{"events " + cause + " --all --since 2h", "events", []string{"deployment/" + cause}},
		{"top", "top", []string{"uses the most CPU of ", " pods in prod: ", "MiB"}},
		{"top --by memory", "top", []string{"uses the most memory of ", " pods in prod: "}},
		{"top nodes", "top", []string{node, "CPU%", "% "}},
		{"metrics " + cause, "metrics", []string{"service/" + cause, "error_rate", "±"}},
		{"traces " + cause + " --failed --since 5m", "traces", []string{"slowest failed traces of the last 5m", "DURATION", "Show the first"}},
		{"operations " + cause, "operations", []string{"operations in the traces of the last 15m", "/api/" + cause, "Calls"}},
		{"search " + cause + " PriceFormatter --level error", "search_logs", []string{"log lines of the last 15m that fit", "cannot read field"}},
		{"patterns " + cause + " --level error --new_since rollout", "log_patterns", []string{"new in the last", "of null in PriceFormatter"}},
		{"graph " + cause + " error", "graph", []string{"1 series of the last 60m", "error_rate"}},
		{"changes", "changes", []string{cause, "image "}},
		{"changes " + cause, "changes", []string{"deployment/" + cause}},
		{"topology " + cause, "topology", []string{"things depend on it", "pod/"}},
		{"topology " + cause + " upstream", "topology", []string{"Upstream"}},
		{"risk", "risk", []string{cause}},
		{"risk " + cause, "risk", []string{"risk 0.", "Formula"}},
		{"rollout " + cause, "rollout_status", []string{"deployment/" + cause + " · prod", " is rolled out: ", "revision ", "successfully rolled out"}},
		{"history " + cause, "rollout_history", []string{"revisions", "current"}},
		{"incidents", "incidents", []string{"One incident is open in prod", "INC-1"}},
		{"incidents --all --since 24h", "incidents", []string{"One incident in the last 24h in prod"}},
		{"explain", "explain", []string{"Why I think it is deployment/" + cause + " · prod", "confidence high", "image "}},
		{"explain " + cause, "explain", []string{"Affected"}},
		{"explain this: [FIRING] KubePodCrashLooping pod=" + pod + " and " + cause + ", restart " + other + "!", "explain_text", []string{"It is about an open incident in prod / " + s.shop.Namespace(), "part of INC-1", "deployment/" + cause, "pod/" + pod, "deployment/" + other, "nothing is wrong with it", "Why? INC-1"}},
		{"timeline INC-1", "timeline", []string{"INC-1", "prod / "}},
		{"similar INC-1", "similar", []string{"Nothing like INC-1", "prod / "}},
		{"stats", "incident_stats", []string{"One incident in the last 30d in prod", "open now"}},
		{"fix", "suggest_fix", []string{"Proposed: roll back deployment/" + cause, "prod / "}},
		{"pending", "pending", []string{"One proposal waits", "prod / "}},
		{"restart " + other, "rollout_restart", []string{"Proposed: restart ", "prod / "}},
		{"scale " + other + " 3", "scale", []string{"Proposed: scale ", "prod / "}},
		{"rollback " + cause, "rollback", []string{"Proposed: roll back deployment/" + cause, "prod / "}},
		{"set-image " + other + " shop/" + other + ":v9.9.9", "set_image", []string{"Proposed: ", "prod / "}},
		{"delete " + pod, "delete_pod", []string{"Proposed: delete pod/" + pod, "prod / "}},
		{"cordon " + node, "cordon", []string{"Proposed: cordon node/" + node, "prod"}},
		{"drain " + node + " --delete-emptydir-data", "drain", []string{"Proposed: drain node/" + node, "prod"}},
		{"pause " + other, "rollout_pause", []string{"Proposed: pause the rollouts of deployment/" + other, "prod / "}},
		{"taint " + node + " gpu=yes:NoSchedule", "taint", []string{"Proposed: taint node/" + node + " with gpu=yes:NoSchedule", "prod"}},
		{"label " + other + " team=shop", "label", []string{"Proposed: label deployment/" + other + " with team=shop", "prod / "}},
		{"annotate deployment " + other + " note=held back", "annotate", []string{"with note=held back", "prod / "}},
		{"restart-all deployments -l app.kubernetes.io/name=" + other + " -n " + s.shop.Namespace(), "restart_all", []string{"Proposed: restart 1 deployment with app.kubernetes.io/name=" + other, "prod / "}},
		{"scale-all deployments 3 -l app.kubernetes.io/name=" + other + " -n " + s.shop.Namespace(), "scale_all", []string{"Proposed: scale 1 deployment with ", " to 3", "prod / "}},
		{"kubectl rollout restart deploy -l app.kubernetes.io/name=" + other + " -n " + s.shop.Namespace(), "kubectl", []string{"Proposed: restart 1 deployment", "prod / "}},
		{"grant slack:ken operator prod/shop", "grant", []string{"slack:ken is operator in prod/shop from now on"}},
		{"grant Ken@Example.com viewer prod", "grant", []string{"email:ken@example.com is viewer in prod "}},
		{"lang", "lang", []string{"in the language of your question"}},
		{"grants", "grants", []string{"slack:ken operator prod/shop", "slack:mia admin * configuration"}},
		{"revoke slack:ken prod/shop", "revoke", []string{"slack:ken has no role of its own in prod/shop any more"}},
		{"audit", "audit", []string{"entries of the audit log", "role.revoked", "command.proposed"}},
		{"audit 3", "audit", []string{"The newest 3 of "}},
		{"audit verify", "audit", []string{"The audit log is whole"}},
		{"audit export 2", "audit", []string{"Audit log, entries 3 to ", `"action":"role.granted"`}},
		{"kubectl get pods -n " + s.shop.Namespace(), "kubectl", []string{"pods in prod"}},
		{"kubectl logs deployment/" + cause + " -n " + s.shop.Namespace() + " --tail=3", "kubectl", []string{" lines of its logs"}},
		{"slo", "slo", []string{"objectives in prod", "ingress/" + s.shop.Namespace(), "availability 99.5 % over 30 d", "latency 99 % within 300 ms", "annotation", "at most"}},
		{"slo ingress/" + s.shop.Namespace(), "slo", []string{"ingress/" + s.shop.Namespace() + " · prod", "% good", "BURN", "5 min", "3 d", "CODE", "503", "UP TO", "forecast"}},
		{"slo set " + cause + " availability 99 7d", "slo_set", []string{"Set: " + cause + " availability 99 % over 7 d · prod", "% good"}},
		{"slo set " + cause + " latency 95 --threshold 450ms", "slo_set", []string{"latency 95 % within 450 ms over 30 d"}},
		{"slo " + cause, "slo", []string{"service/" + cause, "measured at", "ms, the nearest bound of the latency buckets", "failed requests of " + cause, "the objective allows 1 %"}},
		{"slo remove " + cause + " latency", "slo_remove", []string{"Removed: " + cause + " latency 95 % within 450 ms over 30 d · prod"}},
		{"slo propose deployment/" + cause, "slo_propose", []string{"what it kept so far", "of the budget", "latency 99 % within", "requests in "}},
		{"signals " + cause, "signals", []string{"golden signals", "60M AGO", "mesh", "p95", "/s"}},
		{"chart " + cause + " errors", "chart", []string{"errors of service/" + cause + " · prod", "an hour ago", "normal 0 %–", "least"}},
		{"chart " + node + " cpu", "chart", []string{"CPU of node/" + node}},
		{"chart " + cause, "chart", []string{"last 60m"}},
		{"ack INC-1", "acknowledge", []string{"Mia has INC-1", "prod / "}},
		{"silence INC-1 --for 30m", "silence", []string{"INC-1 is quiet until", "prod / "}},
		{"silences", "silences", []string{"One silence holds in prod", "INC-1", "Mia", "End sil-"}},
		{"silence end INC-1", "silence_end", []string{"INC-1 is quiet no longer", "prod"}},
		{"silences", "silences", []string{"Nothing is silenced in prod"}},
		{"silence cause OOMKilled --on deployment/" + cause + " --for 48h", "silence_cause", []string{"OOMKilled in prod / " + s.shop.Namespace() + " / deployment/" + cause + " is quiet until", "or at once if one becomes an Incident"}},
		{"track", "track_record", []string{"Nobody has judged the one incident of the last 90d in prod", "judge INC-1 right"}},
		{"judge INC-1 wrong", "judge", []string{"Noted: the cause of INC-1 was wrong", "deployment/" + cause}},
		{"judge inc-1 RIGHT", "judge", []string{"Noted: the cause of INC-1 was right"}},
		{"track --since 24h", "track_record", []string{"One incident of the last 24h in prod was judged, of 1", "CONFIRMED", " 1 1 0 0 1/1"}},
		{"explain INC-1", "explain", []string{"of one judged cause of the kind", "1 was right", "Wrong cause"}},
		{"postmortem INC-1", "postmortem", []string{"Draft of the post-mortem of INC-1", "# Post-mortem (draft): ", "## Open questions"}},
		{"oncall", "oncall", []string{"mia is on call, until ", "Next", "ken", "slack:MIA"}},
		{"oncall +168h", "oncall", []string{"ken is on call at "}},
	}
	called := map[string]bool{"uncordon": true} // nothing is cordoned here: see below
	for _, name := range []string{"rollout_resume", "untaint", "undo", "break_glass", "delete_job", "run_cronjob"} {
		called[name] = true // nothing is paused, tainted, finished or waiting for another here, and the shop has no jobs
	}
	for _, x := range lines {
		t.Run(x.line, func(t *testing.T) {
			tool, args, ok, err := s.ParseLine(x.line)
			if !ok || err != nil || tool != x.tool {
				t.Fatalf("parsed as %s %s, %v, %v", tool, args, ok, err)
			}
			called[tool] = true
			res, err := s.Call(t.Context(), caller, tool, args)
			if err != nil {
				t.Fatalf("%s: %v", args, err)
			}
			if tool != "grants" && tool != "lang" && tool != "audit" && tool != "oncall" && !strings.Contains(res.Headline+res.Cluster, "prod") {
				t.Errorf("the headline %q does not name the cluster", res.Headline)
			}
			shown := everything(res)
			for _, want := range x.shows {
				if !strings.Contains(shown, want) {
					t.Errorf("%q is not in the answer:\n%s", want, shown)
				}
			}
			for _, table := range res.Tables {
				for _, row := range table.Rows {
					if len(row) != len(table.Columns) {
						t.Errorf("a row of %d cells under %d columns: %q", len(row), len(table.Columns), row)
					}
				}
			}
		})
	}
	t.Run("one trace of a list", func(t *testing.T) {
		list, err := s.Call(t.Context(), caller, "traces", []byte(`{"target":"`+cause+`","failed":true}`))
		if err != nil || len(list.Next) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		called[list.Next[0].Tool] = true
		one, err := s.Call(t.Context(), caller, list.Next[0].Tool, list.Next[0].Args)
		if err != nil {
			t.Fatal(err)
		}
		if text := everything(one); !strings.Contains(text, "█") || !strings.Contains(text, "✗") || !strings.Contains(text, cause) {
			t.Errorf("the waterfall:\n%s", text)
		}
	})
	t.Run("uncordon what is not cordoned", func(t *testing.T) {
		if _, err := s.Call(t.Context(), caller, "uncordon", []byte(`{"target":"`+node+`"}`)); err == nil {
			t.Error("it was proposed")
		}
	})
	for _, spec := range s.Tools(caller) {
		if !called[spec.Name] {
			t.Errorf("%s was never called", spec.Name)
		}
	}
	t.Run("a follow-up is a call that works", func(t *testing.T) {
		res, err := s.Call(t.Context(), caller, "overview", nil)
		if err != nil || len(res.Next) == 0 {
			t.Fatalf("%v, %v", res, err)
		}
		for _, o := range res.Next {
			if _, err := s.Call(t.Context(), caller, o.Tool, o.Args); err != nil {
				t.Errorf("%s %s: %v", o.Tool, o.Args, err)
			}
		}
	})
	t.Run("what is written beside a proposal can be typed", func(t *testing.T) {
		res, err := s.Call(t.Context(), caller, "suggest_fix", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range res.Lists {
			for line := range strings.SplitSeq(strings.TrimSpace(l.Body), "\n") {
				command, _, _ := strings.Cut(line, ": ")
				if _, args, ok, err := s.ParseLine(command); !ok || err != nil {
					t.Errorf("%q is no command: %s, %v", command, args, err)
				}
			}
		}
	})
}

// everything is what a person sees of a result.
func everything(r *tools.Result) string {
	out := []string{r.Headline, r.Question}
	out = append(out, r.Missing...)
	for _, f := range r.Facts {
		out = append(out, f.Label+" "+f.Value+" "+f.Normal)
	}
	for _, t := range r.Tables {
		out = append(out, t.Heading, strings.Join(t.Columns, " "))
		for _, row := range t.Rows {
			out = append(out, strings.Join(row, " "))
		}
	}
	for _, f := range r.Files {
		out = append(out, f.Name, f.Body)
	}
	for _, t := range slices.Concat(r.Texts, r.Lists) {
		out = append(out, t.Heading, t.Body)
	}
	for _, c := range r.Charts {
		out = append(out, c.Title, c.Alt, c.Spark)
	}
	for _, o := range slices.Concat(r.Options, r.Next) {
		out = append(out, o.Label)
	}
	return strings.Join(out, "\n")
}

func TestARolloutThatIsStuckSaysWhatHoldsItUp(t *testing.T) {
	s := newSimulated(t, "imagepull")
	cause := s.truth.Roots[0].GetName()
	for lang, want := range map[string]string{"en": " is not rolled out: ", "zh": "尚未发布完成", "ja": "完了していません"} {
		res, err := s.Call(t.Context(), tools.Caller{Person: mia, Lang: lang}, "rollout_status", json.RawMessage(`{"target":"`+cause+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(res.Headline, cause) || !strings.Contains(res.Headline, want) {
			t.Errorf("%s: %s", lang, res.Headline)
		}
		if all := everything(res); !strings.Contains(all, "ImagePull") || !strings.Contains(all, "new replicas have been updated") {
			t.Errorf("%s: what holds it up is not said: %s", lang, all)
		}
	}
}
