package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/risk"
)

func TestLifeOfACrashLoop(t *testing.T) {
	s := newShop(t)
	s.fail("cart", "CrashLoopBackOff", 0.9, 2)
	s.wait(5 * time.Minute)
	s.heal()
	s.wait(48 * time.Hour)
	s.want(
		"INC-1 opened: cart keeps crashing: deployment/cart: it shows CrashLoopBackOff.",
		"INC-1 changed: it is an Incident now: risk 0.90 for 30 s",
		"INC-1 changed: it is recovering: risk fell to 0.00 after 5 min",
		"INC-1 changed: it is resolved after 15 min",
	)
	i := s.record("INC-1")
	if i.Stage != StageResolved || i.Open() || i.Severity != SeverityCritical || i.PeakRisk != 0.9 || i.Title != "cart keeps crashing" {
		t.Errorf("after two days: %+v", i)
	}
	if got := i.ClosedAt.Sub(start); got != 25*time.Minute+20*time.Second {
		t.Errorf("closed after %v", got)
	}
	if got := s.k.Open(""); len(got) != 0 {
		t.Errorf("%d open", len(got))
	}
}

func TestWhatComesBackWithAnotherFaultIsBlamedOnThat(t *testing.T) {
	s := newShop(t)
	s.fail("cart", "Unavailable", 0.8, 2)
	s.wait(time.Minute)
	s.heal()
	s.wait(20 * time.Minute)
	if i := s.record("INC-1"); i.Stage != StageCleared {
		t.Fatalf("it is %s", i.Stage)
	}
	s.fail("cart", "ImagePullBackOff", 0.9, 2)
	s.wait(time.Minute)
	i := s.record("INC-1")
	if i.Cause.Kind != "ImagePullBackOff" || i.Cause.Onset.Before(i.OpenedAt.Add(20*time.Minute)) || i.Title != "cart cannot pull its image" {
		t.Errorf("%q is blamed on %s since %v", i.Title, i.Cause.Kind, i.Cause.Onset.Sub(start))
	}
}

// spoken is a Blamer that says what a test has it say.
type spoken struct{ risk.Verdict }

func (s *spoken) Blame(risk.Input, []entity.Ref) risk.Verdict { return s.Verdict }

func TestTheWakeOfAFaultDoesNotOverwriteItsCause(t *testing.T) {
	s := newShop(t)
	says := &spoken{risk.Verdict{Entity: ref("Deployment", "payments"), Kind: "error_rate", Confidence: risk.High, Why: "payments adds 2.55 failed requests a second of its own", Onset: start}}
	s.blamer = says
	s.fact(ref("Service", "payments"), "BudgetBurn", 0.9)
	s.wait(15 * time.Minute)
	says.Verdict = risk.Verdict{Entity: ref("Deployment", "payments"), Kind: "BudgetBurn", Confidence: risk.Low, Why: "budget burning 17×"}
	s.wait(time.Minute)
	if c := s.record("INC-1").Cause; c.Kind != "error_rate" || c.Confidence != risk.High || !strings.Contains(c.Summary, "adds 2.55 failed requests") {
		t.Errorf("the cause became %+v", c)
	}
}

