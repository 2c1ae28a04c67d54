package slo

import (
	"maps"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Proposal is an objective that what was seen would have kept, and what it is drawn from.
type Proposal struct {
	Objective Objective
	Counts    Counts  // what it is drawn from
	Spent     float64 // fraction of the budget that what was seen would have spent
}

// targets are what is proposed, the strictest first.
var targets = []float64{0.9999, 0.9995, 0.999, 0.995, 0.99, 0.98, 0.97, 0.95, 0.9}

// A proposal is drawn from at most two weeks, and from no less than an hour and a thousand requests.
const (
	proposeFrom     = 14 * 24 * time.Hour
	proposeKnown    = time.Hour
	proposeRequests = 1000
	headroom        = 0.5
	latencyTarget   = 0.99
)

// Propose draws objectives for an entity from two weeks of data, or from what there is: the strictest target of which
// what was seen spends at most half of the budget; and for latency the least bucket bound at which 99 % holds with the
// same headroom. One that promises what was never kept is missed on its first day; one far below what users are used to
// never warns. known says how much was seen where that is too little for a proposal.
//
// Worked: 1,000,000 requests with 400 failures fail at 0.04 %. 99.95 % allows 0.05 %, of which 0.04 is 80 %: too much.
// 99.9 % allows 0.1 %, of which it is 40 %: proposed.
func (t *Tracker) Propose(now time.Time, ref entity.Ref) (out []Proposal, known Counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clusters[ref.Cluster]
	if c == nil {
		return nil, Counts{}
	}
	for _, k := range slices.SortedFunc(maps.Keys(c.streams), compareStreams) {
		if k.entity != ref || k.route != "" {
			continue
		}
		s := c.streams[k]
		day := s.days.index(now) + 1
		seen := s.days.whole(day-int64(proposeFrom/(24*time.Hour)), day)
		counts := Counts{Span: proposeFrom, Known: time.Duration(float64(seen.known) * float64(time.Minute)), Total: seen.total, Bad: min(seen.errors, seen.total)}
		if counts.Known > known.Known {
			known = counts
		}
		if counts.Known < proposeKnown || counts.Total < proposeRequests {
			continue
		}
		base := Objective{Entity: ref, Layer: k.layer, Window: DefaultWindow, Source: FromChat}
		for _, target := range targets {
			if spent := counts.Share() / (1 - target); spent <= headroom || target == targets[len(targets)-1] && spent <= 1 {
				o := base
				o.Kind, o.Target = Availability, target
				out = append(out, Proposal{o, counts, spent})
				break
			}
		}
		d := seen.distribution()
		total := d.Total()
		if total < proposeRequests {
			continue
		}
		slow := total
		for i, b := range d.Bounds {
			slow -= d.Buckets[i]
			if spent := max(0, slow) / total / (1 - latencyTarget); spent <= headroom {
				o := base
				o.Kind, o.Target, o.Threshold = Latency, latencyTarget, time.Duration(b*float64(time.Second))
				lat := counts
				lat.Total, lat.Bad = total, max(0, slow)
				out = append(out, Proposal{o, lat, spent})
				break
			}
		}
	}
	return out, known
}
