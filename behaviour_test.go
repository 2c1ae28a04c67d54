package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

// These tests speak the product's language: somebody breaks a Deployment, a thread appears, a person presses its
// buttons, and the real API server changes. Durations run at one twentieth, thresholds as they are.

var shared lab.Shared

// asProgram makes the test binary the program itself, so that a test can kill -9 it.
const asProgram = "ATLHYPER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Setenv("LC_ALL", "C") // tests read English, whatever the terminal in which they run
	os.Exit(shared.Run(m))
}

const (
	ops = "C0OPS"
	mia = "U0MIA" // admin
	ken = "U0KEN" // nobody gave Ken a role: a viewer
)

// workspace is Slack, with AtlHyper in it, watching the lab.
type workspace struct {
	*slackfake.Server
	t    *testing.T
	lab  *lab.Lab
	data string
	args []string
}

func newWorkspace(t *testing.T, extra ...string) *workspace {
	l := shared.Lab(t)
	if err := l.SeedShop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := slackfake.New(slackfake.Config{})
	t.Cleanup(s.Close)
	w := &workspace{Server: s, t: t, lab: l, data: t.TempDir()}
	w.args = append([]string{
		"up", "--headless", "--kubeconfig", l.Kubeconfig(), "--cluster-id", "lab", "--data-dir", w.data, "--time-scale", "20",
		"--slack-bot-token", slackfake.BotToken, "--slack-app-token", slackfake.AppToken, "--slack-api-url", s.URL(), "--slack-channel", ops,
		"--admins", "slack:" + mia, "--log-level", "info", "--log-file", filepath.Join(w.data, "log"),
	}, extra...)
	return w
}

// start runs the program in this process until the test ends.
func (w *workspace) start() {
	ctx, cancel := context.WithCancel(context.Background())
	alive, ended := context.WithCancel(w.t.Context())
	var done sync.WaitGroup
	var out strings.Builder
	done.Go(func() {
		if code := run(ctx, w.args, os.Getenv, strings.NewReader(""), &out, &out); ctx.Err() == nil {
			w.t.Errorf("the program ended with code %d: %s", code, out.String())
			ended()
		}
	})
	w.t.Cleanup(func() {
		cancel()
		done.Wait()
		w.said()
	})
	w.connected(alive)
}

func (w *workspace) connected(ctx context.Context) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.WaitConnected(ctx); err != nil {
		w.t.Fatalf("AtlHyper did not come to Slack: %v", err)
	}
}

// said fails the test for every limit of Slack that was broken, and shows the log of a failed test.
func (w *workspace) said() {
	for _, f := range w.Faults() {
		w.t.Errorf("Slack would have complained: %s", f)
	}
	if w.t.Failed() {
		raw, err := os.ReadFile(filepath.Join(w.data, "log"))
		w.t.Logf("log (%v):\n%s", err, tail(string(raw), 4000))
		for _, m := range w.Messages(ops) {
			w.t.Logf("message %s (thread %q, edits %d):\n%s", m.TS, m.Thread, m.Edits, m.Text())
			for _, r := range w.Thread(ops, m.TS) {
				w.t.Logf("  reply:\n%s", r.Text())
			}
		}
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// expect waits until a message in the channel, outside threads, shows all the words, and gives it.
func (w *workspace) expect(words ...string) slackfake.Message {
	w.t.Helper()
	return w.wait("the channel", func() []slackfake.Message { return w.Messages(ops) }, words)
}

// expectReply is the same in a thread.
func (w *workspace) expectReply(parent slackfake.Message, words ...string) slackfake.Message {
	w.t.Helper()
	return w.wait("the thread", func() []slackfake.Message { return w.Thread(ops, parent.TS) }, words)
}

func (w *workspace) wait(where string, messages func() []slackfake.Message, words []string) (found slackfake.Message) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 90*time.Second)
	defer cancel()
	err := w.Wait(ctx, func() bool {
		for _, m := range messages() {
			text := m.Text()
			all := true
			for _, word := range words {
				all = all && strings.Contains(text, word)
			}
			if all {
				found = m
				return true
			}
		}
		return false
	})
	if err != nil {
		w.t.Fatalf("%s never showed %q", where, words)
	}
	return found
}

