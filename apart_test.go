package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

// program is a run of the program in this process.
type program struct {
	alive context.Context // ends after a minute, and when the program ends by itself
	out   *output
	stop  func() // ends it and waits; it may be called twice
}

// launch runs the program until the test ends, and fails the test when it ends sooner.
func launch(t *testing.T, log string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	alive, ended := context.WithTimeout(t.Context(), time.Minute)
	p := &program{alive: alive, out: &output{}}
	var done sync.WaitGroup
	done.Go(func() {
		args = append(args, "--log-level", "info", "--log-file", log)
		if code := run(ctx, args, os.Getenv, strings.NewReader(""), p.out, p.out); ctx.Err() == nil {
			t.Errorf("%s ended with code %d: %s", args[0], code, p.out)
			ended()
		}
	})
	p.stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(func() {
		p.stop()
		ended()
		if raw, err := os.ReadFile(log); t.Failed() {
			t.Logf("log of %s (%v):\n%s", args[0], err, tail(string(raw), 6000))
		}
	})
	return p
}

// output gathers what several goroutines write.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String gives everything so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// deployment is an engine and its agents, each a run of the program, over real ports.
type deployment struct {
	*workspace
	agentURL, peopleURL string
	engine              []string // its arguments
}

// newDeployment prepares an engine in a Slack workspace; nothing runs yet.
func newDeployment(t *testing.T, extra ...string) *deployment {
	t.Helper()
	w := newWorkspace(t)
	agents, people := freeAddress(t), freeAddress(t)
	d := &deployment{workspace: w, agentURL: "http://" + agents, peopleURL: "http://" + people}
	d.engine = append([]string{
		"engine", "--agent-listen", agents, "--listen", people, "--data-dir", w.data, "--time-scale", "20",
		"--slack-bot-token", slackfake.BotToken, "--slack-app-token", slackfake.AppToken, "--slack-api-url", w.URL(), "--slack-channel", ops,
		"--admins", "slack:" + mia,
	}, extra...)
	t.Cleanup(w.said)
	return d
}

// freeAddress gives an address that nobody listens on. Ports are not given out again soon, so it stays free.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *deployment) startEngine() *program {
	d.t.Helper()
	p := launch(d.t, filepath.Join(d.data, "log"), d.engine...)
	d.connected(p.alive)
	return p
}

// joins makes a cluster's token and gives the arguments of its agent.
func (d *deployment) joins(cluster string) []string {
	d.t.Helper()
	return []string{
		"agent", "--cluster-id", cluster, "--engine", d.agentURL, "--token", secondTo(d.t, "--token", "cluster", "add", cluster, "--data-dir", d.data),
		"--kubeconfig", d.lab.Kubeconfig(), "--data-dir", filepath.Join(d.data, "agents"),
	}
}

func (d *deployment) startAgent(args []string) *program {
	d.t.Helper()
	return launch(d.t, filepath.Join(d.data, "log-of-agent-"+args[2]), args...)
}

// secondTo runs a command and gives the word behind a flag in what it prints, as a person would copy it.
func secondTo(t *testing.T, flag string, args ...string) string {
	t.Helper()
	out, code := call(t, nil, args...)
	words := strings.Fields(strings.ReplaceAll(out.stdout, "=", " "))
	if i := slices.Index(words, flag); code == 0 && i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	t.Fatalf("%q ended with code %d and printed no %s: %s%s", args, code, flag, out.stdout, out.stderr)
	return ""
}

// personToken makes a person's token.
func (d *deployment) personToken(name, role string) string {
	d.t.Helper()
	return secondTo(d.t, "ATLHYPER_TOKEN", "token", "add", name, "--role", role, "--data-dir", d.data)
}

// knows waits until the engine has read the clusters.
func (d *deployment) knows(token string, clusters ...string) {
	d.t.Helper()
	for begun := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		out, _ := call(d.t, nil, "ask", "clusters", "--engine", d.peopleURL, "--token", token)
		if !slices.ContainsFunc(clusters, func(c string) bool { return !strings.Contains(out.stdout, c) }) && strings.Count(out.stdout, "connected") >= len(clusters) {
			return
		}
		if time.Since(begun) > 45*time.Second {
			d.t.Fatalf("the engine never knew %q:\n%s%s", clusters, out.stdout, out.stderr)
		}
	}
}

// step is a subtest with the same deployment.
func (d *deployment) step(name string, f func(t *testing.T)) {
	d.t.Helper()
	whole := d.workspace.t
	defer func() { d.workspace.t = whole }()
	whole.Run(name, func(t *testing.T) {
		d.workspace.t = t
		f(t)
	})
}

