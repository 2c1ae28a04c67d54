package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	authorization "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
	"github.com/bukahou/atlhyper/bot/assistant/openaifake"
	"github.com/bukahou/atlhyper/bot/card/cardtest"
	"github.com/bukahou/atlhyper/bot/discord/discordfake"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// patient is what a doctor examines: everything that AtlHyper speaks with, and the flags that lead there.
type patient struct {
	t       *testing.T
	slack   *slackfake.Server
	discord *discordfake.Server
	gemini  *geminifake.Server
	denied  string // resource that the cluster's login may not list
	flags   map[string]string
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{t: t, slack: slackfake.New(slackfake.Config{}), discord: discordfake.New(discordfake.Config{}), gemini: geminifake.New(geminifake.Config{Key: geminiKey, Models: []string{"gemini-3.8-flash"}})}
	t.Cleanup(p.slack.Close)
	t.Cleanup(p.discord.Close)
	t.Cleanup(p.gemini.Close)
	api := httptest.NewServer(http.HandlerFunc(p.api))
	t.Cleanup(api.Close)
	data := t.TempDir()
	kubeconfig := filepath.Join(data, "kubeconfig")
	config := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"lab","clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"lab","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{"token":"x"}}]}`, api.URL)
	if err := os.WriteFile(kubeconfig, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.flags = map[string]string{
		"kubeconfig": kubeconfig, "data-dir": data, "admins": "slack:" + mia + ",discord:" + discordfake.Mia, "timeout": "5s",
		"slack-bot-token": slackfake.BotToken, "slack-app-token": slackfake.AppToken, "slack-api-url": p.slack.URL(), "slack-channel": ops,
		"discord-bot-token": discordfake.BotToken, "discord-guild-id": discordfake.Guild, "discord-channel": discordfake.Ops, "discord-api-url": p.discord.URL(),
		"gemini-api-key": geminiKey, "gemini-api-url": p.gemini.URL,
	}
	return p
}

// api answers as an API server does that is asked for its version and for rights.
func (p *patient) api(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/version" {
		fmt.Fprint(w, `{"major":"1","minor":"36","gitVersion":"v1.36.3"}`)
		return
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Error(err)
	}
	var review authorization.SelfSubjectAccessReview // sent as protobuf
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(raw, nil, &review); err != nil || review.Spec.ResourceAttributes == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	review.Status.Allowed = review.Spec.ResourceAttributes.Resource != p.denied
	review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(review)
}

// routes writes a file of routes.
func (p *patient) routes(text string) {
	p.t.Helper()
	p.flags["routes"] = p.secret(text)
}

// secret writes a file and gives its path.
func (p *patient) secret(text string) string {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// examine runs the doctor and gives its lines by check, and the exit code.
func (p *patient) examine() (map[string]string, int) {
	p.t.Helper()
	out, code := p.report("en")
	lines := map[string]string{}
	for line := range strings.Lines(out) {
		m := regexp.MustCompile(`^(ok|FAIL|-) +([a-z]+) +(.+)\n$`).FindStringSubmatch(line)
		if m == nil {
			p.t.Errorf("a line is %q", line)
			continue
		}
		lines[m[2]] += m[1] + ": " + m[3] + "\n"
		for _, secret := range []string{slackfake.BotToken, slackfake.AppToken, discordfake.BotToken, geminiKey, "hunter2"} {
			if strings.Contains(line, secret) {
				p.t.Errorf("a secret is shown: %s", line)
			}
		}
	}
	return lines, code
}

// report runs the doctor in a language and gives what it prints.
func (p *patient) report(lang string) (string, int) {
	p.t.Helper()
	args := []string{"doctor", "--lang", lang}
	for flag, value := range p.flags {
		if value != "" {
			args = append(args, "--"+flag, value)
		}
	}
	var out, errs strings.Builder
	code := run(p.t.Context(), args, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	if errs.Len() > 0 {
		p.t.Errorf("on standard error: %s", errs.String())
	}
	return out.String(), code
}

func TestADoctorFindsNothingWhereAllIsWell(t *testing.T) {
	p := newPatient(t)
	lines, code := p.examine()
	if code != 0 {
		t.Errorf("code %d", code)
	}
	p.routes("targets:\n- {name: pager, webhook: {file: " + p.secret(p.slack.URL()+"/hunter2") + "}}\ndefault: [pager]\n")
	if routed, code := p.examine(); code != 0 || routed["notify"] != "ok: targets: 1, all reached; routes: 0; schedules: 0\n" {
		t.Errorf("with routes it says %q, code %d", routed["notify"], code)
	}
	for check, want := range map[string]string{
		"data": "ok: ", "cluster": "ok: lab runs Kubernetes v1.36.3", "rights": "ok: ", "people": "ok: 2 first admins", "slack": "ok: token, scopes, Socket Mode and channel",
		"discord": "ok: ", "notify": "-: not set up; ATLHYPER_ROUTES is empty", "model": "ok: gemini-3.8-flash", "engine": "-: no engine is named", "clickhouse": "-: not set up", "prometheus": "-: not set up",
	} {
		if !strings.HasPrefix(lines[check], want) {
			t.Errorf("%s says %q, want %q", check, lines[check], want)
		}
	}
}

func TestEachFaultIsNamedWithWhatMendsIt(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer refusing.Close()
	nobody := freeAddress(t)
	for name, c := range map[string]struct {
		ill   func(p *patient)
		check string
		want  string // all that the check says must hold it
	}{
		"a data directory that is a file": {func(p *patient) { p.flags["data-dir"] = p.flags["kubeconfig"] }, "data", "set ATLHYPER_DATA_DIR"},
		"a cluster that is away": {func(p *patient) {
			raw, _ := os.ReadFile(p.flags["kubeconfig"])
			away := regexp.MustCompile(`http://[0-9.:]+`).ReplaceAllString(string(raw), "http://"+nobody)
			_ = os.WriteFile(p.flags["kubeconfig"], []byte(away), 0o600)
		}, "cluster", "is it running, and does the kubeconfig name its address"},
		"a kubeconfig that is not there": {func(p *patient) { p.flags["kubeconfig"] = "/nowhere/config" }, "cluster", "set KUBECONFIG"},
		"a right that is missing":        {func(p *patient) { p.denied = "endpointslices" }, "rights", "may not list endpointslices: bind a ClusterRole"},
		"no admin":                       {func(p *patient) { p.flags["admins"] = "slack:" + mia }, "people", "nobody in discord is admin"},
		"an admin who is nobody":         {func(p *patient) { p.flags["admins"] = mia + ",slack:" + mia + ",discord:1" }, "people", "write slack:U123"},
		"a revoked Slack token":          {func(p *patient) { p.slack.Revoke() }, "slack", "SLACK_BOT_TOKEN"},
		"a Slack scope that is missing":  {func(p *patient) { p.slack.DropScope("files:write") }, "slack", "lacks files:write: add that under OAuth & Permissions"},
		"an app token without its scope": {func(p *patient) { p.slack.DropScope("connections:write") }, "slack", "SLACK_APP_TOKEN"},
		"a channel without the bot": {func(p *patient) {
			p.slack.AddChannel(slackfake.Channel{ID: "C0FAR", Outside: true})
			p.flags["slack-channel"] = "C0FAR"
		}, "slack", "/invite @atlhyper"},
		"no Slack channel":                    {func(p *patient) { p.flags["slack-channel"] = "" }, "slack", "set SLACK_CHANNEL"},
		"no way to hear Slack":                {func(p *patient) { p.flags["slack-app-token"] = "" }, "slack", "SLACK_APP_TOKEN"},
		"half of Slack":                       {func(p *patient) { p.flags["slack-bot-token"] = "" }, "slack", "set SLACK_BOT_TOKEN"},
		"a revoked Discord token":             {func(p *patient) { p.discord.Revoke() }, "discord", "DISCORD_BOT_TOKEN"},
		"a Discord channel that is not there": {func(p *patient) { p.flags["discord-channel"] = "404" }, "discord", "set DISCORD_CHANNEL"},
		"a guild without the bot":             {func(p *patient) { p.flags["discord-guild-id"] = "404" }, "discord", "DISCORD_GUILD_ID"},
		"a wrong model key":                   {func(p *patient) { p.flags["gemini-api-key"] = "AIza-wrong" }, "model", "Set GEMINI_API_KEY"},
		"a model that is not there":           {func(p *patient) { p.flags["gemini-model"] = "gemini-0" }, "model", "Set GEMINI_MODEL"},
		"a model server without a model":      {func(p *patient) { p.flags["gemini-api-key"] = ""; p.flags["openai-base-url"] = "http://localhost:1/v1" }, "model", "set OPENAI_MODEL"},
		"a ClickHouse that refuses": {func(p *patient) {
			p.flags["clickhouse-url"] = strings.Replace(refusing.URL, "://", "://reader:hunter2@", 1) + "/otel"
		}, "clickhouse", "CLICKHOUSE_URL"},
		"a ClickHouse that is away": {func(p *patient) { p.flags["clickhouse-url"] = "http://reader:hunter2@" + nobody + "/otel" }, "clickhouse", "CLICKHOUSE_URL"},
		"a Prometheus that refuses": {func(p *patient) {
			p.flags["prometheus-url"] = strings.Replace(refusing.URL, "://", "://reader:hunter2@", 1)
		}, "prometheus", "mend PROMETHEUS_TOKEN"},
		"a Prometheus that is away": {func(p *patient) { p.flags["prometheus-url"] = "http://" + nobody }, "prometheus", "PROMETHEUS_URL"},
		"routes that are not there": {func(p *patient) { p.flags["routes"] = "/nowhere/routes.yaml" }, "notify", "/nowhere/routes.yaml"},
		"routes that make no sense": {func(p *patient) { p.routes("routes:\n- severity: terrible\n  to: [nobody]\n") }, "notify", "line 2: \"terrible\" is no severity: write low"},
		"a webhook that is away": {func(p *patient) {
			p.routes("targets:\n- {name: pager, webhook: {file: " + p.secret("http://"+nobody+"/hunter2") + "}}\n")
		}, "notify", "target pager: "},
		"a mail server that is away": {func(p *patient) {
			p.routes("mail: {server: " + nobody + ", from: a@example.com, username: a, password: {file: " + p.secret("hunter2") + "}}\n")
		}, "notify", "check server, tls, username and password under mail"},
		"an engine without a token": {func(p *patient) { p.flags["engine"] = "http://" + nobody }, "engine", "set ATLHYPER_TOKEN"},
		"an engine that is away":    {func(p *patient) { p.flags["engine"] = "http://" + nobody; p.flags["token"] = "atl_x" }, "engine", "is it running, and is this its --listen address?"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			c.ill(p)
			lines, code := p.examine()
			if code != 1 || !strings.Contains(lines[c.check], "FAIL: ") || !strings.Contains(lines[c.check], c.want) {
				t.Errorf("code %d, %s says %q, want %q", code, c.check, lines[c.check], c.want)
			}
		})
	}
}

