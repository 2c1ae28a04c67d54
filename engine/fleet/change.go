package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Change is something that was altered on an entity: a suspect when a fault follows it, never a proof.
type Change struct {
	At     time.Time  `json:"at"`
	Entity entity.Ref `json:"entity"`
	Kind   string     `json:"kind"` // rollout, image, scale, config, node, restart
	Before string     `json:"before,omitempty"`
	After  string     `json:"after,omitempty"`
	// Revision is the rollout's number afterwards. It is empty where there is none and until the controller has written
	// it, which is a moment after the template changed.
	Revision string `json:"revision,omitempty"`
	// Template is the hash of the pod template afterwards; a rollback restores an earlier one.
	Template string `json:"template,omitempty"`
}

// String gives one line for a person: "image cart:v2.3.1 → cart:v2.4.0 (revision 18)".
func (c Change) String() string {
	s := c.Kind
	switch {
	case c.Before != "" && c.After != "":
		s += " " + c.Before + " → " + c.After
	case c.After != "":
		s += " " + c.After
	}
	if c.Revision != "" {
		s += " (revision " + c.Revision + ")"
	}
	return s
}

// Brief is String for a phone: of one image that got another tag, the tags alone, "image v2.3.1 → v2.4.0 (revision 18)".
func (c Change) Brief() string {
	cut := func(image string) (repository, tag string) {
		i := strings.LastIndexByte(image, ':')
		if i < strings.LastIndexByte(image, '/') || strings.ContainsAny(image, "@,") { // a registry's port, a digest, several
			return image, ""
		}
		return image[:max(i, 0)], image[i+1:]
	}
	before, from := cut(c.Before)
	after, to := cut(c.After)
	if c.Kind == "image" && before == after && from != "" && to != "" {
		c.Before, c.After = from, to
	}
	return c.String()
}

// Changes lists what changed since a time, newest first; with refs, only on those entities.
func (c *Cluster) Changes(since time.Time, refs ...entity.Ref) []Change {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []Change
	for _, ch := range slices.Backward(c.changes) {
		if ch.At.Before(since) {
			continue
		}
		if len(refs) == 0 || slices.Contains(refs, ch.Entity) {
			out = append(out, ch)
		}
	}
	return out
}

// RestoreChanges puts back what an earlier process remembered, as Changes gave it: newest first. It is called before the
// first batch is applied.
func (c *Cluster) RestoreChanges(changes []Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldestFirst := slices.Clone(changes)
	slices.Reverse(oldestFirst)
	c.changes = append(oldestFirst, c.changes...)
	slices.SortStableFunc(c.changes, compareChanges)
}

func compareChanges(a, b Change) int { return a.At.Compare(b.At) }

func (c *Cluster) remember(now time.Time, changes []Change) {
	if len(changes) > 0 {
		c.changes = append(c.changes, changes...)
		slices.SortStableFunc(c.changes, compareChanges)
	}
	drop := max(0, len(c.changes)-c.cfg.MaxChanges)
	for drop < len(c.changes) && now.Sub(c.changes[drop].At) > c.cfg.ChangeRetention {
		drop++
	}
	c.changes = slices.Delete(c.changes, 0, drop)
}

// compare tells what of a resource changed that can cause a fault. Status is not a change; what people do is.
func (c *Cluster) compare(now time.Time, old, r *report.Resource) []Change {
	ref := c.Ref(r)
	if old.GetUid() != r.GetUid() {
		return nil // another object of the same name
	}
	var out []Change
	if a, b := old.GetWorkload(), r.GetWorkload(); a != nil && b != nil && r.GetKind() != entity.ReplicaSet {
		if a.GetDesired() != b.GetDesired() && r.GetKind() != entity.DaemonSet {
			out = append(out, Change{At: now, Entity: ref, Kind: "scale", Before: fmt.Sprint(a.GetDesired()), After: fmt.Sprint(b.GetDesired())})
		}
		if a.GetTemplateHash() != b.GetTemplateHash() {
			ch := Change{At: now, Entity: ref, Kind: "rollout", Template: b.GetTemplateHash()}
			if observed(r) || a.GetRevision() != b.GetRevision() {
				ch.Revision = b.GetRevision()
			}
			before, after := imagesChanged(a.GetImages(), b.GetImages())
			switch {
			case after != "":
				ch.Kind, ch.Before, ch.After = "image", before, after
			case !a.GetRestartedAt().AsTime().Equal(b.GetRestartedAt().AsTime()):
				ch.Kind = "restart"
			}
			out = append(out, ch)
		}
	}
	if a, b := old.GetConfig(), r.GetConfig(); a != nil && b != nil && a.GetHash() != b.GetHash() {
		out = append(out, Change{At: now, Entity: ref, Kind: "config", Before: keysGone(a.GetKeys(), b.GetKeys()), After: keysGone(b.GetKeys(), a.GetKeys())})
	}
	if a, b := old.GetNode(), r.GetNode(); a != nil && b != nil && a.GetUnschedulable() != b.GetUnschedulable() {
		state := map[bool]string{true: "cordoned", false: "schedulable"}
		out = append(out, Change{At: now, Entity: ref, Kind: "node", Before: state[a.GetUnschedulable()], After: state[b.GetUnschedulable()]})
	}
	return out
}