func TestFaultsAndRecords(t *testing.T) {
	cases := []struct {
		name string
		run  func(*shop)
		want []string
	}{
		{"a Warning without a certain fact tells nobody", func(s *shop) {
			s.anomalies = []baseline.Anomaly{{Entity: ref("Service", "ads"), Metric: "avg_latency", Class: baseline.Latency, Value: 0.5, Mean: 0.2, Q: 0.4, Onset: s.now}}
			s.wait(time.Hour)
			s.heal()
			s.wait(time.Hour)
		}, []string{}},
		{"metrics alone are told when the machine says Incident", func(s *shop) {
			s.errors(ref("Service", "ads"), 0.31)
			s.wait(6 * time.Minute)
		}, []string{"INC-1 opened: ads is failing: service/ads: error rate 31 % (normal 0.2 %)."}},
		{"an alert that heals before it is an Incident is cleared", func(s *shop) {
			s.fail("cart", "ImagePullBackOff", 0.8, 1)
			s.wait(time.Minute)
			s.heal()
			s.wait(20 * time.Minute)
		}, []string{
			"INC-1 opened: cart cannot pull its image: deployment/cart: it shows ImagePullBackOff.",
			"INC-1 changed: it is recovering: risk fell to 0.00 after 60 s",
			"INC-1 changed: it cleared by itself after 6 min",
		}},
		{"two faults in unconnected parts are two records, also on one healthy node", func(s *shop) {
			s.fail("ads", "CrashLoopBackOff", 0.9, 2)
			s.fail("search", "OOMKilled", 0.95, 2)
			s.wait(10 * time.Second)
		}, []string{
			"INC-1 opened: ads keeps crashing: deployment/ads: it shows CrashLoopBackOff.",
			"INC-2 opened: search runs out of memory: deployment/search: it shows OOMKilled.",
		}},
		{"two callers of one healthy service stay apart", func(s *shop) {
			s.calls("ads", "cart")
			s.calls("search", "cart")
			s.fail("ads", "CrashLoopBackOff", 0.9, 2)
			s.fail("search", "OOMKilled", 0.95, 2)
			s.wait(10 * time.Second)
		}, []string{
			"INC-1 opened: ads keeps crashing: deployment/ads: it shows CrashLoopBackOff.",
			"INC-2 opened: search runs out of memory: deployment/search: it shows OOMKilled.",
		}},
		{"a node takes the workloads on it into its own record", func(s *shop) {
			s.fact(ref("Node", "worker-1"), "NotReady", 0.95)
			s.fact(ref("Deployment", "ads"), "Unavailable", 0.8)
			s.fact(ref("Deployment", "cart"), "Unavailable", 0.8)
			s.wait(10 * time.Second)
		}, []string{"INC-1 opened: node worker-1 is not ready: node/worker-1: it shows NotReady."}},
		{"a caller that fails minutes later joins, and the title says what users feel", func(s *shop) {
			s.fail("payments", "CrashLoopBackOff", 0.9, 2)
			s.wait(5 * time.Minute)
			s.errors(ref("Service", "checkout"), 0.12)
			s.wait(time.Minute)
		}, []string{
			"INC-1 opened: payments keeps crashing: deployment/payments: it shows CrashLoopBackOff.",
			"INC-1 changed: it is an Incident now: risk 0.90 for 30 s",
			"INC-1 changed: checkout joined: error rate 12 % (normal 0.2 %)",
		}},
		{"a caller that fails half an hour later joins as well", func(s *shop) {
			s.fail("payments", "CrashLoopBackOff", 0.9, 2)
			s.wait(30 * time.Minute)
			s.errors(ref("Service", "checkout"), 0.12)
			s.wait(time.Minute)
		}, []string{
			"INC-1 opened: payments keeps crashing: deployment/payments: it shows CrashLoopBackOff.",
			"INC-1 changed: it is an Incident now: risk 0.90 for 30 s",
			"INC-1 changed: checkout joined: error rate 12 % (normal 0.2 %)",
		}},
		{"a caller with a fault of its own half an hour later is another record", func(s *shop) {
			s.fail("payments", "CrashLoopBackOff", 0.9, 2)
			s.wait(30 * time.Minute)
			s.fail("checkout", "ImagePullBackOff", 0.8, 1)
			s.wait(10 * time.Second)
		}, []string{
			"INC-1 opened: payments keeps crashing: deployment/payments: it shows CrashLoopBackOff.",
			"INC-1 changed: it is an Incident now: risk 0.90 for 30 s",
			"INC-2 opened: checkout cannot pull its image: deployment/checkout: it shows ImagePullBackOff.",
		}},
		{"two records that turn out to be one are merged into the older", func(s *shop) {
			s.fail("payments", "CrashLoopBackOff", 0.9, 2)
			s.fail("cart", "CrashLoopBackOff", 0.9, 2)
			s.wait(time.Minute)
			s.errors(ref("Service", "checkout"), 0.5)
			s.wait(10 * time.Second)
		}, []string{
			"INC-1 opened: cart keeps crashing: deployment/cart: it shows CrashLoopBackOff.",
			"INC-2 opened: payments keeps crashing: deployment/payments: it shows CrashLoopBackOff.",
			"INC-1 changed: it is an Incident now: risk 0.90 for 30 s",
			"INC-2 changed: it is an Incident now: risk 0.90 for 30 s",
			"INC-2 merged: INC-2 is one with INC-1 (cart keeps crashing)",
			"INC-1 changed: INC-2 has the same cause and was taken in",
			"INC-1 changed: checkout joined: error rate 50 % (normal 0.2 %)",
		}},
		{"what comes back during recovery is the same record", func(s *shop) {
			s.fail("cart", "CrashLoopBackOff", 0.9, 2)
			s.wait(time.Minute)
			s.heal()
			s.wait(12 * time.Minute)
			s.fail("cart", "CrashLoopBackOff", 0.9, 2)
			s.wait(time.Minute)
		}, []string{
			"INC-1 opened: cart keeps crashing: deployment/cart: it shows CrashLoopBackOff.",
			"INC-1 changed: it is an Incident now: risk 0.90 for 30 s",
			"INC-1 changed: it is recovering: risk fell to 0.00 after 60 s",
			"INC-1 changed: it is resolved after 11 min",
			"INC-1 changed: it is back: risk 0.90",
			"INC-1 changed: it is an Incident now: risk 0.90 for 14 min",
		}},
		{"what comes back within the hour reopens the record, later it is a new one", func(s *shop) {
			for _, after := range []time.Duration{40 * time.Minute, 2 * time.Hour} {
				s.fail("cart", "CrashLoopBackOff", 0.9, 2)
				s.wait(10 * time.Second)
				s.heal()
				s.wait(after)
			}
			s.fail("cart", "CrashLoopBackOff", 0.9, 2)
			s.wait(10 * time.Second)
		}, []string{
			"INC-1 opened: cart keeps crashing: deployment/cart: it shows CrashLoopBackOff.",
			"INC-1 changed: it is recovering: risk fell to 0.00 after 10 s",
			"INC-1 changed: it cleared by itself after 5 min",
			"INC-1 changed: it is back: risk 0.90",
			"INC-1 changed: it is recovering: risk fell to 0.00 after 40 min",
			"INC-1 changed: it cleared by itself after 45 min",
			"INC-2 opened: cart keeps crashing: deployment/cart: it shows CrashLoopBackOff.",
		}},
		{"a certificate that expires stays out of an outage of the same ingress", func(s *shop) {
			s.fact(ref("Ingress", "web"), "CertificateExpiring", 0.6)
			s.wait(10 * time.Minute)
			s.fail("checkout", "CrashLoopBackOff", 0.9, 2)
			s.errors(ref("Ingress", "web"), 0.9)
			s.wait(10 * time.Second)
		}, []string{
			"INC-1 opened: web has a certificate that expires soon: it shows CertificateExpiring.",
			"INC-2 opened: web is failing: deployment/checkout: it shows CrashLoopBackOff.",
		}},
		{"a workload that is deleted is recovering, and closes after half an hour", func(s *shop) {
			s.fail("ads", "CrashLoopBackOff", 0.9, 2)
			s.wait(time.Minute)
			s.heal()
			s.c.Apply(s.now, &report.ReportRequest{Deletes: []*report.ResourceKey{{Kind: "Deployment", Namespace: "shop", Name: "ads"}, {Kind: "Pod", Namespace: "shop", Name: "ads-0"}, {Kind: "Pod", Namespace: "shop", Name: "ads-1"}}})
			s.wait(40 * time.Minute)
		}, []string{
			"INC-1 opened: ads keeps crashing: deployment/ads: it shows CrashLoopBackOff.",
			"INC-1 changed: it is an Incident now: risk 0.90 for 30 s",
			"INC-1 changed: it is recovering: risk fell to 0.00 after 60 s",
			"INC-1 changed: it is resolved after 31 min",
		}},
		{"a silent agent opens nothing, closes nothing and changes nothing", func(s *shop) {
			s.fail("cart", "ImagePullBackOff", 0.8, 1)
			s.wait(10 * time.Second)
			s.silent = true
			s.heal()
			s.fail("ads", "OOMKilled", 0.95, 1)
			s.wait(24 * time.Hour)
		}, []string{"INC-1 opened: cart cannot pull its image: deployment/cart: it shows ImagePullBackOff."}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			c.run(s)
			s.want(c.want...)
		})
	}
}

