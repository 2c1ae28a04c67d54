package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/discord"
	"github.com/bukahou/atlhyper/bot/gateway"
	"github.com/bukahou/atlhyper/bot/slack"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// doctorCmd checks what the flags and the environment say, without changing anything. It exits with 1 when a line fails.
type doctorCmd struct {
	kubeFlags
	dataDir
	clientFlags
	policyFlags
	chatFlags
	notifyFlags
	storeFlags
	Timeout time.Duration `help:"How long one check may take." default:"15s"`
}

// finding is how one check ended: it is well, fails with one fault a line, or does not apply.
type finding struct {
	well   string
	faults []string
	skip   string // why it does not apply
}

func well(format string, args ...any) finding { return finding{well: fmt.Sprintf(format, args...)} }

// skipped says why a check does not apply.
func skipped(format string, args ...any) finding { return finding{skip: fmt.Sprintf(format, args...)} }

// fault names its remedy itself.
func fault(format string, args ...any) finding {
	return finding{faults: []string{fmt.Sprintf(format, args...)}}
}

// faulty takes each joined error for a fault.
func faulty(err error) finding {
	var f finding
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			f.faults = append(f.faults, faulty(e).faults...)
		}
		return f
	}
	return finding{faults: []string{err.Error()}}
}

func (c *doctorCmd) Run(ctx context.Context, env *environment) error {
	checks := c.checks()
	found := make([]finding, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() {
			within, cancel := context.WithTimeout(ctx, c.Timeout)
			defer cancel()
			found[i] = check.run(within)
		})
	}
	running.Wait()
	failed := 0
	for i, f := range found {
		line := func(mark, text string) error {
			return c.line(env, mark, checks[i].name, text)
		}
		var err error
		switch {
		case f.skip != "":
			err = line("-", f.skip)
		case len(f.faults) == 0:
			err = line("ok", f.well)
		}
		for _, text := range f.faults {
			failed++
			err = errors.Join(err, line("FAIL", text))
		}
		if err != nil {
			return err
		}
	}
	if failed > 0 {
		return exitCode(1)
	}
	return nil
}

// check is one line of the report, or several when it finds several faults.
type check struct {
	name string
	run  func(context.Context) finding
}

func (c *doctorCmd) checks() []check {
	return []check{
		{"data", c.checkData}, {"cluster", c.checkCluster}, {"rights", c.checkRights}, {"engine", c.checkEngine}, {"people", c.checkPeople},
		{"slack", c.checkSlack}, {"discord", c.checkDiscord}, {"notify", c.checkNotify}, {"model", c.checkModel},
		{"clickhouse", func(ctx context.Context) finding {
			return c.checkStore(ctx, c.ClickHouseURL, storeFlags{ClickHouseURL: c.ClickHouseURL, ClickHouseDatabase: c.ClickHouseDatabase, ClickHouseTables: c.ClickHouseTables}, "CLICKHOUSE_URL")
		}},
		{"prometheus", func(ctx context.Context) finding {
			return c.checkStore(ctx, c.PrometheusURL, storeFlags{PrometheusURL: c.PrometheusURL, PrometheusToken: c.PrometheusToken}, "PROMETHEUS_URL")
		}},
	}
}

// line prints how one check ended. On a screen a long text goes on below itself.
func (c *doctorCmd) line(env *environment, mark, check, text string) error {
	column := func(text string, wide int) string {
		text = phrase.Line(env.lang, text)
		return text + strings.Repeat(" ", max(0, wide-terminal.Columns(text))+2)
	}
	first, said := column(mark, 4)+column(check, 10), phrase.Line(env.lang, c.mask(text))
	lines := []string{first + said}
	if width := widthOf(env.stdout); width > 0 {
		lines = terminal.Wrap(said, max(width, 40), first, strings.Repeat(" ", terminal.Columns(first)))
	}
	_, err := fmt.Fprintln(env.stdout, strings.Join(lines, "\n"))
	return err
}

