package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"hash/maphash"
	"math/big"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

const canary = "canary-value-must-not-leave"

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func chain(t *testing.T, notAfter ...time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for i, at := range notAfter {
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotAfter: at, NotBefore: noon.Add(-time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

func TestConfigGivesKeysAndAHashThatOnlyTheContentChanges(t *testing.T) {
	c := NewConverter("cluster-uid")
	secret := func(data map[string][]byte) *report.Config {
		r := c.Resource(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Type: corev1.SecretTypeOpaque, Data: data})
		if b, err := proto.Marshal(r); err != nil || strings.Contains(string(b), canary) {
			t.Fatalf("a value is in the report, or %v", err)
		}
		return r.GetConfig()
	}
	base := map[string][]byte{"b": []byte(canary), "a": []byte("1")}
	got := secret(base)
	if diff := cmp.Diff([]string{"a", "b"}, got.GetKeys()); diff != "" || got.GetType() != "Opaque" {
		t.Errorf("keys %s type %s", diff, got.GetType())
	}
	if secret(base).GetHash() != got.GetHash() || NewConverter("cluster-uid").Resource(&corev1.Secret{Data: base}).GetConfig().GetHash() != got.GetHash() {
		t.Error("the same content hashes differently, perhaps after a restart")
	}
	for name, data := range map[string]map[string][]byte{
		"another value":              {"b": []byte(canary), "a": []byte("2")},
		"another key":                {"b": []byte(canary), "c": []byte("1")},
		"a border that moved":        {"b": []byte(canary + "a"), "": []byte("1")},
		"fewer keys":                 {"b": []byte(canary)},
		"values that changed places": {"a": []byte(canary), "b": []byte("1")},
	} {
		if secret(data).GetHash() == got.GetHash() {
			t.Errorf("%s has the same hash", name)
		}
	}
	if NewConverter("other-uid").Resource(&corev1.Secret{Data: base}).GetConfig().GetHash() == got.GetHash() {
		t.Error("two clusters hash alike")
	}
}

func TestACertificateGivesItsEarliestExpiry(t *testing.T) {
	soon, late := noon.Add(24*time.Hour), noon.Add(240*time.Hour)
	for name, c := range map[string]struct {
		data map[string][]byte
		want *timestamppb.Timestamp
	}{
		"chain":       {map[string][]byte{"tls.crt": chain(t, late, soon), "tls.key": []byte(canary)}, timestamppb.New(soon)},
		"not PEM":     {map[string][]byte{"tls.crt": []byte("x")}, nil},
		"not a cert":  {map[string][]byte{"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})}, nil},
		"no tls.crt":  {nil, nil},
		"other block": {map[string][]byte{"tls.crt": append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS"}), chain(t, soon)...)}, timestamppb.New(soon)},
	} {
		r := NewConverter("k").Resource(&corev1.Secret{Type: corev1.SecretTypeTLS, Data: c.data})
		if !proto.Equal(r.GetConfig().GetNotAfter(), c.want) {
			t.Errorf("%s: %v, want %v", name, r.GetConfig().GetNotAfter(), c.want)
		}
	}
}

func template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "web", Image: "web:v1", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: canary}},
		}}},
	}
}

func TestTemplateHash(t *testing.T) {
	c := NewConverter("k")
	base := template()
	was := c.TemplateHash(&base)
	for name, e := range map[string]struct {
		edit func(*corev1.PodTemplateSpec)
		same bool
	}{
		"the label of a replica set": {func(t *corev1.PodTemplateSpec) { t.Labels["pod-template-hash"] = "abc" }, true},
		"the label of a daemon set":  {func(t *corev1.PodTemplateSpec) { t.Labels["controller-revision-hash"] = "abc" }, true},
		"last applied configuration": {func(t *corev1.PodTemplateSpec) {
			t.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "x"}
		}, true},
		"an empty map where there is none": {func(t *corev1.PodTemplateSpec) { t.Annotations = map[string]string{} }, true},
		"a restart": {func(t *corev1.PodTemplateSpec) {
			t.Annotations = map[string]string{restartedAnnotation: "2026-05-04T12:00:00Z"}
		}, false},
		"a label of the owner": {func(t *corev1.PodTemplateSpec) { t.Labels["tier"] = "x" }, false},
		"an image":             {func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Image = "web:v2" }, false},
		"an environment value": {func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Env[0].Value = "other" }, false},
	} {
		is := template()
		e.edit(&is)
		if (c.TemplateHash(&is) == was) != e.same {
			t.Errorf("%s: same hash is %v, want %v", name, !e.same, e.same)
		}
	}
	if base.Labels["app"] != "web" {
		t.Error("hashing changed the template")
	}
}

