package uplink_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/concentrator"
	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/uplink"
	"github.com/bukahou/atlhyper/agent/uplink/enginefake"
)

const token = "cluster-token-7f3a"

// cluster is a State that a test changes.
type cluster struct {
	mu      sync.Mutex
	objects map[kube.Key]*report.Resource
	settled chan struct{}
	link    *uplink.Uplink
}

func newCluster(n int) *cluster {
	c := &cluster{objects: map[kube.Key]*report.Resource{}, settled: make(chan struct{})}
	close(c.settled)
	for i := range n {
		c.put(fmt.Sprint("pod-", i), "v0")
	}
	return c
}

func podKey(name string) kube.Key { return kube.Key{Kind: "Pod", Namespace: "shop", Name: name} }

func (c *cluster) put(name, version string) {
	k := podKey(name)
	c.mu.Lock()
	c.objects[k] = &report.Resource{Kind: k.Kind, Namespace: k.Namespace, Name: name, ResourceVersion: version}
	c.mu.Unlock()
	if c.link != nil {
		c.link.Changed(k)
	}
}

func (c *cluster) remove(name string) {
	c.mu.Lock()
	delete(c.objects, podKey(name))
	c.mu.Unlock()
	c.link.Changed(podKey(name))
}

func (c *cluster) Resource(k kube.Key) *report.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[k]
}

func (c *cluster) Snapshot() []*report.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*report.Resource
	for _, r := range c.objects {
		out = append(out, r)
	}
	return out
}

func (c *cluster) Kinds() []*report.KindStatus {
	return []*report.KindStatus{{Kind: "Pod", State: report.KindStatus_STATE_SYNCED}}
}

func (c *cluster) Settled() <-chan struct{} { return c.settled }

// same says whether the engine has what the cluster has.
func (c *cluster) same(got map[kube.Key]*report.Resource) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(got) != len(c.objects) {
		return false
	}
	for k, r := range c.objects {
		if !proto.Equal(r, got[k]) {
			return false
		}
	}
	return true
}

// runner answers as its fields say.
type runner struct {
	query   func(context.Context, *report.Query) *report.Outcome
	command func(context.Context, *report.Command) *report.Outcome
}

func (r runner) Query(ctx context.Context, q *report.Query) *report.Outcome { return r.query(ctx, q) }

func (r runner) Command(ctx context.Context, c *report.Command) *report.Outcome {
	return r.command(ctx, c)
}

func start(t testing.TB, e *enginefake.Engine, c *cluster, edit ...func(*uplink.Config)) (u *uplink.Uplink, stop func()) {
	t.Helper()
	cfg := uplink.Config{
		Cluster: "prod-eu", Token: token, EngineURL: e.URL(), State: c, Runner: runner{}, Gather: time.Millisecond, StopGrace: 500 * time.Millisecond,
		Retry: uplink.Retry{Min: 2 * time.Millisecond, Max: 20 * time.Millisecond, Refused: 10 * time.Millisecond},
	}
	for _, f := range edit {
		f(&cfg)
	}
	u, err := uplink.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.link = u
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return u, stop
}

func TestALinkThatWasDownBringsOnlyTheNewest(t *testing.T) {
	e := enginefake.New(t, token)
	c := newCluster(3)
	u, _ := start(t, e, c)
	e.WaitFor(t, "first state", c.same)
	e.Cut()
	for i := range 100 {
		c.put("pod-0", fmt.Sprint("v", i+1))
	}
	c.remove("pod-1")
	before := len(e.Batches())
	e.Mend()
	e.WaitFor(t, "state after the cut", c.same)
	for _, b := range e.Batches()[before:] {
		if b.GetResyncBegin() {
			t.Error("a session that still lived was resynced")
		}
		if len(b.GetUpserts()) > 1 {
			t.Errorf("100 changes of one object travelled as %d", len(b.GetUpserts()))
		}
	}
	// The engine may have applied the batch before its answer is here.
	for deadline := time.Now().Add(10 * time.Second); !u.Stats().Connected; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after the cut: %+v", u.Stats())
		}
	}
	if s := u.Stats(); s.LastError != "" {
		t.Errorf("after the cut: %+v", s)
	}
}

