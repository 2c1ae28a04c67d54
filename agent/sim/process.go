package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/sim/kubelet"
)

// Pull implements kubelet.Behaviour: the shop's registry holds the tags of the plan, other registries hold everything.
func (s *Shop) Pull(image string) error {
	rest, ours := strings.CutPrefix(image, s.plan.registry+"/")
	if !ours {
		return nil
	}
	name, tag, _ := strings.Cut(rest, ":")
	for _, sv := range s.plan.services {
		if sv.name != name {
			continue
		}
		if slices.Contains(sv.tags, tag) {
			return nil
		}
		return fmt.Errorf("failed to resolve reference %q: unexpected status from HEAD request: manifest unknown: manifest unknown", image)
	}
	return fmt.Errorf("failed to resolve reference %q: pull access denied, repository does not exist or may require authorization", image)
}

// spread gives a number in [0, 1) that belongs to a pod and a purpose.
func spread(pod *corev1.Pod, purpose string) float64 {
	h := hash64(string(pod.UID) + purpose)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return float64(h>>11) / (1 << 53)
}

// Startup implements kubelet.Behaviour.
func (s *Shop) Startup(pod *corev1.Pod) time.Duration {
	if i := s.info(pod); i.service != nil {
		return i.service.startup + time.Duration(spread(pod, "startup")*float64(i.service.startup)/2).Truncate(time.Second)
	}
	return 3 * time.Second
}

// Ended implements kubelet.Behaviour.
func (s *Shop) Ended(pod *corev1.Pod, started, now time.Time) (kubelet.Exit, bool) {
	if len(s.faults) == 0 {
		return kubelet.Exit{}, false
	}
	i := s.info(pod)
	for _, f := range s.faults {
		if exit, over := f.ended(pod, i, started, now); over {
			return exit, true
		}
	}
	return kubelet.Exit{}, false
}

// ended says whether the fault has ended a process by now.
func (f *fault) ended(pod *corev1.Pod, i podInfo, started, now time.Time) (kubelet.Exit, bool) {
	if !f.strikes(i) {
		return kubelet.Exit{}, false
	}
	switch f.scenario {
	case crashloop:
		end := f.onset.Add(time.Duration(spread(pod, "crash")*20) * time.Second)
		if !started.Before(f.onset) {
			end = started.Add(time.Duration(2+spread(pod, started.String())*3) * time.Second)
		}
		return kubelet.Exit{Code: 2, Reason: "Error"}, !now.Before(end)
	case oomkilled:
		return kubelet.Exit{Code: 137, Reason: "OOMKilled"}, f.leak(pod, i, started, now) >= 1
	}
	return kubelet.Exit{}, false
}

// leak gives the share of its memory limit that a leaking process uses: a line from what is usual up to the limit. The
// first time takes minutes, after a restart the backlog fills it faster.
func (f *fault) leak(pod *corev1.Pod, i podInfo, started, now time.Time) float64 {
	from, fill := f.onset, 150+spread(pod, "leak")*120
	if !started.Before(f.onset) {
		from, fill = started, 70+spread(pod, started.String())*60
	}
	return i.service.memory + (1-i.service.memory)*max(0, now.Sub(from).Seconds())/fill
}
