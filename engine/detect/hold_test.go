package detect

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/fleet"
)

func TestHold(t *testing.T) {
	t.Run("a crash loop's running moments do not end the fact", func(t *testing.T) {
		w := newWorld(t)
		w.deployment("cart", 3)
		w.pod("cart")
		p := w.pod("cart")
		for n := range int32(5) {
			p = w.crash(p, n+1)
			w.wait(40 * time.Second)
			p = w.ready(p)
			for range 6 {
				w.wait(10 * time.Second)
				if len(w.look()) != 2 {
					t.Fatalf("after crash %d: %v", n+1, lines(w.look()))
				}
			}
		}
		if got := w.spans(5*time.Minute, "deployment/cart", "CrashLoopBackOff"); !slices.Equal(got, []string{"true at 0s", "false at 1m0s"}) {
			t.Errorf("after the last crash: %v", got)
		}
	})
	t.Run("it ends ten minutes after its last evidence at the latest", func(t *testing.T) {
		w := newWorld(t)
		w.deployment("cart", 3)
		w.pod("cart")
		p := w.crash(w.pod("cart"), 1)
		w.look()
		w.change(p, func(_ *report.Resource, c *report.Container) { c.State, c.Reason = "running", "" }) // never Ready
		if got := w.spans(20*time.Minute, "deployment/cart", "CrashLoopBackOff"); !slices.Equal(got, []string{"true at 0s", "false at 10m10s"}) {
			t.Errorf("%v", got)
		}
	})
	t.Run("the last state alone is no evidence", func(t *testing.T) {
		w := newWorld(t)
		w.deployment("cart", 1)
		w.change(w.pod("cart"), func(_ *report.Resource, c *report.Container) {
			c.Restarts, c.LastReason, c.LastFinished = 1, "OOMKilled", w.ago(5*time.Minute)
		})
		w.now = w.now.Add(3 * time.Minute)
		if got := w.look(); len(got) != 0 {
			t.Errorf("%v", lines(got))
		}
	})
	t.Run("a killed pod that is over is told once, not for ever", func(t *testing.T) {
		w := newWorld(t)
		w.put(&report.Resource{Kind: "Job", Namespace: "shop", Name: "import", Uid: "j", Detail: &report.Resource_Job{Job: &report.Job{}}})
		w.put(&report.Resource{
			Kind: "Pod", Namespace: "shop", Name: "import-1", Owners: []*report.Owner{{Kind: "Job", Name: "import", Uid: "j", Controller: true}},
			Detail: &report.Resource_Pod{Pod: &report.Pod{Phase: "Failed", Containers: []*report.Container{{Name: "app", State: "terminated", Reason: "OOMKilled", ExitCode: 137}}}},
		})
		if got := w.spans(time.Hour, "job/import", "OOMKilled"); !slices.Equal(got, []string{"true at 0s", "false at 10m10s"}) {
			t.Errorf("%v", got)
		}
	})
	t.Run("a rollback ends the workload's fact at once when it is fully available", func(t *testing.T) {
		w := newWorld(t)
		d := w.deployment("cart", 2)
		w.pod("cart")
		w.pod("cart")
		bad := w.waits(w.newPod("cart"), "ImagePullBackOff", "")
		w.counts(d, 2, 1)
		w.wait(time.Minute)
		w.drop(bad)
		if got := lines(w.wait(time.Minute)); len(got) != 1 || !strings.Contains(got[0], "those pods are gone") {
			t.Errorf("while it is not fully available: %v", got)
		}
		w.counts(d, 2, 2)
		if got := lines(w.look()); len(got) != 0 {
			t.Errorf("after the rollback: %v", got)
		}
	})
	t.Run("a pod being deleted raises nothing", func(t *testing.T) {
		w := newWorld(t)
		w.deployment("cart", 3)
		p := w.crash(w.pod("cart"), 3)
		w.look()
		n := clone(p)
		n.Deleting = timestamppb.New(w.now.Add(30 * time.Second))
		w.put(n)
		if got := lines(w.wait(20 * time.Second)); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
	t.Run("the same event may tell again after it was quiet", func(t *testing.T) {
		w := newWorld(t)
		w.deployment("cart", 3)
		w.counts(w.c.Get("Deployment", "shop", "cart"), 2, 3)
		e := w.event("Deployment", "cart", "FailedCreate", "no")
		first := w.look()
		if got := w.spans(8*time.Minute, "deployment/cart", "FailedCreate"); !slices.Equal(got, []string{"true at 0s", "false at 5m0s"}) {
			t.Errorf("%v", got)
		}
		n := clone(e)
		n.GetEvent().Count, n.GetEvent().Last = 4, w.ts()
		w.put(n)
		if again := w.look(); len(again) != 1 || !again[0].Since.After(first[0].Since) {
			t.Errorf("again: %+v", again)
		}
	})
}

func TestHealthyRestart(t *testing.T) {
	w := newWorld(t)
	d := w.deployment("big", 1000)
	var old []*report.Resource
	for range 1000 {
		old = append(old, w.pod("big"))
	}
	w.service("big", true, old...)
	w.look()
	var leaving, starting []*report.Resource
	for len(old)+len(leaving)+len(starting) > 0 {
		w.drop(leaving...)
		for _, p := range starting {
			w.ready(p)
		}
		leaving, starting = nil, nil
		for range min(250, len(old)) {
			p := clone(old[0])
			p.Deleting = timestamppb.New(w.now.Add(30 * time.Second))
			old = old[1:]
			w.put(p)
			leaving = append(leaving, p)
			n := w.newPod("big")
			w.event("Pod", n.Name, "Unhealthy", "Readiness probe failed: connection refused")
			starting = append(starting, n)
		}
		w.counts(d, int32(1000-len(starting)), 1000)
		if got := lines(w.wait(20 * time.Second)); len(got) != 0 {
			t.Fatalf("%v", got[:min(5, len(got))])
		}
	}
	w.counts(d, 1000, 1000)
	if got := lines(w.wait(5 * time.Minute)); len(got) != 0 {
		t.Fatalf("%v", got[:min(5, len(got))])
	}
}

func TestFirstStart(t *testing.T) {
	w := newWorld(t)
	d := w.deployment("slow", 1)
	w.counts(d, 0, 1)
	p := w.newPod("slow")
	w.service("slow", false, p)
	for range 18 {
		if got := lines(w.wait(10 * time.Second)); len(got) != 0 {
			t.Fatalf("%s: %v", w.now.Sub(start), got)
		}
	}
	w.service("slow", true, w.ready(p))
	w.counts(d, 1, 1)
	if got := lines(w.wait(time.Minute)); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestSilenceFreezes(t *testing.T) {
	w := newWorld(t)
	w.deployment("cart", 3)
	p := w.crash(w.pod("cart"), 3)
	before := w.look()
	w.c.SetStatus(func(s *fleet.Status) { s.Silent = true })
	w.crash(w.pod("cart"), 9)
	if diff := cmp.Diff(before, w.wait(3*time.Hour)); diff != "" {
		t.Errorf("while silent (-before +after):\n%s", diff)
	}
	w.c.SetStatus(func(s *fleet.Status) { s.Silent = false })
	w.drop(p)
	if got := lines(w.look()); len(got) != 4 || !strings.Contains(got[0], "9 restarts") || !strings.Contains(got[1], "NotReady") {
		t.Errorf("when it speaks again: %v", got)
	}
}

func TestUnsyncedSaysNothing(t *testing.T) {
	c := fleet.New(fleet.Config{}).Join("prod")
	c.Apply(start, &report.ReportRequest{ResyncBegin: true, Upserts: []*report.Resource{{Kind: "Node", Name: "n", Detail: &report.Resource_Node{Node: &report.Node{}}}}})
	if got := New(Config{}).Evaluate(start, c); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
