package tools

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// ambiguous asks back: the call fits several things, and a guess could act on the wrong one.
type ambiguous struct {
	question string
	options  []entity.Ref
}

func (a *ambiguous) Error() string { return a.question }

// resultFor turns an ambiguity into a question with options that repeat the same call with one target each. The
// arguments are the tool's own struct; its fields named target, namespace and cluster are replaced.
func (a *ambiguous) resultFor(tool string, args any) (*Result, error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	res := &Result{Headline: a.question, Question: a.question}
	for _, o := range a.options {
		m["cluster"] = o.Cluster
		if !o.IsZero() && o.Kind != entity.Cluster {
			m["target"], m["namespace"] = o.Short(), o.Namespace
		}
		opt, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		label := strings.TrimSuffix(o.Short()+" · "+o.Cluster+" / "+o.Namespace, " / ")
		if o.Kind == entity.Cluster {
			label = o.Cluster
		}
		res.Options = append(res.Options, Option{Label: label, Tool: tool, Args: opt})
	}
	return res, nil
}

// clusterOf gives the cluster that a call means: the named one, the thread's, or the only one.
func clusterOf(e *engine.Engine, caller Caller, named string) (*fleet.Cluster, error) {
	ids := e.Fleet.Clusters()
	want := cmp.Or(named, caller.Cluster)
	if want == "" {
		switch len(ids) {
		case 0:
			return nil, noCluster(caller)
		case 1:
			want = ids[0]
		default:
			a := &ambiguous{question: phrase.For(caller.Lang).Sprintf("Which cluster?")}
			for _, id := range ids {
				a.options = append(a.options, entity.Ref{Cluster: id, Kind: entity.Cluster, Name: id})
			}
			return nil, a
		}
	}
	c, ok := e.Fleet.Cluster(want)
	if !ok {
		p := phrase.For(caller.Lang)
		return nil, &Problem{Sentence: p.Sprintf("There is no cluster %q.", want), Remedy: p.Sprintf("Known clusters: %s.", cmp.Or(strings.Join(ids, ", "), "–"))}
	}
	return c, nil
}

func noCluster(caller Caller) *Problem {
	p := phrase.For(caller.Lang)
	return &Problem{Sentence: p.Sprintf("No cluster has reported yet."), Remedy: p.Sprintf("Start an agent: atlhyper agent --help.")}
}

// clustersOf gives the named cluster, or all of them when none is named.
func clustersOf(e *engine.Engine, caller Caller, named string) ([]*fleet.Cluster, error) {
	if named != "" || caller.Cluster != "" {
		c, err := clusterOf(e, caller, named)
		return []*fleet.Cluster{c}, err
	}
	var out []*fleet.Cluster
	for _, id := range e.Fleet.Clusters() {
		if c, ok := e.Fleet.Cluster(id); ok {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, noCluster(caller)
	}
	return out, nil
}

// searched are the kinds that a bare name is looked for in, the likeliest first.
var searched = []string{
	entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.CronJob, entity.Job, entity.Service, entity.Ingress,
	entity.Node, entity.Pod, "PersistentVolumeClaim", "ConfigMap", "HorizontalPodAutoscaler",
}

// workloads are the kinds that commands act on.
var workloads = []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet}

// target is what a person wrote for one object, taken apart. What was not written is empty.
type target struct{ cluster, namespace, kind, name string }

// clusterScoped are the kinds that have no namespace, so that CLUSTER/KIND/NAME names one of them.
var clusterScoped = []string{entity.Node, "Namespace", "PersistentVolume"}

// parseTarget reads NAME, KIND/NAME, NAMESPACE/NAME, NAMESPACE/KIND/NAME, CLUSTER/KIND/NAME of a kind without namespaces,
// and CLUSTER/NAMESPACE/KIND/NAME.
func parseTarget(e *engine.Engine, caller Caller, text string) (t target, err error) {
	p := phrase.For(caller.Lang)
	parts := strings.Split(strings.Trim(strings.TrimSpace(text), "/"), "/")
	n := len(parts)
	t.name = strings.ToLower(parts[n-1])
	unknown := func(kind string) error {
		return &Problem{Sentence: p.Sprintf("%q is no kind that I know.", kind), Remedy: p.Sprintf("Such as pods, deployments, nodes, services, events, cm, pvc, hpa.")}
	}
	ok := true
	switch n {
	case 1:
	case 2:
		if t.kind, ok = entity.ParseKind(parts[0]); !ok {
			t.namespace, ok = parts[0], true
		}
	case 3, 4:
		if t.kind, ok = entity.ParseKind(parts[n-2]); !ok {
			return t, unknown(parts[n-2])
		}
		if _, isCluster := e.Fleet.Cluster(parts[0]); n == 4 || isCluster && slices.Contains(clusterScoped, t.kind) {
			t.cluster = parts[0]
		}
		if n == 4 || t.cluster == "" {
			t.namespace = parts[n-3]
		}
	default:
		ok = false
	}
	if t.name == "" || !ok {
		return t, &Problem{Sentence: p.Sprintf("A name is needed."), Remedy: p.Sprintf("Such as payments, deployment/payments or shop/payments.")}
	}
	return t, nil
}