func TestABatchWhoseAnswerWasLostIsAppliedOnce(t *testing.T) {
	e := enginefake.New(t, token)
	c := newCluster(1)
	u, _ := start(t, e, c)
	e.WaitSynced(t, 1)
	e.LoseAnswers(3)
	u.Frame(&report.TelemetryFrame{Time: timestamppb.New(time.Unix(7, 0))})
	c.put("pod-0", "v1")
	e.WaitFor(t, "new state", c.same)
	e.WaitFrames(t, 1)
	c.put("pod-0", "v2")
	e.WaitFor(t, "newer state", c.same)
	if n := len(e.Frames()); n != 1 {
		t.Errorf("one frame was applied %d times", n)
	}
	for i, b := range e.Batches() {
		if b.GetSequence() != uint64(i+1) {
			t.Fatalf("batch %d has the number %d", i, b.GetSequence())
		}
	}
}

func TestAnEngineThatForgotGetsEverythingAgain(t *testing.T) {
	e := enginefake.New(t, token)
	c := newCluster(5)
	start(t, e, c)
	e.WaitSynced(t, 1)
	e.Forget()
	c.put("pod-9", "v1")
	e.WaitSynced(t, 2)
	e.WaitFor(t, "everything", c.same)
}

func TestALargeResyncIsSplit(t *testing.T) {
	e := enginefake.New(t, token)
	c := newCluster(1234)
	start(t, e, c)
	e.WaitSynced(t, 1)
	e.WaitFor(t, "everything", c.same)
	var carried []int
	for _, b := range e.Batches() {
		if n := len(b.GetUpserts()); n > 0 {
			carried = append(carried, n)
		}
	}
	if len(carried) != 3 || carried[0] != 500 || carried[2] != 234 {
		t.Errorf("1234 objects travelled as %v", carried)
	}
	e2 := enginefake.New(t, token)
	start(t, e2, newCluster(100), func(c *uplink.Config) { c.MaxBatchBytes = 300 })
	e2.WaitSynced(t, 1)
	for _, b := range e2.Batches() {
		if size := proto.Size(b); size > 600 {
			t.Errorf("a batch has %d bytes", size)
		}
	}
}

func TestNothingIsReportedBeforeItIsComplete(t *testing.T) {
	e := enginefake.New(t, token)
	c := newCluster(1)
	c.settled = make(chan struct{})
	u, _ := start(t, e, c)
	e.WaitKind(t, "Pod", report.KindStatus_STATE_SYNCED)
	c.put("pod-1", "v1")
	time.Sleep(20 * time.Millisecond)
	if len(e.State()) != 0 {
		t.Error("half a cluster was reported")
	}
	select {
	case <-u.Synced():
		t.Error("synced with nothing")
	default:
	}
	close(c.settled)
	e.WaitFor(t, "everything", c.same)
	<-u.Synced()
}

func TestAQuietClusterIsHeardEachHeartbeat(t *testing.T) {
	e := enginefake.New(t, token)
	e.SetHeartbeat(40 * time.Millisecond)
	start(t, e, newCluster(1))
	e.WaitSynced(t, 1)
	before := len(e.Batches())
	time.Sleep(400 * time.Millisecond)
	beats := e.Batches()[before:]
	if len(beats) < 5 {
		t.Errorf("%d heartbeats in ten times their interval", len(beats))
	}
	for _, b := range beats {
		if len(b.GetUpserts())+len(b.GetKinds())+len(b.GetFrames()) > 0 {
			t.Errorf("a heartbeat carried %v", b)
		}
	}
}

func TestTheSpoolDropsItsOldestFramesAndNothingElse(t *testing.T) {
	e := enginefake.New(t, token)
	c := newCluster(1)
	u, _ := start(t, e, c, func(c *uplink.Config) { c.SpoolFrames = 5 })
	e.WaitSynced(t, 1)
	e.Cut()
	for i := range 20 {
		u.Frame(&report.TelemetryFrame{Time: timestamppb.New(time.Unix(int64(i), 0))})
	}
	c.put("pod-0", "v1")
	e.Mend()
	e.WaitFor(t, "new state", c.same)
	e.WaitFrames(t, 5)
	got := e.Frames()
	last := got[len(got)-1].GetTime().AsTime().Unix()
	for i := 1; i < len(got); i++ {
		if !got[i].GetTime().AsTime().After(got[i-1].GetTime().AsTime()) {
			t.Error("frames came out of order")
		}
	}
	// One frame may have been under way when the link was cut.
	if len(got) > 6 || last != 19 || u.Stats().DroppedFrames < 14 {
		t.Errorf("%d frames, last %d, %d dropped", len(got), last, u.Stats().DroppedFrames)
	}
}

