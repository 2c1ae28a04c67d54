package lab

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFaultsAreRecognisedInATemplate(t *testing.T) {
	with := func(edit func(*corev1.PodTemplateSpec)) *corev1.PodTemplateSpec {
		template := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "shop/cart:1.0.0"}}}}
		edit(template)
		return template
	}
	cpu := func(quantity string) func(*corev1.PodTemplateSpec) {
		return func(t *corev1.PodTemplateSpec) {
			t.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(quantity)}
		}
	}
	image := func(image string) func(*corev1.PodTemplateSpec) {
		return func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Image = image }
	}
	for name, c := range map[string]struct {
		edit func(*corev1.PodTemplateSpec)
		want bool
	}{
		"a plain template is whole":                   {func(*corev1.PodTemplateSpec) {}, false},
		"a tag that does not exist":                   {image("shop/cart:missing-1"), true},
		"a registry with a port":                      {image("registry:5000/shop/cart:missing-1"), true},
		"a repository called missing is not a fault":  {image("registry:5000/missing/cart:1.0.0"), false},
		"a request larger than any node":              {cpu("512"), true},
		"a request that fits":                         {cpu("8"), false},
		"an annotated fault":                          {func(t *corev1.PodTemplateSpec) { t.Annotations = map[string]string{faultAnnotation: "oom-kill"} }, true},
		"another annotation":                          {func(t *corev1.PodTemplateSpec) { t.Annotations = map[string]string{"team": "shop"} }, false},
		"a reference to a config map that is missing": {configFrom("cart-missing"), true},
		"a reference to a config map":                 {configFrom("cart"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := broken(with(c.edit)); got != c.want {
				t.Errorf("broken is %v, want %v", got, c.want)
			}
		})
	}
}

func configFrom(name string) func(*corev1.PodTemplateSpec) {
	return func(t *corev1.PodTemplateSpec) {
		t.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: name},
		}}}
	}
}

func TestNodeWithATaintOfTheNodeControllerTakesNoPods(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	if schedulable(node) {
		t.Error("a node without conditions is schedulable")
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if !schedulable(node) {
		t.Error("a ready node is not schedulable")
	}
	node.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnreachable}}
	if schedulable(node) {
		t.Error("an unreachable node is schedulable")
	}
}

func TestVersionIsThatOfTheModule(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join("kubernetes", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "k8s.io/kubernetes "+kubernetesVersion) {
		t.Errorf("kubernetes/go.mod does not require k8s.io/kubernetes %s", kubernetesVersion)
	}
}

func TestDamagedStateSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(stateFile(dir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), "remove the lab's directory") {
		t.Errorf("error is %v", err)
	}
}

func TestPortsOfAnEarlierRunAreKept(t *testing.T) {
	first, err := newState(state{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := newState(first)
	if err != nil {
		t.Fatal(err)
	}
	for name, port := range first.Ports {
		if second.Ports[name] != port {
			t.Errorf("%s moved from port %d to %d", name, port, second.Ports[name])
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no directory":          {},
		"a negative node count": {Dir: "x", Nodes: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if err := cfg.defaults(); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestFailedBuildSaysWhatGoSaid(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module broken\n\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := goBuild(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "unknown directive: nonsense") {
		t.Errorf("error is %v", err)
	}
}
