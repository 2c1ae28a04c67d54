package slo

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Status is how an objective stands.
type Status struct {
	Objective  Objective
	Measured   bool // something counts its requests; without it all below is unknown
	At         time.Time
	Budget     Budget
	Burns      []Burn // over each of Windows
	Alert      *Tier  // the fastest that burns; nil when none does
	Latency    Distribution
	Codes      map[string]float64 // requests of the last day by status code
	Forecast   Forecast
	MeasuredAt time.Duration // of Latency: the bucket bound that stands for the threshold
}

// SLI is the share of good requests over the window; ok is false when nothing is known.
func (s Status) SLI() (share float64, ok bool) {
	return 1 - s.Budget.Counts.Share(), s.Measured && s.Budget.Counts.Known > 0
}

// Status gives how an objective stands at a time.
func (t *Tracker) Status(now time.Time, o Objective) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status(now, o)
}

func (t *Tracker) status(now time.Time, o Objective) Status {
	out := Status{Objective: o}
	c := t.clusters[o.Entity.Cluster]
	if c == nil {
		return out
	}
	s := c.streams[streamKey{o.Entity, o.Layer, o.Route}]
	if s == nil {
		return out
	}
	out.Measured = true
	out.At = time.Unix((s.newest+1)*60, 0).UTC()
	out.Budget = s.budget(now, o)
	for _, w := range Windows {
		out.Burns = append(out.Burns, s.burn(now, o, w))
	}
	if tier, burns := s.alight(now, o); burns {
		out.Alert = &tier
	}
	h := s.hours.index(now) + 1
	day := s.hours.whole(h-24, h)
	out.Codes, out.Latency = day.codes, day.distribution()
	out.Forecast = s.forecast(now, o, out.Budget)
	if o.Kind == Latency {
		out.MeasuredAt = time.Duration(s.measuredAt(o) * float64(time.Second))
	}
	return out
}

func (c *cell) distribution() Distribution {
	d := Distribution{Bounds: c.bounds}
	for _, n := range c.buckets {
		d.Buckets = append(d.Buckets, float64(n))
	}
	return d
}

// List gives how every objective of a cluster stands, the one that burns fastest first, then by what is left.
func (t *Tracker) List(now time.Time, id string) []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Status
	for _, o := range t.objectives(id) {
		out = append(out, t.status(now, o))
	}
	urgency := func(s Status) float64 {
		switch {
		case s.Alert != nil:
			return 1000 + s.Alert.Rate
		case !s.Measured:
			return -1
		}
		return min(999, s.Budget.Spent)
	}
	slices.SortStableFunc(out, func(a, b Status) int { return cmp.Compare(urgency(b), urgency(a)) })
	return out
}

// Signals are the golden signals of one stream over a time: traffic, errors, latency. What is not known is in none.
type Signals struct {
	Layer   string
	Route   string
	Counts  Counts
	Latency Distribution
}

// Rate is requests a second over what is known.
func (s Signals) Rate() float64 {
	if s.Counts.Known <= 0 {
		return 0
	}
	return s.Counts.Total / s.Counts.Known.Seconds()
}

// Signals gives what each layer and route counted of an entity from a time on, by the minute. More than an hour back
// only entities with an objective are known by the minute.
func (t *Tracker) Signals(ref entity.Ref, from time.Time, d time.Duration) []Signals {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clusters[ref.Cluster]
	if c == nil {
		return nil
	}
	var out []Signals
	for _, k := range slices.SortedFunc(maps.Keys(c.streams), compareStreams) {
		if k.entity != ref {
			continue
		}
		s := c.streams[k]
		i := s.minutes.index(from)
		to := i + int64(d/time.Minute)
		out = append(out, Signals{k.layer, k.route, s.minutes.sum(i, to, Availability, 0), new(s.minutes.whole(i, to)).distribution()})
	}
	return out
}

// Newest gives the end of the newest minute that is known of an entity, zero when none is.
func (t *Tracker) Newest(ref entity.Ref) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var newest int64
	if c := t.clusters[ref.Cluster]; c != nil {
		for k, s := range c.streams {
			if k.entity == ref {
				newest = max(newest, s.newest)
			}
		}
	}
	if newest == 0 {
		return time.Time{}
	}
	return time.Unix((newest+1)*60, 0).UTC()
}

// Course gives the share of bad requests of an objective in each known minute from a time on: what a chart shows.
func (t *Tracker) Course(o Objective, from, to time.Time) (at []time.Time, share []float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clusters[o.Entity.Cluster]
	if c == nil {
		return nil, nil
	}
	s := c.streams[streamKey{o.Entity, o.Layer, o.Route}]
	if s == nil {
		return nil, nil
	}
	for i := s.minutes.index(from); i < s.minutes.index(to); i++ {
		x := s.minutes.at(i)
		if x == nil {
			continue
		}
		total, bad, ok := x.bad(o.Kind, o.Threshold.Seconds())
		if !ok || total == 0 {
			continue
		}
		at, share = append(at, time.Unix(i*60, 0).UTC()), append(share, bad/total)
	}
	return at, share
}

// BurnOf is the fastest rate at which a budget of an entity is spent, as seen over the shortest window; false when it has
// no objective or nothing is known of the window.
func (t *Tracker) BurnOf(now time.Time, ref entity.Ref) (rate float64, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clusters[ref.Cluster]
	if c == nil {
		return 0, false
	}
	for _, o := range t.objectives(ref.Cluster) {
		s := c.streams[streamKey{o.Entity, o.Layer, o.Route}]
		if o.Entity != ref || s == nil {
			continue
		}
		if b := s.burn(now, o, Windows[0]); b.Known() {
			rate, known = max(rate, b.Rate), true
		}
	}
	return rate, known
}

// Toll is what an outage costs: of the objectives of some entities the one whose budget lost the largest part since a
// time. text is for the card, such as "budget burning 22×" while it burns and "2.1 % of checkout's 30 d budget spent" after;
// empty when no objective has lost anything that counts.
func (t *Tracker) Toll(now, since time.Time, refs []entity.Ref) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var best, share float64
	var whose string
	for _, ref := range refs {
		c := t.clusters[ref.Cluster]
		if c == nil {
			continue
		}
		for _, o := range t.objectives(ref.Cluster) {
			s := c.streams[streamKey{o.Entity, o.Layer, o.Route}]
			if o.Entity != ref || s == nil {
				continue
			}
			if five := s.burn(now, o, tiers[0].Short); five.Rate >= 1 { // else a long window still remembers what is over
				if _, burns := s.alight(now, o); burns {
					best = max(best, five.Rate)
				}
			}
			from, to := s.minutes.index(since), s.end(now)
			lost := s.minutes.sum(from, to, o.Kind, o.Threshold.Seconds())
			if lost.Bad < leastBad {
				continue
			}
			if spent := s.spent(now, o, lost.Bad); spent > share {
				share, whose = spent, o.Entity.Name+"'s "+Span(o.Window)
			}
		}
	}
	spent := ""
	if share >= 0.001 {
		spent = fmt.Sprintf("%s of %s budget spent", percent100(share), whose)
	}
	switch {
	case best > 0 && spent != "":
		return "budget burning " + Times(best) + ", " + spent
	case best > 0:
		return "budget burning " + Times(best)
	}
	return spent
}
