package main

import (
	"bytes"
	"context"

	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

// reach makes one call to the agent port and gives the status and what was answered.
func (d *deployment) reach(procedure, cluster, token, contentType, encoding string, body []byte) (int, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.agentURL+procedure, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	if cluster != "" {
		req.Header.Set("Atlhyper-Cluster", cluster)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

func TestTheAgentPortRefusesStrangersAndGarbage(t *testing.T) {
	d := newDeployment(t)
	args := d.joins("lab")
	token := args[6]
	other := secondTo(t, "--token", "cluster", "add", "other", "--data-dir", d.data)
	viewer := d.personToken("ken", "viewer")
	d.startEngine()
	d.startAgent(args)
	d.knows(viewer, "lab")

	join, report_, commands, complete := report.AgentServiceJoinProcedure, report.AgentServiceReportProcedure, report.AgentServiceCommandsProcedure, report.AgentServiceCompleteProcedure
	const proto, streamed, jsonType = "application/proto", "application/connect+proto", "application/json"
	huge := bytes.Repeat([]byte{0x0a, 0x7f}, 12<<20) // more than a batch may hold
	for _, c := range []struct {
		name                                            string
		procedure, cluster, token, contentType, encoded string
		body                                            string
		status                                          int
		says                                            string
	}{
		{"no token", join, "lab", "", jsonType, "", `{"cluster":"lab"}`, 401, "atlhyper cluster add"},
		{"a wrong token", join, "lab", "nonsense", jsonType, "", `{"cluster":"lab"}`, 401, "atlhyper cluster rotate lab"},
		{"another cluster's token", join, "lab", other, jsonType, "", `{"cluster":"lab"}`, 401, "atlhyper cluster rotate lab"},
		{"a cluster that nobody added", join, "nowhere", token, jsonType, "", `{"cluster":"nowhere"}`, 401, `cluster \"nowhere\"`},
		{"a person's token", join, "lab", viewer, jsonType, "", `{"cluster":"lab"}`, 401, "not that of cluster"},
		{"a report for another cluster", join, "lab", token, jsonType, "", `{"cluster":"other"}`, 400, "token"},
		{"a session that never was", report_, "lab", token, jsonType, "", `{"session":"made-up","sequence":"1"}`, 400, "join again"},
		{"bytes that are no message", report_, "lab", token, proto, "", "\xff\xff\xff\xff garbage", 400, "unmarshal"},
		{"JSON that is none", report_, "lab", token, jsonType, "", `{"session":`, 400, "unmarshal"},
		{"zstd that is none", report_, "lab", token, proto, "zstd", "this is not zstd", 400, "decompress"},
		{"gzip that is none", report_, "lab", token, proto, "gzip", "this is not gzip", 400, "decompress"},
		{"a compression that is not known", report_, "lab", token, proto, "br", "x", 501, "unknown compression"},
		{"a content type that is not known", report_, "lab", token, "text/html", "", "<html>", 415, ""},
		{"more than a batch may hold", report_, "lab", token, proto, "", string(huge), 429, "larger than"},
		{"an outcome that is none", complete, "lab", token, proto, "", "\xff\xff", 400, "unmarshal"},
		{"an outcome of nothing", complete, "lab", token, jsonType, "", `{}`, 200, ""},
		{"a stream of garbage", commands, "lab", token, streamed, "", "\x00\x00\x00\x00\x04\xff\xff\xff\xff", 200, "invalid_argument"},
		{"a procedure that is not there", "/atlhyper.report.v1.AgentService/Nothing", "lab", token, proto, "", "", 404, ""},
		{"a page", "/", "", "", "text/plain", "", "", 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, said := d.reach(c.procedure, c.cluster, c.token, c.contentType, c.encoded, []byte(c.body))
			if status != c.status || !strings.Contains(said, c.says) {
				t.Errorf("answered %d %.200s, want %d %s", status, said, c.status, c.says)
			}
			if strings.Contains(said, token) || c.token != "" && strings.Contains(said, c.token) {
				t.Errorf("the answer holds a token: %.200s", said)
			}
		})
	}
	// The agent still reports, and what it reports is still understood.
	d.breakImage("email")
	d.expect("email", "INC-1", "lab / shop")
}

func TestAnAgentWithoutItsTokenIsToldWhatToDo(t *testing.T) {
	d := newDeployment(t)
	args := d.joins("lab")
	d.startEngine()

	missing := append(append([]string{}, args[:5]...), args[7:]...)
	if out, code := call(t, nil, missing...); code != 2 || !strings.Contains(out.stderr, "--token") {
		t.Errorf("without a token: code %d, %s", code, out.stderr)
	}
	wrong := append([]string{}, args...)
	wrong[6] = "nonsense"
	d.startAgent(wrong)
	file := filepath.Join(d.data, "log-of-agent-lab")
	var said []byte
	waitFor(t, "a line in the agent's log", func() bool {
		said, _ = os.ReadFile(file) // made by the first line
		return bytes.Contains(said, []byte("atlhyper cluster rotate lab"))
	})
	if bytes.Contains(said, []byte("nonsense")) {
		t.Errorf("the log holds the token:\n%s", said)
	}
}

// skewed runs an agent whose clock is off.
func (d *deployment) skewed(cluster, token string, off time.Duration) {
	d.t.Helper()
	k, err := kubeFlags{Kubeconfig: d.lab.Kubeconfig()}.connect()
	if err != nil {
		d.t.Fatal(err)
	}
	a, err := agent.New(agentConfig(k, agent.Config{
		Cluster: cluster, EngineURL: d.agentURL, Token: token, HTTPClient: http.DefaultClient, DataDir: d.t.TempDir(),
		Now: func() time.Time { return time.Now().Add(off) },
	}))
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := a.Run(ctx); err != nil && ctx.Err() == nil {
			d.t.Errorf("the agent ended: %v", err)
		}
	})
	d.t.Cleanup(func() {
		cancel()
		done.Wait()
	})
}

