package planner

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/engine/entity"
)

// logs are those of what is named, as the question narrows them; of everything it is told what stands in them, counted.
func (q question) logs(target string) []step {
	m := q.mention
	switch {
	case target == "" && m.Kind == "" && !q.back():
		return one("log_patterns", q.graded(q.with("since", m.Since)))
	case target == "":
		return nil
	}
	args := q.with("target", target, "since", m.Since)
	if q.says("errors") {
		args["grep"] = "(?i)error|fail|fatal|panic|exception"
	}
	if len(m.Numbers) == 1 && q.has("last # lines", "# lines", "tail #", "last #") {
		args["tail"] = m.Numbers[0]
	}
	if q.says("previous") {
		before := maps.Clone(args)
		before["previous"] = true
		return []step{{tool: "logs", args: before, otherwise: one("logs", args)}} // nothing may have crashed
	}
	return one("logs", args)
}

func (q question) patterns(target string) []step {
	args := q.with("target", target)
	switch {
	case q.says("release"):
		args["new_since"] = "rollout"
	case q.says("new"):
		args["new_since"] = cmp.Or(q.mention.Since, "15m")
	case q.mention.Since != "":
		args["since"] = q.mention.Since
	}
	return one("log_patterns", q.graded(args))
}

func (q question) search(target string) []step {
	text, since := q.sought(), q.mention.Since
	if text == "" {
		return nil
	}
	search := step{tool: "search_logs", args: q.graded(q.with("target", target, "text", text, "since", since))}
	if target != "" { // without a log store, its own lines
		search.otherwise = one("logs", q.with("target", target, "grep", "(?i)"+regexp.QuoteMeta(text), "since", since))
	}
	return []step{search}
}

// longer is how long a request took at least.
var longer = regexp.MustCompile(`(?i)(?:longer than|more than|slower than|over|above|超过|慢于|大于|>)\s*(\d+(?:\.\d+)?)\s*(ms|s|毫秒|秒)|(\d+(?:\.\d+)?)\s*(ms|s|毫秒|ミリ秒|秒)\s*(?:以上|を超|より)`)

func (q question) traces(target string) []step {
	if id := traceID.FindString(strings.ToLower(q.req.Text)); id != "" {
		return one("trace", q.wide("id", id))
	}
	args := q.with("target", target, "since", q.mention.Since)
	if q.says("failed") {
		args["failed"] = true
	}
	if g := longer.FindStringSubmatch(q.req.Text); g != nil {
		unit := "ms"
		if slices.Contains([]string{"s", "秒"}, strings.ToLower(g[2]+g[4])) {
			unit = "s"
		}
		args["longer_than"] = g[1] + g[3] + unit
		if q.mention.Since != "" && !q.holds("最近", "過去") && !q.has("last", "past") { // it was the length of a request
			delete(args, "since")
		}
	}
	if q.says("newest") {
		args["newest"] = true
	}
	return one("traces", args)
}

func (q question) topology(target string) []step {
	if target == "" {
		return nil
	}
	args := q.with("target", target)
	switch {
	case q.says("upstream"):
		args["direction"] = "upstream"
	case q.says("downstream"):
		args["direction"] = "downstream"
	}
	return one("topology", args)
}

// signals are a service's figures now and then; what is no service has its metrics.
func (q question) signals(target string) []step {
	if target == "" {
		return nil
	}
	metrics := one("metrics", q.with("target", target))
	if strings.HasPrefix(target, "node/") || strings.HasPrefix(target, "pod/") {
		return metrics
	}
	return []step{{tool: "signals", args: q.with("target", target, "ago", q.mention.Since), otherwise: metrics}}
}

// usage is who uses how much, or a thing's own metrics.
func (q question) usage(what, target string, how []step) []step {
	switch {
	case what == "metrics" && target != "":
		return one("metrics", q.with("target", target))
	case q.says("usage"):
	case what == "metrics":
		return one("alerts", q.with())
	case target != "": // "who is eating worker-4?"
		return []step{{tool: "explain", args: q.about(), otherwise: how}}
	default:
		return nil
	}
	kind, by := "pods", ""
	if q.mention.Kind == entity.Node || q.says("capacity") || strings.HasPrefix(q.mention.Target, "node/") {
		kind = "nodes"
	}
	if q.says("memory") && !q.has("cpu") {
		by = "memory"
	}
	return one("top", q.with("kind", kind, "by", by))
}