// mask keeps what must not be seen over somebody's shoulder out of a line, whatever a library wrote.
func (c *doctorCmd) mask(s string) string {
	for _, secret := range []string{
		c.Token, c.SlackAppToken, c.SlackBotToken, c.SlackSigningSecret, c.DiscordBotToken, c.GeminiAPIKey, c.OpenAIAPIKey, c.PrometheusToken,
	} {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[secret]")
		}
	}
	return strings.Join(strings.Fields(s), " ")
}

// checkData looks at the directory as it is: a doctor makes nothing.
func (c *doctorCmd) checkData(context.Context) finding {
	if c.DataDir == "" {
		return skipped("no data directory is named; the default one is made at the first start")
	}
	info, err := os.Stat(c.DataDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return skipped("%s is not there yet; it is made at the first start", c.DataDir)
	case err != nil:
		return fault("%v: let this user read it, or set ATLHYPER_DATA_DIR to another", err)
	case !info.IsDir():
		return fault("%s is no directory: set ATLHYPER_DATA_DIR to one", c.DataDir)
	}
	f, err := os.CreateTemp(c.DataDir, ".doctor-*")
	if err != nil {
		return fault("%s cannot be written: give it to this user, or set ATLHYPER_DATA_DIR to another", c.DataDir)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fault("%v: is the disk of the data directory full?", err)
	}
	return well("%s can be written", c.DataDir)
}

// watched connects to the cluster that is meant; skip when there is none, as beside an engine alone.
func (c *doctorCmd) watched() (k *kubeClients, f finding) {
	k, err := c.connect()
	switch {
	case err == nil:
		return k, f
	case c.Kubeconfig == "" && c.Context == "":
		return nil, skipped("no cluster is meant; name one with --kubeconfig")
	}
	return nil, faulty(err)
}

func (c *doctorCmd) checkCluster(ctx context.Context) finding {
	k, f := c.watched()
	if k == nil {
		return f
	}
	raw, err := k.client.Discovery().RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	var v struct{ GitVersion string }
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		return fault("%s does not answer (%v): is it running, and does the kubeconfig name its address and a valid login?", k.name, err)
	}
	return well("%s runs Kubernetes %s", k.name, v.GitVersion)
}

// needed are the rights without which the agent sees too little, or cannot do what is approved.
var needed = []authorization.ResourceAttributes{
	{Verb: "list", Resource: "pods"}, {Verb: "watch", Resource: "pods"}, {Verb: "list", Resource: "nodes"}, {Verb: "list", Resource: "events"},
	{Verb: "list", Resource: "services"}, {Verb: "list", Group: "apps", Resource: "deployments"}, {Verb: "list", Group: "apps", Resource: "replicasets"},
	{Verb: "list", Group: "discovery.k8s.io", Resource: "endpointslices"}, {Verb: "get", Resource: "pods", Subresource: "log"},
	{Verb: "patch", Group: "apps", Resource: "deployments"}, {Verb: "patch", Resource: "nodes"}, {Verb: "delete", Resource: "pods"}, {Verb: "create", Resource: "pods", Subresource: "eviction"},
}

func (c *doctorCmd) checkRights(ctx context.Context) finding {
	k, _ := c.watched()
	if k == nil {
		return skipped("no cluster is reached")
	}
	var lacking []string
	for _, r := range needed {
		review, err := k.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorization.SelfSubjectAccessReview{
			Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &r},
		}, metav1.CreateOptions{})
		if err != nil {
			return skipped("rights cannot be asked: %v", err)
		}
		if !review.Status.Allowed {
			what := r.Resource
			if r.Subresource != "" {
				what += "/" + r.Subresource
			}
			lacking = append(lacking, r.Verb+" "+what)
		}
	}
	if len(lacking) > 0 {
		return fault("this login may not %s: bind a ClusterRole that allows it; without, that part is told as not visible or refused", strings.Join(lacking, ", "))
	}
	return well("what the agent reads and changes is allowed")
}

