package baseline

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// courseLength is how many frames of telemetry are kept: over ten minutes at the tick of 10 s, over five hours at 300 s.
const courseLength = 64

// course keeps the newest values of every series of a cluster, frame by frame: a frame is written from front to back as
// samples come in, which costs no cache miss of its own. Single precision is enough to show and to compare.
type course struct {
	at     [courseLength]int64
	values [courseLength][]float32 // by series; NaN where the frame has none
	newest int
	count  int
	fresh  int64 // frames from here on are of this run; before it they are a history that may be of another day
}

var unknown = float32(math.NaN())

// put keeps one value. Samples closer than spacing are of one frame.
func (k *course) put(now int64, id int32, value float64, spacing int64) {
	if k.count == 0 || now-k.at[k.newest] >= spacing {
		k.newest = (k.newest + 1) % courseLength
		k.count = min(k.count+1, courseLength)
		k.at[k.newest] = now
		row := k.values[k.newest]
		for i := range row {
			row[i] = unknown
		}
	}
	row := k.values[k.newest]
	if int(id) >= len(row) {
		row = k.grow(int(id))
	}
	row[id] = float32(value)
}

func (k *course) grow(id int) []float32 {
	row := k.values[k.newest]
	n := max(id+1, len(row)*3/2)
	row = slices.Grow(row, n-len(row))
	for len(row) < n {
		row = append(row, unknown)
	}
	k.values[k.newest] = row
	return row
}

// drop forgets a series, whose id may become another's.
func (k *course) drop(id int32) {
	for i := range k.values {
		if int(id) < len(k.values[i]) {
			k.values[i][id] = unknown
		}
	}
}

// each calls f with the frames of a series, oldest first.
func (k *course) each(id int32, f func(at int64, value float64)) {
	for i := range k.count {
		n := (k.newest - k.count + 1 + i + courseLength) % courseLength
		if row := k.values[n]; int(id) < len(row) && row[id] == row[id] {
			f(k.at[n], float64(row[id]))
		}
	}
}

// Point is one value of a course.
type Point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// Course gives the newest values of a metric, oldest first, as far back as they are kept.
func (l *Learner) Course(ref entity.Ref, name string) []Point {
	c := l.find(ref.Cluster)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.ids[ref]
	if !ok {
		return nil
	}
	s := c.entities[id].series(name)
	if s < 0 {
		return nil
	}
	var out []Point
	c.course.each(s, func(at int64, value float64) { out = append(out, Point{instant(at), value}) })
	return out
}

func (k *known) series(name string) int32 {
	for _, m := range k.metrics {
		if m.name == name {
			return m.series
		}
	}
	return -1
}

// Begin says that what was observed so far is a history without faults: it needs no further warming up, and what comes from
// now on is the present, whose level may have drifted since.
func (l *Learner) Begin(id string, now time.Time) {
	c := l.find(id)
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.course.fresh = now.UnixNano()
	for i := range c.series {
		s := &c.series[i]
		if s.born != 0 && !s.warm && s.buffer >= 0 && s.samples >= trusted {
			c.learn(s, &c.specs[s.spec])
			c.release(s)
			s.warm = true
		}
	}
}

// trusted is how many samples of a history that is known to be without faults make a baseline: fewer have no deviation
// worth the name.
const trusted = 5

