package apiserver

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The resources that the simulated cluster serves.
var (
	Pods                   = core("pods")
	Nodes                  = core("nodes")
	Namespaces             = core("namespaces")
	Services               = core("services")
	ConfigMaps             = core("configmaps")
	Secrets                = core("secrets")
	Events                 = core("events")
	ServiceAccounts        = core("serviceaccounts")
	PersistentVolumes      = core("persistentvolumes")
	PersistentVolumeClaims = core("persistentvolumeclaims")
	Deployments            = apps("deployments")
	ReplicaSets            = apps("replicasets")
	StatefulSets           = apps("statefulsets")
	DaemonSets             = apps("daemonsets")
	ControllerRevisions    = apps("controllerrevisions")
	EndpointSlices         = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	Ingresses              = schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}
	Leases                 = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	PodDisruptionBudgets   = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
)

func core(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: resource}
}

func apps(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
}

// generational tells the resources whose metadata.generation counts changes of the spec.
func generational(gvr schema.GroupVersionResource) bool {
	switch gvr {
	case Pods, Deployments, ReplicaSets, StatefulSets, DaemonSets, Ingresses, PodDisruptionBudgets:
		return true
	}
	return false
}

// resources is what discovery answers: enough for kubectl's helpers, which look for pods/eviction.
func resources() []*metav1.APIResourceList {
	verbs := metav1.Verbs{"create", "delete", "get", "list", "patch", "update", "watch"}
	list := func(groupVersion string, rows ...metav1.APIResource) *metav1.APIResourceList {
		for i := range rows {
			if rows[i].Verbs == nil {
				rows[i].Verbs = verbs
			}
		}
		return &metav1.APIResourceList{GroupVersion: groupVersion, APIResources: rows}
	}
	scale := metav1.Verbs{"get", "patch", "update"}
	return []*metav1.APIResourceList{
		list("v1",
			metav1.APIResource{Name: "configmaps", Kind: "ConfigMap", Namespaced: true},
			metav1.APIResource{Name: "events", Kind: "Event", Namespaced: true},
			metav1.APIResource{Name: "namespaces", Kind: "Namespace"},
			metav1.APIResource{Name: "nodes", Kind: "Node"},
			metav1.APIResource{Name: "persistentvolumeclaims", Kind: "PersistentVolumeClaim", Namespaced: true},
			metav1.APIResource{Name: "persistentvolumes", Kind: "PersistentVolume"},
			metav1.APIResource{Name: "pods", Kind: "Pod", Namespaced: true},
			metav1.APIResource{Name: "pods/eviction", Kind: "Eviction", Group: "policy", Version: "v1", Namespaced: true, Verbs: metav1.Verbs{"create"}},
			metav1.APIResource{Name: "secrets", Kind: "Secret", Namespaced: true},
			metav1.APIResource{Name: "serviceaccounts", Kind: "ServiceAccount", Namespaced: true},
			metav1.APIResource{Name: "services", Kind: "Service", Namespaced: true},
		),
		list("apps/v1",
			metav1.APIResource{Name: "controllerrevisions", Kind: "ControllerRevision", Namespaced: true},
			metav1.APIResource{Name: "daemonsets", Kind: "DaemonSet", Namespaced: true},
			metav1.APIResource{Name: "deployments", Kind: "Deployment", Namespaced: true},
			metav1.APIResource{Name: "deployments/scale", Kind: "Scale", Group: "autoscaling", Version: "v1", Namespaced: true, Verbs: scale},
			metav1.APIResource{Name: "replicasets", Kind: "ReplicaSet", Namespaced: true},
			metav1.APIResource{Name: "replicasets/scale", Kind: "Scale", Group: "autoscaling", Version: "v1", Namespaced: true, Verbs: scale},
			metav1.APIResource{Name: "statefulsets", Kind: "StatefulSet", Namespaced: true},
			metav1.APIResource{Name: "statefulsets/scale", Kind: "Scale", Group: "autoscaling", Version: "v1", Namespaced: true, Verbs: scale},
		),
		list("coordination.k8s.io/v1", metav1.APIResource{Name: "leases", Kind: "Lease", Namespaced: true}),
		list("discovery.k8s.io/v1", metav1.APIResource{Name: "endpointslices", Kind: "EndpointSlice", Namespaced: true}),
		list("networking.k8s.io/v1", metav1.APIResource{Name: "ingresses", Kind: "Ingress", Namespaced: true}),
		list("policy/v1", metav1.APIResource{Name: "poddisruptionbudgets", Kind: "PodDisruptionBudget", Namespaced: true}),
	}
}
