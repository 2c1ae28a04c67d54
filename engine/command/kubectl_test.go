package command_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
)

func deployment(ns, name string) entity.Ref {
	return entity.Ref{Kind: entity.Deployment, Namespace: ns, Name: name}
}

func node(name string) entity.Ref { return entity.Ref{Kind: entity.Node, Name: name} }

func TestKubectlChanges(t *testing.T) {
	for text, want := range map[string]command.Command{
		"kubectl rollout restart deploy/payments -n shop":                         {Verb: command.RolloutRestart, Target: deployment("shop", "payments")},
		"k  rollout\trestart deployment payments":                                 {Verb: command.RolloutRestart, Target: deployment("", "payments")},
		"kubectl -n shop rollout undo deployments.apps/payments --to-revision=17": {Verb: command.Rollback, Target: deployment("shop", "payments"), Revision: 17},
		"kubectl rollout undo deploy payments -nshop":                             {Verb: command.Rollback, Target: deployment("shop", "payments")},
		"kubectl scale --replicas=0 deploy/payments --namespace=shop":             {Verb: command.Scale, Target: deployment("shop", "payments")},
		"kubectl scale sts db --replicas 3 -n=shop":                               {Verb: command.Scale, Target: entity.Ref{Kind: entity.StatefulSet, Namespace: "shop", Name: "db"}, Replicas: 3},
		"kubectl set image deploy/cart app=registry:5000/shop/cart:v2.3.1 -n shop": {
			Verb: command.SetImage, Target: deployment("shop", "cart"), Container: "app", Image: "registry:5000/shop/cart:v2.3.1",
		},
		`kubectl set image "deploy/cart" 'app=shop/cart@sha256:` + strings.Repeat("0a", 32) + `'`: {
			Verb: command.SetImage, Target: deployment("", "cart"), Container: "app", Image: "shop/cart@sha256:" + strings.Repeat("0a", 32),
		},
		"kubectl delete pod cart-7d8f-x2 -n shop":                        {Verb: command.DeletePod, Target: entity.Ref{Kind: entity.Pod, Namespace: "shop", Name: "cart-7d8f-x2"}},
		"kubectl delete po/cart-7d8f-x2 -n shop":                         {Verb: command.DeletePod, Target: entity.Ref{Kind: entity.Pod, Namespace: "shop", Name: "cart-7d8f-x2"}},
		"kubectl cordon worker-1.eu.example.com":                         {Verb: command.Cordon, Target: node("worker-1.eu.example.com")},
		"kubectl uncordon node/worker-1":                                 {Verb: command.Uncordon, Target: node("worker-1")},
		"kubectl drain worker-1 --ignore-daemonsets":                     {Verb: command.Drain, Target: node("worker-1")},
		"kubectl drain no/worker-1 --delete-emptydir-data":               {Verb: command.Drain, Target: node("worker-1"), DeleteEmptyDirData: true},
		"kubectl drain worker-1 --ignore-daemonsets=true":                {Verb: command.Drain, Target: node("worker-1")},
		"kubectl rollout pause deploy/cart -n shop":                      {Verb: command.RolloutPause, Target: deployment("shop", "cart")},
		"kubectl rollout resume deployment cart -n shop":                 {Verb: command.RolloutResume, Target: deployment("shop", "cart")},
		"kubectl delete job import-1 -n shop":                            {Verb: command.DeleteJob, Target: entity.Ref{Kind: entity.Job, Namespace: "shop", Name: "import-1"}},
		"kubectl create job now --from=cronjob/import -n shop":           {Verb: command.RunCronJob, Target: entity.Ref{Kind: entity.CronJob, Namespace: "shop", Name: "import"}},
		"kubectl taint nodes worker-1 gpu=yes:NoSchedule":                {Verb: command.Taint, Target: node("worker-1"), Key: "gpu", Value: "yes", Effect: "NoSchedule"},
		"kubectl taint node worker-1 gpu:NoExecute --overwrite":          {Verb: command.Taint, Target: node("worker-1"), Key: "gpu", Effect: "NoExecute"},
		"kubectl taint node worker-1 gpu=yes:NoSchedule-":                {Verb: command.Untaint, Target: node("worker-1"), Key: "gpu", Effect: "NoSchedule"},
		"kubectl taint node worker-1 gpu-":                               {Verb: command.Untaint, Target: node("worker-1"), Key: "gpu"},
		"kubectl label deploy cart team=shop -n shop":                    {Verb: command.Label, Target: deployment("shop", "cart"), Key: "team", Value: "shop"},
		"kubectl label node/worker-1 example.com/rack-":                  {Verb: command.Label, Target: node("worker-1"), Key: "example.com/rack", Remove: true},
		"kubectl annotate deploy/cart note='held back' -n shop":          {Verb: command.Annotate, Target: deployment("shop", "cart"), Key: "note", Value: "held back"},
		"kubectl rollout restart deploy -l app=cart -n shop":             {Verb: command.RolloutRestart, Target: deployment("shop", ""), Selector: "app=cart"},
		"kubectl scale deploy -l tier=web,app=cart --replicas=3 -n shop": {Verb: command.Scale, Target: deployment("shop", ""), Selector: "app=cart,tier=web", Replicas: 3},
		"kubectl rollout restart ds/node-agent --namespace kube-system":  {Verb: command.RolloutRestart, Target: entity.Ref{Kind: entity.DaemonSet, Namespace: "kube-system", Name: "node-agent"}},
	} {
		p, err := command.ParseKubectl(text)
		if err != nil || p.Command == nil || p.Read != nil {
			t.Errorf("%s: %+v, %v", text, p, err)
			continue
		}
		if diff := cmp.Diff(want, *p.Command); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestKubectlReads(t *testing.T) {
	for text, want := range map[string]command.Read{
		"kubectl get pods":                                {Verb: "get", Kind: entity.Pod},
		"kubectl get po -A":                               {Verb: "get", Kind: entity.Pod, AllNamespaces: true},
		"kubectl get pods -n shop -o wide":                {Verb: "get", Kind: entity.Pod, Namespace: "shop"},
		"kubectl get deploy/payments -n shop -oyaml":      {Verb: "get", Kind: entity.Deployment, Name: "payments", Namespace: "shop", YAML: true},
		"kubectl get secret":                              {Verb: "get", Kind: "Secret"},
		"kubectl get hpa":                                 {Verb: "get", Kind: "HorizontalPodAutoscaler"},
		"kubectl describe no worker-1":                    {Verb: "describe", Kind: entity.Node, Name: "worker-1"},
		"kubectl describe secret db -n shop":              {Verb: "describe", Kind: "Secret", Name: "db", Namespace: "shop"},
		"kubectl logs cart-1 -c app -p --since=1h30m":     {Verb: "logs", Kind: entity.Pod, Name: "cart-1", Container: "app", Previous: true, Since: 90 * time.Minute},
		"kubectl logs deploy/cart --tail 50 --previous":   {Verb: "logs", Kind: entity.Deployment, Name: "cart", Tail: 50, Previous: true},
		"kubectl top pods -n shop":                        {Verb: "top", Kind: entity.Pod, Namespace: "shop"},
		"kubectl top node worker-1":                       {Verb: "top", Kind: entity.Node, Name: "worker-1"},
		"kubectl events -n shop --for deployment/cart":    {Verb: "events", Kind: entity.Deployment, Name: "cart", Namespace: "shop"},
		"kubectl events":                                  {Verb: "events"},
		"kubectl get events -n shop":                      {Verb: "get", Kind: "Event", Namespace: "shop"},
		"kubectl rollout status sts/db -n shop":           {Verb: "rollout status", Kind: entity.StatefulSet, Name: "db", Namespace: "shop"},
		"kubectl rollout history deployment cart -n shop": {Verb: "rollout history", Kind: entity.Deployment, Name: "cart", Namespace: "shop"},
	} {
		p, err := command.ParseKubectl(text)
		if err != nil || p.Read == nil || p.Command != nil {
			t.Errorf("%s: %+v, %v", text, p, err)
			continue
		}
		if diff := cmp.Diff(want, *p.Read); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestKubectlRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"":                                            "no kubectl command",
		"rm -rf /":                                    "no kubectl command",
		"kubectl":                                     "kubectl what?",
		"kubectl exec -it cart-1 -- sh":               "refused by design",
		"kubectl exec cart-1":                         "refused by design",
		"kubectl exec cart-1 -- sh":                   "refused by design",
		"kubectl apply":                               "refused by design",
		"kubectl apply -f x.yaml":                     "cannot be previewed",
		"kubectl apply --filename=x.yaml":             "cannot be previewed",
		"kubectl get --filename=x.yaml":               "no file is read",
		"kubectl get pods -- sh":                      `"--" is refused`,
		"kubectl edit deploy/cart":                    "refused by design",
		"kubectl port-forward cart-1 8080":            "refused by design",
		"kubectl config view":                         "refused by design",
		"kubectl rollout pause sts/db":                "I cannot pause the rollouts of a StatefulSet",
		"kubectl create deployment web --image=x":     "kubectl create is refused by design",
		"kubectl create job x --image=busybox":        "not known to me",
		"kubectl create job x":                        "only made of a cronjob",
		"kubectl create job x --from=deploy/cart":     "only made of a cronjob",
		"kubectl taint pod cart-1 gpu=yes:NoSchedule": "works on nodes",
		"kubectl taint node worker-1":                 "what is to be set",
		"kubectl taint node worker-1 gpu=yes":         `"" is not an effect`,
		"kubectl taint node worker-1 gpu=yes:Never":   `"Never" is not an effect`,
		"kubectl taint node worker-1 node.kubernetes.io/x:NoExecute":          "Keys of kubernetes.io steer the cluster",
		"kubectl label ns shop pod-security.kubernetes.io/enforce=privileged": "steer the cluster",
		"kubectl label deploy cart kustomize.toolkit.fluxcd.io/name-":         "Keys of fluxcd.io steer",
		"kubectl annotate deploy cart argocd.argoproj.io/sync-options=x":      "Keys of argoproj.io steer",
		"kubectl label deploy cart team":                                      "has no value",
		"kubectl label deploy cart a=b c=d":                                   "One object at a time",
		"kubectl label deploy cart a=-x-":                                     "not a value of a label",
		"kubectl label secret db a=b":                                         "I cannot label a Secret",
		"kubectl rollout restart deploy cart -l app=cart":                     "exclude each other",
		"kubectl rollout restart pods -l app=cart":                            "I cannot restart a Pod",
		"kubectl rollout restart deploy -l app=cart -A":                       "all namespaces at once",
		"kubectl rollout restart deploy -l =":                                 "not a label selector",
		"kubectl rollout undo deploy -l app=cart":                             "of which Deployment",
		"kubectl frobnicate":                                                  "not known to me",
		"kubectl delete deployment cart":                                      "only a pod or a job can be deleted",
		"kubectl delete ns shop":                                              "only a pod or a job can be deleted",
		"kubectl delete pod":                                                  "which Pod?",
		"kubectl delete pod a b":                                              "One object at a time",
		"kubectl delete pod --all":                                            "refused by design",
		"kubectl delete pods -l app=cart":                                     "a selector can match more",
		"kubectl delete pod a --force":                                        "takes away what protects",
		"kubectl delete pod a -A":                                             "all namespaces at once is refused",
		"kubectl get secret db -o yaml":                                       "values of a Secret is refused",
		"kubectl get secret db -o json":                                       "values of a Secret is refused",
		"kubectl get secret -o=yaml":                                          "values of a Secret is refused",
		"kubectl get pods -o yaml":                                            "Name it",
		"kubectl get pods -o jsonpath=.items":                                 "not supported",
		"kubectl get all":                                                     "not one kind",
		"kubectl get pods,services":                                           "One kind at a time",
		"kubectl get widgets":                                                 "not known to me",
		"kubectl get pods -n shop -A":                                         "exclude each other",
		"kubectl get pods --kubeconfig=/x":                                    "refused by design",
		"kubectl --context prod get pods":                                     "refused by design",
		"kubectl get pods --token abc":                                        "refused by design",
		"kubectl get pods --as=admin":                                         "refused by design",
		"kubectl -s https://x get pods":                                       "refused by design",
		"kubectl --server=https://x get po":                                   "refused by design",
		"kubectl get pods -w":                                                 "an answer is one message",
		"kubectl logs -f cart-1":                                              "an answer is one message",
		"kubectl logs":                                                        "logs what?",
		"kubectl logs cart-1 --since=soon":                                    "no time that I can look back",
		"kubectl logs cart-1 --tail=-1":                                       "not a number of lines",
		"kubectl logs cart-1 -A":                                              "Logs of what?",
		"kubectl get pods --namespace":                                        "has no value",
		"kubectl get pods -n ''":                                              "is empty",
		"kubectl get pods -n a -n b":                                          "stands there twice",
		"kubectl get pods --shell":                                            "not known to me",
		"kubectl scale deploy/cart":                                           "not a number",
		"kubectl scale deploy/cart --replicas=-1":                             "not a number",
		"kubectl scale deploy/cart --replicas=99999999999":                    "not a number",
		"kubectl scale deploy/cart --replicas=20000":                          "more than I ask",
		"kubectl scale rs/cart-7d8f --replicas=2":                             "not on a ReplicaSet",
		"kubectl scale ds/x --replicas=2":                                     "I cannot scale a DaemonSet",
		"kubectl scale deploy/cart --replicas=3 --dry-run=server":             "not needed",
		"kubectl set image deploy/cart":                                       "to what?",
		"kubectl set image deploy/cart app=x y=z":                             "One object at a time",
		"kubectl set image deploy/cart app=UPPER/case":                        "not an image reference",
		"kubectl set env deploy/cart A=b":                                     "not among the changes",
		"kubectl rollout restart pod/x":                                       "works on a Deployment",
		"kubectl rollout restart deploy/":                                     "not a name",
		"kubectl rollout undo deploy/cart --to-revision=x":                    "not a number",
		"kubectl rollout restart deploy/cart --replicas=3":                    "does not take --replicas",
		"kubectl cordon worker-1 -n shop":                                     "in no namespace",
		"kubectl cordon a/b":                                                  "not known to me",
		"kubectl drain worker-1 --force":                                      "takes away what protects",
		"kubectl drain worker-1 --ignore-daemonsets=false":                    "either there or not",
		"kubectl get pods | grep cart":                                        "there is no shell",
		"kubectl get pods; kubectl delete pod x":                              "there is no shell",
		"kubectl get pods && reboot":                                          "there is no shell",
		"kubectl get pods > /etc/passwd":                                      "there is no shell",
		"kubectl get pods $(reboot)":                                          "there is no shell",
		"kubectl get pods `reboot`":                                           "there is no shell",
		`kubectl get pods "$(reboot)"`:                                        "there is no shell",
		"kubectl get pods 'a;b'":                                              "there is no shell",
		"kubectl delete pod cart-*":                                           "there is no shell",
		`kubectl get po\ds`:                                                   "there is no shell",
		"kubectl get pods\nkubectl delete pod x":                              "more than one line",
		"kubectl get pods —all-namespaces":                                    "long dash",
		"kubectl get pods -n “shop”":                                          "curly quote",
		"kubectl get pods -n ѕhop":                                            "no Kubernetes name has",
		"kubectl get pods -n \u202eshop":                                      "no Kubernetes name has",
		"kubectl get pods 'open":                                              "not closed",
		"kubectl get pods " + strings.Repeat("x", 3000):                       "longer than",
	} {
		p, err := command.ParseKubectl(text)
		var d *command.Denied
		if !errors.As(err, &d) || !strings.Contains(d.Sentence+" "+d.Remedy, want) || d.Remedy == "" {
			t.Errorf("%s: want %q, got %+v, %v", text, want, p, err)
		}
	}
}

// Whatever the text: it is refused with a sentence and a remedy, or it is exactly one thing, and a command needs no more
// than a cluster and a namespace to be valid.
func FuzzParseKubectl(f *testing.F) {
	for _, s := range []string{
		"kubectl get pods -n shop", "kubectl scale deploy/cart --replicas=3", "kubectl set image deploy/cart app=a/b:c", "kubectl logs x -c y --since 1h",
		"kubectl drain n --delete-emptydir-data", "kubectl rollout undo sts/a --to-revision 4", "kubectl delete po x", "k top no", "kubectl events --for pod/x",
		"kubectl get secret x -o yaml", `kubectl "get" 'po'`, "kubectl get po; reboot", "kubectl -n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := command.ParseKubectl(text)
		var d *command.Denied
		switch {
		case err != nil:
			if !errors.As(err, &d) || d.Sentence == "" || d.Remedy == "" || p != (command.Parsed{}) {
				t.Errorf("refused without reason: %v %+v", err, p)
			}
			return
		case (p.Command == nil) == (p.Read == nil):
			t.Fatalf("%+v", p)
		case strings.ContainsAny(text, "|&;<>$`\\\n"):
			t.Errorf("accepted shell syntax: %q", text)
		}
		if p.Read != nil {
			if p.Read.YAML && (p.Read.Kind == "Secret" || p.Read.Name == "") {
				t.Errorf("shows too much: %+v", p.Read)
			}
			return
		}
		c := *p.Command
		c.Target.Cluster = "c"
		if c.Target.Namespace == "" && c.Target.Kind != entity.Node {
			c.Target.Namespace = "ns"
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%q gave %+v: %v", text, c, err)
		}
	})
}
