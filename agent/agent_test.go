package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/command"
	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/uplink"
	"github.com/bukahou/atlhyper/agent/uplink/enginefake"
)

const (
	token  = "cluster-token-7f3a"
	canary = "canary-value-must-not-leave"
)

// quick keeps tests of lost links short.
var quick = uplink.Retry{Min: 5 * time.Millisecond, Max: 50 * time.Millisecond, Refused: 20 * time.Millisecond}

func shop() []runtime.Object {
	labels := map[string]string{"app": "payments"}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"example.com/note": canary}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "payments", Image: "payments:v1", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: canary}},
		}}},
	}
	two := int32(2)
	return []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "cluster-uid"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments", UID: "d-1", Annotations: map[string]string{
				corev1.LastAppliedConfigAnnotation: canary,
			}},
			Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
		},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments-1", Labels: labels, UID: "p-1"},
			Spec:       template.Spec, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}, Data: map[string][]byte{"password": []byte(canary)}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "settings"}, Data: map[string]string{"mode": canary}},
	}
}

// logged collects what the agent logs.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start runs an agent until the test ends or stop is called.
func start(t *testing.T, cfg Config) (a *Agent, stop func()) {
	t.Helper()
	if cfg.Cluster == "" {
		cfg.Cluster = "prod-eu"
	}
	if cfg.Token == "" {
		cfg.Token = token
	}
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	cfg.Retry = quick
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the agent did not stop within 30 s")
		}
	})
	t.Cleanup(stop)
	return a, stop
}

func synced(t *testing.T, a *Agent) {
	t.Helper()
	select {
	case <-a.Synced():
	case <-time.After(30 * time.Second):
		t.Fatalf("not synced within 30 s: %+v", a.Stats())
	}
}

func key(kind, namespace, name string) kube.Key {
	return kube.Key{Kind: kind, Namespace: namespace, Name: name}
}

func TestAgentReportsTheClusterThenOnlyWhatChanges(t *testing.T) {
	engine := enginefake.New(t, token)
	client := fake.NewClientset(shop()...)
	a, _ := start(t, Config{EngineURL: engine.URL(), Client: client, Version: "test"})
	synced(t, a)
	join := engine.Joins()[0]
	if join.GetClusterUid() != "cluster-uid" || len(join.GetCapabilities()) != len(command.Verbs()) || join.GetAgentVersion() != "test" {
		t.Errorf("join said %v", join)
	}
	state := engine.State()
	if len(state) != len(shop()) {
		t.Errorf("got %d objects, want %d", len(state), len(shop()))
	}
	for _, k := range kube.Kinds() {
		if s := engine.Kinds()[k]; s.GetState() != report.KindStatus_STATE_SYNCED {
			t.Errorf("kind %s is %v", k, s)
		}
	}
	before := len(engine.Batches())
	pods := client.CoreV1().Pods("shop")
	p, err := pods.Get(t.Context(), "payments-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.Phase = corev1.PodFailed
	if _, err := pods.UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	engine.WaitFor(t, "failed pod", func(s map[kube.Key]*report.Resource) bool {
		return s[key("Pod", "shop", "payments-1")].GetPod().GetPhase() == "Failed"
	})
	for _, b := range engine.Batches()[before:] {
		if len(b.GetUpserts()) > 1 || b.GetResyncBegin() {
			t.Errorf("one change travelled as %d upserts, resync %v", len(b.GetUpserts()), b.GetResyncBegin())
		}
	}
	if err := pods.Delete(t.Context(), "payments-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	engine.WaitFor(t, "deleted pod", func(s map[kube.Key]*report.Resource) bool {
		return s[key("Pod", "shop", "payments-1")] == nil
	})
	if s := a.Stats().Link; s.WireBytes == 0 || s.Bytes == 0 || s.Batches == 0 {
		t.Errorf("nothing counted: %+v", s)
	}
}

func TestNoValueLeavesTheClusterAndNoTokenIsLogged(t *testing.T) {
	engine := enginefake.New(t, token)
	var logs logged
	a, stop := start(t, Config{
		EngineURL: engine.URL(), Client: fake.NewClientset(shop()...),
		Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	synced(t, a)
	id := 0
	ask := func(q *report.Query) *report.Outcome {
		id++
		q.Id = fmt.Sprintf("q-%d", id)
		engine.Ask(t, q)
		return engine.Outcome(t, q.Id)
	}
	for k := range engine.State() {
		for _, q := range []*report.Query{
			{Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: k.Report()}}},
			{Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: k.Report()}}},
		} {
			o := ask(q)
			if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(o.GetText()) == 0 {
				t.Errorf("%v of %v: %v %s", q.GetAsk(), k, o.GetStatus(), o.GetMessage())
			}
		}
	}
	engine.Order(t, &report.Command{
		Id: "c-1", Target: key("Deployment", "shop", "payments").Report(), DryRun: true,
		Change: &report.Command_SetImage{SetImage: &report.SetImage{Image: "payments:v2"}},
	})
	engine.Outcome(t, "c-1")
	engine.SetToken("another")
	engine.Forget()
	time.Sleep(100 * time.Millisecond) // for refusals to be logged
	stop()
	// The pod template's annotation is shown on purpose: it is no environment value.
	all := bytes.ReplaceAll(engine.Everything(), []byte("example.com/note: "+canary), nil)
	all = bytes.ReplaceAll(all, []byte("example.com/note="+canary), nil)
	if i := bytes.Index(all, []byte(canary)); i >= 0 {
		t.Errorf("a value left the cluster: …%s…", all[max(i-200, 0):min(i+100, len(all))])
	}
	for _, secret := range []string{canary, token} {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("%q was logged:\n%s", secret, logs.String())
		}
	}
	if !strings.Contains(logs.String(), "cluster rotate prod-eu") {
		t.Errorf("the refused token was logged without its remedy:\n%s", logs.String())
	}
}