func TestAClockThatIsOffByFiveMinutesIsToldAndHindersNothing(t *testing.T) {
	for _, c := range []struct {
		name, deployment string
		off              time.Duration
		told             string
	}{
		{"fast", "search", 5 * time.Minute, "The clock of lab is off by 5m0s; the engine's clock counts."},
		{"slow", "ads", -5 * time.Minute, "The clock of lab is off by 5m0s; the engine's clock counts."},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDeployment(t)
			token := d.joins("lab")[6]
			d.startEngine()
			d.skewed("lab", token, c.off)
			d.expect(c.told)
			begun := time.Now()
			d.breakImage(c.deployment)
			parent := d.expect(c.deployment, "INC-1")
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("told after %s", took)
			}
			d.click(mia, parent, "Suggest fix")
			card := d.expectReply(parent, "roll back deployment/"+c.deployment)
			d.click(mia, card, d.buttonOf(card, "Roll back"))
			d.expectReply(parent, "approved by Mia", "verified")
			d.expect("INC-1", "resolved")
		})
	}
}

func TestAnAPIServerThatIsAwayIsToldAndComesBack(t *testing.T) {
	l := lab.ForTest(t)
	if err := l.SeedShop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := slackfake.New(slackfake.Config{})
	t.Cleanup(s.Close)
	w := &workspace{Server: s, t: t, lab: l, data: t.TempDir()}
	w.args = []string{
		"up", "--headless", "--kubeconfig", l.Kubeconfig(), "--cluster-id", "lab", "--data-dir", w.data, "--time-scale", "20",
		"--slack-bot-token", slackfake.BotToken, "--slack-app-token", slackfake.AppToken, "--slack-api-url", s.URL(), "--slack-channel", ops,
		"--admins", "slack:" + mia, "--log-level", "info", "--log-file", filepath.Join(w.data, "log"),
	}
	w.start()
	w.slash("list nodes")
	w.expect("4 nodes in lab.")

	if err := l.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	w.expect("The agent of lab cannot read")
	w.slash("logs payments")
	w.expect("❌ lab: the API server cannot be reached: connection refused")
	w.slash("list deployments")
	w.expect("12 deployments in lab", "Could not look at everything")

	if err := l.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.expect("well again")
	told := 0
	for _, m := range w.Messages(ops) {
		if strings.Contains(m.Text(), "The agent of lab cannot read") || strings.Contains(m.Text(), "well again") {
			told++
		}
		if told == 1 && strings.Contains(m.Text(), "INC-") {
			t.Errorf("an incident was made of not seeing:\n%s", m.Text())
		}
	}
	if told != 2 {
		t.Errorf("%d messages tell of one outage, want one at its beginning and one at its end", told)
	}
	// A node whose heartbeats could not be written meanwhile may be an incident of its own for a moment.
	w.breakImage("payments")
	w.expect("payments cannot pull its image")
}

func (w *workspace) slash(text string) {
	w.t.Helper()
	if err := w.Slash(mia, ops, "/atl", text); err != nil {
		w.t.Fatal(err)
	}
}

func TestLogsOfAnySizeAndContentAreCappedAndHarmless(t *testing.T) {
	w := newWorkspace(t)
	w.start()
	pings := "hello <!channel> <@U0KEN> @here"
	if err := w.lab.AppendLog("recommendations", false, "begin "+strings.Repeat("x", 1<<20)+" end", pings+" \x1b[2J\u202elast line"); err != nil {
		t.Fatal(err)
	}
	w.slash("logs recommendations --tail 3")
	m := w.expect("deployment/recommendations", "left out", pings, "last line")
	if got := m.Pings(); len(got) > 0 {
		t.Errorf("a log line pings %q", got)
	}
	if strings.ContainsAny(m.Text(), "\x1b\u202e") {
		t.Error("control characters came through")
	}
	// One pod's lines are capped one by one, and that is said too.
	pods, err := w.lab.Client().CoreV1().Pods(lab.ShopNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=recommendations"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("no pods: %v", err)
	}
	w.slash("logs pod/" + pods.Items[0].Name + " --tail 2 begin")
	m = w.expect("pod/"+pods.Items[0].Name, "begin xxx", "…")
	if n := len(m.Text()); n > 40_000 {
		t.Errorf("%d bytes are shown of a line", n)
	}
}

