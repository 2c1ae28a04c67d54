package command_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/command/commandtest"
	"github.com/bukahou/atlhyper/engine/entity"
)

func TestClassify(t *testing.T) {
	a := commandtest.Shop(time.Now)
	view, _ := a.Fleet.Cluster(commandtest.Cluster)
	other := payments
	other.Cluster = "prod-us"
	protected := command.Policy{ProtectedClusters: []string{commandtest.Cluster}}
	for name, c := range map[string]struct {
		command command.Command
		policy  command.Policy
		want    command.Class
		why     string
	}{
		"a restart":                              {restart(payments), command.Policy{}, command.W1, "reversible"},
		"a rollback":                             {command.Command{Verb: command.Rollback, Target: payments}, command.Policy{}, command.W1, "reversible"},
		"a cordon":                               {command.Command{Verb: command.Cordon, Target: worker}, command.Policy{}, command.W1, "reversible"},
		"3 to 2 replicas, more than half":        {scale(2), command.Policy{}, command.W1, "reversible"},
		"3 to 6 replicas, the double":            {scale(6), command.Policy{}, command.W1, "reversible"},
		"3 to 7 replicas":                        {scale(7), command.Policy{}, command.W2, "3 → 7 is beyond half to double"},
		"3 to 1 replica, less than half":         {scale(1), command.Policy{}, command.W2, "beyond"},
		"to zero":                                {scale(0), command.Policy{}, command.W3, "stops it"},
		"an image":                               {command.Command{Verb: command.SetImage, Target: payments, Container: "app", Image: "a:b"}, command.Policy{}, command.W2, "not simply reversible"},
		"a pod with an owner":                    {command.Command{Verb: command.DeletePod, Target: pod}, command.Policy{}, command.W1, "makes a new one"},
		"a bare pod":                             {command.Command{Verb: command.DeletePod, Target: bare}, command.Policy{}, command.W3, "does not come back"},
		"a drain":                                {command.Command{Verb: command.Drain, Target: worker}, command.Policy{}, command.W3, "evicted"},
		"a restart in kube-system":               {restart(dns), command.Policy{}, command.W2, "namespace kube-system is protected"},
		"kube-system where nothing is protected": {restart(dns), command.Policy{ProtectedNamespaces: []string{}}, command.W1, "reversible"},
		"a restart in a protected cluster":       {restart(payments), protected, command.W2, "cluster prod-eu is protected"},
		"a cordon in a protected cluster":        {command.Command{Verb: command.Cordon, Target: worker}, protected, command.W2, "cluster prod-eu is protected"},
		"a drain in a protected cluster":         {command.Command{Verb: command.Drain, Target: worker}, protected, command.W3, "evicted"},
		"an unknown object":                      {restart(commandtest.Ref(entity.Deployment, "shop", "cart")), command.Policy{}, command.Refused, "not known"},
		"another cluster than the view's":        {restart(other), command.Policy{}, command.Refused, "not known"},
		"an unknown verb":                        {command.Command{Verb: "apply", Target: payments}, command.Policy{}, command.Refused, "not a change"},
		"no command at all":                      {command.Command{}, command.Policy{}, command.Refused, "not a change"},
	} {
		t.Run(name, func(t *testing.T) {
			got, why := command.Classify(c.command, view, c.policy)
			if got != c.want || !strings.Contains(why, c.why) {
				t.Errorf("got %s (%s)", got, why)
			}
		})
	}
	if got, _ := command.Classify(restart(payments), nil, command.Policy{}); got != command.Refused {
		t.Errorf("without a view: %s", got)
	}
}

func TestDigest(t *testing.T) {
	a, b := scale(4), scale(5)
	if a.Digest() != scale(4).Digest() || a.Digest() == b.Digest() || len(a.Digest()) != 64 {
		t.Errorf("%s %s", a.Digest(), b.Digest())
	}
	const want = `{"verb":"scale","target":{"cluster":"prod-eu","kind":"Deployment","namespace":"shop","name":"payments"},"replicas":4}`
	if got := string(a.Canonical()); got != want {
		t.Errorf("canonical form %s", got)
	}
}