func TestACommandRunsOnceHoweverOftenItComes(t *testing.T) {
	engine := enginefake.New(t, token)
	client := fake.NewClientset(shop()...)
	dir := t.TempDir()
	a, stop := start(t, Config{EngineURL: engine.URL(), Client: client, DataDir: dir})
	synced(t, a)
	scale := &report.Command{
		Id: "c-1", Target: key("Deployment", "shop", "payments").Report(),
		Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 5}},
	}
	engine.Order(t, scale)
	if o := engine.Outcome(t, "c-1"); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
		t.Fatalf("scale: %v", o)
	}
	engine.WaitFor(t, "5 replicas", func(s map[kube.Key]*report.Resource) bool {
		return s[key("Deployment", "shop", "payments")].GetWorkload().GetDesired() == 5
	})
	stop()
	// Somebody scales by hand; a redelivery after a restart must not undo that.
	d, err := client.AppsV1().Deployments("shop").Get(t.Context(), "payments", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seven := int32(7)
	d.Spec.Replicas = &seven
	if _, err := client.AppsV1().Deployments("shop").Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	start(t, Config{EngineURL: engine.URL(), Client: client, DataDir: dir})
	engine.WaitSynced(t, 2)
	engine.Order(t, scale)
	engine.WaitOutcomes(t, "c-1", 2)
	if o := engine.Outcome(t, "c-1"); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || engine.Outcomes("c-1") != 2 {
		t.Errorf("redelivered command: %d outcomes, last %v", engine.Outcomes("c-1"), o)
	}
	d, err = client.AppsV1().Deployments("shop").Get(t.Context(), "payments", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 7 {
		t.Errorf("redelivered command ran again: %d replicas, %v", *d.Spec.Replicas, err)
	}
}

func TestAnAPIServerThatIsAwayAtTheStartIsToldAndWaitedFor(t *testing.T) {
	engine := enginefake.New(t, token)
	client := fake.NewClientset(shop()...)
	var mu sync.Mutex
	down := true
	client.PrependReactor("*", "*", func(ktesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		if down {
			return true, nil, errors.New("connection refused")
		}
		return false, nil, nil
	})
	a, _ := start(t, Config{EngineURL: engine.URL(), Client: client})
	engine.WaitKind(t, "Pod", report.KindStatus_STATE_FAILING)
	if s := engine.Kinds()["Pod"]; s.GetState() != report.KindStatus_STATE_FAILING || !strings.Contains(s.GetMessage(), "connection refused") {
		t.Errorf("pods are %v", s)
	}
	engine.Order(t, &report.Command{Id: "early", Target: key("Node", "", "worker-1").Report(), Change: &report.Command_Cordon{Cordon: &report.Cordon{}}})
	if o := engine.Outcome(t, "early"); o.GetStatus() != report.Outcome_STATUS_REFUSED {
		t.Errorf("command without an API server: %v", o)
	}
	mu.Lock()
	down = false
	mu.Unlock()
	synced(t, a)
	if len(engine.State()) != len(shop()) {
		t.Errorf("got %d objects, want %d", len(engine.State()), len(shop()))
	}
	joins := engine.Joins()
	if last := joins[len(joins)-1]; last.GetClusterUid() != "cluster-uid" {
		t.Errorf("the agent did not say which cluster it found: %v", last)
	}
}

type frames struct{}

func (frames) Sample(_ context.Context, now time.Time) (*report.TelemetryFrame, error) {
	return &report.TelemetryFrame{Samples: []*report.Sample{{Metric: "cpu_usage", Value: float64(now.Unix())}}}, nil
}

func TestTicksOfTheCallerDriveTelemetry(t *testing.T) {
	engine := enginefake.New(t, token)
	ticks := make(chan time.Time)
	a, _ := start(t, Config{EngineURL: engine.URL(), Client: fake.NewClientset(shop()...), Source: frames{}, Ticks: ticks})
	synced(t, a)
	for i := range 3 {
		ticks <- time.Unix(int64(1000+i), 0)
	}
	engine.WaitFrames(t, 3)
	for i, f := range engine.Frames() {
		if f.GetSamples()[0].GetValue() != float64(1000+i) {
			t.Errorf("frame %d is of %v", i, f.GetSamples()[0].GetValue())
		}
	}
}

func TestRunLeavesNothingBehind(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	engine := enginefake.New(t, token)
	a, stop := start(t, Config{EngineURL: engine.URL(), Client: fake.NewClientset(shop()...)})
	synced(t, a)
	stop()
	goleak.VerifyNone(t, ignore,
		// The fake engine's own server, stopped at the end of the test.
		goleak.IgnoreAnyFunction("net/http/httptest.(*Server).goServe.func1"), goleak.IgnoreAnyFunction("net/http.(*conn).serve"))
}

func TestConfigIsCheckedAndSaysTheRemedy(t *testing.T) {
	good := Config{Cluster: "c", EngineURL: "http://engine:8081", Token: token, Client: fake.NewClientset()}
	for name, c := range map[string]struct {
		edit func(*Config)
		want string
	}{
		"no client":             {func(c *Config) { c.Client = nil }, "client"},
		"no cluster id":         {func(c *Config) { c.Cluster = "" }, "--cluster-id"},
		"no engine":             {func(c *Config) { c.EngineURL = "" }, "--engine"},
		"engine without scheme": {func(c *Config) { c.EngineURL = "engine:8081" }, "--engine"},
		"credentials in engine": {func(c *Config) { c.EngineURL = "http://u:p@engine" }, "--token"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			c.edit(&cfg)
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a word of %q", err, c.want)
			}
		})
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

// counting is a source that counts requests beside its samples, and fails when it is told to.
type counting struct {
	mu     sync.Mutex
	broken bool
	asked  [][2]time.Time
}

func (s *counting) Sample(_ context.Context, now time.Time) (*report.TelemetryFrame, error) {
	return &report.TelemetryFrame{Time: timestamppb.New(now), Window: durationpb.New(time.Minute), Samples: []*report.Sample{
		{Entity: &report.EntityRef{Kind: "Service", Namespace: "shop", Name: "payments"}, Metric: "request_rate", Value: float64(now.Second())},
	}}, nil
}

func (s *counting) Requests(_ context.Context, from, to time.Time, step time.Duration) ([]*report.RequestCount, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return nil, errors.New("the store is away")
	}
	s.asked = append(s.asked, [2]time.Time{from, to})
	var out []*report.RequestCount
	for at := from; at.Before(to); at = at.Add(step) {
		out = append(out, &report.RequestCount{
			Entity: &report.EntityRef{Kind: "Service", Namespace: "shop", Name: "payments"}, Layer: "mesh", Total: float64(at.Minute()), Start: timestamppb.New(at), Span: durationpb.New(step),
		})
	}
	return out, nil
}

