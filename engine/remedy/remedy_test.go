package remedy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/incident"
)

var now = time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)

func ref(kind, name string) entity.Ref {
	r := entity.Ref{Cluster: "prod", Kind: kind, Namespace: "shop", Name: name}
	if kind == entity.Node {
		r.Namespace = ""
	}
	return r
}

// cluster has deployment/cart at revision 3 after 2 and 1, deployment/first at its only revision, deployment/torn whose
// revision 3 is a restart of 2, statefulset/db, and their pods on worker-1.
func cluster() *fleet.Cluster {
	c := fleet.New(fleet.Config{}).Join("prod")
	images := func(name, revision string) map[string]string {
		if name == "torn" && revision == "3" {
			revision = "2"
		}
		return map[string]string{"main": "shop/" + name + ":v" + revision}
	}
	deployment := func(name, revision string, revisions ...string) []*report.Resource {
		out := []*report.Resource{{Kind: "Deployment", Namespace: "shop", Name: name, Uid: name, Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 3, Revision: revision, TemplateHash: "h" + revision, Images: images(name, revision)}}}}
		for _, r := range revisions {
			out = append(out, &report.Resource{
				Kind: "ReplicaSet", Namespace: "shop", Name: name + "-" + r, Uid: name + r, Owners: []*report.Owner{{Kind: "Deployment", Name: name, Uid: name, Controller: true}},
				Detail: &report.Resource_Workload{Workload: &report.Workload{Revision: r, Images: images(name, r)}},
			})
		}
		return append(out, &report.Resource{
			Kind: "Pod", Namespace: "shop", Name: name + "-pod", Uid: name + "pod", Owners: []*report.Owner{{Kind: "ReplicaSet", Name: name + "-" + revision, Uid: name + revision, Controller: true}},
			Detail: &report.Resource_Pod{Pod: &report.Pod{Node: "worker-1"}},
		})
	}
	batch := &report.ReportRequest{ResyncBegin: true, ResyncEnd: true}
	batch.Upserts = append(deployment("cart", "3", "1", "2", "3"), deployment("first", "1", "1")...)
	batch.Upserts = append(batch.Upserts, deployment("torn", "3", "1", "2", "3")...)
	batch.Upserts = append(batch.Upserts,
		&report.Resource{Kind: "StatefulSet", Namespace: "shop", Name: "db", Uid: "db", Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 1}}},
		&report.Resource{Kind: "Pod", Namespace: "shop", Name: "bare", Uid: "bare", Detail: &report.Resource_Pod{Pod: &report.Pod{Node: "worker-1"}}},
		&report.Resource{Kind: "EndpointSlice", Namespace: "shop", Name: "cart-x", Uid: "e", Detail: &report.Resource_EndpointSlice{EndpointSlice: &report.EndpointSlice{Service: "cart", Endpoints: []*report.Endpoint{{Pod: "cart-pod", Ready: true}}}}},
		&report.Resource{Kind: "Node", Name: "worker-1", Uid: "n1", Detail: &report.Resource_Node{Node: &report.Node{}}},
		&report.Resource{Kind: "Node", Name: "worker-2", Uid: "n2", Detail: &report.Resource_Node{Node: &report.Node{Unschedulable: true}}})
	batch.Frames = []*report.TelemetryFrame{{Samples: []*report.Sample{
		{Entity: &report.EntityRef{Kind: "Pod", Namespace: "shop", Name: "first-pod"}, Metric: "cpu_usage", Value: 3.5},
		{Entity: &report.EntityRef{Kind: "Pod", Namespace: "shop", Name: "cart-pod"}, Metric: "cpu_usage", Value: 0.3},
	}}}
	c.Apply(now, batch)
	return c
}

