package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/kubectl/pkg/polymorphichelpers"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	causeAnnotation    = "kubernetes.io/change-cause"
	templateHashLabel  = "pod-template-hash"
)

// revision is one entry of a workload's history.
type revision struct {
	number   int64
	name     string // of the ReplicaSet or ControllerRevision that keeps it
	created  metav1.Time
	cause    string
	current  bool
	template *corev1.PodTemplateSpec
	// restore puts the revision's template into a workload.
	restore func(workload) error
}

// revisions gives a workload's history, oldest first.
func (r *Runner) revisions(ctx context.Context, w workload) ([]revision, error) {
	var out []revision
	var err error
	switch v := w.object.(type) {
	case *appsv1.Deployment:
		out, err = r.replicaSets(ctx, v)
	case *appsv1.StatefulSet:
		out, err = r.controllerRevisions(ctx, w, func(c *appsv1.ControllerRevision) bool { return c.Name == v.Status.UpdateRevision })
	case *appsv1.DaemonSet:
		out, err = r.controllerRevisions(ctx, w, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("read rollout history: %w", err)
	}
	slices.SortFunc(out, func(a, b revision) int { return cmp.Compare(a.number, b.number) })
	// A DaemonSet does not say which is current; its controller numbers that one highest.
	if n := len(out); n > 0 && !slices.ContainsFunc(out, func(r revision) bool { return r.current }) {
		out[n-1].current = true
	}
	return out, nil
}

func (r *Runner) replicaSets(ctx context.Context, d *appsv1.Deployment) ([]revision, error) {
	sel, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, err
	}
	list, err := r.cfg.Client.AppsV1().ReplicaSets(d.Namespace).List(ctx, metav1.ListOptions{LabelSelector: sel.String()})
	if err != nil {
		return nil, err
	}
	var out []revision
	for i := range list.Items {
		rs := &list.Items[i]
		n, err := strconv.ParseInt(rs.Annotations[revisionAnnotation], 10, 64)
		if err != nil || !metav1.IsControlledBy(rs, d) {
			continue
		}
		out = append(out, revision{
			number: n, name: rs.Name, created: rs.CreationTimestamp, cause: rs.Annotations[causeAnnotation],
			current: rs.Annotations[revisionAnnotation] == d.Annotations[revisionAnnotation], template: &rs.Spec.Template,
			restore: func(w workload) error {
				rs.Spec.Template.DeepCopyInto(w.template)
				delete(w.template.Labels, templateHashLabel)
				// What caused the old revision is what causes this one.
				if cause, ok := rs.Annotations[causeAnnotation]; ok {
					if w.meta.Annotations == nil {
						w.meta.Annotations = map[string]string{}
					}
					w.meta.Annotations[causeAnnotation] = cause
				} else {
					delete(w.meta.Annotations, causeAnnotation)
				}
				return nil
			},
		})
	}
	return out, nil
}