func TestImageReferences(t *testing.T) {
	for image, ok := range map[string]bool{
		"nginx": true, "nginx:1.27": true, "shop/cart:v2.3.1": true, "registry.example.com/shop/cart:v1": true, "localhost/cart": true,
		"registry:5000/shop/cart": true, "127.0.0.1:5000/cart:x": true, "a__b/c-d.e:T_1": true, "cart@sha256:" + strings.Repeat("a", 64): true,
		"cart:v1@sha256:" + strings.Repeat("0", 64): true,
		"": false, " nginx": false, "Shop/cart": false, "cart:": false, "cart:v1:v2": false, "cart@sha256:abc": false, "-cart": false, "cart/": false,
		"/cart": false, "cart:" + strings.Repeat("v", 129): false, "a//b": false, "cart;reboot": false, "cart:v1\n": false, "registry:port/cart": false,
	} {
		c := command.Command{Verb: command.SetImage, Target: payments, Container: "app", Image: image}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", image, err)
		}
	}
}

func TestToReport(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, c := range []command.Command{
		restart(payments), scale(4), {Verb: command.Rollback, Target: payments, Revision: 17},
		{Verb: command.SetImage, Target: payments, Container: "app", Image: "a:b"}, {Verb: command.DeletePod, Target: pod},
		{Verb: command.Cordon, Target: worker}, {Verb: command.Uncordon, Target: worker}, {Verb: command.Drain, Target: worker, DeleteEmptyDirData: true},
	} {
		r := command.ToReport(c, "id", "uid", "7", true, at)
		if r.GetChange() == nil || r.GetTarget().GetName() != c.Target.Name || r.GetTarget().GetKind() != c.Target.Kind || r.GetId() != "id" ||
			r.GetUid() != "uid" || r.GetResourceVersion() != "7" || !r.GetDryRun() || !r.GetNotAfter().AsTime().Equal(at) {
			t.Errorf("%s: %v", c.Verb, r)
		}
	}
	if r := command.ToReport(command.Command{Verb: "exec"}, "", "", "", false, at); r.GetChange() != nil {
		t.Errorf("an unknown verb became %v", r)
	}
	if r := command.ToReport(scale(0), "", "", "", false, at); r.GetScale() == nil || r.GetScale().GetReplicas() != 0 {
		t.Errorf("scale to zero became %v", r)
	}
}