func TestStorms(t *testing.T) {
	t.Run("a hundred pods of one workload are one record", func(t *testing.T) {
		s := newShop(t)
		s.crowd("batch", 100)
		s.fail("batch", "CrashLoopBackOff", 0.9, 100)
		s.wait(5 * time.Minute)
		i := s.record("INC-1")
		if len(s.k.Open("")) != 1 || len(i.Entities) != 1 || len(i.Timeline) > 8 {
			t.Errorf("%d open, entities %v, %d timeline entries", len(s.k.Open("")), i.Entities, len(i.Timeline))
		}
	})
	t.Run("fifty crashing pods of five workloads are five", func(t *testing.T) {
		s := newShop(t)
		for n := range 5 {
			name := fmt.Sprintf("batch%d", n)
			s.crowd(name, 10)
			s.fail(name, "CrashLoopBackOff", 0.9, 10)
		}
		s.wait(5 * time.Minute)
		if got := len(s.k.Open("")); got != 5 {
			t.Errorf("%d records", got)
		}
	})
}

func TestARecordThatGrowsIsShownAnewButNotAtEachPod(t *testing.T) {
	s := newShop(t)
	s.crowd("batch", 40)
	s.fail("batch", "CrashLoopBackOff", 0.9, 1)
	for n := 1; n < 40; n++ { // two a tick
		s.fact(ref("Pod", fmt.Sprintf("batch-%d", n)), "CrashLoopBackOff", 0.9)
		if n%2 == 0 {
			s.wait(tick)
		}
	}
	s.wait(5 * time.Minute) // nothing more breaks
	var grown []time.Time
	for _, e := range s.store.Events() {
		if e.Type == event.IncidentChanged && e.Note == "" {
			grown = append(grown, e.At)
		}
	}
	if len(grown) < 3 || len(grown) > 8 {
		t.Errorf("the growth of three minutes was told %d times", len(grown))
	}
	for n := 1; n < len(grown); n++ {
		if gap := grown[n].Sub(grown[n-1]); gap < 30*time.Second {
			t.Errorf("it was told again after %s", gap)
		}
	}
}