// observed says whether the controller has seen the spec. The Deployment controller writes the revision before it says
// so, therefore the revision of an observed object belongs to its template.
func observed(r *report.Resource) bool {
	return r.GetGeneration() > 0 && r.GetWorkload().GetObservedGeneration() >= r.GetGeneration()
}

// numberedNow says whether the update from old to r brings the revision of a template that old had already.
func numberedNow(old, r *report.Resource) bool {
	a, b := old.GetWorkload(), r.GetWorkload()
	return a != nil && b != nil && old.GetUid() == r.GetUid() && a.GetTemplateHash() == b.GetTemplateHash() &&
		(a.GetRevision() != b.GetRevision() || observed(r) && !observed(old))
}

// number fills in the revision of the newest rollout of an entity.
func number(changes []Change, ref entity.Ref, w *report.Workload) {
	for i := range slices.Backward(changes) {
		ch := &changes[i]
		if ch.Entity != ref || ch.Template == "" {
			continue
		}
		if ch.Revision == "" && ch.Template == w.GetTemplateHash() {
			ch.Revision = w.GetRevision()
		}
		return
	}
}

// recentRollouts derives from the ReplicaSets what was rolled out before we looked, so that the first question after a
// start already knows it. Called once, when the first resync ends.
func (c *Cluster) recentRollouts(now time.Time) []Change {
	var out []Change
	for _, d := range c.kinds[entity.Deployment] {
		current, before := c.generations(d)
		if current == nil || before == nil {
			continue
		}
		at := current.GetCreated().AsTime()
		if now.Sub(at) > time.Hour || !at.After(before.GetCreated().AsTime()) {
			continue // long ago, or a return to an older ReplicaSet, whose time nobody kept
		}
		if at.After(now) {
			at = now // the cluster's clock is ahead of ours
		}
		ref, w := c.Ref(d), d.GetWorkload()
		if c.knows(ref, w.GetTemplateHash()) {
			continue
		}
		ch := Change{At: at, Entity: ref, Kind: "rollout", Revision: w.GetRevision(), Template: w.GetTemplateHash()}
		if from, to := imagesChanged(before.GetWorkload().GetImages(), current.GetWorkload().GetImages()); to != "" {
			ch.Kind, ch.Before, ch.After = "image", from, to
		}
		out = append(out, ch)
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Or(a.At.Compare(b.At), entity.Compare(a.Entity, b.Entity)) })
	return out
}

// generations gives the ReplicaSet that a Deployment runs now and the one before it. The current one has the
// Deployment's template; which one is newest says nothing, because a rollback takes up an old one again.
func (c *Cluster) generations(d *report.Resource) (current, before *report.Resource) {
	later := func(a, b *report.Resource) bool { // a was rolled out after b
		if b == nil {
			return true
		}
		x, errX := strconv.ParseInt(a.GetWorkload().GetRevision(), 10, 64)
		y, errY := strconv.ParseInt(b.GetWorkload().GetRevision(), 10, 64)
		if errX == nil && errY == nil && x != y {
			return x > y
		}
		return cmp.Or(a.GetCreated().AsTime().Compare(b.GetCreated().AsTime()), cmp.Compare(a.GetName(), b.GetName())) > 0
	}
	hash := d.GetWorkload().GetTemplateHash()
	for rs := range c.children[d.GetUid()] {
		switch w := rs.GetWorkload(); {
		case w == nil || rs.GetKind() != entity.ReplicaSet:
		case w.GetTemplateHash() == hash:
			if later(rs, current) {
				current = rs
			}
		case later(rs, before):
			before = rs
		}
	}
	return current, before
}

// knows says whether the newest remembered rollout of an entity led to this template.
func (c *Cluster) knows(ref entity.Ref, template string) bool {
	for _, ch := range slices.Backward(c.changes) {
		if ch.Entity == ref && ch.Template != "" {
			return ch.Template == template
		}
	}
	return false
}

func imagesChanged(a, b map[string]string) (before, after string) {
	var from, to []string
	for _, name := range sortedKeys(b) {
		if a[name] == b[name] {
			continue
		}
		to = append(to, b[name])
		if a[name] != "" { // a new container has no image before
			from = append(from, a[name])
		}
	}
	return strings.Join(from, ", "), strings.Join(to, ", ")
}

// keysGone lists what a has and b lacks, "" when nothing.
func keysGone(a, b []string) string {
	var out []string
	for _, k := range a {
		if !slices.Contains(b, k) {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "key " + strings.Join(out, ", ")
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