func (w *workspace) click(who string, m slackfake.Message, label string) {
	w.t.Helper()
	current, ok := w.Message(m.Channel, m.TS)
	if !ok {
		w.t.Fatalf("the message with %q is gone", label)
	}
	if err := w.Click(who, current, label); err != nil {
		w.t.Fatalf("click %q: %v", label, err)
	}
}

// buttonOf gives the button of a message whose label begins so.
func (w *workspace) buttonOf(m slackfake.Message, prefix string) string {
	w.t.Helper()
	for _, b := range m.Buttons() {
		if strings.HasPrefix(b.Label, prefix) {
			return b.Label
		}
	}
	w.t.Fatalf("no button %q… in:\n%s", prefix, m.Text())
	return ""
}

func (w *workspace) image(deployment string) string {
	w.t.Helper()
	d, err := w.lab.Client().AppsV1().Deployments(lab.ShopNamespace).Get(w.t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Spec.Template.Spec.Containers[0].Image
}

func (w *workspace) heal(deployment string) {
	w.t.Cleanup(func() {
		if err := w.lab.Heal(context.Background(), lab.ShopNamespace, deployment); err != nil {
			w.t.Logf("heal %s: %v", deployment, err)
		}
	})
}

func (w *workspace) breakImage(deployment string) {
	w.t.Helper()
	w.heal(deployment)
	if err := w.lab.ImagePull(w.t.Context(), lab.ShopNamespace, deployment); err != nil {
		w.t.Fatal(err)
	}
}

func TestABrokenImageIsToldExplainedMendedAndResolvedInOneThread(t *testing.T) {
	w := newWorkspace(t)
	before := w.image("payments")
	w.start()
	w.breakImage("payments")

	parent := w.expect("payments", "lab / shop", "INC-1")
	w.click(mia, parent, "Explain")
	w.expectReply(parent, "deployment/payments", "missing-1", "image")

	w.click(mia, parent, "Suggest fix")
	card := w.expectReply(parent, "roll back deployment/payments", "accepted by the API server", "W1")
	w.click(mia, card, w.buttonOf(card, "Roll back"))
	w.expectReply(parent, "verified")
	if got := w.image("payments"); got != before {
		t.Errorf("the API server holds image %s, want %s again", got, before)
	}
	resolved := w.expect("INC-1", "resolved")
	if resolved.TS != parent.TS {
		t.Error("resolved in another message than it was opened in")
	}
	parents := 0
	for _, m := range w.Messages(ops) {
		if strings.Contains(m.Text(), "INC-") {
			parents++
		}
	}
	if parents != 1 {
		t.Errorf("%d messages in the channel tell of incidents, want the one parent", parents)
	}
}

func TestAViewerCannotApproveAndTwoClicksRunItOnce(t *testing.T) {
	w := newWorkspace(t)
	w.start()
	w.breakImage("cart")
	parent := w.expect("cart", "INC-1")
	w.click(mia, parent, "Suggest fix")
	card := w.expectReply(parent, "roll back deployment/cart", "expires")
	label := w.buttonOf(card, "Roll back")

	w.click(ken, card, label)
	w.expectReply(parent, "変更を承認できるのはオペレーターだけです") // Ken's Slack speaks Japanese
	if got := w.image("cart"); !strings.Contains(got, "missing-1") {
		t.Fatalf("a viewer's click changed the image to %s", got)
	}

	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { _ = w.Click(mia, card, label) }) // the second may find the button gone
	}
	both.Wait()
	w.expectReply(parent, "verified")
	revision := func() string {
		d, err := w.lab.Client().AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), "cart", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if d.Status.ObservedGeneration < d.Generation {
			return "" // its controller has not numbered the rollback yet
		}
		return d.Annotations["deployment.kubernetes.io/revision"]
	}
	rev := revision()
	for until := time.Now().Add(10 * time.Second); rev != "3" && time.Now().Before(until); rev = revision() {
		time.Sleep(50 * time.Millisecond)
	}
	if rev != "3" {
		t.Errorf("revision is %q after one rollout and one rollback, want 3", rev)
	}
}

