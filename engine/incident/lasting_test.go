package incident

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
)

func TestRestartContinuesTheSameIncident(t *testing.T) {
	tell := func(restart bool) []string {
		s := newShop(t)
		again := func() {
			if !restart {
				return
			}
			s.k = New(Config{Store: s.store})
			if err := s.k.Load(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		s.fail("cart", "ImagePullBackOff", 0.8, 2)
		s.wait(3 * time.Minute)
		again()
		s.wait(4 * time.Minute)
		s.heal()
		s.wait(6 * time.Minute)
		again()
		s.wait(40 * time.Minute)
		again()
		s.fail("cart", "ImagePullBackOff", 0.8, 2)
		s.wait(time.Minute)
		return s.story()
	}
	plain, restarted := tell(false), tell(true)
	if len(plain) != 6 {
		t.Errorf("story: %v", plain)
	}
	// A restart may cost the time since the last save, never an event.
	cut := func(s []string) []string {
		out := slices.Clone(s)
		for n := range out {
			out[n], _, _ = strings.Cut(out[n], " after ")
			out[n], _, _ = strings.Cut(out[n], " for ")
		}
		return out
	}
	if diff := cmp.Diff(cut(plain), cut(restarted)); diff != "" {
		t.Errorf("a restart changed the story (-without +with):\n%s", diff)
	}
}

func TestShuffledInputGivesTheSameRecords(t *testing.T) {
	var first []string
	for seed := range uint64(20) {
		s := newShop(t)
		s.shuffle = rand.New(rand.NewPCG(seed, 1))
		s.fail("payments", "CrashLoopBackOff", 0.9, 2)
		s.fail("cart", "OOMKilled", 0.95, 2)
		s.fail("ads", "CrashLoopBackOff", 0.9, 2)
		s.errors(ref("Service", "checkout"), 0.4)
		s.errors(ref("Ingress", "web"), 0.4)
		s.wait(6 * time.Minute)
		s.heal()
		s.wait(time.Hour)
		got := s.story()
		for _, id := range []string{"INC-1", "INC-2"} {
			got = append(got, fmt.Sprintf("%+v", s.record(id)))
		}
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Fatalf("seed %d (-first +now):\n%s", seed, diff)
		}
	}
}

func TestNothingIsLostWhenTheStoreFails(t *testing.T) {
	s := newShop(t)
	fail := func(err error) {
		s.store.Fail(err)
		s.broken = err != nil
	}
	fail(errors.New("disk full"))
	s.fail("cart", "CrashLoopBackOff", 0.9, 2)
	s.wait(time.Minute)
	s.want()
	fail(nil)
	s.wait(10 * time.Second)
	fail(errors.New("disk full"))
	s.heal()
	s.wait(15 * time.Minute)
	if err := s.k.Acknowledge(context.Background(), "INC-1", "Mia", s.now); err == nil {
		t.Error("acknowledged on a full disk")
	}
	fail(nil)
	s.wait(10 * time.Second)
	s.want(
		"INC-1 opened: cart keeps crashing: deployment/cart: it shows CrashLoopBackOff.",
		"INC-1 changed: it is recovering: risk fell to 0.00 after 10 s",
		"INC-1 changed: it is resolved after 10 min",
	)
	if i := s.record("INC-1"); i.Acknowledged != "" || i.Stage != StageResolved {
		t.Errorf("record: %s, acknowledged by %q", i.Stage, i.Acknowledged)
	}
}

func TestPeopleAct(t *testing.T) {
	ctx := context.Background()
	s := newShop(t)
	s.fail("cart", "CrashLoopBackOff", 0.9, 2)
	s.wait(time.Minute)
	for _, err := range []error{
		s.k.Acknowledge(ctx, "INC-1", "Mia", s.now),
		s.k.Silence(ctx, "INC-1", s.now.Add(time.Hour), "Mia", "deploying a fix", s.now),
		s.k.Note(ctx, "INC-1", Entry{At: s.now, By: "Ken", Text: "looking at the logs"}),
		s.k.FixStarted(ctx, "INC-1", "P1", "roll back cart", s.now),
		s.k.FixVerified(ctx, "INC-1", "P1", "2/2 ready", true, s.now),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.k.Acknowledge(ctx, "INC-9", "Mia", s.now); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown incident: %v", err)
	}
	i := s.record("INC-1")
	if i.Acknowledged != "Mia" || i.Stage != StageRecovering || i.Fix != "P1" || !i.SilencedTill.Equal(s.now.Add(time.Hour)) {
		t.Errorf("record: %+v", i)
	}
	// The fault goes on: its evidence is newer than the fix.
	s.wait(2 * time.Minute)
	if i := s.record("INC-1"); i.Stage != StageIncident {
		t.Errorf("stage %s although the fix did not hold", i.Stage)
	}
	s.want(
		"INC-1 opened: cart keeps crashing: deployment/cart: it shows CrashLoopBackOff.",
		"INC-1 changed: it is an Incident now: risk 0.90 for 30 s",
		"INC-1 changed: acknowledged by Mia",
		"INC-1 changed: silenced by Mia until 04:01 UTC: deploying a fix",
		"INC-1 changed: looking at the logs",
		"INC-1 changed: fix started: roll back cart",
		"INC-1 changed: fix verified: 2/2 ready",
		"INC-1 changed: it is an Incident now: risk 0.90 for 90 s; the fix does not hold: deployment/cart: it shows CrashLoopBackOff",
	)
}

func TestLostSamplesAreNoRecovery(t *testing.T) {
	s := newShop(t)
	sample := func() {
		s.c.Apply(s.now, &report.ReportRequest{Frames: []*report.TelemetryFrame{{Samples: []*report.Sample{{Entity: &report.EntityRef{Kind: "Service", Namespace: "shop", Name: "ads"}, Metric: "error_rate", Value: 0.3}}}}})
	}
	s.errors(ref("Service", "ads"), 0.3)
	for range 40 {
		sample()
		s.wait(tick)
	}
	s.heal() // the collector died: no anomaly, because no samples
	s.wait(25 * time.Minute)
	if i := s.record("INC-1"); i.Stage == StageResolved || i.State != Critical {
		t.Errorf("%s without a single sample", i.State)
	}
	for range 120 { // it is back, and all is well
		sample()
		s.wait(tick)
	}
	if i := s.record("INC-1"); i.Stage != StageResolved {
		t.Errorf("%s twenty minutes after the samples came back healthy", i.Stage)
	}
}

func TestStatistics(t *testing.T) {
	s := newShop(t)
	s.fail("cart", "CrashLoopBackOff", 0.9, 2)
	s.fail("ads", "ImagePullBackOff", 0.8, 1)
	s.wait(time.Minute)
	s.heal()
	s.wait(3 * time.Hour)
	s.fail("cart", "CrashLoopBackOff", 0.9, 2)
	s.wait(time.Minute)
	got, err := s.k.Stats(context.Background(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	want := Statistics{
		Total: 3, Open: 1, Resolved: 1, MTTR: 11 * time.Minute,
		Stages:     map[Stage]int{StageResolved: 1, StageCleared: 1, StageIncident: 1},
		Severities: map[Severity]int{SeverityCritical: 3},
		Causes:     []CauseCount{{ref("Deployment", "cart"), "CrashLoopBackOff", 2}, {ref("Deployment", "ads"), "ImagePullBackOff", 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statistics (-want +got):\n%s", diff)
	}
}

func TestForgottenClusterClosesItsRecords(t *testing.T) {
	s := newShop(t)
	s.fail("cart", "CrashLoopBackOff", 0.9, 2)
	s.wait(time.Minute)
	if err := s.k.Forget(context.Background(), "prod", s.now); err != nil {
		t.Fatal(err)
	}
	if i := s.record("INC-1"); i.Open() || i.Stage != StageResolved || len(s.k.Open("")) != 0 {
		t.Errorf("record: %s, open %v", i.Stage, i.Open())
	}
	n, err := s.store.PruneIncidents(context.Background(), s.now.Add(time.Second))
	if left, _ := s.store.Incidents(context.Background(), Filter{}); n != 1 || err != nil || len(left) != 0 {
		t.Errorf("pruned %d, left %d, %v", n, len(left), err)
	}
}

func TestTimelineStaysBounded(t *testing.T) {
	i := &Incident{}
	i.note(start, Entry{Kind: "opened", Text: "first"})
	for n := range 3 * timelineLimit {
		i.note(start.Add(time.Duration(n)), Entry{Kind: "fact", Text: fmt.Sprint(n)})
	}
	if len(i.Timeline) != timelineLimit || i.Timeline[0].Kind != "opened" {
		t.Errorf("%d entries, first %q", len(i.Timeline), i.Timeline[0].Kind)
	}
}

func TestScaledTimingTellsTheSameStory(t *testing.T) {
	s := newShop(t)
	s.k = New(Config{Store: s.store, Timing: Timing{}.Scaled(1.0 / 20)})
	s.fail("cart", "ImagePullBackOff", 0.8, 2)
	for range 20 { // a second of the test is twenty
		s.now = s.now.Add(time.Second)
		s.look()
	}
	s.heal()
	for range 70 {
		s.now = s.now.Add(time.Second)
		s.look()
	}
	s.want(
		"INC-1 opened: cart cannot pull its image: deployment/cart: it shows ImagePullBackOff.",
		"INC-1 changed: it is a Warning now: risk 0.80 for 6 s",
		"INC-1 changed: it is an Incident now: risk 0.80 for 15 s",
		"INC-1 changed: it is recovering: risk fell to 0.00 after 20 s",
		"INC-1 changed: it is resolved after 50 s",
	)
}
