// Package detect is channel B: what is certainly wrong, read from the clusters' own words without any statistics.
package detect

import (
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Fact is one certain fault. Kind is stable and spelled as Kubernetes spells it where it has a word for it
// (CrashLoopBackOff, NotReady, FailedScheduling, NoEndpoints); Text is one sentence with the figures. Score is 0 to 1,
// from the table of channel B.
type Fact struct {
	Entity entity.Ref `json:"entity"`
	Kind   string     `json:"kind"`
	Score  float64    `json:"score"`
	Text   string     `json:"text"`
	Source entity.Ref `json:"source"` // the object that showed it, when it is not Entity itself
	Since  time.Time  `json:"since"`  // first evidence
	Seen   time.Time  `json:"seen"`   // newest evidence; a held fact keeps an older Seen
}
