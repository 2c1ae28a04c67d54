package slo

import (
	"slices"
	"time"
)

// Counts is what is known of a span of time. What is not known is in none of the figures but Span: an unknown minute is
// neither good nor idle.
type Counts struct {
	Span  time.Duration // that was asked for
	Known time.Duration // of it
	Total float64       // requests
	Bad   float64
}

// Share is the fraction of bad requests; 0 when there were none.
func (c Counts) Share() float64 {
	if c.Total <= 0 {
		return 0
	}
	return min(1, c.Bad/c.Total)
}

// Coverage is the known fraction of the span.
func (c Counts) Coverage() float64 {
	if c.Span <= 0 {
		return 0
	}
	return min(1, float64(c.Known)/float64(c.Span))
}

// Distribution is how long requests took: Buckets has one more entry than Bounds, which are in seconds.
type Distribution struct {
	Bounds  []float64
	Buckets []float64
}

// Total is the number of requests in it.
func (d Distribution) Total() (n float64) {
	for _, b := range d.Buckets {
		n += b
	}
	return n
}

// Quantile gives the latency in seconds below which a share q of the requests lies, interpolated within its bucket, as
// histogram_quantile of Prometheus does; it is right to within that bucket. A quantile in the last bucket, which has no
// upper bound, is given as that bucket's lower bound with open set. ok is false when there are no requests.
func (d Distribution) Quantile(q float64) (seconds float64, open, ok bool) {
	total := d.Total()
	if total <= 0 || len(d.Buckets) != len(d.Bounds)+1 || len(d.Bounds) == 0 {
		return 0, false, false
	}
	rank, below := q*total, 0.0
	for i, n := range d.Buckets[:len(d.Bounds)] {
		if below+n >= rank && n > 0 {
			lower := 0.0
			if i > 0 {
				lower = d.Bounds[i-1]
			}
			return lower + (d.Bounds[i]-lower)*(rank-below)/n, false, true
		}
		below += n
	}
	return d.Bounds[len(d.Bounds)-1], true, true
}

// nearest gives the bucket bound that is closest to a threshold, by ratio: requests are only counted at bounds, and a
// share at a bound is exact where one between two would be made up.
func nearest(bounds []float64, threshold float64) (i int) {
	for n, b := range bounds {
		if b > 0 && ratio(b, threshold) < ratio(bounds[i], threshold) {
			i = n
		}
	}
	return i
}

func ratio(a, b float64) float64 {
	switch {
	case a <= 0 || b <= 0:
		return 1e300
	case a > b:
		return a / b
	}
	return b / a
}

// cell is one minute, hour or day of a stream. A cell that nothing is known of has Known 0.
type cell struct {
	index   int64     // which minute, hour or day since 1970
	known   float32   // minutes
	total   float64   // requests
	errors  float64   // of them
	bounds  []float64 // shared between cells; nil where latency is not measured
	buckets []float32
	codes   map[string]float64 // of hours and days only
}

// bad gives the requests that a kind of objective counts, and those that are bad. measured is false when the cell says
// nothing about it.
func (c *cell) bad(kind Kind, threshold float64) (total, bad float64, measured bool) {
	if kind == Availability {
		return c.total, min(c.errors, c.total), true
	}
	if len(c.bounds) == 0 || len(c.buckets) != len(c.bounds)+1 {
		return 0, 0, c.total == 0 // idle is known to have no slow request
	}
	at := nearest(c.bounds, threshold)
	for i, n := range c.buckets {
		total += float64(n)
		if i > at {
			bad += float64(n)
		}
	}
	return total, bad, true
}