func TestAKilledProcessGoesOnWithTheSameIncidentInTheSameThread(t *testing.T) {
	w := newWorkspace(t)
	program := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], w.args...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	first := program()
	w.connected(t.Context())
	w.breakImage("search")
	parent := w.expect("search", "INC-1")
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // killed, as it was asked to be
	if err := w.WaitDisconnected(t.Context()); err != nil {
		t.Fatal(err)
	}

	second := program()
	t.Cleanup(func() {
		_ = second.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := second.Wait(); err != nil {
			t.Errorf("the program did not stop well: %v", err)
		}
		w.said()
	})
	w.connected(t.Context())
	w.click(mia, parent, "Suggest fix")
	card := w.expectReply(parent, "roll back deployment/search")
	w.click(mia, card, w.buttonOf(card, "Roll back"))
	resolved := w.expect("INC-1", "resolved")
	if resolved.TS != parent.TS {
		t.Error("the thread was not continued")
	}
	for _, m := range w.Messages(ops) {
		if strings.Contains(m.Text(), "INC-2") {
			t.Errorf("a second incident for the same fault:\n%s", m.Text())
		}
	}
}

func TestEveryFaultOfTheLabIsToldWithItsCause(t *testing.T) {
	for _, fault := range []struct {
		name, target string
		inject       func(l *lab.Lab, ctx context.Context) error
		cause        string
	}{
		{"crash loop", "email", func(l *lab.Lab, ctx context.Context) error { return l.CrashLoop(ctx, lab.ShopNamespace, "email") }, "deployment/email"},
		{"OOM kill", "ads", func(l *lab.Lab, ctx context.Context) error { return l.OOMKill(ctx, lab.ShopNamespace, "ads") }, "deployment/ads"},
		{"configuration error", "currency", func(l *lab.Lab, ctx context.Context) error { return l.ConfigError(ctx, lab.ShopNamespace, "currency") }, "deployment/currency"},
		{"failing readiness", "inventory", func(l *lab.Lab, ctx context.Context) error { return l.NotReady(ctx, lab.ShopNamespace, "inventory") }, "deployment/inventory"},
		{"unschedulable", "catalog", func(l *lab.Lab, ctx context.Context) error { return l.Unschedulable(ctx, lab.ShopNamespace, "catalog") }, "deployment/catalog"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			w := newWorkspace(t)
			w.start()
			w.heal(fault.target)
			if err := fault.inject(w.lab, t.Context()); err != nil {
				t.Fatal(err)
			}
			w.expect(fault.cause, "INC-1")
			w.alone()
		})
	}
	t.Run("node not ready", func(t *testing.T) {
		w := newWorkspace(t)
		w.start()
		nodes, err := w.lab.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil || len(nodes.Items) == 0 {
			t.Fatalf("no nodes: %v", err)
		}
		node := nodes.Items[0].Name
		t.Cleanup(func() {
			if err := w.lab.HealNode(context.Background(), node); err != nil {
				t.Errorf("heal node: %v", err)
			}
		})
		if err := w.lab.NodeNotReady(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		w.expect("node/"+node, "INC-1")
		w.alone()
	})
}

// alone says that the fault stays one incident: nothing else is told in the next two minutes of the engine's time.
func (w *workspace) alone() {
	w.t.Helper()
	time.Sleep(6 * time.Second)
	for _, m := range w.Messages(ops) {
		if strings.Contains(m.Text(), "INC-2") {
			w.t.Errorf("one fault became two incidents: %s", m.Text())
		}
	}
}

func TestThreadsRememberWhatIsTalkedAbout(t *testing.T) {
	w := newWorkspace(t)
	w.start()
	asked, err := w.Mention(mia, ops, "how is deployment/shipping in lab?")
	if err != nil {
		t.Fatal(err)
	}
	// At once, as people type: the second question waits for what the first one is about.
	if _, err := w.Reply(mia, ops, asked.TS, "show me its events"); err != nil {
		t.Fatal(err)
	}
	w.expectReply(asked, "events", "shipping", "lab")
}

func TestSlashCommandsAnswerAndRefuseWithTheRemedy(t *testing.T) {
	w := newWorkspace(t)
	w.start()
	for _, c := range []struct{ text, want string }{
		{"", "Open incidents"},
		{"list pods -n shop", "pods in lab / shop"},
		{"list pods --cluster prod-eu", `There is no cluster "prod-eu"`},
		{"logs paymets", "Did you mean payments?"},
		{"kubectl exec -it payments -- sh", "refused by design"},
		{"set-image payments", "set-image needs IMAGE"},
	} {
		if err := w.Slash(mia, ops, "/atl", c.text); err != nil {
			t.Fatal(err)
		}
		w.wait(fmt.Sprintf("the answer to /atl %s", c.text), func() []slackfake.Message { return w.Messages(ops) }, []string{c.want})
	}
}
