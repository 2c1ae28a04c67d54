package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Prometheus is a running server of that name.
type Prometheus struct {
	// URL is what PROMETHEUS_URL takes.
	URL  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  *bytes.Buffer // read once done is closed
}

// PrometheusConfig says what a server has.
type PrometheusConfig struct {
	Targets []Target // what it scrapes
	// History is what it had scraped before it was started: OpenMetrics text with times, without "# EOF".
	History []byte
}

// StartPrometheus starts a server with its data in dir, and returns when it answers. prometheus.sh fetches the program.
func StartPrometheus(ctx context.Context, dir string, cfg PrometheusConfig) (*Prometheus, error) {
	program, err := find("prometheus")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if len(cfg.History) > 0 {
		if err := backfill(ctx, dir, data, cfg.History); err != nil {
			return nil, err
		}
	}
	var b strings.Builder
	b.WriteString("scrape_configs:\n")
	for _, t := range cfg.Targets {
		every := t.Every
		if every == 0 {
			every = time.Second
		}
		fmt.Fprintf(&b, "  - {job_name: %q, scrape_interval: %q, scrape_timeout: %q, static_configs: [{targets: [%q]}]}\n", t.Job, every, every, t.Address)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p := &Prometheus{URL: "http://" + address, done: make(chan struct{}), log: &bytes.Buffer{}}
	p.cmd = exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=100y", "--web.listen-address="+address, "--log.level=warn")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed test leaves no server behind
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	for {
		if p.ready(ctx) {
			return p, nil
		}
		select {
		case <-p.done:
			return nil, fmt.Errorf("prometheus ended: %s", strings.TrimSpace(p.log.String()))
		case <-ctx.Done():
			p.Stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *Prometheus) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/-/ready", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Pause makes the server hang as one that is overloaded, until Resume.
func (p *Prometheus) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (p *Prometheus) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Stop ends the server and gives what it logged. It may be stopped twice.
func (p *Prometheus) Stop() string {
	_ = p.cmd.Process.Kill() // nothing is lost that a test would miss
	<-p.done
	return p.log.String()
}

// backfill writes history as blocks of the server's own format.
func backfill(ctx context.Context, dir, data string, history []byte) error {
	tool, err := find("promtool")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "history.om")
	if err := os.WriteFile(file, append(history, "# EOF\n"...), 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, tool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h", file, data).CombinedOutput(); err != nil {
		return fmt.Errorf("promtool: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// find looks for a program beside this file, where prometheus.sh puts it, and in the PATH.
func find(program string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	own := filepath.Join(filepath.Dir(file), "prometheus", "bin", program)
	if _, err := os.Stat(own); err == nil {
		return own, nil
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w: %s is not here; `make lab-prometheus` fetches it", ErrUnavailable, program)
	}
	return path, nil
}

// PrometheusForTest starts a server for one test and stops it at its end, under the same conditions as ForTest. When it had
// something to complain about and the test failed, the test's log has it.
func PrometheusForTest(t testing.TB, cfg PrometheusConfig) *Prometheus {
	t.Helper()
	if testing.Short() {
		t.Skip("Prometheus is not started under -short")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	p, err := StartPrometheus(ctx, t.TempDir(), cfg)
	check(t, err)
	t.Cleanup(func() {
		if log := p.Stop(); log != "" && t.Failed() {
			t.Log(log)
		}
	})
	return p
}
