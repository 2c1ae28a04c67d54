// Package concentrator makes whole minutes of telemetry frames, and keeps those that the engine has not acknowledged for
// an hour, so that a lost link loses none of them.
//
// It is a ring of 60 minutes with one column a series. A minute is open until it is over and a small grace has passed;
// then it is closed, sent, and forgotten once acknowledged. What comes late for a closed minute is dropped, since it may
// have been sent. Minutes come out in the order of time, and none comes out again after it was acknowledged: not after a
// lost link, and not after the clock was set back.
package concentrator

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// Kept is how many minutes are kept.
const Kept = 60

const (
	minute = int64(60)
	hour   = Kept * minute
)

// Config bounds a Concentrator.
type Config struct {
	// Grace is how long after its end a minute still takes samples; it should be longer than a tick and than a store needs
	// until it has what happened. Default 30 s.
	Grace time.Duration
	// MaxSeries is how many series a minute has at most; 24 bytes each. Default 20,000.
	MaxSeries int
	// MaxCounts is how many counts of requests a minute has at most. Default 5,000.
	MaxCounts int
}

// Stats counts what was left out since the start.
type Stats struct {
	Late    uint64 // samples of a minute that was closed, or far from the clock
	Excess  uint64 // samples and counts beyond the bounds
	Evicted uint64 // minutes that were an hour old and never acknowledged
}

// Concentrator is described by the package. Its methods may be called by any goroutine.
type Concentrator struct {
	cfg Config

	mu     sync.Mutex // guards all below
	ids    map[series]uint32
	names  []series
	ring   [Kept]slot
	closed int64 // minutes that began before this, in Unix seconds, are closed; 0 before the first sample
	stats  Stats
}

type series struct{ kind, namespace, name, metric string }

// slot is one minute. A slot whose start is 0 is free.
type slot struct {
	start  int64
	cells  []cell // by series
	counts []*report.RequestCount
}

// cell is what one series did in one minute. The weight of a sample is the number of requests behind it, where it has one.
type cell struct {
	sum, weight float64
	samples     uint32
	counted     uint32 // samples that have requests behind them
}

// New makes one.
func New(cfg Config) *Concentrator {
	cfg.Grace = cmp.Or(cfg.Grace, 30*time.Second)
	cfg.MaxSeries = cmp.Or(cfg.MaxSeries, 20_000)
	cfg.MaxCounts = cmp.Or(cfg.MaxCounts, 5_000)
	return &Concentrator{cfg: cfg, ids: map[series]uint32{}}
}

