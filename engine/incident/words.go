package incident

import (
	"fmt"
	"strconv"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
)

// titles say what a fault of a kind means for the one that shows it.
var titles = map[string]string{
	"CrashLoopBackOff": "keeps crashing", "OOMKilled": "runs out of memory", "ImagePullBackOff": "cannot pull its image",
	"CreateContainerConfigError": "cannot start: its configuration is wrong", "CreateContainerError": "cannot start: its container cannot be created",
	"InvalidImageName": "cannot start: its image name is invalid", "RunContainerError": "cannot start: its container does not run",
	"Unavailable": "is unavailable", "NotReady": "is not ready", "Unschedulable": "cannot be scheduled", "MemoryPressure": "is short of memory",
	"DiskPressure": "is short of disk space", "PIDPressure": "is short of process ids", "NoEndpoints": "has no endpoints",
	"SelectorMatchesNothing": "selects no pods", "TargetPortMatchesNothing": "has a target port that nothing listens on", "MissingService": "routes to a missing service",
	"CertificateExpiring": "has a certificate that expires soon", "CertificateExpired": "has an expired certificate", "BackoffLimitExceeded": "gave up",
	"DeadlineExceeded": "ran out of time", "MissedSchedule": "missed its run", "AtMaxReplicas": "cannot scale further", "QuotaExceeded": "is blocked by a quota",
	"ClaimPending": "waits for a volume", "ClaimLost": "has lost its volume", "VolumeFull": "has a full volume", "DeletionBlocked": "cannot be deleted",
	"FailedScheduling": "cannot be scheduled", "FailedMount": "cannot mount a volume", "FailedAttachVolume": "cannot attach a volume", "BackOff": "keeps failing to start",
	"Unhealthy": "fails its probes", "NodeNotReady": "is on a node that is not ready", "FailedCreate": "cannot create its pods", "Evicted": "was evicted",
	"FailedCreatePodSandBox": "cannot start: no pod sandbox", "BudgetBurn": "is burning its error budget", "BudgetBurnSlow": "is burning its error budget",
}

// entitle says what is broken, from the user's side where that shows: the service furthest upstream that fails or is slow
// because of the cause, else the cause itself. What users felt once stays the title while the cause does, also when it
// comes and goes: a title that turns with every tick is read by nobody.
func (i *Incident) entitle(in *Observation, all component) {
	before := i.Follow.Felt
	entry, s := all.entry(in, in.unitOf(i.Cause.Entity))
	switch {
	case entry == nil && before == (entity.Ref{}):
		i.Title = i.title(in, all)
	case entry == nil, before != (entity.Ref{}) && before != entry.unit.Ref && !speaksBetter(in, entry.unit.Ref, before):
	default:
		i.Follow.Felt, i.Title = entry.unit.Ref, s.ails(entry.unit.Ref.Name)
	}
}

// ails says how something does whose users feel it.
func (s *signal) ails(name string) string {
	if s.anomaly.Class == baseline.Ratio {
		return name + " is failing"
	}
	return name + " is slow (" + metricLabel(s.name) + " " + figure(*s.anomaly, s.anomaly.Mean) + " → " + figure(*s.anomaly, s.anomaly.Value) + ")"
}

// title says what is wrong with the cause.
func (i *Incident) title(in *Observation, all component) string {
	name := i.Cause.Entity.Name
	switch i.Cause.Entity.Kind {
	case entity.Node:
		name = "node " + name
	case entity.Pod:
		name = "pod " + name
	}
	if text, ok := titles[i.Cause.Kind]; ok {
		return name + " " + text
	}
	if t := all.of(Unit{Ref: in.unitOf(i.Cause.Entity)}); t != nil {
		if s := sli(t); s != nil {
			return s.ails(name)
		}
		for _, s := range t.signals {
			if s.anomaly != nil && s.anomaly.Class == baseline.Saturation {
				return name + " is saturated (" + s.text + ")"
			}
		}
		return name + ": " + t.signals[0].text
	}
	return name + " is not well"
}

