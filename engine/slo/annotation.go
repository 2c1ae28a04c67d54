package slo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// The annotations of a Service or an Ingress that ask for objectives.
const (
	prefix             = "atlhyper.io/slo-"
	annotAvailability  = prefix + "availability"   // "99.9", percent
	annotLatency       = prefix + "latency"        // "300ms"
	annotLatencyTarget = prefix + "latency-target" // "99", percent, which is the default
	annotWindow        = prefix + "window"         // "30d", the default
	annotLayer         = prefix + "layer"          // "mesh" or "ingress"
)

// FromAnnotations gives the objectives that the annotations of an entity ask for. refused has a sentence for each that
// cannot be taken; a mistake in a manifest must be seen, for nobody reads a log for it.
func FromAnnotations(ref entity.Ref, annotations map[string]string) (out []Objective, refused []string) {
	if annotations[annotAvailability] == "" && annotations[annotLatency] == "" {
		return nil, nil
	}
	no := func(key string, err error) {
		refused = append(refused, fmt.Sprintf("%s in %s: %s is not taken: %v", ref.Short(), ref.Namespace, key, err))
	}
	for _, key := range unknownKeys(annotations) {
		no(key, fmt.Errorf("no such annotation"))
	}
	window, err := ParseWindow(annotations[annotWindow])
	if err != nil {
		no(annotWindow, err)
		return nil, refused
	}
	base := Objective{Entity: ref, Layer: annotations[annotLayer], Window: window, Source: FromAnnotation}
	take := func(key string, o Objective, target string) {
		var err error
		if o.Target, err = ParseTarget(target); err == nil {
			err = o.Check()
		}
		if err != nil {
			no(key, err)
			return
		}
		out = append(out, o)
	}
	if v := annotations[annotAvailability]; v != "" {
		o := base
		o.Kind = Availability
		take(annotAvailability, o, v)
	}
	if v := annotations[annotLatency]; v != "" {
		o := base
		o.Kind = Latency
		if o.Threshold, err = time.ParseDuration(v); err != nil {
			no(annotLatency, fmt.Errorf("%q is no threshold, such as 300ms", v))
		} else {
			take(annotLatency, o, cmp.Or(annotations[annotLatencyTarget], "99"))
		}
	}
	return out, refused
}

// unknownKeys finds annotations that were meant for us and are misspelt.
func unknownKeys(annotations map[string]string) []string {
	known := []string{annotAvailability, annotLatency, annotLatencyTarget, annotWindow, annotLayer}
	var out []string
	for key := range annotations {
		if strings.HasPrefix(key, prefix) && !slices.Contains(known, key) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}