func TestSeveralClustersReportToOneEngine(t *testing.T) {
	d := newDeployment(t)
	east, west := d.joins("east"), d.joins("west")
	viewer, admin := d.personToken("ken", "viewer"), d.personToken("mia", "admin")
	d.startEngine()
	d.startAgent(east)
	westAgent := d.startAgent(west)
	d.knows(viewer, "east", "west")

	d.step("an ambiguous name asks which, with buttons that work", func(t *testing.T) {
		asked := d.mention(mia, "logs of cart")
		which := d.expectReply(asked, "Which cart do you mean?", "east", "west")
		d.click(mia, which, d.buttonNaming(which, "west"))
		d.expectReply(asked, "deployment/cart · west / shop: the last")
		// The thread remembers which one was meant.
		d.reply(mia, asked, "show me its events")
		d.expectReply(asked, "events", "cart", "west")
	})

	d.step("a change of an ambiguous name asks which before it is proposed", func(t *testing.T) {
		asked := d.mention(mia, "restart deployment/cart")
		which := d.expectReply(asked, "Which cart do you mean?")
		d.click(mia, which, d.buttonNaming(which, "east"))
		card := d.expectReply(asked, "restart deployment/cart", "east / shop", "expires")
		d.click(mia, card, "Reject")
		d.expectReply(asked, "rejected by Mia")
	})

	d.step("a script asks the engine", func(t *testing.T) {
		out, code := call(t, nil, "ask", "how many pods are in west?", "--engine", d.peopleURL, "--token", viewer, "--json")
		var asked struct {
			Answer, By string
			Tools      []struct {
				Tool string
				Args map[string]any
			}
		}
		if err := json.Unmarshal([]byte(out.stdout), &asked); err != nil || code != 0 {
			t.Fatalf("code %d, %v: %s%s", code, err, out.stdout, out.stderr)
		}
		if !strings.Contains(asked.Answer, "pods in west") || len(asked.Tools) != 1 || asked.Tools[0].Tool != "list_resources" || asked.Tools[0].Args["cluster"] != "west" {
			t.Errorf("answered %+v", asked)
		}
	})

	d.step("a token that is wrong, missing or ended is refused with the remedy", func(t *testing.T) {
		ended := d.personToken("joe", "viewer")
		if out, code := call(t, nil, "token", "remove", "joe", "--data-dir", d.data); code != 0 {
			t.Fatalf("%s", out.stderr)
		}
		for _, c := range []struct {
			token, want string
		}{
			{"nonsense", "the engine does not know this token; an admin makes one with `atlhyper token add NAME`"},
			{ended, "the engine does not know this token"},
			{"", "a token is needed to speak with an engine: set ATLHYPER_TOKEN"},
		} {
			for _, command := range [][]string{{"ask", "what is wrong?"}, {"chat"}} {
				out, code := call(t, nil, append(command, "--engine", d.peopleURL, "--token", c.token)...)
				if code != 1 || !strings.Contains(out.stderr, c.want) {
					t.Errorf("%s with token %.8q: code %d, %s%s", command[0], c.token, code, out.stdout, out.stderr)
				}
			}
		}
		out, code := call(t, nil, "ask", "what is wrong?", "--engine", "http://"+freeAddress(t), "--token", viewer)
		if code != 1 || !strings.Contains(out.stderr, "no engine answers at http://127.0.0.1") {
			t.Errorf("no engine: code %d, %s", code, out.stderr)
		}
	})

	d.step("a viewer in the terminal may look and not approve, an admin may", func(t *testing.T) {
		before := d.revision("ads")
		boss := d.chat(admin)
		boss.types("restart deployment/ads --cluster east")
		boss.expect("restart deployment/ads", "east / shop", "dry run")
		guest := d.chat(viewer)
		guest.types("pending")
		guest.expect("Proposed by mia: restart deployment/ads")
		guest.types(guest.buttonOf("Restart"))
		guest.expect("Only an operator")
		if got := d.revision("ads"); got != before {
			t.Fatalf("a viewer restarted it: revision %s, was %s", got, before)
		}
		boss.types(boss.buttonOf("Restart"))
		boss.expect("approved by mia")
		waitFor(d.t, "a new revision", func() bool { return d.revision("ads") != before })
	})

	d.step("a silent agent is told within a minute, and its return", func(t *testing.T) {
		westAgent.stop()
		stopped := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // real time: silence is not scaled
		defer cancel()
		if _, err := d.WaitMessage(ctx, ops, "The agent of west is silent"); err != nil {
			t.Fatalf("not told after %s", time.Since(stopped))
		}
		t.Logf("told after %s", time.Since(stopped).Round(time.Second))
		if err := d.Slash(mia, ops, "/atl", "list nodes --cluster west"); err != nil {
			t.Fatal(err)
		}
		d.expect("the agent of west has been silent for", "this is what it last reported")
		asked := d.mention(mia, "restart deployment/cart in west")
		d.expectReply(asked, "The agent of west is silent", "nothing can be run there")
		d.startAgent(west)
		d.expect("The agent of west speaks again")
	})
}

