package kubelet

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// The kubelet's own constants.
const (
	firstBackOff = 10 * time.Second
	lastBackOff  = 5 * time.Minute
	forgiveAfter = 10 * time.Minute // a process that ran this long starts the back-off anew
	retryConfig  = 12 * time.Second
)

// stepContainer moves one container on if its time has come; it says whether the pod's status changes.
func (k *Kubelets) stepContainer(tx *apiserver.Tx, pod *corev1.Pod, spec *corev1.Container, c *containerState) (bool, error) {
	now := tx.Now()
	if c.phase == running {
		return k.stepRunning(tx, pod, spec, c)
	}
	if now.Before(c.due) {
		if left := c.due.Sub(now); c.phase == crashBackOff && left%(15*time.Second) == 0 {
			return false, k.backOffEvent(tx, pod, spec)
		}
		return false, nil
	}
	switch c.phase {
	case creating:
		if problem := missingVolume(tx, pod); problem != "" {
			c.due = now.Add(30 * time.Second)
			return false, k.event(tx, pod, corev1.EventTypeWarning, "FailedMount", problem)
		}
		c.phase, c.due = pulling, now.Add(time.Second)
		return false, k.event(tx, pod, corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", spec.Image))
	case pulling:
		return k.pull(tx, pod, spec, c)
	case imageBackOff:
		c.phase, c.due = pulling, now.Add(time.Second)
		return false, k.event(tx, pod, corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", spec.Image))
	case configError:
		return k.start(tx, pod, spec, c)
	case ended:
		if c.restarts == 0 {
			return k.start(tx, pod, spec, c)
		}
		c.wait = nextBackOff(c.wait)
		c.phase, c.due = crashBackOff, now.Add(c.wait)
		c.message = fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", shortDuration(c.wait), spec.Name, pod.Name, pod.Namespace, pod.UID)
		return true, k.backOffEvent(tx, pod, spec)
	case crashBackOff:
		return k.start(tx, pod, spec, c)
	}
	return false, nil
}

func (k *Kubelets) backOffEvent(tx *apiserver.Tx, pod *corev1.Pod, spec *corev1.Container) error {
	return k.event(tx, pod, corev1.EventTypeWarning, "BackOff",
		fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", spec.Name, pod.Name, pod.Namespace, pod.UID))
}

func nextBackOff(wait time.Duration) time.Duration {
	if wait == 0 {
		return firstBackOff
	}
	return min(2*wait, lastBackOff)
}

// shortDuration spells a back-off as the kubelet does: 10s, 1m20s, 5m0s.
func shortDuration(d time.Duration) string { return d.Truncate(time.Second).String() }

func (k *Kubelets) pull(tx *apiserver.Tx, pod *corev1.Pod, spec *corev1.Container, c *containerState) (bool, error) {
	err := k.behaviour.Pull(spec.Image)
	if err == nil {
		c.wait = 0
		if err := k.event(tx, pod, corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Successfully pulled image %q", spec.Image)); err != nil {
			return false, err
		}
		return k.start(tx, pod, spec, c)
	}
	first := c.wait == 0
	c.wait = nextBackOff(c.wait)
	c.phase, c.due = imageBackOff, tx.Now().Add(c.wait)
	problem := fmt.Sprintf("failed to pull and unpack image %q: %s", spec.Image, err)
	c.message = fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", spec.Image, problem)
	if first {
		c.message = problem // ErrImagePull is shown once, the back-off from then on
	}
	for _, e := range []struct{ reason, message string }{
		{"Failed", fmt.Sprintf("Failed to pull image %q: %s", spec.Image, problem)},
		{"Failed", "Error: ErrImagePull"},
		{"BackOff", fmt.Sprintf("Back-off pulling image %q", spec.Image)},
		{"Failed", "Error: ImagePullBackOff"},
	} {
		kind := corev1.EventTypeWarning
		if e.reason == "BackOff" {
			kind = corev1.EventTypeNormal
		}
		if err := k.event(tx, pod, kind, e.reason, e.message); err != nil {
			return false, err
		}
	}
	return true, nil
}

// start makes a new process, unless the container's configuration refers to something that is not there.
func (k *Kubelets) start(tx *apiserver.Tx, pod *corev1.Pod, spec *corev1.Container, c *containerState) (bool, error) {
	now := tx.Now()
	if problem := missingReference(tx, pod, spec); problem != "" {
		c.phase, c.due, c.message = configError, now.Add(retryConfig), problem
		return true, k.event(tx, pod, corev1.EventTypeWarning, "Failed", "Error: "+problem)
	}
	if !c.run.Started.IsZero() {
		last := c.run
		c.last = &last
		c.restarts++
	}
	c.run = Run{Started: now}
	c.phase, c.ready, c.message = running, false, ""
	c.readyAt = now.Add(k.behaviour.Startup(pod))
	if err := k.event(tx, pod, corev1.EventTypeNormal, "Created", "Created container: "+spec.Name); err != nil {
		return false, err
	}
	return true, k.event(tx, pod, corev1.EventTypeNormal, "Started", "Started container "+spec.Name)
}

func (k *Kubelets) stepRunning(tx *apiserver.Tx, pod *corev1.Pod, spec *corev1.Container, c *containerState) (bool, error) {
	now := tx.Now()
	if exit, over := k.behaviour.Ended(pod, c.run.Started, now); over {
		c.run.Finished, c.run.Exit = now, exit
		if now.Sub(c.run.Started) >= forgiveAfter {
			c.wait = 0
		}
		c.phase, c.ready, c.due = ended, false, now.Add(time.Second)
		return true, nil
	}
	if !c.ready && !now.Before(c.readyAt) {
		c.ready = true
		return true, nil
	}
	return false, nil
}

// missingReference gives the kubelet's words for an environment value whose ConfigMap or Secret is not there.
func missingReference(tx *apiserver.Tx, pod *corev1.Pod, spec *corev1.Container) string {
	for i := range spec.Env {
		from := spec.Env[i].ValueFrom
		switch {
		case from == nil:
		case from.ConfigMapKeyRef != nil && !optional(from.ConfigMapKeyRef.Optional):
			m, ok := apiserver.Get[*corev1.ConfigMap](tx, apiserver.ConfigMaps, pod.Namespace, from.ConfigMapKeyRef.Name)
			if !ok {
				return fmt.Sprintf("configmap %q not found", from.ConfigMapKeyRef.Name)
			}
			if _, ok := m.Data[from.ConfigMapKeyRef.Key]; !ok {
				return fmt.Sprintf("couldn't find key %s in ConfigMap %s/%s", from.ConfigMapKeyRef.Key, pod.Namespace, m.Name)
			}
		case from.SecretKeyRef != nil && !optional(from.SecretKeyRef.Optional):
			m, ok := apiserver.Get[*corev1.Secret](tx, apiserver.Secrets, pod.Namespace, from.SecretKeyRef.Name)
			if !ok {
				return fmt.Sprintf("secret %q not found", from.SecretKeyRef.Name)
			}
			if _, ok := m.Data[from.SecretKeyRef.Key]; !ok {
				return fmt.Sprintf("couldn't find key %s in Secret %s/%s", from.SecretKeyRef.Key, pod.Namespace, m.Name)
			}
		}
	}
	for i := range spec.EnvFrom {
		if ref := spec.EnvFrom[i].ConfigMapRef; ref != nil && !optional(ref.Optional) {
			if _, ok := apiserver.Get[*corev1.ConfigMap](tx, apiserver.ConfigMaps, pod.Namespace, ref.Name); !ok {
				return fmt.Sprintf("configmap %q not found", ref.Name)
			}
		}
		if ref := spec.EnvFrom[i].SecretRef; ref != nil && !optional(ref.Optional) {
			if _, ok := apiserver.Get[*corev1.Secret](tx, apiserver.Secrets, pod.Namespace, ref.Name); !ok {
				return fmt.Sprintf("secret %q not found", ref.Name)
			}
		}
	}
	return ""
}

// missingVolume is the same for volumes, which keep a pod in ContainerCreating.
func missingVolume(tx *apiserver.Tx, pod *corev1.Pod) string {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.ConfigMap != nil && !optional(v.ConfigMap.Optional) {
			if _, ok := apiserver.Get[*corev1.ConfigMap](tx, apiserver.ConfigMaps, pod.Namespace, v.ConfigMap.Name); !ok {
				return fmt.Sprintf("MountVolume.SetUp failed for volume %q : configmap %q not found", v.Name, v.ConfigMap.Name)
			}
		}
		if v.Secret != nil && !optional(v.Secret.Optional) {
			if _, ok := apiserver.Get[*corev1.Secret](tx, apiserver.Secrets, pod.Namespace, v.Secret.SecretName); !ok {
				return fmt.Sprintf("MountVolume.SetUp failed for volume %q : secret %q not found", v.Name, v.Secret.SecretName)
			}
		}
	}
	return ""
}

func optional(b *bool) bool { return b != nil && *b }
