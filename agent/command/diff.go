package command

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bukahou/atlhyper/agent/report"
)

const (
	masked        = "<masked>"
	maskedChanged = "<masked, changed>"

	maxChanges    = 100
	maxChangeText = 200
)

// diff lists what a person would call different between two forms of one object: not its status, not the bookkeeping
// of the API server and its controllers. Values of environment variables are masked. Lines are ordered by path.
func diff(before, after runtime.Object) []*report.FieldChange {
	a, errA := runtime.DefaultUnstructuredConverter.ToUnstructured(before)
	b, errB := runtime.DefaultUnstructuredConverter.ToUnstructured(after)
	if errA != nil || errB != nil {
		return nil // typed objects of the API always convert
	}
	for _, u := range []map[string]any{a, b} {
		bare(u)
		if m, ok := u["metadata"].(map[string]any); ok {
			for _, k := range []string{"uid", "generation", "creationTimestamp", "selfLink"} {
				delete(m, k)
			}
			if notes, ok := m["annotations"].(map[string]any); ok {
				maps.DeleteFunc(notes, func(k string, _ any) bool {
					return k == corev1.LastAppliedConfigAnnotation || strings.HasPrefix(k, "deployment.kubernetes.io/") || k == appsv1.DeprecatedTemplateGeneration
				})
				if len(notes) == 0 {
					delete(m, "annotations")
				}
			}
		}
	}
	d := differ{}
	d.compare("", "", a, b)
	if len(d.changes) > maxChanges {
		rest := len(d.changes) - maxChanges
		d.changes = append(d.changes[:maxChanges], &report.FieldChange{Path: "…", After: strconv.Itoa(rest) + " more"})
	}
	return d.changes
}

type differ struct{ changes []*report.FieldChange }

func (d *differ) add(path, before, after string) {
	d.changes = append(d.changes, &report.FieldChange{Path: path, Before: short(before), After: short(after)})
}

// compare adds the differences below path. list is the name of the list that path's last step is in, if any.
func (d *differ) compare(path, list string, a, b any) {
	am, aMap := a.(map[string]any)
	bm, bMap := b.(map[string]any)
	if aMap && (bMap || b == nil) || bMap && a == nil {
		d.compareMaps(path, list, am, bm)
		return
	}
	al, aList := a.([]any)
	bl, bList := b.([]any)
	if (aList && (bList || b == nil) || bList && a == nil) && keyed(al) && keyed(bl) {
		d.compareLists(path, al, bl)
		return
	}
	if x, y := render(a), render(b); x != y {
		d.add(path, x, y)
	}
}

func (d *differ) compareMaps(path, list string, a, b map[string]any) {
	keys := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	found := len(d.changes)
	for _, k := range keys {
		switch {
		case list != "" && k == "name":
		case holdsValues(list) && k == "value":
			x, y := render(a[k]), render(b[k])
			switch {
			case x == y:
			case x != "" && y != "":
				d.add(step(path, k), masked, maskedChanged)
			case x != "":
				d.add(step(path, k), masked, "")
			default:
				d.add(step(path, k), "", masked)
			}
		default:
			d.compare(step(path, k), "", a[k], b[k])
		}
	}
	if found == len(d.changes) && (a == nil) != (b == nil) {
		if a == nil {
			d.add(path, "", "present")
		} else {
			d.add(path, "present", "")
		}
	}
}

// compareLists pairs the elements of two lists by their names, as Kubernetes does.
func (d *differ) compareLists(path string, a, b []any) {
	name := path[strings.LastIndexByte(path, '.')+1:]
	byName := func(l []any) map[string]any {
		out := make(map[string]any, len(l))
		for _, e := range l {
			out[e.(map[string]any)["name"].(string)] = e
		}
		return out
	}
	am, bm := byName(a), byName(b)
	for _, e := range a {
		n := e.(map[string]any)["name"].(string)
		d.compare(path+"["+n+"]", name, e, bm[n])
	}
	for _, e := range b {
		n := e.(map[string]any)["name"].(string)
		if _, both := am[n]; !both {
			d.compare(path+"["+n+"]", name, nil, e)
		}
	}
}

// keyed says whether each element of a list is a map with a name of its own.
func keyed(l []any) bool {
	seen := map[string]bool{}
	for _, e := range l {
		m, ok := e.(map[string]any)
		n, named := m["name"].(string)
		if !ok || !named || seen[n] {
			return false
		}
		seen[n] = true
	}
	return true
}

// holdsValues says that the elements of a list with this name carry a value that may be a credential.
func holdsValues(list string) bool { return list == "env" || list == "httpHeaders" }

// step extends a path; a key that is no plain word, such as an annotation's, stands in brackets.
func step(path, key string) string {
	if strings.ContainsAny(key, "./") {
		return path + "[" + key + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func render(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case map[string]any, []any:
		redact(v, "")
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	}
	return fmt.Sprint(v)
}

func short(s string) string {
	if len(s) <= maxChangeText {
		return s
	}
	return strings.ToValidUTF8(s[:maxChangeText], "") + "…"
}