func TestWholeMinutesWithTheirRequestsSurviveALostLink(t *testing.T) {
	engine := enginefake.New(t, token)
	source, ticks := &counting{}, make(chan time.Time)
	a, _ := start(t, Config{EngineURL: engine.URL(), Client: fake.NewClientset(shop()...), Source: source, Ticks: ticks})
	synced(t, a)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := noon
	live := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); now = now.Add(10 * time.Second) {
			ticks <- now
		}
	}
	live(4 * time.Minute)
	engine.WaitMinute(t, noon.Add(2*time.Minute))
	engine.Cut()
	live(40 * time.Minute)
	engine.Mend()
	live(2 * time.Minute)
	engine.WaitMinute(t, noon.Add(44*time.Minute))
	minutes, _ := engine.Minutes()
	if len(minutes) != 45 {
		t.Fatalf("%d minutes arrived, want 45", len(minutes))
	}
	for i, m := range minutes {
		at := noon.Add(time.Duration(i) * time.Minute)
		if !m.GetStart().AsTime().Equal(at) || len(m.GetSamples()) != 1 || m.GetSamples()[0].GetValue() != 25 {
			t.Errorf("minute %d is %v", i, m)
		}
		if r := m.GetRequests(); len(r) != 1 || r[0].GetTotal() != float64(at.Minute()) {
			t.Errorf("minute %d counts %v", i, r)
		}
	}
}

func TestAMinuteWaitsForItsCountsAndGoesWithoutThemInTheEnd(t *testing.T) {
	engine := enginefake.New(t, token)
	source, ticks := &counting{broken: true}, make(chan time.Time)
	a, _ := start(t, Config{EngineURL: engine.URL(), Client: fake.NewClientset(shop()...), Source: source, Ticks: ticks})
	synced(t, a)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for now := noon; now.Before(noon.Add(4 * time.Minute)); now = now.Add(10 * time.Second) {
		ticks <- now
	}
	engine.WaitMinute(t, noon)
	source.mu.Lock()
	source.broken = false
	source.mu.Unlock()
	ticks <- noon.Add(4 * time.Minute)
	engine.WaitMinute(t, noon.Add(2*time.Minute))
	minutes, _ := engine.Minutes()
	for i, want := range []int{0, 1, 1} {
		if got := len(minutes[i].GetRequests()); got != want {
			t.Errorf("minute %d has %d counts, want %d", i, got, want)
		}
	}
}
