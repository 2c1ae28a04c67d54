package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/slo"
)

// Tick does what only time does: it expires, verifies, and takes up what an earlier process left. One proposal that
// cannot be handled does not keep the others from it.
func (d *Desk) Tick(ctx context.Context, now time.Time) error {
	open, err := d.cfg.Store.Proposals(ctx, Filter{Open: true})
	if err != nil {
		return fmt.Errorf("read open proposals: %w", err)
	}
	var errs []error
	for _, p := range open {
		var err error
		switch {
		case p.State == Proposed && !now.Before(p.Expires):
			err = d.expire(ctx, p, now)
		case p.State == Approved, p.State == Running && p.Doubt == "":
			d.start(p.ID)
		case p.State == Running:
			err = d.readBack(ctx, p, now)
		case p.State == Done:
			err = d.verify(ctx, p, now)
		}
		if err != nil && !errors.Is(err, ErrMoved) {
			errs = append(errs, fmt.Errorf("proposal %s: %w", p.ID, err))
		}
	}
	return errors.Join(errs...)
}

// readBack learns from the cluster whether a command ran that nobody answers for. It is never run again.
func (d *Desk) readBack(ctx context.Context, p *Proposal, now time.Time) error {
	begun, _, figures := d.effect(p)
	if begun {
		p.State, p.Result = Done, "it ran: "+figures
		return d.swap(ctx, p, Running, now, "The cluster shows that it ran, and it is being verified: %s.", p.Title)
	}
	if now.Sub(p.EndedAt) <= d.cfg.VerifyFor {
		return nil
	}
	p.State, p.Result = Unsure, fmt.Sprintf("%s; the cluster does not show the change (%s). It is not run again", p.Doubt, figures)
	return d.swap(ctx, p, Running, now, "Nobody can tell whether this ran: %s.", p.Title)
}

// verify compares what a command was to bring with what the cluster shows, and with how its incident went on.
func (d *Desk) verify(ctx context.Context, p *Proposal, now time.Time) error {
	_, reached, figures := d.effect(p)
	settled, helped, sentence := reached, true, ""
	if p.Incident != "" && d.cfg.Judge != nil {
		settled, helped, sentence = d.cfg.Judge(ctx, p, now)
	}
	late := now.Sub(p.EndedAt) > d.cfg.VerifyFor
	switch {
	case reached && settled && helped:
		p.State, p.Result = Verified, join("; ", figures, sentence, d.improved(p))
		return d.conclude(ctx, p, now, "Verified: %s (%s).")
	case settled && !helped && (reached || late):
		p.State, p.Result = Unverified, join("; ", "ran but did not help: "+sentence, figures, d.improved(p))
	case late && !reached:
		p.State, p.Result = Unverified, fmt.Sprintf("ran, but is not complete after %s: %s", span(d.cfg.VerifyFor), join("; ", figures, sentence))
	case late:
		if sentence == "" {
			sentence = "no improvement within " + span(d.cfg.VerifyFor)
		}
		p.State, p.Result = Unverified, join("; ", "ran but did not help: "+sentence, figures, d.improved(p))
	default:
		return nil
	}
	return d.conclude(ctx, p, now, "Not verified: %s (%s).")
}

func (d *Desk) conclude(ctx context.Context, p *Proposal, now time.Time, note string) error {
	if err := d.swap(ctx, p, Done, now, note, p.Title, p.Result); err != nil {
		return err
	}
	d.note(ctx, engineItself, "command."+string(p.State), p.Command, map[string]any{"proposal": p.ID, "result": p.Result})
	return nil
}