func TestSuggest(t *testing.T) {
	image := func(name, template string) fleet.Change {
		return fleet.Change{At: now, Entity: ref("Deployment", name), Kind: "image", Before: "v1", After: "v2", Template: template}
	}
	cases := []struct {
		name  string
		cause incident.Cause
		want  []string
	}{
		{"a crash loop after a new image is rolled back to the revision before", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "CrashLoopBackOff", Suspects: []fleet.Change{image("cart", "h3")}}, []string{"rollback deployment/cart revision 2"}},
		{"errors on a service are mended on its workload", incident.Cause{Entity: ref("Service", "cart"), Kind: "error_rate", Suspects: []fleet.Change{image("cart", "h3")}}, []string{"rollback deployment/cart revision 2"}},
		{"a rollout that somebody has replaced already is not undone once more", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "CrashLoopBackOff", Suspects: []fleet.Change{image("cart", "h9")}}, []string{"rollout_restart deployment/cart"}},
		{"a change elsewhere is not undone", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "CrashLoopBackOff", Suspects: []fleet.Change{image("first", "h1")}}, []string{"rollout_restart deployment/cart"}},
		{"an image that cannot be pulled is rolled back without a suspect too", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "ImagePullBackOff"}, []string{"rollback deployment/cart revision 2"}},
		{"a restart of what cannot be pulled is no way back", incident.Cause{Entity: ref("Deployment", "torn"), Kind: "ImagePullBackOff"}, []string{"rollback deployment/torn revision 1"}},
		{"a first rollout has nothing to go back to", incident.Cause{Entity: ref("Deployment", "first"), Kind: "ImagePullBackOff"}, []string{"none: Its image cannot be pulled and there is no earlier revision with another: mend the image or the registry's credentials."}},
		{"a configuration error from a rollout is rolled back", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "CreateContainerConfigError", Suspects: []fleet.Change{{Entity: ref("Deployment", "cart"), Kind: "rollout", Template: "h3"}}}, []string{"rollback deployment/cart revision 2"}},
		{"a configuration error without one must be mended by hand", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "CreateContainerConfigError"}, []string{"none: The configuration that the pods refer to is missing or wrong: mend the ConfigMap, the Secret or the reference."}},
		{"a node that is not ready is cordoned, then drained", incident.Cause{Entity: ref("Node", "worker-1"), Kind: "NotReady"}, []string{"cordon node/worker-1", "drain node/worker-1"}},
		{"a cordoned one is drained", incident.Cause{Entity: ref("Node", "worker-2"), Kind: "NotReady"}, []string{"drain node/worker-2"}},
		{"a memory kill without a change is restarted", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "OOMKilled"}, []string{"rollout_restart deployment/cart"}},
		{"a slow workload is restarted, or scaled by half", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "p95_latency"}, []string{"rollout_restart deployment/cart", "scale deployment/cart to 5"}},
		{"a StatefulSet is restarted as well", incident.Cause{Entity: ref("StatefulSet", "db"), Kind: "CrashLoopBackOff"}, []string{"rollout_restart statefulset/db"}},
		{"a pod that takes what its neighbours need is deleted", incident.Cause{Entity: ref("Pod", "cart-pod"), Kind: "cpu_usage"}, []string{"delete_pod pod/cart-pod"}},
		{"a saturated node loses the one pod that saturates it", incident.Cause{Entity: ref("Node", "worker-1"), Kind: "cpu_usage"}, []string{"delete_pod pod/first-pod"}},
		{"a pod without an owner is not deleted", incident.Cause{Entity: ref("Pod", "bare"), Kind: "cpu_usage"}, []string{"none: pod/bare has no owner that would replace it: deleting it would end what it does."}},
		{"pods that do not fit after scaling up are scaled back", incident.Cause{Entity: ref("Deployment", "cart"), Kind: "Unschedulable", Suspects: []fleet.Change{{Entity: ref("Deployment", "cart"), Kind: "scale", Before: "2", After: "3"}}}, []string{"scale deployment/cart to 2"}},
		{"an expired certificate is beyond commands", incident.Cause{Entity: ref("Ingress", "web"), Kind: "CertificateExpired"}, []string{"none: The certificate must be renewed."}},
		{"what is outside the cluster is beyond us", incident.Cause{Entity: ref(entity.External, "api.example.com"), Kind: "error_rate"}, []string{"none: api.example.com is outside the cluster: nothing here can mend it."}},
		{"a workload that is gone needs nothing", incident.Cause{Entity: ref("Deployment", "old"), Kind: "CrashLoopBackOff"}, []string{"none: deployment/old is gone."}},
		{"without a cause there is nothing to do", incident.Cause{}, []string{"none: No cause is known yet."}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c, i := cluster(), &incident.Incident{Cause: tc.cause}
			var got []string
			for _, s := range Suggest(i, c) {
				text := string(s.Command.Verb) + " " + s.Command.Target.Short()
				if s.Command.Revision != 0 {
					text += fmt.Sprintf(" revision %d", s.Command.Revision)
				}
				if s.Command.Replicas != 0 {
					text += fmt.Sprintf(" to %d", s.Command.Replicas)
				}
				if s.Why == "" {
					t.Errorf("%s without a reason", text)
				}
				got = append(got, text)
			}
			if why := None(i, c); why != "" {
				got = append(got, "none: "+why)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("suggestions (-want +got):\n%s", diff)
			}
		})
	}
}
