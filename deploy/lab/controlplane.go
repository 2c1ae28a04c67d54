package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// component is a program and its arguments. Its name is that of its log file and of its entry in the state.
type component struct {
	name   string
	binary string
	args   []string
}

// etcd does not wait for the disk: a lab need not survive a power cut, and its writes are ten times as fast.
func (l *Lab) etcd() component {
	client := fmt.Sprintf("http://%s:%d", loopback, l.state.Ports["etcd"])
	peer := fmt.Sprintf("http://%s:%d", loopback, l.state.Ports["etcd-peer"])
	return component{name: "etcd", binary: "server", args: []string{
		"--name=lab",
		"--data-dir=" + filepath.Join(l.cfg.Dir, "etcd"),
		"--unsafe-no-fsync",
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=lab=" + peer,
		"--log-level=warn",
	}}
}

// apiServer leaves out the ServiceAccount admission plugin, because pretended containers need no tokens, and writes
// no endpoints for the kubernetes Service, because a loopback address is not allowed there.
func (l *Lab) apiServer() component {
	return component{name: "kube-apiserver", binary: "kube-apiserver", args: []string{
		fmt.Sprintf("--etcd-servers=http://%s:%d", loopback, l.state.Ports["etcd"]),
		"--bind-address=" + loopback,
		"--advertise-address=" + loopback,
		fmt.Sprintf("--secure-port=%d", l.state.Ports["kube-apiserver"]),
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file=" + l.pki("serving.crt"),
		"--tls-private-key-file=" + l.pki("serving.key"),
		"--token-auth-file=" + l.pki("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.pki("service-account.key"),
		"--service-account-signing-key-file=" + l.pki("service-account.key"),
		"--disable-admission-plugins=ServiceAccount",
		"--kubelet-preferred-address-types=InternalIP",
		"--profiling=false",
	}}
}

// controllerManager asks faster than the default, so that a bench of 10,000 pods does not wait for its rate limit.
func (l *Lab) controllerManager() component {
	return component{name: "kube-controller-manager", binary: "kube-controller-manager", args: []string{
		"--kubeconfig=" + l.Kubeconfig(),
		"--leader-elect=false",
		"--secure-port=0",
		"--service-account-private-key-file=" + l.pki("service-account.key"),
		"--root-ca-file=" + l.pki("ca.crt"),
		"--node-monitor-period=1s",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}}
}

func (l *Lab) scheduler() component {
	return component{name: "kube-scheduler", binary: "kube-scheduler", args: []string{
		"--kubeconfig=" + l.Kubeconfig(),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}}
}

// kwok renews leases of 40 s: without leases the node controller takes every node for dead once a minute.
// A node without the label value "running" loses its kubelet.
func (l *Lab) kwok() component {
	port := l.state.Ports["kwok"]
	return component{name: "kwok", binary: "kwok", args: []string{
		"--kubeconfig=" + l.Kubeconfig(),
		"--config=" + l.stagesFile(),
		"--manage-all-nodes=false",
		"--manage-nodes-with-label-selector=" + kubeletLabel + "=" + kubeletRunning,
		"--node-lease-duration-seconds=40",
		"--node-ip=" + loopback,
		fmt.Sprintf("--node-port=%d", port),
		fmt.Sprintf("--server-address=%s:%d", loopback, port),
		"--tls-cert-file=" + l.pki("serving.crt"),
		"--tls-private-key-file=" + l.pki("serving.key"),
		fmt.Sprintf("--cidr=10.%d.0.0/16", 100+l.state.Starts%100),
	}}
}

func (l *Lab) logFile(name string) string { return filepath.Join(l.cfg.Dir, "log", name+".log") }

// start starts a component and records it. l.mu is held.
func (l *Lab) start(c component) error {
	p, err := spawn(c.name, filepath.Join(l.bin, c.binary), c.args, l.logFile(c.name), l.cfg.Detached)
	if err != nil {
		return err
	}
	l.procs[c.name] = p
	l.state.Processes[c.name] = p.id
	return l.state.write(l.cfg.Dir)
}

// stop ends a component and forgets it. etcd is asked first, because it has files to finish; the others are killed,
// because an API server with open watches takes a minute to leave. l.mu is held.
func (l *Lab) stop(name string) error {
	p := l.procs[name]
	if p == nil {
		return nil
	}
	var patience time.Duration
	if name == "etcd" {
		patience = 5 * time.Second
	}
	if err := p.kill(patience); err != nil {
		return err
	}
	delete(l.procs, name)
	delete(l.state.Processes, name)
	return l.state.write(l.cfg.Dir)
}

// startAPIServer starts the API server and waits until it says that it is ready. l.mu is held.
func (l *Lab) startAPIServer(ctx context.Context) error {
	if err := l.start(l.apiServer()); err != nil {
		return err
	}
	var last error
	for {
		// Not the client's own retries: they would outlast a server that has ended.
		last = l.client.Discovery().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).Do(ctx).Error()
		if last == nil {
			return nil
		}
		if err := l.firstEnded(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the API server: %w: %w", ctx.Err(), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// allAlive returns an error when a component has ended by itself.
func (l *Lab) allAlive() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstEnded()
}

// firstEnded is allAlive with l.mu held. The error holds the end of the component's log.
func (l *Lab) firstEnded() error {
	for name, p := range l.procs {
		if p.alive() {
			continue
		}
		data, err := os.ReadFile(l.logFile(name))
		if err != nil {
			return errors.Join(fmt.Errorf("%s ended", name), err)
		}
		if over := len(data) - 2048; over > 0 {
			data = data[over:]
		}
		return fmt.Errorf("%s ended: %s", name, bytes.TrimSpace(data))
	}
	return nil
}
