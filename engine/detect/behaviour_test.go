package detect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/fleet"
)

func TestFactsAroundWorkloads(t *testing.T) {
	stamp := func(w *world, d time.Duration) *timestamppb.Timestamp { return timestamppb.New(w.now.Add(d)) }
	cases := []struct {
		name string
		make func(*world)
		wait time.Duration
		want []string
	}{
		{"a node that is not ready", func(w *world) { w.node("worker-1", "False") }, 0,
			[]string{"node/worker-1 NotReady 0.95: the node is not ready: kubelet stopped posting node status"}},
		{"a node that does not report", func(w *world) { w.node("worker-1", "Unknown") }, 0,
			[]string{"node/worker-1 NotReady 0.95: the node does not report: kubelet stopped posting node status"}},
		{"a node under all pressures", func(w *world) {
			w.node("worker-1", "True", &report.Condition{Type: "MemoryPressure", Status: "True"}, &report.Condition{Type: "DiskPressure", Status: "True"}, &report.Condition{Type: "PIDPressure", Status: "True"})
		}, 0, []string{
			"node/worker-1 DiskPressure 0.80: the node is short of disk space",
			"node/worker-1 MemoryPressure 0.85: the node is short of memory",
			"node/worker-1 PIDPressure 0.75: the node is short of process ids",
		}},
		{"a node that has just joined may take a while", func(w *world) {
			w.put(&report.Resource{Kind: "Node", Name: "new", Detail: &report.Resource_Node{Node: &report.Node{Conditions: []*report.Condition{{Type: "Ready", Status: "False"}}}}})
		}, time.Minute, []string{}},
		{"a service whose endpoints are all lost", func(w *world) {
			w.deployment("cart", 1)
			w.service("cart", false, w.unready(w.pod("cart")))
		}, 40 * time.Second, []string{"service/cart NoEndpoints 0.85: no endpoint is ready, of 1 pod that the selector matches"}},
		{"a service whose pods start within their allowance is none to speak of", func(w *world) {
			w.deployment("cart", 1)
			w.service("cart", false, w.newPod("cart"))
		}, 2 * time.Minute, []string{}},
		{"a service whose selector matches nothing", func(w *world) { w.service("lost", true) }, 40 * time.Second,
			[]string{"service/lost SelectorMatchesNothing 0.85: the selector app=lost matches no pod"}},
		{"a service of a workload that is scaled to zero is meant so", func(w *world) {
			w.counts(w.deployment("cart", 0), 0, 0)
			w.service("cart", true)
		}, 5 * time.Minute, []string{}},
		{"a target port that no container names", func(w *world) {
			w.deployment("cart", 1)
			p := w.change(w.pod("cart"), func(_ *report.Resource, c *report.Container) { c.Ports = []string{"web:8080/TCP"} })
			w.service("cart", true, p)
		}, 0, []string{`service/cart TargetPortMatchesNothing 0.85: port 80 goes to the container port "http", and no container of its 1 pod has one of that name`}},
		{"an ingress to a service that is not there", func(w *world) {
			w.put(&report.Resource{Kind: "Ingress", Namespace: "shop", Name: "web", Detail: &report.Resource_Ingress{Ingress: &report.Ingress{Backends: []*report.IngressBackend{{Host: "shop.example", Path: "/", Service: "gone"}}}}})
		}, 0, []string{"ingress/web MissingService 0.85: it routes to what does not exist: service/gone for shop.example/"}},
		{"services that may not be listed are not missing", func(w *world) {
			w.put(&report.Resource{Kind: "Ingress", Namespace: "shop", Name: "web", Detail: &report.Resource_Ingress{Ingress: &report.Ingress{Backends: []*report.IngressBackend{{Service: "gone"}}}}})
			w.c.Apply(w.now, &report.ReportRequest{Kinds: []*report.KindStatus{{Kind: "Service", State: report.KindStatus_STATE_FORBIDDEN}}})
		}, 0, []string{}},
		{"a certificate that expires in five days, and one that has", func(w *world) {
			for name, end := range map[string]time.Duration{"soon": 5 * 24 * time.Hour, "over": -3 * time.Hour, "fine": 60 * 24 * time.Hour} {
				w.put(&report.Resource{Kind: "Secret", Namespace: "shop", Name: name, Detail: &report.Resource_Config{Config: &report.Config{NotAfter: stamp(w, end)}}},
					&report.Resource{Kind: "Ingress", Namespace: "shop", Name: "web-" + name, Detail: &report.Resource_Ingress{Ingress: &report.Ingress{TlsSecrets: []string{name, "unknown"}}}})
			}
		}, 0, []string{
			"ingress/web-over CertificateExpired 0.95: the certificate in secret/over expired 3 h ago",
			"ingress/web-soon CertificateExpiring 0.60: the certificate in secret/soon expires in 5 d",
		}},
		{"a Job that gave up", func(w *world) {
			w.put(&report.Resource{Kind: "Job", Namespace: "shop", Name: "import", Detail: &report.Resource_Job{Job: &report.Job{Failed: 7, Conditions: []*report.Condition{{Type: "Failed", Status: "True", Reason: "BackoffLimitExceeded", LastTransition: w.ts()}}}}})
		}, 0, []string{"job/import BackoffLimitExceeded 0.70: job/import gave up after 7 failed pods"}},
		{"a Job that gave up long ago is no news", func(w *world) {
			w.put(&report.Resource{Kind: "Job", Namespace: "shop", Name: "import", Detail: &report.Resource_Job{Job: &report.Job{Conditions: []*report.Condition{{Type: "Failed", Status: "True", Reason: "BackoffLimitExceeded", LastTransition: w.ago(48 * time.Hour)}}}}})
		}, 0, []string{}},
		{"a CronJob whose later run succeeded is well", func(w *world) {
			w.put(&report.Resource{Kind: "CronJob", Namespace: "shop", Name: "report", Uid: "cj", Detail: &report.Resource_CronJob{CronJob: &report.CronJob{Schedule: "0 * * * *", LastSchedule: w.ts(), LastSuccess: w.ts()}}},
				&report.Resource{Kind: "Job", Namespace: "shop", Name: "report-1", Owners: []*report.Owner{{Kind: "CronJob", Name: "report", Uid: "cj", Controller: true}}, Detail: &report.Resource_Job{Job: &report.Job{Conditions: []*report.Condition{{Type: "Failed", Status: "True", LastTransition: w.ago(10 * time.Minute)}}}}})
		}, 0, []string{}},
		{"a CronJob that missed its run, in its own time zone", func(w *world) {
			w.put(&report.Resource{Kind: "CronJob", Namespace: "shop", Name: "report", Detail: &report.Resource_CronJob{CronJob: &report.CronJob{Schedule: "55 11 * * *", TimeZone: "Asia/Tokyo", LastSchedule: w.ago(24*time.Hour + 5*time.Minute)}}},
				&report.Resource{Kind: "CronJob", Namespace: "shop", Name: "paused", Detail: &report.Resource_CronJob{CronJob: &report.CronJob{Schedule: "55 2 * * *", Suspend: true, LastSchedule: w.ago(24*time.Hour + 5*time.Minute)}}},
				&report.Resource{Kind: "CronJob", Namespace: "shop", Name: "odd", Detail: &report.Resource_CronJob{CronJob: &report.CronJob{Schedule: "nonsense", TimeZone: "No/Where", LastSchedule: w.ago(time.Hour)}}})
		}, 0, []string{`cronjob/report MissedSchedule 0.70: it should have run at 02:55 UTC (5 min ago) by its schedule "55 11 * * *"`}},
		{"an autoscaler at its maximum", func(w *world) {
			w.deployment("cart", 5)
			w.put(&report.Resource{Kind: "HorizontalPodAutoscaler", Namespace: "shop", Name: "cart", Detail: &report.Resource_HorizontalPodAutoscaler{HorizontalPodAutoscaler: &report.HorizontalPodAutoscaler{
				Target: &report.ResourceKey{Kind: "Deployment", Name: "cart"}, Max: 5, Current: 5, TargetExceeded: true,
			}}})
		}, 0, []string{"deployment/cart AtMaxReplicas 0.60: it runs 5 of at most 5 replicas and is still above its target"}},
		{"a quota that keeps pods from being created", func(w *world) {
			d := w.deployment("cart", 2)
			w.counts(d, 1, 1)
			w.event("ReplicaSet", "cart-1", "FailedCreate", `pods "cart-1-x" is forbidden: exceeded quota: shop, requested: pods=1, used: pods=5, limited: pods=5`)
		}, 0, []string{
			`deployment/cart FailedCreate 0.85: pods "cart-1-x" is forbidden: exceeded quota: shop, requested: pods=1, used: pods=5, limited: pods=5`,
			"deployment/cart QuotaExceeded 0.80: a quota keeps pods from being created: shop, requested: pods=1, used: pods=5, limited: pods=5",
		}},
		{"claims that pods wait for or have lost, and a full volume; an unused claim is nobody's", func(w *world) {
			w.deployment("db", 3)
			w.change(w.pod("db"), func(r *report.Resource, _ *report.Container) { r.GetPod().Claims = []string{"new", "lost", "full"} })
			for name, phase := range map[string]string{"new": "Pending", "lost": "Lost", "full": "Bound", "unused": "Pending"} {
				w.put(&report.Resource{Kind: "PersistentVolumeClaim", Namespace: "shop", Name: name, Detail: &report.Resource_PersistentVolumeClaim{PersistentVolumeClaim: &report.PersistentVolumeClaim{Phase: phase, StorageClass: "fast"}}})
			}
			w.sample("PersistentVolumeClaim", "full", "disk_usage", 0.97)
		}, time.Minute, []string{
			"deployment/db ClaimLost 0.80: persistentvolumeclaim/lost has lost its volume",
			"deployment/db ClaimPending 0.80: persistentvolumeclaim/new has been pending for 60 s (storage class fast)",
			"deployment/db VolumeFull 0.85: persistentvolumeclaim/full is 97 % full",
		}},
		{"a finalizer that holds a deletion", func(w *world) {
			w.put(&report.Resource{Kind: "Namespace", Name: "old", Deleting: w.ago(20 * time.Minute), Finalizers: []string{"example.com/cleanup"}, Detail: &report.Resource_NamespaceDetail{}},
				&report.Resource{Kind: "Namespace", Name: "young", Deleting: w.ago(10 * time.Minute), Finalizers: []string{"kubernetes"}, Detail: &report.Resource_NamespaceDetail{}})
		}, 0, []string{"namespace/old DeletionBlocked 0.50: namespace/old is being deleted for 20 min and held by example.com/cleanup"}},
		{"a mount that fails while the pod waits", func(w *world) {
			w.deployment("cart", 3)
			p := w.newPod("cart")
			w.now = w.now.Add(45 * time.Second)
			w.event("Pod", p.Name, "FailedMount", "secret \"x\" not found")
		}, 0, []string{`pod/cart-1-1 FailedMount 0.85: secret "x" not found`}},
		{"a failing probe of a pod that was up", func(w *world) {
			w.deployment("cart", 3)
			p := w.unready(w.pod("cart"))
			w.now = w.now.Add(40 * time.Second)
			w.event("Pod", p.Name, "Unhealthy", "Readiness probe failed: 503")
		}, 0, []string{"pod/cart-1-1 Unhealthy 0.85: Readiness probe failed: 503"}},
		{"a failing probe of a pod that starts is a slow start", func(w *world) {
			w.deployment("cart", 3)
			p := w.newPod("cart")
			w.now = w.now.Add(4 * time.Minute)
			w.event("Pod", p.Name, "Unhealthy", "Startup probe failed")
		}, 0, []string{}},
		{"an event about a pod that is Ready meanwhile", func(w *world) {
			w.deployment("cart", 3)
			w.event("Pod", w.pod("cart").Name, "BackOff", "Back-off restarting failed container")
		}, 0, []string{}},
		{"an event of the new style carries only its newest time", func(w *world) {
			w.deployment("cart", 3)
			w.counts(w.c.Get("Deployment", "shop", "cart"), 2, 3)
			e := w.event("Deployment", "cart", "FailedCreate", "no")
			w.now = w.now.Add(4 * time.Minute)
			n := clone(e)
			n.GetEvent().Count, n.GetEvent().Last = 0, w.ts()
			w.put(n)
		}, 4 * time.Minute, []string{"deployment/cart FailedCreate 0.85: no"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.make(w)
			if diff := cmp.Diff(c.want, lines(w.wait(c.wait))); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// spans gives when facts of a kind on a workload came and went, over a time with a look every ten seconds.
func (w *world) spans(d time.Duration, entity, kind string) []string {
	var out []string
	was := false
	from := w.now
	for end := w.now.Add(d); !w.now.After(end); w.now = w.now.Add(10 * time.Second) {
		is := slices.ContainsFunc(w.look(), func(f Fact) bool { return f.Entity.Short() == entity && f.Kind == kind })
		if is != was {
			out = append(out, fmt.Sprintf("%v at %s", is, w.now.Sub(from)))
			was = is
		}
	}
	return out
}

// TestHealthyRestart rolls a thousand pods through: each old pod leaves, its successor starts in 20 s, with the events
// that starts give.
// TestFirstStart brings up a workload of one replica that takes three minutes, with a service: no fault.
// TestRestart shows that a checkpoint at any moment changes nothing.
func TestRestart(t *testing.T) {
	run := func(restart bool) [][]Fact {
		w := newWorld(t)
		w.deployment("cart", 3)
		w.pod("cart")
		p := w.pod("cart")
		var out [][]Fact
		for n := range 60 {
			switch n {
			case 5:
				p = w.crash(p, 1)
			case 10:
				p = w.ready(p)
			case 15:
				p = w.crash(p, 2)
			case 20:
				w.ready(p)
			}
			if restart {
				blob, err := w.d.Checkpoint("prod")
				if err != nil {
					t.Fatal(err)
				}
				w.d = New(Config{})
				if err := w.d.Restore("prod", blob); err != nil {
					t.Fatal(err)
				}
			}
			out = append(out, w.wait(10*time.Second))
		}
		return out
	}
	if diff := cmp.Diff(run(false), run(true)); diff != "" {
		t.Errorf("restarts changed the facts (-without +with):\n%s", diff)
	}
	if err := New(Config{}).Restore("prod", []byte("{")); err == nil {
		t.Error("a broken checkpoint was taken")
	}
}

func TestOrderAndClustersDoNotMatter(t *testing.T) {
	fill := func(c *fleet.Cluster, r *rand.Rand) {
		var rs []*report.Resource
		for n := range 20 {
			reason := []string{"CrashLoopBackOff", "ImagePullBackOff", "CreateContainerConfigError"}[n%3]
			rs = append(rs, &report.Resource{
				Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("p%d", n), Uid: fmt.Sprintf("p%d", n), Created: timestamppb.New(start),
				Owners: []*report.Owner{{Kind: "StatefulSet", Name: fmt.Sprintf("s%d", n%4), Uid: fmt.Sprintf("s%d", n%4), Controller: true}},
				Detail: &report.Resource_Pod{Pod: &report.Pod{Phase: "Running", Containers: []*report.Container{{Name: "app", State: "waiting", Reason: reason, Message: fmt.Sprint(n), Restarts: int32(n)}}}},
			})
		}
		for n := range 4 {
			rs = append(rs, &report.Resource{Kind: "StatefulSet", Namespace: "shop", Name: fmt.Sprintf("s%d", n), Uid: fmt.Sprintf("s%d", n), Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 5}}})
		}
		r.Shuffle(len(rs), func(a, b int) { rs[a], rs[b] = rs[b], rs[a] })
		c.Apply(start, &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: rs})
	}
	var first []string
	shared := New(Config{})
	for seed := range uint64(20) {
		c := fleet.New(fleet.Config{}).Join("prod")
		fill(c, rand.New(rand.NewPCG(seed, 7)))
		other := fleet.New(fleet.Config{}).Join(fmt.Sprintf("other-%d", seed))
		fill(other, rand.New(rand.NewPCG(seed, 8)))
		d := New(Config{})
		var got []string
		for n := range 5 {
			now := start.Add(time.Duration(n) * 10 * time.Second)
			got = append(got, lines(d.Evaluate(now, c))...)
			if diff := cmp.Diff(lines(d.Evaluate(now, c)), lines(shared.Evaluate(now, other))); diff != "" {
				t.Fatalf("a cluster beside others differs from one alone:\n%s", diff)
			}
		}
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Fatalf("seed %d (-first +now):\n%s", seed, diff)
		}
	}
}

