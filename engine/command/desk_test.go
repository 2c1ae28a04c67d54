package command_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/command/commandtest"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/people"
)

var (
	mia   = people.Person{ID: "slack:MIA", Name: "Mia"}
	miaDC = people.Person{ID: "discord:77", Name: "mia_too"}
	ken   = people.Person{ID: "slack:KEN", Name: "Ken"}
	vic   = people.Person{ID: "slack:VIC", Name: "Vic"}                  // a viewer
	guest = people.Person{ID: "slack:GUEST", Name: "G", Stranger: true}  // of another organisation
	local = people.Person{ID: "terminal:local", Name: "me", Local: true} // at the terminal of up or demo
	shopO = people.Person{ID: "slack:SHOPO", Name: "Sho"}                // operator of namespace shop alone

	payments = commandtest.Ref(entity.Deployment, "shop", "payments")
	dns      = commandtest.Ref(entity.Deployment, "kube-system", "dns")
	worker   = commandtest.Ref(entity.Node, "", "worker-1")
	pod      = commandtest.Ref(entity.Pod, "shop", "payments-b-1")
	bare     = commandtest.Ref(entity.Pod, "shop", "debug")
)

// roles is the mapping of these tests.
type roles map[string]people.Role

func (r roles) RoleOf(p people.Person, _, namespace string) people.Role {
	switch {
	case p.Stranger || p.ID == "":
		return people.Nobody
	case p.Local:
		return people.Admin
	case p.ID == shopO.ID && namespace != "shop":
		return people.Viewer
	}
	return max(r[p.ID], people.Viewer)
}

func (roles) Same(a, b people.Person) bool {
	return a.ID == b.ID || a.ID == mia.ID && b.ID == miaDC.ID || a.ID == miaDC.ID && b.ID == mia.ID
}

// log is an Auditor whose disk can be made to fail.
type log struct {
	mu      sync.Mutex
	broken  bool
	actions []string
}

func (l *log) Append(_ context.Context, _ people.Person, action, _, _ string, _ any) (audit.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return audit.Entry{}, errors.New("disk full")
	}
	l.actions = append(l.actions, action)
	return audit.Entry{}, nil
}

func (l *log) count(action string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.actions {
		if a == action {
			n++
		}
	}
	return n
}

// graph has checkout call payments.
type graph struct{}

func (graph) Upstream(r entity.Ref, depth int) []entity.Ref {
	if r != payments {
		return nil
	}
	up := []entity.Ref{commandtest.Ref(entity.Service, "shop", "payments"), commandtest.Ref(entity.Service, "shop", "checkout"), commandtest.Ref(entity.Ingress, "shop", "web")}
	if depth == 1 {
		return up[:1]
	}
	return up
}

// world is a desk on a cluster. It lives in a synctest bubble: time stands still until a test sleeps.
type world struct {
	t     *testing.T
	store *commandtest.Memory
	agent *commandtest.Agent
	log   *log
	roles roles
	cfg   command.Config
	desk  *command.Desk
}

var errOffline = errors.New("not connected")

// play runs a test in its own bubble.
func play(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f(t, w)
		w.desk.Close()
	})
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: &commandtest.Memory{}, log: &log{}, agent: commandtest.Shop(time.Now), roles: roles{
		mia.ID: people.Operator, miaDC.ID: people.Operator, ken.ID: people.Operator, shopO.ID: people.Operator,
	}}
	w.cfg = command.Config{
		Store: w.store, Dispatcher: w.agent, Fleet: w.agent.Fleet, People: w.roles, Audit: w.log, NotSent: errOffline,
		Graph: func(string) command.Graph { return graph{} },
	}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.desk, err = command.New(w.cfg); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) propose(by people.Person, c command.Command) *command.Proposal {
	w.t.Helper()
	p, err := w.desk.Propose(w.t.Context(), command.Request{Command: c, By: by, Incident: "INC-1", Question: "please"})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) approve(p *command.Proposal, by people.Person, typed string) error {
	_, err := w.desk.Approve(w.t.Context(), p.ID, by, typed)
	return err
}

