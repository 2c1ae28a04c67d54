// Package entity names the things that the engine reasons about. A Ref always carries its cluster: state keyed
// without it mixes clusters up, which is the worst bug of the system that AtlHyper follows.
package entity

import (
	"strings"
)

// Kinds, as Kubernetes spells them. External is a dependency outside the cluster.
const (
	Ingress     = "Ingress"
	Service     = "Service"
	Deployment  = "Deployment"
	StatefulSet = "StatefulSet"
	DaemonSet   = "DaemonSet"
	ReplicaSet  = "ReplicaSet"
	Job         = "Job"
	CronJob     = "CronJob"
	Pod         = "Pod"
	Node        = "Node"
	External    = "External"
	Cluster     = "Cluster"
	Edge        = "Edge" // the calls from one entity to another, where these have metrics of their own; see EdgeRef
)

// Ref names one entity of one cluster. It is comparable and is used as a map key. Namespace is empty for
// cluster-scoped kinds.
type Ref struct {
	Cluster   string `json:"cluster"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String gives "prod-eu/shop/deployment/payments", or "prod-eu/node/worker-1" for a cluster-scoped entity.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Cluster + "/" + strings.ToLower(r.Kind) + "/" + r.Name
	}
	return r.Cluster + "/" + r.Namespace + "/" + strings.ToLower(r.Kind) + "/" + r.Name
}

// Short gives "deployment/payments", the form that a person can paste behind kubectl -n.
func (r Ref) Short() string { return strings.ToLower(r.Kind) + "/" + r.Name }

// EdgeRef names the calls from one entity to another of the same cluster.
func EdgeRef(from, to Ref) Ref {
	side := func(r Ref) string { return strings.TrimPrefix(r.String(), r.Cluster+"/") }
	return Ref{Cluster: from.Cluster, Kind: Edge, Name: side(from) + "->" + side(to)}
}

// IsZero says whether r names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Workload says whether r is a kind that owns pods.
func (r Ref) Workload() bool {
	switch r.Kind {
	case Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob:
		return true
	}
	return false
}

// Compare orders refs by cluster, kind, namespace and name, so that results do not depend on map order.
func Compare(a, b Ref) int {
	// Not cmp.Or, which compares all before it looks at the first: every evaluation sorts by this.
	if c := strings.Compare(a.Cluster, b.Cluster); c != 0 {
		return c
	}
	if c := strings.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}
