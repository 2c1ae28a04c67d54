package tools

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// column is one column of a kind's list.
type column struct {
	title string
	value func(c *fleet.Cluster, r *report.Resource, now time.Time) string
}

func col(title string, value func(r *report.Resource) string) column {
	return column{title, func(_ *fleet.Cluster, r *report.Resource, _ time.Time) string { return value(r) }}
}

var ageColumn = column{"AGE", func(_ *fleet.Cluster, r *report.Resource, now time.Time) string { return since(r.GetCreated(), now) }}

// columns are what kubectl get shows of a kind, as far as it is reported.
var columns = map[string][]column{
	"Pod": {
		col("READY", podReady), col("STATUS", PodStatus), col("RESTARTS", func(r *report.Resource) string { return fmt.Sprint(restarts(r)) }),
		col("NODE", func(r *report.Resource) string { return r.GetPod().GetNode() }), ageColumn,
	},
	"Node": {
		col("STATUS", nodeStatus), col("VERSION", func(r *report.Resource) string { return r.GetNode().GetKubeletVersion() }),
		col("CPU", func(r *report.Resource) string { return fmt.Sprintf("%g", r.GetNode().GetAllocatable().GetCpuCores()) }),
		col("MEMORY", func(r *report.Resource) string { return Bytes(r.GetNode().GetAllocatable().GetMemoryBytes()) }), ageColumn,
	},
	"Deployment": {workloadReady, col("UP-TO-DATE", func(r *report.Resource) string { return fmt.Sprint(r.GetWorkload().GetUpdated()) }),
		col("AVAILABLE", func(r *report.Resource) string { return fmt.Sprint(r.GetWorkload().GetAvailable()) }), images, ageColumn},
	"StatefulSet": {workloadReady, images, ageColumn},
	"DaemonSet":   {workloadReady, images, ageColumn},
	"ReplicaSet":  {workloadReady, images, ageColumn},
	"Job": {col("COMPLETIONS", func(r *report.Resource) string {
		return fmt.Sprintf("%d/%d", r.GetJob().GetSucceeded(), r.GetJob().GetCompletions())
	}), col("FAILED", func(r *report.Resource) string { return fmt.Sprint(r.GetJob().GetFailed()) }), ageColumn},
	"CronJob": {col("SCHEDULE", func(r *report.Resource) string { return r.GetCronJob().GetSchedule() }),
		col("SUSPEND", func(r *report.Resource) string { return strconv.FormatBool(r.GetCronJob().GetSuspend()) }),
		{"LAST", func(_ *fleet.Cluster, r *report.Resource, now time.Time) string {
			return since(r.GetCronJob().GetLastSchedule(), now)
		}}, ageColumn},
	"Service": {col("TYPE", func(r *report.Resource) string { return r.GetService().GetType() }),
		{"ENDPOINTS", func(c *fleet.Cluster, r *report.Resource, _ time.Time) string { return endpoints(c, r) }},
		col("PORTS", func(r *report.Resource) string { return ports(r.GetService().GetPorts()) }), ageColumn},
	"EndpointSlice": {col("SERVICE", func(r *report.Resource) string { return r.GetEndpointSlice().GetService() }),
		col("READY", func(r *report.Resource) string {
			ready, all := readyEndpoints(r)
			return fmt.Sprintf("%d/%d", ready, all)
		}), ageColumn},
	"Ingress": {col("HOSTS", func(r *report.Resource) string {
		return list(r.GetIngress().GetBackends(), func(b *report.IngressBackend) string { return b.GetHost() + b.GetPath() })
	}), col("BACKENDS", func(r *report.Resource) string {
		return list(r.GetIngress().GetBackends(), func(b *report.IngressBackend) string { return b.GetService() + ":" + b.GetPort() })
	}), ageColumn},
	"ConfigMap": {col("KEYS", func(r *report.Resource) string { return strings.Join(r.GetConfig().GetKeys(), ", ") }), ageColumn},
	"Secret": {col("TYPE", func(r *report.Resource) string { return r.GetConfig().GetType() }),
		col("KEYS", func(r *report.Resource) string { return strings.Join(r.GetConfig().GetKeys(), ", ") }), ageColumn},
	"PersistentVolume": {col("STATUS", func(r *report.Resource) string { return r.GetPersistentVolume().GetPhase() }),
		col("CAPACITY", func(r *report.Resource) string { return Bytes(r.GetPersistentVolume().GetCapacityBytes()) }),
		col("CLAIM", func(r *report.Resource) string { return r.GetPersistentVolume().GetClaim() }), ageColumn},
	"PersistentVolumeClaim": {col("STATUS", func(r *report.Resource) string { return r.GetPersistentVolumeClaim().GetPhase() }),
		col("REQUESTED", func(r *report.Resource) string { return Bytes(r.GetPersistentVolumeClaim().GetRequestedBytes()) }),
		col("VOLUME", func(r *report.Resource) string { return r.GetPersistentVolumeClaim().GetVolume() }), ageColumn},
	"NetworkPolicy": {col("TYPES", func(r *report.Resource) string { return strings.Join(r.GetNetworkPolicy().GetPolicyTypes(), ", ") }),
		col("PODS", func(r *report.Resource) string { return labels(r.GetNetworkPolicy().GetPodSelector()) }), ageColumn},
	"ServiceAccount": {ageColumn},
	"ResourceQuota": {col("USED/HARD", func(r *report.Resource) string {
		var out []string
		for k, hard := range r.GetResourceQuota().GetHard() {
			out = append(out, fmt.Sprintf("%s %s/%s", k, r.GetResourceQuota().GetUsed()[k], hard))
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}), ageColumn},
	"LimitRange": {col("LIMITS", func(r *report.Resource) string { return fmt.Sprint(r.GetLimitRange().GetLimits()) }), ageColumn},
	"HorizontalPodAutoscaler": {col("TARGET", func(r *report.Resource) string {
		t := r.GetHorizontalPodAutoscaler().GetTarget()
		return strings.ToLower(t.GetKind()) + "/" + t.GetName()
	}), col("MIN/MAX", func(r *report.Resource) string {
		h := r.GetHorizontalPodAutoscaler()
		return fmt.Sprintf("%d/%d", h.GetMin(), h.GetMax())
	}), col("REPLICAS", func(r *report.Resource) string { return fmt.Sprint(r.GetHorizontalPodAutoscaler().GetCurrent()) }), ageColumn},
	"PodDisruptionBudget": {col("ALLOWED", func(r *report.Resource) string {
		return fmt.Sprint(r.GetPodDisruptionBudget().GetDisruptionsAllowed())
	}), col("HEALTHY", func(r *report.Resource) string {
		p := r.GetPodDisruptionBudget()
		return fmt.Sprintf("%d of %d needed", p.GetCurrentHealthy(), p.GetDesiredHealthy())
	}), ageColumn},
	"Namespace": {col("STATUS", func(r *report.Resource) string { return r.GetNamespaceDetail().GetPhase() }), ageColumn},
	"Event": {col("TYPE", func(r *report.Resource) string { return r.GetEvent().GetType() }), col("REASON", func(r *report.Resource) string { return r.GetEvent().GetReason() }),
		col("OBJECT", func(r *report.Resource) string {
			return strings.ToLower(r.GetEvent().GetRegarding().GetKind()) + "/" + r.GetEvent().GetRegarding().GetName()
		}),
		col("COUNT", func(r *report.Resource) string { return fmt.Sprint(r.GetEvent().GetCount()) }),
		{"LAST", func(_ *fleet.Cluster, r *report.Resource, now time.Time) string {
			return since(r.GetEvent().GetLast(), now)
		}},
		col("MESSAGE", func(r *report.Resource) string { return r.GetEvent().GetMessage() })},
	"HTTPRoute": routes, "GRPCRoute": routes, "IngressRoute": routes,
}

var routes = []column{col("BACKENDS", func(r *report.Resource) string {
	return list(r.GetIngress().GetBackends(), func(b *report.IngressBackend) string { return b.GetHost() + b.GetPath() + " → " + b.GetService() })
}), ageColumn}

var workloadReady = col("READY", func(r *report.Resource) string {
	return fmt.Sprintf("%d/%d", r.GetWorkload().GetReady(), r.GetWorkload().GetDesired())
})

var images = col("IMAGES", func(r *report.Resource) string {
	var out []string
	for _, i := range r.GetWorkload().GetImages() {
		out = append(out, i)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
})

// PodStatus is the word that kubectl shows: the worst container's reason, else the pod's own, else its phase.
func PodStatus(r *report.Resource) string {
	p := r.GetPod()
	if r.GetDeleting().IsValid() && r.GetDeleting().GetSeconds() > 0 {
		return "Terminating"
	}
	for _, c := range p.GetContainers() {
		if c.GetReason() != "" && c.GetReason() != "Completed" {
			if c.GetInit() {
				return "Init:" + c.GetReason()
			}
			return c.GetReason()
		}
	}
	if p.GetReason() != "" {
		return p.GetReason()
	}
	return p.GetPhase()
}

func podReady(r *report.Resource) string {
	ready, all := 0, 0
	for _, c := range r.GetPod().GetContainers() {
		if c.GetInit() {
			continue
		}
		all++
		if c.GetReady() {
			ready++
		}
	}
	return fmt.Sprintf("%d/%d", ready, all)
}

func restarts(r *report.Resource) (n int32) {
	for _, c := range r.GetPod().GetContainers() {
		n += c.GetRestarts()
	}
	return n
}

func nodeStatus(r *report.Resource) string {
	s := "NotReady"
	if r.GetNode().GetReady() {
		s = "Ready"
	}
	if r.GetNode().GetUnschedulable() {
		s += ",SchedulingDisabled"
	}
	for _, c := range r.GetNode().GetConditions() {
		if strings.HasSuffix(c.GetType(), "Pressure") && c.GetStatus() == "True" {
			s += "," + c.GetType()
		}
	}
	return s
}

func endpoints(c *fleet.Cluster, svc *report.Resource) string {
	ready, all := serviceEndpoints(c, svc)
	return fmt.Sprintf("%d/%d", ready, all)
}

func serviceEndpoints(c *fleet.Cluster, svc *report.Resource) (ready, all int) {
	for _, s := range c.List("EndpointSlice", svc.GetNamespace()) {
		if s.GetEndpointSlice().GetService() == svc.GetName() {
			r, a := readyEndpoints(s)
			ready, all = ready+r, all+a
		}
	}
	return ready, all
}

func readyEndpoints(s *report.Resource) (ready, all int) {
	for _, e := range s.GetEndpointSlice().GetEndpoints() {
		all++
		if e.GetReady() {
			ready++
		}
	}
	return ready, all
}

func ports(ps []*report.ServicePort) string {
	return list(ps, func(p *report.ServicePort) string { return fmt.Sprintf("%d/%s", p.GetPort(), p.GetProtocol()) })
}

func list[T any](items []T, show func(T) string) string {
	out := make([]string, 0, len(items))
	for _, i := range items {
		out = append(out, show(i))
	}
	return strings.Join(out, ", ")
}

func labels(m map[string]string) string {
	out := make([]string, 0, len(m))
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

func since(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil || t.GetSeconds() <= 0 {
		return ""
	}
	return Age(now.Sub(t.AsTime()))
}

// Age gives a duration the way kubectl does: "45s", "12m", "3h", "9d".
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// Bytes gives a size with a binary unit: "1.5 GiB".
func Bytes(b float64) string {
	for _, u := range []string{"B", "KiB", "MiB", "GiB"} {
		if b < 1024 {
			return fmt.Sprintf("%.4g %s", b, u)
		}
		b /= 1024
	}
	return fmt.Sprintf("%.4g TiB", b)
}