func TestWorkloadAndPod(t *testing.T) {
	three := int32(3)
	tm := template()
	tm.Annotations = map[string]string{restartedAnnotation: noon.Format(time.RFC3339)}
	tm.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": quantity.MustParse("250m"), "memory": quantity.MustParse("1Gi")}}
	tm.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}}}}
	tm.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}},
	}}}}}
	r := NewConverter("k").Resource(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Annotations: map[string]string{
			revisionAnnotation: "7", corev1.LastAppliedConfigAnnotation: canary, "atlhyper.io/protect": "yes", "example.com/other": "x", "argocd.argoproj.io/tracking-id": "id",
		}},
		Spec: appsv1.DeploymentSpec{Replicas: &three, Template: tm},
	})
	w := r.GetWorkload()
	if w.GetDesired() != 3 || w.GetRevision() != "7" || w.GetImages()["web"] != "web:v1" || w.GetRequests().GetCpuCores() != 0.25 ||
		w.GetRequests().GetMemoryBytes() != 1<<30 || !w.GetRestartedAt().AsTime().Equal(noon) || len(w.GetSecrets()) != 1 || len(w.GetConfigMaps()) != 1 {
		t.Errorf("got %v", w)
	}
	want := map[string]string{revisionAnnotation: "7", "atlhyper.io/protect": "yes", "argocd.argoproj.io/tracking-id": "id"}
	if d := cmp.Diff(want, r.GetAnnotations()); d != "" {
		t.Error(d)
	}
	p := NewConverter("k").Resource(&corev1.Pod{
		Spec: tm.Spec,
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "web", RestartCount: 4,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: strings.Repeat("x", 5000)}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137, FinishedAt: metav1.NewTime(noon), Message: "bad \xff text"}},
		}}},
	})
	c := p.GetPod().GetContainers()[0]
	if c.GetReason() != "CrashLoopBackOff" || c.GetLastReason() != "OOMKilled" || c.GetLastExitCode() != 137 || c.GetRestarts() != 4 || len(c.GetMessage()) != maxMessage {
		t.Errorf("got %v", c)
	}
	if b, err := proto.Marshal(p); err != nil || strings.Contains(string(b), canary) {
		t.Errorf("the pod cannot travel, or holds a value: %v", err)
	}
}

