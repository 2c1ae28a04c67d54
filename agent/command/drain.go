package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bukahou/atlhyper/agent/report"
)

const (
	defaultDrain = 5 * time.Minute
	evictions    = 10 // under way at once
)

// drain cordons a node and evicts its pods through the eviction API, which respects disruption budgets. Pods of
// DaemonSets and mirror pods stay: nothing else may run them. Pods that nothing would make anew, and pods whose local
// data would be lost, refuse the drain before anything is changed.
func (r *Runner) drain(ctx context.Context, c *report.Command, d *report.Drain, o *report.Outcome) error {
	timeout := d.GetTimeout().AsDuration()
	if timeout <= 0 {
		timeout = defaultDrain
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if k := c.GetTarget().GetKind(); k != "Node" {
		return refuse("nothing was changed: only a Node can be drained, not a %s", k)
	}
	node, err := r.cfg.Client.CoreV1().Nodes().Get(ctx, c.GetTarget().GetName(), metav1.GetOptions{})
	if err != nil {
		return reading(c.GetTarget(), err)
	}
	if err := r.precondition(c, node); err != nil {
		return err
	}
	pods, err := r.podsOn(ctx, node.Name)
	if err != nil {
		return fmt.Errorf("list pods of the node: %w", err)
	}
	pods, err = evictable(pods, d.GetDeleteEmptyDirData())
	if err != nil {
		return err
	}
	held, err := r.heldBack(ctx, pods)
	if err != nil {
		return err
	}
	// The cordon is checked and made like any other change; the pods follow from it.
	if err := r.cordon(ctx, c, true, o); err != nil {
		return err
	}
	for i := range pods {
		o.Touched = append(o.Touched, podKey(&pods[i]))
	}
	what := fmt.Sprintf("%s drained of %d pods", display(c.GetTarget()), len(pods))
	if c.GetDryRun() {
		o.Message = done(c, what)
		if len(held) > 0 {
			o.Message += "; held back for now by " + strings.Join(held, ", ")
		}
		return nil
	}
	if err := r.evictAll(ctx, pods); err != nil {
		return fmt.Errorf("%s is cordoned but not drained: %w", display(c.GetTarget()), err)
	}
	o.Message = what
	return nil
}

// evictable gives the pods that a drain evicts, or says why it must not.
func evictable(pods []corev1.Pod, deleteLocal bool) ([]corev1.Pod, error) {
	var out []corev1.Pod
	var bare, local []string
	for i := range pods {
		p := &pods[i]
		owner := metav1.GetControllerOf(p)
		_, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]
		if mirror || owner != nil && owner.Kind == "DaemonSet" {
			continue
		}
		name := p.Namespace + "/" + p.Name
		if owner == nil {
			bare = append(bare, name)
		}
		if !deleteLocal && slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil }) {
			local = append(local, name)
		}
		out = append(out, *p)
	}
	switch {
	case len(bare) > 0:
		return nil, refuse("nothing was changed: nothing would make these pods anew: %s; delete them one by one if that is meant", few(bare))
	case len(local) > 0:
		return nil, refuse("nothing was changed: these pods keep data in an emptyDir, which a drain deletes: %s; say so in the command if that is meant", few(local))
	}
	return out, nil
}

// few gives the first names of a list and how many more there are.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// heldBack names the disruption budgets that allow none of these pods to go now.
func (r *Runner) heldBack(ctx context.Context, pods []corev1.Pod) ([]string, error) {
	budgets, err := r.cfg.Client.PolicyV1().PodDisruptionBudgets("").List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil, nil // the eviction API still respects them; we only cannot say so beforehand
	}
	if err != nil {
		return nil, fmt.Errorf("list disruption budgets: %w", err)
	}
	var out []string
	for i := range budgets.Items {
		b := &budgets.Items[i]
		sel, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || b.Status.DisruptionsAllowed > 0 {
			continue
		}
		if slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.Namespace == b.Namespace && sel.Matches(labels.Set(p.Labels))
		}) {
			out = append(out, "poddisruptionbudget "+b.Namespace+"/"+b.Name)
		}
	}
	return out, nil
}

// evictAll evicts pods and waits until each is gone.
func (r *Runner) evictAll(ctx context.Context, pods []corev1.Pod) error {
	errs := make([]error, len(pods))
	slots := make(chan struct{}, evictions)
	var running sync.WaitGroup
	for i := range pods {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := r.evict(ctx, &pods[i]); err != nil {
				errs[i] = fmt.Errorf("%s/%s: %w", pods[i].Namespace, pods[i].Name, err)
			}
		})
	}
	running.Wait()
	var failed []string
	for _, err := range errs {
		if err != nil {
			failed = append(failed, err.Error())
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d pods are still there: %s", len(failed), len(pods), few(failed))
}

// evict asks until the API server lets the pod go, then waits until it is gone.
func (r *Runner) evict(ctx context.Context, p *corev1.Pod) error {
	pods := r.cfg.Client.CoreV1().Pods(p.Namespace)
	e := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
	if p.UID != "" {
		e.DeleteOptions = &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}}
	}
	why := errors.New("it ran out of time")
	for asked := false; ; {
		if !asked {
			err := r.cfg.Client.PolicyV1().Evictions(p.Namespace).Evict(ctx, e)
			switch {
			case err == nil:
				asked = true
				why = errors.New("it was evicted and has not ended in time")
			case apierrors.IsNotFound(err):
				return nil
			case apierrors.IsConflict(err): // perhaps another pod has the name now; the read below tells
			case apierrors.IsTooManyRequests(err):
				why = fmt.Errorf("a disruption budget holds it: %w", err)
			case ctx.Err() != nil:
				return why
			default:
				return err
			}
		}
		is, err := pods.Get(ctx, p.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && is.UID != p.UID {
			return nil
		}
		if err != nil && ctx.Err() == nil && apierrors.IsForbidden(err) {
			return err
		}
		t := time.NewTimer(r.cfg.EvictPoll)
		select {
		case <-ctx.Done():
			t.Stop()
			return why
		case <-t.C:
		}
	}
}
