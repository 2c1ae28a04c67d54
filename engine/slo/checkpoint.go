package slo

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/blob"
	"github.com/bukahou/atlhyper/engine/entity"
)

const (
	checkpointMagic   = "AHSL"
	checkpointVersion = 1
)

// Checkpoint gives the minutes of a cluster as one blob: hours and days are stored by Save. Without them the fast
// windows would be unknown for an hour after each restart.
func (t *Tracker) Checkpoint(id string) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := blob.NewEncoder(checkpointMagic, checkpointVersion)
	c := t.cluster(id)
	e.Uint(uint64(len(c.streams)))
	for _, k := range slices.SortedFunc(maps.Keys(c.streams), compareStreams) {
		s := c.streams[k]
		for _, text := range []string{k.entity.Kind, k.entity.Namespace, k.entity.Name, k.layer, k.route} {
			e.String(text)
		}
		var known []*cell
		for i := s.newest - int64(len(s.minutes.cells)) + 1; i <= s.newest; i++ {
			if x := s.minutes.at(i); x != nil {
				known = append(known, x)
			}
		}
		e.Uint(uint64(len(s.minutes.cells)))
		e.Uint(uint64(len(known)))
		var bounds []float64
		for _, x := range known {
			e.Uint(uint64(x.index))
			e.Count(x.total)
			e.Count(x.errors)
			switch { // 0: no latency, 1: bounds as before, 2: other bounds
			case len(x.buckets) == 0:
				e.Uint(0)
				continue
			case slices.Equal(bounds, x.bounds):
				e.Uint(1)
			default:
				bounds = x.bounds
				e.Uint(2)
				e.Uint(uint64(len(bounds)))
				for _, b := range bounds {
					e.Float(b)
				}
			}
			for _, n := range x.buckets {
				e.Count(float64(n))
			}
		}
	}
	return e.Seal()
}

// Restore takes up what Checkpoint gave, before anything is counted. On an error nothing of it is taken.
func (t *Tracker) Restore(id string, raw []byte) error {
	d, err := blob.NewDecoder(raw, checkpointMagic, checkpointVersion)
	if err != nil {
		return fmt.Errorf("restore requests of %s: %w", id, err)
	}
	type restored struct {
		key    streamKey
		size   int
		cells  []cell
		newest int64
	}
	var all []restored
	for range d.Length(7) {
		r := restored{key: streamKey{entity: entity.Ref{Cluster: id, Kind: d.String(), Namespace: d.String(), Name: d.String()}, layer: d.String(), route: d.String()}}
		r.size = int(min(d.Uint(), minutesBurn))
		var bounds []float64
		for range d.Length(4) {
			x := cell{index: int64(min(d.Uint(), 1<<40)), known: 1, total: d.Count(), errors: d.Count()}
			how := d.Uint()
			if how > 2 || how == 1 && len(bounds) == 0 || x.errors > x.total {
				d.Fail()
			}
			if how == 2 {
				n := d.Length(8)
				if n == 0 || n > maxBuckets {
					d.Fail()
				}
				list := make([]float64, 0, min(n, maxBuckets))
				for range min(n, maxBuckets) {
					list = append(list, d.Float())
				}
				if !slices.IsSorted(list) {
					d.Fail()
				}
				bounds = sharedBounds(list)
			}
			if how > 0 && !d.Bad() {
				x.bounds = bounds
				for range len(bounds) + 1 {
					x.buckets = append(x.buckets, float32(d.Count()))
				}
			}
			if d.Bad() {
				break
			}
			r.cells = append(r.cells, x)
			r.newest = max(r.newest, x.index)
		}
		if d.Bad() || r.key.entity.Name == "" || r.key.layer != Ingress && r.key.layer != Mesh {
			d.Fail()
			break
		}
		all = append(all, r)
	}
	if err := d.End(); err != nil {
		return fmt.Errorf("restore requests of %s: %w", id, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.cluster(id)
	for _, r := range all {
		s := t.stream(c, r.key)
		if s == nil {
			continue
		}
		s.minutes.grow(r.size)
		for _, x := range r.cells {
			if slot := s.minutes.claim(x.index); slot != nil && slot.known == 0 {
				*slot = x
				s.version++
				s.newest = max(s.newest, x.index)
			}
		}
	}
	return nil
}

// Forget drops the streams of an entity that nothing has been counted of for longer than is kept: a service that was
// removed. It is called now and then.
func (t *Tracker) Forget(now time.Time, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clusters[id]
	if c == nil {
		return
	}
	maps.DeleteFunc(c.streams, func(_ streamKey, s *stream) bool {
		d := s.days.index(now)
		return len(s.dirty) == 0 && s.days.whole(d-daysKept+1, d+1).known == 0
	})
}
