package fleet_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

func TestWhatPeopleDoIsAChangeAndWhatControllersReportIsNone(t *testing.T) {
	base := deployment("cart", "1", "cart:v1", "t1", "17", 3)
	workload := func(change func(*report.Workload)) *report.Resource {
		return edit(base, func(r *report.Resource) { change(r.GetWorkload()) })
	}
	config := &report.Resource{Kind: "ConfigMap", Namespace: "shop", Name: "cart", Uid: "2", Detail: &report.Resource_Config{Config: &report.Config{Hash: "h1", Keys: []string{"a", "b"}}}}
	node := &report.Resource{Kind: entity.Node, Name: "n", Uid: "3", Detail: &report.Resource_Node{Node: &report.Node{Ready: true}}}
	daemons := edit(base, func(r *report.Resource) { r.Kind = entity.DaemonSet })
	for name, x := range map[string]struct {
		before, after *report.Resource
		want          string // "" for none
	}{
		"another image": {base, workload(func(w *report.Workload) {
			w.TemplateHash, w.Revision, w.Images = "t2", "18", map[string]string{"app": "cart:v2"}
		}), "image cart:v1 → cart:v2 (revision 18)"},
		"a container more": {base, workload(func(w *report.Workload) {
			w.TemplateHash, w.Revision, w.Images = "t2", "18", map[string]string{"app": "cart:v1", "proxy": "proxy:v9"}
		}), "image proxy:v9 (revision 18)"},
		"another template with the same image": {base, workload(func(w *report.Workload) { w.TemplateHash, w.Revision = "t2", "18" }), "rollout (revision 18)"},
		"a rolling restart": {base, workload(func(w *report.Workload) {
			w.TemplateHash, w.Revision, w.RestartedAt = "t2", "18", timestamppb.New(epoch)
		}), "restart (revision 18)"},
		"other replicas":           {base, workload(func(w *report.Workload) { w.Desired = 5 }), "scale 3 → 5"},
		"another content":          {config, edit(config, func(r *report.Resource) { r.GetConfig().Hash = "h2" }), "config"},
		"another key":              {config, edit(config, func(r *report.Resource) { r.GetConfig().Hash, r.GetConfig().Keys = "h2", []string{"a", "c"} }), "config key b → key c"},
		"a cordon":                 {node, edit(node, func(r *report.Resource) { r.GetNode().Unschedulable = true }), "node schedulable → cordoned"},
		"a node that is not ready": {node, edit(node, func(r *report.Resource) { r.GetNode().Ready = false }), ""},
		"pods that became ready":   {base, workload(func(w *report.Workload) { w.Ready, w.Available, w.Updated = 3, 3, 3 }), ""},
		"another revision alone":   {base, workload(func(w *report.Workload) { w.Revision = "18" }), ""},
		"another object of the name": {base, edit(base, func(r *report.Resource) {
			r.Uid, r.GetWorkload().TemplateHash, r.GetWorkload().Desired = "9", "t9", 9
		}), ""},
		"a node more for a daemon set":   {daemons, edit(daemons, func(r *report.Resource) { r.GetWorkload().Desired = 4 }), ""},
		"a workload without its details": {base, edit(base, func(r *report.Resource) { r.Detail = nil }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster("prod")
			if d := c.Apply(epoch, resync(x.before)); len(d.Changes) != 0 {
				t.Fatalf("its appearance is no change, and gave %v", d.Changes)
			}
			d := c.Apply(epoch.Add(time.Minute), upsert(x.after))
			got := ""
			if len(d.Changes) == 1 && d.Changes[0].Entity == c.Ref(x.after) && d.Changes[0].At.Equal(epoch.Add(time.Minute)) {
				got = d.Changes[0].String()
			}
			if got != x.want || len(d.Changes) > 1 || !slices.Equal(d.Changes, c.Changes(time.Time{})) {
				t.Errorf("got %v, want %q", d.Changes, x.want)
			}
		})
	}
}