// crowd adds a deployment of n pods without a service.
func (s *shop) crowd(name string, n int) {
	batch := &report.ReportRequest{Upserts: []*report.Resource{{Kind: "Deployment", Namespace: "shop", Name: name, Uid: "d-" + name, Detail: &report.Resource_Workload{Workload: &report.Workload{}}}}}
	for i := range n {
		batch.Upserts = append(batch.Upserts, &report.Resource{
			Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("%s-%d", name, i), Uid: fmt.Sprintf("p-%s-%d", name, i),
			Owners: []*report.Owner{{Kind: "Deployment", Name: name, Uid: "d-" + name, Controller: true}}, Detail: &report.Resource_Pod{Pod: &report.Pod{Node: "worker-1"}},
		})
	}
	s.c.Apply(s.now, batch)
}

func (s *shop) rollout(name, image string) {
	d := s.c.Get("Deployment", "shop", name)
	s.c.Apply(s.now, &report.ReportRequest{Upserts: []*report.Resource{{
		Kind: "Deployment", Namespace: "shop", Name: name, Uid: d.Uid,
		Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 2, Images: map[string]string{"app": image}, TemplateHash: image, Revision: "2", ConfigMaps: d.GetWorkload().ConfigMaps}},
	}}})
}

func TestWhatChangedIsASuspect(t *testing.T) {
	run := func(ignore bool) (*shop, *Incident) {
		s := newShop(t)
		s.k = New(Config{Store: s.store, IgnoreChanges: ignore})
		s.rollout("ads", "ads:v2") // elsewhere
		s.rollout("payments", "payments:v2")
		s.now = s.now.Add(3 * time.Minute)
		s.c.Apply(s.now, &report.ReportRequest{Upserts: []*report.Resource{{Kind: "ConfigMap", Namespace: "shop", Name: "payments-env", Uid: "c-payments", Detail: &report.Resource_Config{Config: &report.Config{Hash: "2"}}}}})
		s.now = s.now.Add(time.Minute)
		s.fail("payments", "CrashLoopBackOff", 0.9, 2)
		s.wait(10 * time.Second)
		s.now = s.now.Add(time.Minute)
		s.rollout("payments", "payments:v1") // the fix is no suspect
		s.wait(time.Minute)
		return s, s.record("INC-1")
	}
	_, i := run(false)
	var got []string
	for _, c := range i.Cause.Suspects {
		got = append(got, c.Entity.Short()+" "+c.String())
	}
	if diff := cmp.Diff([]string{"deployment/payments image payments:v1 → payments:v2 (revision 2)", "configmap/payments-env config"}, got); diff != "" {
		t.Errorf("suspects (-want +got):\n%s", diff)
	}
	if want := "deployment/payments: it shows CrashLoopBackOff; image v1 → v2 (revision 2), 4 min before"; i.Cause.Summary != want || i.Cause.Confidence != "high" {
		t.Errorf("summary %q, confidence %s", i.Cause.Summary, i.Cause.Confidence)
	}
	_, without := run(true)
	if len(without.Cause.Suspects) != 0 || without.Cause.Entity != i.Cause.Entity || without.Cause.Confidence != "medium" {
		t.Errorf("without changes: %+v", without.Cause)
	}
}

