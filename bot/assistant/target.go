package assistant

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

// grounds are what an act may be about: the names in the person's own words, and the entities of the thread's incident.
// Whatever else the model puts into the arguments of a tool that acts may come from a log line, and is refused.
type grounds struct {
	words    []string // the asker's own messages in the thread, lower case; what others wrote there orders nothing
	targets  []entity.Ref
	cluster  string // the thread's
	incident string // the thread's
}

// acts reports whether a tool does more than look: it proposes a change, or needs more than a viewer's role, or takes a
// command line, which may say anything.
func acts(spec tools.Spec) bool {
	_, command := properties(spec.Schema)["command"]
	return spec.Write || spec.Role > people.Viewer || command
}

// atOnce reports whether a tool takes effect without anyone's approval, as silencing an incident does.
func atOnce(spec tools.Spec) bool { return spec.Role > people.Viewer && !spec.Write }

func groundsOf(req Request) grounds {
	g := grounds{targets: req.Targets, cluster: req.Caller.Cluster, incident: req.Caller.Incident, words: []string{words(req.Text)}}
	for _, t := range req.History {
		if t.Person && t.By != "" && t.By == req.Caller.Person.ID {
			g.words = append(g.words, words(t.Text))
		}
	}
	return g
}

// words gives a message in lower case with single spaces, in which a pasted command is found however it was broken.
func words(text string) string { return strings.ToLower(strings.Join(strings.Fields(text), " ")) }

// names is one string among a call's arguments, taken apart: "deployment/payments" under target gives payments.
type names struct {
	key   string
	parts []string
}

// refuses gives what in args is not grounded, or "" when all of it is. Numbers and truth values are not looked at, nor
// values that the schema lists, nor reasons and spans of time: none of them can name anything.
func (g grounds) refuses(spec tools.Spec, args map[string]any) string {
	if n, ok := args["replicas"].(float64); ok && !g.counted(n) {
		return fmt.Sprintf("%v replicas", n)
	}
	var all []names
	collect(spec.Schema, args, &all)
	ungrounded := ""
	for _, n := range all {
		for _, p := range n.parts {
			if !g.said(p) && (n.key != "cluster" || p != g.cluster) && (n.key != "id" || p != g.incident) {
				ungrounded = n.key + " " + p
			}
		}
	}
	if ungrounded == "" || slices.ContainsFunc(g.targets, func(t entity.Ref) bool { return g.covers(t, all) }) {
		return ""
	}
	return ungrounded
}

// covers says whether the arguments are about t: they name it, and whatever they say besides fits it or was said. That
// they name t is required because a namespace of the incident must not carry another workload's name with it.
func (g grounds) covers(t entity.Ref, all []names) bool {
	named := false
	for _, n := range all {
		for _, p := range n.parts {
			switch {
			case n.key == "cluster" && p == t.Cluster, n.key == "namespace" && p == t.Namespace:
			case n.key == "cluster" || n.key == "namespace":
				return false
			case p == t.Name:
				named = true
			case len(n.parts) > 1 && (p == t.Namespace || p == t.Cluster):
			case !g.said(p):
				return false
			}
		}
	}
	return named
}

// orders are what a person writes who wants something changed, in English as whole words and in Chinese and Japanese as
// parts of the text. A question that holds none of them asks for no change, whatever a log line makes of it. What people
// also write in questions ("why is it down", "since when did it start") is left out.
var orders = struct {
	words *regexp.Regexp
	parts []string
}{
	regexp.MustCompile(`(?i)\b(restart|bounce|redeploy|roll|rollback|revert|undo|scale|replicas?|grow|shrink|fewer|double|halve|half|set|update|deploy|` +
		`cordon|uncordon|drain|evict|empty|delete|kill|remove|pause|resume|unpause|run|rerun|trigger|taint|untaint|label|annotate|unlabel|tag|` +
		`fix|mend|repair|solve|heal|recover|remedy|mitigate|propose|suggest|do (it|that|this|so)|go (ahead|on)|yes|yep|ok|okay|sure|please|apply|execute|kubectl)\b`),
	[]string{
		"重启", "重新启动", "回滚", "回退", "撤销", "扩容", "缩容", "扩到", "缩到", "副本", "换成", "设置", "改成", "禁止调度", "隔离", "排空", "驱逐", "删", "杀", "暂停", "恢复", "继续",
		"执行", "污点", "标签", "注解", "修复", "修一下", "解决", "处理", "给个方案", "好的", "是的", "同意",
		"再起動", "戻して", "戻せ", "ロールバック", "スケール", "レプリカ", "増やし", "減らし", "変更して", "ドレイン", "退避", "削除", "消して", "一時停止", "再開", "実行", "ラベル", "注釈", "テイント",
		"直して", "直せ", "修正", "対処", "提案して", "お願い", "ください", "はい",
	},
}