// add adds another count of the same stream. Buckets of other bounds are never added: those of the larger count stay.
func (c *cell) add(o *cell) {
	c.known += o.known
	switch {
	case len(o.buckets) == 0:
	case len(c.buckets) == 0 || !slices.Equal(c.bounds, o.bounds) && o.total > c.total:
		c.bounds, c.buckets = o.bounds, slices.Clone(o.buckets)
	case slices.Equal(c.bounds, o.bounds):
		for i, n := range o.buckets {
			c.buckets[i] += n
		}
	}
	c.total += o.total
	c.errors += o.errors
	for code, n := range o.codes {
		if c.codes == nil {
			c.codes = map[string]float64{}
		}
		if _, has := c.codes[code]; has || len(c.codes) < maxCodes {
			c.codes[code] += n
		}
	}
}

// maxCodes bounds what a cell keeps of a client that invents status codes.
const maxCodes = 24

// ring keeps the newest cells of one unit. An index has one place in it, so that a late minute finds its own.
type ring struct {
	unit  time.Duration
	cells []cell
}

func newRing(unit time.Duration, n int) ring { return ring{unit, make([]cell, n)} }

// index gives which cell a time falls into.
func (r *ring) index(at time.Time) int64 { return at.Unix() / int64(r.unit/time.Second) }

// at gives a cell, nil when nothing is known of it.
func (r *ring) at(i int64) *cell {
	if i < 0 {
		return nil
	}
	c := &r.cells[i%int64(len(r.cells))]
	if c.index != i || c.known == 0 {
		return nil
	}
	return c
}

// claim gives the cell of an index, emptied when it held an older one; nil when the ring has moved past it.
func (r *ring) claim(i int64) *cell {
	if i < 0 {
		return nil
	}
	c := &r.cells[i%int64(len(r.cells))]
	switch {
	case c.index > i:
		return nil
	case c.index < i:
		*c = cell{index: i}
	}
	return c
}

// grow gives the ring room for n cells.
func (r *ring) grow(n int) {
	if n <= len(r.cells) {
		return
	}
	old := r.cells
	r.cells = make([]cell, n)
	for _, c := range old {
		if c.known > 0 {
			r.cells[c.index%int64(n)] = c
		}
	}
}

// sum adds the cells from (included) to to (excluded).
func (r *ring) sum(from, to int64, kind Kind, threshold float64) Counts {
	out := Counts{Span: time.Duration(to-from) * r.unit}
	for i := max(from, to-int64(len(r.cells))); i < to; i++ {
		c := r.at(i)
		if c == nil {
			continue
		}
		total, bad, measured := c.bad(kind, threshold)
		if !measured {
			continue
		}
		out.Known += time.Duration(float64(c.known) * float64(time.Minute))
		out.Total += total
		out.Bad += bad
	}
	return out
}

// whole adds the cells from (included) to to (excluded) with all that they hold.
func (r *ring) whole(from, to int64) cell {
	var out cell
	for i := max(from, to-int64(len(r.cells))); i < to; i++ {
		if c := r.at(i); c != nil {
			out.add(c)
		}
	}
	return out
}

// How much is kept of a stream: of one with an objective six hours and a bit by the minute, of others the hour that
// charts and "an hour ago" show; 100 hours, which hold the three days of the slowest burn; 40 days.
const (
	minutesKept  = 75
	minutesBurn  = 6*60 + 10
	hoursKept    = 100
	daysKept     = 40
	minutesOfDay = 24 * 60
)

// stream is one source of counts: an entity as one layer sees it, by route.
type stream struct {
	key     streamKey
	minutes ring
	hours   ring
	days    ring
	newest  int64          // minute
	dirty   map[int64]bool // hours that are not stored yet
	version uint64         // rises with each count
	lit     map[promised]lit
}

// promised is what the alert of an objective depends on beside the counts.
type promised struct {
	kind      Kind
	target    float64
	threshold time.Duration
}

// lit is the alert of an objective at an end of its windows: it changes with the counts and with the minute, and is
// asked for far more often.
type lit struct {
	end     int64
	version uint64
	tier    Tier
	burns   bool
}

func newStream(k streamKey) *stream {
	return &stream{
		key: k, minutes: newRing(time.Minute, minutesKept), hours: newRing(time.Hour, hoursKept), days: newRing(24*time.Hour, daysKept),
		dirty: map[int64]bool{}, lit: map[promised]lit{},
	}
}

