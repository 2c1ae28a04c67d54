package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

// benchLatencyCmd measures the two waits that a person feels.
type benchLatencyCmd struct {
	benchFlags
	Samples int `help:"How often each is measured." default:"20"`
}

const (
	benchChannel = "C0OPS"
	benchUser    = "U0MIA"
	latencyLimit = 30 * time.Second
)

func (c *benchLatencyCmd) Run(ctx context.Context, env *environment) error {
	return c.onLab(ctx, env, func(l *lab.Lab) (map[string]float64, error) {
		if err := l.SeedShop(ctx); err != nil {
			return nil, err
		}
		return c.measure(ctx, env, l)
	})
}

func (c *benchLatencyCmd) measure(ctx context.Context, env *environment, l *lab.Lab) (map[string]float64, error) {
	slack := slackfake.New(slackfake.Config{Burst: -1}) // what is measured is us, not Slack's patience
	defer slack.Close()
	dir, remove, err := tempDir()
	if err != nil {
		return nil, err
	}
	defer remove()
	up := &upCmd{
		kubeFlags: kubeFlags{Kubeconfig: l.Kubeconfig()}, dataDir: dataDir{DataDir: dir}, Headless: true, ClusterID: "lab",
		policyFlags: policyFlags{Admins: []string{"slack:" + benchUser}, ProtectedNamespaces: []string{"kube-system"}, TimeScale: 1},
		chatFlags:   chatFlags{SlackBotToken: slackfake.BotToken, SlackAppToken: slackfake.AppToken, SlackAPIURL: slack.URL(), SlackChannel: benchChannel},
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	english := *env // its cards are read
	english.lang = "en"
	group.Go(func() error { return up.Run(ctx, &english) })
	figures := map[string]float64{}
	group.Go(func() error {
		defer stop()
		if err := slack.WaitConnected(ctx); err != nil {
			return err
		}
		told, err := c.told(ctx, env, l, slack)
		if err != nil {
			return err
		}
		done, err := c.done(ctx, env, l, slack)
		if err != nil {
			return err
		}
		figures["status_to_message_p50_ms"], figures["status_to_message_p95_ms"] = quantile(told, .5), quantile(told, .95)
		figures["approve_to_change_p50_ms"], figures["approve_to_change_p95_ms"] = quantile(done, .5), quantile(done, .95)
		return nil
	})
	err = group.Wait()
	if len(figures) == 0 {
		return nil, err
	}
	return figures, nil
}

// told breaks pods one after the other, each of a workload of its own that nothing connects to another, and times the
// way from the API server's answer to the message in the channel.
func (c *benchLatencyCmd) told(ctx context.Context, env *environment, l *lab.Lab, slack *slackfake.Server) ([]time.Duration, error) {
	client := l.Client()
	var out []time.Duration
	for i := range c.Samples {
		namespace := fmt.Sprintf("latency-%d", i)
		if err := l.RunPods(ctx, namespace, 1); err != nil {
			return nil, err
		}
		pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) == 0 {
			return nil, fmt.Errorf("find the pod of %s: %w", namespace, err)
		}
		if !sleep(ctx, time.Second) { // the new pod is reported and well
			return nil, ctx.Err()
		}
		begun, err := breakPod(ctx, client, &pods.Items[0])
		if err != nil {
			return nil, err
		}
		wait, cancel := context.WithTimeout(ctx, latencyLimit)
		_, err = slack.WaitMessage(wait, benchChannel, "lab / "+namespace)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("the fault in %s was not told within %s: %w", namespace, latencyLimit, err)
		}
		out = append(out, time.Since(begun))
		env.note("told %d of %d: %s", i+1, c.Samples, out[i].Round(time.Millisecond))
	}
	return out, nil
}

// breakPod has the lab's kubelet crash a pod, and gives the moment at which the API server told its watchers that it
// waits in CrashLoopBackOff.
func breakPod(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) (time.Time, error) {
	pods := client.CoreV1().Pods(pod.Namespace)
	changes, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + pod.Name})
	if err != nil {
		return time.Time{}, fmt.Errorf("watch pod %s: %w", pod.Name, err)
	}
	defer changes.Stop()
	crash := []byte(`{"metadata":{"annotations":{"lab.atlhyper.io/fault":"crash-loop"}}}`)
	if _, err := pods.Patch(ctx, pod.Name, types.MergePatchType, crash, metav1.PatchOptions{}); err != nil {
		return time.Time{}, fmt.Errorf("break pod %s: %w", pod.Name, err)
	}
	for e := range changes.ResultChan() {
		p, ok := e.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		for _, c := range p.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil && w.Reason == "CrashLoopBackOff" {
				return time.Now(), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("break pod %s: the watch ended", pod.Name)
}

// done proposes to scale a Deployment and times the way from the click on its button to the change in the API server.
func (c *benchLatencyCmd) done(ctx context.Context, env *environment, l *lab.Lab, slack *slackfake.Server) ([]time.Duration, error) {
	deployments := l.Client().AppsV1().Deployments(lab.ShopNamespace)
	var out []time.Duration
	for i := range c.Samples {
		want := int32(2 + i%2)
		current, err := deployments.Get(ctx, "currency", metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read the deployment: %w", err)
		}
		if *current.Spec.Replicas == want {
			want = 5 - want
		}
		changes, err := deployments.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=currency", ResourceVersion: current.ResourceVersion})
		if err != nil {
			return nil, fmt.Errorf("watch the deployment: %w", err)
		}
		if err := slack.Slash(benchUser, benchChannel, "/atl", fmt.Sprintf("scale deployment/currency %d -n %s", want, lab.ShopNamespace)); err != nil {
			return nil, err
		}
		card, label, err := proposal(ctx, slack, fmt.Sprintf("to %d", want))
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		if err := slack.Click(benchUser, card, label); err != nil {
			return nil, err
		}
		for e := range changes.ResultChan() {
			if got := e.Object.(interface{ GetGeneration() int64 }).GetGeneration(); got > current.Generation {
				out = append(out, time.Since(begun))
				break
			}
		}
		changes.Stop()
		env.note("done %d of %d: %s", i+1, c.Samples, out[len(out)-1].Round(time.Millisecond))
		wait, cancel := context.WithTimeout(ctx, latencyLimit)
		err = slack.Wait(wait, func() bool {
			m, ok := slack.Message(card.Channel, card.TS)
			return ok && strings.Contains(m.Text(), "verified")
		})
		cancel()
		if err != nil {
			return nil, fmt.Errorf("the change was not verified within %s: %w", latencyLimit, err)
		}
	}
	return out, nil
}

// proposal waits for the newest card with words in it and a button that acts.
func proposal(ctx context.Context, slack *slackfake.Server, words string) (card slackfake.Message, label string, err error) {
	ctx, cancel := context.WithTimeout(ctx, latencyLimit)
	defer cancel()
	err = slack.Wait(ctx, func() bool {
		for _, m := range slack.Messages(benchChannel) {
			for _, b := range m.Buttons() {
				if strings.HasPrefix(b.Label, "Scale") && strings.Contains(m.Text(), words) {
					card, label = m, b.Label
					return true
				}
			}
		}
		return false
	})
	return card, label, err
}