// touches is the preview's blast radius after the shop was changed.
func TestPreview(t *testing.T) {
	argo := func(r *report.Resource) {
		r.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "shop:apps/Deployment"}
	}
	flux := func(r *report.Resource) { r.Labels["kustomize.toolkit.fluxcd.io/name"] = "shop" }
	operator := func(r *report.Resource) {
		r.Owners = []*report.Owner{{Kind: "Gateway", Name: "edge", Uid: "g-1", Controller: true}}
	}
	for name, c := range map[string]struct {
		command command.Command
		change  func(*report.Resource)
		touches []string
		warning string
	}{
		"a restart":               {restart(payments), nil, []string{"3 pods, rolling, at least 2 stay up"}, ""},
		"a share is rounded down": {restart(payments), func(r *report.Resource) { r.GetWorkload().Desired, r.GetWorkload().MaxUnavailable = 7, "25%" }, []string{"7 pods, rolling, at least 6 stay up", "3 of 7 are ready now"}, ""},
		"the default share":       {restart(payments), func(r *report.Resource) { r.GetWorkload().MaxUnavailable = "" }, []string{"3 pods, rolling, at least 3 stay up"}, ""},
		"neither share gives a pod": {restart(payments), func(r *report.Resource) {
			r.GetWorkload().MaxUnavailable, r.GetWorkload().MaxSurge = "25%", "0"
		}, []string{"3 pods, rolling, at least 2 stay up"}, ""},
		"recreate": {restart(payments), func(r *report.Resource) { r.GetWorkload().Strategy = "Recreate" }, []string{"3 pods, all at once: none stays up"}, ""},
		"what is down already is said": {restart(payments), func(r *report.Resource) { r.GetWorkload().Ready = 1 },
			[]string{"3 pods, rolling, at least 2 stay up", "1 of 3 are ready now"}, ""},
		"paused":                            {restart(payments), func(r *report.Resource) { r.GetWorkload().Paused = true }, []string{"3 pods, rolling, at least 2 stay up"}, "paused"},
		"scaling up":                        {scale(4), nil, []string{"3 → 4: 1 pod starts"}, ""},
		"scaling down":                      {scale(2), nil, []string{"3 → 2: 1 pod stops, 2 stay up"}, ""},
		"scaling to zero":                   {scale(0), nil, []string{"3 pods: all stop"}, ""},
		"owned by Argo CD":                  {scale(4), argo, []string{"3 → 4: 1 pod starts"}, "Argo CD manages it: this will be reverted"},
		"owned by Flux":                     {scale(4), flux, []string{"3 → 4: 1 pod starts"}, "Flux manages it: this will be reverted"},
		"owned by an operator":              {scale(4), operator, []string{"3 → 4: 1 pod starts"}, "Gateway edge manages it and may revert this"},
		"an operator lets a restart be":     {restart(payments), operator, []string{"3 pods, rolling, at least 2 stay up"}, ""},
		"Argo CD does not revert a restart": {restart(payments), argo, []string{"3 pods, rolling, at least 2 stay up"}, ""},
		"a pod with an owner":               {command.Command{Verb: command.DeletePod, Target: pod}, nil, []string{"1 of 3 pods of deployment/payments; a new one starts"}, ""},
		"a bare pod":                        {command.Command{Verb: command.DeletePod, Target: bare}, nil, []string{"1 pod; it does not come back"}, ""},
		"a cordon":                          {command.Command{Verb: command.Cordon, Target: worker}, nil, []string{"3 pods stay; new ones go to other nodes"}, ""},
		"a drain":                           {command.Command{Verb: command.Drain, Target: worker}, nil, []string{"2 pods evicted; pods of DaemonSets stay"}, "1 pod without an owner and will not come back: shop/debug"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				if c.change != nil {
					w.agent.Change(payments, c.change)
				}
				p := w.propose(mia, c.command)
				if !slices.Equal(p.Preview.Touches, c.touches) {
					t.Errorf("touches %q", p.Preview.Touches)
				}
				if all := strings.Join(p.Preview.Warnings, "; "); !strings.Contains(all, c.warning) || c.warning == "" && all != "" {
					t.Errorf("warnings %q", p.Preview.Warnings)
				}
			})
		})
	}
}

func TestUndo(t *testing.T) {
	for name, c := range map[string]struct {
		command command.Command
		want    *command.Command
	}{
		"scaling":    {scale(4), &command.Command{Verb: command.Scale, Target: payments, Replicas: 3}},
		"an image":   {command.Command{Verb: command.SetImage, Target: payments, Container: "app", Image: "a:b"}, &command.Command{Verb: command.SetImage, Target: payments, Container: "app", Image: "shop/payments:v2.4.0"}},
		"a cordon":   {command.Command{Verb: command.Cordon, Target: worker}, &command.Command{Verb: command.Uncordon, Target: worker}},
		"a restart":  {restart(payments), nil},
		"a drain":    {command.Command{Verb: command.Drain, Target: worker}, nil},
		"a deletion": {command.Command{Verb: command.DeletePod, Target: pod}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				p := w.propose(mia, c.command)
				if (p.Undo == nil) != (c.want == nil) || p.Undo != nil && *p.Undo != *c.want {
					t.Errorf("undo %+v", p.Undo)
				}
			})
		})
	}
}
