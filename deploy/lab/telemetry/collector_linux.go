package telemetry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Collector is OpenTelemetry's own, which receives OTLP and scrapes targets, and writes to a ClickHouse with its own
// exporter and the schema that this makes.
type Collector struct {
	base string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  *bytes.Buffer // read once done is closed
}

// Target is what a collector scrapes: the job's name, and host:port of its /metrics.
type Target struct {
	Job, Address string
	Every        time.Duration // default 1 s
}

// StartCollector builds the collector if need be, which takes minutes once, and starts one that writes to a database.
// Nothing is queued or batched: what Send returned for is in the tables.
func StartCollector(ctx context.Context, dir string, c *ClickHouse, targets ...Target) (*Collector, error) {
	program, err := BuildCollector(ctx)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config, err := collectorConfig(c, port, targets)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "collector.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	x := &Collector{base: fmt.Sprintf("http://127.0.0.1:%d", port), done: make(chan struct{}), log: &bytes.Buffer{}}
	x.cmd = exec.Command(program, "--config", file)
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	x.cmd.Stdout, x.cmd.Stderr = x.log, x.log
	if err := x.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	go func() {
		_ = x.cmd.Wait()
		close(x.done)
	}()
	for {
		if conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second); err == nil {
			return x, conn.Close()
		}
		select {
		case <-x.done:
			return nil, fmt.Errorf("the collector ended: %s", strings.TrimSpace(x.log.String()))
		case <-ctx.Done():
			x.Stop()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the collector and gives what it logged.
func (x *Collector) Stop() string {
	_ = x.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-x.done:
	case <-time.After(10 * time.Second):
		_ = x.cmd.Process.Kill()
		<-x.done
	}
	return x.log.String()
}

// Send delivers records over OTLP; when it returns nil they are written.
func (x *Collector) Send(ctx context.Context, r Records) error {
	for path, body := range map[string]any{"/v1/metrics": otlpMetrics(r.Points), "/v1/traces": otlpTraces(r.Spans), "/v1/logs": otlpLogs(r.Lines)} {
		if err := x.post(ctx, path, body); err != nil {
			return err
		}
	}
	return nil
}

func collectorConfig(c *ClickHouse, port int, targets []Target) (string, error) {
	u, err := url.Parse(c.dsn)
	if err != nil {
		return "", err
	}
	if u.Scheme == "clickhouse" {
		u.Scheme = "tcp"
	}
	password, _ := u.User.Password()
	var b strings.Builder
	fmt.Fprintf(&b, `receivers:
  otlp:
    protocols:
      http: {endpoint: "127.0.0.1:%d"}
`, port)
	receivers := "[otlp]"
	if len(targets) > 0 {
		receivers = "[otlp, prometheus]"
		b.WriteString("  prometheus:\n    config:\n      scrape_configs:\n")
		for _, t := range targets {
			every := t.Every
			if every == 0 {
				every = time.Second
			}
			fmt.Fprintf(&b, "        - {job_name: %q, scrape_interval: %q, scrape_timeout: %q, static_configs: [{targets: [%q]}]}\n", t.Job, every, every, t.Address)
		}
	}
	fmt.Fprintf(&b, `exporters:
  clickhouse:
    endpoint: "%s://%s"
    username: %q
    password: %q
    database: %q
    compress: none
    async_insert: false
    sending_queue: {enabled: false}
    timeout: 30s
service:
  pipelines:
    metrics: {receivers: %s, exporters: [clickhouse]}
    traces: {receivers: [otlp], exporters: [clickhouse]}
    logs: {receivers: [otlp], exporters: [clickhouse]}
`, u.Scheme, u.Host, u.User.Username(), password, strings.TrimPrefix(u.Path, "/"), receivers)
	return b.String(), nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// BuildCollector makes the collector's program unless it is there and built from the present sources, and returns its
// path. It takes about four minutes with a cold build cache. Concurrent builds wait for each other.
func BuildCollector(ctx context.Context) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	module := filepath.Join(filepath.Dir(file), "collector")
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", fmt.Errorf("%w: the collector's source is not on this machine: %w", ErrUnavailable, err)
		}
		sum.Write(data)
	}
	want := []byte(hex.EncodeToString(sum.Sum(nil)))
	bin := filepath.Join(module, "bin")
	program, stamp := filepath.Join(bin, "collector"), filepath.Join(bin, ".built")
	built := func() bool {
		got, err := os.ReadFile(stamp)
		return err == nil && slices.Equal(got, want)
	}
	if built() {
		return program, nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(bin, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if built() {
		return program, nil
	}
	// Prometheus' discovery of twenty clouds is left out: the lab's targets are static.
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "remove_all_sd", "-ldflags", "-s -w", "-o", program, ".")
	cmd.Dir, cmd.Env = module, append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: build the collector: %w: %s", ErrUnavailable, err, bytes.TrimSpace(out[max(0, len(out)-2000):]))
	}
	return program, os.WriteFile(stamp, want, 0o644)
}

// CollectorForTest starts one for a test and stops it at its end, under the same conditions as ForTest. When it had
// something to complain about, the test's log has it.
func CollectorForTest(t testing.TB, c *ClickHouse, targets ...Target) *Collector {
	t.Helper()
	skipShort(t)
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Minute)
	defer cancel()
	x, err := StartCollector(ctx, t.TempDir(), c, targets...)
	check(t, err)
	t.Cleanup(func() {
		if log := x.Stop(); log != "" && t.Failed() {
			t.Log(log)
		}
	})
	return x
}

func (x *Collector) post(ctx context.Context, path string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.base+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New("collector: " + resp.Status + ": " + string(answer))
	}
	return nil
}