func TestAWrongTokenIsToldWithItsRemedyAndKeptAt(t *testing.T) {
	e := enginefake.New(t, "another")
	var mu sync.Mutex
	var logs bytes.Buffer
	u, _ := start(t, e, newCluster(1), func(c *uplink.Config) {
		c.Logger = slog.New(slog.NewTextHandler(locked{&mu, &logs}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	for u.Stats().LastError == "" {
		time.Sleep(time.Millisecond)
	}
	if s := u.Stats(); s.Connected || !strings.Contains(s.LastError, "atlhyper cluster rotate prod-eu") {
		t.Errorf("got %+v", s)
	}
	e.SetToken(token)
	e.WaitSynced(t, 1)
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(logs.String(), token) {
		t.Errorf("the token was logged:\n%s", logs.String())
	}
}

type locked struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func TestQueriesRunTogetherUpToALimit(t *testing.T) {
	e := enginefake.New(t, token)
	var running, most atomic.Int32
	release := make(chan struct{})
	start(t, e, newCluster(1), func(c *uplink.Config) {
		c.Queries = 3
		c.Runner = runner{query: func(context.Context, *report.Query) *report.Outcome {
			n := running.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-release
			running.Add(-1)
			return &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED}
		}}
	})
	for i := range 10 {
		e.Ask(t, &report.Query{Id: fmt.Sprint("q-", i)})
	}
	for running.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	for i := range 10 {
		e.Outcome(t, fmt.Sprint("q-", i))
	}
	if most.Load() != 3 {
		t.Errorf("%d queries ran at once, want 3", most.Load())
	}
}

func TestCommandsOfOneTargetQueueAndARedeliveryIsIgnored(t *testing.T) {
	e := enginefake.New(t, token)
	var mu sync.Mutex
	var order []string
	release := make(chan struct{})
	start(t, e, newCluster(1), func(c *uplink.Config) {
		c.Runner = runner{command: func(_ context.Context, c *report.Command) *report.Outcome {
			mu.Lock()
			order = append(order, c.GetId())
			mu.Unlock()
			if c.GetId() == "a-1" {
				<-release
			}
			return &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED}
		}}
	})
	a, b := &report.ResourceKey{Kind: "Deployment", Name: "a"}, &report.ResourceKey{Kind: "Deployment", Name: "b"}
	for _, c := range []*report.Command{{Id: "a-1", Target: a}, {Id: "a-2", Target: a}, {Id: "a-1", Target: a}, {Id: "b-1", Target: b}} {
		e.Order(t, c)
	}
	e.Outcome(t, "b-1")
	mu.Lock()
	if strings.Join(order, " ") != "a-1 b-1" && strings.Join(order, " ") != "b-1 a-1" {
		t.Errorf("while a-1 runs: %v", order)
	}
	mu.Unlock()
	close(release)
	e.Outcome(t, "a-2")
	mu.Lock()
	defer mu.Unlock()
	if len(order) != 3 || order[2] != "a-2" {
		t.Errorf("got %v, want a-1 and b-1, then a-2, each once", order)
	}
}

func TestAnOutcomeIsDeliveredAfterTheLinkWasLost(t *testing.T) {
	e := enginefake.New(t, token)
	begun, release := make(chan struct{}), make(chan struct{})
	start(t, e, newCluster(1), func(c *uplink.Config) {
		c.Runner = runner{command: func(context.Context, *report.Command) *report.Outcome {
			close(begun)
			<-release
			return &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED}
		}}
	})
	e.Order(t, &report.Command{Id: "c-1"})
	<-begun
	e.Cut()
	close(release)
	time.Sleep(30 * time.Millisecond)
	if e.Outcomes("c-1") != 0 {
		t.Fatal("delivered over a link that is cut")
	}
	e.Mend()
	e.Forget() // a restarted engine still wants to know
	e.Outcome(t, "c-1")
}

func TestADeadlineIsMovedIntoTheAgentsClock(t *testing.T) {
	e := enginefake.New(t, token)
	e.SetSkew(5 * time.Minute)
	got := make(chan time.Time, 1)
	start(t, e, newCluster(1), func(c *uplink.Config) {
		c.Runner = runner{command: func(_ context.Context, c *report.Command) *report.Outcome {
			got <- c.GetNotAfter().AsTime()
			return &report.Outcome{}
		}}
	})
	engine := time.Date(2026, 5, 4, 12, 5, 0, 0, time.UTC)
	e.Order(t, &report.Command{Id: "c-1", NotAfter: timestamppb.New(engine)})
	if at := <-got; !at.Equal(engine.Add(-5 * time.Minute)) {
		t.Errorf("12:05 of an engine 5 min ahead became %v", at)
	}
}

func TestStoppingLetsACommandFinishAndReport(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	e := enginefake.New(t, token)
	begun := make(chan struct{})
	_, stop := start(t, e, newCluster(1), func(c *uplink.Config) {
		c.Runner = runner{
			command: func(ctx context.Context, _ *report.Command) *report.Outcome {
				close(begun)
				select {
				case <-time.After(100 * time.Millisecond):
					return &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED}
				case <-ctx.Done():
					return &report.Outcome{Status: report.Outcome_STATUS_FAILED}
				}
			},
			query: func(ctx context.Context, _ *report.Query) *report.Outcome {
				<-ctx.Done()
				return &report.Outcome{Status: report.Outcome_STATUS_FAILED}
			},
		}
	})
	e.Ask(t, &report.Query{Id: "q-1"})
	e.Order(t, &report.Command{Id: "c-1"})
	<-begun
	stop()
	if o := e.Outcome(t, "c-1"); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
		t.Errorf("got %v", o)
	}
	goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction("net/http/httptest.(*Server).goServe.func1"), goleak.IgnoreAnyFunction("net/http.(*conn).serve"))
}

