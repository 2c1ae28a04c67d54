package tools

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
)

// About is what a command is about, where a platform lets a person choose it beside the words.
type About struct {
	Cluster, Namespace string
	Workload           string // KIND/NAME
}

// The fields of About, as people see their names.
const (
	FieldCluster   = "cluster"
	FieldNamespace = "namespace"
	FieldWorkload  = "workload"
)

// Point makes one line of a command's words and of what it is about. Words that are no command become a question about
// it, and no words at all ask what is not well there.
func (r *Registry) Point(line string, a About) (string, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		words = []string{"alerts"}
	}
	n := 1
	t := r.byVerb[strings.ToLower(words[0])]
	if len(words) > 1 {
		if two := r.byVerb[strings.ToLower(words[0]+" "+words[1])]; two != nil {
			t, n = two, 2
		}
	}
	if t == nil || len(words) > n && slices.Contains(sentence, strings.ToLower(words[n])) {
		var about []string
		if a.Workload != "" {
			about = append(about, a.Workload)
		}
		if a.Namespace != "" {
			about = append(about, "namespace "+a.Namespace)
		}
		if a.Cluster != "" {
			about = append(about, "cluster "+a.Cluster)
		}
		return strings.TrimSpace(line) + " (" + strings.Join(about, ", ") + ")", nil
	}
	spec := t.Spec()
	var schema jsonschema.Schema
	if err := json.Unmarshal(spec.Schema, &schema); err != nil {
		return "", fmt.Errorf("tool %s: %w", spec.Name, err)
	}
	out := slices.Clone(words[:n])
	if a.Workload != "" {
		pos := t.(positional).positions()
		if len(pos) == 0 || pos[0] != "target" {
			return "", &Problem{Sentence: fmt.Sprintf("%s is not about one workload.", spec.Verb), Remedy: "Leave the workload empty. Usage: /atl " + spec.Usage}
		}
		out = append(out, a.Workload)
	}
	rest := strings.TrimSpace(line) // as it was typed, quotes and all
	for range n {
		_, rest, _ = strings.Cut(rest, " ")
		rest = strings.TrimSpace(rest)
	}
	if rest != "" {
		out = append(out, rest)
	}
	for _, flag := range []struct{ name, short, value string }{{FieldNamespace, "-n", a.Namespace}, {FieldCluster, "--cluster", a.Cluster}} {
		switch {
		case flag.value == "":
		case schema.Properties[flag.name] == nil:
			return "", &Problem{Sentence: fmt.Sprintf("%s takes no %s.", spec.Verb, flag.name), Remedy: "Leave it empty. Usage: /atl " + spec.Usage}
		default:
			out = append(out, flag.short, flag.value)
		}
	}
	return strings.Join(out, " "), nil
}

// Complete gives the names that a field of About may hold, as far as the person may see them and what else was chosen
// allows: those that begin with what is typed before those that hold it.
func (r *Registry) Complete(who people.Person, field, typed string, a About) []string {
	typed = strings.ToLower(strings.TrimSpace(typed))
	sees := func(cluster, namespace string) bool {
		return r.engine.People.RoleOf(who, cluster, namespace) >= people.Viewer
	}
	found := map[string]bool{}
	for _, c := range r.clusters() {
		if field != FieldCluster && a.Cluster != "" && c.ID() != a.Cluster {
			continue
		}
		switch field {
		case FieldCluster:
			found[c.ID()] = sees(c.ID(), "")
		case FieldNamespace:
			for _, x := range c.List("Namespace", "") {
				found[x.GetName()] = found[x.GetName()] || sees(c.ID(), x.GetName())
			}
		case FieldWorkload:
			for _, k := range append(slices.Clone(workloads), entity.CronJob) {
				for _, x := range c.List(k, a.Namespace) {
					name := strings.ToLower(k) + "/" + x.GetName()
					found[name] = found[name] || sees(c.ID(), x.GetNamespace())
				}
			}
		}
	}
	var begin, hold []string
	for name, seen := range found {
		switch bare := name[strings.IndexByte(name, '/')+1:]; {
		case !seen:
		case strings.HasPrefix(bare, typed), strings.HasPrefix(name, typed):
			begin = append(begin, name)
		case strings.Contains(name, typed):
			hold = append(hold, name)
		}
	}
	slices.Sort(begin)
	slices.Sort(hold)
	return append(begin, hold...)
}