func (w *world) tick() {
	w.t.Helper()
	synctest.Wait()
	if err := w.desk.Tick(w.t.Context(), time.Now()); err != nil {
		w.t.Error(err)
	}
	synctest.Wait()
}

// is checks a proposal's state, and what its result says.
func (w *world) is(p *command.Proposal, want command.State, result string) *command.Proposal {
	w.t.Helper()
	synctest.Wait()
	now, err := w.desk.Get(w.t.Context(), p.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	if now.State != want || !strings.Contains(now.Result, result) {
		w.t.Errorf("it is %s (%q), want %s (%q)", now.State, now.Result, want, result)
	}
	return now
}

func (w *world) ran(p *command.Proposal, want int) {
	w.t.Helper()
	if n := w.agent.Runs(p.ID); n != want {
		w.t.Errorf("it ran %d times, want %d", n, want)
	}
}

// refused checks that an error is a refusal with a sentence and a remedy.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	var d *command.Denied
	if !errors.As(err, &d) || !strings.Contains(d.Error(), want) || d.Sentence == "" {
		t.Errorf("got %v, want a refusal with %q", err, want)
	}
}

func tooLate(t *testing.T, err error, want string) {
	t.Helper()
	var l *command.TooLate
	if !errors.As(err, &l) {
		t.Errorf("got %v, want that it is too late", err)
	}
	refused(t, err, want)
}

func scale(n int32) command.Command {
	return command.Command{Verb: command.Scale, Target: payments, Replicas: n}
}

func restart(r entity.Ref) command.Command {
	return command.Command{Verb: command.RolloutRestart, Target: r}
}

func TestFromProposalToVerified(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, command.Command{Verb: command.Rollback, Target: payments})
		if p.Command.Revision != 17 || p.Title != "roll back deployment/payments to revision 17" || p.Button != "Roll back to v2.3.1" || p.Class != command.W1 {
			t.Errorf("proposed %+v", p)
		}
		if want := []string{"3 pods, rolling, at least 2 stay up"}; !slices.Equal(p.Preview.Touches, want) {
			t.Errorf("touches %q", p.Preview.Touches)
		}
		if len(p.Preview.Callers) != 2 || p.Preview.Callers[0].Name != "checkout" || p.Preview.Budget != "PDB payments allows 1 down" {
			t.Errorf("preview %+v", p.Preview)
		}
		if !p.Preview.Accepted || len(p.Preview.Changes) != 1 || p.Expires.Sub(p.Created) != 10*time.Minute {
			t.Errorf("preview %+v, expires %v", p.Preview, p.Expires)
		}
		if p.Undo == nil || *p.Undo != (command.Command{Verb: command.Rollback, Target: payments, Revision: 18}) {
			t.Errorf("undo %+v", p.Undo)
		}
		w.ran(p, 0)
		if err := w.approve(p, mia, ""); err != nil {
			t.Fatal(err)
		}
		w.is(p, command.Done, "done")
		w.ran(p, 1)
		w.tick()
		w.is(p, command.Verified, "3/3 ready")
		if w.log.count("command.run") != 1 || w.log.count("command.verified") != 1 {
			t.Errorf("audit: %v", w.log.actions)
		}
		var told []event.Type
		for _, e := range w.store.Events() {
			if e.Proposal != p.ID || e.Incident != "INC-1" || e.Cluster != commandtest.Cluster || e.Note == "" {
				t.Errorf("event %+v", e)
			}
			told = append(told, e.Type)
		}
		if want := []event.Type{event.ProposalMade, event.ProposalChanged, event.ProposalChanged, event.ProposalChanged, event.ProposalChanged}; !slices.Equal(told, want) {
			t.Errorf("told %v", told)
		}
	})
}