// TestTheEngineEndsUpWithTheClustersState changes a cluster at random while links break, answers get lost and the
// engine forgets: once all is quiet, both have the same.
func TestTheEngineEndsUpWithTheClustersState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// One engine and agent a case; t is for helpers that wait.
		e := enginefake.New(t, token)
		c := newCluster(3)
		_, stop := start(t, e, c, func(c *uplink.Config) { c.MaxBatchResources = 2 })
		defer stop()
		name := rapid.SampledFrom([]string{"pod-0", "pod-1", "pod-2", "pod-3", "pod-4", "pod-5"})
		version := 0
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"put", "put", "put", "remove", "cut", "mend", "lose", "forget", "wait"}).Draw(rt, "step") {
			case "put":
				version++
				c.put(name.Draw(rt, "name"), fmt.Sprint("v", version))
			case "remove":
				c.remove(name.Draw(rt, "name"))
			case "cut":
				e.Cut()
			case "mend":
				e.Mend()
			case "lose":
				e.LoseAnswers(rapid.IntRange(1, 3).Draw(rt, "answers"))
			case "forget":
				e.Forget()
			case "wait":
				time.Sleep(3 * time.Millisecond)
			}
		}
		e.Mend()
		c.put("last", "v")
		e.WaitFor(t, "the cluster's state", c.same)
	})
}

func TestEveryMinuteArrivesOnceAndInOrderWhateverTheLinkDoes(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		e := enginefake.New(t, token)
		minutes := concentrator.New(concentrator.Config{})
		u, stop := start(t, e, newCluster(1), func(c *uplink.Config) {
			c.Minutes = minutes
			c.MaxBatchBytes = rapid.SampledFrom([]int{200, 2 << 20}).Draw(rt, "batch") // one minute a batch, or all
		})
		defer stop()
		now := noon
		tick := func() { // no more than are kept: the link may be down all the time
			if now.Sub(noon) > (concentrator.Kept-5)*time.Minute {
				return
			}
			minutes.Add(&report.TelemetryFrame{Samples: []*report.Sample{{Entity: &report.EntityRef{Kind: "Node", Name: "worker-1"}, Metric: "cpu_usage", Value: 0.5}}}, now)
			if _, to, ok := minutes.Due(now); ok {
				minutes.Close(to, nil)
				u.MinuteOver()
			}
			now = now.Add(time.Minute)
		}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"tick", "tick", "tick", "cut", "mend", "lose", "forget", "rejoin", "wait"}).Draw(rt, "step") {
			case "tick":
				tick()
			case "cut":
				e.Cut()
				for range rapid.IntRange(0, 50).Draw(rt, "minutes down") {
					tick()
				}
			case "mend":
				e.Mend()
			case "lose":
				e.LoseAnswers(rapid.IntRange(1, 3).Draw(rt, "answers"))
			case "forget":
				e.Forget()
			case "rejoin":
				u.Rejoin()
			case "wait":
				time.Sleep(3 * time.Millisecond)
			}
		}
		e.Mend()
		tick()
		_, to, _ := minutes.Due(now.Add(time.Minute))
		minutes.Close(to, nil)
		u.MinuteOver()
		e.WaitMinute(t, now.Add(-time.Minute))
		got, _ := e.Minutes()
		for i, m := range got {
			if want := noon.Add(time.Duration(i) * time.Minute); !m.GetStart().AsTime().Equal(want) {
				rt.Fatalf("minute %d is that of %v, want %v", i, m.GetStart().AsTime(), want)
			}
		}
	})
}