// Over tells what is not normal in a span of time, by the course of each series instead of by its newest sample: what was
// abnormal and is so no longer is in it. It is for blame, and moves no baseline.
//
// A sample has two yardsticks and must exceed both by three spreads: the level just before the span (the median of this run's
// frames in the hour before it) and the usual one (the frozen mean, which a history has taught). The one alone is a handful
// of samples, the other may have drifted since; a deviation from both is one. The spread is the greatest of the usual
// deviation and the floors, those for so many requests included. Excess is what was above both levels, in waiting
// or failed requests a second over the span.
func (l *Learner) Over(id string, from, to time.Time) []Anomaly {
	c := l.find(id)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Anomaly
	for i := range c.entities {
		e := &c.entities[i]
		for _, m := range e.metrics {
			if a, ok := c.over(e, m, from.UnixNano(), to.UnixNano()); ok {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, func(a, b Anomaly) int {
		return cmp.Or(entity.Compare(a.Entity, b.Entity), cmp.Compare(a.Metric, b.Metric))
	})
	return out
}

const localSpan = int64(time.Hour)

func (c *cluster) over(e *known, m metric, from, to int64) (Anomaly, bool) {
	s := &c.series[m.series]
	spec := &c.specs[s.spec]
	var before, within []sample
	c.course.each(m.series, func(at int64, value float64) {
		switch {
		case at > to:
		case at >= from:
			within = append(within, sample{at, value})
		case at >= c.course.fresh && at >= from-localSpan:
			before = append(before, sample{at, value})
		}
	})
	if len(within) == 0 || len(before) == 0 && !s.warm {
		return Anomaly{}, false // an entity seen only in the span has no baseline
	}
	usual, deviation := s.usual, s.wide
	if !s.warm {
		usual, deviation = middle(before), 0
	}
	level := usual
	if len(before) > 0 {
		level = middle(before)
	}
	rates := c.rates(e, from, to)
	a := Anomaly{Entity: e.ref, Metric: m.name, Class: spec.Class, Mean: level, Weight: spec.Weight}
	var sum, weights, span float64
	for _, x := range within {
		n := rates.at(x.at) * c.course.step().Seconds()
		if rates != nil && n <= 0 && (spec.Class == Latency || spec.Class == Ratio) {
			continue // a ratio of no requests
		}
		span++
		spread := spec.spread(level, deviation, n)
		z := (x.value - level) / spread
		if other := (x.value - usual) / spread; z*other <= 0 || math.Abs(other) < math.Abs(z)/drifted {
			z /= drifted
		} else if math.Abs(other) < math.Abs(z) {
			z = other
		}
		bad, weight := spec.hurting(z)
		if bad <= threshold {
			continue
		}
		if a.Onset.IsZero() {
			a.Onset = instant(x.at)
		}
		if bad > math.Abs(a.Z) {
			a.Z, a.Spread, a.Weight = min(maxDeviation, max(-maxDeviation, z)), spread, weight*spec.felt(x.value)
		}
		n = max(n, 1)
		sum, weights = sum+x.value*n, weights+n
		if spec.Class == Latency || spec.Class == Ratio {
			a.Excess += max(0, min(x.value-level, max(x.value-usual, (x.value-level)/drifted))) * n
		}
		a.Count += n
		a.At = instant(x.at)
	}
	if weights == 0 {
		return Anomaly{}, false
	}
	a.Value = sum / weights
	a.Excess /= max(1, span*c.course.step().Seconds())
	a.Q = Q(a.Weight, a.Z)
	return a, true
}

type sample struct {
	at    int64
	value float64
}

func middle(v []sample) float64 {
	x := make([]float64, len(v))
	for i := range v {
		x[i] = v[i].value
	}
	return median(x)
}

// rateCourse is the course of an entity's request rate, nil where nobody counts its requests.
type rateCourse map[int64]float64

func (r rateCourse) at(at int64) float64 { return r[at] }

func (c *cluster) rates(e *known, from, to int64) rateCourse {
	s := e.series("request_rate")
	if s < 0 {
		return nil
	}
	out := rateCourse{}
	c.course.each(s, func(at int64, value float64) {
		if at >= from && at <= to {
			out[at] = value
		}
	})
	return out
}

// step is the usual distance of frames.
func (k *course) step() time.Duration {
	if k.count < 2 {
		return 10 * time.Second
	}
	steps := make([]float64, 0, courseLength)
	for i := 1; i < k.count; i++ {
		n := (k.newest - i + 1 + courseLength) % courseLength
		steps = append(steps, float64(k.at[n]-k.at[(n-1+courseLength)%courseLength]))
	}
	return time.Duration(median(steps))
}