func TestADoctorKnowsOpenAICompatibleServers(t *testing.T) {
	fake := openaifake.New(openaifake.Config{Key: "sk-1", Models: []string{"local-7b"}})
	defer fake.Close()
	p := newPatient(t)
	p.flags["gemini-api-key"] = ""
	p.flags["openai-base-url"], p.flags["openai-model"], p.flags["openai-api-key"] = fake.URL, "local-7b", "sk-1"
	if lines, _ := p.examine(); !strings.HasPrefix(lines["model"], "ok: local-7b") {
		t.Errorf("said %q", lines["model"])
	}
	p.flags["openai-api-key"] = "sk-2"
	if lines, _ := p.examine(); !strings.Contains(lines["model"], "Set OPENAI_API_KEY") || strings.Contains(lines["model"], "sk-2") {
		t.Errorf("said %q", lines["model"])
	}
}

// startedEngine is an engine alone, with somebody's token.
func startedEngine(t *testing.T) (url, token string) {
	t.Helper()
	data, people := t.TempDir(), freeAddress(t)
	p := launch(t, filepath.Join(data, "log"), "engine", "--data-dir", data, "--listen", people, "--agent-listen", freeAddress(t))
	for !strings.Contains(p.out.String(), "people at") {
		select {
		case <-p.alive.Done():
			t.Fatalf("the engine did not start: %s", p.out)
		case <-time.After(10 * time.Millisecond):
		}
	}
	out, code := call(t, nil, "token", "add", "ken", "--data-dir", data)
	m := regexp.MustCompile(`ATLHYPER_TOKEN=(\S+)`).FindStringSubmatch(out.stdout)
	if code != 0 || m == nil {
		t.Fatalf("no token: %d %s%s", code, out.stdout, out.stderr)
	}
	return "http://" + people, m[1]
}

