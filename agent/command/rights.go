package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/report"
)

// acting gives the runner with the rights that count for a command: the agent's own or, where it impersonates, those of
// the person who asked. A command without a person is refused then: the agent's own rights must not stand in.
func (r *Runner) acting(c *report.Command) (*Runner, error) {
	if r.cfg.As == nil {
		return r, nil
	}
	user := c.GetOnBehalfOf().GetUser()
	// "system:" names the cluster's own parts: no chat name may become one of them.
	for _, name := range append([]string{user}, c.GetOnBehalfOf().GetGroups()...) {
		if name == "" || strings.HasPrefix(name, "system:") {
			return nil, refuse("nothing was changed: the agent acts for a person only, and %q is none", name)
		}
	}
	client, err := r.cfg.As(user, c.GetOnBehalfOf().GetGroups())
	if err != nil {
		return nil, fmt.Errorf("act for %s: %w", user, err)
	}
	cfg := r.cfg
	cfg.Client = client
	return &Runner{cfg: cfg, previews: r.previews}, nil
}

// resources maps a kind to its API group and resource.
var resources = map[string][2]string{
	"Deployment": {"apps", "deployments"}, "StatefulSet": {"apps", "statefulsets"}, "DaemonSet": {"apps", "daemonsets"},
	"Job": {"batch", "jobs"}, "CronJob": {"batch", "cronjobs"},
	"Pod": {"", "pods"}, "Node": {"", "nodes"}, "Namespace": {"", "namespaces"}, "Service": {"", "services"},
}

// needs lists what a command does to the API. A dry run tries only its first step; the rest is asked for.
func (r *Runner) needs(ctx context.Context, c *report.Command) ([]authorizationv1.ResourceAttributes, error) {
	k := c.GetTarget()
	right := func(verb, kind string) authorizationv1.ResourceAttributes {
		at := resources[kind]
		return authorizationv1.ResourceAttributes{Verb: verb, Group: at[0], Resource: at[1], Namespace: k.GetNamespace()}
	}
	named := func(verb string) []authorizationv1.ResourceAttributes {
		a := right(verb, k.GetKind())
		a.Name = k.GetName()
		return []authorizationv1.ResourceAttributes{a}
	}
	switch c.GetChange().(type) {
	case *report.Command_DeletePod, *report.Command_DeleteJob:
		return named("delete"), nil
	case *report.Command_RunCronJob:
		return append(named("get"), right("create", "Job")), nil
	case *report.Command_Rollback:
		history := authorizationv1.ResourceAttributes{Verb: "list", Group: "apps", Resource: "replicasets", Namespace: k.GetNamespace()}
		if k.GetKind() != "Deployment" {
			history.Resource = "controllerrevisions"
		}
		return append(named("update"), history), nil
	case *report.Command_Drain:
		out := named("update")
		pods, err := r.podsOn(ctx, k.GetName())
		if err != nil {
			return nil, fmt.Errorf("list pods of the node: %w", err)
		}
		var seen []string
		for i := range pods {
			if ns := pods[i].Namespace; !slices.Contains(seen, ns) {
				seen = append(seen, ns)
				out = append(out, authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "eviction", Namespace: ns})
			}
		}
		return out, nil
	}
	return named("update"), nil
}

// permitted asks the API server before anybody is asked for an approval whether the command's every step is allowed.
// Where it does not answer, the dry run decides.
func (r *Runner) permitted(ctx context.Context, c *report.Command) error {
	if resources[c.GetTarget().GetKind()] == [2]string{} {
		return nil // the command itself says what it works on
	}
	needs, err := r.needs(ctx, c)
	if err != nil {
		return err
	}
	for _, n := range needs {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &n}}
		got, err := r.cfg.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			r.cfg.Logger.WarnContext(ctx, "access not reviewed", "err", err)
			return nil
		}
		if got.Status.Allowed {
			continue
		}
		who := "the agent"
		if r.cfg.As != nil {
			who = c.GetOnBehalfOf().GetUser()
		}
		what := n.Resource
		if n.Subresource != "" {
			what += "/" + n.Subresource
		}
		if n.Namespace != "" {
			what += " in namespace " + n.Namespace
		}
		return refuse("nothing was changed: %s may not %s %s; whoever runs the cluster can allow it there", who, n.Verb, what)
	}
	return nil
}
