package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

var opening = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, seed uint64) *Shop {
	t.Helper()
	s, err := New(Config{Seed: seed, Start: opening})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sample(t testing.TB, s *Shop, at time.Time) *report.TelemetryFrame {
	t.Helper()
	f, err := s.Sample(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// everything dumps all objects, as text.
func everything(t testing.TB, s *Shop) string {
	t.Helper()
	var b strings.Builder
	s.server.Do(time.Time{}, func(tx *apiserver.Tx) {
		for _, gvr := range []schema.GroupVersionResource{
			apiserver.Pods, apiserver.Nodes, apiserver.Namespaces, apiserver.Services, apiserver.ConfigMaps, apiserver.Secrets,
			apiserver.Events, apiserver.PersistentVolumes, apiserver.PersistentVolumeClaims, apiserver.Deployments,
			apiserver.ReplicaSets, apiserver.StatefulSets, apiserver.DaemonSets, apiserver.ControllerRevisions,
			apiserver.EndpointSlices, apiserver.Ingresses, apiserver.PodDisruptionBudgets, apiserver.Leases,
		} {
			for o := range apiserver.All[apiserver.Object](tx, gvr) {
				text, err := json.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				b.Write(text)
				b.WriteByte('\n')
			}
		}
	})
	return b.String()
}

func logsOf(t testing.TB, s *Shop, pod *corev1.Pod, o *corev1.PodLogOptions) string {
	t.Helper()
	in, err := s.ReadLog(t.Context(), pod.Namespace, pod.Name, o)
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheSameSeedGivesTheSameBits(t *testing.T) {
	for _, scenario := range []string{crashloop, nodeNotReady} {
		run := func(steps time.Duration) (string, []byte) {
			s := open(t, 7)
			if err := s.Inject(scenario, opening.Add(5*time.Minute)); err != nil {
				t.Fatal(err)
			}
			var frames []byte
			for at := opening; at.Before(opening.Add(12 * time.Minute)); at = at.Add(steps) {
				s.Step(at)
				if at.Unix()%30 != 0 {
					continue
				}
				b, err := proto.MarshalOptions{Deterministic: true}.Marshal(sample(t, s, at))
				if err != nil {
					t.Fatal(err)
				}
				frames = append(frames, b...)
			}
			s.Step(opening.Add(12 * time.Minute))
			return everything(t, s), frames
		}
		objects, frames := run(time.Second)
		objects2, frames2 := run(10 * time.Second)
		if objects != objects2 {
			t.Errorf("%s: the objects differ", scenario)
		}
		if string(frames) != string(frames2) {
			t.Errorf("%s: the frames differ", scenario)
		}
	}
}

func TestShopsOfDifferentSeedsDifferAndAllComeUp(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(6) {
		s := open(t, seed)
		pods, err := s.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(pods.Items); n < 52 || n > 70 {
			t.Errorf("seed %d: %d pods, want about 60", seed, n)
		}
		for i := range pods.Items {
			if p := &pods.Items[i]; opening.Sub(p.CreationTimestamp.Time) < 24*time.Hour {
				t.Errorf("seed %d: pod %s is only %s old at the start", seed, p.Name, opening.Sub(p.CreationTimestamp.Time))
			}
		}
		events, err := s.Client().CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(events.Items) != 0 {
			t.Errorf("seed %d: %d events at the start, want none: the shop is at rest", seed, len(events.Items))
		}
		var names []string
		for _, sv := range s.plan.services {
			names = append(names, sv.name)
		}
		seen[fmt.Sprint(s.plan.namespace, names)] = true
	}
	if len(seen) < 6 {
		t.Errorf("only %d different shops of 6 seeds", len(seen))
	}
}

func TestNothingThatCanBeReadNamesTheScenario(t *testing.T) {
	for _, sc := range Scenarios() {
		s := open(t, 3)
		if err := s.Inject(sc.Name, opening.Add(4*time.Minute)); err != nil {
			t.Fatal(err)
		}
		end := opening.Add(10 * time.Minute)
		s.Step(end)
		b, err := json.Marshal(sample(t, s, end))
		if err != nil {
			t.Fatal(err)
		}
		text := everything(t, s) + string(b)
		logs := ""
		pods, err := s.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range pods.Items {
			n := int64(200)
			logs += logsOf(t, s, &pods.Items[i], &corev1.PodLogOptions{TailLines: &n})
			logs += logsOf(t, s, &pods.Items[i], &corev1.PodLogOptions{TailLines: &n, Previous: true})
		}
		for _, word := range Scenarios() {
			if strings.Contains(text+logs, word.Name) || strings.Contains(text+logs, word.Title) {
				t.Errorf("%s: %q can be read in the cluster", sc.Name, word.Name)
			}
		}
		for _, word := range []string{"scenario", "simulat", "injected", "fault"} {
			if found := strings.Index(strings.ReplaceAll(strings.ToLower(text+logs), "default", ""), word); found >= 0 {
				t.Errorf("%s: %q can be read in the cluster", sc.Name, word)
			}
		}
		if strings.Contains(logs+string(b), s.Canary()) {
			t.Errorf("%s: a secret value stands in logs or telemetry", sc.Name)
		}
	}
}

func TestInjectRefusesAnUnknownScenarioAndNamesTheKnown(t *testing.T) {
	err := open(t, 1).Inject("meteor", opening)
	if err == nil || !strings.Contains(err.Error(), crashloop) || !strings.Contains(err.Error(), configError) {
		t.Errorf("got %v", err)
	}
}

func TestLogsFollowThePodsLives(t *testing.T) {
	s := open(t, 5)
	if err := s.Inject(crashloop, opening.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.Step(opening.Add(3 * time.Minute))
	root := s.Truth().Roots[0]
	pods, err := s.Client().CoreV1().Pods(root.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + root.Name})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods.Items {
		previous := logsOf(t, s, &pods.Items[i], &corev1.PodLogOptions{Previous: true})
		if !strings.Contains(previous, "cannot decode local cache") {
			t.Errorf("the log of %s's previous process does not say why it died:\n%.600s", pods.Items[i].Name, previous)
		}
	}
	front := s.plan.services[frontend]
	pods, err = s.Client().CoreV1().Pods(s.Namespace()).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + front.name})
	if err != nil {
		t.Fatal(err)
	}
	n, since := int64(20), int64(60)
	if got := strings.Count(logsOf(t, s, &pods.Items[0], &corev1.PodLogOptions{TailLines: &n}), "\n"); got != 20 {
		t.Errorf("a tail of 20 gave %d lines", got)
	}
	a := logsOf(t, s, &pods.Items[0], &corev1.PodLogOptions{SinceSeconds: &since})
	if b := logsOf(t, s, &pods.Items[0], &corev1.PodLogOptions{SinceSeconds: &since}); a != b {
		t.Error("the same log read twice differs")
	}
	_, err = s.ReadLog(t.Context(), s.Namespace(), pods.Items[0].Name, &corev1.PodLogOptions{Previous: true})
	if err == nil || !strings.Contains(err.Error(), "previous terminated container") {
		t.Errorf("a pod that never restarted has no previous log; got %v", err)
	}
}

func TestUsageCoversPodsAndNodes(t *testing.T) {
	s := open(t, 2)
	pods, err := s.ReadUsage(t.Context(), "Pod", s.Namespace())
	if err != nil || len(pods) < 45 {
		t.Fatalf("%d pods, %v", len(pods), err)
	}
	for _, u := range pods {
		if u.CpuCores <= 0 || u.MemoryBytes <= 0 {
			t.Errorf("%s uses %v cores, %v bytes", u.Object.Name, u.CpuCores, u.MemoryBytes)
		}
	}
	nodes, err := s.ReadUsage(t.Context(), "Node", "")
	if err != nil || len(nodes) != 4 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
}

func TestSampleHonoursItsContext(t *testing.T) {
	s := open(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sample(ctx, opening); err == nil {
		t.Error("a cancelled context was not noticed")
	}
}

// BenchmarkStep is one simulated second of the default shop, with a frame every ten.
func BenchmarkStep(b *testing.B) {
	s := open(b, 1)
	at := opening
	for b.Loop() {
		at = at.Add(time.Second)
		s.Step(at)
		if at.Unix()%10 == 0 {
			if _, err := s.Sample(b.Context(), at); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(1e9/(float64(b.Elapsed().Nanoseconds())/float64(b.N)), "sim_s/s")
}
