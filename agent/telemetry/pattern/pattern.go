// Package pattern groups log lines that differ in numbers, ids and names only, as Drain does (He et al., "Drain: An
// Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017).
package pattern

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/agent/report"
)

// Wildcard stands where lines of one pattern differ.
const Wildcard = "<*>"

// similar is the share of words in which two templates of one length must agree to be one pattern (Drain's st).
const similar = 0.6

// variable finds what differs from line to line without a meaning for the pattern: UUIDs, addresses, ids and numbers,
// the longer shapes first. The queries of package clickhouse do the same in the store.
var variable = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}` +
	`|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\b(?:0x)?[0-9a-fA-F]*\d[0-9a-fA-F]{7,}\b|[+-]?\d+(?:\.\d+)?`)

// Template puts wildcards in place of what varies in one line.
func Template(line string) string { return variable.ReplaceAllString(line, Wildcard) }

// Merger merges templates: those of the same number of words and the same first word are one when enough of their words
// agree, and the words that differ become wildcards. Numbers, ids and addresses must be wildcards already, so that the
// first word is a fair key. The zero value is ready; one goroutine uses it.
type Merger struct {
	groups map[string][]*group
	order  []*group
}

type group struct {
	words []string
	*report.LogPattern
}

// Add merges a pattern, whose Template, Count, First, Last, Severity and Example are set. The Merger keeps it.
func (m *Merger) Add(x *report.LogPattern) {
	words := strings.Fields(x.GetTemplate())
	if len(words) == 0 {
		words = []string{""}
	}
	key := words[0]
	if strings.Contains(key, Wildcard) {
		key = Wildcard
	}
	key += "\x00" + strings.Repeat(".", len(words))
	for _, have := range m.groups[key] {
		if agree(have.words, words) >= similar {
			have.merge(words, x)
			return
		}
	}
	if m.groups == nil {
		m.groups = map[string][]*group{}
	}
	made := &group{words, x}
	m.groups[key] = append(m.groups[key], made)
	m.order = append(m.order, made)
}

// agree gives the share of words that are equal.
func agree(a, b []string) float64 {
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	return float64(same) / float64(len(a))
}

func (g *group) merge(words []string, x *report.LogPattern) {
	for i := range g.words {
		if g.words[i] != words[i] {
			g.words[i] = Wildcard
		}
	}
	g.Count += x.GetCount()
	if x.GetFirst().AsTime().Before(g.GetFirst().AsTime()) {
		g.First = x.First
	}
	if x.GetLast().AsTime().After(g.GetLast().AsTime()) {
		g.Last = x.Last
	}
}

// All gives the patterns, the most frequent first.
func (m *Merger) All() []*report.LogPattern {
	out := make([]*report.LogPattern, len(m.order))
	for i, x := range m.order {
		x.Template = strings.Join(x.words, " ")
		out[i] = x.LogPattern
	}
	slices.SortStableFunc(out, func(a, b *report.LogPattern) int {
		return cmp.Or(cmp.Compare(b.GetCount(), a.GetCount()), cmp.Compare(a.GetTemplate(), b.GetTemplate()))
	})
	return out
}
