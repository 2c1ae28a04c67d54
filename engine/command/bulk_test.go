package command_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/command/commandtest"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/people"
)

var (
	search  = commandtest.Ref(entity.Deployment, "shop", "search")
	cronjob = commandtest.Ref(entity.CronJob, "shop", "import")
	job     = commandtest.Ref(entity.Job, "shop", "import-1")
	admin   = people.Person{ID: "slack:ADA", Name: "Ada"}
	web     = command.Command{Verb: command.RolloutRestart, Target: commandtest.Ref(entity.Deployment, "shop", ""), Selector: "tier=web"}
)

func TestEachNewChangeIsClassifiedRunVerifiedAndTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		command command.Command
		class   command.Class
		touches string
		typed   string
		result  string
		undo    string // title, "" for none
		inverse command.Class
	}{
		"pause":                  {command.Command{Verb: command.RolloutPause, Target: payments}, command.W2, "wait until it is resumed", "", "paused", "resume the rollouts of deployment/payments", command.W2},
		"label":                  {command.Command{Verb: command.Label, Target: payments, Key: "team", Value: "shop"}, command.W2, "the label was not there", "", "label team=shop", "label deployment/payments with team-", command.W2},
		"label that is replaced": {command.Command{Verb: command.Label, Target: payments, Key: "tier", Value: "db"}, command.W2, "the label was web", "", "label tier=db", "label deployment/payments with tier=web", command.W2},
		"label that is removed":  {command.Command{Verb: command.Label, Target: payments, Key: "tier", Remove: true}, command.W2, "the label was web", "", "no label tier", "label deployment/payments with tier=web", command.W2},
		"annotation":             {command.Command{Verb: command.Annotate, Target: payments, Key: "note", Value: "held back"}, command.W2, "no pod template", "", "as the agent answered", "", 0},
		"taint":                  {command.Command{Verb: command.Taint, Target: worker, Key: "gpu", Value: "yes", Effect: "NoSchedule"}, command.W2, "new ones that do not tolerate it go elsewhere", "", "tainted", "untaint node/worker-1 with gpu:NoSchedule-", command.W2},
		"taint that evicts":      {command.Command{Verb: command.Taint, Target: worker, Key: "gpu", Effect: "NoExecute"}, command.W3, "evicted at once", "worker-1", "tainted", "untaint node/worker-1 with gpu:NoExecute-", command.W2},
		"job that is deleted":    {command.Command{Verb: command.DeleteJob, Target: job}, command.W3, "deleted with it", "import-1", "the job is gone", "", 0},
		"cronjob that is run":    {command.Command{Verb: command.RunCronJob, Target: cronjob}, command.W2, "1 new job, once, beside its schedule 0 3 * * *", "", "completed", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				p := w.propose(mia, c.command)
				if p.Class != c.class || !strings.Contains(strings.Join(p.Preview.Touches, "; "), c.touches) || p.Button == "" {
					t.Fatalf("%s (%s), touches %q, button %q", p.Class, p.Why, p.Preview.Touches, p.Button)
				}
				refused(t, w.approve(p, mia, c.typed), "needs one other operator")
				if err := w.approve(p, ken, c.typed); err != nil {
					t.Fatal(err)
				}
				w.tick()
				w.is(p, command.Verified, c.result)
				w.ran(p, 1)
				u, err := w.desk.Undo(t.Context(), p.ID, mia, "undo it")
				if c.undo == "" {
					refused(t, err, "cannot be taken back")
					return
				}
				if err != nil || u.Title != c.undo || u.Class != c.inverse || u.State != command.Proposed || u.Reason != "takes back: "+p.Title {
					t.Fatalf("undo: %v %+v", err, u)
				}
				refused(t, w.approve(u, mia, ""), "needs one other operator")
			})
		})
	}
}

