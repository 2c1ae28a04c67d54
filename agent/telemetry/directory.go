package telemetry

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/bukahou/atlhyper/agent/report"
)

// Lister gives the current objects of a kind. What it returns is not changed.
type Lister interface {
	Resources(kind string) []*report.Resource
}

// Directory implements Names on the objects that an agent watches. It reads them again once they are Fresh old, for a
// tick asks for thousands of names.
type Directory struct {
	lister Lister
	fresh  time.Duration
	now    func() time.Time

	mu    sync.Mutex // guards what follows; an index is never changed once made
	made  time.Time
	index *index
}

var _ Names = (*Directory)(nil)

// NewDirectory makes one. now is the clock that says when the objects are read again.
func NewDirectory(lister Lister, now func() time.Time) *Directory {
	return &Directory{lister: lister, fresh: 5 * time.Second, now: now}
}

type object struct{ kind, namespace, name string }

func (o object) ref() *report.EntityRef {
	return &report.EntityRef{Kind: o.kind, Namespace: o.namespace, Name: o.name}
}

// index is the cluster by the names that stores use. An object with an empty name marks a name that two have.
type index struct {
	nodes     map[string]string
	addresses map[string][]string
	services  map[object]bool
	named     map[string][]object // Services by name, in any namespace
	front     map[object][]object // workload and pod → the Services in front of it
	workloads map[string][]object // by name, in any namespace
	behind    map[object][]string // Service → names of the workloads behind it
	hosts     map[string]object   // cluster and pod IPs → Service
	backends  map[string]object   // as Traefik writes a Service
	routers   map[string]object   // as Traefik writes what routes
	routes    map[object][]object // Service → what routes to it
	single    map[object]object   // an IngressRoute with one Service → that
}

func (d *Directory) current() *index {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.now(); d.index == nil || now.Sub(d.made) >= d.fresh || now.Before(d.made) {
		d.index, d.made = build(d.lister), now
	}
	return d.index
}

// routing are the kinds whose detail is an Ingress.
var routing = []string{"Ingress", "IngressRoute", "HTTPRoute", "GRPCRoute"}

func build(l Lister) *index {
	x := &index{
		nodes: map[string]string{}, addresses: map[string][]string{}, services: map[object]bool{}, named: map[string][]object{}, front: map[object][]object{},
		workloads: map[string][]object{}, behind: map[object][]string{}, hosts: map[string]object{}, backends: map[string]object{}, routers: map[string]object{},
		routes: map[object][]object{}, single: map[object]object{},
	}
	for _, n := range l.Resources("Node") {
		names := []string{n.GetName()}
		for _, a := range n.GetNode().GetAddresses() {
			if !slices.Contains(names, a) {
				names = append(names, a)
			}
		}
		slices.Sort(names[1:])
		x.addresses[n.GetName()] = names
		for _, a := range names {
			x.nodes[a] = n.GetName()
		}
	}
	x.runs(l)
	for _, s := range l.Resources("Service") {
		o := object{"Service", s.GetNamespace(), s.GetName()}
		x.services[o] = true
		x.named[o.name] = append(x.named[o.name], o)
		if ip := s.GetService().GetClusterIp(); ip != "" && ip != "None" {
			x.hosts[ip] = o
		}
		whole := normal(o.namespace + "-" + o.name)
		claim(x.backends, whole, o)
		for _, p := range s.GetService().GetPorts() {
			claim(x.backends, whole+"-"+normal(p.GetName()), o)
			claim(x.backends, whole+"-"+strconv.Itoa(int(p.GetPort())), o)
		}
	}
	for _, kind := range routing {
		for _, r := range l.Resources(kind) {
			from := object{kind, r.GetNamespace(), r.GetName()}
			claim(x.routers, normal(from.namespace+"-"+from.name), from)
			var to []object
			for _, b := range r.GetIngress().GetBackends() {
				s := object{"Service", cmp.Or(b.GetServiceNamespace(), r.GetNamespace()), b.GetService()}
				if x.services[s] && !slices.Contains(to, s) {
					to = append(to, s)
					x.routes[s] = append(x.routes[s], from)
				}
			}
			if len(to) == 1 {
				x.single[from] = to[0]
			}
		}
	}
	return x
}

// runs finds what stands in front of what, by the endpoints that there are, and by selectors where a workload has no pod.
func (x *index) runs(l Lister) {
	owner := map[object]object{}
	for _, kind := range []string{"ReplicaSet", "Pod"} {
		for _, r := range l.Resources(kind) {
			o := object{kind, r.GetNamespace(), r.GetName()}
			for _, w := range r.GetOwners() {
				if w.GetController() {
					owner[o] = object{w.GetKind(), r.GetNamespace(), w.GetName()}
				}
			}
		}
	}
	link := func(workload, service object) {
		if !slices.Contains(x.front[workload], service) {
			x.front[workload] = append(x.front[workload], service)
		}
		if !slices.Contains(x.behind[service], workload.name) {
			x.behind[service] = append(x.behind[service], workload.name)
		}
	}
	for _, s := range l.Resources("EndpointSlice") {
		service := object{"Service", s.GetNamespace(), s.GetEndpointSlice().GetService()}
		if service.name == "" {
			continue
		}
		for _, e := range s.GetEndpointSlice().GetEndpoints() {
			if e.GetPod() == "" {
				continue
			}
			pod := object{"Pod", s.GetNamespace(), e.GetPod()}
			if !slices.Contains(x.front[pod], service) {
				x.front[pod] = append(x.front[pod], service)
			}
			if _, taken := x.hosts[e.GetAddress()]; !taken {
				x.hosts[e.GetAddress()] = service
			}
			top := owner[pod]
			if above, ok := owner[top]; ok {
				top = above
			}
			if top.name != "" {
				link(top, service)
			}
		}
	}
	services := map[string][]*report.Resource{}
	for _, s := range l.Resources("Service") {
		if len(s.GetService().GetSelector()) > 0 {
			services[s.GetNamespace()] = append(services[s.GetNamespace()], s)
		}
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		for _, w := range l.Resources(kind) {
			o := object{kind, w.GetNamespace(), w.GetName()}
			x.workloads[o.name] = append(x.workloads[o.name], o)
			if len(x.front[o]) > 0 {
				continue
			}
			for _, s := range services[o.namespace] {
				if within(s.GetService().GetSelector(), w.GetWorkload().GetSelector()) {
					link(o, object{"Service", s.GetNamespace(), s.GetName()})
				}
			}
		}
	}
	for _, list := range x.behind {
		slices.Sort(list)
	}
}