func TestAFixThatDoesNotHelpIsSaidSo(t *testing.T) {
	w := newWorkspace(t)
	w.start()
	was := w.revision("checkout")
	w.breakImage("checkout")
	parent := w.expect("checkout", "INC-1")
	w.reply(mia, parent, "restart deployment/checkout") // its image is missing: that mends nothing
	card := w.expectReply(parent, "restart deployment/checkout", "expires")
	w.click(mia, card, w.buttonOf(card, "Restart"))
	w.expectReply(parent, "approved by Mia", "did not help")
	open, ok := w.Message(ops, parent.TS)
	if !ok || strings.Contains(open.Text(), "resolved") || strings.Contains(open.Text(), "recovering") {
		t.Errorf("the parent says:\n%s", open.Text())
	}
	w.expect("INC-1 · Incident", "Fix: restart deployment/checkout (Mia), which did not help")

	// The thread goes on, and the right fix ends it.
	w.reply(mia, parent, "roll back deployment/checkout to revision "+was)
	right := w.expectReply(parent, "roll back deployment/checkout", "expires")
	w.click(mia, right, w.buttonOf(right, "Roll back"))
	w.expect("INC-1", "resolved", "Fixed by")
}

// shifted is `up` with a clock that a test can put forward.
func (w *workspace) shifted() (forward func(time.Duration)) {
	w.t.Helper()
	var mu sync.Mutex
	var by time.Duration
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(by)
	}
	ctx, cancel := context.WithCancel(context.Background())
	core, err := newCore(ctx, coreConfig{
		policyFlags: policyFlags{Admins: []string{"slack:" + mia}, ProtectedNamespaces: []string{"kube-system"}, TimeScale: 20},
		chatFlags:   chatFlags{SlackBotToken: slackfake.BotToken, SlackAppToken: slackfake.AppToken, SlackAPIURL: w.URL(), SlackChannel: ops},
		database:    filepath.Join(w.data, "atlhyper.db"), lang: "en", now: now, log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := core.localToken(ctx, "lab")
	if err != nil {
		w.t.Fatal(err)
	}
	k, err := kubeFlags{Kubeconfig: w.lab.Kubeconfig()}.connect()
	if err != nil {
		w.t.Fatal(err)
	}
	wire := newInProcess()
	a, err := agent.New(agentConfig(k, agent.Config{
		Cluster: "lab", EngineURL: "http://engine", Token: token, HTTPClient: wire.client(), DataDir: filepath.Join(w.data, "agent"), Now: now,
	}))
	if err != nil {
		w.t.Fatal(err)
	}
	var done sync.WaitGroup
	for _, part := range []func(context.Context) error{
		func(ctx context.Context) error { return serve(ctx, wire, agentPort(core)) }, a.Run, core.engine.Run, core.bot.Run,
	} {
		done.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				w.t.Errorf("it ended: %v", err)
			}
		})
	}
	w.t.Cleanup(func() {
		cancel()
		done.Wait()
		if err := core.Close(); err != nil {
			w.t.Errorf("close: %v", err)
		}
		w.said()
	})
	w.connected(w.t.Context())
	return func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		by += d
	}
}

func TestAnExpiredButtonRunsNothing(t *testing.T) {
	w := newWorkspace(t)
	forward := w.shifted()
	was := w.revision("cart")
	asked := w.mention(mia, "restart deployment/cart")
	card := w.expectReply(asked, "restart deployment/cart", "expires")
	label := w.buttonOf(card, "Restart")
	forward(11 * time.Minute) // it lives ten
	if err := w.Click(mia, card, label); err != nil {
		t.Fatal(err) // the button stands there until the next tick
	}
	w.expectReply(asked, "Too late", "Ask again if it is still needed.")
	w.expectReply(asked, "expired; nothing ran", "asked by Mia")
	if err := w.Click(mia, card, label); err == nil {
		t.Error("the button is still there")
	}
	if got := w.revision("cart"); got != was {
		t.Errorf("revision %s, was %s", got, was)
	}
	w.slash("pending")
	w.expect("0 proposals wait for approval.")
	// Asked for again, it is a new proposal.
	w.reply(mia, asked, "restart deployment/cart")
	again := w.expectReply(asked, "Proposed by Mia", "expires")
	w.click(mia, again, "Reject")
	w.expectReply(asked, "rejected by Mia")
}
