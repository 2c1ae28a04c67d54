package main

import (
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"
)

// kubeFlags choose a cluster the way kubectl does.
type kubeFlags struct {
	Kubeconfig string `help:"Kubeconfig file; in a pod its service account is used." env:"KUBECONFIG" type:"path"`
	Context    string `help:"Kubeconfig context; the current one when empty." env:"ATLHYPER_CONTEXT"`
}

// kubeClients are the clients of one cluster.
type kubeClients struct {
	name    string // of the context, for people
	config  *rest.Config
	client  kubernetes.Interface
	dynamic dynamic.Interface
	metrics metrics.Interface
}

func (f kubeFlags) connect() (*kubeClients, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.Context})
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster to watch: %w; set KUBECONFIG or --kubeconfig, or try `atlhyper demo`", err)
	}
	name := f.Context
	if raw, err := loader.RawConfig(); err == nil && name == "" {
		name = raw.CurrentContext
	}
	if name == "" {
		name = "local"
	}
	return clientsOf(clusterName(name), cfg)
}

func clientsOf(name string, cfg *rest.Config) (*kubeClients, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 50, 100
	cfg.UserAgent = "atlhyper/" + version
	k := &kubeClients{name: name, config: cfg}
	var err error
	if k.client, err = kubernetes.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	if k.dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	if k.metrics, err = metrics.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("metrics client: %w", err)
	}
	return k, nil
}

// as gives a client with the rights of a person. Who may be impersonated is for the cluster's own rules to say.
func (k *kubeClients) as(user string, groups []string) (kubernetes.Interface, error) {
	cfg := rest.CopyConfig(k.config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return kubernetes.NewForConfig(cfg)
}

// clusterName makes a context's name fit for a cluster id: what a person can type in chat.
func clusterName(s string) string {
	s = strings.ToLower(s)
	s = s[strings.LastIndexAny(s, "/@")+1:]
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, s), "-")
}

// localUser is how the person at this terminal is called.
func localUser() string {
	for _, k := range []string{"USER", "LOGNAME", "USERNAME"} {
		if u := os.Getenv(k); u != "" {
			return u
		}
	}
	return "you"
}