// minute takes one whole minute. One that is known already, or older than what is kept, changes nothing.
func (s *stream) minute(c cell) {
	codes := c.codes
	c.codes = nil
	slot := s.minutes.claim(c.index)
	if slot == nil || slot.known > 0 {
		return
	}
	c.known = 1
	s.version++
	*slot = c
	s.newest = max(s.newest, c.index)
	c.codes = codes
	at := time.Unix(c.index*60, 0)
	if hour := s.hours.claim(s.hours.index(at)); hour != nil && hour.known < 60 {
		hour.add(&c)
		s.dirty[hour.index] = true
	}
	if day := s.days.claim(s.days.index(at)); day != nil && day.known < minutesOfDay {
		day.add(&c)
	}
}

// hour takes one whole hour of the past. It replaces what is known of less of it.
func (s *stream) hour(c cell) {
	slot := s.hours.claim(c.index)
	if slot == nil || slot.known >= c.known {
		return
	}
	s.version++
	day := s.days.claim(s.days.index(time.Unix(c.index*3600, 0)))
	if day != nil && day.known+c.known-slot.known <= minutesOfDay {
		if slot.known > 0 {
			day.subtract(slot)
		}
		day.add(&c)
	}
	*slot = c
	slot.buckets, slot.codes = slices.Clone(c.buckets), cloneCodes(c.codes)
	s.dirty[c.index] = true
}

// day takes one whole day of the past. It replaces what is known of less of it.
func (s *stream) day(c cell) {
	slot := s.days.claim(c.index)
	if slot == nil || slot.known >= c.known {
		return
	}
	s.version++
	*slot = c
	s.dirty[c.index*24] = true // the day is stored when one of its hours is
}

func (c *cell) subtract(o *cell) {
	c.known -= o.known
	c.total = max(0, c.total-o.total)
	c.errors = max(0, c.errors-o.errors)
	if slices.Equal(c.bounds, o.bounds) && len(c.buckets) == len(o.buckets) {
		for i, n := range o.buckets {
			c.buckets[i] = max(0, c.buckets[i]-n)
		}
	}
	for code, n := range o.codes {
		if _, has := c.codes[code]; has {
			c.codes[code] = max(0, c.codes[code]-n)
		}
	}
}

func cloneCodes(m map[string]float64) map[string]float64 {
	if m == nil {
		return nil
	}
	out := make(map[string]float64, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// lag is by how many minutes counts may trail the clock before the newest minutes count as unknown.
const lag = 3

// end gives the minute (excluded) at which windows end: the newest known one, when it is about now.
func (s *stream) end(now time.Time) int64 {
	e := s.minutes.index(now)
	if s.newest < e && e-s.newest <= lag+1 {
		e = s.newest + 1
	}
	return e
}

// window counts the last d. Up to six hours are counted by the minute, up to four days by the hour, longer by the day
// (UTC): the far edge of a long window moves in steps of that. Where more is known by the hour than by the minute, as
// after a restart, hours count.
func (s *stream) window(now time.Time, d time.Duration, kind Kind, threshold float64) Counts {
	end := s.end(now)
	last := time.Unix(max(0, end-1)*60, 0)
	byHour := func() Counts {
		h := s.hours.index(last) + 1
		c := s.hours.sum(h-int64(d/time.Hour), h, kind, threshold)
		c.Span = d
		return c
	}
	switch {
	case d <= 6*time.Hour:
		c := s.minutes.sum(end-int64(d/time.Minute), end, kind, threshold)
		if d >= 2*time.Hour {
			if h := byHour(); h.Known > c.Known {
				return h
			}
		}
		return c
	case d <= 4*24*time.Hour:
		return byHour()
	}
	day := s.days.index(last) + 1
	c := s.days.sum(day-int64((d+24*time.Hour-1)/(24*time.Hour)), day, kind, threshold)
	c.Span = d
	return c
}
