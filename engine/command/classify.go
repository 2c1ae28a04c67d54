package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// Policy says which places are protected: whatever is changed there needs another operator.
type Policy struct {
	ProtectedNamespaces []string // default kube-system
	ProtectedClusters   []string
}

func (p Policy) namespaces() []string {
	if p.ProtectedNamespaces == nil {
		return []string{"kube-system"}
	}
	return p.ProtectedNamespaces
}

// Protected says whether an entity is in a protected place, and which.
func (p Policy) Protected(r entity.Ref) (place string, protected bool) {
	switch {
	case slices.Contains(p.ProtectedClusters, r.Cluster):
		return "cluster " + r.Cluster, true
	case r.Namespace != "" && slices.Contains(p.namespaces(), r.Namespace):
		return "namespace " + r.Namespace, true
	case r.Kind == "Namespace" && slices.Contains(p.namespaces(), r.Name):
		return "namespace " + r.Name, true
	}
	return "", false
}

// Classify says who must approve a command, and the rule that says so. What is not known is refused.
func Classify(c Command, view *fleet.Cluster, policy Policy) (Class, string) {
	if err := c.Validate(); err != nil {
		return Refused, err.Error()
	}
	if view == nil || view.ID() != c.Target.Cluster {
		return Refused, "the cluster is not known"
	}
	if c.Bulk() {
		return classifyAll(c, view, policy)
	}
	object := view.Find(c.Target)
	if object == nil {
		return Refused, c.Target.Short() + " is not known"
	}
	class, why := classify(c, object)
	if place, protected := policy.Protected(c.Target); protected && class == W1 {
		return W2, place + " is protected"
	}
	return class, why
}

// classifyAll gives the class of a bulk command: that of its most dangerous member, and never less than W2.
func classifyAll(c Command, view *fleet.Cluster, policy Policy) (Class, string) {
	class, why := W2, fmt.Sprintf("%d objects at once", len(c.Each()))
	if len(c.Each()) == 0 {
		return Refused, "it names no object"
	}
	for _, one := range c.Each() {
		switch is, reason := Classify(one, view, policy); {
		case is == Refused:
			return Refused, reason
		case is > class:
			class, why = is, one.Target.Name+": "+reason
		}
	}
	return class, why
}

func classify(c Command, object *report.Resource) (Class, string) {
	const simple = "reversible, one object, unprotected place"
	switch c.Verb {
	case RolloutRestart, Rollback, Cordon, Uncordon:
		return W1, simple
	case Scale:
		old, want := int64(object.GetWorkload().GetDesired()), int64(c.Replicas)
		switch {
		case object.GetWorkload() == nil:
			return Refused, "its size is not known"
		case want == 0:
			return W3, "scaling to zero stops it"
		case 2*want >= old && want <= 2*old:
			return W1, simple
		}
		return W2, fmt.Sprintf("%d → %d is beyond half to double", old, want)
	case SetImage:
		return W2, "another image is not simply reversible"
	case DeletePod:
		if slices.ContainsFunc(object.GetOwners(), (*report.Owner).GetController) {
			return W1, "its owner makes a new one"
		}
		return W3, "nothing owns the pod: it does not come back"
	case Drain:
		return W3, "every pod of the node is evicted"
	case RolloutPause:
		return W2, "a paused Deployment takes no fix until it is resumed"
	case RolloutResume:
		return W2, "whatever was changed while it was paused is rolled out"
	case DeleteJob:
		return W3, "a deleted job does not come back, and its pods and logs go with it"
	case RunCronJob:
		return W2, "what a job does is not simply reversible"
	case Taint:
		if c.Effect == "NoExecute" {
			return W3, "every pod that does not tolerate the taint is evicted"
		}
		return W2, "it decides which pods may start on the node"
	case Untaint:
		return W2, "it decides which pods may start on the node"
	case Label, Annotate:
		return W2, "others may select and act on it"
	}
	return Refused, "the rule for it is not known"
}

// Needs says who may approve, for a card.
func (c Class) Needs() string {
	return [...]string{"nobody", "the operator who asks, or another", "one other operator", "one other operator, who types the name"}[c]
}

// tag gives the part of an image that tells versions apart: its tag, or the start of its digest.
func tag(image string) string {
	if name, digest, ok := strings.Cut(image, "@sha256:"); ok {
		if t := tag(name); t != name {
			return t
		}
		return digest[:min(len(digest), 12)]
	}
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[i+1:]
	}
	return image
}
