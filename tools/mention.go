package tools

import (
	"errors"
	"maps"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// Mention is what a free text names among the things that exist. Nothing in it is guessed: each name was found in the
// fleet, except those in Unknown.
type Mention struct {
	Cluster   string
	Namespace string
	Target    string   // KIND/NAME, as the tools take it; with several in a text the likeliest kind, then the first
	Others    []string // further names that were found, KIND/NAME
	Kind      string   // a kind that was named by itself: "pods"
	Incident  string   // INC-7
	Numbers   []int64  // without those of spans of time
	Image     string   // a word that looks like an image reference with a tag
	Since     string   // a duration: "15m"
	Unknown   []string // Latin words that are nothing of the above, in lower case
	Near      []string // those of Unknown that a typing error could have made of an existing name
	// Meant has those of Near for which one name stands out as what was meant, and that as KIND/NAME. It is good enough to
	// look something up and say so, and never to change anything.
	Meant map[string]string
}

// Mentions finds what a text names. Words are runs of the characters that Kubernetes names and image references are made
// of, so that names stand out of Chinese and Japanese sentences without spaces.
func (r *Registry) Mentions(caller Caller, text string) Mention {
	m := Mention{}
	m.Since, text = spans(text)
	words := latin(text)
	for _, w := range words { // first, because names are looked for there
		if id, ok := r.cluster(w); ok {
			m.Cluster = id
		}
	}
	names := r.names(caller, m.Cluster)
	rank := len(searched)
	for i, w := range words {
		lower := strings.ToLower(w)
		if _, ok := r.cluster(w); ok {
			continue
		}
		if n, err := strconv.ParseInt(w, 10, 64); err == nil {
			m.Numbers = append(m.Numbers, n)
			continue
		}
		if incidentID.MatchString(w) {
			m.Incident = strings.ToUpper(w)
			continue
		}
		if i > 0 && slices.Contains([]string{"in", "namespace", "ns", "n"}, strings.ToLower(strings.TrimLeft(words[i-1], "-"))) && names.namespaces[lower] {
			m.Namespace = lower
			continue
		}
		if one, many := strings.CutSuffix(lower, "s"); many && names.kinds[lower] == 0 && len(one) > 3 && names.kinds[one] != 0 {
			if _, known := entity.ParseKind(lower); !known {
				lower = one // "why are checkouts failing?"
			}
		}
		if kinds := names.kinds[lower]; kinds != 0 && !(names.namespaces[lower] && kinds == ingresses && !besideKind(words, i, entity.Ingress)) {
			at := bits.TrailingZeros16(kinds)
			for _, j := range []int{i - 1, i + 1} { // "service payments" is not the Deployment of that name
				if k, ok := kindAt(words, j); ok && slices.Contains(searched, k) && kinds&(1<<slices.Index(searched, k)) != 0 {
					at = slices.Index(searched, k)
				}
			}
			m.take(strings.ToLower(searched[at])+"/"+lower, at, &rank)
			continue
		}
		if strings.Contains(w, "/") && !strings.Contains(w, ":") && r.path(caller, w, &m, &rank) {
			continue
		}
		if k, known := entity.ParseKind(lower); known && len(lower) > 2 {
			m.Kind = either(m.Kind, k)
			continue
		}
		switch {
		case names.namespaces[lower]:
			m.Namespace = lower
		case image.MatchString(w):
			m.Image = w
		default:
			m.Unknown = append(m.Unknown, lower)
			if names.near(lower) {
				m.Near = append(m.Near, lower)
				if t := names.meant(lower); t != "" {
					if m.Meant == nil {
						m.Meant = map[string]string{}
					}
					m.Meant[lower] = t
				}
			}
		}
	}
	return m
}

// ingresses is the bit of the Ingresses in names. One is often named as its namespace, and people mean that.
var ingresses = uint16(1) << slices.Index(searched, entity.Ingress)

func besideKind(words []string, i int, kind string) bool {
	for _, j := range []int{i - 1, i + 1} {
		if k, ok := kindAt(words, j); ok && k == kind {
			return true
		}
	}
	return false
}

func kindAt(words []string, i int) (string, bool) {
	if i < 0 || i >= len(words) {
		return "", false
	}
	return entity.ParseKind(words[i])
}

var (
	incidentID = regexp.MustCompile(`(?i)^inc-\d+$`)
	image      = regexp.MustCompile(`^[a-zA-Z0-9._-]*[a-zA-Z][a-zA-Z0-9._-]*(?::\d+)?(?:/[a-zA-Z0-9._-]+)*(?:@sha256)?:[a-zA-Z0-9._-]+$`)
)

// take keeps a name that was found.
func (m *Mention) take(target string, at int, rank *int) {
	switch {
	case target == m.Target || slices.Contains(m.Others, target):
	case at < *rank:
		if m.Target != "" {
			m.Others = append(m.Others, m.Target)
		}
		m.Target, *rank = target, at
	default:
		m.Others = append(m.Others, target)
	}
}

// path reads a name with its kind, namespace or cluster: "deployment/payments", "prod/shop/deployment/payments".
func (r *Registry) path(caller Caller, w string, m *Mention, rank *int) bool {
	t, err := parseTarget(r.engine, caller, w)
	if err != nil {
		return false
	}
	c, res, err := resolve(r.engine, caller, w, "", m.Cluster)
	var several *ambiguous
	switch {
	case err == nil:
		m.take(c.Ref(res).Short(), -1, rank)
	case errors.As(err, &several):
		m.take(several.options[0].Short(), -1, rank)
	default:
		return false
	}
	m.Namespace, m.Cluster = either(t.namespace, m.Namespace), either(t.cluster, m.Cluster)
	return true
}

// latin gives the words of a text that could be names, without the punctuation of the sentence.
func latin(text string) []string {
	words := strings.FieldsFunc(text, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-./:@_'", c))
	})
	out := words[:0]
	for _, w := range words {
		w = strings.TrimSuffix(strings.Trim(w, ".:_'/"), "'s")
		if w = strings.TrimRight(w, "-"); w != "" {
			out = append(out, w)
		}
	}
	return out
}