// TestRealBlame runs the real rules of risk on what the shop shows.
func TestRealBlame(t *testing.T) {
	cases := []struct {
		name  string
		run   func(*shop)
		cause entity.Ref
		title string
	}{
		{"a crash loop behind a failing caller", func(s *shop) {
			s.fail("payments", "CrashLoopBackOff", 0.9, 2)
			s.errors(ref("Service", "checkout"), 0.3)
			s.errors(ref("Ingress", "web"), 0.3)
		}, ref("Deployment", "payments"), "checkout is failing"},
		{"a node with what it carries", func(s *shop) {
			s.fact(ref("Node", "worker-1"), "NotReady", 0.95)
			for _, name := range services {
				s.fact(ref("Deployment", name), "Unavailable", 0.8)
			}
		}, ref("Node", "worker-1"), "node worker-1 is not ready"},
		{"an image that cannot be pulled", func(s *shop) { s.fail("cart", "ImagePullBackOff", 0.8, 1) }, ref("Deployment", "cart"), "cart cannot pull its image"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			s.blamer = risk.New(risk.Config{})
			c.run(s)
			s.wait(7 * time.Minute)
			if i := s.record("INC-1"); i.Cause.Entity != c.cause || i.Title != c.title {
				t.Errorf("%q because of %v: %s", i.Title, i.Cause.Entity, i.Cause.Summary)
			}
			if n := len(s.k.Open("")); n != 1 {
				t.Errorf("%d records: %v", n, s.story())
			}
		})
	}
}