func TestWhatChangedSinceThePreviewIsVoid(t *testing.T) {
	for name, c := range map[string]struct {
		command command.Command
		change  func(*report.Resource)
		want    string
	}{
		"a pause, when it was paused": {command.Command{Verb: command.RolloutPause, Target: payments}, func(r *report.Resource) { r.GetWorkload().Paused = true }, "paused or resumed meanwhile"},
		"a label, when it was set":    {command.Command{Verb: command.Label, Target: payments, Key: "tier", Value: "x"}, func(r *report.Resource) { r.Labels["tier"] = "y" }, "the label tier of deployment/payments was changed"},
		"a taint, when there is another": {command.Command{Verb: command.Taint, Target: worker, Key: "gpu", Effect: "NoSchedule"}, func(r *report.Resource) {
			r.GetNode().Taints = []*report.Taint{{Key: "gpu", Value: "no", Effect: "NoSchedule"}}
		}, "the taint gpu of node/worker-1 was changed"},
		"a bulk restart, when one has":    {web, func(r *report.Resource) { r.GetWorkload().TemplateHash = "other" }, "deployment/payments was rolled out anew"},
		"a bulk restart of another's uid": {web, func(r *report.Resource) { r.Uid = "new" }, "another object of the same name"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				p := w.propose(mia, c.command)
				target := c.command.Target
				if c.command.Bulk() {
					target = payments
				}
				w.agent.Change(target, c.change)
				tooLate(t, w.approve(p, ken, ""), c.want)
				w.is(p, command.Superseded, c.want)
			})
		})
	}
	t.Run("a cronjob that got another template, which the engine cannot see", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			p := w.propose(mia, command.Command{Verb: command.RunCronJob, Target: cronjob})
			w.agent.Change(cronjob, func(r *report.Resource) { r.ResourceVersion = "2" })
			if err := w.approve(p, ken, ""); err != nil {
				t.Fatal(err)
			}
			w.is(p, command.Failed, "not run: it changed since the preview")
			w.ran(p, 0)
		})
	})
}

func TestSeveralObjectsAreShownApprovedOnceAndRunInOrder(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, web)
		if p.Command.Names != "payments,search" || p.Class != command.W2 || p.Title != "restart 2 deployments with tier=web" || p.Button != "Restart 2 deployments" {
			t.Errorf("proposed %+v", p)
		}
		want := []string{"payments: 3 pods, rolling, at least 2 stay up", "search: 2 pods, rolling, at least 1 stays up"}
		if !slices.Equal(p.Preview.Objects, want) || len(p.Preview.Changes) != 2 || p.Preview.Changes[1].Path != "search: spec" || len(p.Preview.Callers) != 2 {
			t.Errorf("preview %+v", p.Preview)
		}
		again := w.propose(ken, web)
		if again.ID != p.ID {
			t.Error("an identical command was proposed twice")
		}
		refused(t, w.approve(p, mia, ""), "2 objects at once")
		if err := w.approve(p, ken, ""); err != nil {
			t.Fatal(err)
		}
		w.tick()
		w.is(p, command.Verified, "payments 3/3 ready, search 2/2 ready")
		for i := range 2 {
			if n := w.agent.Runs(fmt.Sprintf("%s-%d", p.ID, i)); n != 1 {
				t.Errorf("object %d ran %d times", i, n)
			}
		}
	})
}

func TestAnswersThatAreLostRunNoObjectOfSeveralTwice(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, web)
		w.agent.Set(func(b *commandtest.Behaviour) { b.LoseAnswers = 3 })
		if err := w.approve(p, ken, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		w.tick()
		w.is(p, command.Verified, "ready")
		for i := range 2 {
			if n := w.agent.Runs(fmt.Sprintf("%s-%d", p.ID, i)); n != 1 {
				t.Errorf("object %d ran %d times", i, n)
			}
		}
	})
}

func TestTheFirstOfSeveralThatFailsStopsTheRest(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		scaled := web
		scaled.Verb, scaled.Replicas = command.Scale, 4
		p := w.propose(mia, scaled)
		if p.Undo != nil {
			t.Errorf("3 and 2 replicas cannot be taken back with one number: %+v", p.Undo)
		}
		w.agent.RefuseFor("search")
		if err := w.approve(p, ken, ""); err != nil {
			t.Fatal(err)
		}
		w.is(p, command.Failed, "1 of 2 done, then stopped at search: it is not there")
	})
}

func TestAnUndoOfSeveralIsAboutThoseThatWereChanged(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.agent.Change(search, func(r *report.Resource) {
			r.GetWorkload().Desired, r.GetWorkload().Ready, r.GetWorkload().Available, r.GetWorkload().Updated, r.GetWorkload().Current = 3, 3, 3, 3, 3
		})
		scaled := web
		scaled.Verb, scaled.Replicas = command.Scale, 4
		p := w.propose(mia, scaled)
		if err := w.approve(p, ken, ""); err != nil {
			t.Fatal(err)
		}
		w.tick()
		w.is(p, command.Verified, "4/4 ready")
		w.agent.Change(dns, func(r *report.Resource) { r.Labels = map[string]string{"tier": "web"} })
		w.agent.Change(search, func(r *report.Resource) { r.Labels = nil }) // it matches no more, and was changed
		u, err := w.desk.Undo(t.Context(), p.ID, mia, "undo")
		if err != nil || u.Command.Names != "payments,search" || u.Command.Replicas != 3 {
			t.Errorf("undo %+v, %v", u, err)
		}
	})
}

