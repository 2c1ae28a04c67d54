package baseline

import (
	"math"
	"slices"
	"time"
)

// series is the state of one metric of one entity. It holds no pointer, so that the garbage collector skips the arrays of it.
// Times are Unix nanoseconds on the engine's clock, 0 for never; durations count observed time only.
type series struct {
	mean, variance float64 // μ and s² of the frozen baseline
	usual, wide    float64 // the level of the last day, and a third of what only one sample in 370 is further from it
	off            float64 // distance of the newest sample from usual, as that was before it
	far            float64 // the greatest distance from usual in the present excursion
	value, count   float64 // newest sample
	z              float64 // of the newest sample, signed, before any limit
	spread         float64 // that z was taken with
	sum            float64 // CUSUM of the hurting side, 0 to 2h

	born, last int64 // first and newest sample
	onset      int64 // when sum left 0; stale while sum is 0
	overSince  int64 // when the value reached its absolute limit
	outSince   int64 // when it left the three deviations
	outFor     int64 // observed time since then
	inFor      int64 // observed time back inside them while outFor still runs

	entity  int32
	spec    uint16
	warm    bool
	below   bool   // on which side outFor runs
	samples uint32 // while warming up
	buffer  int32  // of values: warm-up, or the minutes outside; −1 for none
	counter int32  // anchors of a Counter; −1 for none
}

// counter turns a total into its increase over the last five to ten minutes.
type counter struct {
	before, start float64 // the total when the last and the present five minutes began
	epoch         int64
}

const (
	bufferSize   = 64 // values; an hour by the minute, or the newest of a warm-up
	maxDeviation = 1e6
	threshold    = 3.0
	counterStep  = int64(5 * time.Minute)
	settled      = int64(2 * time.Minute) // inside for so long ends an excursion
	implausible  = 1e15                   // no ratio, latency, rate or count is as large
)

// plausible says whether a value can be learned from at all.
func plausible(x float64) bool { return x >= 0 && x <= implausible } // false for NaN

// observe takes one sample. It is the hot path: no allocation once the series is warm and inside its baseline.
func (c *cluster) observe(id int32, now int64, value, count float64) {
	s := &c.series[id]
	step := now - s.last
	if step <= 0 {
		return // a duplicate, or late: the baseline has moved on
	}
	if s.last != 0 && step > int64(c.cfg.Relearn) {
		c.restart(s)
	}
	if s.born == 0 {
		s.born, step = now, 0
	}
	observed := step
	if step > int64(c.cfg.Stale) {
		observed = 0 // a gap is neither healthy nor anomalous
	}
	if s.counter >= 0 {
		value = c.counters[s.counter].increase(now, value)
	}
	s.last, s.value, s.count = now, value, count
	c.course.put(now, id, value, int64(c.cfg.Spacing))
	if !(count >= 0 && count <= implausible) {
		s.count = 0
	}
	spec := &c.specs[s.spec]
	switch {
	case spec.beyond(value) == 0:
		s.overSince = 0
	case s.overSince == 0:
		s.overSince = now
	}
	if !s.warm {
		c.warmUp(s, spec)
		return
	}

	d := value - s.mean
	n := s.count
	if spec.Class == Rate && value > 0 {
		n *= s.mean / value // Poisson's error of the count that was to be expected, not of the few that still came
	}
	s.spread = spec.spread(s.mean, math.Sqrt(s.variance), n)
	old, _ := spec.hurting(s.z)
	s.z = min(maxDeviation, max(-maxDeviation, d/s.spread))

	// Page's CUSUM with a reference of k deviations. A sample counts for h at most, so that a single outlier is no alarm.
	// A step on top of a creeping shift is an onset of its own: what crept for an hour did not begin what broke just now. Within
	// an excursion it must pass all that the excursion had, or the noise of what is far outside would begin it anew all the time.
	bad, weight := spec.hurting(s.z)
	if weight == 0 {
		bad = 0
	}
	before := s.sum
	s.sum = min(2*c.cfg.CUSUMLimit, max(0, before+min(bad, c.cfg.CUSUMLimit)-c.cfg.CUSUMSlack))
	again := bad-old > threshold && bad > threshold && (s.outSince == 0 || math.Abs(value-s.usual) > grown*s.far+threshold*s.spread)
	if s.sum > 0 && (before == 0 || before < 2 && bad > threshold || again) {
		s.onset = now
	}

	a := c.alpha(min(step, int64(c.cfg.Stale)))
	c.follow(s, spec, step)
	if math.Abs(s.z) <= threshold {
		if s.sum < c.cfg.CUSUMLimit {
			s.mean += a * d
			s.variance = (1 - a) * (s.variance + a*d*d)
		} else {
			s.mean += a / slower * d
		}
	}
	c.excursion(s, observed)
}

// follow moves the usual level and its tail. While the series is young every sample counts alike for the level; later, and for
// what is outside the baseline, the last day counts.
//
// Latencies of few requests have far heavier tails than a Gaussian: their deviation says little of how often they are five
// of them away. So the tail is followed itself: 3·wide is what is exceeded once in 370 samples, as three deviations of a Gaussian
// are. An excursion raises it only when it is over (see end) and to the double at most: a fault must not widen its own yardstick.
func (c *cluster) follow(s *series, spec *Spec, step int64) {
	share := c.slow
	d := s.value - s.usual
	s.off = d
	switch distance := math.Abs(d); {
	case math.Abs(s.z) <= threshold:
		share = max(share, float64(step)/float64(s.last-s.born+step))
		s.wide -= tailStep * tailOdds / (1 - tailOdds) * s.wide
	case distance > s.far:
		s.far = distance
	}
	reach := threshold * max(s.wide, spec.Floor)
	s.usual += share * min(reach, max(-reach, d))
}

