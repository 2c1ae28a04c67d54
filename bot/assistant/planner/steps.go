package planner

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
)

// question is a text with what was found in it.
type question struct {
	sentence
	mention tools.Mention
	marks   []mark // labels, annotations and taints that it writes out; no name of mention is taken from them
	req     assistant.Request
	say     *message.Printer
	orders  bool // it asks for a change
}

func (q question) unclear() error {
	return &tools.Problem{Unclear: true, Sentence: q.say.Sprintf("I did not understand that, and no model is at hand."), Remedy: q.examples()}
}

func (q question) examples() string {
	return q.say.Sprintf("Try: what is wrong? · why? · what changed? · logs of NAME · events of NAME · list pods · restart NAME · help")
}

// with gives arguments with the cluster and namespace that the question names.
func (q question) with(kv ...any) map[string]any {
	out := map[string]any{}
	if q.mention.Cluster != "" {
		out["cluster"] = q.mention.Cluster
	}
	if q.mention.Namespace != "" {
		out["namespace"] = q.mention.Namespace
	}
	for i := 0; i+1 < len(kv); i += 2 {
		if s, isText := kv[i+1].(string); !isText || s != "" {
			out[kv[i].(string)] = kv[i+1]
		}
	}
	return out
}

// wide gives arguments of a tool that takes no namespace.
func (q question) wide(kv ...any) map[string]any {
	out := q.with(kv...)
	delete(out, "namespace")
	return out
}

// about gives the arguments of a tool that takes an incident: its id, or the name of something in it.
func (q question) about() map[string]any {
	id := q.mention.Incident
	if id == "" {
		_, id, _ = strings.Cut(q.mention.Target, "/")
	}
	if id == "" && !q.back() {
		id = candidate(q.mention, false)
	}
	if id == "" {
		return map[string]any{}
	}
	return map[string]any{"id": id}
}

// acted are the kinds that each change acts on.
var acted = map[string][]string{
	"restart": {entity.Deployment, entity.StatefulSet, entity.DaemonSet}, "rollback": {entity.Deployment, entity.StatefulSet, entity.DaemonSet},
	"set_image": {entity.Deployment, entity.StatefulSet, entity.DaemonSet}, "scale": {entity.Deployment, entity.StatefulSet},
	"cordon": {entity.Node}, "uncordon": {entity.Node}, "drain": {entity.Node}, "delete_pod": {entity.Pod},
	"rollout_pause": {entity.Deployment}, "rollout_resume": {entity.Deployment}, "run_cronjob": {entity.CronJob},
	"taint": {entity.Node}, "untaint": {entity.Node}, "label": labelled, "unlabel": labelled, "annotate": labelled, "unannotate": labelled,
}

var labelled = []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.CronJob, entity.Job, entity.Service, entity.Node, entity.Pod, "Namespace"}

// targets gives what an order names: what it can act on, else whatever it names, about which the tool will say why not.
func (q question) targets(act string) []string {
	if q.mention.Target == "" {
		return nil
	}
	named := append([]string{q.mention.Target}, q.mention.Others...)
	fits := slices.DeleteFunc(slices.Clone(named), func(t string) bool {
		word, _, _ := strings.Cut(t, "/")
		kind, _ := entity.ParseKind(word)
		return !slices.Contains(acted[act], kind)
	})
	if len(fits) > 0 {
		return fits
	}
	return named[:1]
}

// origin is the number that an order leads away from: "from 3 to 5".
var origin = regexp.MustCompile(`(?:from|从)\s*(\d+)|(\d+)\s*から`)

// number gives the number of replicas or the revision of an order. Of several it takes none: a guess would be approved
// by somebody in a hurry.
func (q question) number() (int64, bool) {
	left := slices.Clone(q.mention.Numbers)
	for _, m := range origin.FindAllStringSubmatch(strings.ToLower(q.req.Text), -1) {
		if n, err := strconv.ParseInt(m[1]+m[2], 10, 64); err == nil {
			if i := slices.Index(left, n); i >= 0 {
				left = slices.Delete(left, i, i+1)
			}
		}
	}
	if len(left) != 1 {
		return 0, false
	}
	return left[0], true
}

// relative says whether an order counts from what there is: "two more" is no number of replicas.
func (q question) relative() bool {
	return q.has("by #", "# more", "# fewer", "# less", "# extra", "# additional", "another #") ||
		q.holds("多#", "再加#", "再扩#", "增加#", "减少#", "少#", "加#个", "减#个", "#台増や", "#個増や", "#つ増や", "#台減ら", "#個減ら", "#つ減ら", "#台追加", "#個追加")
}

// needsName are the questions that make no sense without a name.
var needsName = []string{"logs", "operations", "describe", "yaml", "history", "rollout", "topology", "metrics", "chart", "signals", "restart", "scale", "rollback", "set_image", "cordon", "uncordon", "drain", "delete_pod", "rollout_pause", "rollout_resume", "run_cronjob",
	"taint", "untaint", "label", "unlabel", "annotate", "unannotate", "restarts"}

