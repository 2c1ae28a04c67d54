package sim

import (
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
	"github.com/bukahou/atlhyper/agent/sim/controller"
	"github.com/bukahou/atlhyper/agent/sim/kubelet"
)

const (
	nodeCores  = 8.0
	nodeMemory = 16384.0 // MiB
	system     = "kube-system"
)

type stored struct {
	gvr schema.GroupVersionResource
	o   apiserver.Object
}

// furnish creates everything that does not come from a controller.
func (s *Shop) furnish(tx *apiserver.Tx) error {
	objects := s.plan.foundation(tx)
	for _, sv := range s.plan.services {
		objects = append(objects, s.plan.workload(sv)...)
	}
	objects = append(objects, s.plan.addons()...)
	for _, entry := range objects {
		if err := tx.Create(entry.gvr, entry.o); err != nil {
			return fmt.Errorf("create %s %s: %w", entry.gvr.Resource, entry.o.GetName(), err)
		}
	}
	return nil
}

// foundation is namespaces, nodes and the ingress.
func (p *plan) foundation(tx *apiserver.Tx) []stored {
	var out []stored
	for _, name := range []string{"default", system, controller.LeaseNamespace, p.namespace} {
		out = append(out, stored{apiserver.Namespaces, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}},
			Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
		}})
	}
	for i, name := range p.nodes {
		size := corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"),
			corev1.ResourcePods: resource.MustParse("110"), corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
		}
		usable := size.DeepCopy()
		usable[corev1.ResourceCPU], usable[corev1.ResourceMemory] = resource.MustParse("7800m"), resource.MustParse("15Gi")
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
				corev1.LabelTopologyZone: "zone-" + string(rune('a'+i%2)),
			}},
			Spec: corev1.NodeSpec{PodCIDR: fmt.Sprintf("10.244.%d.0/24", i), ProviderID: "example://" + name},
			Status: corev1.NodeStatus{
				Capacity: size, Allocatable: usable,
				Addresses: []corev1.NodeAddress{
					{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.0.%d.%d", 10+i, 11+i)},
					{Type: corev1.NodeHostName, Address: name},
				},
				NodeInfo: corev1.NodeSystemInfo{
					KubeletVersion: "v1.36.3", OSImage: "Debian GNU/Linux 13 (trixie)", KernelVersion: "6.12.48", OperatingSystem: "linux",
					Architecture: "amd64", ContainerRuntimeVersion: "containerd://2.2.1", BootID: string(tx.UID()),
				},
			},
		}
		kubelet.Healthy(tx, node)
		out = append(out, stored{apiserver.Nodes, node})
	}
	class, prefix := "traefik", networkingv1.PathTypePrefix
	out = append(out, stored{apiserver.Ingresses, &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: p.namespace, Namespace: p.namespace, Annotations: map[string]string{
			"atlhyper.io/slo-availability": "99.5", "atlhyper.io/slo-latency": "300ms",
		}},
		Spec: networkingv1.IngressSpec{
			IngressClassName: &class,
			Rules: []networkingv1.IngressRule{{Host: p.host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: networkingv1.IngressBackend{
					Service: &networkingv1.IngressServiceBackend{Name: p.services[frontend].name, Port: networkingv1.ServiceBackendPort{Name: "http"}},
				}}},
			}}}},
		},
		Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{Ingress: []networkingv1.IngressLoadBalancerIngress{{IP: "203.0.113.10"}}}},
	}})
	return out
}

func (s *service) port() int32 {
	switch s.role {
	case cache:
		return 6379
	case database:
		return 5432
	}
	return 8080
}

func (s *service) labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": s.name}
}

func quantities(cpu, memory float64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(int64(cpu*1000), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(int64(memory)<<20, resource.BinarySI),
	}
}

