package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/message"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// lookTools read; nothing in this file can change anything.
var lookTools = []func(*engine.Engine) (Tool, error){
	overviewTool, clustersTool, alertsTool, listTool, describeTool, yamlTool, logsTool, eventsTool, topTool, metricsTool, changesTool,
	topologyTool, riskTool, rolloutStatusTool, rolloutHistoryTool,
}

// object names one thing; most tools take it.
type object struct {
	Target    string `json:"target" jsonschema:"what to look at: NAME, KIND/NAME or NAMESPACE/KIND/NAME"`
	Namespace string `json:"namespace,omitempty" jsonschema:"namespace, when the name alone is not enough"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id; may be left out when there is one, or inside a thread"`
}

type scope struct {
	Namespace string `json:"namespace,omitempty" jsonschema:"only this namespace"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"only this cluster"`
}

// asking runs f and turns an ambiguity into a question with options.
func asking[A any](tool string, f func(context.Context, Caller, A) (*Result, error)) func(context.Context, Caller, A) (*Result, error) {
	return func(ctx context.Context, caller Caller, args A) (*Result, error) {
		res, err := f(ctx, caller, args)
		var a *ambiguous
		if errors.As(err, &a) {
			return a.resultFor(tool, args)
		}
		return res, err
	}
}

func clustersTool(e *engine.Engine) (Tool, error) {
	return define(shape{name: "clusters", verb: "clusters", usage: "clusters"}, func(_ context.Context, caller Caller, _ struct{}) (*Result, error) {
		p, now := phrase.For(caller.Lang), e.Now()
		t := Table{Columns: []string{"CLUSTER", "AGENT", "SEEN", "NODES", "PODS", "KUBERNETES", "NOT VISIBLE"}}
		res := &Result{Observed: now}
		var names []string
		for _, id := range e.Fleet.Clusters() {
			c, ok := e.Fleet.Cluster(id)
			if !ok {
				continue
			}
			st := c.Status()
			t.Rows = append(t.Rows, []string{
				id, agentWord(st), Age(now.Sub(st.LastSeen)), fmt.Sprint(len(c.List(entity.Node, ""))), fmt.Sprint(len(c.List(entity.Pod, ""))),
				st.Kubernetes, strings.Join(append(kindsIn(c, report.KindStatus_STATE_FORBIDDEN), kindsIn(c, report.KindStatus_STATE_FAILING)...), ", "),
			})
			names = append(names, id)
			res.Missing = append(res.Missing, missing(c, now)...)
		}
		if len(names) == 0 {
			return nil, noCluster(caller)
		}
		res.Headline, res.Tables = p.Sprintf("%d clusters: %s.", len(names), strings.Join(names, ", ")), []Table{t}
		return res, nil
	})
}

func agentWord(st fleet.Status) string {
	switch {
	case st.Silent:
		return "silent"
	case !st.Synced:
		return "syncing"
	}
	return "connected"
}

// kindsIn lists the kinds of a state: what is not visible is said, not left out.
func kindsIn(c *fleet.Cluster, state report.KindStatus_State) []string {
	var out []string
	for _, k := range c.Kinds() {
		if k.GetState() == state {
			out = append(out, k.GetKind())
		}
	}
	return out
}

// someOf names a few kinds and counts the rest.
func someOf(kinds []string) string {
	const shown = 4
	if len(kinds) <= shown+1 {
		return strings.Join(kinds, ", ")
	}
	return fmt.Sprintf("%s and %d more kinds", strings.Join(kinds[:shown], ", "), len(kinds)-shown)
}

// missing says what of a cluster could not be looked at.
func missing(c *fleet.Cluster, now time.Time) []string {
	var out []string
	if st := c.Status(); st.Silent {
		out = append(out, fmt.Sprintf("the agent of %s has been silent for %s: this is what it last reported", c.ID(), Age(now.Sub(st.LastSeen))))
	} else if !st.Synced {
		out = append(out, fmt.Sprintf("%s is still being read", c.ID()))
	}
	if h := kindsIn(c, report.KindStatus_STATE_FORBIDDEN); len(h) > 0 {
		out = append(out, fmt.Sprintf("the agent of %s may not list %s", c.ID(), someOf(h)))
	}
	if f := kindsIn(c, report.KindStatus_STATE_FAILING); len(f) > 0 {
		out = append(out, fmt.Sprintf("the agent of %s cannot read %s now: what is shown of it is the last that it read", c.ID(), someOf(f)))
	}
	for _, s := range c.Sources() {
		if !s.GetAvailable() {
			out = append(out, fmt.Sprintf("%s: metrics are unavailable (%s)", c.ID(), s.GetMessage()))
		}
	}
	return out
}