// resolve finds the one object that a target names, among kinds or, when none are given, among those that people ask
// about. Without a kind the first of kinds that holds the name counts, so that "payments" is the Deployment and not the
// Service of the same name; several namespaces or clusters ask back.
func resolve(e *engine.Engine, caller Caller, text, namespace, cluster string, kinds ...string) (*fleet.Cluster, *report.Resource, error) {
	t, err := parseTarget(e, caller, text)
	if err != nil {
		return nil, nil, err
	}
	t.cluster, t.namespace = cmp.Or(t.cluster, cluster), cmp.Or(t.namespace, namespace)
	p := phrase.For(caller.Lang)
	switch {
	case t.kind != "" && len(kinds) > 0 && !slices.Contains(kinds, t.kind):
		return nil, nil, &Problem{Sentence: p.Sprintf("That works on %s, and %s is none.", strings.Join(kinds, ", "), strings.ToLower(t.kind)+"/"+t.name)}
	case t.kind != "":
		kinds = []string{t.kind}
	case len(kinds) == 0:
		kinds = searched
	}
	clusters, err := clustersOf(e, caller, t.cluster)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range kinds {
		a := &ambiguous{question: p.Sprintf("Which %s do you mean?", t.name)}
		for _, c := range clusters {
			for _, r := range c.List(k, t.scope(k)) {
				if r.GetName() == t.name {
					a.options = append(a.options, c.Ref(r))
				}
			}
		}
		if len(a.options) > 1 {
			return nil, nil, a
		}
		if len(a.options) == 1 {
			c, _ := e.Fleet.Cluster(a.options[0].Cluster)
			if r := c.Find(a.options[0]); r != nil {
				return c, r, nil
			}
		}
	}
	return nil, nil, notFound(p, clusters, kinds, t)
}

// scope is the namespace to look in: a node is found whatever namespace the thread is about.
func (t target) scope(kind string) string {
	if slices.Contains(clusterScoped, kind) {
		return ""
	}
	return t.namespace
}

func notFound(p *message.Printer, clusters []*fleet.Cluster, kinds []string, t target) *Problem {
	var what string
	switch {
	case len(kinds) == 1:
		what = kinds[0]
	case slices.Equal(kinds, searched):
		what = p.Sprintf("workload, service, node or pod")
	default:
		what = strings.Join(kinds, ", ")
	}
	out := &Problem{Sentence: p.Sprintf("I find no %s named %q in %s.", what, t.name, place(clusters, t.namespace))}
	var remedies []string
	if t.namespace != "" {
		var elsewhere []string
		for _, c := range clusters {
			for _, k := range kinds {
				for _, r := range c.List(k, "") {
					if at := place([]*fleet.Cluster{c}, r.GetNamespace()); r.GetName() == t.name && !slices.Contains(elsewhere, at) {
						elsewhere = append(elsewhere, at)
					}
				}
			}
		}
		if len(elsewhere) > 0 {
			remedies = append(remedies, p.Sprintf("It is in %s.", strings.Join(elsewhere[:min(3, len(elsewhere))], ", ")))
		}
	}
	if near := nearest(clusters, kinds, t); len(near) > 0 {
		remedies = append(remedies, p.Sprintf("Did you mean %s?", strings.Join(near, ", ")))
	}
	for _, c := range clusters {
		for _, k := range c.Kinds() {
			if slices.Contains(kinds, k.GetKind()) && k.GetState() == report.KindStatus_STATE_FORBIDDEN {
				remedies = append(remedies, p.Sprintf("The agent of %s may not list %s.", c.ID(), k.GetKind()))
			}
			if slices.Contains(kinds, k.GetKind()) && k.GetState() == report.KindStatus_STATE_LEFT_OUT {
				remedies = append(remedies, p.Sprintf("The agent of %s is set up to leave %s alone.", c.ID(), k.GetKind()))
			}
		}
	}
	out.Remedy = strings.Join(remedies, " ")
	return out
}

// nearest suggests at most three existing names that a typing error could have been meant for.
func nearest(clusters []*fleet.Cluster, kinds []string, t target) []string {
	name := t.name
	type near struct {
		name string
		d    int
	}
	var all []near
	seen := map[string]bool{}
	for _, c := range clusters {
		for _, k := range kinds {
			for _, r := range c.List(k, t.scope(k)) {
				n := r.GetName()
				if seen[n] {
					continue
				}
				seen[n] = true
				d := distance(name, n)
				if strings.HasPrefix(n, name) {
					d = 1
				}
				if d <= max(1, len(name)/3) {
					all = append(all, near{n, d})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b near) int { return cmp.Or(cmp.Compare(a.d, b.d), cmp.Compare(a.name, b.name)) })
	var out []string
	for _, n := range all[:min(3, len(all))] {
		out = append(out, n.name)
	}
	return out
}

// distance is Levenshtein's, over bytes: Kubernetes names are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