// leans says whether a question without a name takes one from what was said before.
func (q question) leans(wanted []string) bool {
	if len(wanted) == 0 {
		return q.elliptic() || q.back()
	}
	if wanted[0] == "changes" && !q.back() { // "and what changed?" asks for what may have caused it, which lies elsewhere
		return false
	}
	if slices.Contains(needsName, wanted[0]) {
		return q.mention.Kind == "" && candidate(q.mention, true) == ""
	}
	events := wanted[0] == "events" && q.mention.Kind == "Event" // "its events" names no kind to list
	if wanted[0] == "timeline" || q.mention.Kind != "" && wanted[0] != "why" && !events {
		return false
	}
	return q.back() && (q.req.Caller.Incident == "" || wanted[0] == "events" || wanted[0] == "changes" || wanted[0] == "risk" || wanted[0] == "alerts") || q.elliptic()
}

// proposing says whether it is asked which objective would be sensible.
func (q question) proposing() bool {
	return q.has("propose", "suggest", "should", "sensible", "reasonable", "recommend", "realistic") || q.holds("建议", "推荐", "合理", "应该", "提案", "おすすめ", "妥当", "適切")
}

// figures are the words by which one metric is asked for; the first that a question holds counts.
var figures = []intent{
	{"p95_latency", []string{"p95"}, []string{"p95"}},
	{"latency", []string{"latency", "latencies", "response time", "response times", "slow"}, []string{"延迟", "响应时间", "レイテンシ", "遅延", "応答時間"}},
	{"errors", []string{"error", "errors", "error rate", "failures"}, []string{"错误", "失败", "エラー", "失敗"}},
	{"rate", []string{"request rate", "requests", "traffic", "rps", "qps", "throughput", "load"}, []string{"请求量", "流量", "リクエスト", "トラフィック"}},
	{"cpu", []string{"cpu"}, []string{"cpu"}},
	{"memory", []string{"memory", "ram"}, []string{"内存", "メモリ"}},
	{"disk", []string{"disk"}, []string{"磁盘", "ディスク"}},
}

// figure is the metric that a question names, empty when it names none.
func (q question) figure() string {
	if all := q.all(figures); len(all) > 0 {
		return all[0]
	}
	return ""
}

// reasons are the states that pods are asked for, with what stands in their status.
var reasons = []struct {
	said   *regexp.Regexp
	status string
}{
	{regexp.MustCompile(`(?i)crash ?-?loop`), "CrashLoopBackOff"},
	{regexp.MustCompile(`(?i)imagepullbackoff`), "ImagePullBackOff"},
	{regexp.MustCompile(`(?i)errimagepull`), "ErrImagePull"},
	{regexp.MustCompile(`(?i)image ?pull|pull(ing)? (the|their|its|an) images?|拉不到镜像|拉取镜像|镜像拉取|イメージを(取得|プル)`), "ImagePull"},
	{regexp.MustCompile(`(?i)oom ?-?killed|被 ?oom`), "OOMKilled"},
	{regexp.MustCompile(`(?i)createcontainerconfigerror`), "CreateContainerConfigError"},
	{regexp.MustCompile(`(?i)evicted|被驱逐|退避された`), "Evicted"},
	{regexp.MustCompile(`(?i)pending`), "Pending"},
	{regexp.MustCompile(`(?i)terminating`), "Terminating"},
}

// reason is the state that a question names, "" when it names none.
func (q question) reason() string {
	for _, r := range reasons {
		if r.said.MatchString(q.req.Text) {
			return r.status
		}
	}
	return ""
}

// tagged is a version, such as an image's tag.
var tagged = regexp.MustCompile(`^v?\d+(\.\d+)+[a-z0-9.-]*$`)

func (q question) unhealthy() bool {
	return q.has("not ready", "unhealthy", "failing", "failed", "broken", "not running", "crash", "crashing", "crashed", "crashes", "bad", "down", "not healthy", "not ok", "in trouble", "sick", "stuck", "degraded", "dead", "wrong", "not well", "less than all", "not all", "not fully", "fewer than", "missing", "problem", "problems", "restarting") ||
		q.holds("不健康", "失败", "异常", "没有就绪", "未就绪", "不正常", "有问题", "挂了", "崩溃", "異常", "失敗", "動いていない", "落ちて", "準備できていない", "問題")
}

// quoted is what a search looks for; traceID is a trace's name.
var (
	quoted  = regexp.MustCompile(`["“”「『'‘]([^"“”」』'’]{2,200})["“”」』'’]`)
	traceID = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	// unquoted is what follows the words of a search to the end of the sentence, and the words that may stand there beside it.
	unquoted = regexp.MustCompile(`(?i)\b(?:for|contain|contains|containing|mention|mentions|mentioning|that says?|saying) ([a-z0-9][a-z0-9 ._/:-]*)|(?:包含|含有|搜索)\s*([a-z0-9][a-z0-9 ._/:-]*)|([a-z0-9][a-z0-9 ._/:-]*?)\s*を含む`)
	beside   = regexp.MustCompile(`(?i)\b(?:in|of|from|over|during|within|since) (?:the|its|their|this|last|past|all|logs?)\b.*$`)
)