// buttonNaming gives the one button whose label has a word in it.
func (w *workspace) buttonNaming(m slackfake.Message, word string) string {
	w.t.Helper()
	var found []string
	for _, b := range m.Buttons() {
		if strings.Contains(b.Label, word) {
			found = append(found, b.Label)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("%d buttons name %q in:\n%s", len(found), word, m.Text())
	}
	return found[0]
}

func (w *workspace) revision(deployment string) string {
	w.t.Helper()
	d, err := w.lab.Client().AppsV1().Deployments(lab.ShopNamespace).Get(w.t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Annotations["deployment.kubernetes.io/revision"]
}

// keyboard is a person in `atlhyper chat`.
type keyboard struct {
	t   *testing.T
	in  *io.PipeWriter
	out *output
}

// chat opens a terminal chat until the test ends.
func (d *deployment) chat(token string) *keyboard {
	d.t.Helper()
	in, keys := io.Pipe()
	k := &keyboard{t: d.t, in: keys, out: &output{}}
	var done sync.WaitGroup
	done.Go(func() {
		args := []string{"chat", "--engine", d.peopleURL, "--token", token}
		if code := run(context.Background(), args, os.Getenv, in, k.out, k.out); code != 0 {
			d.t.Errorf("chat ended with code %d", code)
		}
	})
	d.t.Cleanup(func() {
		keys.Close()
		done.Wait()
		if d.t.Failed() {
			d.t.Logf("a terminal:\n%s", k.out)
		}
	})
	k.expect("Connected.")
	return k
}

func (k *keyboard) types(line string) {
	k.t.Helper()
	if _, err := io.WriteString(k.in, line+"\n"); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keyboard) expect(words ...string) {
	k.t.Helper()
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		text := k.out.String()
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return
		}
		if time.Since(begun) > 45*time.Second {
			k.t.Fatalf("the terminal never showed %q:\n%s", words, text)
		}
	}
}

// buttonOf gives the number before a label.
func (k *keyboard) buttonOf(label string) string {
	k.t.Helper()
	m := regexp.MustCompile(`\[(\d+)\] ` + regexp.QuoteMeta(label)).FindStringSubmatch(k.out.String())
	if m == nil {
		k.t.Fatalf("no button %q in:\n%s", label, k.out)
	}
	return m[1]
}

func TestAnEngineThatRestartsGoesOnWithTheSameIncident(t *testing.T) {
	d := newDeployment(t)
	agent, viewer := d.joins("lab"), d.personToken("ken", "viewer")
	first := d.startEngine()
	d.startAgent(agent)
	d.knows(viewer, "lab")
	d.breakImage("shipping")
	parent := d.expect("shipping", "INC-1")
	first.stop()

	d.startEngine()
	d.knows(viewer, "lab") // the agent came back by itself
	d.click(mia, parent, "Suggest fix")
	card := d.expectReply(parent, "roll back deployment/shipping")
	d.click(mia, card, d.buttonOf(card, "Roll back"))
	if resolved := d.expect("INC-1", "resolved"); resolved.TS != parent.TS {
		t.Error("the thread was not continued")
	}
	for _, m := range d.Messages(ops) {
		if strings.Contains(m.Text(), "INC-2") {
			t.Errorf("a second incident for the same fault:\n%s", m.Text())
		}
	}
}

func TestAnApprovedCommandRunsOnceThoughTheEngineIsKilled(t *testing.T) {
	for _, moment := range []struct {
		name, deployment string
		before           func(agent *program)                                     // the approval
		reached          func(d *deployment, asked slackfake.Message, was string) // the moment of the kill
	}{
		{
			"before the agent has it", "currency",
			func(agent *program) { agent.stop() },
			func(d *deployment, asked slackfake.Message, _ string) {
				d.expectReply(asked, "approved by Mia", "running")
			},
		},
		{
			"as soon as it ran", "catalog",
			func(*program) {},
			func(d *deployment, _ slackfake.Message, was string) {
				waitFor(d.t, "a new revision", func() bool { return d.revision("catalog") != was })
			},
		},
	} {
		t.Run(moment.name, func(t *testing.T) {
			d := newDeployment(t)
			agent, viewer := d.joins("lab"), d.personToken("ken", "viewer")
			kill := d.engineProcess()
			running := d.startAgent(agent)
			d.knows(viewer, "lab")
			was := d.revision(moment.deployment)
			asked := d.mention(mia, "restart deployment/"+moment.deployment)
			card := d.expectReply(asked, "restart deployment/"+moment.deployment, "expires")
			moment.before(running)
			d.click(mia, card, d.buttonOf(card, "Restart"))
			moment.reached(d, asked, was)
			kill()

			d.engineProcess()
			running.stop() // the agent is new as well, and has its journal only
			d.startAgent(agent)
			d.expectReply(asked, "approved by Mia", "verified")
			before, err := strconv.Atoi(was)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.revision(moment.deployment); got != strconv.Itoa(before+1) {
				t.Errorf("revision %s, was %s: it did not run once", got, was)
			}
		})
	}
}

// engineProcess runs the engine as a process of its own until the test ends or kill is called.
func (d *deployment) engineProcess() (kill func()) {
	d.t.Helper()
	cmd := exec.Command(os.Args[0], append(d.engine, "--log-level", "info", "--log-file", filepath.Join(d.data, "log"))...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	t, end := d.t, sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil {
			d.t.Errorf("the engine did not stop well: %v", err)
		}
	})
	t.Cleanup(func() { end() })
	d.connected(t.Context())
	return func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		end = func() {}
		_ = cmd.Wait() // killed, as it was asked to be
	}
}