// fixed blames what it is told to.
type fixed struct{ v risk.Verdict }

func (f *fixed) Blame(risk.Input, []entity.Ref) risk.Verdict { return f.v }

func TestRevision(t *testing.T) {
	s := newShop(t)
	b := &fixed{risk.Verdict{Entity: ref("Service", "checkout"), Kind: "error_rate", Confidence: "medium", Why: "a"}}
	s.blamer = b
	s.fail("checkout", "CrashLoopBackOff", 0.9, 1)
	s.fail("payments", "CrashLoopBackOff", 0.9, 1)
	s.wait(time.Minute)
	b.v = risk.Verdict{Entity: ref("Deployment", "payments"), Kind: "CrashLoopBackOff", Confidence: "medium", Why: "b"}
	s.wait(10 * time.Second)
	if got := s.record("INC-1").Cause.Entity; got != ref("Service", "checkout") {
		t.Errorf("revised at once to %v", got)
	}
	s.wait(time.Minute)
	if got := s.record("INC-1").Cause.Entity; got != ref("Deployment", "payments") {
		t.Errorf("not revised: %v", got)
	}
	s.wait(10 * time.Minute)
	b.v = risk.Verdict{Entity: ref("Deployment", "checkout"), Kind: "CrashLoopBackOff", Confidence: "high", Why: "c"}
	s.wait(10 * time.Minute)
	if got := s.record("INC-1").Cause.Entity; got != ref("Deployment", "payments") {
		t.Errorf("revised after ten minutes although the blamed entity still fails: %v", got)
	}
	s.facts = slices.DeleteFunc(s.facts, func(f detect.Fact) bool { return strings.HasPrefix(f.Entity.Name, "payments") })
	s.wait(time.Minute)
	if got := s.record("INC-1").Cause.Entity; got != ref("Deployment", "checkout") {
		t.Errorf("not revised although the blamed entity is healthy and another certain: %v", got)
	}
	n := 0
	for _, e := range s.record("INC-1").Timeline {
		if strings.HasPrefix(e.Text, "cause revised") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d revisions on the timeline", n)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	s := newShop(&testing.T{})
	for n := range 500 {
		s.crowd(fmt.Sprintf("w%d", n), 10)
	}
	for n := range 10 {
		s.fail(fmt.Sprintf("w%d", n), "CrashLoopBackOff", 0.9, 5)
	}
	s.wait(time.Minute)
	b.ResetTimer()
	for b.Loop() {
		s.wait(tick)
	}
}

func TestATitleDoesNotTurnWithWhatComesAndGoes(t *testing.T) {
	s := newShop(t)
	s.calls("ads", "checkout")
	title := func(want string) {
		t.Helper()
		s.wait(30 * time.Second)
		if i := s.record("INC-1"); i.Title != want {
			t.Errorf("after %v it is called %q, want %q", s.now.Sub(start), i.Title, want)
		}
	}
	s.fail("payments", "CrashLoopBackOff", 0.9, 2)
	title("payments keeps crashing")
	s.errors(ref("Service", "checkout"), 0.3)
	title("checkout is failing")
	s.anomalies = nil
	title("checkout is failing")
	s.errors(ref("Service", "checkout"), 0.3)
	s.errors(ref("Service", "ads"), 0.3)
	title("ads is failing")
	s.anomalies = s.anomalies[:1]
	title("ads is failing")
	s.anomalies = nil
	s.errors(ref("Ingress", "web"), 0.3) // the way in is no better name than the service behind it
	title("ads is failing")
	s.heal()
	s.wait(20 * time.Minute)
	s.fail("payments", "CrashLoopBackOff", 0.9, 2) // it is back, and nobody feels it
	s.wait(time.Minute)
	title("payments keeps crashing")
}