func TestAChangeIsBriefWhereTheImageStays(t *testing.T) {
	for want, c := range map[string]fleet.Change{
		"image v1.12.0 → v1.12.1 (revision 4)":        {Kind: "image", Before: "registry.example.com:5000/shop/cart:v1.12.0", After: "registry.example.com:5000/shop/cart:v1.12.1", Revision: "4"},
		"image shop/cart:v1 → mirror/cart:v1":         {Kind: "image", Before: "shop/cart:v1", After: "mirror/cart:v1"},
		"image r:5000/cart → r:5000/cart:v2":          {Kind: "image", Before: "r:5000/cart", After: "r:5000/cart:v2"},
		"image cart@sha256:aa → cart@sha256:bb":       {Kind: "image", Before: "cart@sha256:aa", After: "cart@sha256:bb"},
		"image cart:v1, proxy:v1 → cart:v2, proxy:v2": {Kind: "image", Before: "cart:v1, proxy:v1", After: "cart:v2, proxy:v2"},
		"image proxy:v9": {Kind: "image", After: "proxy:v9"},
		"scale 3 → 5":    {Kind: "scale", Before: "3", After: "5"},
	} {
		if got := c.Brief(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTheRevisionIsTheOneThatBelongsToTheTemplate(t *testing.T) {
	old := deployment("cart", "1", "cart:v1", "t1", "17", 3)
	// The template changes first: the generation rises, and the revision is still the old one.
	edited := edit(old, func(r *report.Resource) {
		r.Generation, r.GetWorkload().TemplateHash, r.GetWorkload().Images = 8, "t2", map[string]string{"app": "cart:v2"}
	})
	numbered := edit(edited, func(r *report.Resource) { r.GetWorkload().Revision, r.GetWorkload().ObservedGeneration = "18", 8 })
	sameNumber := edit(edited, func(r *report.Resource) { r.GetWorkload().ObservedGeneration = 8 })
	revision := func(c *fleet.Cluster) string {
		t.Helper()
		got := c.Changes(time.Time{})
		if len(got) != 1 {
			t.Fatalf("changes are %v", got)
		}
		return got[0].Revision
	}
	t.Run("it comes with a later report", func(t *testing.T) {
		c := newCluster("prod")
		c.Apply(epoch, resync(old))
		c.Apply(epoch, upsert(edited))
		if got := revision(c); got != "" {
			t.Errorf("the revision before the controller wrote it is %q", got)
		}
		before := c.Changes(time.Time{})
		c.Apply(epoch, upsert(numbered))
		if got := revision(c); got != "18" || before[0].Revision != "" {
			t.Errorf("revision is %q; what was handed out before says %q", got, before[0].Revision)
		}
	})
	t.Run("it comes in the same batch", func(t *testing.T) {
		c := newCluster("prod")
		c.Apply(epoch, resync(old))
		d := c.Apply(epoch, upsert(edited, numbered))
		if got := revision(c); got != "18" || d.Changes[0].Revision != "18" {
			t.Errorf("revision is %q", got)
		}
	})
	t.Run("the two came as one update", func(t *testing.T) {
		c := newCluster("prod")
		c.Apply(epoch, resync(old))
		c.Apply(epoch, upsert(numbered))
		if got := revision(c); got != "18" {
			t.Errorf("revision is %q", got)
		}
	})
	t.Run("the controller keeps the number", func(t *testing.T) {
		c := newCluster("prod")
		c.Apply(epoch, resync(old))
		c.Apply(epoch, upsert(edited))
		c.Apply(epoch, upsert(sameNumber))
		if got := revision(c); got != "17" {
			t.Errorf("revision is %q", got)
		}
	})
	t.Run("a second rollout does not number the first", func(t *testing.T) {
		c := newCluster("prod")
		c.Apply(epoch, resync(old))
		c.Apply(epoch, upsert(edited))
		c.Apply(epoch, upsert(edit(edited, func(r *report.Resource) { r.GetWorkload().TemplateHash = "t3" })))
		c.Apply(epoch, upsert(edit(edited, func(r *report.Resource) {
			r.GetWorkload().TemplateHash, r.GetWorkload().Revision, r.GetWorkload().ObservedGeneration = "t3", "19", 8
		})))
		got := c.Changes(time.Time{})
		if len(got) != 2 || got[0].Revision != "19" || got[1].Revision != "" {
			t.Errorf("changes are %v", got)
		}
	})
}

func TestWhatWasRolledOutBeforeWeLookedIsDerivedOnce(t *testing.T) {
	d := deployment("cart", "1", "cart:v2", "t2", "18", 3)
	v1 := replicaSet("cart-1", d, "cart:v1", "t1", "17", epoch.Add(-24*time.Hour))
	v2 := replicaSet("cart-2", d, "cart:v2", "t2", "18", epoch.Add(-5*time.Minute))
	one := func(c *fleet.Cluster) fleet.Change {
		t.Helper()
		got := c.Changes(time.Time{})
		if len(got) != 1 {
			t.Fatalf("changes are %v", got)
		}
		return got[0]
	}
	t.Run("a rollout of five minutes ago", func(t *testing.T) {
		c := newCluster("prod")
		c.Apply(epoch, resync(d, v1, v2))
		c.Apply(epoch.Add(time.Minute), resync(d, v1, v2))
		if got := one(c); got.String() != "image cart:v1 → cart:v2 (revision 18)" || !got.At.Equal(epoch.Add(-5*time.Minute)) {
			t.Errorf("got %v at %s", got, got.At)
		}
	})
	t.Run("an earlier process remembers it", func(t *testing.T) {
		c := newCluster("prod")
		seen := fleet.Change{At: epoch.Add(-5*time.Minute + 2*time.Second), Entity: c.Ref(d), Kind: "image", Before: "cart:v1", After: "cart:v2", Template: "t2", Revision: "18"}
		c.RestoreChanges([]fleet.Change{seen})
		c.Apply(epoch, resync(d, v1, v2))
		if got := one(c); got != seen {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a rollback does not look like the rollout that it took back", func(t *testing.T) {
		c := newCluster("prod")
		back := deployment("cart", "1", "cart:v1", "t1", "19", 3)
		c.Apply(epoch, resync(back, edit(v1, func(r *report.Resource) { r.GetWorkload().Revision = "19" }), v2))
		if got := c.Changes(time.Time{}); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("a cluster whose clock is ahead", func(t *testing.T) {
		c := newCluster("prod")
		c.Apply(epoch, resync(d, v1, edit(v2, func(r *report.Resource) { r.Created = timestamppb.New(epoch.Add(5 * time.Minute)) })))
		if got := one(c); got.At.After(epoch) {
			t.Errorf("a change of the future: %v", got.At)
		}
	})
	t.Run("a rollout of yesterday", func(t *testing.T) {
		c := newCluster("prod")
		c.Apply(epoch, resync(d, v1, edit(v2, func(r *report.Resource) { r.Created = timestamppb.New(epoch.Add(-23 * time.Hour)) })))
		if got := c.Changes(time.Time{}); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
}

func TestChangesSurviveACheckpointInOrder(t *testing.T) {
	before := newCluster("prod")
	d := deployment("cart", "1", "cart:v1", "t1", "17", 1)
	before.Apply(epoch, resync(d))
	for i := range 6 { // two in each second: equal times must keep their order too
		before.Apply(epoch.Add(time.Duration(i/2)*time.Second), upsert(edit(d, func(r *report.Resource) { r.GetWorkload().Desired = int32(i + 2) })))
	}
	want := before.Changes(time.Time{})
	blob, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var stored []fleet.Change
	if err := json.Unmarshal(blob, &stored); err != nil {
		t.Fatal(err)
	}
	after := newCluster("prod")
	after.RestoreChanges(stored)
	check := func(when string) {
		t.Helper()
		if got := after.Changes(time.Time{}); !slices.EqualFunc(got, want, func(a, b fleet.Change) bool { return a.String() == b.String() && a.At.Equal(b.At) }) {
			t.Errorf("%s:\n got %v\nwant %v", when, got, want)
		}
	}
	check("at once")
	after.Apply(epoch.Add(time.Minute), resync(edit(d, func(r *report.Resource) { r.GetWorkload().Desired = 7 })))
	check("after the first resync")
	c := edit(d, func(r *report.Resource) { r.GetWorkload().Desired = 9 })
	after.Apply(epoch.Add(2*time.Minute), upsert(c))
	got := after.Changes(time.Time{})
	if got[0].String() != "scale 7 → 9" || len(got) != len(want)+1 {
		t.Errorf("the newest is %v of %d", got[0], len(got))
	}
	if since := after.Changes(epoch.Add(2 * time.Minute)); len(since) != 1 {
		t.Errorf("since then: %v", since)
	}
	if about := after.Changes(time.Time{}, entity.Ref{Cluster: "prod", Kind: entity.Deployment, Namespace: "shop", Name: "other"}); about != nil {
		t.Errorf("of another: %v", about)
	}
}

func TestOldChangesAreForgotten(t *testing.T) {
	c := fleet.New(fleet.Config{MaxChanges: 10, ChangeRetention: time.Hour}).Join("prod")
	d := deployment("cart", "1", "cart:v1", "t1", "17", 0)
	c.Apply(epoch, resync(d))
	scale := func(at time.Time, n int) {
		c.Apply(at, upsert(edit(d, func(r *report.Resource) { r.GetWorkload().Desired = int32(n) })))
	}
	for i := 1; i <= 25; i++ {
		scale(epoch, i)
	}
	got := c.Changes(time.Time{})
	if len(got) != 10 || got[0].String() != "scale 24 → 25" || got[9].String() != fmt.Sprint("scale 15 → 16") {
		t.Errorf("%d are kept: %v", len(got), got)
	}
	scale(epoch.Add(59*time.Minute), 100)
	if got := c.Changes(time.Time{}); len(got) != 10 {
		t.Errorf("%d are kept within the hour", len(got))
	}
	c.Apply(epoch.Add(61*time.Minute), &report.ReportRequest{})
	if got := c.Changes(time.Time{}); len(got) != 1 || got[0].After != "100" {
		t.Errorf("after an hour there are %v", got)
	}
}