// effect reads from the cluster whether a command has begun to show and whether all that it was to bring is there.
// figures says what is, for a person.
func (d *Desk) effect(p *Proposal) (begun, reached bool, figures string) {
	view, ok := d.cfg.Fleet.Cluster(p.Command.Target.Cluster)
	if !ok {
		return false, false, "the cluster is not known any more"
	}
	if view.Status().Silent {
		return false, false, "its state is unknown, because the agent is silent"
	}
	if p.Command.Bulk() {
		return d.effects(p)
	}
	s := subject{Command: p.Command, view: view, object: view.Find(p.Command.Target)}
	switch p.Command.Verb {
	case DeletePod:
		return s.deleted(p)
	case DeleteJob:
		gone := s.object == nil || s.object.GetUid() != p.UID
		return gone || s.object.GetDeleting().IsValid(), gone, map[bool]string{true: "the job is gone", false: "the job is still there"}[gone]
	case RunCronJob:
		return s.ran(p, d.cfg.Now())
	}
	if s.object == nil || s.object.GetUid() != p.UID {
		return false, false, p.Command.Target.Short() + " is gone"
	}
	node := s.object.GetNode()
	switch p.Command.Verb {
	case Cordon:
		return node.GetUnschedulable(), node.GetUnschedulable(), schedulable(node)
	case Uncordon:
		return !node.GetUnschedulable(), !node.GetUnschedulable(), schedulable(node)
	case Drain:
		left, _ := evictable(view, p.Command.Target)
		figures := count(len(left), "pod") + " left to evict"
		return node.GetUnschedulable(), node.GetUnschedulable() && len(left) == 0, figures
	case Taint:
		set := slices.Contains(s.taints(), s.Value+":"+s.Effect)
		return set, set, map[bool]string{true: "tainted", false: "not tainted"}[set]
	case Untaint:
		gone := len(s.taints()) == 0
		return gone, gone, map[bool]string{true: "no such taint", false: "still tainted"}[gone]
	case Label:
		v, ok := s.object.GetLabels()[s.Key]
		is := ok == !s.Remove && v == s.Value
		return is, is, map[bool]string{true: "label ", false: "no label "}[ok] + s.Key + map[bool]string{true: "=" + v, false: ""}[ok]
	case Annotate: // other annotations than ours do not travel: the agent's own answer is all there is
		known := p.Doubt == ""
		return known, known, map[bool]string{true: "as the agent answered", false: "annotations are not reported"}[known]
	case RolloutPause, RolloutResume:
		paused := s.object.GetWorkload().GetPaused()
		is := paused == (s.Verb == RolloutPause)
		if !is || paused {
			return is, is, map[bool]string{true: "paused", false: "not paused"}[paused]
		}
		complete, figures := rolledOut(s.object, s.object.GetWorkload(), true)
		return true, complete, "resumed, " + figures
	}
	w, now := s.object.GetWorkload(), s.seen()
	moved := now.Template != p.Seen.Template
	if now.Template == "" && p.Seen.Template == "" { // a source that gives no template hash
		moved = now.Generation > p.Seen.Generation
	}
	switch p.Command.Verb {
	case RolloutRestart:
		begun = !now.Restarted.Equal(p.Seen.Restarted) // a template that moved otherwise is somebody else's doing
	case Rollback:
		begun = moved
	case SetImage:
		begun = now.Images[p.Command.Container] == p.Command.Image
	case Scale:
		begun = now.Replicas == p.Command.Replicas
	}
	complete, figures := rolledOut(s.object, w, p.Command.Verb != Scale)
	return begun, begun && complete, figures
}

// effects reads a bulk command: begun and reached are true when they are for each of its objects.
func (d *Desk) effects(p *Proposal) (begun, reached bool, figures string) {
	begun, reached = true, true
	var lines []string
	for i := range p.Members {
		b, r, f := d.effect(p.one(i))
		begun, reached = begun && b, reached && r
		lines = append(lines, p.Members[i].Name+" "+f)
	}
	const shown = 5
	if more := len(lines) - shown; more > 0 {
		lines = append(lines[:shown], fmt.Sprintf("+%d more", more))
	}
	return begun, reached, strings.Join(lines, ", ")
}

// steady is how long a job must have run without a failed pod to count as one that works; jobs may take hours.
const steady = time.Minute

// ran reads the Job that was made of a CronJob.
func (s subject) ran(p *Proposal, now time.Time) (begun, reached bool, figures string) {
	r := s.view.Get(entity.Job, s.Target.Namespace, jobName(s.Target.Name, p.ID))
	if r == nil {
		return false, false, "its job is not there"
	}
	j := r.GetJob()
	switch {
	case j.GetCompleted().IsValid() && j.GetCompleted().GetSeconds() > 0, j.GetSucceeded() > 0 && j.GetSucceeded() >= j.GetCompletions():
		return true, true, "job " + r.GetName() + " completed"
	case j.GetFailed() > 0:
		return true, false, fmt.Sprintf("job %s: %s failed", r.GetName(), count(int(j.GetFailed()), "pod"))
	case j.GetActive() > 0:
		return true, now.Sub(p.EndedAt) >= steady, "job " + r.GetName() + " is running"
	}
	return true, false, "job " + r.GetName() + " has not started"
}

