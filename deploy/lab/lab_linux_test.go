package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

var shared = Shared{Config: Config{Users: []User{{Name: "reader", Groups: []string{"readers"}}}}}

func TestMain(m *testing.M) {
	if os.Getenv(spawnEnv) != "" {
		os.Exit(spawnAndLeave())
	}
	os.Exit(shared.Run(m))
}

// shop is the shared lab with the shop in it.
func shop(t *testing.T) *Lab {
	t.Helper()
	l := shared.Lab(t)
	if err := l.SeedShop(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually waits until say returns "", and fails with what it said last.
func eventually(t *testing.T, say func() string) {
	t.Helper()
	last := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(poll) {
		if last = say(); last == "" {
			return
		}
	}
	t.Fatalf("after a minute: %s", last)
}

// holds fails when say says something within ten seconds.
func holds(t *testing.T, say func() string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * poll) {
		if s := say(); s != "" {
			t.Fatalf("did not hold: %s", s)
		}
	}
}

// newPods are the pods of a Deployment that run its present template.
func newPods(ctx context.Context, l *Lab, name string) ([]corev1.Pod, error) {
	d, err := l.Client().AppsV1().Deployments(ShopNamespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	revision := d.Annotations["deployment.kubernetes.io/revision"]
	sets, err := l.Client().AppsV1().ReplicaSets(ShopNamespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector),
	})
	if err != nil {
		return nil, err
	}
	for _, rs := range sets.Items {
		if rs.Annotations["deployment.kubernetes.io/revision"] != revision || d.Status.ObservedGeneration < d.Generation {
			continue
		}
		pods, err := l.Client().CoreV1().Pods(ShopNamespace).List(ctx, metav1.ListOptions{
			LabelSelector: metav1.FormatLabelSelector(rs.Spec.Selector),
		})
		if err != nil {
			return nil, err
		}
		return pods.Items, nil
	}
	return nil, nil
}

func ready(p *corev1.Pod) corev1.PodCondition {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c
		}
	}
	return corev1.PodCondition{}
}

func TestAPIServerStopsAndComesBackWithItsDataAndPort(t *testing.T) {
	l := shop(t)
	host := l.RESTConfig().Host
	if err := l.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("a stopped API server answers")
	}
	if err := l.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.RESTConfig().Host; got != host {
		t.Errorf("API server is at %s, was at %s", got, host)
	}
	// Everything that talks to it has found it again: a rollout goes through all of them.
	if err := l.CrashLoop(t.Context(), ShopNamespace, "inventory"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		pods, err := newPods(t.Context(), l, "inventory")
		if err != nil || len(pods) == 0 || len(pods[0].Status.ContainerStatuses) == 0 ||
			pods[0].Status.ContainerStatuses[0].RestartCount == 0 {
			return fmt.Sprintf("no crash: %v", err)
		}
		return ""
	})
	if err := l.Heal(t.Context(), ShopNamespace, "inventory"); err != nil {
		t.Fatal(err)
	}
}

func TestLogsOfAContainerAreRead(t *testing.T) {
	l := shop(t)
	if err := l.AppendLog("payments", false, "first line", "second line", "third line"); err != nil {
		t.Fatal(err)
	}
	if err := l.AppendLog("payments", true, "last words"); err != nil {
		t.Fatal(err)
	}
	pods, err := newPods(t.Context(), l, "payments")
	if err != nil || len(pods) == 0 {
		t.Fatalf("pods of payments: %d, %v", len(pods), err)
	}
	read := func(options *corev1.PodLogOptions) string {
		t.Helper()
		stream, err := l.Client().CoreV1().Pods(ShopNamespace).GetLogs(pods[0].Name, options).Stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		text, err := io.ReadAll(stream)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	two := int64(2)
	if got, want := read(&corev1.PodLogOptions{TailLines: &two}), "second line\nthird line\n"; got != want {
		t.Errorf("tail of two lines is %q, want %q", got, want)
	}
	if got := read(&corev1.PodLogOptions{Previous: true}); !strings.HasSuffix(got, "last words\n") {
		t.Errorf("previous log is %q", got)
	}
}

func TestExtraUserMayDoWhatRBACSays(t *testing.T) {
	l := shared.Lab(t)
	cfg, err := l.RESTConfigFor("reader")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("a user without a role lists nodes: %v", err)
	}
	_, err = l.Client().RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "readers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "readers"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, err := reader.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	cfg.BearerToken = "wrong"
	stranger, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a wrong token is answered with %v", err)
	}
}

func TestRunPodsMakesThemReady(t *testing.T) {
	l := shared.Lab(t)
	if err := l.RunPods(t.Context(), "bench", 100); err != nil {
		t.Fatal(err)
	}
	if err := l.Client().CoreV1().Namespaces().Delete(t.Context(), "bench", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestSecondStartGoesOnWithTheDataAndLeavesNothingBehind(t *testing.T) {
	l := ForTest(t)
	if err := l.RunPods(t.Context(), "kept", 3); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: l.Dir()}); err == nil || !strings.Contains(err.Error(), "already runs") {
		t.Errorf("a second lab in the same directory: %v", err)
	}
	var processes []identity
	for _, p := range l.procs {
		processes = append(processes, p.id)
	}
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, id := range processes {
		if id.alive() {
			t.Errorf("process %d is left", id.PID)
		}
	}
	if _, err := Open(l.Dir(), nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("open a stopped lab: %v", err)
	}

	begin := time.Now()
	again, err := Start(t.Context(), Config{Dir: l.Dir(), Log: testLog()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := again.Stop(); err != nil {
			t.Error(err)
		}
	}()
	t.Logf("second start took %s (aim: under 15 s)", time.Since(begin).Round(time.Millisecond))
	_, err = again.Client().AppsV1().Deployments("kept").Patch(t.Context(), "load", "application/merge-patch+json",
		[]byte(`{"spec":{"replicas":6}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.waitAvailable(t.Context(), "kept", "load"); err != nil {
		t.Fatal(err)
	}
	t.Logf("new pods were ready %s after that start", time.Since(begin).Round(time.Millisecond))
	pods, err := again.Client().CoreV1().Pods("kept").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owner := map[string]string{}
	for _, p := range pods.Items {
		if other := owner[p.Status.PodIP]; other != "" {
			t.Errorf("%s and %s have the same address %s", p.Name, other, p.Status.PodIP)
		}
		owner[p.Status.PodIP] = p.Name
	}
	// The old kubeconfig and token are still good.
	if _, err := l.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

func TestNothingListensBeyondThisMachine(t *testing.T) {
	l := shared.Lab(t)
	listening := 0
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if fields[3] != "0A" { // listening
				continue
			}
			address, hex, _ := strings.Cut(fields[1], ":")
			port, err := strconv.ParseInt(hex, 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			for name, ours := range l.state.Ports {
				if int(port) != ours {
					continue
				}
				listening++
				if address != "0100007F" { // 127.0.0.1
					t.Errorf("%s listens on %s", name, address)
				}
			}
		}
	}
	if listening != len(l.state.Ports) {
		t.Errorf("%d of %d ports are listened on", listening, len(l.state.Ports))
	}
	info, err := os.Stat(filepath.Join(l.Dir(), "pki", "tokens.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("tokens are readable by others: %s", info.Mode())
	}
}