type listArgs struct {
	Kind      string `json:"kind" jsonschema:"kind of object, such as pods, deploy, nodes, svc"`
	Namespace string `json:"namespace,omitempty" jsonschema:"only this namespace"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"only this cluster"`
	Match     string `json:"match,omitempty" jsonschema:"only rows that contain these words, each in any column"`
	Selector  string `json:"selector,omitempty" jsonschema:"label selector of the form key=value,key=value"`
	Unhealthy bool   `json:"unhealthy,omitempty" jsonschema:"only those that are not well"`
}

func listTool(e *engine.Engine) (Tool, error) {
	return define(shape{name: "list_resources", verb: "list", usage: "list KIND [-n NAMESPACE] [--match TEXT] [--selector k=v] [--unhealthy] [--cluster C]", pos: []string{"kind", "match"}},
		func(_ context.Context, caller Caller, a listArgs) (*Result, error) { return listObjects(e, caller, a) })
}

func listObjects(e *engine.Engine, caller Caller, a listArgs) (*Result, error) {
	p, now := phrase.For(caller.Lang), e.Now()
	kind, ok := entity.ParseKind(a.Kind)
	if !ok {
		return nil, &Problem{Sentence: p.Sprintf("%q is no kind that I know.", a.Kind), Remedy: p.Sprintf("Such as pods, deployments, nodes, services, events, cm, pvc, hpa.")}
	}
	clusters, err := clustersOf(e, caller, a.Cluster)
	if err != nil {
		return nil, err
	}
	selector, err := parseSelector(a.Selector)
	if err != nil {
		return nil, err
	}
	t := Table{Columns: []string{"CLUSTER", "NAMESPACE", "NAME"}}
	for _, c := range columns[kind] {
		t.Columns = append(t.Columns, c.title)
	}
	res := &Result{Observed: now}
	for _, c := range clusters {
		res.Missing = append(res.Missing, missing(c, now)...)
		if slices.Contains(kindsIn(c, report.KindStatus_STATE_LEFT_OUT), kind) {
			res.Missing = append(res.Missing, fmt.Sprintf("the agent of %s is set up to leave %s alone", c.ID(), kind))
		}
		for _, r := range c.List(kind, target{namespace: a.Namespace}.scope(kind)) {
			if !matches(r.GetLabels(), selector) || (a.Unhealthy && well(c, r)) {
				continue
			}
			row := []string{c.ID(), r.GetNamespace(), r.GetName()}
			for _, col := range columns[kind] {
				row = append(row, col.value(c, r, now))
			}
			if text := strings.ToLower(strings.Join(row, " ")); slices.ContainsFunc(strings.Fields(strings.ToLower(a.Match)), func(w string) bool { return !strings.Contains(text, w) }) {
				continue
			}
			t.Rows = append(t.Rows, row)
		}
	}
	if len(clusters) == 1 {
		res.Cluster = clusters[0].ID()
		t = drop(t, 0)
	}
	t.Total = len(t.Rows)
	what := counted(kind, len(t.Rows))
	if a.Unhealthy {
		what = p.Sprintf("%s not well", what)
	}
	res.Headline = p.Sprintf("%d %s in %s.", len(t.Rows), what, place(clusters, a.Namespace))
	res.Tables = []Table{t}
	return res, nil
}

// counted is a kind as people say it behind a number.
func counted(kind string, n int) string {
	if n == 1 {
		return strings.ToLower(kind)
	}
	return plural(kind)
}

