package kube

import (
	"regexp"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bukahou/atlhyper/agent/report"
)

// maxBackends bounds the product of hosts, paths and backends of one route.
const maxBackends = 200

func service(s *corev1.Service) *report.Resource {
	r := resource("Service", &s.ObjectMeta)
	d := &report.Service{
		Type: string(s.Spec.Type), ClusterIp: s.Spec.ClusterIP, Selector: labels(s.Spec.Selector), ExternalName: s.Spec.ExternalName,
	}
	for _, p := range s.Spec.Ports {
		d.Ports = append(d.Ports, &report.ServicePort{Name: p.Name, Protocol: string(p.Protocol), Port: p.Port, TargetPort: p.TargetPort.String()})
	}
	r.Detail = &report.Resource_Service{Service: d}
	return r
}

func endpointSlice(e *discoveryv1.EndpointSlice) *report.Resource {
	r := resource("EndpointSlice", &e.ObjectMeta)
	d := &report.EndpointSlice{Service: intern(e.Labels[discoveryv1.LabelServiceName])}
	for _, p := range e.Ports {
		d.Ports = append(d.Ports, &report.ServicePort{Name: value(p.Name), Protocol: string(value(p.Protocol)), Port: value(p.Port)})
	}
	for i := range e.Endpoints {
		ep := &e.Endpoints[i]
		out := &report.Endpoint{
			// The API says that an unset ready means ready.
			Ready: ep.Conditions.Ready == nil || *ep.Conditions.Ready, Terminating: value(ep.Conditions.Terminating),
			Node: intern(value(ep.NodeName)),
		}
		if len(ep.Addresses) > 0 {
			out.Address = ep.Addresses[0] // all addresses of one endpoint are the same backend
		}
		if ep.TargetRef != nil && ep.TargetRef.Kind == "Pod" {
			out.Pod = ep.TargetRef.Name
		}
		d.Endpoints = append(d.Endpoints, out)
	}
	r.Detail = &report.Resource_EndpointSlice{EndpointSlice: d}
	return r
}

func ingress(i *networkingv1.Ingress) *report.Resource {
	r := resource("Ingress", &i.ObjectMeta)
	d := &report.Ingress{Class: value(i.Spec.IngressClassName)}
	if d.Class == "" {
		d.Class = i.Annotations["kubernetes.io/ingress.class"]
	}
	backend := func(host, path string, b *networkingv1.IngressBackend) {
		if b == nil || b.Service == nil || len(d.Backends) >= maxBackends {
			return
		}
		port := b.Service.Port.Name
		if port == "" && b.Service.Port.Number != 0 {
			port = strconv.Itoa(int(b.Service.Port.Number))
		}
		d.Backends = append(d.Backends, &report.IngressBackend{Host: host, Path: path, Service: b.Service.Name, Port: port})
	}
	backend("", "", i.Spec.DefaultBackend)
	for _, rule := range i.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for p := range rule.HTTP.Paths {
			backend(rule.Host, rule.HTTP.Paths[p].Path, &rule.HTTP.Paths[p].Backend)
		}
	}
	for _, t := range i.Spec.TLS {
		if t.SecretName != "" {
			d.TlsSecrets = append(d.TlsSecrets, t.SecretName)
		}
	}
	for _, a := range i.Status.LoadBalancer.Ingress {
		if a.IP != "" {
			d.Addresses = append(d.Addresses, a.IP)
		} else if a.Hostname != "" {
			d.Addresses = append(d.Addresses, a.Hostname)
		}
	}
	r.Detail = &report.Resource_Ingress{Ingress: d}
	return r
}

func networkPolicy(p *networkingv1.NetworkPolicy) *report.Resource {
	r := resource("NetworkPolicy", &p.ObjectMeta)
	d := &report.NetworkPolicy{
		PodSelector: selector(&p.Spec.PodSelector), IngressRules: int32(len(p.Spec.Ingress)), EgressRules: int32(len(p.Spec.Egress)),
	}
	for _, t := range p.Spec.PolicyTypes {
		d.PolicyTypes = append(d.PolicyTypes, string(t))
	}
	r.Detail = &report.Resource_NetworkPolicy{NetworkPolicy: d}
	return r
}

