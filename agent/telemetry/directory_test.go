package telemetry

import (
	"slices"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
)

type objects map[string][]*report.Resource

func (o objects) Resources(kind string) []*report.Resource { return o[kind] }

func (o objects) service(namespace, name, port string, selector map[string]string) {
	o["Service"] = append(o["Service"], &report.Resource{Kind: "Service", Namespace: namespace, Name: name, Detail: &report.Resource_Service{
		Service: &report.Service{Selector: selector, ClusterIp: "10.96.0." + name[:1], Ports: []*report.ServicePort{{Name: port, Port: 8080}}},
	}})
}

func (o objects) route(kind, namespace, name string, services ...string) {
	d := &report.Ingress{}
	for _, s := range services {
		d.Backends = append(d.Backends, &report.IngressBackend{Service: s, Port: "8080"})
	}
	o[kind] = append(o[kind], &report.Resource{Kind: kind, Namespace: namespace, Name: name, Detail: &report.Resource_Ingress{Ingress: d}})
}

func controlled(kind, name string) []*report.Owner {
	return []*report.Owner{{Kind: kind, Name: name, Controller: true}}
}

func town() objects {
	o := objects{}
	o["Node"] = []*report.Resource{{Kind: "Node", Name: "worker-1", Detail: &report.Resource_Node{Node: &report.Node{Addresses: map[string]string{"InternalIP": "192.0.2.1", "Hostname": "worker-1.example.com"}}}}}
	o.service("shop", "cart", "http", map[string]string{"app": "cart"})
	o.service("shop", "cart-headless", "http", map[string]string{"app": "cart"})
	o.service("shop", "cart-8080", "http", nil)
	o.service("a-b", "c", "http", nil)
	o.service("a", "b-c", "http", nil)
	o.service("other", "mail", "smtp", nil)
	o.service("third", "mail", "smtp", nil)
	o.service("shop", "db", "tcp", map[string]string{"app": "db"})
	o["Deployment"] = []*report.Resource{{Kind: "Deployment", Namespace: "shop", Name: "cart", Detail: &report.Resource_Workload{Workload: &report.Workload{Selector: map[string]string{"app": "cart"}}}}}
	o["StatefulSet"] = []*report.Resource{{Kind: "StatefulSet", Namespace: "shop", Name: "postgres"}}
	o["ReplicaSet"] = []*report.Resource{{Kind: "ReplicaSet", Namespace: "shop", Name: "web-5f", Owners: controlled("Deployment", "web")}}
	o["Pod"] = []*report.Resource{
		{Kind: "Pod", Namespace: "shop", Name: "postgres-0", Owners: controlled("StatefulSet", "postgres")},
		{Kind: "Pod", Namespace: "shop", Name: "web-5f-x", Owners: controlled("ReplicaSet", "web-5f")},
	}
	o.service("shop", "front", "http", nil)
	slice := func(service, pod, address string) {
		o["EndpointSlice"] = append(o["EndpointSlice"], &report.Resource{Kind: "EndpointSlice", Namespace: "shop", Name: service + "-1", Detail: &report.Resource_EndpointSlice{
			EndpointSlice: &report.EndpointSlice{Service: service, Endpoints: []*report.Endpoint{{Address: address, Pod: pod}}},
		}})
	}
	slice("db", "postgres-0", "10.1.0.7")
	slice("front", "web-5f-x", "10.1.0.8")
	o.route("Ingress", "shop", "front", "front")
	o.route("Ingress", "shop", "front-admin", "front", "cart")
	o.route("IngressRoute", "shop", "api", "cart")
	return o
}

