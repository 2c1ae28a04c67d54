package planner

import (
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

// readings are the questions whose words are so plain that a change which is spoken of beside them does not matter.
var readings = []string{"logs", "events", "traces", "patterns", "search", "yaml", "describe"}

// wants gives what a question may ask, the likeliest first. Beside the order of the list it counts that a cause is asked for
// before what it may have been, and that a change which is only spoken of asks for advice, for its past, or for whom it touches.
func (q question) wants() []string {
	wanted := q.all(asks)
	first := func(intents ...string) []string { return append(intents, wanted...) }
	if slices.Contains(wanted, "why") && (wanted[0] == "changes" && q.says("why") || wanted[0] == "history") {
		wanted = first("why")
	}
	act := q.ponders()
	if act == "" {
		return wanted
	}
	switch asksWhen := q.asked && q.has("when", "who", "did", "was", "were", "has", "last", "somebody", "someone", "anybody", "anyone") || q.holds("什么时候", "啥时候", "何时", "谁", "いつ", "誰"); {
	case slices.Contains(wanted, "impact"):
		return first("impact")
	case slices.Contains(wanted, "restarts"): // how often, and not when
		return first("restarts")
	case asksWhen && (q.has("why", "root cause", "cause") || q.holds("为什么", "原因", "なぜ")):
		return wanted
	case asksWhen:
		return first("changes")
	case len(wanted) > 0 && (wanted[0] == "why" || slices.Contains(readings, wanted[0])):
		return wanted
	case act == "rollback" || act == "set_image":
		return first("history", "advice")
	}
	return first("advice")
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
	if fits := q.named(acted[act]); len(fits) > 0 {
		return fits
	}
	if fits := q.named(acted["restart"]); act == "delete_pod" && len(fits) > 0 { // one of its pods
		return fits
	}
	return []string{q.mention.Target}
}

// refusal is the kubectl line that says what an order wants and no tool does; its answer names the rule.
func (q question) refusal(act string) (step, bool) {
	_, name, _ := strings.Cut(q.mention.Target, "/")
	line := ""
	switch {
	case act == "refused" && q.has("apply"):
		line = "apply -f manifest.yaml"
	case act == "refused":
		line = "exec " + name
	case act == "delete_pod" && q.mention.Kind == "Namespace":
		line = "delete namespace " + q.mention.Namespace
	default:
		return step{}, false
	}
	return step{tool: "kubectl", args: map[string]any{"command": strings.TrimSpace(line)}}, true
}

// object is the word of an order that was probably meant as the name of its object, and names nothing: one close to a name, else
// the first, since what stands behind it says how.
func (q question) object() string {
	if w := candidate(q.mention, false); w != "" {
		return w
	}
	for _, w := range q.mention.Unknown {
		if !everyday(w) && !tagged.MatchString(w) {
			return w
		}
	}
	return ""
}

// named gives the things of certain kinds that a question names.
func (q question) named(kinds []string) []string {
	var out []string
	for _, t := range append([]string{q.mention.Target}, q.mention.Others...) {
		word, _, _ := strings.Cut(t, "/")
		if kind, ok := entity.ParseKind(word); ok && slices.Contains(kinds, kind) {
			out = append(out, t)
		}
	}
	return out
}

// node gives the name of the one node that a question names, "" when it is not one.
func (q question) node() string {
	if nodes := q.named([]string{entity.Node}); len(nodes) == 1 {
		_, name, _ := strings.Cut(nodes[0], "/")
		return name
	}
	return ""
}

// origin is the number that an order leads away from: "from 3 to 5".
var origin = regexp.MustCompile(`(?:from|从)\s*(\d+)|(\d+)\s*から`)

// versions are the versions that a question names, such as v2.3.1.
func (q question) versions() []string {
	return slices.DeleteFunc(slices.Clone(q.mention.Unknown), func(w string) bool { return !tagged.MatchString(w) })
}

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
	return q.says("relative")
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
		return (q.mention.Kind == "" || q.back() && slices.Contains(acted[wanted[0]], q.mention.Kind)) && candidate(q.mention, true) == ""
	}
	events := wanted[0] == "events" && q.mention.Kind == "Event" // "its events" names no kind to list
	if wanted[0] == "timeline" || q.mention.Kind != "" && wanted[0] != "why" && !events {
		return false
	}
	return q.back() && (q.req.Caller.Incident == "" || wanted[0] == "events" || wanted[0] == "changes" || wanted[0] == "risk" || wanted[0] == "alerts") || q.elliptic()
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
var tagged = regexp.MustCompile(`^(?:v\d+(?:-[a-z0-9.-]+)?|v?\d+(?:\.\d+)+[a-z0-9.-]*)$`)

func (q question) unhealthy() bool {
	return q.says("unhealthy")
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
	case q.says("errors"):
		args["level"] = "error"
	case q.says("warnings"):
		args["level"] = "warn"
	}
	return args
}