// ordered reports whether the asker wrote anything that wants a change.
func (g grounds) ordered() bool {
	return slices.ContainsFunc(g.words, func(text string) bool {
		return orders.words.MatchString(text) || slices.ContainsFunc(orders.parts, func(p string) bool { return strings.Contains(text, p) })
	})
}

// numerals are small numbers in words.
var numerals = map[float64][]string{
	0: {"zero", "none", "零", "ゼロ"}, 1: {"one", "一"}, 2: {"two", "两", "二"}, 3: {"three", "三"}, 4: {"four", "四"}, 5: {"five", "五"},
	6: {"six", "六"}, 7: {"seven", "七"}, 8: {"eight", "八"}, 9: {"nine", "九"}, 10: {"ten", "十"}, 12: {"twelve", "dozen", "十二"},
}

// counted reports whether the asker wrote a number, in digits or as a word.
func (g grounds) counted(n float64) bool {
	if digits := strconv.FormatFloat(n, 'f', -1, 64); slices.ContainsFunc(g.words, func(text string) bool {
		return slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }), digits)
	}) {
		return true
	}
	return slices.ContainsFunc(numerals[n], func(word string) bool {
		if word[0] < 'a' || word[0] > 'z' {
			return slices.ContainsFunc(g.words, func(text string) bool { return strings.Contains(text, word) })
		}
		return g.said(word)
	})
}

// said reports whether a person wrote name, as a whole name: "pay" is not said by "payments", nor "payments" by
// "payments-db".
func (g grounds) said(name string) bool {
	name = strings.ToLower(name)
	if name == "" {
		return true // names nothing
	}
	return slices.ContainsFunc(g.words, func(text string) bool {
		for from := 0; ; {
			i := strings.Index(text[from:], name)
			if i < 0 {
				return false
			}
			i += from
			if !joined(text[:i], true) && !joined(text[i+len(name):], false) {
				return true
			}
			from = i + 1
		}
	})
}

// joined reports whether a name goes on in rest, the text before it or behind it. A full stop joins only when something
// that may stand in a name follows on its other side.
func joined(rest string, before bool) bool {
	at := func(i int) byte {
		if before {
			i = len(rest) - 1 - i
		}
		if i < 0 || i >= len(rest) {
			return 0
		}
		return rest[i]
	}
	if at(0) == '.' {
		return inName(at(1))
	}
	return inName(at(0))
}

func inName(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '_'
}

// nameless are the arguments that explain an act or say how long it lasts.
var nameless = []string{"reason", "why", "note", "comment", "for", "since"}

// kindWords may stand before a name in its short form.
var kindWords = strings.Fields(`pod pods po node nodes no deployment deployments deploy statefulset statefulsets sts
	daemonset daemonsets ds replicaset replicasets rs job jobs cronjob cronjobs cj service services svc namespace
	namespaces ns ingress ingresses ing horizontalpodautoscaler hpa persistentvolumeclaim pvc configmap cm`)

// collect walks the arguments for strings that could name something.
func collect(schema json.RawMessage, args map[string]any, out *[]names) {
	declared := properties(schema)
	for key, v := range args {
		lower := strings.ToLower(key)
		text, ok := v.(string)
		switch {
		case ok && slices.Contains(declared[key].Enum, any(text)), lower == "kind", slices.Contains(nameless, lower):
		case ok && lower == "command":
			*out = append(*out, names{lower, []string{strings.Join(strings.Fields(text), " ")}})
		default:
			walk(lower, v, out)
		}
	}
}

// property is an argument in a schema.
type property struct {
	Enum []any `json:"enum"`
}

// properties are the arguments that a schema declares. One that cannot be read declares none, and so exempts nothing.
func properties(schema json.RawMessage) map[string]property {
	var s struct {
		Properties map[string]property `json:"properties"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return nil
	}
	return s.Properties
}

func walk(key string, v any, out *[]names) {
	switch v := v.(type) {
	case string:
		if v != "" {
			*out = append(*out, names{key, partsOf(v)})
		}
	case []any:
		for _, e := range v {
			walk(key, e, out)
		}
	case map[string]any:
		for k, e := range v {
			walk(strings.ToLower(k), e, out)
		}
	}
}

// partsOf takes "shop/deployment/payments" apart and drops the kind; the last part is a name even when it is also the
// word of a kind. An image is one name: its parts together decide
// what will run.
func partsOf(s string) []string {
	if strings.ContainsAny(s, ":@") {
		return []string{s}
	}
	all := strings.Split(s, "/")
	var parts []string
	for i, p := range all {
		if last := i == len(all)-1; last || !slices.Contains(kindWords, strings.ToLower(p)) {
			parts = append(parts, p)
		}
	}
	return parts
}
