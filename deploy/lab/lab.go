// Package lab runs a real Kubernetes control plane on this machine, without containers: etcd, API server, controller
// manager and scheduler as they are released, and kwok in the place of the kubelets. Everything above the kubelet is
// real: admission, RBAC, rollouts, scheduling, endpoints, node leases, taints, events. Only containers are pretended,
// by the stages in stages/, and what goes wrong in them is decided by what a person wrote into the pod.
//
// A lab lives in one directory, which holds its credentials, data, logs and the record of its processes. One Lab
// value owns it at a time.
package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Config says where a lab lives and how large it is.
type Config struct {
	// Dir keeps credentials, etcd's data and logs. A lab started again in the same Dir goes on with what it held,
	// on the same ports where they are still free. Required.
	Dir string
	// Nodes is how many kwok nodes there are at least, 64 CPU, 256 GiB and 500 pods each. Default 4.
	Nodes int
	// Users may log in beside the administrator, who is in system:masters. RBAC decides what they may do.
	Users []User
	// Detached processes outlive the one that started them. Otherwise they are killed when it ends, however it ends.
	Detached bool
	// Log receives progress, and what went wrong in the background. Default: discarded.
	Log *slog.Logger
}

// User is an extra identity, with a static token.
type User struct {
	Name   string
	Groups []string
}

func (c *Config) defaults() error {
	if c.Dir == "" {
		return errors.New("lab: Dir is required")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("lab directory: %w", err)
	}
	c.Dir = dir
	if c.Nodes == 0 {
		c.Nodes = 4
	}
	if c.Nodes < 0 {
		return fmt.Errorf("lab: Nodes is %d, want at least 1", c.Nodes)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Lab is a running control plane. Its methods may be called concurrently, except that Stop, StopAPIServer and
// StartAPIServer exclude each other.
type Lab struct {
	cfg    Config
	log    *slog.Logger
	bin    string
	client kubernetes.Interface
	rest   *rest.Config

	mu    sync.Mutex // guards state and the processes
	state state
	procs map[string]*process
}

// startTimeout is how long the control plane may take to answer after its processes were started.
// It takes about 5 s on an idle machine; two slow cores under other tests take several times that.
const startTimeout = 3 * time.Minute

// Start starts a lab in cfg.Dir and returns when its nodes are ready. Missing binaries are built first, which takes
// about ten minutes once. An error wraps ErrUnavailable when the lab cannot exist on this machine.
func Start(ctx context.Context, cfg Config) (*Lab, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	bin, err := Build(ctx, cfg.Log)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("lab directory: %w", err)
	}
	l := &Lab{cfg: cfg, log: cfg.Log, bin: bin, procs: map[string]*process{}}
	if err := l.prepare(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := l.run(ctx); err != nil {
		return nil, errors.Join(err, l.Stop())
	}
	l.log.Info("lab is up", "dir", cfg.Dir, "api_server", l.rest.Host, "took", time.Since(begin).Round(time.Millisecond))
	return l, nil
}

// prepare writes everything that the components read at their start.
func (l *Lab) prepare() error {
	old, err := readState(l.cfg.Dir)
	if err != nil {
		return err
	}
	for name, id := range old.Processes {
		if id.alive() {
			return fmt.Errorf("a lab already runs in %s (%s is process %d): open it, or stop it with labctl down",
				l.cfg.Dir, name, id.PID)
		}
	}
	if l.state, err = newState(old); err != nil {
		return err
	}
	for _, dir := range []string{"log", "pki", "pods"} {
		if err := os.MkdirAll(filepath.Join(l.cfg.Dir, dir), 0o700); err != nil {
			return fmt.Errorf("lab directory: %w", err)
		}
	}
	if err := l.writeCredentials(); err != nil {
		return fmt.Errorf("lab credentials: %w", err)
	}
	if err := l.writeStages(); err != nil {
		return fmt.Errorf("kwok stages: %w", err)
	}
	return l.connect()
}

// connect makes the administrator's client.
func (l *Lab) connect() error {
	cfg, err := l.RESTConfigFor(admin)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("lab client: %w", err)
	}
	l.rest, l.client = cfg, client
	return nil
}

// run starts the components in the order in which they need each other, then makes the nodes.
func (l *Lab) run(ctx context.Context) error {
	if err := l.startComponents(ctx); err != nil {
		return err
	}
	return l.ensureNodes(ctx, l.cfg.Nodes)
}

func (l *Lab) startComponents(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.start(l.etcd()); err != nil {
		return err
	}
	if err := l.startAPIServer(ctx); err != nil {
		return err
	}
	if err := l.dropLeases(ctx); err != nil {
		return err
	}
	for _, c := range []component{l.controllerManager(), l.scheduler(), l.kwok()} {
		if err := l.start(c); err != nil {
			return err
		}
	}
	return nil
}

// Open attaches to the lab that another process started in dir.
func Open(dir string, log *slog.Logger) (*Lab, error) {
	cfg := Config{Dir: dir, Log: log, Detached: true}
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	st, err := readState(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if len(st.Processes) == 0 {
		return nil, fmt.Errorf("%w in %s", ErrNotRunning, cfg.Dir)
	}
	l := &Lab{cfg: cfg, log: cfg.Log, state: st, procs: map[string]*process{}}
	for name, id := range st.Processes {
		l.procs[name] = adopt(name, id)
	}
	if l.bin, err = binDir(context.Background()); err != nil {
		return nil, err
	}
	if err := l.connect(); err != nil {
		return nil, err
	}
	for _, name := range stopOrder {
		if p := l.procs[name]; p == nil || !p.alive() {
			return l, fmt.Errorf("%w in %s: its %s does not run, see %s", ErrNotRunning, cfg.Dir, name, l.logFile(name))
		}
	}
	return l, nil
}

// ErrNotRunning is returned by Open for a directory without a whole running lab. When some of its processes still
// run, Open returns the Lab with the error, so that it can be stopped.
var ErrNotRunning = errors.New("no lab runs")

// Dir is the lab's directory.
func (l *Lab) Dir() string { return l.cfg.Dir }

// Kubeconfig is the path of the administrator's kubeconfig.
func (l *Lab) Kubeconfig() string { return l.KubeconfigFor(admin) }

// KubeconfigFor is the path of the kubeconfig of one of Config.Users.
func (l *Lab) KubeconfigFor(user string) string {
	return filepath.Join(l.cfg.Dir, user+".kubeconfig")
}

// RESTConfig is the administrator's, without client-side rate limiting. The caller may change the copy.
func (l *Lab) RESTConfig() *rest.Config { return rest.CopyConfig(l.rest) }

// Client is the administrator's client.
func (l *Lab) Client() kubernetes.Interface { return l.client }

// StopAPIServer kills the API server and leaves everything else running, as when it becomes unreachable.
func (l *Lab) StopAPIServer() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stop("kube-apiserver")
}

// StartAPIServer starts the API server again, on the same port and data, and returns when it is ready.
func (l *Lab) StartAPIServer(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.procs["kube-apiserver"]; p != nil && p.alive() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return l.startAPIServer(ctx)
}

// stopOrder is all components, etcd last, because it has files to finish when nobody writes any more.
var stopOrder = []string{"kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"}

// Stop ends all processes, etcd last, and waits for them. The data stay. It may be called twice.
func (l *Lab) Stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, name := range stopOrder {
		errs = append(errs, l.stop(name))
	}
	return errors.Join(errs...)
}
