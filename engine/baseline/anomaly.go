// Package baseline is channel A: what is normal for each metric of each entity, and what is not.
package baseline

import (
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Class groups metrics that are judged alike: which side hurts, the floor of the spread, the weight of a deviation.
type Class int

// The classes.
const (
	Ratio      Class = iota // error rate, 0 to 1; up hurts
	Latency                 // seconds; up hurts
	Rate                    // requests a second; down hurts
	Saturation              // cpu, memory, disk, psi, throttling, 0 to 1; up hurts
	Counter                 // restarts: the increase over ten minutes; up hurts
	Bool                    // is_running: 1 is well
	Gauge                   // a number of things, such as containers that are not ready; up hurts
	Usage                   // cores or bytes where no limit is known; up is told, and is no incident by itself
)

// Anomaly is one metric that is not normal now.
type Anomaly struct {
	Entity entity.Ref `json:"entity"`
	Metric string     `json:"metric"`
	Class  Class      `json:"class"`
	Value  float64    `json:"value"`
	Mean   float64    `json:"mean"`             // μ of the frozen baseline
	Spread float64    `json:"spread"`           // max(s, floor)
	Z      float64    `json:"z"`                // (value − mean) / spread, or beyond an absolute limit
	Q      float64    `json:"q"`                // w_c · tanh(max(0, |z|−3)/2)
	Weight float64    `json:"weight"`           // w_c
	Count  float64    `json:"count"`            // requests behind the value
	Limit  float64    `json:"limit"`            // the absolute limit that was crossed; 0 when none
	Excess float64    `json:"excess,omitempty"` // of Learner.Over: seconds of waiting, or failed requests, a second
	Onset  time.Time  `json:"onset"`            // t0 by CUSUM
	At     time.Time  `json:"at"`
}
