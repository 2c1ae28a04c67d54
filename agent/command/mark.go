package command

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/report"
)

// onAny changes an object of a kind whose labels and annotations may be set.
func (r *Runner) onAny(ctx context.Context, c *report.Command, o *report.Outcome, edit func(object) error) error {
	ns := c.GetTarget().GetNamespace()
	apps, batch, core := r.cfg.Client.AppsV1(), r.cfg.Client.BatchV1(), r.cfg.Client.CoreV1()
	switch k := c.GetTarget().GetKind(); k {
	case "Deployment":
		return changeAny(ctx, r, c, apps.Deployments(ns), o, edit)
	case "StatefulSet":
		return changeAny(ctx, r, c, apps.StatefulSets(ns), o, edit)
	case "DaemonSet":
		return changeAny(ctx, r, c, apps.DaemonSets(ns), o, edit)
	case "Job":
		return changeAny(ctx, r, c, batch.Jobs(ns), o, edit)
	case "CronJob":
		return changeAny(ctx, r, c, batch.CronJobs(ns), o, edit)
	case "Pod":
		return changeAny(ctx, r, c, core.Pods(ns), o, edit)
	case "Service":
		return changeAny(ctx, r, c, core.Services(ns), o, edit)
	case "Namespace":
		return changeAny(ctx, r, c, core.Namespaces(), o, edit)
	case "Node":
		return changeAny(ctx, r, c, core.Nodes(), o, edit)
	default:
		return refuse("nothing was changed: labels and annotations of a %s are not set from here", k)
	}
}

func changeAny[T object](ctx context.Context, r *Runner, c *report.Command, api editor[T], o *report.Outcome, edit func(object) error) error {
	_, _, err := change(ctx, r, c, api, o, func(v T) error { return edit(v) })
	return err
}

// mark sets or removes one label or annotation of the object itself, never of a pod template.
func (r *Runner) mark(ctx context.Context, c *report.Command, what string, m interface {
	GetKey() string
	GetValue() string
	GetRemove() bool
}, o *report.Outcome) error {
	if m.GetKey() == "" {
		return refuse("nothing was changed: the %s has no key", what)
	}
	err := r.onAny(ctx, c, o, func(v object) error {
		all, set := v.GetLabels(), v.SetLabels
		if what == "annotation" {
			all, set = v.GetAnnotations(), v.SetAnnotations
		}
		if m.GetRemove() {
			delete(all, m.GetKey())
		} else {
			if all == nil {
				all = map[string]string{}
			}
			all[m.GetKey()] = m.GetValue()
		}
		set(all)
		return nil
	})
	if err != nil || len(o.Changes) == 0 {
		return err
	}
	word := what + " " + m.GetKey() + " of " + display(c.GetTarget()) + " set"
	if m.GetRemove() {
		word = what + " " + m.GetKey() + " of " + display(c.GetTarget()) + " removed"
	}
	o.Message = done(c, word)
	return nil
}

// taint adds a taint to a node, or replaces the value of the one with its key and effect.
func (r *Runner) taint(ctx context.Context, c *report.Command, t *report.Taint, o *report.Outcome) error {
	return r.onTaints(ctx, c, o, "tainted with "+taintText(t.GetKey(), t.GetValue(), t.GetEffect()), func(all []corev1.Taint) []corev1.Taint {
		wanted := corev1.Taint{Key: t.GetKey(), Value: t.GetValue(), Effect: corev1.TaintEffect(t.GetEffect())}
		if i := slices.IndexFunc(all, func(is corev1.Taint) bool { return is.MatchTaint(&wanted) }); i >= 0 {
			all[i].Value = wanted.Value
			return all
		}
		return append(all, wanted)
	})
}

func (r *Runner) untaint(ctx context.Context, c *report.Command, t *report.RemoveTaint, o *report.Outcome) error {
	return r.onTaints(ctx, c, o, "freed of the taint "+taintText(t.GetKey(), "", t.GetEffect()), func(all []corev1.Taint) []corev1.Taint {
		return slices.DeleteFunc(all, func(is corev1.Taint) bool {
			return is.Key == t.GetKey() && (t.GetEffect() == "" || string(is.Effect) == t.GetEffect())
		})
	})
}

func (r *Runner) onTaints(ctx context.Context, c *report.Command, o *report.Outcome, word string, edit func([]corev1.Taint) []corev1.Taint) error {
	if k := c.GetTarget().GetKind(); k != "Node" {
		return refuse("nothing was changed: only a Node has taints, not a %s", k)
	}
	_, _, err := change(ctx, r, c, r.cfg.Client.CoreV1().Nodes(), o, func(n *corev1.Node) error {
		n.Spec.Taints = edit(n.Spec.Taints)
		return nil
	})
	if err == nil && len(o.Changes) > 0 {
		o.Message = done(c, display(c.GetTarget())+" "+word)
	}
	return err
}

// taintText writes a taint as kubectl does: "key=value:NoSchedule".
func taintText(key, value, effect string) string {
	if value != "" {
		key += "=" + value
	}
	return strings.TrimSuffix(key+":"+effect, ":")
}
