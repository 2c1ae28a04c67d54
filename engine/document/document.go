// Package document reads YAML that people write: strictly, so that a misspelt word is a fault and no silence, and with
// the line of every fault. A reader collects all faults, so that a file is mended in one go.
package document

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Node is a part of a document.
type Node = yaml.Node

// Reader reads one document. After the first fault it goes on; what it gives for a faulty part is that part's zero value.
type Reader struct {
	faults []fault
}

type fault struct {
	line int
	text string
}

func (f fault) Error() string { return fmt.Sprintf("line %d: %s", f.line, f.text) }

// Parse gives the document's root. Its error is one of syntax, which names its line too.
func Parse(raw []byte) (*Reader, *Node, error) {
	var doc Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return nil, nil, errors.New("it is empty")
	}
	return &Reader{}, doc.Content[0], nil
}

// Fault notes what is wrong with a part. Its text names the remedy.
func (r *Reader) Fault(n *Node, format string, args ...any) {
	r.faults = append(r.faults, fault{n.Line, fmt.Sprintf(format, args...)})
}

// Err joins all faults in the order of their lines; nil when there is none.
func (r *Reader) Err() error {
	slices.SortStableFunc(r.faults, func(a, b fault) int { return cmp.Compare(a.line, b.line) })
	errs := make([]error, len(r.faults))
	for i, f := range r.faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// target follows an alias to what it stands for.
func target(n *Node) *Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// Fields hands each value of a mapping to the function of its key. Unknown and repeated keys are faults, and so is
// anything that is no mapping.
func (r *Reader) Fields(n *Node, fields map[string]func(*Node)) {
	if n = target(n); n.Kind != yaml.MappingNode {
		r.Fault(n, "here stand fields, of %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		read, known := fields[key.Value]
		switch {
		case !known:
			r.Fault(key, "%q is not known here; write one of %s", key.Value, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case seen[key.Value]:
			r.Fault(key, "%q stands here twice; leave one", key.Value)
		default:
			seen[key.Value] = true
			read(n.Content[i+1])
		}
	}
}

// Each hands over the items of a list.
func (r *Reader) Each(n *Node, item func(*Node)) {
	if n = target(n); n.Kind != yaml.SequenceNode {
		r.Fault(n, "here stands a list: begin each item with -")
		return
	}
	for _, c := range n.Content {
		item(target(c))
	}
}

// Text gives a text that is not empty.
func (r *Reader) Text(n *Node) string {
	n = target(n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		r.Fault(n, "here stands a text")
		return ""
	}
	return strings.TrimSpace(n.Value)
}

// Several hands over one text, or each of a list that is not empty.
func (r *Reader) Several(n *Node, item func(*Node)) {
	if n = target(n); n.Kind == yaml.ScalarNode {
		item(n)
		return
	}
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		r.Fault(n, "this list is empty: name at least one")
	}
	r.Each(n, item)
}

// Texts gives one text or a list of them.
func (r *Reader) Texts(n *Node) []string {
	var out []string
	r.Several(n, func(c *Node) { out = append(out, r.Text(c)) })
	return out
}

// Flag gives a yes or no.
func (r *Reader) Flag(n *Node) bool {
	n = target(n)
	var b bool
	if err := n.Decode(&b); err != nil || n.Kind != yaml.ScalarNode {
		r.Fault(n, "write true or false")
	}
	return b
}