// template is a service's pod template with an image tag.
func (p *plan) template(s *service, tag string) corev1.PodTemplateSpec {
	config, secret := s.name+"-config", s.name+"-credentials"
	fromConfig := func(name, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: config}, Key: key}}}
	}
	request := 0.4 * s.cpuLimit
	if s.role == batch {
		request = 1
	}
	portName := "http"
	if s.kind == statefulSet {
		portName = "tcp-" + s.language
	}
	c := corev1.Container{
		Name: s.name, Image: s.image(p.registry, tag), ImagePullPolicy: corev1.PullIfNotPresent,
		Ports: []corev1.ContainerPort{{Name: portName, ContainerPort: s.port(), Protocol: corev1.ProtocolTCP}},
		Env: []corev1.EnvVar{
			fromConfig("LOG_LEVEL", "LOG_LEVEL"), fromConfig("REGION", "REGION"), fromConfig("TIMEOUT_MS", "TIMEOUT_MS"),
			{Name: "API_KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "api-key"}}},
			{Name: "TRACE_TOKEN", Value: p.canary + "-env"},
		},
		Resources:    corev1.ResourceRequirements{Requests: quantities(request, 0.6*s.memLimit), Limits: quantities(s.cpuLimit, s.memLimit)},
		VolumeMounts: []corev1.VolumeMount{{Name: "scratch", MountPath: "/var/cache/app"}},
	}
	probe := &corev1.Probe{PeriodSeconds: 5, FailureThreshold: 3, InitialDelaySeconds: int32(s.startup.Seconds() / 2)}
	if s.kind == statefulSet {
		probe.ProbeHandler = corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(s.port())}}
	} else {
		probe.ProbeHandler = corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString(portName)}}
	}
	c.ReadinessProbe = probe
	grace, toleration := int64(30), int64(60)
	tolerate := func(key string) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &toleration}
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: s.labels()},
		Spec: corev1.PodSpec{
			Containers:                    []corev1.Container{c},
			Volumes:                       []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			RestartPolicy:                 corev1.RestartPolicyAlways,
			TerminationGracePeriodSeconds: &grace,
			ServiceAccountName:            "default",
			Tolerations:                   []corev1.Toleration{tolerate("node.kubernetes.io/not-ready"), tolerate(controller.UnreachableTaint)},
		},
	}
}

