// Package history remembers how every metric went: one hour by the minute, and the median of each hour of the last
// week. Charts, "an hour ago" and the question whether a level is usual at this hour read it. Everything is keyed by
// cluster; what was not measured is unknown, never zero.
//
// State is in flat arrays, about 240 bytes a series for its hour and 670 more for its week. Only what lives for weeks
// has a week: a pod has an hour.
package history

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

const (
	minutes = 60
	hours   = 7 * 24
)

// unknown is what a minute or an hour holds that nobody measured.
var unknown = float32(math.NaN())

func isKnown(x float32) bool { return x == x }

// Config of a Recorder. Zero fields take the defaults.
type Config struct {
	MaxSeries int           // a cluster; what comes beyond is not remembered; default 60,000
	Expire    time.Duration // a series of a pod without samples is dropped; default 2 h
	ExpireAll time.Duration // any other; default 8 d
}

func (c *Config) defaults() {
	c.MaxSeries = cmp.Or(c.MaxSeries, 60_000)
	c.Expire = cmp.Or(c.Expire, 2*time.Hour)
	c.ExpireAll = cmp.Or(c.ExpireAll, 8*24*time.Hour)
}

// Recorder remembers. It is safe for concurrent use.
type Recorder struct {
	cfg Config

	mu       sync.Mutex // guards clusters and what is in them
	clusters map[string]*cluster
}

// New makes a recorder that remembers nothing.
func New(cfg Config) *Recorder {
	cfg.defaults()
	return &Recorder{cfg: cfg, clusters: map[string]*cluster{}}
}

// subject is an entity with what is measured of it.
type subject struct {
	ref     entity.Ref
	metrics []measured
}

type measured struct {
	metric string
	id     int32
}

func (s *subject) find(metric string) (int32, bool) {
	for _, m := range s.metrics {
		if m.metric == metric {
			return m.id, true
		}
	}
	return 0, false
}

type cluster struct {
	subjects map[entity.Ref]*subject
	last     *subject // samples come grouped by entity
	count    int      // of series

	series []series
	hour   []float32 // minutes of each series
	week   []float32 // hours of those that have a week
	spare  []int32
	weeks  []int32 // spare slots of week
}

// series is the bookkeeping of one metric of one entity. Its minutes are hour[60·id:], each at its minute modulo 60.
type series struct {
	kind   string
	minute int64   // newest minute, since 1970; 0: nothing yet
	sum    float64 // of the newest minute's samples so far
	weight float64
	whole  bool  // the newest minute was given as a whole
	week   int32 // slot in week; −1 for none
	newest int64 // newest hour that stands in week
}

func newCluster() *cluster { return &cluster{subjects: map[entity.Ref]*subject{}} }

func (r *Recorder) cluster(id string) *cluster {
	c := r.clusters[id]
	if c == nil {
		c = newCluster()
		r.clusters[strings.Clone(id)] = c
	}
	return c
}

// Observe takes one sample of a metric. count is how many requests are behind it, which weighs it within its minute; 0
// where that has no meaning.
func (r *Recorder) Observe(at time.Time, ref entity.Ref, metric string, value, count float64) {
	r.take(at, ref, metric, value, max(count, 0), false)
}

// Minute takes the mean of a whole minute, which replaces what Observe made of it. A minute of up to an hour ago finds
// its place.
func (r *Recorder) Minute(start time.Time, ref entity.Ref, metric string, value float64) {
	r.take(start, ref, metric, value, 1, true)
}

func (r *Recorder) take(at time.Time, ref entity.Ref, metric string, value, weight float64, whole bool) {
	if at.Unix() <= 0 || math.IsNaN(value) || math.Abs(value) > 1e30 || math.IsNaN(weight) || math.IsInf(weight, 0) || ref.Name == "" || metric == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.cluster(ref.Cluster)
	id, ok := c.intern(ref, metric, r.cfg.MaxSeries)
	if !ok {
		return
	}
	c.observe(id, at.Unix()/60, value, cmp.Or(weight, 1), whole)
}