func TestADoctorAsksARunningEngine(t *testing.T) {
	p := newPatient(t)
	p.flags["engine"], p.flags["token"] = startedEngine(t)
	lines, code := p.examine()
	if code != 1 || !strings.Contains(lines["engine"], "FAIL: no agent has joined the engine yet: make a token with `atlhyper cluster add NAME`") {
		t.Errorf("code %d, said %q", code, lines["engine"])
	}
	p.flags["token"] = "atl_wrong"
	if lines, _ := p.examine(); !strings.Contains(lines["engine"], "the engine does not know this token") {
		t.Errorf("said %q", lines["engine"])
	}
}

func TestAProgramThatSpeaksTheModelContextProtocolReachesARunningEngine(t *testing.T) {
	url, token := startedEngine(t)
	in, toProgram := io.Pipe()
	fromProgram, out := io.Pipe()
	done := make(chan int, 1)
	var errs output
	go func() {
		defer out.Close()
		done <- run(context.Background(), []string{"mcp", "--engine", url, "--token", token}, os.Getenv, in, out, &errs)
	}()
	s, err := sdk.NewClient(&sdk.Implementation{Name: "editor"}, nil).Connect(t.Context(), &sdk.IOTransport{Reader: fromProgram, Writer: toProgram}, nil)
	if err != nil {
		t.Fatalf("%v %s", err, errs.String())
	}
	tools := map[string]bool{}
	for tool, err := range s.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		tools[tool.Name] = true
	}
	if !tools["explain"] || tools["scale"] {
		t.Errorf("a viewer is offered %v", tools)
	}
	res, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: "clusters"})
	if err != nil || !res.IsError || !strings.Contains(res.Content[0].(*sdk.TextContent).Text, "cluster") {
		t.Errorf("without a cluster it says %+v, %v", res, err)
	}
	s.Close()
	toProgram.Close()
	if code := <-done; code != 0 {
		t.Errorf("code %d: %s", code, errs.String())
	}
	if code := run(t.Context(), []string{"mcp", "--engine", url, "--token", "atl_wrong"}, os.Getenv, strings.NewReader(""), io.Discard, &errs); code != 1 || !strings.Contains(errs.String(), "does not know this token") {
		t.Errorf("a wrong token gives %d %s", code, errs.String())
	}
}

