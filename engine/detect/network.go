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
	if !p.served {
		p.fronts, p.served = p.frontsNow(), true
	}
	for _, f := range p.fronts {
		p.ports(f.service, f.ref, f.live)
		if f.ready || p.quiet(f.service, f.pods) {
			continue
		}
		since, ok := p.lasted(f.key, time.Time{}, p.t.NoEndpoints)
		if !ok {
			continue
		}
		x := Fact{Entity: f.ref, Kind: "NoEndpoints", Score: 0.85, Since: since}
		if len(f.pods) == 0 {
			x.Kind, x.Text = "SelectorMatchesNothing", "the selector "+selector(f.service.GetService().GetSelector())+" matches no pod"
		} else {
			x.Text = fmt.Sprintf("no endpoint is ready, of %s that the selector matches", plural(len(f.pods), "pod", "pods"))
		}
		p.raise(x)
	}
}

// front is a service with the pods that its selector matches, as they are while no resource changes.
type front struct {
	service    *report.Resource
	ref        entity.Ref
	key        string
	ready      bool // an endpoint is
	pods, live []*pod
}

func (p *pass) frontsNow() []front {
	ready := map[string]bool{}
	for _, r := range p.c.List("EndpointSlice", "") {
		for _, e := range r.GetEndpointSlice().GetEndpoints() {
			if e.GetReady() && !e.GetTerminating() {
				ready[r.GetNamespace()+"/"+r.GetEndpointSlice().GetService()] = true
			}
		}
	}
	labelled := indexLabels(p.pods)
	var out []front
	for _, r := range p.c.List(entity.Service, "") {
		sel := r.GetService().GetSelector()
		if len(sel) == 0 || r.GetService().GetType() == "ExternalName" || r.GetDeleting() != nil {
			continue // its endpoints are somebody's own business
		}
		ref := p.c.Ref(r)
		pods := labelled.matching(r.GetNamespace(), sel)
		out = append(out, front{r, ref, "endpoints|" + ref.String(), ready[r.GetNamespace()+"/"+r.GetName()], pods, live(pods)})
	}
	return out
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
