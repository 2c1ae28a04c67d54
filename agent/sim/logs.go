package sim

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
	"github.com/bukahou/atlhyper/agent/sim/kubelet"
)

// logLimit is how many lines a container's log holds, newest kept, as if it were rotated.
const logLimit = 5000

// ReadLog gives the log of one container as the API server would: of its present process, or with Previous of the one
// before; cut by SinceSeconds, SinceTime and TailLines, with Timestamps in front if asked for. Following is not
// imitated: the log ends at the shop's present second. Errors are those of the API: not found, a container that has not
// started, no previous process, a node that does not answer.
func (s *Shop) ReadLog(ctx context.Context, namespace, pod string, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o == nil {
		o = &corev1.PodLogOptions{}
	}
	var text string
	var failure error
	s.server.Do(time.Time{}, func(tx *apiserver.Tx) {
		text, failure = s.log(tx, namespace, pod, o)
	})
	if failure != nil {
		return nil, failure
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (s *Shop) log(tx *apiserver.Tx, namespace, name string, o *corev1.PodLogOptions) (string, error) {
	pod, ok := apiserver.Get[*corev1.Pod](tx, apiserver.Pods, namespace, name)
	if !ok {
		return "", apierrors.NewNotFound(apiserver.Pods.GroupResource(), name)
	}
	container := o.Container
	if container == "" && len(pod.Spec.Containers) > 0 {
		container = pod.Spec.Containers[0].Name
	}
	if !slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == container }) {
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", container, name))
	}
	if s.kubelets.Stopped(pod.Spec.NodeName) {
		return "", apierrors.NewInternalError(fmt.Errorf("Get \"https://%s:10250/containerLogs/%s/%s/%s\": dial tcp %s:10250: i/o timeout",
			pod.Status.HostIP, namespace, name, container, pod.Status.HostIP))
	}
	run, last, ran := s.kubelets.Runs(pod.UID)
	if !ran {
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is waiting to start: %s", container, name, waiting(pod)))
	}
	if o.Previous {
		switch {
		// While a container waits to be restarted, the process that just ended counts as the previous one.
		case !run.Finished.IsZero():
		case last != nil:
			run = *last
		default:
			return "", apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", container, name))
		}
	}
	from := run.Started
	if o.SinceSeconds != nil {
		from = later(from, s.clock.Add(-time.Duration(*o.SinceSeconds)*time.Second))
	}
	if o.SinceTime != nil {
		from = later(from, o.SinceTime.Time)
	}
	limit := logLimit
	if o.TailLines != nil {
		limit = int(min(*o.TailLines, logLimit))
	}
	return s.lines(pod, run, from, max(0, limit), o.Timestamps), nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func waiting(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Waiting == nil {
			continue
		}
		switch c.State.Waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff":
			return "trying and failing to pull image"
		}
		return c.State.Waiting.Reason
	}
	return "ContainerCreating"
}

// lines writes what a process said since from. A line follows from the pod, the second and the state of the shop then, so
// the same second always reads the same.
func (s *Shop) lines(pod *corev1.Pod, run kubelet.Run, from time.Time, limit int, stamped bool) string {
	end := s.clock
	if !run.Finished.IsZero() {
		end = run.Finished
	}
	var seconds [][]string
	count := 0
	for at := end; !at.Before(from) && count < limit; at = at.Add(-time.Second) {
		said := s.say(pod, run, at)
		if stamped {
			for i := range said {
				said[i] = at.UTC().Format(time.RFC3339Nano) + " " + said[i]
			}
		}
		count += len(said)
		seconds = append(seconds, said)
	}
	var all []string
	for _, said := range slices.Backward(seconds) {
		all = append(all, said...)
	}
	all = all[max(0, len(all)-limit):]
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "\n") + "\n"
}

// say gives the lines of one second.
func (s *Shop) say(pod *corev1.Pod, run kubelet.Run, at time.Time) []string {
	i := s.info(pod)
	if i.service == nil {
		return addonLine(pod, at)
	}
	voice := voice{service: i.service, at: at, r: rand.New(rand.NewPCG(hash64(string(pod.UID)), uint64(at.Unix())))}
	if at.Equal(run.Started) {
		_, tag, _ := strings.Cut(i.image, ":")
		voice.info("starting %s %s", i.service.name, tag)
		voice.info("listening on :%d", i.service.port())
	}
	for _, f := range s.faults {
		if f.begun && !at.Before(f.onset) {
			s.complain(&voice, f, pod, i, run, at)
		}
	}
	if voice.silent {
		return voice.lines
	}
	s.chatter(&voice, at)
	return voice.lines
}

// complain says what a fault makes a process say.
func (s *Shop) complain(v *voice, f *fault, pod *corev1.Pod, i podInfo, run kubelet.Run, at time.Time) {
	if f.scenario == noisyNeighbour && pod.UID == f.pod {
		v.warn("export 4711: pass %d over partition 0, cursor did not move", 1000+int(at.Sub(f.onset).Seconds())*37)
		v.silent = true
		return
	}
	struck := f.begun && i.service == f.target && (i.release == f.release && f.release != "" || f.scenario == badRollout && i.image == f.image)
	if !struck {
		return
	}
	switch f.scenario {
	case crashloop:
		if at.Equal(run.Finished) {
			v.fail("cannot decode local cache /var/cache/app/%s/index.bin: checksum mismatch at offset %d", i.release, 4096*(1+int(8*f.strength)))
			v.lines = append(v.lines, v.trace()...)
		} else if !run.Started.Before(f.onset) {
			v.info("loading local cache /var/cache/app/%s/index.bin", i.release)
			v.silent = true
		}
	case oomkilled:
		if share := f.leak(pod, i, run.Started, at); share > 0.8 && v.r.IntN(4) == 0 {
			v.warn("memory at %.0f%% of the limit after a full collection, %d sessions held", 100*min(share, 0.99), int(share*90000))
		}
	case badRollout:
		if v.r.Float64() < 0.5 {
			v.fail("request failed: cannot read field \"amount\" of null in PriceFormatter (status 500)")
		}
	case slowDependency:
		if v.r.Float64() < 0.4 {
			v.warn("connection pool exhausted: 64 of 64 in use, %d waiting, oldest for %d ms", 40+v.r.IntN(90), 300+v.r.IntN(1500))
		}
	}
}

// chatter is ordinary work, and what a service notices of the ones that it calls.
func (s *Shop) chatter(v *voice, at time.Time) {
	if n, ok := slices.BinarySearchFunc(s.past, at, func(m moment, t time.Time) int { return m.at.Compare(t) }); (ok || n > 0) && len(s.past) > 0 {
		m := &s.past[max(0, min(n, len(s.past)-1))]
		for _, c := range v.service.calls {
			callee, state := s.plan.services[c.to], m.services[c.to]
			switch {
			case state.errors > 0.02 && v.r.Float64() < 0.8*state.errors:
				if state.serving == 0 {
					v.fail("call to %s failed: 503 no healthy upstream", callee.name)
				} else {
					v.fail("call to %s failed: upstream answered 500", callee.name)
				}
			case state.latency > 4*s.calm.services[c.to].latency && v.r.IntN(3) == 0:
				v.warn("slow call to %s: %.0f ms", callee.name, 1000*state.latency*(0.8+0.4*v.r.Float64()))
			}
		}
	}
	v.work()
}

func addonLine(pod *corev1.Pod, at time.Time) []string {
	if at.Unix()%97 != int64(hash64(string(pod.UID))%97) {
		return nil
	}
	return []string{fmt.Sprintf("ts=%s level=info msg=\"still here\"", at.UTC().Format(time.RFC3339))}
}