// intern gives the series of a metric, made when it is new; ok is false when there are too many.
func (c *cluster) intern(ref entity.Ref, metric string, most int) (id int32, ok bool) {
	x := c.last
	if x == nil || x.ref != ref {
		x = c.subjects[ref]
	}
	if x != nil {
		c.last = x
		if id, ok = x.find(metric); ok {
			return id, true
		}
	}
	if c.count >= most {
		return 0, false
	}
	if x == nil {
		x = &subject{ref: entity.Ref{ // cloned: the strings of a report would keep the whole of it alive
			Cluster: strings.Clone(ref.Cluster), Kind: strings.Clone(ref.Kind), Namespace: strings.Clone(ref.Namespace), Name: strings.Clone(ref.Name),
		}}
		c.subjects[x.ref] = x
		c.last = x
	}
	if n := len(c.spare); n > 0 {
		id, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		id = int32(len(c.series))
		c.series = append(c.series, series{})
		c.hour = append(c.hour, make([]float32, minutes)...)
	}
	c.series[id] = series{kind: x.ref.Kind, week: -1}
	for i := range c.minutes(id) {
		c.minutes(id)[i] = unknown
	}
	x.metrics = append(x.metrics, measured{strings.Clone(metric), id})
	c.count++
	return id, true
}

func (c *cluster) minutes(id int32) []float32 { return c.hour[int(id)*minutes : (int(id)+1)*minutes] }

func (c *cluster) hours(s *series) []float32 {
	if s.week < 0 {
		return nil
	}
	return c.week[int(s.week)*hours : (int(s.week)+1)*hours]
}

func (c *cluster) observe(id int32, minute int64, value, weight float64, whole bool) {
	s := &c.series[id]
	switch {
	case s.minute == 0 || minute > s.minute:
		c.advance(id, minute)
		s.sum, s.weight, s.whole = 0, 0, false
	case minute < s.minute:
		if whole && minute > s.minute-minutes {
			c.minutes(id)[minute%minutes] = float32(value)
		}
		return
	case s.whole:
		return
	}
	if whole {
		s.sum, s.weight, s.whole = value, 1, true
	} else {
		s.sum += value * weight
		s.weight += weight
	}
	c.minutes(id)[minute%minutes] = float32(s.sum / s.weight)
}

// advance moves a series on to a minute. Minutes that were skipped are unknown; an hour that ends leaves its median.
func (c *cluster) advance(id int32, minute int64) {
	s := &c.series[id]
	m := c.minutes(id)
	if s.minute != 0 && minute/60 != s.minute/60 {
		c.keep(s, m)
	}
	from := max(0, s.minute+1, minute-minutes+1)
	for i := from; i <= minute; i++ {
		m[i%minutes] = unknown
	}
	s.minute = minute
}

// leastOfHour is how many minutes an hour must have to have a median.
const leastOfHour = 5

// keep writes the median of the hour of the newest minute into the week.
func (c *cluster) keep(s *series, m []float32) {
	if s.kind == entity.Pod {
		return
	}
	var known [minutes]float32
	n := 0
	for i := s.minute - s.minute%60; i <= s.minute; i++ {
		if x := m[i%minutes]; isKnown(x) {
			known[n] = x
			n++
		}
	}
	if n < leastOfHour {
		return
	}
	slices.Sort(known[:n])
	median := known[n/2]
	if n%2 == 0 {
		median = (known[n/2-1] + known[n/2]) / 2
	}
	c.keepHour(s, s.minute/60, median)
}

func (c *cluster) keepHour(s *series, hour int64, median float32) {
	if s.week < 0 {
		if n := len(c.weeks); n > 0 {
			s.week, c.weeks = c.weeks[n-1], c.weeks[:n-1]
		} else {
			s.week = int32(len(c.week) / hours)
			c.week = append(c.week, make([]float32, hours)...)
		}
		for i := range c.hours(s) {
			c.hours(s)[i] = unknown
		}
		s.newest = hour
	}
	w := c.hours(s)
	for i := max(0, s.newest+1, hour-hours+1); i < hour; i++ {
		w[i%hours] = unknown
	}
	s.newest = max(s.newest, hour)
	w[hour%hours] = median
}

// Point is the value of a metric in the minute or the hour that begins at At.
type Point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

func (r *Recorder) find(ref entity.Ref, metric string) (*cluster, int32, bool) {
	c := r.clusters[ref.Cluster]
	if c == nil {
		return nil, 0, false
	}
	x := c.subjects[ref]
	if x == nil {
		return nil, 0, false
	}
	id, ok := x.find(metric)
	return c, id, ok
}

// Minutes gives the known minutes that begin within [from, to), of the last hour, oldest first. The running minute is
// the mean of what came so far.
func (r *Recorder) Minutes(ref entity.Ref, metric string, from, to time.Time) []Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, id, ok := r.find(ref, metric)
	if !ok {
		return nil
	}
	s, m := &c.series[id], c.minutes(id)
	var out []Point
	for i := max(0, ceil(from, 60), s.minute-minutes+1); i <= s.minute && time.Unix(i*60, 0).Before(to); i++ {
		if x := m[i%minutes]; isKnown(x) {
			out = append(out, Point{time.Unix(i*60, 0).UTC(), float64(x)})
		}
	}
	return out
}

