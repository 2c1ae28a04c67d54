package risk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/topology"
)

// store is a shop without faults: web routes to front, which calls cart, search and inventory; all of these call their stores.
func store() *world {
	w := newWorld()
	for name, nodes := range map[string][]string{
		"front": {"n1", "n2", "n3"}, "cart": {"n1", "n2"}, "search": {"n2", "n3"}, "inventory": {"n1", "n3"}, "payments": {"n2", "n4"},
		"redis": {"n1"}, "postgres": {"n4"}, "batch": {"n2"},
	} {
		w.app(name, nodes...)
	}
	w.edge(ref(entity.Ingress, "web"), ref(entity.Service, "front"), topology.RoutesTo, 1)
	w.read(ref(entity.Service, "front"), "request_rate", 100, 100)
	w.calls("front", "cart", 50, 0.5)
	w.calls("front", "search", 40, 0.4)
	w.calls("front", "inventory", 60, 0.6)
	w.calls("cart", "redis", 80, 1)
	w.calls("cart", "payments", 10, 0.2)
	w.calls("inventory", "postgres", 60, 1)
	w.calls("payments", "postgres", 20, 1)
	for _, app := range []string{"front", "cart", "search", "inventory", "payments", "redis", "postgres"} {
		w.read(ref(entity.Service, app), "avg_latency", 0.02, 0.02)
		w.read(ref(entity.Service, app), "error_rate", 0.001, 0.001)
	}
	return w
}

const ago = -time.Second