func TestNamesInTheDataAreThoseOfTheCluster(t *testing.T) {
	d := NewDirectory(town(), time.Now)
	for name, want := range map[string]string{
		"worker-1": "worker-1", "192.0.2.1": "worker-1", "192.0.2.1:9100": "worker-1", "worker-1.example.com": "worker-1", "worker-1.other.net:9100": "worker-1", "192.0.2.9": "", "": "",
	} {
		if got := d.Node(name); got != want {
			t.Errorf("node %q is %q, want %q", name, got, want)
		}
	}
	if got := d.Addresses("worker-1"); !slices.Equal(got, []string{"worker-1", "192.0.2.1", "worker-1.example.com"}) {
		t.Errorf("addresses: %v", got)
	}
	for label, want := range map[string]string{
		"shop-cart-8080@kubernetes":          "", // the Service cart by its port, or cart-8080 without one: nobody can tell
		"shop-cart-http@kubernetes":          "shop/cart",
		"shop-cart-8080-http@kubernetes":     "shop/cart-8080",
		"shop-cart-headless-8080@kubernetes": "shop/cart-headless",
		"a-b-c-8080@kubernetes":              "", // a-b/c or a/b-c: nobody can tell
		"shop-api-4f2a9c@kubernetescrd":      "shop/cart",
		"shop-front-8080@kubernetes":         "shop/front",
		"nowhere-x-80@kubernetes":            "",
		"dashboard@internal":                 "",
		"":                                   "",
	} {
		ns, name, ok := d.Backend(label)
		if got := ns + "/" + name; ok != (want != "") || ok && got != want {
			t.Errorf("backend %q is %q, %v, want %q", label, got, ok, want)
		}
	}
	for label, want := range map[string]string{
		"shop-front-shop-example-com@kubernetes": "front", "shop-front-admin-shop-example-com-admin@kubernetes": "front-admin", "shop-api-4f2a9c@kubernetescrd": "api", "ping@internal": "",
	} {
		ref, ok := d.Route(label)
		if ok != (want != "") || ref.GetName() != want {
			t.Errorf("router %q is %v, want %q", label, ref, want)
		}
	}
	if by := d.Routes("shop", "front"); len(by) != 2 {
		t.Errorf("%v route to front, want two", by)
	}
	for key, want := range map[[2]string]string{
		{"shop", "cart"}: "shop/cart", {"", "cart"}: "shop/cart", {"shop", "postgres"}: "shop/db", {"shop", "postgres-0"}: "shop/db", {"shop", "web"}: "shop/front",
		{"", "mail"}: "", {"other", "mail"}: "other/mail", {"", "mail.third.svc.cluster.local"}: "third/mail", {"", "mail.third:25"}: "third/mail", {"x", "10.1.0.7:5432"}: "shop/db",
		{"shop", "api.stripe.com"}: "", {"shop", ""}: "",
	} {
		ns, name, ok := d.Service(key[0], key[1])
		if got := ns + "/" + name; ok != (want != "") || ok && got != want {
			t.Errorf("service %v is %q, %v, want %q", key, got, ok, want)
		}
	}
	if got := d.Workloads("shop", "front"); !slices.Equal(got, []string{"web"}) {
		t.Errorf("behind front are %v", got)
	}
}

func TestTheDirectoryReadsTheClusterAgainAfterAWhile(t *testing.T) {
	now := time.Unix(0, 0)
	o := town()
	d := NewDirectory(o, func() time.Time { return now })
	if _, _, ok := d.Service("shop", "late"); ok {
		t.Fatal("it is there before it was made")
	}
	o.service("shop", "late", "http", nil)
	now = now.Add(5 * time.Second)
	if _, _, ok := d.Service("shop", "late"); !ok {
		t.Error("it is not there five seconds later")
	}
}

func FuzzLabels(f *testing.F) {
	d := NewDirectory(town(), time.Now)
	for _, s := range []string{"shop-cart-8080@kubernetes", "@", "---", "[::1]:9100", "a.b.c:1", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d.Node(s)
		if ns, name, ok := d.Backend(s); ok && (ns == "" || name == "") {
			t.Errorf("backend %q has no name", s)
		}
		if ref, ok := d.Route(s); ok && ref.GetName() == "" {
			t.Errorf("router %q has no name", s)
		}
		if ns, name, ok := d.Service("", s); ok && (ns == "" || name == "") {
			t.Errorf("service %q has no name", s)
		}
	})
}