func TestWhoMayApprove(t *testing.T) {
	for name, c := range map[string]struct {
		command  command.Command
		asker    people.Person
		approver people.Person
		typed    string
		want     string // "" when it runs
	}{
		"W1 by the one who asked":                               {restart(payments), mia, mia, "", ""},
		"W1 by another operator":                                {restart(payments), mia, ken, "", ""},
		"W1 by a viewer":                                        {restart(payments), mia, vic, "", "Only an operator of prod-eu / shop may approve"},
		"W1 by a guest":                                         {restart(payments), mia, guest, "", "no commands from guests"},
		"W1 by nobody at all":                                   {restart(payments), mia, people.Person{}, "", "no commands from guests"},
		"W1 by an operator of that namespace":                   {restart(payments), mia, shopO, "", ""},
		"a node by an operator of one namespace":                {command.Command{Verb: command.Cordon, Target: worker}, mia, shopO, "", "Only an operator of prod-eu may"},
		"W2 by the one who asked":                               {scale(20), mia, mia, "", "needs one other operator"},
		"W2 by the other account of the one who asked":          {scale(20), mia, miaDC, "", "needs one other operator"},
		"W2 by another operator":                                {scale(20), mia, ken, "", ""},
		"W2 by a viewer":                                        {scale(20), mia, vic, "", "Only an operator"},
		"a protected place by the one who asked":                {restart(dns), mia, mia, "", "namespace kube-system is protected"},
		"a protected place by another operator":                 {restart(dns), mia, ken, "", ""},
		"W3 by another operator without the name":               {scale(0), mia, ken, "", "type payments exactly"},
		"W3 by another operator with a name that is close":      {scale(0), mia, ken, "Payments", "type payments exactly"},
		"W3 by another operator with the name":                  {scale(0), mia, ken, "payments", ""},
		"W3 by the one who asked with the name":                 {scale(0), mia, mia, "payments", "needs one other operator"},
		"a bare pod by another operator without the name":       {command.Command{Verb: command.DeletePod, Target: bare}, mia, ken, "", "type debug exactly"},
		"a pod with an owner by the one who asked":              {command.Command{Verb: command.DeletePod, Target: pod}, mia, mia, "", ""},
		"a drain by another operator with the name":             {command.Command{Verb: command.Drain, Target: worker}, mia, ken, "worker-1", ""},
		"W2 by the local person who asked":                      {scale(20), local, local, "", ""},
		"W3 by the local person who asked with the name":        {scale(0), local, local, "payments", ""},
		"W3 by the local person who asked without the name":     {scale(0), local, local, "", "type payments exactly"},
		"W1 that a local person asked for, approved by a guest": {restart(payments), local, guest, "", "no commands from guests"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				p := w.propose(c.asker, c.command)
				err := w.approve(p, c.approver, c.typed)
				synctest.Wait()
				if c.want == "" {
					if err != nil {
						t.Error(err)
					}
					w.ran(p, 1)
					w.tick()
					if got := w.is(p, command.Verified, ""); len(got.Approvals) != 1 || got.Approvals[0].By.ID != c.approver.ID {
						t.Errorf("approvals %+v", got.Approvals)
					}
					return
				}
				refused(t, err, c.want)
				w.ran(p, 0)
				w.is(p, command.Proposed, "")
				if w.log.count("command.refused") != 1 {
					t.Errorf("audit: %v", w.log.actions)
				}
			})
		})
	}
}