func (r *Registry) cluster(w string) (string, bool) {
	for _, id := range r.engine.Fleet.Clusters() {
		if strings.EqualFold(id, w) {
			return id, true
		}
	}
	return "", false
}

// names are what a text may name: by name its kinds, a bit for each position in searched, and the namespaces.
type names struct {
	kinds      map[string]uint16
	namespaces map[string]bool
}

// near says whether a typing error could have made a word of a name. Pods are left out: nobody types their names.
func (n names) near(word string) bool {
	if len(word) < 4 {
		return false
	}
	pod := uint16(1) << slices.Index(searched, entity.Pod)
	for name, kinds := range n.kinds {
		if kinds != pod && (distance(word, name) <= max(1, len(word)/3) || strings.HasPrefix(name, word+"-")) {
			return true
		}
	}
	return false
}

// names gathers them from the cluster that is meant, else from all.
func (r *Registry) names(caller Caller, cluster string) names {
	out := names{map[string]uint16{}, map[string]bool{}}
	for _, c := range r.clusters() {
		if within := either(cluster, caller.Cluster); within != "" && c.ID() != within {
			continue
		}
		for at, k := range searched {
			for _, x := range c.List(k, "") {
				out.kinds[x.GetName()] |= 1 << at
				if x.GetNamespace() != "" {
					out.namespaces[x.GetNamespace()] = true
				}
			}
		}
		for _, x := range c.List("Namespace", "") {
			out.namespaces[x.GetName()] = true
		}
	}
	return out
}

func (r *Registry) clusters() []*fleet.Cluster {
	var out []*fleet.Cluster
	for _, id := range r.engine.Fleet.Clusters() {
		if c, ok := r.engine.Fleet.Cluster(id); ok {
			out = append(out, c)
		}
	}
	return out
}

