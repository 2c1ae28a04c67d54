package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/slo"
)

// SetObjective sets what a service or an ingress shall keep. It changes nothing in the cluster, so no second person is
// asked; it needs an operator of the namespace, and is audited. Its error is a *command.Denied for what the person can
// mend.
func (e *Engine) SetObjective(ctx context.Context, o slo.Objective, by people.Person) (slo.Objective, error) {
	if err := e.maySetObjectives(o.Key(), by); err != nil {
		return slo.Objective{}, err
	}
	o.By, o.At = by.Name, e.Now().UTC()
	set, err := e.SLO.Set(ctx, o)
	switch {
	case errors.Is(err, slo.ErrByFile):
		return set, &command.Denied{Sentence: "That objective stands in the file of objectives.", Remedy: "Change it there; the file would have the last word at the next start."}
	case err != nil:
		return set, err
	}
	_, err = e.Audit.Append(ctx, by, "objective.set", o.Entity.Cluster, o.Entity.String(), map[string]any{
		"objective": set.Name(), "layer": set.Layer, "target": set.Target, "window": set.Window.String(),
	})
	return set, err
}

// RemoveObjective ends an objective that was set in chat, by the same rules.
func (e *Engine) RemoveObjective(ctx context.Context, k slo.Key, by people.Person) error {
	if err := e.maySetObjectives(k, by); err != nil {
		return err
	}
	err := e.SLO.Remove(ctx, k)
	switch {
	case errors.Is(err, slo.ErrByFile):
		return &command.Denied{Sentence: "That objective stands in the file of objectives.", Remedy: "Remove it there."}
	case errors.Is(err, slo.ErrNotFound):
		return &command.Denied{Sentence: "That objective was not set in chat.", Remedy: "One from an annotation ends with the annotation."}
	case err != nil:
		return err
	}
	_, err = e.Audit.Append(ctx, by, "objective.removed", k.Entity.Cluster, k.Entity.String(), map[string]any{"kind": k.Kind, "layer": k.Layer, "route": k.Route})
	return err
}

func (e *Engine) maySetObjectives(k slo.Key, by people.Person) error {
	if role := e.People.RoleOf(by, k.Entity.Cluster, k.Entity.Namespace); role < people.Operator {
		return &command.Denied{
			Sentence: fmt.Sprintf("An objective in %s / %s is set by its operators, and you are %s there.", k.Entity.Cluster, k.Entity.Namespace, role),
			Remedy:   "An admin can grant the role.",
		}
	}
	return nil
}
