package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// nodeExporter is how Debian calls Prometheus' node_exporter.
const nodeExporter = "prometheus-node-exporter"

// Prepare fetches and builds what the telemetry half of the lab is made of: the engine, the collector, node_exporter.
// It takes about four minutes once, and nothing later.
func Prepare(ctx context.Context, log *slog.Logger) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		begin := time.Now()
		_, err := BuildCollector(ctx)
		if err == nil && time.Since(begin) > time.Second {
			log.Info("built the lab's collector", "took", time.Since(begin).Round(time.Second))
		}
		return err
	})
	group.Go(func() error {
		_, err := install(ctx)
		return err
	})
	group.Go(func() error {
		if err := installNodeExporter(ctx); err != nil {
			log.Warn("no node_exporter; its test is skipped", "err", err)
		}
		return nil
	})
	return group.Wait()
}

func installNodeExporter(ctx context.Context) error {
	if _, err := exec.LookPath(nodeExporter); err == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("apt-get install " + nodeExporter + " needs root")
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", nodeExporter}} {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=60"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1") // it is not started as a service
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, strings.TrimSpace(string(out[max(0, len(out)-500):])))
		}
	}
	return nil
}

// NodeExporterForTest starts the real node_exporter for one test and gives its address. Without one the test is skipped.
func NodeExporterForTest(t testing.TB) string {
	t.Helper()
	skipShort(t)
	program, err := exec.LookPath(nodeExporter)
	if err != nil {
		t.Skipf("%s is not installed; make lab-build installs it as root", nodeExporter)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(program, "--web.listen-address="+address, "--no-collector.systemd")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + address + "/metrics"); err == nil {
			resp.Body.Close()
			return address
		} else if time.Now().After(deadline) {
			t.Fatalf("node_exporter does not answer: %v", err)
		}
	}
}