// grown is by which factor a step must pass the excursion that it stands on.
const grown = 1.3

const (
	tailStep   = 0.5
	tailOdds   = 1.0 / 370
	tailGrowth = 2 // so that the third excursion of four times the reach is no news
)

// end lets the tail know of an excursion that is over.
func (s *series) end() {
	if s.far > threshold*s.wide {
		s.wide = max(s.wide, min(max(s.wide, s.spread/threshold)*tailGrowth, s.far/threshold))
	}
	s.far = 0
}

// slower is by how much the mean slows down while the CUSUM is in alarm: something creeps away, and following it at
// full speed would hide it, as would a deviation that grew with it. The mean does not stop, or a shift of one or two
// deviations would stay flagged by chance for good.
const slower = 10

// excursion keeps how long the series has been outside its baseline, for re-basing.
func (c *cluster) excursion(s *series, observed int64) {
	switch below := s.z < 0; {
	case math.Abs(s.z) > threshold:
		if s.buffer < 0 || s.below != below {
			c.release(s)
			s.buffer, s.below = c.acquire(), below
			s.outSince, s.outFor, observed = s.last, 0, 0
		}
		s.inFor = 0
	case s.buffer < 0:
		return
	default:
		if s.inFor += observed; s.inFor > settled {
			s.end()
			c.release(s)
			return
		}
	}
	s.outFor += observed
	if b := c.buffers[s.buffer]; len(b) <= int(s.outFor/int64(time.Minute)) {
		c.hold(s, s.value)
	}
}

func (c *cluster) warmUp(s *series, spec *Spec) {
	if s.buffer < 0 {
		s.buffer = c.acquire()
	}
	c.hold(s, s.value)
	s.samples++
	if int(s.samples) < c.cfg.WarmUpSamples || s.last-s.born < int64(c.cfg.WarmUp) {
		return
	}
	c.learn(s, spec)
	c.release(s)
	s.warm = true
}

// learn takes the baseline from the values held: their median, and 1.4826·MAD as deviation, which one wild value among
// them does not move.
func (c *cluster) learn(s *series, spec *Spec) {
	v := c.buffers[s.buffer]
	s.mean = median(v)
	for i, x := range v {
		v[i] = math.Abs(x - s.mean)
	}
	deviation := 1.4826 * median(v)
	s.variance = deviation * deviation
	s.spread = spec.spread(s.mean, deviation, s.count)
	s.z = min(maxDeviation, max(-maxDeviation, (s.value-s.mean)/s.spread))
	s.sum, s.onset = 0, 0
	s.usual, s.wide, s.off = s.mean, deviation, s.value-s.mean
}

// median sorts v.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	m := len(v) / 2
	if len(v)%2 == 1 {
		return v[m]
	}
	return (v[m-1] + v[m]) / 2
}

// restart forgets what was learned: what was normal before a long gap, at another time of day, is no evidence.
func (c *cluster) restart(s *series) {
	c.release(s)
	if s.counter >= 0 {
		c.counters[s.counter] = counter{}
	}
	*s = series{entity: s.entity, spec: s.spec, buffer: -1, counter: s.counter}
}

// increase takes the total at now. A total that falls was reset, or was an increase already: it starts anew.
func (k *counter) increase(now int64, total float64) float64 {
	epoch := now / counterStep
	switch {
	case k.epoch == 0 || epoch-k.epoch > 2 || total < k.start:
		*k = counter{before: total, start: total, epoch: epoch}
	case total < k.before:
		k.before = total
	}
	for k.epoch < epoch {
		k.before, k.start, k.epoch = k.start, total, k.epoch+1
	}
	return total - k.before
}

// alpha is the share that a sample after a step has in the mean: 1 − exp(−Δt/τ). Steps are nearly always the same, so
// the last one is remembered.
func (c *cluster) alpha(step int64) float64 {
	if step != c.step {
		c.step, c.share = step, 1-math.Exp(-float64(step)/float64(c.cfg.TimeConstant))
		c.slow = 1 - math.Exp(-float64(step)/float64(c.cfg.Usual))
	}
	return c.share
}

func (c *cluster) acquire() int32 {
	if n := len(c.spare); n > 0 {
		b := c.spare[n-1]
		c.spare = c.spare[:n-1]
		return b
	}
	c.buffers = append(c.buffers, make([]float64, 0, bufferSize))
	return int32(len(c.buffers) - 1)
}

func (c *cluster) release(s *series) {
	s.outSince, s.outFor, s.inFor = 0, 0, 0
	if s.buffer < 0 {
		return
	}
	c.buffers[s.buffer] = c.buffers[s.buffer][:0]
	c.spare = append(c.spare, s.buffer)
	s.buffer = -1
}

// hold keeps a value; when the buffer is full the oldest goes.
func (c *cluster) hold(s *series, x float64) {
	b := c.buffers[s.buffer]
	if len(b) == bufferSize {
		copy(b, b[1:])
		b[bufferSize-1] = x
		return
	}
	c.buffers[s.buffer] = append(b, x)
}