func TestWhatIsNotProposed(t *testing.T) {
	elsewhere := payments
	elsewhere.Cluster = "prod-us"
	for name, c := range map[string]struct {
		by      people.Person
		command command.Command
		prepare func(w *world)
		want    string
	}{
		"a viewer's wish":                   {vic, scale(4), nil, "Only an operator of prod-eu / shop may propose changes; you are a viewer there."},
		"a guest's wish":                    {guest, scale(4), nil, "no commands from guests"},
		"an unknown object":                 {mia, restart(commandtest.Ref(entity.Deployment, "shop", "cart")), nil, "deployment/cart is not there in prod-eu / shop"},
		"an unknown cluster":                {mia, restart(elsewhere), nil, "cluster prod-us is not known"},
		"an unknown verb":                   {mia, command.Command{Verb: "exec", Target: payments}, nil, "not a change that I make"},
		"a verb on the wrong kind":          {mia, command.Command{Verb: command.Drain, Target: payments}, nil, "cannot drain a Deployment"},
		"a name that is no name":            {mia, restart(commandtest.Ref(entity.Deployment, "shop", "pay;ments")), nil, "not a name"},
		"negative replicas":                 {mia, scale(-1), nil, "cannot have -1 replicas"},
		"an image that is none":             {mia, command.Command{Verb: command.SetImage, Target: payments, Container: "app", Image: "A B"}, nil, "not an image reference"},
		"an unknown container":              {mia, command.Command{Verb: command.SetImage, Target: payments, Container: "web", Image: "a:b"}, nil, "has no container web. It has app."},
		"the image that runs":               {mia, command.Command{Verb: command.SetImage, Target: payments, Container: "app", Image: "shop/payments:v2.4.0"}, nil, "runs shop/payments:v2.4.0 already"},
		"the size that it has":              {mia, scale(3), nil, "3 replicas already"},
		"the revision that runs":            {mia, command.Command{Verb: command.Rollback, Target: payments, Revision: 18}, nil, "runs revision 18 already"},
		"a revision that is not there":      {mia, command.Command{Verb: command.Rollback, Target: payments, Revision: 3}, nil, "no revision 3. It has 17 18."},
		"a field that the verb has not":     {mia, command.Command{Verb: command.RolloutRestart, Target: payments, Replicas: 3}, nil, "more than it can mean"},
		"uncordoning a node that is open":   {mia, command.Command{Verb: command.Uncordon, Target: worker}, nil, "uncordoned already"},
		"what the API server does not take": {mia, scale(4), func(w *world) { w.agent.Set(func(b *commandtest.Behaviour) { b.RefuseDryRun = "quota exceeded" }) }, "does not accept it: quota exceeded"},
		"what a silent agent should do": {mia, scale(4), func(w *world) {
			c, _ := w.agent.Fleet.Cluster(commandtest.Cluster)
			c.SetStatus(func(s *fleet.Status) { s.Silent = true })
		}, "is silent"},
		"what the agent may not do": {mia, scale(4), func(w *world) {
			c, _ := w.agent.Fleet.Cluster(commandtest.Cluster)
			c.SetStatus(func(s *fleet.Status) { s.Verbs = []string{"cordon"} })
		}, "may not scale"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				if c.prepare != nil {
					c.prepare(w)
				}
				p, err := w.desk.Propose(t.Context(), command.Request{Command: c.command, By: c.by})
				refused(t, err, c.want)
				if p != nil || len(w.store.Events()) != 0 || w.log.count("command.refused") != 1 {
					t.Errorf("stored %+v, told %v, audit %v", p, w.store.Events(), w.log.actions)
				}
			})
		})
	}
}

func TestAnIdenticalOpenProposalIsReturned(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, scale(4))
		if again := w.propose(ken, scale(4)); again.ID != p.ID {
			t.Error("doubled")
		}
		if other := w.propose(ken, scale(5)); other.ID == p.ID {
			t.Error("another command was taken for the same")
		}
		time.Sleep(11 * time.Minute)
		if fresh := w.propose(mia, scale(4)); fresh.ID == p.ID {
			t.Error("an expired one was returned")
		}
		w.is(p, command.Expired, "")
	})
}