// checkEngine asks a running engine for its agents.
func (c *doctorCmd) checkEngine(ctx context.Context) finding {
	if c.EngineURL == "" {
		return skipped("no engine is named; name a running one with --engine")
	}
	client, err := c.client()
	if err != nil {
		return faulty(err)
	}
	res, err := client.Ask(ctx, connect.NewRequest(&gateway.AskRequest{Question: "clusters", Lang: "en"}))
	switch {
	case connect.CodeOf(err) == connect.CodeInvalidArgument && err != nil:
		return fault("no agent has joined the engine yet: make a token with `atlhyper cluster add NAME` and start `atlhyper agent` in the cluster")
	case err != nil:
		return faulty(c.explain(err))
	}
	var asked bot.Asked
	if err := json.Unmarshal(res.Msg.GetJson(), &asked); err != nil {
		return fault("the engine's answer is not understood: use the same version of atlhyper here and there")
	}
	var f finding
	var connected []string
	for _, r := range asked.Results {
		for _, t := range r.Tables {
			for _, row := range t.Rows {
				switch {
				case len(row) < 7:
				case row[1] == "silent":
					f.faults = append(f.faults, fmt.Sprintf("the agent of %s has been silent for %s: look at its pod and its log, and whether it reaches the engine's --agent-listen address", row[0], row[2]))
				case row[1] == "syncing":
					connected = append(connected, fmt.Sprintf("%s syncing", row[0]))
				case row[6] != "":
					f.faults = append(f.faults, fmt.Sprintf("the agent of %s may not list %s: bind a ClusterRole that allows it", row[0], row[6]))
				default:
					connected = append(connected, fmt.Sprintf("%s connected", row[0]))
				}
			}
		}
	}
	if len(f.faults) == 0 && len(connected) == 0 {
		return fault("no agent has joined the engine yet: make a token with `atlhyper cluster add NAME` and start `atlhyper agent` in the cluster")
	}
	f.well = fmt.Sprintf("agents: %s", strings.Join(connected, ", "))
	return f
}

// checkPeople looks whether somebody may grant roles in the chats that are set up.
func (c *doctorCmd) checkPeople(context.Context) finding {
	var f finding
	admins := map[string]bool{}
	for _, a := range c.Admins {
		surface, id, ok := strings.Cut(a, ":")
		if !ok || id == "" || !slices.Contains([]string{"slack", "discord", "client", "terminal"}, surface) {
			f.faults = append(f.faults, fmt.Sprintf("%q in ATLHYPER_ADMINS is no person: write slack:U123 or discord:456", a))
		}
		admins[surface] = true
	}
	for surface, on := range map[string]bool{"slack": c.SlackBotToken != "", "discord": c.DiscordBotToken != ""} {
		if on && !admins[surface] {
			f.faults = append(f.faults, fmt.Sprintf("nobody in %s is %s, so nobody there can approve or grant: add one to ATLHYPER_ADMINS, such as %s:ID", surface, people.Admin, surface))
		}
	}
	slices.Sort(f.faults)
	switch {
	case len(f.faults) > 0:
		return f
	case len(c.Admins) == 0:
		return skipped("no chat is set up, so no admin is needed")
	}
	return well("%d first admins", len(c.Admins))
}

func (c *doctorCmd) checkSlack(ctx context.Context) finding {
	if c.SlackBotToken == "" {
		if c.SlackAppToken != "" || c.SlackSigningSecret != "" || c.SlackChannel != "" {
			return fault("Slack is half set up: set SLACK_BOT_TOKEN to the token under OAuth & Permissions (xoxb-…)")
		}
		return skipped("not set up; SLACK_BOT_TOKEN is empty")
	}
	s, err := slack.New(slack.Config{
		BotToken: c.SlackBotToken, AppToken: c.SlackAppToken, SigningSecret: c.SlackSigningSecret, APIURL: c.SlackAPIURL, Channel: c.SlackChannel,
	})
	if err != nil {
		return faulty(err)
	}
	if err := s.Check(ctx); err != nil {
		return timely(ctx, faulty(err), "Slack", "SLACK_API_URL")
	}
	if c.SlackChannel == "" {
		return fault("no channel gets incidents: set SLACK_CHANNEL to its id (C…)")
	}
	how := "signed HTTP"
	if c.SlackAppToken != "" {
		how = "Socket Mode"
	}
	return well("token, scopes, %s and channel", how)
}

