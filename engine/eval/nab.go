package eval

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Measure is one series of the Numenta Anomaly Benchmark, without its labels. Times may repeat or step back.
type Measure struct {
	Name   string
	Times  []time.Time
	Values []float64
}

// probation is how many rows are for learning and not scored.
func (m *Measure) probation() int { return min(len(m.Values)*15/100, 750) }

// span is a labelled window of rows, both ends included.
type span struct{ first, last int }

// Profile weighs what is right and what is wrong.
type Profile struct {
	Hit   float64 `json:"tpWeight"`
	Miss  float64 `json:"fnWeight"`
	False float64 `json:"fpWeight"`
}

// Benchmark is a folder of series with labelled windows.
type Benchmark struct {
	Series   []Measure
	Profiles map[string]Profile
	windows  map[string][]span // read by Score alone
}

// LoadBenchmark reads a folder in the layout of nab-visible.
func LoadBenchmark(dir string) (*Benchmark, error) {
	var head struct {
		Cases    []string           `json:"cases"`
		Profiles map[string]Profile `json:"profiles"`
	}
	if err := readJSON(filepath.Join(dir, "set.json"), &head); err != nil {
		return nil, err
	}
	var labels map[string][][2]json.RawMessage
	if err := readJSON(filepath.Join(dir, "windows.json"), &labels); err != nil {
		return nil, err
	}
	if len(head.Profiles) == 0 || len(head.Cases) == 0 {
		return nil, fmt.Errorf("%s has no series or no profiles: it is not for detect", dir)
	}
	b := &Benchmark{Profiles: head.Profiles, windows: map[string][]span{}}
	for _, name := range head.Cases {
		m, err := readMeasure(filepath.Join(dir, "data", filepath.FromSlash(name)+".gz"))
		if err != nil {
			return nil, fmt.Errorf("series %s: %w", name, err)
		}
		m.Name = name
		for _, w := range labels[name] {
			from, err := instantOf(w[0])
			till, also := instantOf(w[1])
			if err = cmp.Or(err, also); err != nil {
				return nil, fmt.Errorf("windows of %s: %w", name, err)
			}
			s := span{first: -1}
			for i, at := range m.Times {
				if !at.Before(from) && !at.After(till) {
					if s.first < 0 {
						s.first = i
					}
					s.last = i
				}
			}
			if s.first >= 0 {
				b.windows[name] = append(b.windows[name], s)
			}
		}
		slices.SortFunc(b.windows[name], func(x, y span) int { return x.first - y.first })
		b.Series = append(b.Series, m)
	}
	return b, nil
}

// instantOf reads a time: Unix seconds, RFC 3339, or "2014-04-10 07:15:00.000000" in UTC.
func instantOf(raw json.RawMessage) (time.Time, error) {
	var n float64
	if json.Unmarshal(raw, &n) == nil {
		return time.Unix(int64(n), 0).UTC(), nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return time.Time{}, err
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999"} {
		if at, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", s)
}

func readMeasure(path string) (m Measure, err error) {
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return m, err
	}
	in := csv.NewReader(z)
	in.FieldsPerRecord, in.ReuseRecord = 2, true
	if head, err := in.Read(); err != nil || strings.Join(head, ",") != "time,value" {
		return m, fmt.Errorf("the header is %q: %w", strings.Join(head, ","), cmp.Or(err, errors.New("want time,value")))
	}
	for {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		at, bad := strconv.ParseFloat(rec[0], 64)
		value, also := strconv.ParseFloat(rec[1], 64)
		if err := cmp.Or(bad, also); err != nil {
			return m, err
		}
		m.Times = append(m.Times, time.Unix(int64(at), 0).UTC())
		m.Values = append(m.Values, value)
	}
}

// Flags says which rows of which series a detector flags.
type Flags map[string][]bool

// Score scores flags by NAB's rules; see the README of the data.
func (b *Benchmark) Score(flags Flags, p Profile) float64 {
	var sum, silence, windows float64
	for i := range b.Series {
		m := &b.Series[i]
		spans := b.windows[m.Name]
		windows += float64(len(spans))
		silence -= p.Miss * float64(len(spans))
		flagged := func(row int) bool { return row >= m.probation() && flags[m.Name][row] }
		for _, w := range spans {
			hit := -1
			for row := w.first; row <= w.last && hit < 0; row++ {
				if flagged(row) {
					hit = row // the earliest is the best
				}
			}
			if hit < 0 {
				sum -= p.Miss
				continue
			}
			sum += p.Hit * reward(-float64(w.last-hit+1)/float64(w.last-w.first+1)) / reward(-1)
		}
		for row := range m.Values {
			if !flagged(row) || slices.ContainsFunc(spans, func(w span) bool { return w.first <= row && row <= w.last }) {
				continue
			}
			before := span{first: -1}
			for _, w := range spans {
				if w.last < row {
					before = w
				}
			}
			if before.first < 0 || before.last == before.first {
				sum -= p.False
			} else {
				sum += p.False * reward(float64(row-before.last)/float64(before.last-before.first))
			}
		}
	}
	if windows == 0 {
		return 0
	}
	return 100 * (sum - silence) / (windows*p.Hit - silence)
}

