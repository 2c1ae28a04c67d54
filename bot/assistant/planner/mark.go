package planner

import (
	"regexp"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
)

// mark is what people write on objects, or select them by: a label, an annotation, a taint.
type mark struct{ key, value, effect string }

// String gives "team=shop".
func (m mark) String() string { return m.key + "=" + m.value }

// written finds marks in a text: KEY=VALUE with or without a taint's effect, and KEY:EFFECT.
var written = regexp.MustCompile(`(?i)([a-z0-9](?:[a-z0-9./_-]*[a-z0-9])?)==?("[^"]*"|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|)(?::(NoSchedule|PreferNoSchedule|NoExecute))?` +
	`|([a-z0-9](?:[a-z0-9./_-]*[a-z0-9])?):(NoSchedule|PreferNoSchedule|NoExecute)`)

// marks takes the marks out of a text, so that no name is sought in them. A = stands where one was.
func marks(text string) ([]mark, string) {
	var out []mark
	rest := written.ReplaceAllStringFunc(text, func(hit string) string {
		g := written.FindStringSubmatch(hit)
		out = append(out, mark{key: g[1] + g[4], value: strings.Trim(g[2], `"`), effect: effects[strings.ToLower(g[3]+g[5])]})
		return " = "
	})
	return out, rest
}

// effects are a taint's, by their names in lower case.
var effects = map[string]string{"noschedule": "NoSchedule", "prefernoschedule": "PreferNoSchedule", "noexecute": "NoExecute"}

// effect is the effect that an order names in words.
func (q question) effect() string {
	switch {
	case q.says("prefer"):
		return "PreferNoSchedule"
	case q.says("evicting"):
		return "NoExecute"
	case q.says("unschedulable"):
		return "NoSchedule"
	}
	return ""
}

// The key that an order takes away stands beside the word for it: behind it in English, on either side in Chinese, before it in
// Japanese.
var (
	keyBehind = regexp.MustCompile(`(?i)(?:\b(?:labels?|annotations?|taints?)\s+(?:named\s+|called\s+)?|(?:标签|注解|污点)\s*)["'` + "`" + `]?([a-z0-9][a-z0-9./_-]*)`)
	keyBefore = regexp.MustCompile(`(?i)([a-z0-9][a-z0-9./_-]*)["'` + "`" + `]?\s*(?:\b(?:label|annotation|taint)\b|の?\s*(?:标签|注解|污点|ラベル|アノテーション|テイント))`)
	noKeys    = []string{"the", "a", "an", "this", "that", "its", "of", "from", "on", "off", "all", "any", "every", "for", "with", "and"}
)

// key is the key of a mark that an order takes away, "" when it names none.
func (q question) key() string {
	if len(q.marks) == 1 {
		return q.marks[0].key
	}
	_, name, _ := strings.Cut(q.mention.Target, "/")
	for _, re := range []*regexp.Regexp{keyBehind, keyBefore} {
		for _, g := range re.FindAllStringSubmatch(q.req.Text, -1) {
			w := strings.TrimRight(g[1], "-.")
			if _, kind := entity.ParseKind(w); !kind && !strings.EqualFold(w, name) && !slices.Contains(noKeys, strings.ToLower(w)) {
				return w
			}
		}
	}
	return ""
}

// marking adds to the arguments of an order what it sets or takes away, or says what it lacks.
func (q question) marking(act, target string, args map[string]any) (tool string, err error) {
	lacks := func(sentence, remedy string) (string, error) {
		return "", &tools.Problem{Sentence: sentence, Remedy: remedy}
	}
	switch act {
	case "taint":
		if len(q.marks) != 1 {
			return lacks(q.say.Sprintf("Which taint?"), q.say.Sprintf("Such as: taint %s with gpu=yes:NoSchedule.", target))
		}
		m := q.marks[0]
		if m.effect == "" {
			m.effect = q.effect()
		}
		text := m.key
		if m.value != "" {
			text = m.String()
		}
		if m.effect == "" {
			return lacks(q.say.Sprintf("With which effect?"), q.say.Sprintf("Such as: taint %s with %s:NoSchedule; NoExecute evicts pods at once.", target, text))
		}
		args["taint"] = text + ":" + m.effect
		return "taint", nil
	case "untaint":
		key := q.key()
		if key == "" {
			return lacks(q.say.Sprintf("Which taint?"), q.say.Sprintf("Such as: remove the taint gpu from %s.", target))
		}
		if len(q.marks) == 1 && q.marks[0].effect != "" {
			key += ":" + q.marks[0].effect
		}
		args["taint"] = key
		return "untaint", nil
	}
	tool, remove := strings.TrimPrefix(act, "un"), strings.HasPrefix(act, "un")
	field := map[string]string{"label": "label", "annotate": "annotation"}[tool]
	switch {
	case remove:
		key := q.key()
		if key == "" {
			return lacks(q.say.Sprintf("Which key?"), q.say.Sprintf("Such as: remove the label team from %s.", target))
		}
		args[field] = key + "-"
	case len(q.marks) != 1 || q.marks[0].value == "":
		return lacks(q.say.Sprintf("Which key and value?"), q.say.Sprintf("Such as: label %s with team=shop.", target))
	default:
		args[field] = q.marks[0].String()
	}
	return tool, nil
}

// bulk plans one order for all objects with certain labels. ok is false when the order is about one object.
func (q question) bulk(act string) (steps []step, ok bool, err error) {
	if len(q.marks) == 0 || q.mention.Target != "" || act != "restart" && act != "scale" {
		return nil, false, nil
	}
	if !slices.Contains(acted["restart"], q.mention.Kind) {
		return nil, true, &tools.Problem{Sentence: q.say.Sprintf("Which kind of objects?"), Remedy: q.say.Sprintf("Such as: restart all deployments with app=cart in shop.")}
	}
	if q.mention.Namespace == "" {
		return nil, true, &tools.Problem{Sentence: q.say.Sprintf("In which namespace?"), Remedy: q.say.Sprintf("Such as: restart all deployments with app=cart in shop.")}
	}
	args := q.with("kind", q.mention.Kind, "selector", q.selector())
	if act == "restart" {
		return []step{{tool: "restart_all", args: args}}, true, nil
	}
	n, known := q.number()
	if !known {
		return nil, true, &tools.Problem{Sentence: q.say.Sprintf("To how many replicas?"), Remedy: q.say.Sprintf("Such as: scale all deployments with app=cart in shop to 3.")}
	}
	args["replicas"] = n
	return []step{{tool: "scale_all", args: args}}, true, nil
}

// selector is the marks as a label selector.
func (q question) selector() string {
	var out []string
	for _, m := range q.marks {
		out = append(out, m.String())
	}
	return strings.Join(out, ",")
}
