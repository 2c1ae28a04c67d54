package slo

import (
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Backfill takes counts of the past, each with its own start and span: a minute, an hour or a day of UTC. Unlike Count
// it may be told what is known already: of two counts of the same time the one that knows more stays, and none is added
// twice.
func (t *Tracker) Backfill(id string, counts []*report.RequestCount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.cluster(id)
	type hourOf struct {
		s    *stream
		hour int64
	}
	fresh := map[hourOf]*cell{}
	for _, n := range counts {
		x, ok := read(n)
		if !ok || n.GetStart() == nil || n.GetEntity().GetName() == "" || n.GetLayer() != Ingress && n.GetLayer() != Mesh {
			continue
		}
		ref := entity.Ref{Cluster: id, Kind: n.GetEntity().GetKind(), Namespace: n.GetEntity().GetNamespace(), Name: n.GetEntity().GetName()}
		s := t.stream(c, streamKey{ref, n.GetLayer(), n.GetRoute()})
		if s == nil {
			continue
		}
		at := n.GetStart().AsTime()
		switch n.GetSpan().AsDuration() {
		case time.Minute:
			x.index, x.known = s.minutes.index(at), 1
			slot := s.minutes.claim(x.index)
			if slot == nil || slot.known > 0 {
				continue
			}
			k := hourOf{s, s.hours.index(at)}
			if fresh[k] == nil {
				fresh[k] = &cell{index: k.hour}
			}
			fresh[k].add(&x)
			x.codes = nil
			*slot = x
			s.version++
			s.newest = max(s.newest, x.index)
		case time.Hour:
			x.index, x.known = s.hours.index(at), 60
			s.hour(x)
		case 24 * time.Hour:
			x.index, x.known = s.days.index(at), minutesOfDay
			s.day(x)
		}
	}
	for k, x := range fresh {
		k.s.hour(*x) // counts only where less of that hour was known
	}
}