func TestClockSkew(t *testing.T) {
	w := newWorld(t)
	w.c.SetStatus(func(s *fleet.Status) { s.Skew = 5 * time.Minute }) // the cluster's clock is five minutes behind
	w.deployment("cart", 1)
	engine := w.now
	w.now = engine.Add(-5 * time.Minute)
	w.change(w.pod("cart"), func(_ *report.Resource, c *report.Container) {
		c.Ready, c.Restarts, c.LastReason, c.LastFinished = false, 1, "OOMKilled", w.ago(8*time.Minute)
	})
	w.now = engine
	for _, f := range w.look() {
		if got := engine.Sub(f.Seen); got != 8*time.Minute {
			t.Errorf("%s was seen %v ago", f.Kind, got)
		}
	}
	if len(w.look()) != 2 {
		t.Errorf("%v", lines(w.look()))
	}
}

func TestLacking(t *testing.T) {
	for in, want := range map[string]string{
		"0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found": "not enough CPU (3 nodes)",
		"0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector.":               "not enough CPU (1 node), node affinity or selector matches no node (2 nodes)",
		"0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.":                            "a volume cannot be bound or reached (1 node)",
		"":              "the scheduler gives no reason",
		"something new": "something new",
	} {
		if got := lacking(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzForeignText(f *testing.F) {
	f.Add("0/4 nodes are available: 3 Insufficient memory", "Asia/Tokyo", "5 4 * * *")
	f.Add("", "TZ=", "@every 1s")
	f.Fuzz(func(t *testing.T, message, zone, expr string) {
		if lacking(message) == "" {
			t.Error("no reason")
		}
		pullError(message)
		p := newPass(start, Timing{}, fleet.New(fleet.Config{}).Join("x"), newState())
		if s := p.schedule(zone, expr); s != nil {
			s.Next(start)
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	w := newWorld(b)
	for n := range 500 {
		name := fmt.Sprintf("svc%d", n)
		w.deployment(name, 10)
		var pods []*report.Resource
		for range 10 {
			pods = append(pods, w.pod(name))
		}
		w.service(name, true, pods...)
	}
	b.ResetTimer()
	for b.Loop() {
		w.look()
	}
}