// workload is everything that belongs to one service.
func (p *plan) workload(s *service) []stored {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: p.namespace, Labels: s.labels()}
	}
	out := []stored{
		{apiserver.ConfigMaps, &corev1.ConfigMap{ObjectMeta: meta(s.name + "-config"), Data: map[string]string{
			"LOG_LEVEL": "info", "REGION": "eu-central", "TIMEOUT_MS": strconv.Itoa(2000), "greeting": p.canary + "-config",
		}}},
		{apiserver.Secrets, &corev1.Secret{ObjectMeta: meta(s.name + "-credentials"), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{
			"api-key": []byte(p.canary + "-secret"), "password": []byte(strings.ToUpper(p.canary)),
		}}},
	}
	replicas, history, deadline := int32(s.replicas), int32(10), int32(600)
	selector := &metav1.LabelSelector{MatchLabels: s.labels()}
	portName := "http"
	if s.kind == statefulSet {
		portName = "tcp-" + s.language
		class := "standard"
		out = append(out, stored{apiserver.StatefulSets, &appsv1.StatefulSet{
			ObjectMeta: meta(s.name),
			Spec: appsv1.StatefulSetSpec{
				Replicas: &replicas, Selector: selector, ServiceName: s.name, Template: p.template(s, s.tags[0]),
				PodManagementPolicy: appsv1.OrderedReadyPodManagement, RevisionHistoryLimit: &history,
				UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
				VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
					ObjectMeta: metav1.ObjectMeta{Name: "data"},
					Spec: corev1.PersistentVolumeClaimSpec{
						AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
						Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("20Gi")}},
					},
				}},
			},
		}})
	} else {
		surge, unavailable := intstr.FromString("25%"), intstr.FromString("50%")
		if s.slowToRoll {
			unavailable = intstr.FromString("25%")
		}
		out = append(out, stored{apiserver.Deployments, &appsv1.Deployment{
			ObjectMeta: meta(s.name),
			Spec: appsv1.DeploymentSpec{
				Replicas: &replicas, Selector: selector, Template: p.template(s, s.tags[0]), RevisionHistoryLimit: &history, ProgressDeadlineSeconds: &deadline,
				Strategy: appsv1.DeploymentStrategy{
					Type:          appsv1.RollingUpdateDeploymentStrategyType,
					RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable},
				},
			},
		}})
	}
	if s.role == batch {
		return out
	}
	port := int32(80)
	if s.kind == statefulSet {
		port = s.port()
	}
	service := meta(s.name)
	if s.role == checkout {
		service.Annotations = map[string]string{"atlhyper.io/slo-availability": "98"}
	}
	out = append(out, stored{apiserver.Services, &corev1.Service{
		ObjectMeta: service,
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: fmt.Sprintf("10.96.0.%d", 20+int(s.role)), Selector: s.labels(),
			Ports: []corev1.ServicePort{{Name: portName, Port: port, TargetPort: intstr.FromString(portName), Protocol: corev1.ProtocolTCP}},
		},
	}})
	switch s.role {
	case frontend, checkout, catalog, cache, database:
		one := intstr.FromInt32(1)
		if s.replicas > 3 {
			one = intstr.FromInt32(2)
		}
		out = append(out, stored{apiserver.PodDisruptionBudgets, &policyv1.PodDisruptionBudget{
			ObjectMeta: meta(s.name), Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: selector},
		}})
	}
	return out
}

// addons is what runs in kube-system.
func (p *plan) addons() []stored {
	two, seconds := int32(2), int64(60)
	dns := map[string]string{"k8s-app": "kube-dns"}
	agent := map[string]string{"k8s-app": "node-exporter"}
	container := func(name, image string, port int32, cpu, memory float64) corev1.Container {
		return corev1.Container{
			Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
			Ports:     []corev1.ContainerPort{{Name: name, ContainerPort: port, Protocol: corev1.ProtocolTCP}},
			Resources: corev1.ResourceRequirements{Requests: quantities(cpu/2, memory/2), Limits: quantities(cpu, memory)},
		}
	}
	meta := func(name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: system, Labels: labels}
	}
	return []stored{
		{apiserver.ConfigMaps, &corev1.ConfigMap{ObjectMeta: meta("coredns", dns), Data: map[string]string{"Corefile": ".:53 {\n  forward . /etc/resolv.conf\n}\n"}}},
		{apiserver.Deployments, &appsv1.Deployment{ObjectMeta: meta("coredns", dns), Spec: appsv1.DeploymentSpec{
			Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: dns},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: dns}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{container("coredns", "registry.k8s.io/coredns/coredns:v1.13.1", 53, 0.4, 170)},
				Tolerations: []corev1.Toleration{{Key: controller.UnreachableTaint, Operator: corev1.TolerationOpExists,
					Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds}},
			}},
		}}},
		{apiserver.Services, &corev1.Service{ObjectMeta: meta("kube-dns", dns), Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.10", Selector: dns,
			Ports: []corev1.ServicePort{{Name: "dns-tcp", Port: 53, TargetPort: intstr.FromInt32(53), Protocol: corev1.ProtocolTCP}},
		}}},
		{apiserver.DaemonSets, &appsv1.DaemonSet{ObjectMeta: meta("node-exporter", agent), Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: agent},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: agent}, Spec: corev1.PodSpec{
				HostNetwork: true,
				Containers:  []corev1.Container{container("node-exporter", "quay.io/prometheus/node-exporter:v1.12.1", 9100, 0.2, 128)},
				Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			}},
		}}},
	}
}