func (r *Runner) controllerRevisions(ctx context.Context, w workload, current func(*appsv1.ControllerRevision) bool) ([]revision, error) {
	sel, err := metav1.LabelSelectorAsSelector(w.selector)
	if err != nil {
		return nil, err
	}
	list, err := r.cfg.Client.AppsV1().ControllerRevisions(w.meta.Namespace).List(ctx, metav1.ListOptions{LabelSelector: sel.String()})
	if err != nil {
		return nil, err
	}
	var out []revision
	for i := range list.Items {
		c := &list.Items[i]
		if !metav1.IsControlledBy(c, w.meta) {
			continue
		}
		rev := revision{number: c.Revision, name: c.Name, created: c.CreationTimestamp, cause: c.Annotations[causeAnnotation]}
		rev.current = current != nil && current(c)
		rev.restore = func(w workload) error { return patch(w, c.Data.Raw) }
		var data struct {
			Spec struct {
				Template corev1.PodTemplateSpec `json:"template"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(c.Data.Raw, &data); err != nil {
			return nil, fmt.Errorf("revision %s: %w", c.Name, err)
		}
		rev.template = &data.Spec.Template
		out = append(out, rev)
	}
	return out, nil
}

// patch restores what a ControllerRevision keeps: a strategic merge patch of its workload.
func patch(w workload, data []byte) error {
	was, err := json.Marshal(w.object)
	if err != nil {
		return err
	}
	is, err := strategicpatch.StrategicMergePatch(was, data, w.object)
	if err != nil {
		return fmt.Errorf("restore revision: %w", err)
	}
	// Into a fresh object: decoding into the old one would keep map keys that the patch removed.
	decode := func(v any) error { return json.NewDecoder(bytes.NewReader(is)).Decode(v) }
	switch v := w.object.(type) {
	case *appsv1.StatefulSet:
		var fresh appsv1.StatefulSet
		if err := decode(&fresh); err != nil {
			return fmt.Errorf("restore revision: %w", err)
		}
		*v = fresh
	case *appsv1.DaemonSet:
		var fresh appsv1.DaemonSet
		if err := decode(&fresh); err != nil {
			return fmt.Errorf("restore revision: %w", err)
		}
		*v = fresh
	}
	return nil
}

// choose finds the revision to roll back to; 0 is the one before the current.
func choose(history []revision, to int64, k *report.ResourceKey) (revision, error) {
	if to > 0 {
		i := slices.IndexFunc(history, func(r revision) bool { return r.number == to })
		if i < 0 {
			var known []string
			for _, r := range history {
				known = append(known, strconv.FormatInt(r.number, 10))
			}
			return revision{}, refuse("nothing was changed: %s has no revision %d, only %s", display(k), to, strings.Join(known, ", "))
		}
		return history[i], nil
	}
	// The newest that is not current: after a rollback the current one has the highest number.
	for _, r := range slices.Backward(history) {
		if !r.current {
			return r, nil
		}
	}
	return revision{}, refuse("nothing was changed: %s has no earlier revision to roll back to", display(k))
}

// rolloutObject reads a workload that has rollouts.
func (r *Runner) rolloutObject(ctx context.Context, k *report.ResourceKey) (workload, error) {
	switch k.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet":
	default:
		return workload{}, refuse("a %s has no rollout; ask for a Deployment, StatefulSet or DaemonSet", k.GetKind())
	}
	o, err := r.get(ctx, k)
	if err != nil {
		return workload{}, reading(k, err)
	}
	return workloadOf(o.(object)), nil
}

func (r *Runner) rolloutHistory(ctx context.Context, k *report.ResourceKey, o *report.Outcome) error {
	w, err := r.rolloutObject(ctx, k)
	if err != nil {
		return err
	}
	history, err := r.revisions(ctx, w)
	if err != nil {
		return err
	}
	o.Uid, o.ResourceVersion = string(w.meta.UID), w.meta.ResourceVersion
	for _, h := range history {
		rev := &report.Revision{Number: h.number, ChangeCause: h.cause, Current: h.current, Name: h.name}
		if !h.created.IsZero() {
			rev.Created = timestamppb.New(h.created.Time)
		}
		rev.Images = maps.Clone(kube.Images(h.template))
		rev.TemplateHash = r.cfg.Converter.TemplateHash(h.template)
		o.Revisions = append(o.Revisions, rev)
	}
	return nil
}

// rolloutStatus says in kubectl's words how far a rollout is.
func (r *Runner) rolloutStatus(ctx context.Context, k *report.ResourceKey, o *report.Outcome) error {
	w, err := r.rolloutObject(ctx, k)
	if err != nil {
		return err
	}
	o.Uid, o.ResourceVersion = string(w.meta.UID), w.meta.ResourceVersion
	viewer, err := polymorphichelpers.StatusViewerFor(schema.GroupKind{Group: appsv1.GroupName, Kind: k.GetKind()})
	if err != nil {
		return err
	}
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(w.object)
	if err != nil {
		return err
	}
	text, _, err := viewer.Status(&unstructured.Unstructured{Object: u}, 0)
	if err != nil {
		text = err.Error() // "exceeded its progress deadline" is an answer, not a failure to give one
	}
	o.Message = strings.TrimSpace(text)
	return nil
}