// plural is a kind as people say many of it: "pods", "ingresses", "networkpolicies".
func plural(kind string) string {
	kind = strings.ToLower(kind)
	switch {
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	case strings.HasSuffix(kind, "cy"):
		return strings.TrimSuffix(kind, "y") + "ies"
	}
	return kind + "s"
}

func place(clusters []*fleet.Cluster, namespace string) string {
	names := make([]string, 0, len(clusters))
	for _, c := range clusters {
		names = append(names, c.ID())
	}
	s := strings.Join(names, ", ")
	if namespace != "" {
		s += " / " + namespace
	}
	return s
}

func drop(t Table, i int) Table {
	t.Columns = slices.Delete(slices.Clone(t.Columns), i, i+1)
	for j := range t.Rows {
		t.Rows[j] = slices.Delete(t.Rows[j], i, i+1)
	}
	return t
}

func parseSelector(s string) (map[string]string, error) {
	out := map[string]string{}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		k, v, ok := strings.Cut(part, "=")
		if !ok {
			return nil, &Problem{Sentence: fmt.Sprintf("The selector %q is not of the form key=value.", part)}
		}
		out[strings.TrimSpace(k)] = strings.TrimPrefix(strings.TrimSpace(v), "=")
	}
	return out, nil
}

func matches(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// well says whether an object shows no trouble of its own.
func well(c *fleet.Cluster, r *report.Resource) bool {
	switch {
	case r.GetPod() != nil:
		if s := PodStatus(r); s != "Running" && s != "Succeeded" && s != "Completed" {
			return false
		}
		for _, ct := range r.GetPod().GetContainers() {
			if !ct.GetInit() && !ct.GetReady() && r.GetPod().GetPhase() == "Running" {
				return false
			}
		}
		return true
	case r.GetNode() != nil:
		return nodeStatus(r) == "Ready"
	case r.GetWorkload() != nil:
		return r.GetWorkload().GetReady() >= r.GetWorkload().GetDesired()
	case r.GetEvent() != nil:
		return r.GetEvent().GetType() != "Warning"
	case r.GetService() != nil:
		ready, _ := serviceEndpoints(c, r)
		return ready > 0 || len(r.GetService().GetSelector()) == 0
	case r.GetJob() != nil:
		return r.GetJob().GetFailed() == 0 || r.GetJob().GetSucceeded() >= r.GetJob().GetCompletions()
	case r.GetPersistentVolumeClaim() != nil:
		return r.GetPersistentVolumeClaim().GetPhase() == "Bound"
	case r.GetPersistentVolume() != nil:
		return r.GetPersistentVolume().GetPhase() != "Failed"
	case r.GetHorizontalPodAutoscaler() != nil:
		h := r.GetHorizontalPodAutoscaler()
		return h.GetCurrent() < h.GetMax() || !h.GetTargetExceeded()
	}
	return true
}

// query puts one query to the object's cluster and gives its outcome, or the refusal as a Problem.
func query(ctx context.Context, e *engine.Engine, cluster string, q *report.Query) (*report.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	q.Timeout = durationpb.New(15 * time.Second)
	q.MaxBytes = 256 << 10
	o, err := e.Query(ctx, cluster, q)
	if err != nil {
		return nil, err
	}
	switch {
	case o.GetStatus() == report.Outcome_STATUS_FAILED && o.GetMessage() != "":
		return nil, &Problem{Sentence: cluster + ": " + o.GetMessage()}
	case o.GetStatus() != report.Outcome_STATUS_SUCCEEDED:
		return nil, &Problem{Sentence: cmp.Or(o.GetMessage(), "The cluster refused, without a reason.")}
	}
	return o, nil
}

func keyOf(r *report.Resource) *report.ResourceKey {
	return &report.ResourceKey{Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
}

// named says whether something that people ask about has this very name.
func named(e *engine.Engine, caller Caller, name string) bool {
	_, _, err := resolve(e, caller, name, "", "")
	var a *ambiguous
	return err == nil || errors.As(err, &a)
}

func title(c *fleet.Cluster, r *report.Resource) string {
	return c.Ref(r).Short() + " · " + place([]*fleet.Cluster{c}, r.GetNamespace())
}

// reading is a tool that shows the text of one query about one object.
func reading(e *engine.Engine, s shape, head func(p *message.Printer, title string) string, kinds []string, ask func(*report.ResourceKey) *report.Query) (Tool, error) {
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a object) (*Result, error) {
		if kind, ok := entity.ParseKind(a.Target); ok && s.name == "get_resource" && !named(e, caller, a.Target) { // "get pods", as kubectl has it
			return listObjects(e, caller, listArgs{Kind: kind, Namespace: a.Namespace, Cluster: a.Cluster})
		}
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster, kinds...)
		if err != nil {
			return nil, err
		}
		o, err := query(ctx, e, c.ID(), ask(keyOf(r)))
		if err != nil {
			return nil, err
		}
		res := &Result{
			Headline: head(phrase.For(caller.Lang), title(c, r)), Cluster: c.ID(), Observed: e.Now(),
			Texts: []Text{{Body: string(o.GetText()), Truncated: o.GetTruncated()}},
		}
		return res, nil
	}))
}

