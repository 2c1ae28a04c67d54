package planner

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/engine/entity"
)

// several are the tools that answer about each of a few things that are named together.
var several = []string{"logs", "metrics", "signals", "describe", "rollout_history", "rollout_status", "operations"}

// each repeats one step for the other things that the question names, at most three in all.
func (q question) each(steps []step) []step {
	if len(steps) != 1 || q.mention.Target == "" || steps[0].args["target"] != q.mention.Target || !slices.Contains(several, steps[0].tool) {
		return steps
	}
	out := steps
	for _, other := range q.mention.Others[:min(2, len(q.mention.Others))] {
		out = append(out, steps[0].instead(other))
	}
	return out
}

// instead is the same step about something else.
func (s step) instead(target string) step {
	s.args = maps.Clone(s.args)
	s.args["target"] = target
	for i, o := range s.otherwise {
		if i == 0 {
			s.otherwise = slices.Clone(s.otherwise)
		}
		s.otherwise[i] = o.instead(target)
	}
	return s
}

// The questions that one tool answers.
var (
	ofThing    = map[string]string{"alerts": "alerts", "risk": "risk"} // about what is named, or everything
	ofName     = map[string]string{"history": "rollout_history", "rollout": "rollout_status", "yaml": "get_resource", "describe": "describe", "limits": "describe"}
	ofIncident = map[string]string{"similar": "similar", "timeline": "timeline", "postmortem": "postmortem"}
	ofAll      = map[string]string{"grants": "grants", "audit": "audit", "clusters": "clusters", "hello": "overview"}
)

func one(tool string, args map[string]any) []step { return []step{{tool: tool, args: args}} }

// steps turns an intent and the names of the question into calls; none when they do not fit together.
func (q question) steps(what string) []step {
	m := q.mention
	target := m.Target
	if target == "" && (slices.Contains(needsName, what) && m.Kind == "" || what != "" && what != "list" && what != "hello" && what != "help") {
		target = candidate(m, slices.Contains(needsName, what) && m.Kind == "" || what == "events" && q.has("of", "for", "from"))
	}
	about := func(tool string) []step { return one(tool, q.with("target", target)) }
	how := append(about("alerts"), about("risk")...) // how a named thing is
	switch {
	case ofThing[what] != "":
		return about(ofThing[what])
	case ofName[what] != "":
		if target == "" {
			return nil
		}
		return about(ofName[what])
	case ofIncident[what] != "":
		return one(ofIncident[what], q.about())
	case ofAll[what] != "":
		return one(ofAll[what], map[string]any{})
	}
	switch what {
	case "fix":
		return []step{{tool: "suggest_fix", args: q.about(), otherwise: one("explain", q.about())}}
	case "changes":
		return one("changes", q.with("target", target, "since", m.Since))
	case "stats":
		return one("incident_stats", q.wide("since", m.Since))
	case "oncall":
		args := map[string]any{}
		if q.says("tomorrow") {
			args["when"] = "tomorrow"
		}
		return one("oncall", args)
	case "silences":
		return one("silences", q.wide())
	case "past":
		return q.past(target)
	case "keys":
		if strings.HasPrefix(target, "configmap/") {
			return about("describe")
		}
	case "pending":
		if len(m.Unknown) > 0 && m.Kind == entity.Pod { // "pending pods"
			return nil
		}
		return one("pending", map[string]any{})
	case "logs":
		return q.logs(target)
	case "patterns":
		return q.patterns(target)
	case "search":
		return q.search(target)
	case "traces":
		return q.traces(target)
	case "operations":
		if target != "" {
			return one("operations", q.with("target", target, "since", m.Since))
		}
	case "events":
		args := q.with("target", target, "since", m.Since)
		if strings.HasPrefix(target, "node/") { // what befalls a node is told in normal events as well
			args["all"] = true
		}
		return one("events", args)
	case "restarts":
		if target != "" {
			_, name, _ := strings.Cut(target, "/")
			return one("list_resources", q.with("kind", entity.Pod, "match", name))
		}
	case "topology":
		return q.topology(target)
	case "slo":
		if target != "" && q.says("sensible") {
			return about("slo_propose")
		}
		return about("slo")
	case "chart":
		if target != "" {
			return one("chart", q.with("target", target, "metric", q.figure(), "since", m.Since))
		}
	case "signals":
		return q.signals(target)
	case "ranking", "metrics":
		return q.usage(what, target, how)
	case "incidents":
		return q.incidents()
	case "impact":
		if target == "" {
			return one("explain", q.about())
		}
		return []step{{tool: "explain", args: q.about()}, {tool: "topology", args: q.with("target", target, "direction", "upstream")}}
	case "why":
		if target == "" {
			return one("explain", q.about())
		}
		// Nothing is open about it: how it is itself, and what else is wrong.
		return []step{{tool: "explain", args: q.about(), otherwise: append(how, step{tool: "overview", args: q.wide()})}}
	case "advice": // a change was asked about and not ordered
		if target == "" {
			return one("explain", q.about())
		}
		return []step{{tool: "explain", args: q.about(), otherwise: how}}
	case "list":
		steps := q.list()
		if len(steps) == 1 && m.Kind == entity.Service && steps[0].args["unhealthy"] == true { // people call an application a service
			steps = append(steps, step{tool: "overview", args: q.wide()})
		}
		return steps
	case "overview":
		return q.overview(target, how)
	case "":
		return q.bare(how)
	}
	return nil
}

