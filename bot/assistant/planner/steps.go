package planner

import (
	"cmp"
	"maps"
	"regexp"
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

// steps turns an intent and the names of the question into calls; none when they do not fit together.
func (q question) steps(what string) []step {
	m := q.mention
	target := m.Target
	if target == "" && (slices.Contains(needsName, what) && m.Kind == "" || what != "" && what != "list" && what != "hello" && what != "help") {
		target = candidate(m, slices.Contains(needsName, what) && m.Kind == "" || what == "events" && q.has("of", "for", "from"))
	}
	one := func(tool string, args map[string]any) []step { return []step{{tool: tool, args: args}} }
	how := []step{{tool: "alerts", args: q.with("target", target)}, {tool: "risk", args: q.with("target", target)}} // how a named thing is
	switch what {
	case "fix":
		return []step{{tool: "suggest_fix", args: q.about(), otherwise: one("explain", q.about())}}
	case "history", "rollout":
		if target != "" {
			return one(map[string]string{"history": "rollout_history", "rollout": "rollout_status"}[what], q.with("target", target))
		}
	case "changes":
		return one("changes", q.with("target", target, "since", m.Since))
	case "stats":
		return one("incident_stats", q.wide("since", m.Since))
	case "similar":
		return one("similar", q.about())
	case "timeline":
		return one("timeline", q.about())
	case "postmortem":
		return one("postmortem", q.about())
	case "oncall":
		if q.has("tomorrow") || q.holds("明天", "明日") {
			return one("oncall", map[string]any{"when": "tomorrow"})
		}
		return one("oncall", map[string]any{})
	case "silences":
		return one("silences", q.wide())
	case "past":
		if target != "" {
			return []step{{tool: "explain", args: q.about()}, {tool: "changes", args: q.with("target", target, "since", m.Since)}}
		}
		if m.Since != "" || q.has("night", "earlier") || q.holds("昨晚", "昨夜") {
			since := m.Since
			if since == "" {
				since = "12h"
			}
			return one("incidents", q.wide("all", true, "since", since))
		}
		return []step{{tool: "timeline", args: q.about(), otherwise: one("incidents", q.wide("all", true))}}
	case "grants":
		return one("grants", map[string]any{})
	case "audit":
		return one("audit", map[string]any{})
	case "keys":
		if strings.HasPrefix(target, "configmap/") {
			return one("describe", q.with("target", target))
		}
	case "pending":
		if len(m.Unknown) > 0 && m.Kind == entity.Pod { // "pending pods"
			return nil
		}
		return one("pending", map[string]any{})
	case "logs":
		if target == "" && m.Kind == "" && !q.back() { // of everything: what stands in them, counted
			return one("log_patterns", q.graded(q.with("since", m.Since)))
		}
		if target == "" {
			return nil
		}
		args := q.with("target", target, "since", m.Since)
		previous := q.has("previous", "before the crash", "before it crashed", "before it died", "last life", "last words", "crashed", "dying") || q.holds("之前", "上一个", "崩溃前", "崩溃的", "前回", "クラッシュ前", "クラッシュした")
		if q.has("error", "errors", "exception", "exceptions", "panic", "fatal") || q.holds("错误", "报错", "エラー", "例外") {
			args["grep"] = "(?i)error|fail|fatal|panic|exception"
		}
		if len(m.Numbers) == 1 && q.has("last # lines", "# lines", "tail #", "last #") {
			args["tail"] = m.Numbers[0]
		}
		if previous {
			before := maps.Clone(args)
			before["previous"] = true
			return []step{{tool: "logs", args: before, otherwise: one("logs", args)}} // nothing may have crashed
		}
		return one("logs", args)
	case "patterns":
		args := q.with("target", target)
		switch {
		case q.has("rollout", "release", "deploy", "deployment", "deployed", "rolled out", "new version") || q.holds("发布", "上线", "部署", "ロールアウト", "リリース", "デプロイ"):
			args["new_since"] = "rollout"
		case q.has("new") || q.holds("新"):
			args["new_since"] = cmp.Or(m.Since, "15m")
		case m.Since != "":
			args["since"] = m.Since
		}
		return one("log_patterns", q.graded(args))
	case "search":
		text := q.sought()
		if text == "" {
			return nil
		}
		search := step{tool: "search_logs", args: q.graded(q.with("target", target, "text", text, "since", m.Since))}
		if target != "" { // without a log store, its own lines
			search.otherwise = one("logs", q.with("target", target, "grep", "(?i)"+regexp.QuoteMeta(text), "since", m.Since))
		}
		return []step{search}
	case "traces":
		if id := traceID.FindString(strings.ToLower(q.req.Text)); id != "" {
			return one("trace", q.wide("id", id))
		}
		args := q.with("target", target, "since", m.Since)
		if q.has("failed", "failing", "error", "errors", "broken", "erroneous") || q.holds("失败", "错误", "失敗", "エラー") {
			args["failed"] = true
		}
		if g := longer.FindStringSubmatch(q.req.Text); g != nil {
			args["longer_than"] = g[1] + g[3] + map[bool]string{true: "s", false: "ms"}[slices.Contains([]string{"s", "秒"}, strings.ToLower(g[2]+g[4]))]
			if m.Since != "" && !q.holds("最近", "過去") && !q.has("last", "past") { // it was the length of a request
				delete(args, "since")
			}
		}
		if q.has("newest", "latest", "most recent", "last # traces") || q.holds("最新") {
			args["newest"] = true
		}
		return one("traces", args)
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
		if target == "" {
			return nil
		}
		args := q.with("target", target)
		switch {
		case q.has("upstream", "who calls", "what calls", "callers", "depends on @", "depend on @", "depending on @", "blast radius", "breaks if", "break if", "fails if", "used by", "talk to @", "talks to @", "talk with @", "affected if", "happens if @", "if @ goes down", "if @ dies", "if @ stays down", "if @ is down", "without @", "relies on @", "rely on @", "uses @", "using @", "calling @", "calls @"), q.holds("上游", "谁调", "谁在调", "在调@", "被谁", "@を呼", "@を叩", "谁依赖", "依赖@的", "依赖于@的", "挂了会", "挂掉会", "停了会", "会影响谁", "@を使って", "@を利用して", "谁在用", "在用@", "用到@", "落ちたら", "止まったら", "上流", "呼び出し元", "@に依存"):
			args["direction"] = "upstream"
		case q.has("downstream", "does @ depend on", "@ depends on", "@ depend on", "does it depend on", "it depends on", "does it need", "does @ need", "calls what", "does @ call", "talks to", "talk to", "dependencies of", "needs"), q.holds("下游", "@依赖", "@调用", "下流", "@が依存", "@は何に依存", "依存先"):
			args["direction"] = "downstream"
		}
		return one("topology", args)
	case "slo":
		if target == "" {
			return one("slo", q.with())
		}
		if q.proposing() {
			return one("slo_propose", q.with("target", target))
		}
		return one("slo", q.with("target", target))
	case "chart":
		if target != "" {
			return one("chart", q.with("target", target, "metric", q.figure(), "since", m.Since))
		}
	case "signals":
		if target != "" {
			back := step{tool: "metrics", args: q.with("target", target)}
			if strings.HasPrefix(target, "node/") || strings.HasPrefix(target, "pod/") {
				return []step{back}
			}
			return []step{{tool: "signals", args: q.with("target", target, "ago", m.Since), otherwise: []step{back}}}
		}
	case "ranking", "metrics":
		if what == "metrics" && target != "" {
			return one("metrics", q.with("target", target))
		}
		if !q.has("cpu", "memory", "ram", "top", "top pods", "top nodes", "resource usage", "resource use", "load", "using the most", "uses the most", "hungriest", "busiest", "how busy", "heaviest", "how loaded", "how full", "hottest", "most loaded", "overloaded", "under load", "capacity", "headroom", "room left", "free memory", "free cpu") &&
			!q.holds("cpu", "内存", "资源", "占用", "最忙", "有多忙", "最热", "负载", "打满", "跑满", "飙高", "余量", "容量", "空闲", "空き", "余裕", "メモリ", "リソース", "使用", "忙し") {
			switch {
			case what == "metrics":
				return one("alerts", q.with())
			case target != "": // "who is eating worker-4?"
				return []step{{tool: "explain", args: q.about(), otherwise: how}}
			}
			return nil
		}
		kind := "pods"
		if m.Kind == entity.Node || q.has("capacity", "headroom", "room left", "free memory", "free cpu") || q.holds("余量", "容量", "空闲", "空き", "余裕") || strings.HasPrefix(m.Target, "node/") {
			kind = "nodes"
		}
		by := ""
		if (q.has("memory", "ram") || q.holds("内存", "メモリ")) && !q.has("cpu") {
			by = "memory"
		}
		return one("top", q.with("kind", kind, "by", by))
	case "yaml", "describe", "limits":
		if target != "" {
			return one(map[string]string{"yaml": "get_resource", "describe": "describe", "limits": "describe"}[what], q.with("target", target))
		}
	case "alerts":
		return one("alerts", q.with("target", target))
	case "risk":
		return one("risk", q.with("target", target))
	case "incidents":
		if len(q.about()) > 0 {
			return one("explain", q.about())
		}
		args := q.wide()
		if m.Since != "" || q.has("all", "last", "past", "recent", "recently", "history", "closed", "resolved", "earlier", "previous") || q.holds("所有", "最近", "全部", "历史", "すべて", "過去", "最近") {
			args["all"] = true
			if m.Since != "" {
				args["since"] = m.Since
			}
		}
		return one("incidents", args)
	case "clusters":
		return one("clusters", map[string]any{})
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
		if target != "" {
			return []step{{tool: "explain", args: q.about(), otherwise: how}}
		}
		return one("explain", q.about())
	case "list":
		steps := q.list()
		if len(steps) == 1 && m.Kind == entity.Service && steps[0].args["unhealthy"] == true { // people call an application a service
			steps = append(steps, step{tool: "overview", args: q.wide()})
		}
		return steps
	case "overview":
		return q.overview(target, how)
	case "hello":
		return one("overview", map[string]any{})
	}
	if what != "" {
		return nil
	}
	switch { // nothing is asked, and yet something is named: "payments", "INC-3", "pods"
	case m.Incident != "":
		return one("explain", q.about())
	case len(q.list()) > 0:
		return q.list()
	case m.Target != "":
		return how
	case m.Cluster != "" && q.elliptic():
		return one("overview", q.wide())
	}
	return nil
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
	case slices.Contains(acted["restart"], about) && kind == "" && (q.has("replicas", "replica", "instances", "copies", "how many") || q.holds("副本", "实例", "几个", "几台", "レプリカ", "インスタンス", "何台", "何個")):
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
	case m.Target != "" && m.Kind != "" && about == m.Kind && (q.has("in total", "altogether") || q.holds("一共", "总共", "合計", "全部で")): // all of the kind
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
			if q.has("besides", "except", "other than", "apart from", "excluding") || q.holds("除了", "之外", "以外", "他に") {
				args["match"] = node
			}
		}
		if others := q.named(acted["restart"]); len(others) == 2 && (q.has("more", "fewer", "or", "vs", "versus") || q.holds("どっち", "どちら", "哪个更", "谁更", "比")) {
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

// longer is how long a request took at least.
var longer = regexp.MustCompile(`(?i)(?:longer than|more than|slower than|over|above|超过|慢于|大于|>)\s*(\d+(?:\.\d+)?)\s*(ms|s|毫秒|秒)|(\d+(?:\.\d+)?)\s*(ms|s|毫秒|ミリ秒|秒)\s*(?:以上|を超|より)`)

// placed says whether a question is about what runs where.
func (q question) placed() bool {
	return q.has("where does", "where is", "where are", "where do", "run on", "runs on", "running on", "is on", "on which node", "which node") ||
		q.holds("哪个节点", "哪台", "跑了", "跑在", "运行在", "どのノード", "動いて", "載って")
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
	case target != "" && (q.has("wrong", "what is the matter", "what is happening", "what is going on", "problem", "problems", "trouble", "issue", "issues", "broken", "down", "failing", "slow") ||
		q.holds("问题", "怎么了", "挂了", "異常", "问题", "問題", "何が起き", "落ちて")):
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