func TestBlame(t *testing.T) {
	svc := func(name string) entity.Ref { return ref(entity.Service, name) }
	dep := func(name string) entity.Ref { return ref(entity.Deployment, name) }
	node := func(name string) entity.Ref { return ref(entity.Node, name) }
	for name, tc := range map[string]struct {
		faults     func(w *world)
		entity     entity.Ref
		kind       string
		confidence string
		ruledOut   []string
		evidence   string // what of it
	}{
		"a crash loop in a leaf outranks the errors of all its callers": {
			faults: func(w *world) {
				w.fails("payments", "CrashLoopBackOff", 0.9, 100*ago, 0, 1)
				w.fact("Unavailable", 0.95, dep("payments"), entity.Ref{}, 80*ago)
				w.fact("NoEndpoints", 0.85, svc("payments"), entity.Ref{}, 60*ago)
				w.strays(svc("cart"), "error_rate", 0.001, 0.2, 90*ago)
				w.strays(svc("front"), "error_rate", 0.001, 0.1, 90*ago)
			},
			entity: dep("payments"), kind: "CrashLoopBackOff", confidence: risk.High, evidence: "CrashLoopBackOff",
			ruledOut: []string{"front: its errors follow cart's", "cart: its errors follow payments', on which it depends", "postgres: latency normal (20 ms, usually 20 ms)"},
		},
		"out of memory says more than the crash loop that comes of it": {
			faults: func(w *world) {
				w.fails("cart", "CrashLoopBackOff", 0.9, 100*ago, 0)
				w.fails("cart", "OOMKilled", 0.95, 110*ago, 0)
				w.strays(ref(entity.Pod, "cart-0"), "memory_usage", 0.4, 0.97, 600*ago)
			},
			entity: dep("cart"), kind: "OOMKilled", confidence: risk.High, evidence: "memory_usage",
		},
		"an image that cannot be pulled": {
			faults: func(w *world) { w.fails("cart", "ImagePullBackOff", 0.8, 60*ago, 0) },
			entity: dep("cart"), kind: "ImagePullBackOff", confidence: risk.High, evidence: "ImagePullBackOff",
		},
		"a configuration error beside symptoms above it": {
			faults: func(w *world) {
				w.fails("search", "CreateContainerConfigError", 0.8, 60*ago, 0, 1)
				w.strays(svc("front"), "error_rate", 0.001, 0.4, 50*ago)
				w.fact("BurnRate", 0.95, svc("front"), entity.Ref{}, 30*ago)
			},
			entity: dep("search"), kind: "CreateContainerConfigError", confidence: risk.High, evidence: "CreateContainerConfigError",
		},
		"a node that is not ready explains its pods": {
			faults: func(w *world) {
				w.fact("NotReady", 0.95, node("n2"), entity.Ref{}, 60*ago)
				w.fact("NodeNotReady", 0.85, ref(entity.Pod, "cart-1"), entity.Ref{}, 60*ago)
				w.fact("NodeNotReady", 0.85, dep("cart"), ref(entity.Pod, "cart-1"), 60*ago)
				w.fact("Unavailable", 0.80, dep("cart"), entity.Ref{}, 50*ago)
				w.fact("Unavailable", 0.80, dep("search"), entity.Ref{}, 90*ago)
				w.fact("Unavailable", 0.95, dep("batch"), entity.Ref{}, 50*ago)
				w.strays(svc("front"), "error_rate", 0.001, 0.4, 55*ago)
			},
			entity: node("n2"), kind: "NotReady", confidence: risk.High, evidence: "NotReady",
			ruledOut: []string{"batch: its Unavailable follows node/n2", "cart: its NodeNotReady follows node/n2"},
		},
		"what found no room because a node is gone": {
			faults: func(w *world) {
				w.fact("NotReady", 0.95, node("n2"), entity.Ref{}, 400*ago)
				w.fact("Unschedulable", 0.80, dep("batch"), entity.Ref{}, 60*ago)
			},
			entity: node("n2"), kind: "NotReady", confidence: risk.High, evidence: "NotReady",
		},
		"a node under pressure with the one that eats its memory": {
			faults: func(w *world) {
				w.fact("MemoryPressure", 0.85, node("n2"), entity.Ref{}, 60*ago)
				w.fails("batch", "OOMKilled", 0.95, 90*ago, 0)
				w.fails("cart", "Evicted", 0.85, 50*ago, 1)
				w.fails("search", "Evicted", 0.85, 50*ago, 0)
			},
			entity: dep("batch"), kind: "OOMKilled", confidence: risk.High, evidence: "OOMKilled",
		},
		"a node under pressure that evicts two workloads": {
			faults: func(w *world) {
				w.fact("DiskPressure", 0.80, node("n2"), entity.Ref{}, 60*ago)
				w.fails("cart", "Evicted", 0.85, 50*ago, 1)
				w.fails("search", "Evicted", 0.85, 50*ago, 0)
			},
			entity: node("n2"), kind: "DiskPressure", confidence: risk.High, evidence: "DiskPressure",
		},
		"of two workloads with facts the one depended on": {
			faults: func(w *world) {
				w.fails("payments", "CrashLoopBackOff", 0.9, 60*ago, 0, 1)
				w.fails("postgres", "VolumeFull", 0.85, 40*ago, 0)
			},
			entity: dep("postgres"), kind: "VolumeFull", confidence: risk.High, evidence: "VolumeFull",
			ruledOut: []string{"payments: its CrashLoopBackOff follows postgres"},
		},
		"but not when it failed long after": {
			faults: func(w *world) {
				w.fails("payments", "CrashLoopBackOff", 0.9, 600*ago, 0, 1)
				w.fails("postgres", "Unhealthy", 0.85, 40*ago, 0)
			},
			entity: dep("payments"), kind: "CrashLoopBackOff", confidence: risk.Medium, evidence: "CrashLoopBackOff",
		},
		"a slow dependency, through three callers": {
			faults: func(w *world) {
				w.strays(svc("postgres"), "avg_latency", 0.02, 0.82, 300*ago)
				w.strays(svc("payments"), "avg_latency", 0.03, 0.83, 295*ago)
				w.strays(svc("inventory"), "avg_latency", 0.03, 0.83, 310*ago)
				w.strays(svc("cart"), "avg_latency", 0.05, 0.21, 290*ago)
				w.strays(svc("front"), "avg_latency", 0.06, 0.66, 290*ago)
				w.strays(svc("front"), "error_rate", 0.001, 0.05, 290*ago)
			},
			entity: dep("postgres"), kind: "avg_latency", confidence: risk.High, evidence: "avg_latency",
			ruledOut: []string{"inventory: its latency follows postgres'"},
		},
		"a slow dependency that makes its caller fail its probes": {
			faults: func(w *world) {
				w.strays(svc("postgres"), "avg_latency", 0.02, 5, 300*ago)
				w.strays(svc("inventory"), "avg_latency", 0.03, 5, 300*ago)
				w.fails("inventory", "Unhealthy", 0.85, 200*ago, 0, 1)
			},
			entity: dep("postgres"), kind: "avg_latency", confidence: risk.High, evidence: "avg_latency",
		},
		"a bad rollout that answers with errors": {
			faults: func(w *world) {
				w.strays(svc("search"), "error_rate", 0.001, 0.6, 120*ago)
				w.strays(svc("front"), "error_rate", 0.001, 0.25, 120*ago)
				w.strays(ref(entity.Ingress, "web"), "error_rate", 0.001, 0.25, 110*ago)
			},
			entity: dep("search"), kind: "error_rate", confidence: risk.High, evidence: "error_rate",
			ruledOut: []string{"front: its errors follow search's"},
		},
		"a noisy neighbour": {
			faults: func(w *world) {
				w.strays(node("n2"), "cpu_usage", 0.45, 0.98, 300*ago)
				w.strays(node("n2"), "psi_cpu", 0.05, 0.7, 290*ago)
				w.strays(ref(entity.Pod, "batch-0"), "cpu_usage", 0.1, 0.9, 305*ago)
				w.strays(ref(entity.Pod, "cart-1"), "cpu_usage", 0.2, 0.4, 250*ago)
				w.strays(svc("cart"), "avg_latency", 0.02, 0.3, 280*ago)
				w.strays(svc("search"), "avg_latency", 0.02, 0.3, 280*ago)
				w.strays(svc("front"), "avg_latency", 0.06, 0.3, 270*ago)
			},
			entity: dep("batch"), kind: "cpu_usage", confidence: risk.High, evidence: "cpu_usage",
		},
		"a noisy neighbour that has only just come": {
			faults: func(w *world) {
				w.strays(node("n2"), "cpu_usage", 0.45, 0.98, 300*ago)
				w.read(ref(entity.Pod, "batch-0"), "cpu_usage", 0.9, 0)
				delete(w.normal, ref(entity.Pod, "batch-0"))
				w.strays(svc("cart"), "avg_latency", 0.02, 0.3, 280*ago)
				w.strays(svc("search"), "avg_latency", 0.02, 0.3, 280*ago)
			},
			entity: dep("batch"), kind: "cpu_usage", confidence: risk.Medium,
		},
		"a saturated node with nobody on it to blame": {
			faults: func(w *world) {
				w.strays(node("n2"), "psi_io", 0.05, 0.8, 300*ago)
				w.strays(svc("cart"), "avg_latency", 0.02, 0.3, 280*ago)
				w.strays(svc("search"), "avg_latency", 0.02, 0.3, 280*ago)
			},
			entity: node("n2"), kind: "psi_io", confidence: risk.Medium, evidence: "psi_io",
		},
		"a busy node is not to blame for what is slow elsewhere": {
			faults: func(w *world) {
				w.strays(node("n2"), "cpu_usage", 0.45, 0.9, 200*ago)
				w.strays(ref(entity.Pod, "cart-1"), "cpu_usage", 0.2, 0.6, 200*ago)
				w.strays(svc("postgres"), "avg_latency", 0.02, 0.82, 300*ago)
				w.strays(svc("inventory"), "avg_latency", 0.03, 0.83, 300*ago)
			},
			entity: dep("postgres"), kind: "avg_latency", confidence: risk.High, evidence: "avg_latency",
		},
		"a service whose selector matches nothing is itself to blame": {
			faults: func(w *world) {
				w.fact("SelectorMatchesNothing", 0.85, svc("search"), entity.Ref{}, 60*ago)
				w.strays(svc("front"), "error_rate", 0.001, 0.4, 60*ago)
			},
			entity: svc("search"), kind: "SelectorMatchesNothing", confidence: risk.High, evidence: "SelectorMatchesNothing",
		},
		"a weak fact gives way to the excess": {
			faults: func(w *world) {
				w.fact("AtMaxReplicas", 0.6, dep("front"), entity.Ref{}, 400*ago)
				w.strays(svc("search"), "avg_latency", 0.02, 0.9, 120*ago)
				w.strays(svc("front"), "avg_latency", 0.06, 0.4, 120*ago)
			},
			entity: dep("search"), kind: "avg_latency", confidence: risk.High, evidence: "avg_latency",
		},
		"a slow store whose caller gives up": {
			faults: func(w *world) {
				w.strays(svc("postgres"), "avg_latency", 0.02, 3, 300*ago)
				w.strays(svc("inventory"), "error_rate", 0.001, 0.9, 300*ago)
				w.strays(svc("front"), "error_rate", 0.001, 0.5, 300*ago)
			},
			entity: dep("postgres"), kind: "avg_latency", confidence: risk.High, evidence: "avg_latency",
		},
		"what is slow beside the failure is not what users complain of": {
			faults: func(w *world) {
				w.strays(svc("search"), "avg_latency", 0.02, 5, 300*ago)
				w.strays(svc("inventory"), "error_rate", 0.001, 0.9, 300*ago)
				w.strays(svc("front"), "error_rate", 0.001, 0.5, 300*ago)
				w.strays(ref(entity.Ingress, "web"), "error_rate", 0.001, 0.5, 300*ago)
			},
			entity: dep("inventory"), kind: "error_rate", confidence: risk.High, evidence: "error_rate",
		},
		"the residue at the ingress is not the ingress'": {
			faults: func(w *world) {
				w.strays(svc("search"), "avg_latency", 0.02, 0.6, 300*ago)
				w.strays(svc("front"), "avg_latency", 0.06, 0.3, 300*ago)
				w.read(ref(entity.Ingress, "web"), "request_rate", 100, 100)
				w.strays(ref(entity.Ingress, "web"), "avg_latency", 0.06, 0.9, 300*ago)
			},
			entity: dep("search"), kind: "avg_latency", confidence: risk.High, evidence: "avg_latency",
		},
		"a name outside for a service inside": {
			faults: func(w *world) {
				w.edge(dep("front"), ref(entity.External, "search.shop.example.com"), topology.Calls, 1)
				w.read(ref(entity.External, "search.shop.example.com"), "request_rate", 40, 40)
				w.strays(ref(entity.External, "search.shop.example.com"), "avg_latency", 0.03, 1.5, 300*ago)
				w.strays(svc("search"), "avg_latency", 0.02, 0.9, 300*ago)
				w.strays(svc("front"), "avg_latency", 0.06, 0.7, 300*ago)
			},
			entity: dep("search"), kind: "avg_latency", confidence: risk.High, evidence: "avg_latency",
		},
		"only users complain": {
			faults: func(w *world) {
				w.fact("BurnRate", 0.95, svc("front"), entity.Ref{}, 60*ago)
				w.fact("BurnRate", 0.95, svc("inventory"), entity.Ref{}, 60*ago)
			},
			entity: dep("inventory"), kind: "BurnRate", confidence: risk.Low, evidence: "BurnRate",
		},
		"nothing is wrong": {faults: func(*world) {}},
	} {
		t.Run(name, func(t *testing.T) {
			w := store()
			tc.faults(w)
			in := w.input()
			v := risk.New(risk.Config{}).Blame(in, members(in))
			if v.Entity != tc.entity || v.Kind != tc.kind || v.Confidence != tc.confidence {
				t.Errorf("blamed %s for %q (%s): %s\nranking %+v", v.Entity, v.Kind, v.Confidence, v.Why, v.Ranking)
			}
			for _, want := range tc.ruledOut {
				if !strings.Contains(strings.Join(v.RuledOut, "\n")+"\n", want+"\n") {
					t.Errorf("%q is not among %q", want, v.RuledOut)
				}
			}
			found := tc.evidence == ""
			for _, e := range v.Evidence {
				found = found || e.What == tc.evidence && e.Text != "" && !e.At.IsZero()
			}
			if !found {
				t.Errorf("no evidence of %s in %+v", tc.evidence, v.Evidence)
			}
			if !tc.entity.IsZero() && (v.Why == "" || v.Onset.IsZero() || v.Ranking[0].Entity != v.Entity) {
				t.Errorf("incomplete: %+v", v)
			}
			t.Log(v.Why)
		})
	}
}

