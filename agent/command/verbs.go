package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/report"
)

// restartedAt is the annotation that kubectl rollout restart writes.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// workload is what a Deployment, a StatefulSet and a DaemonSet have in common. Its pointers lead into the object.
type workload struct {
	meta     *metav1.ObjectMeta
	template *corev1.PodTemplateSpec
	replicas **int32 // nil for a DaemonSet
	selector *metav1.LabelSelector
	paused   bool
	object   object
}

func workloadOf(o object) workload {
	switch v := o.(type) {
	case *appsv1.Deployment:
		return workload{&v.ObjectMeta, &v.Spec.Template, &v.Spec.Replicas, v.Spec.Selector, v.Spec.Paused, v}
	case *appsv1.StatefulSet:
		return workload{&v.ObjectMeta, &v.Spec.Template, &v.Spec.Replicas, v.Spec.Selector, false, v}
	case *appsv1.DaemonSet:
		return workload{&v.ObjectMeta, &v.Spec.Template, nil, v.Spec.Selector, false, v}
	}
	return workload{}
}

// onWorkload changes a workload of one of three kinds and gives it as it was and as it is.
func (r *Runner) onWorkload(ctx context.Context, c *report.Command, o *report.Outcome, edit func(workload) error) (before, after workload, err error) {
	ns := c.GetTarget().GetNamespace()
	apps := r.cfg.Client.AppsV1()
	switch k := c.GetTarget().GetKind(); k {
	case "Deployment":
		return changeWorkload(ctx, r, c, apps.Deployments(ns), o, edit)
	case "StatefulSet":
		return changeWorkload(ctx, r, c, apps.StatefulSets(ns), o, edit)
	case "DaemonSet":
		return changeWorkload(ctx, r, c, apps.DaemonSets(ns), o, edit)
	default:
		return before, after, refuse("nothing was changed: a %s has no rollout; this works on a Deployment, StatefulSet or DaemonSet", k)
	}
}

func changeWorkload[T object](ctx context.Context, r *Runner, c *report.Command, api editor[T], o *report.Outcome, edit func(workload) error) (workload, workload, error) {
	before, after, err := change(ctx, r, c, api, o, func(v T) error { return edit(workloadOf(v)) })
	if err != nil {
		return workload{}, workload{}, err
	}
	return workloadOf(before), workloadOf(after), nil
}

// replaced notes the pods that a new template replaces.
func (r *Runner) replaced(ctx context.Context, w workload, o *report.Outcome) {
	if len(o.Changes) == 0 {
		return
	}
	pods, err := r.podsOf(ctx, w.meta.Namespace, w.selector)
	if err != nil {
		r.cfg.Logger.WarnContext(ctx, "pods of the target could not be listed", "err", err)
		return
	}
	for i := range pods {
		o.Touched = append(o.Touched, podKey(&pods[i]))
	}
}

func (r *Runner) restart(ctx context.Context, c *report.Command, o *report.Outcome) error {
	at := r.cfg.Now().UTC().Format(time.RFC3339)
	before, _, err := r.onWorkload(ctx, c, o, func(w workload) error {
		if w.paused {
			return refuse("nothing was changed: %s is paused, so a restart would not start; resume it first", display(c.GetTarget()))
		}
		if w.template.Annotations == nil {
			w.template.Annotations = map[string]string{}
		}
		w.template.Annotations[restartedAt] = at
		return nil
	})
	if err != nil {
		return err
	}
	r.replaced(ctx, before, o)
	o.Message = done(c, "restart of "+display(c.GetTarget())+" begun")
	return nil
}

func (r *Runner) scale(ctx context.Context, c *report.Command, to int32, o *report.Outcome) error {
	if to < 0 {
		return refuse("nothing was changed: %d replicas are not possible", to)
	}
	if c.GetTarget().GetKind() == "DaemonSet" {
		return refuse("nothing was changed: a DaemonSet runs one pod a node and cannot be scaled")
	}
	from := int32(1)
	before, _, err := r.onWorkload(ctx, c, o, func(w workload) error {
		if *w.replicas != nil {
			from = **w.replicas
		}
		*w.replicas = &to
		return nil
	})
	if err != nil {
		return err
	}
	if to < from && c.GetTarget().GetKind() == "StatefulSet" {
		for i := from - 1; i >= to; i-- {
			o.Touched = append(o.Touched, &report.ResourceKey{Kind: "Pod", Namespace: before.meta.Namespace, Name: fmt.Sprintf("%s-%d", before.meta.Name, i)})
		}
	} else if to == 0 {
		r.replaced(ctx, before, o)
	}
	if len(o.Changes) > 0 {
		o.Message = done(c, fmt.Sprintf("%s scaled from %d to %d replicas", display(c.GetTarget()), from, to))
	}
	return nil
}

func (r *Runner) rollback(ctx context.Context, c *report.Command, to int64, o *report.Outcome) error {
	if to < 0 {
		return refuse("nothing was changed: there is no revision %d", to)
	}
	var reached int64
	before, _, err := r.onWorkload(ctx, c, o, func(w workload) error {
		if w.paused {
			return refuse("nothing was changed: %s is paused, so a rollback would not start; resume it first", display(c.GetTarget()))
		}
		revisions, err := r.revisions(ctx, w)
		if err != nil {
			return err
		}
		rev, err := choose(revisions, to, c.GetTarget())
		if err != nil {
			return err
		}
		reached = rev.number
		return rev.restore(w)
	})
	if err != nil {
		return err
	}
	r.replaced(ctx, before, o)
	if len(o.Changes) > 0 {
		o.Message = done(c, fmt.Sprintf("%s rolled back to revision %d", display(c.GetTarget()), reached))
	}
	return nil
}

