// Package slo keeps objectives and what is measured against them: how many requests of a service or an ingress were
// good, how much of the error budget is spent, how fast it burns. Everything is keyed by cluster, entity, layer and
// route. Shares are fractions of one throughout; only text for a person has percents.
//
// Two layers are kept apart, as the same request is seen by both: the ingress counts what users sent, the mesh what
// services sent each other.
package slo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// The layers.
const (
	Ingress = "ingress"
	Mesh    = "mesh"
)

// Kind says what makes a request good.
type Kind string

// The kinds.
const (
	Availability Kind = "availability" // it did not fail
	Latency      Kind = "latency"      // it was answered within Threshold
)

// Source says who set an objective. Of two for the same thing the one listed first counts: see decision 0021.
type Source string

// The sources.
const (
	FromFile       Source = "file"
	FromChat       Source = "chat"
	FromAnnotation Source = "annotation"
)

// Objective is what share of requests shall be good over a window.
type Objective struct {
	Entity    entity.Ref    `json:"entity"`          // a Service, or an Ingress; in a file without a cluster it is meant in each
	Layer     string        `json:"layer"`           // Ingress or Mesh; empty: Mesh for a Service that the mesh measures, else Ingress
	Route     string        `json:"route,omitempty"` // of an Ingress; empty for all of it
	Kind      Kind          `json:"kind"`
	Target    float64       `json:"target"`              // a fraction: 0.999
	Threshold time.Duration `json:"threshold,omitempty"` // of Latency
	Window    time.Duration `json:"window"`
	Source    Source        `json:"source"`
	By        string        `json:"by,omitempty"` // who set it in chat
	At        time.Time     `json:"at,omitzero"`
}

// Key names what an objective is about. One thing has at most one objective of a kind.
type Key struct {
	Entity entity.Ref
	Layer  string
	Route  string
	Kind   Kind
}

// Key gives the objective's key.
func (o Objective) Key() Key { return Key{o.Entity, o.Layer, o.Route, o.Kind} }

// Name is what a person calls it: "checkout availability 99.9 % over 30 d", "shop/ latency 99 % within 300 ms over 7 d".
func (o Objective) Name() string {
	s := o.Entity.Name
	if o.Route != "" {
		s += " " + o.Route
	}
	s += " " + string(o.Kind) + " " + Percent(o.Target)
	if o.Kind == Latency {
		s += " within " + Seconds(o.Threshold.Seconds())
	}
	return s + " over " + Span(o.Window)
}

// Defaults and limits. A window is at most what is kept of counts; a target below the least cannot alert: at a budget of
// 6.95 % a burn of 14.4 is all requests failing.
const (
	DefaultWindow = 30 * 24 * time.Hour
	leastWindow   = 24 * time.Hour
	mostWindow    = 35 * 24 * time.Hour
	leastTarget   = 0.9
)

// Check completes an objective and says what is wrong with it.
func (o *Objective) Check() error {
	o.Window = cmp.Or(o.Window, DefaultWindow)
	switch {
	case o.Entity.Name == "":
		return errors.New("an objective needs a service or an ingress")
	case o.Kind != Availability && o.Kind != Latency:
		return fmt.Errorf("%q is no kind of objective: availability or latency", o.Kind)
	case o.Layer != "" && o.Layer != Ingress && o.Layer != Mesh:
		return fmt.Errorf("%q is no layer: ingress or mesh", o.Layer)
	case !(o.Target >= leastTarget && o.Target < 1):
		return fmt.Errorf("a target of %s makes no budget: from 90 to below 100 percent", Percent(o.Target))
	case o.Kind == Latency && o.Threshold <= 0:
		return errors.New("a latency objective needs a threshold, such as 300ms")
	case o.Kind == Availability && o.Threshold != 0:
		return errors.New("an availability objective has no threshold")
	case o.Window < leastWindow || o.Window > mostWindow:
		return fmt.Errorf("a window of %s cannot be kept: from 1d to 35d", Span(o.Window))
	}
	return nil
}

// ParseTarget reads a target as people write it, in percent: "99.9", "99.95%". "0.999" is refused with what was
// probably meant: an objective of less than one percent is a mistake of units.
func ParseTarget(s string) (float64, error) {
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), "%"))
	x, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(x):
		return 0, fmt.Errorf("%q is no percentage, such as 99.9", s)
	case x > 0 && x <= 1:
		return 0, fmt.Errorf("%s is a fraction: a target is written in percent, such as %s", text, strconv.FormatFloat(100*x, 'g', 6, 64))
	case x < 100*leastTarget || x >= 100:
		return 0, fmt.Errorf("a target of %s %% makes no budget: from 90 to below 100", text)
	}
	// 99.9 / 100 is not the float next to 0.999; the digits that were written are what is meant.
	return strconv.ParseFloat(strconv.FormatFloat(x/100, 'g', 12, 64), 64)
}

// ParseWindow reads "30d", "2w" or what time.ParseDuration knows; empty is the default.
func ParseWindow(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return DefaultWindow, nil
	}
	for unit, d := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, err := strconv.Atoi(strings.TrimSuffix(s, unit)); err == nil && strings.HasSuffix(s, unit) && n > 0 && n < 1000 {
			return time.Duration(n) * d, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no window, such as 30d", s)
	}
	return d, nil
}

// Store keeps objectives that were set in chat, and rollups. A change is durable when its method returns nil.
// Implementations are safe for concurrent use.
type Store interface {
	Objectives(ctx context.Context) ([]Objective, error)
	// PutObjective adds one, or replaces the one of the same Key.
	PutObjective(ctx context.Context, o Objective) error
	// DeleteObjective reports whether there was one.
	DeleteObjective(ctx context.Context, k Key) (bool, error)
	// PutRollups replaces those of the same stream, span and start.
	PutRollups(ctx context.Context, cluster string, rs []Rollup) error
	// Rollups gives those of a cluster of one span that start at since or later, oldest first.
	Rollups(ctx context.Context, cluster string, span time.Duration, since time.Time) ([]Rollup, error)
}

// Rollup is the count of one stream in one hour or day.
type Rollup struct {
	Entity  entity.Ref         `json:"-"`
	Layer   string             `json:"-"`
	Route   string             `json:"-"`
	Start   time.Time          `json:"-"`
	Span    time.Duration      `json:"-"` // an hour or a day
	Known   float64            `json:"known"`
	Total   float64            `json:"total"`
	Errors  float64            `json:"errors"`
	Bounds  []float64          `json:"bounds,omitempty"`
	Buckets []float64          `json:"buckets,omitempty"`
	Codes   map[string]float64 `json:"codes,omitempty"`
}
