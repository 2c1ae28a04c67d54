package history

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bukahou/atlhyper/engine/blob"
	"github.com/bukahou/atlhyper/engine/entity"
)

const (
	checkpointMagic   = "AHHI"
	checkpointVersion = 1
)

// Checkpoint gives what is remembered of a cluster as one blob.
func (r *Recorder) Checkpoint(id string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := blob.NewEncoder(checkpointMagic, checkpointVersion)
	c := r.clusters[id]
	if c == nil {
		c = &cluster{}
	}
	e.Uint(uint64(c.count))
	for _, ref := range slices.SortedFunc(maps.Keys(c.subjects), entity.Compare) {
		for _, m := range c.subjects[ref].metrics {
			for _, text := range []string{ref.Kind, ref.Namespace, ref.Name, m.metric} {
				e.String(text)
			}
			s := &c.series[m.id]
			e.Uint(uint64(s.minute))
			write(e, c.minutes(m.id))
			e.Uint(uint64(s.newest))
			write(e, c.hours(s))
		}
	}
	return e.Seal()
}

// write appends values; runs of unknown ones, of which a young series is full, take two bytes.
func write(e *blob.Encoder, list []float32) {
	e.Uint(uint64(len(list)))
	for i := 0; i < len(list); {
		gap := 0
		for i+gap < len(list) && !isKnown(list[i+gap]) {
			gap++
		}
		if gap > 0 {
			e.Uint(uint64(gap) << 1)
			i += gap
			continue
		}
		run := 0
		for i+run < len(list) && isKnown(list[i+run]) {
			run++
		}
		e.Uint(uint64(run)<<1 | 1)
		for _, x := range list[i : i+run] {
			e.Float32(x)
		}
		i += run
	}
}

func read(d *blob.Decoder, list []float32) {
	for i := 0; i < len(list); {
		n := d.Uint()
		run := int(min(n>>1, uint64(len(list)+1)))
		if run == 0 || i+run > len(list) {
			d.Fail()
			return
		}
		for j := range run {
			list[i+j] = unknown
			if n&1 == 1 {
				if list[i+j] = d.Float32(); !isKnown(list[i+j]) {
					d.Fail()
				}
			}
		}
		i += run
	}
}

// Restore replaces what is remembered of a cluster by a checkpoint. On an error nothing is replaced.
func (r *Recorder) Restore(id string, raw []byte) error {
	d, err := blob.NewDecoder(raw, checkpointMagic, checkpointVersion)
	if err != nil {
		return fmt.Errorf("restore history of %s: %w", id, err)
	}
	c := newCluster()
	for range d.Length(10) {
		ref := entity.Ref{Cluster: id, Kind: d.String(), Namespace: d.String(), Name: d.String()}
		metric := d.String()
		before := c.count
		n, ok := c.intern(ref, metric, r.cfg.MaxSeries)
		if d.Bad() || !ok || c.count == before || ref.Name == "" || metric == "" {
			d.Fail()
			break
		}
		minute := int64(min(d.Uint(), 1<<40))
		if d.Uint() != minutes {
			d.Fail()
			break
		}
		read(d, c.minutes(n))
		c.series[n].minute, c.series[n].whole = minute, true
		newest := int64(min(d.Uint(), 1<<40))
		switch d.Uint() {
		case 0:
		case hours:
			c.keepHour(&c.series[n], newest, unknown)
			read(d, c.hours(&c.series[n]))
		default:
			d.Fail()
		}
		if d.Bad() {
			break
		}
	}
	if err := d.End(); err != nil {
		return fmt.Errorf("restore history of %s: %w", id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clusters[id] = c
	return nil
}