func TestEventsOfBothGenerations(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for name, c := range map[string]struct {
		event       *corev1.Event
		count       int32
		first, last time.Time
	}{
		"old":           {&corev1.Event{Count: 5, FirstTimestamp: metav1.NewTime(at(0)), LastTimestamp: metav1.NewTime(at(3))}, 5, at(0), at(3)},
		"new, once":     {&corev1.Event{EventTime: metav1.NewMicroTime(at(1))}, 1, at(1), at(1)},
		"new, a series": {&corev1.Event{EventTime: metav1.NewMicroTime(at(1)), Series: &corev1.EventSeries{Count: 9, LastObservedTime: metav1.NewMicroTime(at(7))}}, 9, at(1), at(7)},
		"without any":   {&corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(at(2))}}, 1, at(2), at(2)},
	} {
		e := NewConverter("k").Resource(c.event).GetEvent()
		if e.GetCount() != c.count || !e.GetFirst().AsTime().Equal(c.first) || !e.GetLast().AsTime().Equal(c.last) {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestRoutes(t *testing.T) {
	c := NewConverter("k")
	backend := func(host, path, service, port, ns string) *report.IngressBackend {
		return &report.IngressBackend{Host: host, Path: path, Service: service, Port: port, ServiceNamespace: ns}
	}
	of := func(kind string, spec map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": spec, "metadata": map[string]any{"name": "r", "namespace": "shop"}}}
		u.SetKind(kind)
		return u
	}
	for name, x := range map[string]struct {
		route *unstructured.Unstructured
		want  []*report.IngressBackend
	}{
		"HTTPRoute": {of("HTTPRoute", map[string]any{
			"hostnames": []any{"a.example", "b.example"},
			"rules": []any{map[string]any{
				"matches":     []any{map[string]any{"path": map[string]any{"value": "/x"}}},
				"backendRefs": []any{map[string]any{"name": "web", "port": int64(80)}, map[string]any{"name": "bucket", "kind": "Bucket"}},
			}},
		}), []*report.IngressBackend{backend("a.example", "/x", "web", "80", ""), backend("b.example", "/x", "web", "80", "")}},
		"IngressRoute": {of("IngressRoute", map[string]any{"routes": []any{map[string]any{
			"match":    "Host(`a.example`) && PathPrefix(`/api`)",
			"services": []any{map[string]any{"name": "api", "port": "http", "namespace": "other"}, map[string]any{"name": "m", "kind": "TraefikService"}},
		}}}), []*report.IngressBackend{backend("a.example", "/api", "api", "http", "other")}},
		"nonsense": {of("HTTPRoute", map[string]any{"rules": "x", "hostnames": []any{int64(1)}}), nil},
	} {
		got := c.Resource(x.route)
		if d := cmp.Diff(x.want, got.GetIngress().GetBackends(), protocmp.Transform()); d != "" || got.GetNamespace() != "shop" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if c.Resource(of("Bucket", nil)) != nil {
		t.Error("an unknown kind was converted")
	}
}

func TestServiceRelations(t *testing.T) {
	c := NewConverter("k")
	no, node, port := false, "worker-1", int32(8080)
	got := c.Resource(&discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		Ports:      []discoveryv1.EndpointPort{{Port: &port}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1"}, NodeName: &node, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "web-1"}},
			{Addresses: []string{"10.0.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
		},
	}).GetEndpointSlice()
	want := &report.EndpointSlice{Service: "web", Ports: []*report.ServicePort{{Port: 8080}}, Endpoints: []*report.Endpoint{
		{Address: "10.0.0.1", Ready: true, Pod: "web-1", Node: "worker-1"}, {Address: "10.0.0.2"},
	}}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	in := c.Resource(&networkingv1.Ingress{Spec: networkingv1.IngressSpec{
		TLS:            []networkingv1.IngressTLS{{SecretName: "cert"}},
		DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Name: "http"}}},
		Rules:          []networkingv1.IngressRule{{Host: "no-paths"}},
	}}).GetIngress()
	if len(in.GetBackends()) != 1 || in.GetBackends()[0].GetPort() != "http" || in.GetTlsSecrets()[0] != "cert" {
		t.Errorf("got %v", in)
	}
}

func TestAutoscalerTargetExceeded(t *testing.T) {
	target, is := int32(70), int32(90)
	cpu := func(v *int32) *autoscalingv2.HorizontalPodAutoscaler {
		return &autoscalingv2.HorizontalPodAutoscaler{
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{Metrics: []autoscalingv2.MetricSpec{{Resource: &autoscalingv2.ResourceMetricSource{
				Name: "cpu", Target: autoscalingv2.MetricTarget{AverageUtilization: &target},
			}}}},
			Status: autoscalingv2.HorizontalPodAutoscalerStatus{CurrentMetrics: []autoscalingv2.MetricStatus{{Resource: &autoscalingv2.ResourceMetricStatus{
				Name: "cpu", Current: autoscalingv2.MetricValueStatus{AverageUtilization: v},
			}}}},
		}
	}
	c := NewConverter("k")
	for _, x := range []struct {
		is   *int32
		want bool
	}{{&is, true}, {&target, false}, {nil, false}} {
		if got := c.Resource(cpu(x.is)).GetHorizontalPodAutoscaler().GetTargetExceeded(); got != x.want {
			t.Errorf("current %v: exceeded is %v", x.is, got)
		}
	}
}

// typicalPod is about what a pod of a real cluster looks like.
func typicalPod(i int) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: fmt.Sprintf("web-5f7d8c9b6d-%05d", i), UID: "0b7c2a2e-7c5f-4f9d-9a53-0f1f3d0c9f11", ResourceVersion: "123456",
			Labels:          map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "5f7d8c9b6d"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-5f7d8c9b6d", UID: "u"}}, CreationTimestamp: metav1.NewTime(noon),
		},
		Spec: template().Spec, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.1.2.3", HostIP: "10.0.0.4"},
	}
	p.Spec.NodeName = "worker-1"
	for _, k := range []corev1.PodConditionType{"PodScheduled", "Initialized", "ContainersReady", "Ready"} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: k, Status: "True", LastTransitionTime: metav1.NewTime(noon)})
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(noon)}}}}
	return p
}

func BenchmarkConvertPod(b *testing.B) {
	w := &Watcher{cfg: Config{Converter: NewConverter("k")}, seed: maphash.MakeSeed()}
	s := &source{kind: kind{name: "Pod"}, watcher: w}
	p := typicalPod(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.transform(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConvertDeployment(b *testing.B) {
	w := &Watcher{cfg: Config{Converter: NewConverter("k")}, seed: maphash.MakeSeed()}
	s := &source{kind: kind{name: "Deployment"}, watcher: w}
	d := &appsv1.Deployment{ObjectMeta: typicalPod(1).ObjectMeta, Spec: appsv1.DeploymentSpec{Template: template()}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.transform(d); err != nil {
			b.Fatal(err)
		}
	}
}