func (c *doctorCmd) checkDiscord(ctx context.Context) finding {
	if c.DiscordBotToken == "" {
		if c.DiscordChannel != "" || c.DiscordPublicKey != "" {
			return fault("Discord is half set up: set DISCORD_BOT_TOKEN to the token under Bot")
		}
		return skipped("not set up; DISCORD_BOT_TOKEN is empty")
	}
	d, err := discord.New(discord.Config{
		BotToken: c.DiscordBotToken, AppID: c.DiscordAppID, GuildID: c.DiscordGuildID, PublicKey: c.DiscordPublicKey, APIURL: c.DiscordAPIURL,
	})
	if err != nil {
		return faulty(err)
	}
	if err := d.Check(ctx, c.DiscordChannel); err != nil {
		return timely(ctx, faulty(err), "Discord", "DISCORD_API_URL")
	}
	if c.DiscordChannel == "" {
		return fault("no channel gets incidents: set DISCORD_CHANNEL to its id")
	}
	return well("token, gateway and channel")
}

// checkNotify reads the routes and looks whether their targets can be reached. Nobody is told anything.
func (c *doctorCmd) checkNotify(ctx context.Context) finding {
	plan, err := c.plan()
	var many interface{ Unwrap() []error }
	switch {
	case errors.As(err, &many):
		var f finding
		for _, e := range many.Unwrap() {
			f.faults = append(f.faults, fmt.Sprintf("%s %v", c.Routes, e))
		}
		return f
	case err != nil:
		return faulty(err)
	case plan == nil:
		return skipped("not set up; ATLHYPER_ROUTES is empty")
	}
	if err := plan.Check(ctx); err != nil {
		return faulty(err)
	}
	return well("targets: %d, all reached; routes: %d; schedules: %d", len(plan.Targets), len(plan.Routes), len(plan.Schedules))
}

func (c *doctorCmd) checkModel(ctx context.Context) finding {
	m, closing, err := c.chatFlags.model(ctx)
	if err != nil {
		return faulty(err)
	}
	if m == nil {
		return skipped("not set up, so the planner answers; set GEMINI_API_KEY, or OPENAI_API_KEY or OPENAI_BASE_URL")
	}
	defer closing()
	err = m.Check(ctx)
	if ctx.Err() != nil {
		return fault("%s did not answer within %s: check the network and the proxy; meanwhile the planner answers", m.Name(), c.Timeout)
	}
	if failure, ok := errors.AsType[*assistant.ModelError](err); ok {
		remedy := failure.Remedy
		if remedy == "" {
			remedy = "Try again later; meanwhile the planner answers."
		}
		return fault("%s %s", failure.Sentence, remedy)
	}
	if err != nil {
		return faulty(err)
	}
	return well("%s is there and takes the key", m.Name())
}

// timely says of a check that ran out of time what to look at.
func timely(ctx context.Context, f finding, who, address string) finding {
	if ctx.Err() != nil {
		return fault("%s did not answer in time: check the network, the proxy and %s", who, address)
	}
	return f
}

// nobody is a cluster without objects: names need not be known to see whether a store can be read.
type nobody struct{}

func (nobody) Resources(string) []*report.Resource { return nil }

// checkStore reads one tick, as an agent would.
func (c *doctorCmd) checkStore(ctx context.Context, url string, only storeFlags, variable string) finding {
	if url == "" {
		return skipped("not set up; %s is empty", variable)
	}
	stores, err := only.stores(nil)(telemetry.NewDirectory(nobody{}, time.Now))
	if err != nil {
		return faulty(err)
	}
	several := telemetry.NewSeveral(stores...)
	defer several.Close()
	frame, err := several.Sample(ctx, time.Now())
	if err != nil || len(frame.GetSources()) == 0 {
		return fault("it did not answer within %s: check the network and %s", c.Timeout, variable)
	}
	s := frame.GetSources()[0]
	if !s.GetAvailable() {
		return fault("%s: check %s and what runs there", s.GetMessage(), variable)
	}
	// Without the cluster's names no signal can be told, but that the store answers.
	return well("it answers")
}