// entry is the anomalous service (failing that, workload or route) whose users feel it: not the cause, and nothing else
// that feels it depends on it.
func (c component) entry(in *Observation, cause entity.Ref) (*trouble, *signal) {
	var best *trouble
	var found *signal
	for _, t := range c.troubles {
		s := sli(t)
		if s == nil || t.unit.Ref == cause || t.unit.Aspect != "" || in.Graph != nil && (in.Graph.WorkloadOf(t.unit.Ref) == cause || in.Graph.WorkloadOf(cause) == t.unit.Ref) {
			continue // it is the cause, or the other face of it
		}
		if best == nil || speaksBetter(in, t.unit.Ref, best.unit.Ref) || !speaksBetter(in, best.unit.Ref, t.unit.Ref) && s.score > found.score {
			best, found = t, s
		}
	}
	return best, found
}

// speaksBetter says whether a tells people more of what they feel than b: a service before its workload, and that before a
// route to it; among equals the one that depends on the other.
func speaksBetter(in *Observation, a, b entity.Ref) bool {
	order := map[string]int{entity.Service: 0, entity.Deployment: 1, entity.StatefulSet: 1, entity.DaemonSet: 1}
	rank := func(r entity.Ref) int {
		if n, ok := order[r.Kind]; ok {
			return n
		}
		return 2
	}
	if rank(a) != rank(b) {
		return rank(a) < rank(b)
	}
	return in.Graph != nil && len(in.Graph.Path(a, b)) > 0
}

// sli is the signal that users feel: errors before latency, the worst of each.
func sli(t *trouble) *signal {
	var out *signal
	for n := range t.signals {
		s := &t.signals[n]
		if s.anomaly == nil || s.anomaly.Class != baseline.Ratio && s.anomaly.Class != baseline.Latency || s.entity.Kind == entity.Pod || s.entity.Kind == entity.Node {
			continue
		}
		if out == nil || s.anomaly.Class == baseline.Ratio && out.anomaly.Class != baseline.Ratio || s.anomaly.Class == out.anomaly.Class && s.score > out.score {
			out = s
		}
	}
	return out
}

var labels = map[string]string{
	"error_rate": "error rate", "error_ratio": "error rate", "avg_latency": "average latency", "p95_latency": "p95", "request_rate": "request rate",
	"cpu_usage": "CPU", "cpu_throttled": "CPU throttling", "memory_usage": "memory", "disk_usage": "disk", "psi_cpu": "CPU pressure", "psi_memory": "memory pressure",
	"psi_io": "I/O pressure", "restart_count": "restarts in 10 min", "not_ready_containers": "containers not ready", "is_running": "running",
}

func metricLabel(metric string) string {
	if l, ok := labels[metric]; ok {
		return l
	}
	return metric
}

// describe gives an anomaly with its figures: "error rate 12 % (normal 0.2 %)".
func describe(a baseline.Anomaly) string {
	text := metricLabel(a.Metric) + " " + figure(a, a.Value) + " (normal " + figure(a, a.Mean)
	if a.Limit > 0 {
		text += ", limit " + figure(a, a.Limit)
	}
	return text + ")"
}

func figure(a baseline.Anomaly, v float64) string {
	switch a.Class {
	case baseline.Ratio, baseline.Saturation:
		return compact(100*v) + " %"
	case baseline.Latency:
		if v < 1 {
			return compact(1000*v) + " ms"
		}
		return compact(v) + " s"
	case baseline.Rate:
		return compact(v) + "/s"
	}
	return compact(v)
}

// compact gives two significant digits below ten and whole numbers above.
func compact(v float64) string {
	if v >= 10 || v <= -10 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// span writes a duration for a person.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}

func ordinal(n int) string {
	switch {
	case n%10 == 1 && n%100 != 11:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2 && n%100 != 12:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3 && n%100 != 13:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}
