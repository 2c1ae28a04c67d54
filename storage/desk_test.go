package storage_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/command/commandtest"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/storage"
)

var errKilled = errors.New("the process was killed")

// fuse kills a process at its nth step that others can see: a write, an audit entry, a message to the agent. The step
// itself has happened or not; the process never learns.
type fuse struct {
	mu   sync.Mutex // guards all below
	left int
	done bool // the last step happens
	dead bool
}

func (f *fuse) step(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errKilled
	}
	f.left--
	if f.left > 0 {
		return do()
	}
	f.dead = true
	if f.done {
		_ = do() // nobody is left to hear of a failure
	}
	return errKilled
}

func (f *fuse) blown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

type fusedStore struct {
	command.Store
	*fuse
}

func (s fusedStore) CreateProposal(ctx context.Context, p *command.Proposal, e ...event.Event) error {
	return s.step(func() error { return s.Store.CreateProposal(ctx, p, e...) })
}

func (s fusedStore) SwapProposal(ctx context.Context, from command.State, p *command.Proposal, e ...event.Event) error {
	return s.step(func() error { return s.Store.SwapProposal(ctx, from, p, e...) })
}

type fusedAudit struct {
	command.Auditor
	*fuse
}

func (a fusedAudit) Append(ctx context.Context, who people.Person, action, cluster, target string, detail any) (e audit.Entry, err error) {
	err = a.step(func() error { e, err = a.Auditor.Append(ctx, who, action, cluster, target, detail); return err })
	return e, err
}

type fusedAgent struct {
	command.Dispatcher
	*fuse
}

func (a fusedAgent) Do(ctx context.Context, cluster string, c *report.Command) (o *report.Outcome, err error) {
	err = a.step(func() error { o, err = a.Dispatcher.Do(ctx, cluster, c); return err })
	return o, err
}

// An engine is killed at each of its steps between proposal and verification, just before and just after the step, and
// started again on the same file. The command runs once, and its proposal ends as if nothing had happened.
func TestAnEngineKilledAtAnyStepRunsTheCommandOnce(t *testing.T) {
	survived := false
	for n := 1; !survived; n++ {
		for _, done := range []bool{false, true} {
			f := &fuse{left: n, done: done}
			if killedAt(t, f); !f.blown() {
				survived = true
			}
		}
		if n > 30 {
			t.Fatal("there is no end to its steps")
		}
		if survived && n < 8 { // create, approve, audit, running, dispatch, done, verified, and their notes
			t.Fatalf("only %d steps were seen", n-1)
		}
	}
}

func killedAt(t *testing.T, f *fuse) {
	path := filepath.Join(t.TempDir(), "atlhyper.db")
	agent := commandtest.Shop(time.Now)
	mia := people.Person{ID: "slack:MIA", Name: "Mia"}
	restart := command.Command{Verb: command.RolloutRestart, Target: commandtest.Ref(entity.Deployment, "shop", "payments")}
	start := func(f *fuse) (*storage.DB, *command.Desk, *audit.Log, func()) {
		db, err := storage.Open(t.Context(), path, storage.Config{})
		if err != nil {
			t.Fatal(err)
		}
		log, err := audit.New(t.Context(), audit.Config{Store: db})
		if err != nil {
			t.Fatal(err)
		}
		dir, err := people.New(t.Context(), people.Config{Store: db, Admins: []string{mia.ID}})
		if err != nil {
			t.Fatal(err)
		}
		desk, err := command.New(command.Config{
			Store: fusedStore{db, f}, Dispatcher: fusedAgent{agent, f}, Fleet: agent.Fleet, People: dir, Audit: fusedAudit{log, f},
		})
		if err != nil {
			t.Fatal(err)
		}
		return db, desk, log, func() {
			desk.Close()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	// live brings the newest proposal as far as it gets, and says where it stands; nil when there is none.
	live := func(db *storage.DB, desk *command.Desk, f *fuse) *command.Proposal {
		deadline := time.Now().Add(10 * time.Second)
		for {
			all, err := db.Proposals(t.Context(), command.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case f.blown():
				if len(all) == 0 {
					return nil
				}
				return all[0]
			case len(all) == 0:
				_, _ = desk.Propose(t.Context(), command.Request{Command: restart, By: mia})
			case all[0].State == command.Proposed:
				_, _ = desk.Approve(t.Context(), all[0].ID, mia, "")
			case all[0].State.Final():
				return all[0]
			default:
				_ = desk.Tick(t.Context(), time.Now())
			}
			if time.Now().After(deadline) {
				t.Fatalf("killed at step %d (done: %v): stands at %s", f.left, f.done, all[0].State)
			}
			time.Sleep(time.Millisecond)
		}
	}
	db, desk, _, stop := start(f)
	before := live(db, desk, f)
	stop()

	unharmed := &fuse{left: 1_000_000}
	db, desk, log, stop := start(unharmed)
	defer stop()
	p := live(db, desk, unharmed)
	if p.State != command.Verified || agent.Runs(p.ID) != 1 {
		t.Errorf("%+v: ended %s (%s) after %d runs; stood at %+v", f.done, p.State, p.Result, agent.Runs(p.ID), before)
	}
	if before != nil && before.ID != p.ID {
		t.Errorf("%s was forgotten for %s", before.ID, p.ID)
	}
	if err := log.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	runs := 0
	entries, err := log.Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Action == "command.run" {
			runs++
		}
	}
	if runs == 0 || runs > 2 { // twice when it was killed between the entry and the note that it was made
		t.Errorf("%d entries say that it ran", runs)
	}
	told := map[string]int{}
	events, err := db.EventsAfter(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		told[e.Note]++
	}
	for note, n := range told {
		if n != 1 {
			t.Errorf("%q was told %d times", note, n)
		}
	}
	if len(events) != 5 { // made, approved, running, done, verified
		t.Errorf("told %v", told)
	}
}
