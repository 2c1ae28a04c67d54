package fleet_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

func TestTheStateIsWhatTheBatchesSayHoweverOftenEachArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once, often := newCluster("prod"), newCluster("prod")
		m := &model{have: map[string]*report.Resource{}}
		now := epoch
		for _, b := range anyBatches(t) {
			now = now.Add(time.Second)
			m.apply(b)
			once.Apply(now, b)
			for range rapid.IntRange(1, 3).Draw(t, "times") {
				often.Apply(now, proto.CloneOf(b))
			}
			for name, c := range map[string]*fleet.Cluster{"once": once, "often": often} {
				got := all(c)
				if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(m.have))) {
					t.Fatalf("applied %s: it holds %q, and the batches say %q", name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(m.have)))
				}
				for k, r := range got {
					if !proto.Equal(r, m.have[k]) {
						t.Fatalf("applied %s: %q is %v, and was reported as %v", name, k, r, m.have[k])
					}
				}
			}
		}
		if a, b := once.Changes(time.Time{}), often.Changes(time.Time{}); !slices.Equal(a, b) {
			t.Fatalf("repetition changed the changes:\n%v\n%v", a, b)
		}
	})
}

func TestTheIndicesAreWhatANaiveSearchFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster("prod")
		m := &model{have: map[string]*report.Resource{}}
		for _, b := range anyBatches(t) {
			m.apply(b)
			c.Apply(epoch, b)
		}
		for _, r := range m.have {
			want := children(m, r.GetUid())
			if got := named(c.Children(r.GetUid())); !slices.Equal(got, named(want)) {
				t.Fatalf("%s controls %q, and the index says %q", c.Ref(r), named(want), got)
			}
			var pods []string
			switch r.GetKind() {
			case entity.Pod:
				pods = []string{r.GetNamespace() + "/" + r.GetName()}
			case entity.Node:
				for _, p := range m.have {
					if p.GetKind() == entity.Pod && p.GetPod().GetNode() == r.GetName() {
						pods = append(pods, p.GetNamespace()+"/"+p.GetName())
					}
				}
			case entity.Service:
				for _, s := range m.have {
					if s.GetKind() != "EndpointSlice" || s.GetNamespace() != r.GetNamespace() || s.GetEndpointSlice().GetService() != r.GetName() {
						continue
					}
					for _, e := range s.GetEndpointSlice().GetEndpoints() {
						if p := m.have[keyOf(entity.Pod, r.GetNamespace(), e.GetPod())]; p != nil {
							pods = append(pods, p.GetNamespace()+"/"+p.GetName())
						}
					}
				}
			default:
				for _, p := range descendants(m, r) {
					if p.GetKind() == entity.Pod {
						pods = append(pods, p.GetNamespace()+"/"+p.GetName())
					}
				}
			}
			slices.Sort(pods)
			pods = slices.Compact(pods)
			var got []string
			for _, p := range c.Pods(c.Ref(r)) {
				got = append(got, p.GetNamespace()+"/"+p.GetName())
			}
			slices.Sort(got)
			if !slices.Equal(got, pods) {
				t.Fatalf("the pods of %s are %q, and the index says %q", c.Ref(r), pods, got)
			}
			c.Workload(r) // ends, even when owners form a circle
		}
	})
}

func children(m *model, uid string) []*report.Resource {
	var out []*report.Resource
	for _, r := range m.have {
		if slices.ContainsFunc(r.GetOwners(), func(o *report.Owner) bool { return uid != "" && o.GetController() && o.GetUid() == uid }) {
			out = append(out, r)
		}
	}
	return out
}

// descendants gives what a resource controls through any number of others, without itself.
func descendants(m *model, r *report.Resource) []*report.Resource {
	found := map[*report.Resource]bool{}
	var walk func(*report.Resource)
	walk = func(o *report.Resource) {
		for _, x := range children(m, o.GetUid()) {
			if !found[x] {
				found[x] = true
				walk(x)
			}
		}
	}
	walk(r)
	delete(found, r)
	return slices.Collect(maps.Keys(found))
}

func named(rs []*report.Resource) []string {
	var out []string
	for _, r := range rs {
		out = append(out, keyOf(r.GetKind(), r.GetNamespace(), r.GetName()))
	}
	slices.Sort(out)
	return out
}