// route converts a Gateway API route or a Traefik IngressRoute; nil for any other kind. These objects are shaped by
// whatever CRD is installed, so a field of another type than expected is read as absent.
func route(u *unstructured.Unstructured) *report.Resource {
	var d *report.Ingress
	switch u.GetKind() {
	case "HTTPRoute", "GRPCRoute":
		d = gatewayRoute(u)
	case "IngressRoute":
		d = traefikRoute(u)
	default:
		return nil
	}
	m := metav1.ObjectMeta{
		Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(), Generation: u.GetGeneration(),
		CreationTimestamp: u.GetCreationTimestamp(), DeletionTimestamp: u.GetDeletionTimestamp(), Labels: u.GetLabels(),
		Annotations: u.GetAnnotations(), Finalizers: u.GetFinalizers(), OwnerReferences: u.GetOwnerReferences(),
	}
	r := resource(u.GetKind(), &m)
	r.Detail = &report.Resource_Ingress{Ingress: d}
	return r
}

func gatewayRoute(u *unstructured.Unstructured) *report.Ingress {
	d := &report.Ingress{}
	for _, p := range objects(u.Object, "spec", "parentRefs") {
		d.Class = text(p, "name")
		break
	}
	hosts, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "hostnames")
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, rule := range objects(u.Object, "spec", "rules") {
		var paths []string
		for _, m := range objects(rule, "matches") {
			if path, ok, _ := unstructured.NestedString(m, "path", "value"); ok {
				paths = append(paths, path)
			} else if service, ok, _ := unstructured.NestedString(m, "method", "service"); ok {
				paths = append(paths, "/"+service)
			}
		}
		if len(paths) == 0 {
			paths = []string{"/"}
		}
		for _, b := range objects(rule, "backendRefs") {
			if k := text(b, "kind"); k != "" && k != "Service" {
				continue
			}
			for _, host := range hosts {
				for _, path := range paths {
					if len(d.Backends) < maxBackends {
						d.Backends = append(d.Backends, &report.IngressBackend{
							Host: host, Path: path, Service: text(b, "name"), Port: text(b, "port"), ServiceNamespace: text(b, "namespace"),
						})
					}
				}
			}
		}
	}
	return d
}

// Traefik's rule language is larger than these two; what they do not match has no host or path in the graph.
var (
	traefikHost = regexp.MustCompile("Host\\(`([^`]*)`")
	traefikPath = regexp.MustCompile("Path(?:Prefix)?\\(`([^`]*)`")
)

func traefikRoute(u *unstructured.Unstructured) *report.Ingress {
	d := &report.Ingress{Class: "traefik"}
	for _, rt := range objects(u.Object, "spec", "routes") {
		match := text(rt, "match")
		hosts, paths := []string{""}, []string{"/"}
		if m := traefikHost.FindAllStringSubmatch(match, -1); len(m) > 0 {
			hosts = firsts(m)
		}
		if m := traefikPath.FindAllStringSubmatch(match, -1); len(m) > 0 {
			paths = firsts(m)
		}
		for _, s := range objects(rt, "services") {
			if k := text(s, "kind"); k != "" && k != "Service" {
				continue
			}
			for _, host := range hosts {
				for _, path := range paths {
					if len(d.Backends) < maxBackends {
						d.Backends = append(d.Backends, &report.IngressBackend{
							Host: host, Path: path, Service: text(s, "name"), Port: text(s, "port"), ServiceNamespace: text(s, "namespace"),
						})
					}
				}
			}
		}
	}
	if name, ok, _ := unstructured.NestedString(u.Object, "spec", "tls", "secretName"); ok && name != "" {
		d.TlsSecrets = []string{name}
	}
	return d
}

func firsts(groups [][]string) []string {
	out := make([]string, 0, len(groups))
	for _, g := range groups {
		out = append(out, g[1])
	}
	return out
}

// objects gives the maps in a list field.
func objects(o map[string]any, path ...string) []map[string]any {
	list, _, _ := unstructured.NestedFieldNoCopy(o, path...)
	items, _ := list.([]any)
	out := make([]map[string]any, 0, len(items))
	for _, i := range items {
		if m, ok := i.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// text gives a field that may be a string or a number.
func text(o map[string]any, field string) string {
	switch v := o[field].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