// meant gives the name, as KIND/NAME, that is nearer to a misspelt word than any other; "" when none or several are near.
func (n names) meant(word string) string {
	best, found, tie := 1+len(word)/6, "", false
	for name, kinds := range n.kinds {
		at := bits.TrailingZeros16(kinds)
		if searched[at] == entity.Pod {
			continue
		}
		switch d := distance(word, name); {
		case d < best, d == best && found == "":
			best, found, tie = d, strings.ToLower(searched[at])+"/"+name, false
		case d == best:
			tie = true
		}
	}
	if tie {
		return ""
	}
	return found
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// span is a length of time as people write it: "15 minutes", "90s", "last hour", "半小时", "2時間".
var span = regexp.MustCompile(`(?i)\b(\d+)\s?(s|m|h|d|min|mins|hr|hrs|secs?|seconds?|minutes?|hours?|days?|weeks?)\b` +
	`|(\d+|[一二两三四五六七八九十半]+)\s?个?\s?(分钟|分|小时|時間|天|日間|秒|周|週間)` +
	`|\b(half an|an|a|one|last|past|this) (hour|day|week)\b|\b(today|yesterday|tonight|this morning|this evening|this afternoon)\b|(今天|今日|昨天|昨日|今晚|昨晚|今夜|昨夜|今早|今朝)`)

var numerals = map[string]float64{"一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10, "半": 0.5}

var units = []struct {
	words   []string
	minutes float64
}{
	{[]string{"min", "分", "m"}, 1}, {[]string{"h", "小时", "時間"}, 60}, {[]string{"d", "天", "日"}, 24 * 60}, {[]string{"w", "周", "週"}, 7 * 24 * 60}, {[]string{"s", "秒"}, 1.0 / 60},
}

// spans gives the first span of time in a text, as a tool takes it, and the text without any.
func spans(text string) (first, rest string) {
	rest = span.ReplaceAllStringFunc(text, func(hit string) string {
		g := span.FindStringSubmatch(hit)
		minutes := 0.0
		switch {
		case strings.ContainsAny(g[8], "晚夜早朝") || strings.HasPrefix(strings.ToLower(g[7]), "to") && !strings.EqualFold(g[7], "today") || strings.HasPrefix(strings.ToLower(g[7]), "this"):
			minutes = 12 * 60
		case g[7]+g[8] != "":
			minutes = 24 * 60
			if strings.EqualFold(g[7], "yesterday") || strings.HasPrefix(g[8], "昨") {
				minutes = 48 * 60
			}
		default:
			count, unit := either(g[1], g[3]), strings.ToLower(either(either(g[2], g[4]), g[6]))
			n, err := strconv.ParseFloat(count, 64)
			if err != nil {
				n = 1
				if strings.EqualFold(g[5], "half an") {
					n = 0.5
				}
				if x, ok := numerals[count]; ok {
					n = x
				}
			}
			for _, u := range units {
				if slices.ContainsFunc(u.words, func(w string) bool { return strings.HasPrefix(unit, w) }) {
					minutes = n * u.minutes
					break
				}
			}
		}
		if first == "" && minutes > 0 {
			switch seconds := int(minutes*60 + 0.5); {
			case seconds%3600 == 0:
				first = strconv.Itoa(seconds/3600) + "h"
			case seconds%60 == 0:
				first = strconv.Itoa(seconds/60) + "m"
			default:
				first = strconv.Itoa(seconds) + "s"
			}
		}
		return " "
	})
	return first, rest
}

// Names lists what a person may name, for completion: workloads, services, nodes and namespaces.
func (r *Registry) Names() []string {
	seen := map[string]bool{}
	for _, c := range r.clusters() {
		for _, k := range append([]string{"Namespace"}, searched[:8]...) {
			for _, x := range c.List(k, "") {
				seen[x.GetName()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
