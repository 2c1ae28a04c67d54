package detect

import (
	"regexp"
	"slices"
	"strings"
)

// shortages maps words of the scheduler's message to what a person would look at. The first match of a clause wins.
var shortages = []struct{ word, means string }{
	{"insufficient cpu", "not enough CPU"},
	{"insufficient memory", "not enough memory"},
	{"insufficient ephemeral-storage", "not enough ephemeral storage"},
	{"too many pods", "no room for more pods"},
	{"insufficient", "not enough of a requested resource"},
	{"node affinity", "node affinity or selector matches no node"},
	{"node selector", "node selector matches no node"},
	{"pod affinity", "pod affinity rules match no node"},
	{"anti-affinity", "pod anti-affinity rules match no node"},
	{"topology spread", "topology spread constraints match no node"},
	{"taint", "taints are not tolerated"},
	{"volume", "a volume cannot be bound or reached"},
	{"persistentvolumeclaim", "a volume claim is not bound"},
	{"unschedulable", "nodes are cordoned"},
	{"free ports", "no node has the host port free"},
}

var clauseCount = regexp.MustCompile(`^(\d+) `)

// lacking reads "0/4 nodes are available: 3 Insufficient memory, 1 node(s) had untolerated taint {…}. preemption: …"
// into "not enough memory (3 nodes), taints are not tolerated (1 node)".
func lacking(message string) string {
	body, _, _ := strings.Cut(message, "preemption:")
	if _, after, ok := strings.Cut(body, "available:"); ok {
		body = after
	}
	var out []string
	for clause := range strings.SplitSeq(body, ",") {
		clause = strings.TrimSpace(clause)
		low := strings.ToLower(clause)
		for _, s := range shortages {
			if !strings.Contains(low, s.word) {
				continue
			}
			text := s.means
			if m := clauseCount.FindStringSubmatch(clause); m != nil {
				nodes := " nodes)"
				if m[1] == "1" {
					nodes = " node)"
				}
				text += " (" + m[1] + nodes
			}
			if !slices.Contains(out, text) {
				out = append(out, text)
			}
			break
		}
	}
	if len(out) == 0 {
		if message == "" {
			return "the scheduler gives no reason"
		}
		return line(message)
	}
	return strings.Join(out, ", ")
}