// ceil is the first unit, of so many seconds, that begins at or after a time.
func ceil(at time.Time, unit int64) int64 {
	n := at.Unix() / unit
	if at.After(time.Unix(n*unit, 0)) {
		n++
	}
	return n
}

// Hours gives the medians of the known hours that begin within [from, to), of the last week, oldest first. The running
// hour is not in it.
func (r *Recorder) Hours(ref entity.Ref, metric string, from, to time.Time) []Point {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, id, ok := r.find(ref, metric)
	if !ok {
		return nil
	}
	s := &c.series[id]
	w := c.hours(s)
	var out []Point
	for i := max(0, ceil(from, 3600), s.newest-hours+1); w != nil && i <= s.newest && time.Unix(i*3600, 0).Before(to); i++ {
		if x := w[i%hours]; isKnown(x) {
			out = append(out, Point{time.Unix(i*3600, 0).UTC(), float64(x)})
		}
	}
	return out
}

// Ago gives what a metric was some time before now: up to an hour the mean of the five minutes around then, up to a
// week the median of its hour. ok is false when that is not known.
func (r *Recorder) Ago(ref entity.Ref, metric string, now time.Time, ago time.Duration) (value float64, ok bool) {
	then := now.Add(-ago)
	if ago <= time.Hour {
		// The oldest minutes of the ring are those of an hour ago.
		ps := r.Minutes(ref, metric, then.Add(-3*time.Minute), then.Add(5*time.Minute))
		var sum float64
		for _, p := range ps {
			sum += p.Value
		}
		if len(ps) > 0 {
			return sum / float64(len(ps)), true
		}
		if ago < time.Hour {
			return 0, false
		}
	}
	hour := then.Truncate(time.Hour)
	if ps := r.Hours(ref, metric, hour, hour.Add(time.Hour)); len(ps) == 1 {
		return ps[0].Value, true
	}
	return 0, false
}

// leastDays is of how many earlier days the same hour must be known to call a level usual. Two days may both have been
// bad.
const leastDays = 3

// Usual gives the median of a metric at this hour of the last six days. ok is false when fewer than three are known.
func (r *Recorder) Usual(ref entity.Ref, metric string, now time.Time) (value float64, ok bool) {
	var found []float64
	hour := now.Truncate(time.Hour)
	for d := 1; d <= 6; d++ {
		at := hour.Add(-time.Duration(d) * 24 * time.Hour)
		if ps := r.Hours(ref, metric, at, at.Add(time.Hour)); len(ps) == 1 {
			found = append(found, ps[0].Value)
		}
	}
	if len(found) < leastDays {
		return 0, false
	}
	slices.Sort(found)
	if n := len(found); n%2 == 0 {
		return (found[n/2-1] + found[n/2]) / 2, true
	}
	return found[len(found)/2], true
}

// Metrics lists the metrics of an entity that are remembered, sorted.
func (r *Recorder) Metrics(ref entity.Ref) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clusters[ref.Cluster]
	if c == nil {
		return nil
	}
	var out []string
	if x := c.subjects[ref]; x != nil {
		for _, m := range x.metrics {
			out = append(out, m.metric)
		}
	}
	slices.Sort(out)
	return out
}

// Expire drops what has had no samples for long. It is called now and then.
func (r *Recorder) Expire(now time.Time, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clusters[id]
	if c == nil {
		return
	}
	for ref, x := range c.subjects {
		keep := r.cfg.ExpireAll
		if ref.Kind == entity.Pod {
			keep = r.cfg.Expire
		}
		x.metrics = slices.DeleteFunc(x.metrics, func(m measured) bool {
			old := now.Sub(time.Unix(c.series[m.id].minute*60, 0)) > keep
			if old {
				c.drop(m.id)
			}
			return old
		})
		if len(x.metrics) == 0 {
			delete(c.subjects, ref)
			c.last = nil
		}
	}
}

func (c *cluster) drop(id int32) {
	if w := c.series[id].week; w >= 0 {
		c.weeks = append(c.weeks, w)
	}
	c.series[id] = series{week: -1}
	c.spare = append(c.spare, id)
	c.count--
}

// ForgetCluster drops a cluster that was removed.
func (r *Recorder) ForgetCluster(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.clusters, id)
}
