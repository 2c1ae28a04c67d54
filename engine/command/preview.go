package command

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// Graph is who depends on whom in one cluster.
type Graph interface {
	// Upstream lists who depends on r, nearest first; depth limits the steps, 0 does not.
	Upstream(r entity.Ref, depth int) []entity.Ref
}

// maxCallers is how many callers a preview names.
const maxCallers = 50

// subject is a command with what it acts on, as the fleet has it.
type subject struct {
	Command
	view   *fleet.Cluster
	object *report.Resource
	graph  Graph // nil when there is none
	// members are the single commands of a bulk one, which has no object of its own.
	members []subject
}

// seen takes what the command depends on.
func (s subject) seen() Seen {
	w := s.object.GetWorkload()
	out := Seen{
		Template: w.GetTemplateHash(), Revision: w.GetRevision(), Images: maps.Clone(w.GetImages()), Generation: s.object.GetGeneration(),
		Replicas: w.GetDesired(), Unschedulable: s.object.GetNode().GetUnschedulable(), Paused: w.GetPaused(),
	}
	switch s.Verb {
	case Label:
		out.Mark, out.Marked = s.object.GetLabels()[s.Key], hasKey(s.object.GetLabels(), s.Key)
	case Taint, Untaint:
		out.Mark = strings.Join(s.taints(), ",")
		out.Marked = out.Mark != ""
	}
	if s.Target.Kind == entity.Pod {
		out.Owner = s.workload()
	}
	if t := w.GetRestartedAt(); t.IsValid() && t.GetSeconds() > 0 {
		out.Restarted = t.AsTime()
	}
	return out
}

func hasKey(m map[string]string, key string) bool {
	_, ok := m[key]
	return ok
}

// taints are those of the node with the command's key and, where it says one, its effect.
func (s subject) taints() []string {
	var out []string
	for _, t := range s.object.GetNode().GetTaints() {
		if t.GetKey() == s.Key && (s.Effect == "" || t.GetEffect() == s.Effect) {
			out = append(out, t.GetValue()+":"+t.GetEffect())
		}
	}
	slices.Sort(out)
	return out
}

// changed says how the object differs from what was previewed, as far as the command depends on it; "" when it does not.
func (s subject) changed(uid string, before Seen) string {
	now := s.seen()
	switch {
	case s.object.GetUid() != uid:
		return s.Target.Short() + " is another object of the same name by now"
	case s.Verb == Scale && now.Replicas != before.Replicas:
		return fmt.Sprintf("%s was scaled from %d to %d meanwhile", s.Target.Short(), before.Replicas, now.Replicas)
	case (s.Verb == Cordon || s.Verb == Uncordon) && now.Unschedulable != before.Unschedulable:
		return s.Target.Short() + " was cordoned or uncordoned meanwhile"
	case (s.Verb == RolloutPause || s.Verb == RolloutResume) && now.Paused != before.Paused:
		return s.Target.Short() + " was paused or resumed meanwhile"
	case now.Mark != before.Mark || now.Marked != before.Marked:
		return fmt.Sprintf("the %s %s of %s was changed meanwhile", s.Verb.noun(), s.Key, s.Target.Short())
	case s.Verb != RolloutRestart && s.Verb != Rollback && s.Verb != SetImage:
		return ""
	case !maps.Equal(now.Images, before.Images):
		return s.Target.Short() + " got another image meanwhile"
	case now.Template != before.Template || now.Revision != before.Revision:
		return s.Target.Short() + " was rolled out anew meanwhile"
	}
	return ""
}

// workload is the object that owns the pods that the command moves: the target, or the pod's owner. It is zero for a
// node and for a bare pod.
func (s subject) workload() entity.Ref {
	if s.Target.Kind == entity.Node {
		return entity.Ref{}
	}
	if w := s.view.Workload(s.object); w.Workload() {
		return w
	}
	return entity.Ref{}
}

