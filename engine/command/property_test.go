package command_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/command/commandtest"
	"github.com/bukahou/atlhyper/engine/people"
)

// allowed are the transitions that the design has.
var allowed = map[commandtest.Step]bool{
	{From: command.Proposed, To: command.Approved}:   true,
	{From: command.Proposed, To: command.Rejected}:   true,
	{From: command.Proposed, To: command.Expired}:    true,
	{From: command.Proposed, To: command.Superseded}: true,
	{From: command.Approved, To: command.Running}:    true,
	{From: command.Approved, To: command.Failed}:     true, // no audit entry
	{From: command.Running, To: command.Running}:     true, // nobody knows whether it ran; the cluster is read
	{From: command.Running, To: command.Done}:        true,
	{From: command.Running, To: command.Failed}:      true,
	{From: command.Running, To: command.Unsure}:      true,
	{From: command.Done, To: command.Verified}:       true,
	{From: command.Done, To: command.Unverified}:     true,
}

// move is one thing that happens to a proposal.
type move struct {
	what string
	n    int
}

var moves = []string{"press", "race", "reject", "wait", "tick", "change", "lose", "forget", "audit", "restart", "demote", "clock"}

// However people press, time passes, the world changes and the engine restarts: a command runs at most once, only after
// a valid approval and an audit entry, along the transitions of the design, each told by one event; and it always ends.
func TestProposalStateMachine(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := rapid.SampledFrom([]command.Command{scale(4), scale(20), scale(0), restart(payments), restart(dns), {Verb: command.Cordon, Target: worker}}).Draw(r, "command")
		plan := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) move {
			return move{rapid.SampledFrom(moves).Draw(r, "what"), rapid.IntRange(0, 11).Draw(r, "n")}
		}), 1, 12).Draw(r, "plan")
		var failure error
		synctest.Test(t, func(t *testing.T) { failure = follow(t, c, plan) })
		if failure != nil {
			r.Fatal(failure)
		}
	})
}

func follow(t *testing.T, c command.Command, plan []move) error {
	w := newWorld(t)
	defer func() { w.desk.Close() }()
	p := w.propose(mia, c)
	crowd := []people.Person{mia, ken, vic, guest, miaDC, shopO}
	press := func(n int) {
		typed := ""
		if n >= len(crowd) {
			typed = c.Target.Name
		}
		err := w.approve(p, crowd[n%len(crowd)], typed)
		var d *command.Denied
		if err != nil && !errors.As(err, &d) {
			t.Errorf("an approval failed with %v", err)
		}
	}
	for _, m := range plan {
		switch m.what {
		case "press":
			press(m.n)
		case "race":
			var wg sync.WaitGroup
			for i := range m.n {
				wg.Go(func() { press(i) })
			}
			wg.Go(func() { _ = w.desk.Tick(t.Context(), time.Now()) })
			wg.Wait()
		case "reject":
			_, _ = w.desk.Reject(t.Context(), p.ID, crowd[m.n%len(crowd)])
		case "wait":
			time.Sleep(time.Duration(m.n) * 100 * time.Second)
		case "tick":
			w.tick()
		case "change":
			w.agent.Change(c.Target, func(r *report.Resource) {
				if wl := r.GetWorkload(); wl != nil {
					wl.TemplateHash += "x"
				}
			})
		case "lose":
			w.agent.Set(func(b *commandtest.Behaviour) { b.LoseAnswers = m.n })
		case "forget":
			w.agent.Set(func(b *commandtest.Behaviour) { b.ForgetJournal = m.n%2 == 0 })
		case "audit":
			w.log.mu.Lock()
			w.log.broken = m.n%2 == 0
			w.log.mu.Unlock()
		case "restart":
			w.desk.Close()
			w.open()
		case "demote":
			synctest.Wait()
			w.roles[mia.ID] = people.Role(1 + m.n%3)
		case "clock":
			skew := time.Duration(m.n-5) * time.Minute
			synctest.Wait()
			w.agent.Now = func() time.Time { return time.Now().Add(skew) }
		}
	}
	for range 30 {
		time.Sleep(time.Minute)
		w.tick()
	}
	return w.check(p.ID)
}

// check looks at the end of a proposal's life.
func (w *world) check(id string) error {
	p, err := w.desk.Get(w.t.Context(), id)
	if err != nil {
		return err
	}
	steps, runs := w.store.Steps(id), w.agent.Runs(id)
	story := fmt.Sprintf("%s after %v, ran %d times (%s; doubt %q)", p.State, steps, runs, p.Result, p.Doubt)
	state := command.Proposed
	told := 0
	for _, s := range steps {
		if !allowed[s] || s.From != state {
			return fmt.Errorf("%s: %v is no transition", story, s)
		}
		state = s.To
	}
	for _, e := range w.store.Events() {
		if e.Proposal == id {
			told++
		}
	}
	approved := slices.ContainsFunc(steps, func(s commandtest.Step) bool { return s.To == command.Approved })
	switch {
	case !p.State.Final():
		return fmt.Errorf("%s: it never ends", story)
	case told != len(steps)+1:
		return fmt.Errorf("%s: told %d times", story, told)
	case runs > 1:
		return fmt.Errorf("%s: more than once", story)
	case runs == 1 && (!approved || w.log.count("command.run") == 0):
		return fmt.Errorf("%s: without an approval or an audit entry", story)
	case runs == 0 && slices.Contains([]command.State{command.Done, command.Verified, command.Unverified}, p.State) && p.Command.Verb != command.Cordon:
		return fmt.Errorf("%s: it is said to have run", story)
	case approved != (len(p.Approvals) == 1):
		return fmt.Errorf("%s: %d approvals", story, len(p.Approvals))
	case p.State == command.Unsure && p.Doubt == "":
		return fmt.Errorf("%s: unsure without a reason", story)
	}
	for _, a := range p.Approvals {
		if a.By.Stranger || a.By.ID == vic.ID || p.Class != command.W1 && (a.By.ID == mia.ID || a.By.ID == miaDC.ID) {
			return fmt.Errorf("%s: %s approved a %s", story, a.By.Name, p.Class)
		}
	}
	return nil
}
