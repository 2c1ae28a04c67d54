package detect

import (
	"maps"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
)

// state is the memory of one cluster. Its keys are strings so that it is JSON as it stands.
type state struct {
	Last   []Fact               `json:"last"`
	Since  map[string]time.Time `json:"since"`  // conditions that hold, by key: since when
	Pods   map[string]*podState `json:"pods"`   // by uid
	Holds  map[string]*hold     `json:"holds"`  // by uid, container and kind
	Kinds  map[string]*hold     `json:"kinds"`  // by workload and kind: outlives the pods that showed it
	Starts map[string][]float64 `json:"starts"` // by workload: its last starts, in seconds, oldest first

	cast      *cast                    // of the last look; nil before the first
	schedules map[string]cron.Schedule // parsed, by time zone and expression; nil when it does not parse
}

// podState is what is remembered of a pod. Ready and NotReady are since when; one of them is zero.
type podState struct {
	Ready    time.Time            `json:"ready,omitzero"`
	NotReady time.Time            `json:"not_ready,omitzero"`
	Was      bool                 `json:"was"`     // it has been Ready
	Counted  bool                 `json:"counted"` // its start is among Starts
	Started  map[string]time.Time `json:"started"` // containers that are Ready: since when
}

// hold is a fact about a container, or about a workload's containers, that flapping must not end.
type hold struct {
	Since    time.Time `json:"since"`
	Seen     time.Time `json:"seen"`
	Mark     string    `json:"mark,omitempty"` // tells one piece of evidence from the next
	Score    float64   `json:"score"`
	Detail   string    `json:"detail"`
	Restarts int32     `json:"restarts,omitempty"`
	Text     string    `json:"text,omitempty"` // of a workload
}

func newState() *state {
	s := &state{}
	s.init()
	return s
}

// init makes the maps that a checkpoint of an empty state leaves nil.
func (s *state) init() {
	if s.Since == nil {
		s.Since = map[string]time.Time{}
	}
	if s.Pods == nil {
		s.Pods = map[string]*podState{}
	}
	if s.Holds == nil {
		s.Holds = map[string]*hold{}
	}
	if s.Kinds == nil {
		s.Kinds = map[string]*hold{}
	}
	if s.Starts == nil {
		s.Starts = map[string][]float64{}
	}
	for _, p := range s.Pods {
		if p.Started == nil {
			p.Started = map[string]time.Time{}
		}
	}
	s.schedules = map[string]cron.Schedule{}
}

// keptStarts is how many starts of a workload are remembered: enough for a median, few enough to follow a new image.
const keptStarts = 9

func (s *state) learnStart(workload string, d time.Duration) {
	kept := append(s.Starts[workload], d.Seconds())
	s.Starts[workload] = kept[max(0, len(kept)-keptStarts):]
}

// usualStart gives the median start of a workload; ok is false before the first.
func (s *state) usualStart(workload string) (d time.Duration, ok bool) {
	kept := slices.Sorted(slices.Values(s.Starts[workload]))
	if len(kept) == 0 {
		return 0, false
	}
	return time.Duration(kept[len(kept)/2] * float64(time.Second)), true
}

// keep drops what was not touched in this look.
func keep[V any](m map[string]V, touched map[string]bool) {
	maps.DeleteFunc(m, func(k string, _ V) bool { return !touched[k] })
}