func TestAResyncTellsWhatWentAndWhenItEnded(t *testing.T) {
	c := newCluster("prod")
	a, b := deployment("a", "1", "a:v1", "t1", "1", 1), deployment("b", "2", "b:v1", "t1", "1", 1)
	if d := c.Apply(epoch, resync(a, b)); !d.Synced || len(d.Deletes) != 0 || !c.Status().Synced {
		t.Errorf("the first resync ended with %+v", d)
	}
	if d := c.Apply(epoch, &report.ReportRequest{ResyncBegin: true, Upserts: []*report.Resource{a}}); d.Synced || c.Find(c.Ref(b)) == nil {
		t.Error("half a resync removed something")
	}
	d := c.Apply(epoch, &report.ReportRequest{ResyncEnd: true})
	if !d.Synced || len(d.Deletes) != 1 || d.Deletes[0].GetName() != "b" || c.Find(c.Ref(b)) != nil || c.Find(c.Ref(a)) == nil {
		t.Errorf("the end of the resync gave %+v", d)
	}
	if d := c.Apply(epoch, &report.ReportRequest{ResyncEnd: true}); d.Synced || len(d.Deletes) != 0 {
		t.Error("an end without a beginning did something")
	}
}

func sample(kind, name, metric string, v float64) *report.Sample {
	ns := "shop"
	if kind == entity.Node {
		ns = ""
	}
	return &report.Sample{Entity: &report.EntityRef{Kind: kind, Namespace: ns, Name: name}, Metric: metric, Value: v}
}

func frame(samples ...*report.Sample) *report.ReportRequest {
	return &report.ReportRequest{Frames: []*report.TelemetryFrame{{Samples: samples}}}
}

func TestReadingsLiveAndDieWithTheirEntities(t *testing.T) {
	c := newCluster("prod")
	pod := &report.Resource{Kind: entity.Pod, Namespace: "shop", Name: "p", Uid: "p"}
	other := &report.Resource{Kind: entity.Pod, Namespace: "shop", Name: "q", Uid: "q"}
	c.Apply(epoch, resync(pod, other))
	c.Apply(epoch, frame(sample(entity.Pod, "p", "cpu_usage", 0.5), sample(entity.Pod, "p", "memory_usage", 0.25)))
	if got := c.Readings(c.Ref(pod)); len(got) != 2 || got["cpu_usage"].Value != 0.5 || !got["cpu_usage"].At.Equal(epoch) {
		t.Fatalf("readings are %v", got)
	}
	c.Apply(epoch, &report.ReportRequest{Deletes: []*report.ResourceKey{{Kind: entity.Pod, Namespace: "shop", Name: "p"}}})
	if got := c.Readings(c.Ref(pod)); got != nil {
		t.Errorf("a deleted pod still has %v", got)
	}
	c.Apply(epoch, frame(sample(entity.Pod, "p", "cpu_usage", 0.5)))
	if got := c.Readings(c.Ref(pod)); got != nil {
		t.Errorf("a late sample brought a deleted pod's readings back: %v", got)
	}
}

func TestTelemetryOfWhatIsNoResourceDoesNotGrowForever(t *testing.T) {
	c := newCluster("prod")
	first := entity.Ref{Cluster: "prod", Kind: entity.External, Namespace: "shop", Name: "api-0"}
	for i := range 500 {
		c.Apply(epoch.Add(time.Duration(i)*time.Minute), frame(sample(entity.External, fmt.Sprintf("api-%d", i), "request_rate", 1)))
		if i == 10 && c.Readings(first) == nil {
			t.Fatal("a reading of ten minutes ago is gone already")
		}
	}
	kept := 0
	for i := range 500 {
		if c.Readings(entity.Ref{Cluster: "prod", Kind: entity.External, Namespace: "shop", Name: fmt.Sprintf("api-%d", i)}) != nil {
			kept++
		}
	}
	if kept > 35 || kept < 25 {
		t.Errorf("%d entities of the last 500 minutes are kept, want those of half an hour", kept)
	}
}