// services are those directly in front of the command's pods.
func (s subject) services() []entity.Ref {
	from := s.Target
	if w := s.workload(); !w.IsZero() {
		from = w
	}
	if s.graph == nil || from.Kind == entity.Node {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.graph.Upstream(from, 1)), func(r entity.Ref) bool { return r.Kind != entity.Service })
}

// callers are the services and ingresses that depend on the command's pods through others.
func (s subject) callers() []entity.Ref {
	if s.graph == nil {
		return nil
	}
	from, own := s.Target, s.services()
	if w := s.workload(); !w.IsZero() {
		from = w
	}
	var out []entity.Ref
	for _, r := range s.graph.Upstream(from, 0) {
		if (r.Kind == entity.Service || r.Kind == entity.Ingress) && !slices.Contains(own, r) && len(out) < maxCallers {
			out = append(out, r)
		}
	}
	return out
}

// preview computes what the command will touch. The dry run is added to it later.
func (s subject) preview(policy Policy) Preview {
	p := Preview{}
	if s.moves() {
		p.Callers, p.Budget = s.callers(), s.budget()
	}
	_, p.Protected = policy.Protected(s.Target)
	w := s.object.GetWorkload()
	switch s.Verb {
	case RolloutRestart, Rollback, SetImage:
		p.Touches = append(p.Touches, rolling(s.Target.Kind, w))
	case Scale:
		p.Touches = append(p.Touches, resize(w.GetDesired(), s.Replicas))
	case DeletePod:
		if owner := s.workload(); !owner.IsZero() {
			own := s.view.Find(owner).GetWorkload()
			p.Touches = append(p.Touches, fmt.Sprintf("1 of %s of %s; a new one starts", count(int(own.GetDesired()), "pod"), owner.Short()))
		} else {
			p.Touches = append(p.Touches, "1 pod; it does not come back")
		}
	case Cordon:
		p.Touches = append(p.Touches, fmt.Sprintf("%s stay; new ones go to other nodes", count(len(s.view.Pods(s.Target)), "pod")))
	case Uncordon:
		p.Touches = append(p.Touches, "no pod; new ones may start there again")
	case Drain:
		p.Touches, p.Warnings = s.drain()
	case RolloutPause:
		p.Touches = append(p.Touches, "no pod; changes of its template wait until it is resumed")
	case RolloutResume:
		p.Touches = append(p.Touches, "no pod, unless its template was changed while it was paused")
	case DeleteJob:
		p.Touches = append(p.Touches, count(len(s.view.Pods(s.Target)), "pod")+": deleted with it")
		if n := s.object.GetJob().GetActive(); n > 0 {
			p.Warnings = append(p.Warnings, count(int(n), "pod")+" of it is running now and is stopped")
		}
	case RunCronJob:
		p.Touches = append(p.Touches, "1 new job, once, beside its schedule "+s.object.GetCronJob().GetSchedule())
		if s.object.GetCronJob().GetSuspend() {
			p.Warnings = append(p.Warnings, "it is suspended; this runs it all the same")
		}
		if n := s.object.GetCronJob().GetActive(); n > 0 {
			p.Warnings = append(p.Warnings, count(int(n), "job")+" of it is running now")
		}
	case Taint:
		touches := fmt.Sprintf("%s stay; new ones that do not tolerate it go elsewhere", count(len(s.view.Pods(s.Target)), "pod"))
		if s.Effect == "NoExecute" {
			touches = fmt.Sprintf("those of %s that do not tolerate it are evicted at once, whatever budgets say", count(len(s.view.Pods(s.Target)), "pod"))
		}
		p.Touches = append(p.Touches, touches)
	case Untaint:
		p.Touches = append(p.Touches, "no pod; those that did not tolerate it may start there again")
	case Label, Annotate:
		p.Touches = append(p.Touches, fmt.Sprintf("the object itself, no pod template; the %s was %s", s.Verb.noun(), s.was()))
	}
	if d, r := w.GetDesired(), w.GetReady(); w != nil && r < d {
		p.Touches = append(p.Touches, fmt.Sprintf("%d of %d are ready now", r, d))
	}
	p.Warnings = append(p.Warnings, s.warnings()...)
	return p
}