func TestWhatASelectorMayNotDo(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			edit func(*command.Command)
			want string
		}{
			"match nothing":             {func(c *command.Command) { c.Selector = "tier=none" }, "No deployment in prod-eu / shop matches tier=none"},
			"be no selector":            {func(c *command.Command) { c.Selector = "tier in" }, "not a label selector"},
			"reach into all namespaces": {func(c *command.Command) { c.Target.Namespace = "" }, "names no namespace"},
			"stand beside a name":       {func(c *command.Command) { c.Target.Name = "payments" }, "a name or a selector"},
			"delete":                    {func(c *command.Command) { c.Verb, c.Target.Kind = command.DeletePod, entity.Pod }, "one object at a time"},
			"bring its own names":       {func(c *command.Command) { c.Selector, c.Names = "tier=none", "payments" }, "matches tier=none"},
		} {
			bad := web
			c.edit(&bad)
			_, err := w.desk.Propose(t.Context(), command.Request{Command: bad, By: mia})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		zero := web
		zero.Verb = command.Scale
		p := w.propose(mia, zero)
		if p.Class != command.W3 {
			t.Errorf("scaling several to zero is %s", p.Class)
		}
		refused(t, w.approve(p, ken, "payments"), "type shop exactly")
		if err := w.approve(p, ken, "shop"); err != nil {
			t.Error(err)
		}
	})
}

func TestBreakingTheGlass(t *testing.T) {
	const reason = "the site is down and nobody answers"
	play(t, func(t *testing.T, w *world) {
		w.roles[admin.ID] = people.Admin
		simple := w.propose(admin, restart(search))
		_, err := w.desk.BreakGlass(t.Context(), simple.ID, admin, "", reason)
		refused(t, err, "needs nobody else")
		p := w.propose(admin, restart(dns))
		refused(t, w.approve(p, admin, ""), "needs one other operator")
		_, err = w.desk.BreakGlass(t.Context(), p.ID, mia, "", reason)
		refused(t, err, "Only an admin")
		_, err = w.desk.BreakGlass(t.Context(), p.ID, admin, "", " fire ")
		refused(t, err, "needs a reason")
		w.log.broken = true
		if _, err = w.desk.BreakGlass(t.Context(), p.ID, admin, "", reason); err == nil {
			t.Error("it was approved although the audit log cannot be written")
		}
		w.log.broken = false
		w.is(p, command.Proposed, "")
		if _, err = w.desk.BreakGlass(t.Context(), p.ID, admin, "", reason); err != nil {
			t.Fatal(err)
		}
		w.tick()
		done := w.is(p, command.Verified, "2/2 ready")
		if len(done.Approvals) != 1 || done.Approvals[0].BreakGlass != reason || w.log.count("command.break_glass") != 1 {
			t.Errorf("approvals %+v, audit %v", done.Approvals, w.log.actions)
		}
		told := 0
		for _, e := range w.store.Events() {
			if e.Type == event.GlassBroken && strings.Contains(e.Note, "Ada broke the glass in prod-eu / kube-system") && strings.Contains(e.Note, reason) {
				told++
			}
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
		drain := w.propose(admin, command.Command{Verb: command.Drain, Target: worker})
		_, err = w.desk.BreakGlass(t.Context(), drain.ID, admin, "", reason)
		refused(t, err, "name was not typed")
		if _, err = w.desk.BreakGlass(t.Context(), drain.ID, admin, "worker-1", reason); err != nil {
			t.Error(err)
		}
		_, err = w.desk.BreakGlass(t.Context(), drain.ID, admin, "worker-1", reason)
		tooLate(t, err, "was approved by Ada")
	})
}

// witness keeps for whom commands were sent.
type witness struct {
	*commandtest.Agent
	mu  sync.Mutex
	who []string
}

func (x *witness) Do(ctx context.Context, cluster string, c *report.Command) (*report.Outcome, error) {
	x.mu.Lock()
	x.who = append(x.who, c.GetOnBehalfOf().GetUser()+" "+strings.Join(c.GetOnBehalfOf().GetGroups(), ","))
	x.mu.Unlock()
	return x.Agent.Do(ctx, cluster, c)
}

func TestACommandGoesOutInTheNameOfWhoAsked(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.desk.Close()
		saw := &witness{Agent: w.agent}
		w.cfg.Dispatcher = saw
		w.open()
		asker := mia
		asker.Email, asker.Groups = "mia@example.com", []string{"slack:SONCALL"}
		for _, by := range []people.Person{asker, ken} {
			p := w.propose(by, restart(map[string]entity.Ref{asker.ID: payments, ken.ID: search}[by.ID]))
			if err := w.approve(p, ken, ""); err != nil {
				t.Fatal(err)
			}
			w.is(p, command.Done, "")
		}
		want := []string{"mia@example.com slack:SONCALL", "mia@example.com slack:SONCALL", "slack:KEN ", "slack:KEN "}
		if !slices.Equal(saw.who, want) {
			t.Errorf("sent for %q, want %q", saw.who, want)
		}
	})
}
