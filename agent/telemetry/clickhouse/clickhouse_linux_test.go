package clickhouse

import (
	"os"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	lab "github.com/bukahou/atlhyper/deploy/lab/telemetry"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
)

var shared lab.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// objects are the cluster that the shop runs in.
type objects map[string][]*report.Resource

func (o objects) Resources(kind string) []*report.Resource { return o[kind] }

func cluster() objects {
	o := objects{}
	for i, n := range shop.Nodes {
		o["Node"] = append(o["Node"], &report.Resource{Kind: "Node", Name: n, Detail: &report.Resource_Node{Node: &report.Node{Addresses: map[string]string{"InternalIP": shop.Address(i), "Hostname": n}}}})
	}
	for _, s := range shop.Services {
		selector := map[string]string{"app": s}
		o["Service"] = append(o["Service"], &report.Resource{Kind: "Service", Namespace: shop.Namespace, Name: s, Detail: &report.Resource_Service{Service: &report.Service{
			Selector: selector, Ports: []*report.ServicePort{{Name: "http", Port: 80}},
		}}})
		o["Deployment"] = append(o["Deployment"], &report.Resource{Kind: "Deployment", Namespace: shop.Namespace, Name: s, Detail: &report.Resource_Workload{Workload: &report.Workload{Selector: selector}}})
	}
	o["Ingress"] = []*report.Resource{{Kind: "Ingress", Namespace: shop.Namespace, Name: "shop", Detail: &report.Resource_Ingress{Ingress: &report.Ingress{
		Backends: []*report.IngressBackend{{Host: "shop.example.com", Path: "/", Service: "frontend", Port: "http"}},
	}}}}
	return o
}

func names() telemetry.Names { return telemetry.NewDirectory(cluster(), time.Now) }

// source opens the product on a database of the lab.
func source(t *testing.T, c *lab.ClickHouse) *Source {
	t.Helper()
	s, err := Open(Config{URL: c.URL(), Names: names(), Within: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// found gives the samples of a frame by entity and metric.
func found(f *report.TelemetryFrame) map[string]*report.Sample {
	out := map[string]*report.Sample{}
	for _, s := range f.GetSamples() {
		out[s.GetEntity().GetKind()+"/"+s.GetEntity().GetName()+" "+s.GetMetric()] = s
	}
	return out
}

// anyNode takes this machine's address, where every pretended target is scraped, for the first node.
type anyNode struct{ telemetry.Names }

func (anyNode) Node(string) string { return shop.Nodes[0] }