func (r *Runner) setImage(ctx context.Context, c *report.Command, s *report.SetImage, o *report.Outcome) error {
	image := s.GetImage()
	if image == "" || strings.ContainsAny(image, " \t\r\n") {
		return refuse("nothing was changed: %q is not an image", image)
	}
	before, _, err := r.onWorkload(ctx, c, o, func(w workload) error {
		spec := &w.template.Spec
		name := s.GetContainer()
		if name == "" {
			if len(spec.Containers) != 1 {
				return refuse("nothing was changed: %s has the containers %s; name one", display(c.GetTarget()), containerNames(spec))
			}
			name = spec.Containers[0].Name
		}
		for _, list := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
			if i := slices.IndexFunc(list, func(k corev1.Container) bool { return k.Name == name }); i >= 0 {
				list[i].Image = image
				return nil
			}
		}
		return refuse("nothing was changed: %s has no container %q, it has %s", display(c.GetTarget()), name, containerNames(spec))
	})
	if err != nil {
		return err
	}
	r.replaced(ctx, before, o)
	if len(o.Changes) > 0 {
		o.Message = done(c, "image of "+display(c.GetTarget())+" set to "+image)
	}
	return nil
}

func containerNames(s *corev1.PodSpec) string {
	var names []string
	for _, list := range [][]corev1.Container{s.Containers, s.InitContainers} {
		for i := range list {
			names = append(names, list[i].Name)
		}
	}
	return strings.Join(names, ", ")
}

func (r *Runner) deletePod(ctx context.Context, c *report.Command, o *report.Outcome) error {
	k := c.GetTarget()
	if k.GetKind() != "Pod" {
		return refuse("nothing was changed: only a Pod can be deleted, not a %s", k.GetKind())
	}
	pods := r.cfg.Client.CoreV1().Pods(k.GetNamespace())
	pod, err := pods.Get(ctx, k.GetName(), metav1.GetOptions{})
	if err != nil {
		return reading(k, err)
	}
	if err := r.precondition(c, pod); err != nil {
		return err
	}
	o.Uid, o.ResourceVersion = string(pod.UID), pod.ResourceVersion
	o.Touched = []*report.ResourceKey{podKey(pod)}
	o.Changes = []*report.FieldChange{{Path: "pod " + pod.Namespace + "/" + pod.Name, Before: string(pod.Status.Phase), After: "deleted"}}
	options := metav1.DeleteOptions{}
	if pod.UID != "" {
		options.Preconditions = &metav1.Preconditions{UID: &pod.UID}
	}
	if c.GetDryRun() {
		options.DryRun = []string{metav1.DryRunAll}
		r.previews.add(pod)
	}
	err = pods.Delete(ctx, pod.Name, options)
	switch {
	case apierrors.IsConflict(err):
		return refuse("nothing was changed: %s was deleted and made anew meanwhile", display(k))
	case err != nil && !apierrors.IsNotFound(err) && doubtful(err) && !c.GetDryRun() && r.gone(ctx, pod):
	case err != nil && doubtful(err) && !c.GetDryRun():
		return &uncertain{fmt.Errorf("it is not known whether the pod was deleted: %w", err)}
	case err != nil:
		return err
	}
	message := display(k) + " deleted"
	if owner := metav1.GetControllerOf(pod); owner != nil {
		message += "; " + strings.ToLower(owner.Kind) + " " + owner.Name + " makes a new one"
	} else {
		message += "; nothing makes a new one"
	}
	o.Message = done(c, message)
	return nil
}

// gone reads whether a pod is deleted, or about to be.
func (r *Runner) gone(ctx context.Context, pod *corev1.Pod) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	is, err := r.cfg.Client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	return apierrors.IsNotFound(err) || err == nil && (is.UID != pod.UID || is.DeletionTimestamp != nil)
}

func (r *Runner) cordon(ctx context.Context, c *report.Command, cordoned bool, o *report.Outcome) error {
	if k := c.GetTarget().GetKind(); k != "Node" {
		return refuse("nothing was changed: only a Node can be cordoned, not a %s", k)
	}
	_, _, err := change(ctx, r, c, r.cfg.Client.CoreV1().Nodes(), o, func(n *corev1.Node) error {
		n.Spec.Unschedulable = cordoned
		return nil
	})
	if err != nil {
		return err
	}
	if len(o.Changes) > 0 {
		word := "uncordoned"
		if cordoned {
			word = "cordoned"
		}
		o.Message = done(c, display(c.GetTarget())+" "+word)
	}
	return nil
}

// pause stops a Deployment's rollouts, or lets them go on.
func (r *Runner) pause(ctx context.Context, c *report.Command, paused bool, o *report.Outcome) error {
	if k := c.GetTarget().GetKind(); k != "Deployment" {
		return refuse("nothing was changed: only a Deployment's rollout can be paused and resumed, not a %s's", k)
	}
	_, _, err := change(ctx, r, c, r.cfg.Client.AppsV1().Deployments(c.GetTarget().GetNamespace()), o, func(d *appsv1.Deployment) error {
		d.Spec.Paused = paused
		return nil
	})
	if err == nil && len(o.Changes) > 0 {
		word := "resumed"
		if paused {
			word = "paused"
		}
		o.Message = done(c, "rollouts of "+display(c.GetTarget())+" "+word)
	}
	return err
}

// done gives a message for what was done, or for what a dry run found possible.
func done(c *report.Command, message string) string {
	if c.GetDryRun() {
		return "the API server accepts: " + message
	}
	return message
}