func TestADoctorSpeaksTheLanguageOfTheTerminal(t *testing.T) {
	nobody := freeAddress(t)
	ill := newPatient(t) // nothing of it is well
	ill.flags["data-dir"] = ill.flags["kubeconfig"]
	ill.denied = "endpointslices"
	ill.flags["admins"] = mia
	ill.slack.DropScope("files:write")
	ill.slack.DropScope("connections:write")
	ill.slack.AddChannel(slackfake.Channel{ID: "C0FAR", Outside: true})
	ill.flags["slack-channel"] = "C0FAR"
	ill.flags["discord-guild-id"], ill.flags["discord-channel"] = "405", "404"
	ill.routes("mail: {server: " + nobody + ", from: a@example.com}\nroutes:\n- severity: terrible\n  to: [nobody]\n- to: []\nrote: x\nschedules:\n- {name: morning, send: digest, at: 0 9, to: [chat]}\n")
	ill.flags["gemini-model"] = "gemini-0"
	ill.flags["engine"], ill.flags["token"] = "http://"+nobody, "atl_x"
	ill.flags["clickhouse-url"], ill.flags["prometheus-url"] = "http://reader:hunter2@"+nobody+"/otel", "http://"+nobody
	worse := newPatient(t) // other ways in which each can be ill
	raw, err := os.ReadFile(worse.flags["kubeconfig"])
	if err != nil {
		t.Fatal(err)
	}
	away := regexp.MustCompile(`http://[0-9.:]+`).ReplaceAllString(string(raw), "http://"+nobody)
	if err := os.WriteFile(worse.flags["kubeconfig"], []byte(away), 0o600); err != nil {
		t.Fatal(err)
	}
	worse.flags["data-dir"] = ""
	worse.slack.Revoke()
	worse.discord.Revoke()
	worse.routes("mail: {server: " + nobody + ", from: a@example.com, username: a, password: {file: " + worse.secret("hunter2") + "}}\ntargets:\n- {name: pager, webhook: {file: " + worse.secret("http://"+nobody+"/hunter2") + "}}\n")
	worse.flags["gemini-api-key"] = "AIza-wrong"
	worse.flags["admins"] = ""
	worse.flags["engine"] = "http://" + nobody
	worse.flags["clickhouse-url"], worse.flags["prometheus-url"] = "nothing", "nothing"
	unset := &patient{t: t, flags: map[string]string{}}
	healthy := newPatient(t)
	healthy.routes("targets:\n- {name: pager, webhook: {file: " + healthy.secret(healthy.slack.URL()) + "}}\ndefault: [pager]\n")
	for name, c := range map[string]struct {
		*patient
		code int
	}{"well": {healthy, 0}, "ill": {ill, 1}, "worse": {worse, 1}, "unset": {unset, 0}} {
		pairs := []string{nobody, "ADDRESS"}
		for _, flag := range []string{"routes", "data-dir", "kubeconfig"} {
			if path := c.flags[flag]; path != "" {
				pairs = append(pairs, path, "/"+strings.ToUpper(flag))
			}
		}
		names := strings.NewReplacer(pairs...)
		for _, lang := range phrase.Langs {
			t.Run(name+" in "+lang, func(t *testing.T) {
				out, code := c.report(lang)
				if code != c.code {
					t.Errorf("code %d", code)
				}
				cardtest.Golden(t, filepath.Join("testdata", "doctor", name+"."+lang+".txt"), []byte(names.Replace(out)), *update)
			})
		}
	}
}