func describeTool(e *engine.Engine) (Tool, error) {
	return reading(e, shape{name: "describe", verb: "describe", usage: "describe TARGET [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}, func(p *message.Printer, title string) string { return p.Sprintf("%s, described", title) }, nil,
		func(k *report.ResourceKey) *report.Query {
			return &report.Query{Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: k}}}
		})
}

func yamlTool(e *engine.Engine) (Tool, error) {
	return reading(e, shape{name: "get_resource", verb: "get", usage: "get TARGET [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}, func(p *message.Printer, title string) string {
		return p.Sprintf("%s, as YAML without values of secrets, config maps and environment", title)
	}, nil,
		func(k *report.ResourceKey) *report.Query {
			return &report.Query{Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: k}}}
		})
}

type logsArgs struct {
	object
	Container string `json:"container,omitempty" jsonschema:"container; all of them when left out"`
	Previous  bool   `json:"previous,omitempty" jsonschema:"logs of the container's previous life, after a crash"`
	Since     string `json:"since,omitempty" jsonschema:"how far back, such as 10m or 1h"`
	Tail      int64  `json:"tail,omitempty" jsonschema:"how many of the last lines; 50 when left out"`
	Grep      string `json:"grep,omitempty" jsonschema:"only lines that match this RE2 expression"`
}

func logsTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "logs", verb: "logs", usage: "logs TARGET [GREP] [-n NAMESPACE] [-c CONTAINER] [--previous] [--since 10m] [--tail 50] [--cluster C]", pos: []string{"target", "grep…"}, role: people.Viewer}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a logsArgs) (*Result, error) {
		span, err := duration(a.Since, 0)
		if err != nil {
			return nil, err
		}
		if a.Tail < 0 {
			return nil, &Problem{Sentence: "A tail has at least one line."}
		}
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster, entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.Job, entity.CronJob, entity.Pod)
		if err != nil {
			return nil, err
		}
		q := &report.LogsQuery{Object: keyOf(r), Container: a.Container, Previous: a.Previous, Tail: cmp.Or(a.Tail, 50), Grep: a.Grep}
		if span > 0 {
			q.Since = durationpb.New(span)
		}
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_Logs{Logs: q}})
		if err != nil {
			return nil, err
		}
		p := phrase.For(caller.Lang)
		body := string(o.GetText())
		lines := strings.Count(body, "\n")
		if body != "" && !strings.HasSuffix(body, "\n") {
			lines++
		}
		head := p.Sprintf("%s: the last %d lines of its logs.", title(c, r), lines)
		if lines == 0 {
			head = p.Sprintf("%s: no line of its logs fits.", title(c, r))
		}
		res := &Result{Headline: head, Cluster: c.ID(), Observed: e.Now(), Texts: []Text{{Body: body, Truncated: o.GetTruncated()}}}
		if o.GetMessage() != "" { // such as pods that could not be read
			res.Missing = append(res.Missing, o.GetMessage())
		}
		return res, nil
	}))
}

func duration(s string, otherwise time.Duration) (time.Duration, error) {
	if s == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, &Problem{Sentence: fmt.Sprintf("%q is no duration.", s), Remedy: "Such as 10m, 1h or 90s."}
	}
	return d, nil
}
