package incident

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// CauseCount is how often an entity was to blame, and for what it was most often.
type CauseCount struct {
	Entity entity.Ref `json:"entity"`
	Kind   string     `json:"kind"`
	Count  int        `json:"count"`
}

// Statistics sums up the records of a filter. Merged records count once, with the one that took them in.
type Statistics struct {
	Total      int              `json:"total"`
	Open       int              `json:"open"`
	Resolved   int              `json:"resolved"`
	Stages     map[Stage]int    `json:"stages"`
	Severities map[Severity]int `json:"severities"`
	// MTTR is the mean time from opening to resolution over the resolved; zero when there is none.
	MTTR time.Duration `json:"mttr"`
	// Recurred is how many came back after they were resolved; the rate is over those that were resolved at least once.
	Recurred       int          `json:"recurred"`
	RecurrenceRate float64      `json:"recurrence_rate"`
	Causes         []CauseCount `json:"causes"` // most frequent first, at most ten
}

// Stats sums up what the store has of a filter.
func (k *Keeper) Stats(ctx context.Context, f Filter) (Statistics, error) {
	records, err := k.store.Incidents(ctx, f)
	if err != nil {
		return Statistics{}, fmt.Errorf("incident statistics: %w", err)
	}
	return Summarize(records), nil
}

// Summarize sums up records.
func Summarize(records []*Incident) Statistics {
	s := Statistics{Stages: map[Stage]int{}, Severities: map[Severity]int{}}
	var repair time.Duration
	causes := map[entity.Ref]map[string]int{}
	once := 0
	for _, i := range records {
		if i.MergedInto != "" {
			continue
		}
		s.Total++
		s.Stages[i.Stage]++
		s.Severities[i.Severity]++
		if i.Open() {
			s.Open++
		}
		if i.Stage == StageResolved && !i.ResolvedAt.IsZero() {
			s.Resolved++
			repair += i.ResolvedAt.Sub(i.OpenedAt)
		}
		if i.Recurrence > 0 {
			s.Recurred++
		}
		if i.Recurrence > 0 || i.Stage == StageResolved || i.Stage == StageCleared {
			once++
		}
		if !i.Cause.Entity.IsZero() {
			if causes[i.Cause.Entity] == nil {
				causes[i.Cause.Entity] = map[string]int{}
			}
			causes[i.Cause.Entity][i.Cause.Kind]++
		}
	}
	if s.Resolved > 0 {
		s.MTTR = repair / time.Duration(s.Resolved)
	}
	if once > 0 {
		s.RecurrenceRate = float64(s.Recurred) / float64(once)
	}
	for ref, kinds := range causes {
		c := CauseCount{Entity: ref}
		most := 0
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			c.Count += kinds[kind]
			if kinds[kind] > most {
				most, c.Kind = kinds[kind], kind
			}
		}
		s.Causes = append(s.Causes, c)
	}
	slices.SortFunc(s.Causes, func(a, b CauseCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), entity.Compare(a.Entity, b.Entity))
	})
	s.Causes = s.Causes[:min(10, len(s.Causes))]
	return s
}