// Add takes the samples of a frame. now is the agent's clock; a frame without a time is of now.
func (c *Concentrator) Add(f *report.TelemetryFrame, now time.Time) {
	at := now
	if f.GetTime() != nil {
		at = f.GetTime().AsTime()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.follow(now)
	start := at.Unix() - mod(at.Unix(), minute)
	if at.Sub(now).Abs() > time.Minute+c.cfg.Grace || start < c.closed {
		c.stats.Late += uint64(len(f.GetSamples()))
		return
	}
	if c.closed == 0 {
		c.closed = start
	}
	s := c.at(start)
	// The requests of a sample are those of its window: of a minute there are as many times more as windows fit.
	scale := 1.
	if w := f.GetWindow().AsDuration(); w > 0 {
		scale = time.Minute.Seconds() / w.Seconds()
	}
	for _, x := range f.GetSamples() {
		if math.IsNaN(x.GetValue()) || math.IsInf(x.GetValue(), 0) {
			continue
		}
		id, ok := c.id(series{x.GetEntity().GetKind(), x.GetEntity().GetNamespace(), x.GetEntity().GetName(), x.GetMetric()})
		if !ok {
			c.stats.Excess++
			continue
		}
		if int(id) >= len(s.cells) {
			s.cells = append(s.cells, make([]cell, int(id)+1-len(s.cells))...)
		}
		cell := &s.cells[id]
		weight := 1.
		if n := x.GetCount() * scale; n > 0 && !math.IsInf(n, 0) {
			weight = n
			cell.counted++
		}
		cell.sum += x.GetValue() * weight
		cell.weight += weight
		cell.samples++
	}
}

// follow keeps up with a clock that was set. After a step back of more than the ring is long, what was kept has times
// that do not exist yet: it is forgotten, and the minutes begin anew. After a smaller one nothing is taken until the
// clock has come as far again, so that no minute is sent twice.
func (c *Concentrator) follow(now time.Time) {
	if c.closed-now.Unix() <= hour {
		return
	}
	for i := range c.ring {
		c.ring[i] = slot{}
	}
	c.closed = 0
}

// at gives the slot of an open minute, and evicts the one an hour before it.
func (c *Concentrator) at(start int64) *slot {
	s := &c.ring[mod(start/minute, Kept)]
	if s.start != start {
		if s.start != 0 {
			c.stats.Evicted++
		}
		*s = slot{start: start}
	}
	return s
}

func mod(a, b int64) int64 { return (a%b + b) % b }

// id gives a series its column, and when there are too many makes room by leaving out those that no kept minute has.
func (c *Concentrator) id(key series) (uint32, bool) {
	if id, ok := c.ids[key]; ok {
		return id, true
	}
	if len(c.names) >= c.cfg.MaxSeries && !c.compact() {
		return 0, false
	}
	id := uint32(len(c.names))
	c.names = append(c.names, key)
	c.ids[key] = id
	return id, true
}

func (c *Concentrator) compact() bool {
	used := make([]bool, len(c.names))
	for _, s := range c.ring {
		for id, x := range s.cells {
			used[id] = used[id] || x.samples > 0
		}
	}
	moved := make([]uint32, len(c.names))
	kept := c.names[:0]
	for id, key := range c.names {
		if !used[id] {
			delete(c.ids, key)
			continue
		}
		moved[id] = uint32(len(kept))
		c.ids[key] = moved[id]
		kept = append(kept, key)
	}
	if len(kept) == len(used) {
		return false
	}
	clear(c.names[len(kept):])
	c.names = kept
	for i := range c.ring {
		s := &c.ring[i]
		for id, x := range s.cells {
			if x.samples > 0 && moved[id] != uint32(id) { // a column only moves to the left
				s.cells[moved[id]], s.cells[id] = x, cell{}
			}
		}
		if len(s.cells) > len(kept) {
			s.cells = s.cells[:len(kept)]
		}
	}
	return true
}

// Due gives the span of whole minutes that are over and not closed yet; false when there is none. It is never longer
// than what is kept.
func (c *Concentrator) Due(now time.Time) (from, to time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.follow(now)
	end := now.Add(-c.cfg.Grace).Unix()
	end -= mod(end, minute)
	if c.closed == 0 || end <= c.closed {
		return time.Time{}, time.Time{}, false
	}
	return time.Unix(max(c.closed, end-hour), 0).UTC(), time.Unix(end, 0).UTC(), true
}

// Close closes the minutes that began before to, which is what Due gave, with the requests that were counted in them.
// A count whose start is in no such minute is dropped.
func (c *Concentrator) Close(to time.Time, counts []*report.RequestCount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.Unix() <= c.closed {
		return
	}
	from := max(c.closed, to.Unix()-hour)
	for _, x := range counts {
		at := x.GetStart().GetSeconds()
		start := at - mod(at, minute)
		if start < from || start >= to.Unix() {
			c.stats.Late++
			continue
		}
		s := c.at(start)
		if len(s.counts) >= c.cfg.MaxCounts {
			c.stats.Excess++
			continue
		}
		own := proto.CloneOf(x)
		own.Start, own.Span = nil, nil // they are the minute's own
		s.counts = append(s.counts, own)
	}
	c.closed = to.Unix()
}

// Pending gives the oldest closed minutes that were not acknowledged, oldest first: as many as fit into room bytes, at
// least one if there is any. A minute in which nothing was measured is left out.
func (c *Concentrator) Pending(room int) []*report.TelemetryMinute {
	c.mu.Lock()
	defer c.mu.Unlock()
	var waiting []*slot
	for i := range c.ring {
		if s := &c.ring[i]; s.start != 0 && s.start < c.closed && s.start >= c.closed-hour {
			waiting = append(waiting, s)
		}
	}
	slices.SortFunc(waiting, func(a, b *slot) int { return cmp.Compare(a.start, b.start) })
	var out []*report.TelemetryMinute
	for _, s := range waiting {
		m := c.minute(s)
		size := proto.Size(m)
		if len(out) > 0 && size > room {
			break
		}
		room -= size
		out = append(out, m)
	}
	return out
}

func (c *Concentrator) minute(s *slot) *report.TelemetryMinute {
	m := &report.TelemetryMinute{Start: timestamppb.New(time.Unix(s.start, 0)), Requests: s.counts}
	for id, x := range s.cells {
		if x.samples == 0 {
			continue
		}
		key := c.names[id]
		sample := &report.Sample{Entity: &report.EntityRef{Kind: key.kind, Namespace: key.namespace, Name: key.name}, Metric: key.metric, Value: x.sum / x.weight}
		if x.counted > 0 {
			sample.Count = x.weight / float64(x.samples)
		}
		m.Samples = append(m.Samples, sample)
	}
	return m
}

// Acknowledged forgets minutes that the engine has.
func (c *Concentrator) Acknowledged(minutes []*report.TelemetryMinute) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range minutes {
		start := m.GetStart().GetSeconds()
		if s := &c.ring[mod(start/minute, Kept)]; s.start == start {
			*s = slot{}
		}
	}
}

// Stats gives the counters.
func (c *Concentrator) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}
