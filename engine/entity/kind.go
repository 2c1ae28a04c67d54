package entity

import "strings"

// kinds maps what people type to the kind: the names, plurals and short names of kubectl.
var kinds = func() map[string]string {
	m := map[string]string{}
	for kind, aliases := range map[string]string{
		Pod: "po", Node: "no", "Namespace": "ns", Deployment: "deploy dep", StatefulSet: "sts", DaemonSet: "ds", ReplicaSet: "rs",
		Job: "", CronJob: "cj", Service: "svc", "EndpointSlice": "eps ep endpoints", Ingress: "ing ingresses", "ConfigMap": "cm", "Secret": "",
		"PersistentVolume": "pv", "PersistentVolumeClaim": "pvc", "NetworkPolicy": "netpol networkpolicies", "ServiceAccount": "sa",
		"ResourceQuota": "quota", "LimitRange": "limits", "Event": "ev", "HorizontalPodAutoscaler": "hpa", "PodDisruptionBudget": "pdb",
		"HTTPRoute": "", "GRPCRoute": "", "IngressRoute": "",
	} {
		m[strings.ToLower(kind)], m[strings.ToLower(kind)+"s"] = kind, kind
		for a := range strings.FieldsSeq(aliases) {
			m[a] = kind
		}
	}
	return m
}()

// ParseKind reads a kind as people type it: "deploy", "pods", "StatefulSet". ok is false for anything else.
func ParseKind(s string) (kind string, ok bool) {
	s, _, _ = strings.Cut(strings.ToLower(s), ".") // deployments.apps
	kind, ok = kinds[s]
	return kind, ok
}