// moves says whether the command stops or starts pods.
func (s subject) moves() bool {
	switch s.Verb {
	case RolloutRestart, Rollback, SetImage, Scale, DeletePod, Cordon, Uncordon, Drain:
		return true
	case Taint:
		return s.Effect == "NoExecute"
	}
	return false
}

// was says what a label was before. Other annotations than ours do not travel, so what they were stands in the diff only.
func (s subject) was() string {
	v, ok := s.object.GetLabels()[s.Key]
	switch {
	case s.Verb == Annotate:
		return "as the diff shows"
	case !ok:
		return "not there"
	case v == "":
		return "empty"
	}
	return v
}

// rolling says what a rollout does to the pods: "6 pods, rolling, at least 5 stay up".
func rolling(kind string, w *report.Workload) string {
	n := int(w.GetDesired())
	switch {
	case w.GetStrategy() == "OnDelete":
		return count(n, "pod") + "; each is replaced only when somebody deletes it"
	case w.GetStrategy() == "Recreate":
		return count(n, "pod") + ", all at once: none stays up"
	}
	return fmt.Sprintf("%s, rolling, at least %d %s up", count(n, "pod"), n-unavailable(kind, w), map[bool]string{true: "stays", false: "stay"}[n-unavailable(kind, w) == 1])
}

// unavailable is how many pods a rolling update may take down at once: a percentage of maxUnavailable is rounded down,
// one of maxSurge up, and if both come to none, one pod is taken down, as the Deployment's documentation says.
func unavailable(kind string, w *report.Workload) int {
	n := int(w.GetDesired())
	down, ok := share(w.GetMaxUnavailable(), n, false)
	if kind != entity.Deployment {
		if !ok || down < 1 {
			down = 1 // a StatefulSet's and a DaemonSet's default
		}
		return min(down, n)
	}
	if !ok {
		down = n / 4 // 25 %
	}
	if surge, ok := share(w.GetMaxSurge(), n, true); down == 0 && ok && surge == 0 {
		down = 1
	}
	return min(down, n)
}

// share reads "2" or "25%" of n.
func share(s string, n int, up bool) (int, bool) {
	percent, isPercent := strings.CutSuffix(s, "%")
	v, err := strconv.Atoi(percent)
	if err != nil || v < 0 {
		return 0, false
	}
	if !isPercent {
		return v, true
	}
	if up {
		return (v*n + 99) / 100, true
	}
	return v * n / 100, true
}

func resize(from, to int32) string {
	switch {
	case to == 0:
		return count(int(from), "pod") + ": all stop"
	case to > from:
		return fmt.Sprintf("%d → %d: %s %s", from, to, count(int(to-from), "pod"), plural(to-from, "starts", "start"))
	case to < from:
		return fmt.Sprintf("%d → %d: %s %s, %d %s up", from, to, count(int(from-to), "pod"), plural(from-to, "stops", "stop"), to, plural(to, "stays", "stay"))
	}
	return fmt.Sprintf("nothing: it has %s already", count(int(from), "pod"))
}

// evictable are the pods that a drain moves: not those of a DaemonSet, which come back at once, nor static ones, which
// the kubelet owns, nor finished ones.
func evictable(view *fleet.Cluster, node entity.Ref) (move, bare []*report.Resource) {
	for _, p := range view.Pods(node) {
		owner, controlled := "", false
		for _, o := range p.GetOwners() {
			if o.GetController() {
				owner, controlled = o.GetKind(), true
			}
		}
		phase := p.GetPod().GetPhase()
		if owner == entity.DaemonSet || owner == entity.Node || phase == "Succeeded" || phase == "Failed" {
			continue
		}
		move = append(move, p)
		if !controlled {
			bare = append(bare, p)
		}
	}
	return move, bare
}

