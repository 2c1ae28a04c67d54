package uplink

import (
	"context"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

const (
	// maxWaiting bounds what is accepted and not yet answered; beyond it the engine is told so at once.
	maxWaiting = 256
	// queryKept is for how long the answer to a query is worth delivering: nobody waits longer.
	queryKept = 2 * time.Minute
	// defaultQueryTimeout is for a query that names none.
	defaultQueryTimeout = 30 * time.Second
)

// listen holds the stream of queries and commands open, reconnecting until ctx is done. It returns an error only when
// the session is lost.
func (u *Uplink) listen(ctx context.Context, s session, d *dispatcher) error {
	wait := u.cfg.Retry.Min
	for ctx.Err() == nil {
		heard, err := u.stream(ctx, s, d)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && lost(err) {
			return err
		}
		if heard {
			wait = u.cfg.Retry.Min
		}
		u.cfg.Logger.DebugContext(ctx, "command stream ended", "err", u.explain("commands", err))
		wait = jitter(min(2*wait, u.cfg.Retry.Max))
		sleep(ctx, wait)
	}
	return nil
}

// stream reads one stream to its end and says whether anything came. A stream that is silent for three heartbeats is
// taken for dead, although its connection may still look alive.
func (u *Uplink) stream(ctx context.Context, s session, d *dispatcher) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := max(3*s.heartbeat, time.Second)
	watchdog := time.AfterFunc(silent, cancel)
	defer watchdog.Stop()
	st, err := u.client.Commands(ctx, connect.NewRequest(&report.CommandsRequest{Session: s.id}))
	if err != nil {
		return false, err
	}
	for st.Receive() {
		heard = true
		watchdog.Reset(silent)
		switch m := st.Msg().GetMessage().(type) {
		case *report.CommandsResponse_Query:
			d.query(m.Query)
		case *report.CommandsResponse_Command:
			d.command(m.Command, s.skew)
		}
	}
	err = st.Err()
	if closing := st.Close(); err == nil {
		err = closing
	}
	return heard, err
}

// dispatcher runs what arrives. It outlives sessions: a command that was begun in one is reported in the next.
type dispatcher struct {
	u       *Uplink
	running sync.WaitGroup
	// Queries end with queries; commands with commands, later, so that they can finish; answers are delivered until
	// answers is done.
	queries, commands, answers        context.Context
	stopQueries, stopCommands, giveUp context.CancelFunc
	slots                             chan struct{} // one a running query

	mu      sync.Mutex // guards all below
	stopped bool
	known   map[string]struct{}        // ids accepted and not yet acknowledged: a redelivery of these is ignored
	targets map[kube.Key]chan struct{} // closed when the last accepted command of the target has ended
}

func newDispatcher(u *Uplink) *dispatcher {
	d := &dispatcher{
		u: u, slots: make(chan struct{}, u.cfg.Queries), known: map[string]struct{}{}, targets: map[kube.Key]chan struct{}{},
	}
	d.queries, d.stopQueries = context.WithCancel(context.Background())
	d.commands, d.stopCommands = context.WithCancel(context.Background())
	d.answers, d.giveUp = context.WithCancel(context.Background())
	return d
}

// stop cancels queries, gives commands and answers the grace period, and waits for all.
func (d *dispatcher) stop() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.stopQueries()
	grace := d.u.cfg.StopGrace
	end := time.AfterFunc(grace, func() {
		d.stopCommands()
		time.AfterFunc(grace/2, d.giveUp) // an interrupted command still has an outcome to tell
	})
	d.running.Wait()
	end.Stop()
	d.stopCommands()
	d.giveUp()
}

// accept registers an id; false when it is known already. When too much waits it answers so itself.
func (d *dispatcher) accept(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.known[id]; known || d.stopped || id == "" {
		return false
	}
	d.known[id] = struct{}{}
	if len(d.known) > maxWaiting {
		d.running.Go(func() {
			d.answer(id, &report.Outcome{
				Id: id, Status: report.Outcome_STATUS_REFUSED,
				Message: fmt.Sprintf("the agent has %d requests waiting already; ask again later", maxWaiting),
			}, queryKept)
		})
		return false
	}
	return true
}

func (d *dispatcher) query(q *report.Query) {
	if !d.accept(q.GetId()) {
		return
	}
	d.running.Go(func() {
		timeout := q.GetTimeout().AsDuration()
		if timeout <= 0 {
			timeout = defaultQueryTimeout
		}
		ctx, cancel := context.WithTimeout(d.queries, timeout)
		defer cancel()
		var o *report.Outcome
		select {
		case d.slots <- struct{}{}:
			o = d.u.cfg.Runner.Query(ctx, q)
			<-d.slots
		case <-ctx.Done():
			o = &report.Outcome{Status: report.Outcome_STATUS_FAILED, Message: "the agent was too busy to answer in time"}
		}
		d.answer(q.GetId(), o, queryKept)
	})
}

// command queues a command behind the others of its target. Its deadline is in the engine's time and is moved into
// ours.
func (d *dispatcher) command(c *report.Command, skew time.Duration) {
	if !d.accept(c.GetId()) {
		return
	}
	if c.GetNotAfter() != nil {
		c = proto.CloneOf(c)
		c.NotAfter = stamp(c.NotAfter.AsTime().Add(-skew))
	}
	target := kube.Key{Kind: c.GetTarget().GetKind(), Namespace: c.GetTarget().GetNamespace(), Name: c.GetTarget().GetName()}
	done := make(chan struct{})
	d.mu.Lock()
	before := d.targets[target]
	d.targets[target] = done
	d.mu.Unlock()
	d.running.Go(func() {
		if before != nil {
			<-before // each closes its own whatever happens, so this cannot hang
		}
		o := d.u.cfg.Runner.Command(d.commands, c)
		d.mu.Lock()
		if d.targets[target] == done {
			delete(d.targets, target)
		}
		d.mu.Unlock()
		close(done)
		d.answer(c.GetId(), o, 0)
	})
}

// answer delivers an outcome until it is acknowledged, or for the time given when that is not zero.
func (d *dispatcher) answer(id string, o *report.Outcome, keep time.Duration) {
	defer func() {
		d.mu.Lock()
		delete(d.known, id)
		d.mu.Unlock()
	}()
	ctx := d.answers
	if keep > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, keep)
		defer cancel()
	}
	o.Id = id
	wait := d.u.cfg.Retry.Min
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		_, err := d.u.client.Complete(call, connect.NewRequest(&report.CompleteRequest{Session: d.u.current().id, Outcome: o}))
		cancel()
		if err == nil {
			return
		}
		d.u.cfg.Logger.Debug("outcome not delivered", "id", id, "err", d.u.explain("complete", err))
		if connect.CodeOf(err) == connect.CodeInvalidArgument {
			return // it will never be taken; the engine asks again if it still wants to know
		}
		wait = jitter(min(2*wait, d.u.cfg.Retry.Max))
		sleep(ctx, wait)
	}
}
