package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/deploy/lab"
	"github.com/bukahou/atlhyper/engine/entity"
)

// benchAgentCmd runs the real agent as a process of its own against the lab and counts what it sends.
type benchAgentCmd struct {
	benchFlags
	Pods int32         `help:"Pods in the cluster." default:"10000"`
	For  time.Duration `help:"How long the steady state is measured." default:"1m"`
}

func (c *benchAgentCmd) Run(ctx context.Context, env *environment) error {
	return c.onLab(ctx, env, func(l *lab.Lab) (map[string]float64, error) {
		env.note("starting %d pods…", c.Pods)
		if err := l.RunPods(ctx, "bench", c.Pods); err != nil {
			return nil, err
		}
		return c.measure(ctx, env, l)
	})
}

func (c *benchAgentCmd) measure(ctx context.Context, env *environment, l *lab.Lab) (map[string]float64, error) {
	core, err := newCore(ctx, coreConfig{policyFlags: policyFlags{TimeScale: 1}, database: ":memory:", log: env.log})
	if err != nil {
		return nil, err
	}
	defer core.Close()
	token, err := core.localToken(ctx, "lab")
	if err != nil {
		return nil, err
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	wire := &countingListener{Listener: inner}
	dir, remove, err := tempDir()
	if err != nil {
		return nil, err
	}
	defer remove()
	self, err := ourselves()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, wire, agentPort(core)) })
	cmd := exec.CommandContext(ctx, self, "agent", "--kubeconfig", l.Kubeconfig(), "--cluster-id", "lab", "--engine", "http://"+inner.Addr().String(), "--data-dir", dir)
	cmd.Env = append(os.Environ(), "ATLHYPER_TOKEN="+token)
	cmd.Stderr = env.stderr
	if err := cmd.Start(); err != nil {
		stop()
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	figures := map[string]float64{}
	group.Go(func() error {
		defer stop()
		if err := c.watch(ctx, env, core, wire, cmd.Process.Pid, figures); err != nil {
			return err
		}
		return nil
	})
	err = group.Wait()
	_ = cmd.Wait() // killed with the context
	if figures["rss_mb"] == 0 {
		return nil, cmp.Or(err, context.Cause(ctx))
	}
	return figures, nil
}

// watch waits for the first full report, then counts what follows.
func (c *benchAgentCmd) watch(ctx context.Context, env *environment, core *core, wire *countingListener, pid int, figures map[string]float64) error {
	for {
		if view, ok := core.engine.Fleet.Cluster("lab"); ok && view.Status().Synced && len(view.List(entity.Pod, "")) >= int(c.Pods) {
			break
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
	snapshot := wire.read.Load()
	env.note("everything is reported; settling for 30 s, then measuring for %s…", c.For)
	if !sleep(ctx, 30*time.Second) {
		return ctx.Err()
	}
	before := wire.read.Load()
	if !sleep(ctx, c.For) {
		return ctx.Err()
	}
	perMinute := float64(wire.read.Load()-before) * float64(time.Minute) / float64(c.For)
	rss, err := residentMB(pid)
	if err != nil {
		return err
	}
	figures["delta_bytes_per_min"] = perMinute
	figures["snapshot_bytes_per_min"] = 6 * float64(snapshot) // a full snapshot every 10 s, compressed as ours is
	figures["ratio"] = figures["snapshot_bytes_per_min"] / max(1, perMinute)
	figures["rss_mb"] = rss
	return nil
}

// countingListener counts the bytes that clients send, as they are on the wire.
type countingListener struct {
	net.Listener
	read atomic.Int64
}

// Accept implements net.Listener.
func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: c, read: &l.read}, nil
}

type countingConn struct {
	net.Conn
	read *atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// residentMB reads a process's resident memory, in MB of 10⁶ bytes.
func residentMB(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the agent's memory: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kb * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("the agent's memory is not in /proc/%d/status", pid)
}
