package kube

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/report"
)

func (c *Converter) pod(p *corev1.Pod) *report.Resource {
	r := resource("Pod", &p.ObjectMeta)
	refs := references(&p.Spec)
	d := &report.Pod{
		Phase: string(p.Status.Phase), Node: intern(p.Spec.NodeName), PodIp: p.Status.PodIP, HostIp: intern(p.Status.HostIP),
		Reason: p.Status.Reason, Message: clean(p.Status.Message), QosClass: string(p.Status.QOSClass),
		ServiceAccount: intern(p.Spec.ServiceAccountName), Started: at(p.Status.StartTime), PriorityClass: intern(p.Spec.PriorityClassName),
		Claims: refs.claims, ConfigMaps: refs.configMaps, Secrets: refs.secrets,
	}
	for _, s := range p.Status.Conditions {
		d.Conditions = append(d.Conditions, condition(s.Type, s.Status, s.Reason, s.Message, s.LastTransitionTime))
	}
	statuses := make(map[string]*corev1.ContainerStatus, len(p.Status.ContainerStatuses)+len(p.Status.InitContainerStatuses))
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			statuses[list[i].Name] = &list[i]
		}
	}
	for i := range p.Spec.InitContainers {
		d.Containers = append(d.Containers, container(&p.Spec.InitContainers[i], statuses, true))
	}
	for i := range p.Spec.Containers {
		d.Containers = append(d.Containers, container(&p.Spec.Containers[i], statuses, false))
	}
	r.Detail = &report.Resource_Pod{Pod: d}
	return r
}

func container(c *corev1.Container, statuses map[string]*corev1.ContainerStatus, init bool) *report.Container {
	out := &report.Container{
		Name: intern(c.Name), Image: intern(c.Image), Init: init,
		Requests: quantities(c.Resources.Requests), Limits: quantities(c.Resources.Limits),
	}
	for _, p := range c.Ports {
		proto := p.Protocol
		if proto == "" {
			proto = corev1.ProtocolTCP
		}
		port := strconv.Itoa(int(p.ContainerPort)) + "/" + string(proto)
		if p.Name != "" {
			port = p.Name + ":" + port
		}
		out.Ports = append(out.Ports, intern(port))
	}
	s := statuses[c.Name]
	if s == nil {
		return out
	}
	out.Ready, out.Restarts = s.Ready, s.RestartCount
	switch {
	case s.State.Waiting != nil:
		out.State, out.Reason, out.Message = "waiting", intern(s.State.Waiting.Reason), clean(s.State.Waiting.Message)
	case s.State.Running != nil:
		out.State, out.Started = "running", at(&s.State.Running.StartedAt)
	case s.State.Terminated != nil:
		t := s.State.Terminated
		out.State, out.Reason, out.Message = "terminated", intern(t.Reason), clean(t.Message)
		out.ExitCode, out.Started = t.ExitCode, at(&t.StartedAt)
	}
	if t := s.LastTerminationState.Terminated; t != nil {
		out.LastReason, out.LastExitCode = intern(t.Reason), t.ExitCode
		out.LastFinished, out.LastMessage = at(&t.FinishedAt), clean(t.Message)
	}
	return out
}

// uses names what a pod refers to.
type uses struct{ claims, configMaps, secrets []string }

func references(s *corev1.PodSpec) uses {
	claims, configs, secrets := map[string]struct{}{}, map[string]struct{}{}, map[string]struct{}{}
	note := func(set map[string]struct{}, name string) {
		if name != "" {
			set[intern(name)] = struct{}{}
		}
	}
	for i := range s.Volumes {
		v := &s.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			note(claims, v.PersistentVolumeClaim.ClaimName)
		case v.ConfigMap != nil:
			note(configs, v.ConfigMap.Name)
		case v.Secret != nil:
			note(secrets, v.Secret.SecretName)
		case v.Projected != nil:
			for _, p := range v.Projected.Sources {
				if p.ConfigMap != nil {
					note(configs, p.ConfigMap.Name)
				}
				if p.Secret != nil {
					note(secrets, p.Secret.Name)
				}
			}
		}
	}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			for _, e := range list[i].EnvFrom {
				if e.ConfigMapRef != nil {
					note(configs, e.ConfigMapRef.Name)
				}
				if e.SecretRef != nil {
					note(secrets, e.SecretRef.Name)
				}
			}
			for _, e := range list[i].Env {
				if e.ValueFrom == nil {
					continue
				}
				if k := e.ValueFrom.ConfigMapKeyRef; k != nil {
					note(configs, k.Name)
				}
				if k := e.ValueFrom.SecretKeyRef; k != nil {
					note(secrets, k.Name)
				}
			}
		}
	}
	for _, p := range s.ImagePullSecrets {
		note(secrets, p.Name)
	}
	return uses{sorted(claims), sorted(configs), sorted(secrets)}
}

func node(n *corev1.Node) *report.Resource {
	r := resource("Node", &n.ObjectMeta)
	d := &report.Node{
		Unschedulable: n.Spec.Unschedulable, Capacity: quantities(n.Status.Capacity), Allocatable: quantities(n.Status.Allocatable),
		KubeletVersion: n.Status.NodeInfo.KubeletVersion, OsImage: n.Status.NodeInfo.OSImage, ProviderId: n.Spec.ProviderID,
	}
	for _, s := range n.Status.Conditions {
		d.Conditions = append(d.Conditions, condition(s.Type, s.Status, s.Reason, s.Message, s.LastTransitionTime))
		if s.Type == corev1.NodeReady {
			d.Ready = s.Status == corev1.ConditionTrue
		}
	}
	for _, t := range n.Spec.Taints {
		d.Taints = append(d.Taints, &report.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	for _, a := range n.Status.Addresses {
		if d.Addresses == nil {
			d.Addresses = map[string]string{}
		}
		d.Addresses[string(a.Type)] = a.Address
	}
	r.Detail = &report.Resource_Node{Node: d}
	return r
}
