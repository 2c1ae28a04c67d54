package detect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// services finds services that send their callers nowhere.
func (p *pass) services() {
	if !p.visible("EndpointSlice") || !p.visible(entity.Pod) {
		return
	}
	byService := map[string][]*report.EndpointSlice{}
	for _, r := range p.c.List("EndpointSlice", "") {
		key := r.GetNamespace() + "/" + r.GetEndpointSlice().GetService()
		byService[key] = append(byService[key], r.GetEndpointSlice())
	}
	for _, r := range p.c.List(entity.Service, "") {
		sel := r.GetService().GetSelector()
		if len(sel) == 0 || r.GetService().GetType() == "ExternalName" || r.GetDeleting() != nil {
			continue // its endpoints are somebody's own business
		}
		ref := p.c.Ref(r)
		ready := 0
		for _, s := range byService[r.GetNamespace()+"/"+r.GetName()] {
			for _, e := range s.GetEndpoints() {
				if e.GetReady() && !e.GetTerminating() {
					ready++
				}
			}
		}
		pods := p.labelled.matching(r.GetNamespace(), sel)
		p.ports(r, ref, live(pods))
		if ready > 0 || p.quiet(r, pods) {
			continue
		}
		since, ok := p.lasted("endpoints|"+ref.String(), time.Time{}, p.t.NoEndpoints)
		if !ok {
			continue
		}
		f := Fact{Entity: ref, Kind: "NoEndpoints", Score: 0.85, Since: since}
		if len(pods) == 0 {
			f.Kind, f.Text = "SelectorMatchesNothing", "the selector "+selector(sel)+" matches no pod"
		} else {
			f.Text = fmt.Sprintf("no endpoint is ready, of %s that the selector matches", plural(len(pods), "pod", "pods"))
		}
		p.raise(f)
	}
}

// quiet says whether a service without endpoints is none to speak of: its pods are starting within their allowance or
// leaving in good order, its workload is scaled to zero, or its Job is over.
func (p *pass) quiet(r *report.Resource, pods []*pod) bool {
	over := 0
	for _, v := range pods {
		switch {
		case p.starting(v), p.leaving(v):
			return true
		case v.done:
			over++
		}
	}
	if over > 0 && over == len(pods) {
		return true
	}
	if len(pods) > 0 {
		return false
	}
	sel := r.GetService().GetSelector()
	for _, kind := range []string{entity.Deployment, entity.StatefulSet, entity.ReplicaSet} {
		for _, w := range p.c.List(kind, r.GetNamespace()) {
			if w.GetWorkload().GetDesired() != 0 {
				continue
			}
			if o := p.c.Controller(w); o != nil && o.GetWorkload().GetDesired() != 0 {
				continue // an old ReplicaSet of a workload that runs
			}
			if matches(sel, w.GetLabels()) || matches(sel, w.GetWorkload().GetSelector()) {
				return true
			}
		}
	}
	return false
}

// ports finds a named targetPort that no container names. A number cannot be checked: what a container lists is only a
// note, it may listen anywhere.
func (p *pass) ports(r *report.Resource, ref entity.Ref, pods []*pod) {
	if len(pods) == 0 {
		return
	}
	for _, port := range r.GetService().GetPorts() {
		name := port.GetTargetPort()
		if _, err := strconv.Atoi(name); err == nil || name == "" {
			continue
		}
		named := slices.ContainsFunc(pods, func(v *pod) bool {
			return slices.ContainsFunc(v.GetPod().GetContainers(), func(ct *report.Container) bool {
				return slices.ContainsFunc(ct.GetPorts(), func(s string) bool { return strings.HasPrefix(s, name+":") })
			})
		})
		if !named {
			p.raise(Fact{
				Entity: ref, Kind: "TargetPortMatchesNothing", Score: 0.85,
				Text: fmt.Sprintf("port %d goes to the container port %q, and no container of its %s has one of that name", port.GetPort(), name, plural(len(pods), "pod", "pods")),
			})
		}
	}
}

// routeKinds are the kinds that come with the detail of an Ingress.
var routeKinds = []string{entity.Ingress, "HTTPRoute", "GRPCRoute", "IngressRoute"}

// ingresses finds routes to services that are not there, and certificates that expire.
func (p *pass) ingresses() {
	for _, kind := range routeKinds {
		for _, r := range p.c.List(kind, "") {
			if r.GetDeleting() == nil {
				p.backends(r)
				p.certificates(r)
			}
		}
	}
}

func (p *pass) backends(r *report.Resource) {
	if !p.visible(entity.Service) {
		return
	}
	var missing []string
	for _, b := range r.GetIngress().GetBackends() {
		ns := b.GetServiceNamespace()
		if ns == "" {
			ns = r.GetNamespace()
		}
		if b.GetService() == "" || p.c.Get(entity.Service, ns, b.GetService()) != nil {
			continue
		}
		if text := "service/" + b.GetService() + " for " + b.GetHost() + b.GetPath(); !slices.Contains(missing, text) {
			missing = append(missing, text)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		p.raise(Fact{Entity: p.c.Ref(r), Kind: "MissingService", Score: 0.85, Text: "it routes to what does not exist: " + strings.Join(missing, ", ")})
	}
}

func (p *pass) certificates(r *report.Resource) {
	for _, name := range r.GetIngress().GetTlsSecrets() {
		secret := p.c.Get("Secret", r.GetNamespace(), name)
		end := p.at(secret.GetConfig().GetNotAfter())
		if end.IsZero() {
			continue
		}
		f := Fact{Entity: p.c.Ref(r), Source: p.c.Ref(secret)}
		switch left := end.Sub(p.now); {
		case left <= 0:
			f.Kind, f.Score, f.Text = "CertificateExpired", 0.95, "the certificate in secret/"+name+" expired "+short(-left)+" ago"
		case left < p.t.Expiry:
			f.Kind, f.Score, f.Text = "CertificateExpiring", 0.60, "the certificate in secret/"+name+" expires in "+short(left)
		default:
			continue
		}
		p.raise(f)
	}
}

// labelIndex finds pods by one label of a namespace: without it every service would compare itself with every pod.
type labelIndex map[[3]string][]*pod

func indexLabels(pods []*pod) labelIndex {
	out := labelIndex{}
	for _, v := range pods {
		for k, val := range v.GetLabels() {
			key := [3]string{v.GetNamespace(), k, val}
			out[key] = append(out[key], v)
		}
	}
	return out
}

// matching gives the pods that a selector matches, in the order of their names.
func (l labelIndex) matching(namespace string, selector map[string]string) []*pod {
	var fewest []*pod
	first := true
	for k, v := range selector {
		if list := l[[3]string{namespace, k, v}]; first || len(list) < len(fewest) {
			fewest, first = list, false
		}
	}
	return podsOf(fewest, func(v *pod) bool { return matches(selector, v.GetLabels()) })
}

func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

func selector(m map[string]string) string {
	out := make([]string, 0, len(m))
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