func TestTheExcessIsTheCallersMinusTheCallees(t *testing.T) {
	w := store()
	w.strays(ref(entity.Service, "search"), "avg_latency", 0.02, 1.02, 0) // 40/s · 1 s = 40 s/s
	w.strays(ref(entity.Service, "front"), "avg_latency", 0.06, 0.53, 0)  // 100/s · 0.47 s = 47 s/s, of which 40 are search's
	in := w.input()
	v := risk.New(risk.Config{}).Blame(in, members(in))
	if want := "search adds 40 s of waiting a second of its own"; v.Why != want {
		t.Errorf("got %q", v.Why)
	}
	if len(v.Ranking) != 2 || v.Ranking[1].Why != "front adds 7 s of waiting a second of its own of 47; what it calls explains 40" {
		t.Errorf("got %+v", v.Ranking)
	}
}

func TestSomethingOutsideIsBlamedWhenOnlyTheCallsToItFail(t *testing.T) {
	w := store()
	from, to := ref(entity.Deployment, "payments"), ref(entity.External, "bank.example.com")
	w.calls("payments", "x", 10, 1)
	w.edges = w.edges[:len(w.edges)-1]
	e := topology.Edge{From: from, To: to, Type: topology.Calls, Weight: 1}
	e.Traffic = traffic(from, to, 10, 0.9, 0.1)
	w.edges = append(w.edges, e)
	w.strays(ref(entity.Service, "payments"), "error_rate", 0.001, 0.9, -60*time.Second)
	in := w.input()
	if v := risk.New(risk.Config{}).Blame(in, members(in)); v.Entity != to {
		t.Errorf("blamed %s: %s", v.Entity, v.Why)
	}
}

func TestOnlyMembersAreHeard(t *testing.T) {
	w := store()
	w.fails("cart", "CrashLoopBackOff", 0.9, 100*ago, 0)
	w.fails("search", "ImagePullBackOff", 0.8, 100*ago, 0)
	in := w.input()
	v := risk.New(risk.Config{}).Blame(in, []entity.Ref{ref(entity.Deployment, "search"), ref(entity.Pod, "search-0")})
	if v.Entity != ref(entity.Deployment, "search") {
		t.Errorf("blamed %s", v.Entity)
	}
}
