package baseline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Config tells how normal is learned. Zero fields take the defaults. All are durations and not sample counts, so that
// another tick needs no other configuration.
type Config struct {
	TimeConstant  time.Duration // τ of α = 1 − exp(−Δt/τ); default 300 s, which is 0.033 at a tick of 10 s
	WarmUp        time.Duration // nothing but absolute limits is judged before; default 10 min
	WarmUpSamples int           // and not before so many samples; default 30
	Stale         time.Duration // without a sample for longer a series is unknown; default 90 s, three ticks of the slowest source
	Rebase        time.Duration // outside for so long without a fault becomes the new normal; default 60 min
	Relearn       time.Duration // a gap longer than this starts the series over; default 60 min
	Expire        time.Duration // a series without samples is dropped; default 24 h
	Usual         time.Duration // τ of the usual level, which a day's course makes; default 24 h
	Spacing       time.Duration // samples closer than this are of one frame; default 5 s, half of the tick
	CUSUMSlack    float64       // k, in deviations; default 0.5, which finds a shift of one deviation soonest
	CUSUMLimit    float64       // h, in deviations; default 8: one false alarm in about 19,000 samples of Gaussian noise
}

func (c *Config) defaults() {
	c.TimeConstant = cmp.Or(c.TimeConstant, 300*time.Second)
	c.WarmUp = cmp.Or(c.WarmUp, 10*time.Minute)
	c.WarmUpSamples = cmp.Or(c.WarmUpSamples, 30)
	c.Stale = cmp.Or(c.Stale, 90*time.Second)
	c.Rebase = cmp.Or(c.Rebase, time.Hour)
	c.Relearn = cmp.Or(c.Relearn, time.Hour)
	c.Expire = cmp.Or(c.Expire, 24*time.Hour)
	c.Usual = cmp.Or(c.Usual, 24*time.Hour)
	c.Spacing = cmp.Or(c.Spacing, 5*time.Second)
	c.CUSUMSlack = cmp.Or(c.CUSUMSlack, 0.5)
	c.CUSUMLimit = cmp.Or(c.CUSUMLimit, 8)
}

// Learner learns what is normal for each metric of each entity, cluster by cluster: clusters share no state and no
// lock, so what one reports never moves another. It is safe for concurrent use; the samples of one series must come
// from one goroutine at a time, since a sample that is not newer than the last is dropped.
//
// A sample x is judged by z = (x−μ)/max(s, floor) with the mean and deviation from before it. Beyond three deviations it
// updates nothing: an outlier that raised its own yardstick would hide itself (z could not pass 5.3 for a fault of any size).
// Otherwise μ += α·d and s² = (1−α)(s² + α·d²), but while the CUSUM is in alarm μ moves at a tenth of that and s rests,
// so that a ramp is not followed up the hill. A level that stays outside for an hour with no fault becomes
// normal, and Rebased tells so. The start of a deviation is found by CUSUM (Page 1954).
type Learner struct {
	cfg Config

	mu       sync.RWMutex // guards the map, not what is in it
	clusters map[string]*cluster
}

// New makes a learner that knows nothing.
func New(cfg Config) *Learner {
	cfg.defaults()
	return &Learner{cfg: cfg, clusters: map[string]*cluster{}}
}

// cluster is the state of one cluster, in flat arrays by interned ids.
type cluster struct {
	cfg *Config

	mu       sync.Mutex // guards all below
	ids      map[entity.Ref]int32
	entities []known
	series   []series
	counters []counter
	buffers  [][]float64
	specs    []Spec
	specIDs  map[specKey]uint16

	next  []int32 // by series + 1: the one after it in the last frame, + 1; a guess that is always compared
	names []name  // by series

	spare         []int32 // buffers that nobody holds
	spareSeries   []int32
	spareEntities []int32
	spareCounters []int32
	rebased       []Rebase
	course        course

	lastRef entity.Ref // samples come grouped by entity
	lastID  int32
	step    int64 // memo of alpha
	share   float64
	slow    float64 // the same for Config.Usual
}

type known struct {
	ref     entity.Ref
	metrics []metric
}

