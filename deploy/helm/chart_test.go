// Package helm_test looks at the chart and at the plain manifests that are made of it.
package helm_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/bukahou/atlhyper/agent/command"
	"github.com/bukahou/atlhyper/bot/notify"
)

var update = flag.Bool("update", false, "write the manifests anew")

// helm builds Helm, which the tool's own module pins, and runs it. The first build takes minutes.
func helm(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("building Helm is not for -short")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", "bin/", "helm.sh/helm/v4/cmd/helm")
	build.Dir = "tool"
	if out, err := build.CombinedOutput(); err != nil {
		if bytes.Contains(out, []byte("dial tcp")) || bytes.Contains(out, []byte("lookup ")) {
			t.Skipf("Helm's modules cannot be fetched here: %s", out)
		}
		t.Fatalf("build Helm: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, filepath.Join("tool", "bin", "helm"), args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir(), "KUBECONFIG="+os.DevNull)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return append(out, errs.Bytes()...), err
	}
	return out, nil
}

var allVerbs = "agent.verbs={rollout_restart,scale,rollback,set_image,delete_pod,cordon,uncordon,drain,rollout_pause,rollout_resume,delete_job,run_cronjob,taint,untaint,label,annotate}"

var agentOn = []string{"--set", "agent.enabled=true,agent.clusterId=my-cluster,agent.engineUrl=https://agents.atlhyper.example"}

func render(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := helm(t, append([]string{"template", "atlhyper", "atlhyper", "--namespace", "atlhyper"}, args...)...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// manifests are the files that are made of the chart, for those who do not use Helm.
var manifests = map[string][]string{
	"engine.yaml":          {"--set", "engine.enabled=true,engine.existingSecret=atlhyper-engine"},
	"agent.yaml":           agentOn,
	"agent-all-verbs.yaml": append(slices.Clone(agentOn), "--set", allVerbs),
}

func TestThePlainManifestsAreThoseOfTheChart(t *testing.T) {
	for name, args := range manifests {
		got := append([]byte("# Made of deploy/helm/atlhyper by `make manifests`. Change the chart, not this file.\n"), render(t, args...)...)
		path := filepath.Join("..", "manifests", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not current; run make manifests\n%s", name, diff)
		}
	}
}

func TestTheChartIsWellFormed(t *testing.T) {
	for name, args := range map[string][]string{
		"everything": append(slices.Clone(agentOn), "--set", "engine.enabled=true", "--set", allVerbs),
		"defaults":   nil,
	} {
		if out, err := helm(t, append([]string{"lint", "--strict", "atlhyper"}, args...)...); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestValuesThatCannotWorkAreRefused(t *testing.T) {
	for name, set := range map[string]string{
		"an agent without a name":    "agent.enabled=true,agent.engineUrl=https://x",
		"an agent without an engine": "agent.enabled=true,agent.clusterId=prod",
		"a verb that is none":        "agent.enabled=true,agent.clusterId=prod,agent.engineUrl=https://x,agent.verbs={exec}",
		"a name that chat cannot":    "agent.enabled=true,agent.clusterId=Prod EU,agent.engineUrl=https://x",
		"an address with a path":     "engine.enabled=true,engine.url=https://x/page",
	} {
		if out, err := helm(t, "template", "a", "atlhyper", "--set", set); err == nil {
			t.Errorf("%s was taken:\n%s", name, out)
		}
	}
}

// objects reads rendered YAML.
func objects(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, doc := range regexp.MustCompile(`(?m)^---$`).Split(string(text), -1) {
		m := map[string]any{}
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		if len(m) > 0 {
			out = append(out, &unstructured.Unstructured{Object: m})
		}
	}
	return out
}

func as[T any](t *testing.T, o *unstructured.Unstructured) T {
	t.Helper()
	var v T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// rules gives what a role of the rendered chart may, as "verb group/resource".
func rules(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	var out []string
	for _, o := range objects {
		if o.GetKind() != "ClusterRole" {
			continue
		}
		for _, r := range as[rbacv1.ClusterRole](t, o).Rules {
			for _, g := range r.APIGroups {
				for _, res := range r.Resources {
					for _, v := range r.Verbs {
						out = append(out, v+" "+g+"/"+res)
					}
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestEachVerbBringsItsOwnRightsAndNoOthers(t *testing.T) {
	read := rules(t, objects(t, render(t, agentOn...)))
	for _, r := range read {
		if verb, _, _ := strings.Cut(r, " "); !slices.Contains([]string{"get", "list", "watch"}, verb) || strings.Contains(r, "*") || strings.Contains(r, "/secrets") {
			t.Errorf("without a verb the agent may %s", r)
		}
	}
	workloads := []string{"update apps/daemonsets", "update apps/deployments", "update apps/statefulsets"}
	for verb, want := range map[string][]string{
		"rollout_restart": workloads, "rollback": workloads, "set_image": workloads, "scale": {"update apps/deployments", "update apps/statefulsets"},
		"delete_pod": {"delete /pods"}, "cordon": {"update /nodes"}, "uncordon": {"update /nodes"}, "drain": {"create /pods/eviction", "update /nodes"},
		"rollout_pause": {"update apps/deployments"}, "rollout_resume": {"update apps/deployments"}, "taint": {"update /nodes"}, "untaint": {"update /nodes"},
		"delete_job": {"delete batch/jobs"}, "run_cronjob": {"create batch/jobs", "update batch/cronjobs/finalizers"}, "label": workloads, "annotate": workloads,
	} {
		got := slices.DeleteFunc(rules(t, objects(t, render(t, append(slices.Clone(agentOn), "--set", "agent.verbs={"+verb+"}")...))), func(r string) bool { return slices.Contains(read, r) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", verb, diff)
		}
	}
	for _, v := range command.Verbs() {
		if !strings.Contains(allVerbs, v) {
			t.Errorf("the agent knows the verb %s, the chart does not", v)
		}
	}
	acting := slices.DeleteFunc(rules(t, objects(t, render(t, append(slices.Clone(agentOn), "--set", "agent.impersonate.enabled=true,agent.impersonate.users={mia@example.com}")...))), func(r string) bool { return slices.Contains(read, r) })
	if diff := cmp.Diff([]string{"impersonate /users"}, acting); diff != "" {
		t.Errorf("impersonation:\n%s", diff)
	}
	off := rules(t, objects(t, render(t, append(slices.Clone(agentOn), "--set", "agent.rbac.configMaps=false,agent.rbac.podLogs=false,agent.rbac.routes=false")...)))
	for _, r := range off {
		if strings.Contains(r, "configmaps") || strings.Contains(r, "pods/log") || strings.Contains(r, "routes") {
			t.Errorf("switched off, and the agent may %s", r)
		}
	}
}

func TestRoutesAreMountedWhereTheEngineReadsThem(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(guide), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte("engine:\n  enabled: true\n  routes:\n    "+strings.ReplaceAll(example, "\n", "\n    ")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var text, name string
	var pod corev1.PodSpec
	for _, o := range objects(t, render(t, "--values", values)) {
		switch o.GetKind() {
		case "ConfigMap":
			text, name = as[corev1.ConfigMap](t, o).Data["routes.yaml"], o.GetName()
		case "StatefulSet":
			raw, _, err := unstructured.NestedMap(o.Object, "spec", "template", "spec")
			if err != nil {
				t.Fatal(err)
			}
			pod = as[corev1.PodSpec](t, &unstructured.Unstructured{Object: raw})
		}
	}
	if _, err := notify.Parse([]byte(text), func(string) string { return "https://a.example/x" }, os.ReadFile); err != nil {
		t.Errorf("the engine refuses what is mounted: %v\n%s", err, text)
	}
	c := pod.Containers[0]
	env := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "ATLHYPER_ROUTES" })
	mount := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "routes" })
	volume := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "routes" })
	if env < 0 || mount < 0 || volume < 0 || c.Env[env].Value != c.VolumeMounts[mount].MountPath+"/routes.yaml" || pod.Volumes[volume].ConfigMap.Name != name {
		t.Errorf("%+v\n%+v\n%+v of %s", c.Env, c.VolumeMounts, pod.Volumes, name)
	}
}

func TestEveryPodIsConfined(t *testing.T) {
	pods := 0
	for _, o := range objects(t, render(t, append(slices.Clone(agentOn), "--set", "engine.enabled=true")...)) {
		var spec corev1.PodSpec
		switch o.GetKind() {
		case "StatefulSet", "Deployment":
			raw, _, err := unstructured.NestedMap(o.Object, "spec", "template", "spec")
			if err != nil {
				t.Fatal(err)
			}
			spec = as[corev1.PodSpec](t, &unstructured.Unstructured{Object: raw})
		default:
			continue
		}
		pods++
		name := o.GetName()
		if s := spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: %+v", name, s)
		}
		if token := spec.AutomountServiceAccountToken; token == nil || *token != strings.HasSuffix(name, "-agent") {
			t.Errorf("%s: who asks the API server is the agent, and nobody else", name)
		}
		for _, c := range spec.Containers {
			s := c.SecurityContext
			if s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Contains(s.Capabilities.Drop, "ALL") {
				t.Errorf("%s: %+v", name, s)
			}
			if c.LivenessProbe == nil || c.ReadinessProbe == nil || c.StartupProbe == nil {
				t.Errorf("%s has no probe", name)
			}
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s asks for nothing: %v", name, c.Resources)
			}
			for _, e := range c.Env {
				if strings.Contains(e.Name, "TOKEN") && !strings.HasSuffix(e.Name, "_FILE") {
					t.Errorf("%s has %s in its environment", name, e.Name)
				}
			}
		}
	}
	if pods != 2 {
		t.Errorf("%d pods were looked at", pods)
	}
}