// bare is for a question in which nothing is asked, and yet something is named: "payments", "INC-3", "pods".
func (q question) bare(how []step) []step {
	switch {
	case q.mention.Incident != "":
		return one("explain", q.about())
	case len(q.list()) > 0:
		return q.list()
	case q.mention.Target != "":
		return how
	case q.mention.Cluster != "" && q.elliptic():
		return one("overview", q.wide())
	}
	return nil
}

// past is what happened: to a thing, in a time, or in the incident that is spoken of.
func (q question) past(target string) []step {
	since := q.mention.Since
	switch {
	case target != "":
		return []step{{tool: "explain", args: q.about()}, {tool: "changes", args: q.with("target", target, "since", since)}}
	case since != "" || q.says("earlier"):
		return one("incidents", q.wide("all", true, "since", cmp.Or(since, "12h")))
	}
	return []step{{tool: "timeline", args: q.about(), otherwise: one("incidents", q.wide("all", true))}}
}

func (q question) incidents() []step {
	if len(q.about()) > 0 {
		return one("explain", q.about())
	}
	args := q.wide("since", q.mention.Since)
	if q.mention.Since != "" || q.says("past") {
		args["all"] = true
	}
	return one("incidents", args)
}

// list shows the objects of a kind that a question names by itself.
func (q question) list() []step {
	m := q.mention
	word, name, _ := strings.Cut(m.Target, "/")
	about, _ := entity.ParseKind(word)
	kind := m.Kind
	switch {
	case about == entity.Node && kind == "" && q.placed(): // what runs on a node
		kind = entity.Pod
	case about != "" && about != entity.Node && (kind == entity.Node || kind == "" && q.placed()): // where something runs
		kind = entity.Pod
	case slices.Contains(acted["restart"], about) && kind == "" && q.says("replicas"):
		kind = about
	case kind == "" && q.reason() != "":
		kind = entity.Pod
	case kind == "":
		return nil
	}
	args := q.with("kind", kind)
	if len(q.marks) > 0 {
		args["selector"] = q.selector()
	}
	version := slices.IndexFunc(m.Unknown, tagged.MatchString)
	switch reason := q.reason(); {
	case m.Target != "" && m.Kind != "" && about == m.Kind && q.says("total"): // all of the kind
	case m.Target != "":
		if about == kind && kind == m.Kind {
			return nil // "the deployment payments" is one object and no list
		}
		if m.Kind != "" && q.unhealthy() {
			args["unhealthy"] = true
		}
		args["match"] = name
		if node := q.node(); kind == entity.Pod && node != "" && node != name { // its pods there, or all but those
			args["match"] = name + " " + node
			if q.says("except") {
				args["match"] = node
			}
		}
		if others := q.named(acted["restart"]); len(others) == 2 && q.says("rather") {
			one := maps.Clone(args)
			_, one["match"], _ = strings.Cut(others[0], "/")
			two := maps.Clone(args)
			_, two["match"], _ = strings.Cut(others[1], "/")
			return []step{{tool: "list_resources", args: one}, {tool: "list_resources", args: two}}
		}
	case reason != "":
		args["match"] = reason
	case version >= 0:
		args["match"] = m.Unknown[version]
	case q.unhealthy(), q.has("ok", "okay", "fine", "healthy", "up", "good", "green", "alive") && !q.has("how many", "count"):
		args["unhealthy"] = true
	}
	return []step{{tool: "list_resources", args: args}}
}

// placed says whether a question is about what runs where.
func (q question) placed() bool {
	return q.says("placed")
}

func (q question) overview(target string, how []step) []step {
	m := q.mention
	switch {
	case m.Incident != "":
		return []step{{tool: "explain", args: q.about()}}
	case m.Kind != "" && len(q.list()) > 0:
		args := q.list()[0].args
		if args["match"] == nil {
			args = maps.Clone(args)
			args["unhealthy"] = true
		}
		return []step{{tool: "list_resources", args: args}}
	case target != "" && q.says("trouble"):
		return []step{{tool: "explain", args: q.about(), otherwise: how}}
	case target != "":
		return how
	case m.Namespace != "":
		return []step{{tool: "alerts", args: q.with()}}
	case q.req.Caller.Incident != "" && m.Cluster == "":
		return []step{{tool: "explain", args: map[string]any{}}}
	}
	return []step{{tool: "overview", args: q.wide()}}
}
