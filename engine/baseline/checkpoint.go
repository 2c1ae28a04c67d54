package baseline

import (
	"fmt"
	"math"
	"slices"

	"github.com/bukahou/atlhyper/engine/blob"
	"github.com/bukahou/atlhyper/engine/entity"
)

// A checkpoint holds the number of entities; for each entity its names and its series; for each series its name, its
// fields and the values held.
const (
	checkpointMagic   = "AHBL"
	checkpointVersion = 2
	least             = 24 // bytes that the smallest entity or series takes, which bounds what a false length can make us allocate
)

// Checkpoint gives what was learned of a cluster as one blob; of an unknown cluster it is that of nothing learned.
func (l *Learner) Checkpoint(id string) ([]byte, error) {
	e := blob.NewEncoder(checkpointMagic, checkpointVersion)
	c := l.find(id)
	if c == nil {
		c = newCluster(&l.cfg)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.Grow(64 + len(c.series)*176)
	e.Uint(uint64(len(c.ids)))
	for i := range c.entities {
		k := &c.entities[i]
		if len(k.metrics) == 0 {
			continue // forgotten
		}
		e.String(k.ref.Kind)
		e.String(k.ref.Namespace)
		e.String(k.ref.Name)
		e.Uint(uint64(len(k.metrics)))
		for _, m := range k.metrics {
			e.String(m.name)
			c.encode(e, &c.series[m.series])
		}
	}
	return e.Seal(), nil
}

func (c *cluster) encode(e *blob.Encoder, s *series) {
	for _, f := range s.floats() {
		e.Float(*f)
	}
	for _, n := range s.times() {
		e.Uint(uint64(*n))
	}
	e.Uint(uint64(s.samples))
	e.Uint(flags(s.warm, s.below, s.buffer >= 0, s.counter >= 0))
	if s.buffer >= 0 {
		e.Uint(uint64(len(c.buffers[s.buffer])))
		for _, x := range c.buffers[s.buffer] {
			e.Float(x)
		}
	}
	if s.counter >= 0 {
		k := c.counters[s.counter]
		e.Float(k.before)
		e.Float(k.start)
		e.Uint(uint64(k.epoch))
	}
}

func (s *series) floats() []*float64 {
	return []*float64{&s.mean, &s.variance, &s.usual, &s.wide, &s.off, &s.far, &s.value, &s.count, &s.z, &s.spread, &s.sum}
}

func (s *series) times() []*int64 {
	return []*int64{&s.born, &s.last, &s.onset, &s.overSince, &s.outSince, &s.outFor, &s.inFor}
}

func flags(set ...bool) uint64 {
	var n uint64
	for i, b := range set {
		if b {
			n |= 1 << i
		}
	}
	return n
}

// Restore replaces what is known of a cluster by a checkpoint. On an error nothing is replaced: the blob is damaged or of another
// version, and the cluster starts cold.
func (l *Learner) Restore(id string, raw []byte) error {
	c := newCluster(&l.cfg)
	if err := c.decode(id, raw); err != nil {
		return fmt.Errorf("restore baselines of %s: %w", id, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clusters[id] = c
	return nil
}

func (c *cluster) decode(id string, raw []byte) error {
	d, err := blob.NewDecoder(raw, checkpointMagic, checkpointVersion)
	if err != nil {
		return err
	}
	for range d.Length(least) {
		ref := entity.Ref{Cluster: id, Kind: d.String(), Namespace: d.String(), Name: d.String()}
		if _, twice := c.ids[ref]; twice || d.Bad() || ref.Name == "" {
			return blob.ErrDamaged
		}
		owner := c.addEntity(ref)
		n := d.Length(least)
		if n == 0 {
			return blob.ErrDamaged
		}
		for range n {
			name := d.String()
			if d.Bad() || name == "" || slices.ContainsFunc(c.entities[owner].metrics, func(m metric) bool { return m.name == name }) {
				return blob.ErrDamaged
			}
			sid := c.addSeries(owner, name)
			c.decodeSeries(d, &c.series[sid])
		}
	}
	return d.End()
}

func (c *cluster) decodeSeries(d *blob.Decoder, s *series) {
	for _, f := range s.floats() {
		*f = d.Float()
	}
	for _, n := range s.times() {
		*n = d.Time()
	}
	s.samples = uint32(min(d.Uint(), math.MaxUint32))
	set := d.Uint()
	s.warm, s.below = set&1 != 0, set&2 != 0
	if set&4 != 0 {
		s.buffer = c.acquire()
		n := d.Length(8)
		if n > bufferSize {
			d.Fail()
			return
		}
		for range n {
			c.hold(s, d.Float())
		}
	}
	if set>>4 != 0 || (set&8 != 0) != (s.counter >= 0) || // the table may have changed since
		s.variance < 0 || s.wide < 0 || s.sum < 0 || s.warm && s.spread <= 0 {
		d.Fail()
	}
	if s.counter >= 0 && !d.Bad() {
		c.counters[s.counter] = counter{before: d.Float(), start: d.Float(), epoch: d.Time()}
	}
}