func (s subject) drain() (touches, warnings []string) {
	move, bare := evictable(s.view, s.Target)
	touches = append(touches, count(len(move), "pod")+" evicted; pods of DaemonSets stay")
	if len(bare) > 0 {
		warnings = append(warnings, fmt.Sprintf("%s without an owner and will not come back: %s", count(len(bare), "pod"), names(bare)))
	}
	// A workload whose every pod is here is down until they run elsewhere.
	here := map[entity.Ref]int{}
	for _, p := range move {
		here[s.view.Workload(p)]++
	}
	for _, w := range slices.SortedFunc(maps.Keys(here), entity.Compare) {
		if o := s.view.Find(w); w.Workload() && int(o.GetWorkload().GetDesired()) == here[w] {
			warnings = append(warnings, fmt.Sprintf("every pod of %s/%s is on this node", w.Namespace, w.Short()))
		}
	}
	return touches, warnings
}

// budget says what the PodDisruptionBudgets of the command's pods allow.
func (s subject) budget() string {
	var pods []*report.Resource
	switch {
	case s.Target.Kind == entity.Node && s.Verb == Drain:
		pods, _ = evictable(s.view, s.Target)
	case s.Target.Kind != entity.Node:
		pods = s.view.Pods(s.Target)
	}
	var out []string
	for _, b := range s.view.List("PodDisruptionBudget", s.Target.Namespace) {
		d := b.GetPodDisruptionBudget()
		if len(d.GetSelector()) == 0 || !slices.ContainsFunc(pods, func(p *report.Resource) bool {
			return p.GetNamespace() == b.GetNamespace() && selects(d.GetSelector(), p.GetLabels())
		}) {
			continue
		}
		allows := fmt.Sprintf("PDB %s allows %d down", b.GetName(), d.GetDisruptionsAllowed())
		if d.GetDisruptionsAllowed() == 0 {
			allows = fmt.Sprintf("PDB %s allows none down now (%d of %d healthy, %d needed)", b.GetName(), d.GetCurrentHealthy(), d.GetExpectedPods(), d.GetDesiredHealthy())
		}
		out = append(out, allows)
	}
	return strings.Join(out, "; ")
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// warnings say what could undo or frustrate the change.
func (s subject) warnings() []string {
	var out []string
	labels, notes := s.object.GetLabels(), s.object.GetAnnotations()
	gone := s.Verb == Drain || s.Verb == DeletePod || s.Verb == DeleteJob || s.Verb == RunCronJob || s.Verb == RolloutRestart
	switch {
	case gone: // no field of it is another afterwards that Git could hold
	case notes["argocd.argoproj.io/tracking-id"] != "" || labels["argocd.argoproj.io/instance"] != "":
		out = append(out, "Argo CD manages it: this will be reverted at its next sync; change it in Git too")
	case labels["kustomize.toolkit.fluxcd.io/name"] != "" || labels["helm.toolkit.fluxcd.io/name"] != "":
		out = append(out, "Flux manages it: this will be reverted at its next reconciliation; change it in Git too")
	default:
		for _, o := range s.object.GetOwners() {
			if o.GetController() && s.Target.Kind != entity.Pod && s.Target.Kind != entity.Job {
				out = append(out, fmt.Sprintf("%s %s manages it and may revert this; change it there too", o.GetKind(), o.GetName()))
			}
		}
	}
	if s.Verb == Scale {
		for _, h := range s.view.List("HorizontalPodAutoscaler", s.Target.Namespace) {
			a := h.GetHorizontalPodAutoscaler()
			if t := a.GetTarget(); t.GetKind() == s.Target.Kind && t.GetName() == s.Target.Name {
				out = append(out, fmt.Sprintf("autoscaler %s keeps it between %d and %d and may change it again", h.GetName(), a.GetMin(), a.GetMax()))
			}
		}
	}
	if s.object.GetWorkload().GetPaused() && s.Verb != RolloutResume {
		out = append(out, "its rollouts are paused: nothing moves until they are resumed")
	}
	return out
}

// revisions gives the ReplicaSets of a Deployment by revision. It is empty when they cannot be listed.
func (s subject) revisions() map[int64]*report.Resource {
	out := map[int64]*report.Resource{}
	if s.Target.Kind != entity.Deployment {
		return out
	}
	for _, rs := range s.view.Children(s.object.GetUid()) {
		if n := revision(rs); n > 0 {
			out[n] = rs
		}
	}
	return out
}

func revision(r *report.Resource) int64 {
	n, err := strconv.ParseInt(cmp.Or(r.GetWorkload().GetRevision(), r.GetAnnotations()["deployment.kubernetes.io/revision"]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// pin replaces "the revision before" by its number, so that what is approved stays what was proposed, and refuses a
// change to what is there already.
func (s *subject) pin() error {
	if s.Bulk() {
		already := 0
		for i := range s.members {
			if err := s.members[i].pin(); err != nil {
				already++
			}
		}
		if already == len(s.members) {
			return s.members[0].pin()
		}
		return nil
	}
	t := s.Target.Short()
	switch s.Verb {
	case Rollback:
		known, current := s.revisions(), revision(s.object)
		if s.Revision == 0 && len(known) > 0 && current > 0 {
			for n := range known {
				if n < current {
					s.Revision = max(s.Revision, n)
				}
			}
			if s.Revision == 0 {
				return denied("%s has no revision before %d.", t, current)("Set an image instead.")
			}
		}
		if s.Revision > 0 && s.Revision == current {
			return denied("%s runs revision %d already.", t, current)("Name an earlier one.")
		}
		if s.Revision > 0 && len(known) > 0 && known[s.Revision] == nil {
			return denied("%s has no revision %d.", t, s.Revision)("It has %s.", strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(known))), "[]"))
		}
	case SetImage:
		switch old, ok := s.object.GetWorkload().GetImages()[s.Container]; {
		case !ok && len(s.object.GetWorkload().GetImages()) > 0:
			return denied("%s has no container %s.", t, s.Container)("It has %s.", strings.Join(slices.Sorted(maps.Keys(s.object.GetWorkload().GetImages())), ", "))
		case ok && old == s.Image:
			return denied("%s runs %s already.", t, old)("Name another image, or restart it.")
		}
	case Scale:
		if s.object.GetWorkload().GetDesired() == s.Replicas {
			return denied("%s has %d replicas already.", t, s.Replicas)("Name another number.")
		}
	case Cordon, Uncordon:
		if s.object.GetNode().GetUnschedulable() == (s.Verb == Cordon) {
			return denied("%s is %sed already.", t, s.Verb)("There is nothing to do.")
		}
	case RolloutPause, RolloutResume:
		if s.object.GetWorkload().GetPaused() == (s.Verb == RolloutPause) {
			return denied("The rollouts of %s are %s already.", t, map[bool]string{true: "paused", false: "running"}[s.Verb == RolloutPause])("There is nothing to do.")
		}
	case Taint:
		if slices.Contains(s.taints(), s.Value+":"+s.Effect) {
			return denied("%s has this taint already.", t)("There is nothing to do.")
		}
	case Untaint:
		if len(s.taints()) == 0 {
			return denied("%s has no such taint.", t)("Look at it with describe.")
		}
	case Label:
		switch v, ok := s.object.GetLabels()[s.Key]; {
		case s.Remove && !ok:
			return denied("%s has no label %s.", t, s.Key)("There is nothing to do.")
		case !s.Remove && ok && v == s.Value:
			return denied("The label %s of %s is %q already.", s.Key, t, v)("There is nothing to do.")
		}
	}
	return nil
}

// undo gives the command that takes this one back, nil when there is none.
func (s subject) undo() *Command {
	if s.Bulk() {
		return s.undoAll()
	}
	u := Command{Target: s.Target}
	switch s.Verb {
	case Scale:
		u.Verb, u.Replicas = Scale, s.object.GetWorkload().GetDesired()
	case Rollback:
		if u.Verb, u.Revision = Rollback, revision(s.object); u.Revision == 0 {
			return nil
		}
	case SetImage:
		u.Verb, u.Container, u.Image = SetImage, s.Container, s.object.GetWorkload().GetImages()[s.Container]
		if u.Image == "" {
			return nil
		}
	case Cordon:
		u.Verb = Uncordon
	case Uncordon:
		u.Verb = Cordon
	case RolloutPause:
		u.Verb = RolloutResume
	case RolloutResume:
		u.Verb = RolloutPause
	case Taint:
		u.Verb, u.Key, u.Effect = Untaint, s.Key, s.Effect
		if old := s.taints(); len(old) == 1 { // its value was replaced
			u.Verb = Taint
			u.Value, _, _ = strings.Cut(old[0], ":")
		}
	case Untaint:
		old := s.taints()
		if len(old) != 1 {
			return nil
		}
		u.Verb, u.Key = Taint, s.Key
		u.Value, u.Effect, _ = strings.Cut(old[0], ":")
	case Label:
		old, had := s.object.GetLabels()[s.Key]
		u.Verb, u.Key, u.Value, u.Remove = Label, s.Key, old, !had
	default:
		return nil
	}
	return &u
}

// maxButton is the longest label that every surface shows, in characters.
const maxButton = 75

// button says what happens on a click: "Roll back to v2.3.1".
func (s subject) button() string {
	b := ""
	switch s.Verb {
	case RolloutPause:
		b = "Pause " + s.Target.Name
	case RolloutResume:
		b = "Resume " + s.Target.Name
	case DeleteJob:
		b = "Delete job " + s.Target.Name
	case RunCronJob:
		b = "Run " + s.Target.Name
	case Taint, Untaint, Label, Annotate:
		b = strings.ToUpper(string(s.Verb[:1])) + string(s.Verb[1:]) + " " + s.Target.Name
	case RolloutRestart:
		b = "Restart " + s.Target.Name
	case Scale:
		b = fmt.Sprintf("Scale to %d", s.Replicas)
	case Rollback:
		b = "Roll back " + s.Target.Name
		if s.Revision > 0 {
			b = fmt.Sprintf("Roll back to revision %d", s.Revision)
		}
		if rs := s.revisions()[s.Revision]; rs != nil {
			now := s.object.GetWorkload().GetImages()
			for _, c := range slices.Sorted(maps.Keys(rs.GetWorkload().GetImages())) {
				if i := rs.GetWorkload().GetImages()[c]; i != now[c] {
					b = "Roll back to " + tag(i)
					break
				}
			}
		}
	case SetImage:
		b = "Set image " + tag(s.Image)
	case DeletePod:
		b = "Delete " + s.Target.Name
	case Cordon, Uncordon, Drain:
		b = strings.ToUpper(string(s.Verb[:1])) + string(s.Verb[1:]) + " " + s.Target.Name
	}
	if s.Bulk() {
		n := count(len(s.members), strings.ToLower(s.Target.Kind))
		if b = "Restart " + n; s.Verb == Scale {
			b = fmt.Sprintf("Scale %s to %d", n, s.Replicas)
		}
	}
	if r := []rune(b); len(r) > maxButton {
		b = string(r[:maxButton-1]) + "…"
	}
	return b
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func plural(n int32, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// names lists at most five, and how many there are besides.
func names(rs []*report.Resource) string {
	var out []string
	for _, r := range rs[:min(len(rs), 5)] {
		out = append(out, r.GetNamespace()+"/"+r.GetName())
	}
	s := strings.Join(out, ", ")
	if more := len(rs) - 5; more > 0 {
		s += fmt.Sprintf(" +%d more", more)
	}
	return s
}