func within(part, whole map[string]string) bool {
	for k, v := range part {
		if whole[k] != v {
			return false
		}
	}
	return true
}

// claim gives a name to an object; a name that two objects claim belongs to none.
func claim(names map[string]object, name string, o object) {
	if have, taken := names[name]; taken && have != o {
		o = object{}
	}
	names[name] = o
}

// normal writes a name as Traefik does: whatever is no letter or digit becomes one hyphen.
func normal(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }), "-")
}

// longest finds the longest name in names that label is, or begins with before a hyphen.
func longest(names map[string]object, label string) (object, bool) {
	label, _, _ = strings.Cut(label, "@")
	for label = normal(label); label != ""; {
		if o, ok := names[label]; ok {
			return o, o.name != "" // of two, neither
		}
		i := strings.LastIndexByte(label, '-')
		if i < 0 {
			break
		}
		label = label[:i]
	}
	return object{}, false
}

// Node implements Names.
func (d *Directory) Node(name string) string {
	x := d.current()
	if n, ok := x.nodes[name]; ok {
		return n
	}
	if a, err := netip.ParseAddrPort(name); err == nil {
		return x.nodes[a.Addr().String()]
	}
	if host, _, ok := strings.Cut(name, ":"); ok && !strings.Contains(host, ":") {
		name = host
	}
	if n, ok := x.nodes[name]; ok {
		return n
	}
	short, _, _ := strings.Cut(name, ".")
	return x.nodes[short]
}

// Addresses implements Names.
func (d *Directory) Addresses(node string) []string { return d.current().addresses[node] }

// Backend implements Names. Namespace, name and port are joined by the hyphen that each may hold, so what is known of the
// cluster decides: the longest name that fits. An IngressRoute's label is its own name, and means the one Service behind it.
func (d *Directory) Backend(label string) (string, string, bool) {
	x := d.current()
	if strings.HasSuffix(label, "@kubernetescrd") {
		if r, ok := longest(x.routers, label); ok {
			if s, ok := x.single[r]; ok {
				return s.namespace, s.name, true
			}
		}
	}
	s, ok := longest(x.backends, label)
	return s.namespace, s.name, ok
}

// Route implements Names.
func (d *Directory) Route(label string) (*report.EntityRef, bool) {
	o, ok := longest(d.current().routers, label)
	if !ok {
		return nil, false
	}
	return o.ref(), true
}

// Routes implements Names.
func (d *Directory) Routes(namespace, service string) []*report.EntityRef {
	var out []*report.EntityRef
	for _, o := range d.current().routes[object{"Service", namespace, service}] {
		out = append(out, o.ref())
	}
	return out
}

// Service implements Names.
func (d *Directory) Service(namespace, name string) (string, string, bool) {
	x := d.current()
	host := name
	if h, _, ok := strings.Cut(host, ":"); ok && !strings.Contains(h, ":") {
		host = h
	}
	if s, ok := x.hosts[host]; ok {
		return s.namespace, s.name, true
	}
	if first, rest, ok := strings.Cut(host, "."); ok { // cart.shop.svc.cluster.local
		ns, _, _ := strings.Cut(rest, ".")
		if s := (object{"Service", ns, first}); x.services[s] {
			return ns, first, true
		}
		return "", "", false
	}
	name = host
	if s := (object{"Service", namespace, name}); x.services[s] {
		return namespace, name, true
	}
	if namespace == "" {
		if list := x.named[name]; len(list) > 0 {
			return list[0].namespace, list[0].name, len(list) == 1
		}
		list := x.workloads[name]
		if len(list) != 1 {
			return "", "", false
		}
		return choose(x.front[list[0]], name)
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "Pod"} {
		if ns, s, ok := choose(x.front[object{kind, namespace, name}], name); ok {
			return ns, s, true
		}
	}
	return "", "", false
}

// choose takes the Service that is called like the workload, else the first by name.
func choose(list []object, name string) (string, string, bool) {
	if len(list) == 0 {
		return "", "", false
	}
	best := slices.MinFunc(list, func(a, b object) int {
		if (a.name == name) != (b.name == name) {
			if a.name == name {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.name, b.name)
	})
	return best.namespace, best.name, true
}

// Workloads implements Names.
func (d *Directory) Workloads(namespace, service string) []string {
	return d.current().behind[object{"Service", namespace, service}]
}
