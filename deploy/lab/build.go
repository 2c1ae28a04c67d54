package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// ErrUnavailable says that a lab cannot exist on this machine: not Linux, no Go toolchain, or a build that failed.
var ErrUnavailable = errors.New("lab unavailable")

// binaries are what `go build tool` makes in deploy/lab/kubernetes. "server" is etcd.
var binaries = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "server"}

// kubernetesVersion is that of k8s.io/kubernetes in kubernetes/go.mod; a test compares them. Built from the module
// proxy, the binaries would call themselves v0.0.0-master.
const kubernetesVersion = "v1.36.3"

// Build makes the lab's binaries unless they are there and built from the present go.sum, and returns their folder.
// It takes about ten minutes with a cold build cache and logs its progress. Concurrent builds wait for each other.
func Build(ctx context.Context, log *slog.Logger) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("%w: it runs on Linux only, not on %s", ErrUnavailable, runtime.GOOS)
	}
	bin, err := binDir(ctx)
	if err != nil {
		return "", err
	}
	want, err := buildStamp(filepath.Dir(bin))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if built(bin, want) {
		return bin, nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	unlock, err := lockFile(ctx, filepath.Join(bin, ".lock"))
	if err != nil {
		return "", fmt.Errorf("%w: wait for another build: %w", ErrUnavailable, err)
	}
	defer unlock()
	if built(bin, want) {
		return bin, nil
	}
	if err := goBuild(ctx, filepath.Dir(bin), log); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("build the lab: %w", ctx.Err())
		}
		return "", fmt.Errorf("%w: build in %s: %w", ErrUnavailable, filepath.Dir(bin), err)
	}
	if err := os.WriteFile(filepath.Join(bin, ".built"), []byte(want), 0o644); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return bin, nil
}

// binDir is deploy/lab/kubernetes/bin. The path compiled in is not one when built with -trimpath; go list knows then.
func binDir(ctx context.Context) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if !filepath.IsAbs(dir) {
		out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/bukahou/atlhyper/deploy/lab").Output()
		if err != nil {
			return "", fmt.Errorf("%w: find the source of the lab: %w", ErrUnavailable, err)
		}
		dir = strings.TrimSpace(string(out))
	}
	dir = filepath.Join(dir, "kubernetes")
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", fmt.Errorf("%w: the source of the lab is not on this machine: %w", ErrUnavailable, err)
	}
	return filepath.Join(dir, "bin"), nil
}

// buildStamp changes with what the binaries are made of.
func buildStamp(module string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, kubernetesVersion, runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func built(bin, stamp string) bool {
	for _, name := range binaries {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return false
		}
	}
	got, err := os.ReadFile(filepath.Join(bin, ".built"))
	return err == nil && string(got) == stamp
}

func goBuild(ctx context.Context, module string, log *slog.Logger) error {
	version := "-X k8s.io/component-base/version."
	cmd := exec.CommandContext(ctx, "go", "build", "-v",
		"-ldflags", version+"gitVersion="+kubernetesVersion+" "+version+"gitMajor=1 "+version+"gitMinor=36",
		"-o", "bin"+string(filepath.Separator), "tool")
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off")
	progress := &progress{}
	cmd.Stdout, cmd.Stderr = progress, progress

	begin := time.Now()
	log.Info("building the lab's Kubernetes, about ten minutes once", "module", module)
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				log.Info("building the lab's Kubernetes", "packages", progress.lines.Load(), "of_about", 2700,
					"elapsed", time.Since(begin).Round(time.Second))
			}
		}
	}()
	err := cmd.Run()
	close(done)
	<-stopped
	if err != nil {
		return fmt.Errorf("%w\n%s", err, progress.last)
	}
	log.Info("built the lab's Kubernetes", "packages", progress.lines.Load(), "took", time.Since(begin).Round(time.Second))
	return nil
}

// progress counts the lines of `go build -v`, one a package, and keeps the last of them, where an error stands.
// It is written by one goroutine, as exec.Cmd promises when both outputs are the same.
type progress struct {
	lines atomic.Int64
	last  []byte
}

func (p *progress) Write(b []byte) (int, error) {
	p.lines.Add(int64(bytes.Count(b, []byte("\n"))))
	p.last = append(p.last, b...)
	if over := len(p.last) - 4096; over > 0 {
		p.last = append(p.last[:0], p.last[over:]...)
	}
	return len(b), nil
}