// rolledOut says whether a workload is where its spec wants it: seen by its controller, every pod of the newest
// template and available, none besides.
func rolledOut(object *report.Resource, w *report.Workload, template bool) (complete bool, figures string) {
	n := w.GetDesired()
	figures = fmt.Sprintf("%d/%d ready", w.GetReady(), n)
	if template && w.GetUpdated() < n {
		figures += fmt.Sprintf(", %d updated", w.GetUpdated())
	}
	if w.GetCurrent() > n {
		figures += fmt.Sprintf(", %d to stop", w.GetCurrent()-n)
	}
	return w.GetObservedGeneration() >= object.GetGeneration() && (!template || w.GetUpdated() >= n) &&
		w.GetAvailable() >= n && w.GetReady() >= n && w.GetCurrent() <= n, figures
}

// deleted: the pod is gone and its workload is whole again.
func (s subject) deleted(p *Proposal) (begun, reached bool, figures string) {
	if s.object != nil && s.object.GetUid() == p.UID {
		at := s.object.GetDeleting()
		return at.IsValid() && at.GetSeconds() > 0, false, "the pod is still there"
	}
	if p.Seen.Owner.IsZero() {
		return true, true, "the pod is gone"
	}
	owner := s.view.Find(p.Seen.Owner)
	if owner == nil {
		return true, true, "the pod is gone, and its owner with it"
	}
	if owner.GetWorkload() == nil { // a Job
		return true, true, "the pod is gone"
	}
	complete, figures := rolledOut(owner, owner.GetWorkload(), false)
	return true, complete, "the pod is gone, " + p.Seen.Owner.Short() + " " + figures
}

func schedulable(n *report.Node) string {
	if n.GetUnschedulable() {
		return "cordoned"
	}
	return "schedulable"
}

// compared are the readings that tell whether a command helped; burn is of the error budget.
var compared = []string{"error_rate", "avg_latency", burn}

const burn = "budget_burn"

// readings takes the figures of the services in front of what a command changes.
func (d *Desk) readings(p *Proposal) map[string]float64 {
	out := map[string]float64{}
	for ref, metrics := range d.measured(p) {
		for m, v := range metrics {
			out[ref.Short()+" "+m] = v
		}
	}
	return out
}

func (d *Desk) measured(p *Proposal) map[entity.Ref]map[string]float64 {
	view, ok := d.cfg.Fleet.Cluster(p.Command.Target.Cluster)
	if !ok {
		return nil
	}
	var refs []entity.Ref
	for _, one := range p.Command.Each() {
		refs = append(refs, one.Target)
		if s := (subject{Command: one, view: view, object: view.Find(one.Target)}); s.object != nil && d.cfg.Graph != nil {
			s.graph = d.cfg.Graph(view.ID())
			refs = append(refs, s.services()...)
		}
	}
	out := map[entity.Ref]map[string]float64{}
	for _, r := range refs {
		found := map[string]float64{}
		for m, v := range view.Readings(r) {
			if slices.Contains(compared, m) {
				found[m] = v.Value
			}
		}
		if d.cfg.Burn != nil {
			if rate, known := d.cfg.Burn(d.cfg.Now(), r); known {
				found[burn] = rate
			}
		}
		if len(found) > 0 {
			out[r] = found
		}
	}
	return out
}

// improved words the readings that differ visibly from those before: "payments errors 31 % → 0.3 %".
func (d *Desk) improved(p *Proposal) string {
	var out []string
	after := d.measured(p)
	for _, r := range slices.SortedFunc(maps.Keys(after), entity.Compare) {
		for _, m := range compared {
			old, had := p.Before[r.Short()+" "+m]
			now, has := after[r][m]
			switch {
			case !had || !has:
			case m == "error_rate" && max(old, now) >= 0.005 && (old > 1.5*now || now > 1.5*old):
				out = append(out, fmt.Sprintf("%s errors %.3g %% → %.3g %%", r.Name, 100*old, 100*now))
			case m == "avg_latency" && (old > 1.5*now || now > 1.5*old):
				out = append(out, fmt.Sprintf("%s latency %s → %s", r.Name, seconds(old), seconds(now)))
			case m == burn && max(old, now) >= 1 && (old > 1.5*now || now > 1.5*old):
				out = append(out, fmt.Sprintf("%s budget burns %s → %s", r.Name, slo.Times(old), slo.Times(now)))
			}
		}
	}
	return strings.Join(out, ", ")
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.3g ms", 1000*s)
	}
	return fmt.Sprintf("%.3g s", s)
}

// span writes a duration as people say it: "5 min".
func span(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return d.String()
}

// join puts together what is not empty.
func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}
