package engine

import (
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/classic"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/risk"
)

// Formulas chooses by which formulas the engine judges.
type Formulas string

// The formulas. Classic are those of the system that AtlHyper follows, for comparison; everything runs on Default.
const (
	Default Formulas = "default"
	Classic Formulas = "classic"
)

// normality is channel A: it learns from samples and says what is not normal. Safe for concurrent use.
type normality interface {
	Observe(now time.Time, ref entity.Ref, metric string, value, count float64)
	Anomalies(cluster string, now time.Time, faulted func(entity.Ref) bool) []baseline.Anomaly
	Normal(ref entity.Ref, metric string) (mean, spread float64, ok bool)
	Forget(ref entity.Ref)
}

// framer also learns a whole frame at once, which is cheaper.
type framer interface {
	Learn(now time.Time, cluster string, samples []*report.Sample)
}

// rebaser also tells which levels became the new normal.
type rebaser interface {
	Rebased(cluster string) []baseline.Rebase
}

// checkpointer also survives a restart.
type checkpointer interface {
	Checkpoint(cluster string) ([]byte, error)
	Restore(cluster string, blob []byte) error
}

// historian also keeps the course of what it learned: for blame over a span, and for charts.
type historian interface {
	Begin(cluster string, now time.Time)
	Over(cluster string, from, to time.Time) []baseline.Anomaly
	Course(ref entity.Ref, metric string) []baseline.Point
}

// scorer turns what is wrong into risk, and risk into blame. It keeps nothing between calls.
type scorer interface {
	Score(in risk.Input) *risk.Assessment
	Blame(in risk.Input, members []entity.Ref) risk.Verdict
}

// ranker also answers a complaint about a span of time.
type ranker interface {
	Rank(in risk.Input) risk.Verdict
}

// judges makes channel A and the scorer of the formulas.
func judges(f Formulas, cfg baseline.Config) (normality, scorer, error) {
	switch f {
	case Default, "":
		return baseline.New(cfg), risk.New(risk.Config{}), nil
	case Classic:
		return classic.New(cfg.Stale), classic.Scorer{}, nil
	}
	return nil, nil, fmt.Errorf("formulas %q: there are %s and %s", f, Default, Classic)
}