// sought is the text that a search names: in quotes, or the words behind "for", when these are no name and no level.
func (q question) sought() string {
	if g := quoted.FindStringSubmatch(q.req.Text); g != nil {
		return g[1]
	}
	for _, g := range unquoted.FindAllStringSubmatch(q.req.Text, -1) {
		text := strings.Trim(beside.ReplaceAllString(g[1]+g[2]+g[3], ""), " ._/:-")
		words := strings.Fields(strings.ToLower(text))
		named := slices.ContainsFunc(append([]string{q.mention.Target}, q.mention.Others...), func(t string) bool {
			_, name, _ := strings.Cut(t, "/")
			return slices.Contains(words, name)
		})
		if len(text) > 2 && !named && !slices.ContainsFunc(words, func(w string) bool {
			return slices.Contains([]string{"error", "errors", "warning", "warnings", "exception", "exceptions", "logs", "log", "me"}, w)
		}) {
			return text
		}
	}
	return ""
}

// graded adds the level that a question about logs names.
func (q question) graded(args map[string]any) map[string]any {
	switch {
	case q.has("error", "errors", "exception", "exceptions", "fatal", "panic") || q.holds("错误", "报错", "エラー", "例外"):
		args["level"] = "error"
	case q.has("warning", "warnings", "warn") || q.holds("警告"):
		args["level"] = "warn"
	}
	return args
}

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
		target = candidate(m, slices.Contains(needsName, what) || what == "events" && q.has("of", "for", "from"))
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
		if m.Since != "" || q.has("night", "earlier") || q.holds("昨晚", "昨夜") {
			since := m.Since
			if since == "" {
				since = "12h"
			}
			return one("incidents", q.wide("all", true, "since", since))
		}
		return []step{{tool: "timeline", args: q.about(), otherwise: one("incidents", q.wide("all", true))}}
	case "pending":
		if len(m.Unknown) > 0 && m.Kind == entity.Pod { // "pending pods"
			return nil
		}
		return one("pending", map[string]any{})
	case "logs":
		if target == "" {
			return nil
		}
		args := q.with("target", target, "since", m.Since)
		previous := q.has("previous", "before the crash", "before it crashed", "before it died", "last life", "last words", "crashed", "dying") || q.holds("之前", "上一个", "崩溃前", "崩溃的", "前回", "クラッシュ前", "クラッシュした")
		if q.has("error", "errors", "exception", "exceptions", "panic", "fatal") || q.holds("错误", "报错", "异常", "エラー", "例外") {
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
		case q.has("upstream", "who calls", "what calls", "callers", "depends on @", "depend on @", "depending on @", "blast radius", "breaks if", "break if", "fails if", "used by", "talk to @", "talks to @", "talk with @", "affected if", "happens if @", "if @ goes down", "if @ dies", "if @ stays down", "if @ is down", "without @", "relies on @", "rely on @"), q.holds("上游", "谁调用", "谁依赖", "依赖@的", "依赖于@的", "挂了会", "挂掉会", "停了会", "会影响谁", "@を使って", "@を利用して", "谁在用", "在用@", "用到@", "落ちたら", "止まったら", "上流", "呼び出し元", "@に依存"):
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
		if !q.has("cpu", "memory", "ram", "top", "top pods", "top nodes", "resource usage", "resource use", "load", "using the most", "uses the most", "hungriest", "busiest", "how busy", "heaviest", "how loaded", "how full", "hottest", "most loaded", "overloaded", "under load") &&
			!q.holds("cpu", "内存", "资源", "占用", "最忙", "有多忙", "最热", "负载", "メモリ", "リソース", "使用", "忙し") {
			if what == "metrics" {
				return one("alerts", q.with())
			}
			return nil
		}
		kind := "pods"
		if m.Kind == entity.Node || strings.HasPrefix(m.Target, "node/") {
			kind = "nodes"
		}
		return one("top", q.with("kind", kind))
	case "yaml", "describe":
		if target != "" {
			return one(map[string]string{"yaml": "get_resource", "describe": "describe"}[what], q.with("target", target))
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
	case "why":
		if target == "" {
			return one("explain", q.about())
		}
		return []step{{tool: "explain", args: q.about(), otherwise: how}}
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
	case slices.Contains(acted["restart"], about) && kind == "" && (q.has("replicas", "replica", "instances", "copies") || q.holds("副本", "实例", "レプリカ", "インスタンス")):
		kind = about
	case kind == "":
		return nil
	}
	args := q.with("kind", kind)
	if len(q.marks) > 0 {
		args["selector"] = q.selector()
	}
	version := slices.IndexFunc(m.Unknown, tagged.MatchString)
	switch reason := q.reason(); {
	case m.Target != "":
		if about == kind && kind == m.Kind {
			return nil // "the deployment payments" is one object and no list
		}
		args["match"] = name
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