func TestExpiryRejectionAndASecondPress(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, scale(4))
		time.Sleep(10*time.Minute + time.Second)
		tooLate(t, w.approve(p, mia, ""), "has expired; nothing ran. Ask again")
		w.ran(p, 0)

		ticked := w.propose(mia, scale(4))
		time.Sleep(time.Hour)
		w.tick()
		w.is(ticked, command.Expired, "")

		p = w.propose(mia, scale(4))
		if _, err := w.desk.Reject(t.Context(), p.ID, vic); err == nil {
			t.Error("a viewer rejected")
		}
		if got, err := w.desk.Reject(t.Context(), p.ID, ken); err != nil || got.Decided != "Ken" {
			t.Errorf("rejected: %+v %v", got, err)
		}
		tooLate(t, w.approve(p, mia, ""), "was rejected by Ken")
		w.ran(p, 0)

		p = w.propose(mia, scale(4))
		if err := w.approve(p, mia, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tooLate(t, w.approve(p, mia, ""), "was approved by Mia and ran; its effect is being verified")
		_, err := w.desk.Reject(t.Context(), p.ID, ken)
		tooLate(t, err, "was approved by Mia")
		w.tick()
		tooLate(t, w.approve(p, ken, ""), "was approved by Mia and ran: 4/4 ready")
		w.ran(p, 1)

		_, err = w.desk.Approve(t.Context(), "forged", mia, "")
		refused(t, err, "not known any more")
	})
}

func TestTwoPeopleAtOnceRunItOnce(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, scale(4))
		var mu sync.Mutex
		var lost []error
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if err := w.approve(p, []people.Person{mia, ken}[i%2], ""); err != nil {
					mu.Lock()
					lost = append(lost, err)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		w.is(p, command.Done, "")
		w.ran(p, 1)
		if len(lost) != 19 {
			t.Errorf("%d of 20 lost", len(lost))
		}
		for _, err := range lost {
			tooLate(t, err, "was approved by")
		}
		if w.log.count("command.run") != 1 {
			t.Errorf("audit: %v", w.log.actions)
		}
	})
}

func TestAChangedObjectVoidsTheProposal(t *testing.T) {
	for name, c := range map[string]struct {
		command command.Command
		change  func(*report.Resource)
		want    string // "" when it does not matter
	}{
		"a status that flaps does not matter":       {restart(payments), func(r *report.Resource) { r.ResourceVersion = "9"; r.GetWorkload().Ready = 1 }, ""},
		"another size does not matter to a restart": {restart(payments), func(r *report.Resource) { r.GetWorkload().Desired = 4 }, ""},
		"another size matters to scaling":           {scale(4), func(r *report.Resource) { r.GetWorkload().Desired = 2 }, "scaled from 3 to 2 meanwhile"},
		"another image": {command.Command{Verb: command.Rollback, Target: payments}, func(r *report.Resource) {
			r.GetWorkload().Images["app"] = "shop/payments:v3"
		}, "got another image meanwhile"},
		"another rollout":            {restart(payments), func(r *report.Resource) { r.GetWorkload().TemplateHash = "x" }, "rolled out anew meanwhile"},
		"another object of the name": {restart(payments), func(r *report.Resource) { r.Uid = "u-2" }, "another object of the same name"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				p := w.propose(mia, c.command)
				w.agent.Change(payments, c.change)
				err := w.approve(p, mia, "")
				synctest.Wait()
				if c.want == "" {
					if err != nil {
						t.Error(err)
					}
					w.ran(p, 1)
					return
				}
				tooLate(t, err, c.want)
				w.ran(p, 0)
				w.is(p, command.Superseded, c.want)
			})
		})
	}
}

func TestARoleIsCheckedAtTheClick(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, scale(4))
		w.roles[mia.ID] = people.Viewer
		refused(t, w.approve(p, mia, ""), "Only an operator")
		w.ran(p, 0)
		if _, err := w.desk.Reject(t.Context(), p.ID, mia); err != nil {
			t.Errorf("who asked may take it back: %v", err)
		}
	})
}

func TestARuleThatChangedVoidsTheProposal(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, scale(4))
		w.desk.Close()
		w.cfg.Policy = command.Policy{ProtectedClusters: []string{commandtest.Cluster}}
		w.open()
		tooLate(t, w.approve(p, mia, ""), "the rule for it is another by now")
		w.ran(p, 0)
	})
}
