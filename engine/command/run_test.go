package command_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/command/commandtest"
	"github.com/bukahou/atlhyper/engine/entity"
)

func TestNothingRunsWithoutAnAuditEntry(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, scale(4))
		w.log.broken = true
		if err := w.approve(p, mia, ""); err != nil {
			t.Fatal(err)
		}
		w.is(p, command.Failed, "not run: the audit log cannot be written")
		w.ran(p, 0)
	})
}

func TestALostAnswerIsAskedForAgainUnderTheSameID(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, scale(4))
		w.agent.Set(func(b *commandtest.Behaviour) { b.LoseAnswers = 3 })
		if err := w.approve(p, mia, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		w.is(p, command.Done, "")
		w.ran(p, 1)
	})
}

func TestAnUnknownOutcomeIsReadFromTheCluster(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, scale(4))
		w.agent.Set(func(b *commandtest.Behaviour) { b.ForgetJournal = true })
		if err := w.approve(p, mia, ""); err != nil {
			t.Fatal(err)
		}
		if got := w.is(p, command.Running, ""); got.Doubt == "" {
			t.Error("no doubt was recorded")
		}
		w.tick()
		w.is(p, command.Done, "it ran: 4/4 ready")
		w.tick()
		w.is(p, command.Verified, "4/4 ready")
		w.ran(p, 1)
	})
}

// deaf is a dispatcher for dry runs alone.
type deaf struct {
	*commandtest.Agent
	err error
}

func (d deaf) Do(ctx context.Context, cluster string, c *report.Command) (*report.Outcome, error) {
	if !c.GetDryRun() {
		return nil, d.err
	}
	return d.Agent.Do(ctx, cluster, c)
}

func TestAnAgentThatNeverAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		state  command.State
		result string
	}{
		"was not connected: it did not run":        {errOffline, command.Failed, "not run: the agent is not connected"},
		"was asked: nobody knows, it is not rerun": {commandtest.ErrLost, command.Unsure, "the agent did not answer; the cluster does not show the change (3/3 ready). It is not run again"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				w.desk.Close()
				w.cfg.Dispatcher = deaf{w.agent, c.err}
				w.open()
				p := w.propose(mia, scale(4))
				if err := w.approve(p, mia, ""); err != nil {
					t.Fatal(err)
				}
				for range 20 {
					time.Sleep(30 * time.Second)
					w.tick()
				}
				w.is(p, c.state, c.result)
				w.ran(p, 0)
			})
		})
	}
}

func TestWhatRanAndDidNotHelpIsSaidSo(t *testing.T) {
	settled, helped, sentence := false, false, "errors are still 31 %"
	judged := func(c *command.Config) {
		c.Judge = func(context.Context, *command.Proposal, time.Time) (bool, bool, string) {
			return settled, helped, sentence
		}
	}
	for name, c := range map[string]struct {
		stuck, settled, helped bool
		after                  time.Duration
		state                  command.State
		result                 string
	}{
		"while it cannot be told it waits":     {false, false, false, 4 * time.Minute, command.Done, ""},
		"when it helped":                       {false, true, true, time.Second, command.Verified, "3/3 ready; errors are still 31 %"},
		"when it did not":                      {false, true, false, time.Second, command.Unverified, "ran but did not help: errors are still 31 %; 3/3 ready"},
		"when that cannot be told in time":     {false, false, false, 6 * time.Minute, command.Unverified, "ran but did not help: errors are still 31 %"},
		"when the rollout does not get on":     {true, true, true, 6 * time.Minute, command.Unverified, "ran, but is not complete after 5 min: 2/3 ready, 1 updated"},
		"while the rollout may still get on":   {true, true, true, 4 * time.Minute, command.Done, ""},
		"a stuck rollout is not judged early":  {true, true, false, 4 * time.Minute, command.Done, ""},
		"a stuck rollout that does not help":   {true, true, false, 6 * time.Minute, command.Unverified, "ran but did not help: errors are still 31 %; 2/3 ready, 1 updated"},
		"helped, but the rollout is not there": {true, false, false, 6 * time.Minute, command.Unverified, "ran, but is not complete"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				w.desk.Close()
				judged(&w.cfg)
				w.open()
				settled, helped = c.settled, c.helped
				w.agent.Set(func(b *commandtest.Behaviour) { b.Stuck = c.stuck })
				p := w.propose(mia, restart(payments))
				if err := w.approve(p, mia, ""); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				time.Sleep(c.after)
				w.tick()
				w.is(p, c.state, c.result)
			})
		})
	}
}

// A command that was done is not verified by a state that the cluster had before it.
func TestAnOldStateVerifiesNothing(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		p := w.propose(mia, restart(payments))
		before := w.agent.Fleet
		if err := w.approve(p, mia, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.desk.Close()
		w.cfg.Fleet = commandtest.Shop(time.Now).Fleet // as an engine knows it whose agent has not reported since
		w.open()
		w.tick()
		w.is(p, command.Done, "")
		w.desk.Close()
		w.cfg.Fleet = before
		w.open()
		w.tick()
		w.is(p, command.Verified, "3/3 ready")
	})
}

func TestVerificationNamesTheReadings(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		c, _ := w.agent.Fleet.Cluster(commandtest.Cluster)
		read := func(errors, latency float64) {
			svc := &report.EntityRef{Kind: entity.Service, Namespace: "shop", Name: "payments"}
			c.Apply(time.Now(), &report.ReportRequest{Frames: []*report.TelemetryFrame{{Samples: []*report.Sample{
				{Entity: svc, Metric: "error_rate", Value: errors}, {Entity: svc, Metric: "avg_latency", Value: latency},
			}}}})
		}
		burns := 62.0
		w.desk.Close()
		w.cfg.Burn = func(_ time.Time, r entity.Ref) (float64, bool) {
			return burns, r.Kind == entity.Service && r.Name == "payments"
		}
		w.open()
		read(0.31, 2.1)
		p := w.propose(mia, command.Command{Verb: command.Rollback, Target: payments})
		if err := w.approve(p, mia, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		read(0.003, 0.08)
		burns = 0.6
		w.tick()
		w.is(p, command.Verified, "3/3 ready; payments errors 31 % → 0.3 %, payments latency 2.1 s → 80 ms, payments budget burns 62× → 0.6×")
	})
}

// Whatever clock an agent has: the deadline that it gets is the engine's, and a late command is refused by it.
func TestACommandThatComesTooLateIsNotRun(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.agent.Now = func() time.Time { return time.Now().Add(5 * time.Minute) } // an agent that forgot to correct its skew
		p := w.propose(mia, scale(4))
		if err := w.approve(p, mia, ""); err != nil {
			t.Fatal(err)
		}
		w.is(p, command.Failed, "not run: it came too late")
		w.ran(p, 0)
	})
}