func reward(x float64) float64 {
	if x > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*x)) - 1
}

// The detectors' thresholds: one for all series. Ours is fixed; see ByBaseline.
const (
	alarmFrom  = 4.0            // deviations: one more than what is not learned from
	refractory = 12 * time.Hour // who was told of a series this morning need not be told again before the night
	scale      = 25.0
)

// ByBaseline flags with the product's own baseline: |z| ≥ 4 after the consensus of the local and the usual level, and then no
// more for twelve hours. A series whose unit nobody knows is put on a scale of 0 to 25 by its learning part, whose fiftieth
// part is then the floor that an unknown metric has.
func ByBaseline(m *Measure) []bool {
	lowest, highest := math.Inf(1), math.Inf(-1)
	for _, x := range m.Values[:max(1, m.probation())] {
		lowest, highest = min(lowest, x, 0), max(highest, x)
	}
	factor := scale
	if d := highest - lowest; d > 0 {
		factor = scale / d
	}
	steps := make([]float64, 0, len(m.Times))
	for i := 1; i < len(m.Times); i++ {
		steps = append(steps, float64(m.Times[i].Sub(m.Times[i-1])))
	}
	slices.Sort(steps)
	step := 5 * time.Minute
	if len(steps) > 0 {
		step = max(time.Second, time.Duration(steps[len(steps)/2]))
	}
	l := baseline.New(baseline.Config{Stale: 36 * step, Relearn: max(time.Hour, 288*step)})
	ref := entity.Ref{Cluster: "nab", Kind: entity.External, Name: m.Name}
	out := make([]bool, len(m.Values))
	var told time.Time
	for i, x := range m.Values {
		l.Observe(m.Times[i], ref, "value", max(0, (x-lowest)*factor), 0)
		for _, a := range l.Anomalies("nab", m.Times[i], nil) {
			if math.Abs(a.Z) >= alarmFrom && a.At.Equal(m.Times[i]) && (told.IsZero() || m.Times[i].Sub(told) > refractory) {
				out[i], told = true, m.Times[i]
			}
		}
	}
	return out
}

// gaussian gives NAB's windowed Gaussian: how many deviations of the last 6400 rows a value is from their mean.
func gaussian(m *Measure) []float64 {
	const window, step = 6400, 100
	out := make([]float64, len(m.Values))
	var held, next []float64
	mean, deviation := 0.0, 1.0
	for i, x := range m.Values {
		if len(held) > 0 {
			out[i] = math.Abs(x-mean) / deviation
		}
		if len(held) < window {
			held = append(held, x)
			mean, deviation = moments(held)
			continue
		}
		if next = append(next, x); len(next) == step {
			held = append(held[step:], next...)
			next = next[:0]
			mean, deviation = moments(held)
		}
	}
	return out
}

func moments(v []float64) (mean, deviation float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		deviation += (x - mean) * (x - mean)
	}
	return mean, max(1e-6, math.Sqrt(deviation/float64(len(v))))
}

// ema gives the seed's deviation: taken after the sample has moved mean and variance, nothing before 100 samples.
func ema(m *Measure) []float64 {
	const alpha, cold = 0.033, 100
	out := make([]float64, len(m.Values))
	var mean, variance float64
	for i, x := range m.Values {
		if i == 0 {
			mean = x
			continue
		}
		before := mean
		mean = alpha*x + (1-alpha)*mean
		if i < cold {
			variance = alpha*(x-mean)*(x-mean) + (1-alpha)*variance
			continue
		}
		variance = alpha*(x-before)*(x-before) + (1-alpha)*variance
		if deviation := math.Sqrt(variance); deviation > 1e-9 {
			out[i] = math.Abs(x-mean) / deviation
		}
	}
	return out
}

// Scores are a detector's scores by profile.
type Scores map[string]float64

// Detect scores three detectors: default as the product runs it, and the two others, which are given the threshold that is
// best for them on these very files.
func Detect(b *Benchmark) map[string]Scores {
	out := map[string]Scores{}
	all := func(flags Flags) Scores {
		s := Scores{}
		for name, p := range b.Profiles {
			s[name] = b.Score(flags, p)
		}
		return s
	}
	flags := Flags{}
	for i := range b.Series {
		flags[b.Series[i].Name] = ByBaseline(&b.Series[i])
	}
	out["default"] = all(flags)
	for name, f := range map[string]func(*Measure) []float64{"classic": ema, "windowed_gaussian": gaussian} {
		out[name] = b.atBest(f, all)
	}
	return out
}

func (b *Benchmark) atBest(deviations func(*Measure) []float64, all func(Flags) Scores) Scores {
	by := map[string][]float64{}
	for i := range b.Series {
		by[b.Series[i].Name] = deviations(&b.Series[i])
	}
	var best Scores
	for threshold := 2.0; threshold < 40; threshold *= 1.03 {
		flags := Flags{}
		for name, z := range by {
			flags[name] = make([]bool, len(z))
			for i := range z {
				flags[name][i] = z[i] >= threshold
			}
		}
		if s := all(flags); best == nil || s["standard"] > best["standard"] {
			best = s
		}
	}
	return best
}