type metric struct {
	name   string
	series int32
}

// name is what a series is of, laid out to be compared with a sample.
type name struct{ metric, name, namespace, kind string }

type specKey struct {
	pod    bool
	metric string
}

func newCluster(cfg *Config) *cluster {
	return &cluster{cfg: cfg, ids: map[entity.Ref]int32{}, specIDs: map[specKey]uint16{}}
}

func (l *Learner) find(id string) *cluster {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.clusters[id]
}

func (l *Learner) join(id string) *cluster {
	if c := l.find(id); c != nil {
		return c
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clusters[id]
	if c == nil {
		c = newCluster(&l.cfg)
		l.clusters[strings.Clone(id)] = c
	}
	return c
}

// Observe learns one sample in constant time. value is in the metric's unit (ratios 0 to 1, seconds, per second); count
// is how many requests are behind it, 0 where that has no meaning. NaN, infinite, negative and absurd values are
// dropped, as is a sample that is not newer than the last of its series.
func (l *Learner) Observe(now time.Time, ref entity.Ref, metric string, value, count float64) {
	if !plausible(value) || metric == "" || ref.Name == "" {
		return
	}
	c := l.join(ref.Cluster)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(c.intern(ref, metric), now.UnixNano(), value, count)
}

// Learn learns the samples of one frame. It is Observe for each, at a fraction of the cost: agents send the same samples in the same
// order at every tick, so the series of the one after is guessed from the last frame, and only compared.
func (l *Learner) Learn(now time.Time, id string, samples []*report.Sample) {
	if len(samples) == 0 {
		return
	}
	c := l.join(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	at := now.UnixNano()
	guess := int32(-1) // the series of the sample before
	for _, s := range samples {
		e, metric, value := s.GetEntity(), s.GetMetric(), s.GetValue()
		if !plausible(value) || metric == "" || e.GetName() == "" {
			continue
		}
		next := c.follows(guess)
		if next < 0 || !c.is(next, e, metric) {
			next = c.intern(entity.Ref{Cluster: id, Kind: e.GetKind(), Namespace: e.GetNamespace(), Name: e.GetName()}, metric)
			c.precede(guess, next)
		}
		guess = next
		c.observe(next, at, value, s.GetCount())
	}
}

// follows gives the series that came after another in the last frame; −1 as the other asks for the first.
func (c *cluster) follows(id int32) int32 {
	if int(id+1) >= len(c.next) {
		return -1
	}
	return c.next[id+1] - 1
}

// precede remembers which series came after another.
func (c *cluster) precede(id, next int32) {
	for len(c.next) <= int(id+1) {
		c.next = append(c.next, 0)
	}
	c.next[id+1] = next + 1
}

// is says whether a series is of a metric of an entity.
func (c *cluster) is(id int32, e *report.EntityRef, metric string) bool {
	n := &c.names[id]
	return n.metric == metric && n.name == e.GetName() && n.namespace == e.GetNamespace() && n.kind == e.GetKind()
}

func (c *cluster) intern(ref entity.Ref, name string) int32 {
	id := c.lastID
	if ref != c.lastRef {
		var ok bool
		if id, ok = c.ids[ref]; !ok {
			id = c.addEntity(ref)
		}
		c.lastRef, c.lastID = c.entities[id].ref, id
	}
	for _, m := range c.entities[id].metrics {
		if m.name == name {
			return m.series
		}
	}
	return c.addSeries(id, name)
}

func (c *cluster) addEntity(ref entity.Ref) int32 {
	k := known{ref: entity.Ref{ // cloned: the strings of a report would keep the whole of it alive
		Cluster: strings.Clone(ref.Cluster), Kind: strings.Clone(ref.Kind),
		Namespace: strings.Clone(ref.Namespace), Name: strings.Clone(ref.Name),
	}}
	id, ok := take(&c.spareEntities)
	if ok {
		c.entities[id] = k
	} else {
		id = int32(len(c.entities))
		c.entities = append(c.entities, k)
	}
	c.ids[k.ref] = id
	return id
}

func (c *cluster) addSeries(owner int32, called string) int32 {
	key := specKey{pod: c.entities[owner].ref.Kind == entity.Pod, metric: called}
	spec, ok := c.specIDs[key]
	if !ok {
		key.metric = strings.Clone(called)
		spec = uint16(min(len(c.specs), 1<<16-1))
		c.specIDs[key] = spec
		if int(spec) == len(c.specs) {
			c.specs = append(c.specs, SpecOf(c.entities[owner].ref.Kind, called))
		}
	}
	s := series{entity: owner, spec: spec, buffer: -1, counter: -1}
	if c.specs[spec].Class == Counter {
		k, ok := take(&c.spareCounters)
		if ok {
			c.counters[k] = counter{}
		} else {
			k = int32(len(c.counters))
			c.counters = append(c.counters, counter{})
		}
		s.counter = k
	}
	id, ok := take(&c.spareSeries)
	if ok {
		c.series[id] = s
	} else {
		id = int32(len(c.series))
		c.series = append(c.series, s)
	}
	e := &c.entities[owner]
	e.metrics = append(e.metrics, metric{strings.Clone(called), id})
	for len(c.names) <= int(id) {
		c.names = append(c.names, name{})
	}
	c.names[id] = name{e.metrics[len(e.metrics)-1].name, e.ref.Name, e.ref.Namespace, e.ref.Kind}
	return id
}

func take(spare *[]int32) (int32, bool) {
	n := len(*spare)
	if n == 0 {
		return 0, false
	}
	id := (*spare)[n-1]
	*spare = (*spare)[:n-1]
	return id, true
}

// Anomalies lists what is not normal in a cluster, by entity and metric. A series without a sample for Config.Stale is
// unknown and not listed. A rise of a rate is listed with q = 0: it is context and no harm. A level that has been outside for
// Config.Rebase becomes normal here, unless faulted says that its entity has a fact or a burn; the hour counts from
// the fault's end. faulted may be nil; it must not call back into the Learner.
func (l *Learner) Anomalies(id string, now time.Time, faulted func(entity.Ref) bool) []Anomaly {
	c := l.find(id)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Anomaly
	var gone []entity.Ref
	for i := range c.entities {
		e := &c.entities[i]
		fresh := len(e.metrics) == 0
		for _, m := range e.metrics {
			s := &c.series[m.series]
			age := now.UnixNano() - s.last
			fresh = fresh || age <= int64(c.cfg.Expire)
			if age > int64(c.cfg.Stale) {
				continue
			}
			if s.warm && s.buffer >= 0 {
				c.settle(now, s, e.ref, m.name, faulted)
			}
			if a, ok := c.judge(s, e.ref, m.name); ok {
				out = append(out, a)
			}
		}
		if !fresh {
			gone = append(gone, e.ref)
		}
	}
	for _, ref := range gone {
		c.forget(ref)
	}
	slices.SortFunc(out, func(a, b Anomaly) int {
		return cmp.Or(entity.Compare(a.Entity, b.Entity), cmp.Compare(a.Metric, b.Metric))
	})
	return out
}

// settle re-bases a level that is here to stay.
func (c *cluster) settle(now time.Time, s *series, ref entity.Ref, name string, faulted func(entity.Ref) bool) {
	if faulted != nil && faulted(ref) {
		s.outFor, s.outSince = 0, s.last
		c.buffers[s.buffer] = c.buffers[s.buffer][:0]
		return
	}
	if s.outFor < int64(c.cfg.Rebase) {
		return
	}
	r := Rebase{Entity: ref, Metric: name, From: s.mean, Since: instant(s.outSince), At: now}
	c.learn(s, &c.specs[s.spec])
	c.release(s)
	r.To = s.mean
	r.Text = fmt.Sprintf("%s has stayed at %.4g for %s without a fault: that is the new normal (it was %.4g)", name, r.To, c.cfg.Rebase, r.From)
	c.rebased = append(c.rebased, r)
}

func (c *cluster) judge(s *series, ref entity.Ref, name string) (Anomaly, bool) {
	spec := &c.specs[s.spec]
	limit := spec.beyond(s.value)
	signed, mean, spread := c.consensus(s)
	var z, weight float64
	if s.warm {
		z, weight = spec.hurting(signed)
		weight *= spec.felt(s.value)
	}
	a := Anomaly{
		Entity: ref, Metric: name, Class: spec.Class, Value: s.value, Mean: mean, Spread: spread, Z: signed,
		Weight: weight, Count: s.count, At: instant(s.last), Onset: instant(cmp.Or(s.outSince, s.last)),
	}
	if s.sum > 0 {
		a.Onset = instant(s.onset)
	}
	if limit > 0 {
		a.Limit = spec.Limit
		if limit > z {
			z, a.Z, a.Weight = limit, limit, spec.Weight
			a.Onset = instant(s.overSince)
		}
	}
	a.Q = Q(a.Weight, z)
	return a, z > threshold
}

// consensus gives z with the mean and spread that it was taken with. A sample must deviate from the usual level too, to the
// same side, and the lesser of the two deviations counts: what happens every few hours is no anomaly, however calm the last
// minutes were. A third of the first counts in any case, since levels drift: where the night made everything faster, slow is
// what is slow for the night.
func (c *cluster) consensus(s *series) (z, mean, spread float64) {
	spread, z = s.spread, s.z
	if s.wide > spread {
		z *= spread / s.wide
		spread = s.wide
	}
	other := min(maxDeviation, max(-maxDeviation, s.off/spread))
	if other*z > 0 && math.Abs(other) > math.Abs(z) {
		return z, s.mean, spread
	}
	if other*z > 0 && math.Abs(other) > math.Abs(z)/drifted {
		return other, s.value - s.off, spread // usual itself has moved on by the sample
	}
	return z / drifted, s.mean, spread * drifted
}

const drifted = 3

// Rebase tells that a level became the new normal.
type Rebase struct {
	Entity entity.Ref `json:"entity"`
	Metric string     `json:"metric"`
	From   float64    `json:"from"` // the mean before
	To     float64    `json:"to"`   // the median of the hour
	Since  time.Time  `json:"since"`
	At     time.Time  `json:"at"`
	Text   string     `json:"text"` // one sentence with the figures
}

// Rebased lists what was re-based since the last call, in the order in which it happened.
func (l *Learner) Rebased(id string) []Rebase {
	c := l.find(id)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.rebased
	c.rebased = nil
	return out
}

// Normal gives the mean of a metric and the least deviation by which it is judged. ok is false while it warms up and
// for what was never seen.
func (l *Learner) Normal(ref entity.Ref, name string) (mean, spread float64, ok bool) {
	c := l.find(ref.Cluster)
	if c == nil {
		return 0, 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.ids[ref]
	if !ok {
		return 0, 0, false
	}
	for _, m := range c.entities[id].metrics {
		if m.name == name {
			s := &c.series[m.series]
			return s.mean, s.spread, s.warm
		}
	}
	return 0, 0, false
}

// Metrics lists the metrics of an entity that have been observed, sorted.
func (l *Learner) Metrics(ref entity.Ref) []string {
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
	var out []string
	for _, m := range c.entities[id].metrics {
		out = append(out, m.name)
	}
	slices.Sort(out)
	return out
}

// Forget drops everything learned about an entity.
func (l *Learner) Forget(ref entity.Ref) {
	if c := l.find(ref.Cluster); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget(ref)
	}
}

func (c *cluster) forget(ref entity.Ref) {
	id, ok := c.ids[ref]
	if !ok {
		return
	}
	for _, m := range c.entities[id].metrics {
		s := &c.series[m.series]
		c.release(s)
		if s.counter >= 0 {
			c.spareCounters = append(c.spareCounters, s.counter)
		}
		c.course.drop(m.series)
		c.names[m.series] = name{}
		c.spareSeries = append(c.spareSeries, m.series)
	}
	c.entities[id] = known{}
	c.spareEntities = append(c.spareEntities, id)
	delete(c.ids, ref)
	c.lastRef = entity.Ref{}
}

// ForgetCluster drops a cluster that was removed.
func (l *Learner) ForgetCluster(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.clusters, id)
}

func instant(n int64) time.Time { return time.Unix(0, n).UTC() }