func TestATruncatedOrHostileFrameIsTakenAsFarAsItMakesSense(t *testing.T) {
	c := newCluster("prod")
	nan := frame(nil, &report.Sample{}, sample(entity.Node, "n", "", 1), sample(entity.Node, "n", "cpu_usage", 0.5))
	nan.Frames = append(nan.Frames, nil, &report.TelemetryFrame{Traffic: []*report.Traffic{
		nil, {From: &report.EntityRef{Name: "a"}}, {From: &report.EntityRef{Kind: "Service", Name: "a"}, To: &report.EntityRef{Kind: "Service", Name: "b"}, RequestsPerSecond: 3},
	}})
	nan.Kinds = []*report.KindStatus{nil, {Kind: "Pod"}}
	c.Apply(epoch, nan)
	if got := c.Readings(entity.Ref{Cluster: "prod", Kind: entity.Node, Name: "n"}); len(got) != 1 {
		t.Errorf("readings are %v", got)
	}
	if got := c.Traffic(); len(got) != 1 || got[0].To.Name != "b" {
		t.Errorf("traffic is %v", got)
	}
	if got := c.Kinds(); len(got) != 1 {
		t.Errorf("kinds are %v", got)
	}
}

func TestClustersDoNotShareAnything(t *testing.T) {
	f := fleet.New(fleet.Config{})
	east, west := f.Join("east"), f.Join("west")
	east.Apply(epoch, resync(deployment("a", "1", "a:v1", "t1", "1", 1)))
	if _, ok := f.Cluster("north"); ok || f.Join("east") != east || !slices.Equal(f.Clusters(), []string{"east", "west"}) {
		t.Errorf("the fleet holds %q", f.Clusters())
	}
	if west.Status().Synced || len(west.List(entity.Deployment, "")) != 0 || west.Version() != 0 {
		t.Error("west learned of east")
	}
	f.Remove("east")
	if _, ok := f.Cluster("east"); ok {
		t.Error("a removed cluster is still there")
	}
}

func TestReadersAndTheWriterDoNotMeet(t *testing.T) {
	c := newCluster("prod")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	d := deployment("a", "1", "a:v1", "t1", "1", 1)
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, k := range someKinds {
					for _, r := range c.List(k, "") {
						c.Pods(c.Ref(r))
						c.Workload(r)
						c.Family(r)
						c.Readings(c.Ref(r))
					}
				}
				for _, ch := range c.Changes(time.Time{}) {
					_ = ch.String()
				}
				c.Kinds()
				c.Sources()
				c.Traffic()
				c.Status()
				c.Version()
			}
		})
	}
	for i := range 300 {
		b := upsert(edit(d, func(r *report.Resource) {
			r.GetWorkload().TemplateHash = fmt.Sprint("t", i)
			r.GetWorkload().Revision = fmt.Sprint(i / 2)
		}))
		b.Upserts = append(b.Upserts, replicaSet(fmt.Sprint("rs", i%7), d, "a:v1", "t1", "1", epoch))
		b.ResyncBegin, b.ResyncEnd = i%50 == 0, i%50 == 0
		b.Frames = frame(sample(entity.Node, "n", "cpu_usage", 0.5)).Frames
		c.Apply(epoch.Add(time.Duration(i)*time.Second), b)
		c.SetStatus(func(s *fleet.Status) { s.Silent = i%2 == 0 })
	}
	close(stop)
	wg.Wait()
}

func FuzzApply(f *testing.F) {
	for _, b := range []*report.ReportRequest{
		resync(deployment("a", "1", "a:v1", "t1", "1", 1)), frame(sample(entity.Node, "n", "cpu_usage", 0.5)),
		upsert(&report.Resource{Kind: "Pod", Name: "p", Uid: "p", Owners: []*report.Owner{{Kind: "Pod", Name: "p", Uid: "p", Controller: true}}}),
	} {
		raw, err := proto.Marshal(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b report.ReportRequest
		if proto.Unmarshal(raw, &b) != nil {
			return
		}
		c := newCluster("prod")
		for range 2 {
			d := c.Apply(epoch, &b)
			for _, r := range d.Upserts {
				c.Pods(c.Ref(r))
				c.Workload(r)
				c.Family(r)
			}
			for _, ch := range d.Changes {
				_ = ch.String()
			}
		}
	})
}
