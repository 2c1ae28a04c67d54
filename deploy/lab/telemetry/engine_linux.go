package telemetry

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ErrUnavailable says that the engine cannot run on this machine: no Node, or npm cannot fetch it.
var ErrUnavailable = errors.New("ClickHouse lab unavailable")

// Password of the lab's only user, default.
const Password = "lab"

// ClickHouse is ClickHouse's own engine behind the HTTP interface that its drivers speak, without a container.
type ClickHouse struct {
	dir, dsn, base string
	port           int
	cmd            *exec.Cmd
}

// Start runs an engine with its data in dir. A server at CLICKHOUSE_URL is used instead when that is set; it cannot be
// broken by Fault or Stop.
func Start(ctx context.Context, dir string) (*ClickHouse, error) {
	if dsn := os.Getenv("CLICKHOUSE_URL"); dsn != "" {
		return &ClickHouse{dsn: dsn}, nil
	}
	c := &ClickHouse{dir: dir}
	return c, c.Start(ctx)
}

// URL is what CLICKHOUSE_URL takes.
func (c *ClickHouse) URL() string { return c.dsn }

// Own says whether the engine is the lab's own, which can be broken.
func (c *ClickHouse) Own() bool { return c.dir != "" }

// In gives the same engine with a database of its own for one test, which it makes.
func (c *ClickHouse) In(ctx context.Context, database string) (*ClickHouse, error) {
	if err := c.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+database); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.dsn)
	if err != nil {
		return nil, err
	}
	u.Path = "/" + database
	return &ClickHouse{dir: c.dir, dsn: u.String(), base: c.base}, nil
}

// Start starts the engine again after Stop, on the same port.
func (c *ClickHouse) Start(ctx context.Context) error {
	source, err := install(ctx)
	if err != nil {
		return err
	}
	c.cmd = exec.Command("node", filepath.Join(source, "server.mjs"), c.dir, fmt.Sprint(c.port), Password)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed test leaves no engine behind
	var complaints bytes.Buffer
	c.cmd.Stderr = &complaints
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if _, err := fmt.Fscanf(bufio.NewReader(out), "listening %d\n", &c.port); err != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		return fmt.Errorf("%w: it did not start: %s", ErrUnavailable, strings.TrimSpace(complaints.String()))
	}
	c.base = fmt.Sprintf("http://127.0.0.1:%d", c.port)
	c.dsn = fmt.Sprintf("http://default:%s@127.0.0.1:%d/default", Password, c.port)
	return nil
}

// Stop ends the engine; its data stay. It may be stopped twice.
func (c *ClickHouse) Stop() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill() // nothing is lost that a test would miss
	_ = c.cmd.Wait()
	c.cmd = nil
}

// Fault is what the engine does to every query.
type Fault struct {
	DelayMS int    `json:"delay_ms,omitempty"`
	Code    int    `json:"code,omitempty"` // ClickHouse's error code, such as 243 NOT_ENOUGH_SPACE
	Message string `json:"message,omitempty"`
}

// Fault sets what goes wrong from now on; the zero value ends it.
func (c *ClickHouse) Fault(ctx context.Context, f Fault) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = c.post(ctx, c.base+"/lab/fault", string(body))
	return err
}

// Exec runs statements, one after another.
func (c *ClickHouse) Exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := c.Query(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Query runs one statement and gives what it prints, tab-separated.
func (c *ClickHouse) Query(ctx context.Context, sql string) (string, error) {
	u, err := url.Parse(c.dsn)
	if err != nil {
		return "", err
	}
	database := cmp.Or(strings.TrimPrefix(u.Path, "/"), "default")
	u.Path, u.RawQuery = "/", url.Values{"database": {database}}.Encode()
	return c.post(ctx, u.String(), sql)
}

func (c *ClickHouse) post(ctx context.Context, to, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("clickhouse: %s", strings.TrimSpace(string(answer)))
	}
	return string(answer), nil
}

// install fetches the engine with npm unless it is there, and returns its folder. Concurrent calls wait for each other.
func install(ctx context.Context) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "clickhouse")
	want, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", fmt.Errorf("%w: its source is not on this machine: %w", ErrUnavailable, err)
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%w: %s is not installed; on Debian: apt-get install nodejs npm", ErrUnavailable, program)
		}
	}
	modules := filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(modules, 0o755); err != nil {
		return "", err
	}
	stamp := filepath.Join(modules, ".atlhyper")
	installed := func() bool {
		got, err := os.ReadFile(stamp)
		return err == nil && bytes.Equal(got, want)
	}
	if installed() {
		return dir, nil
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if installed() {
		return dir, nil
	}
	// Not npm ci: it refuses a lock file without the engines of other systems, which not every registry serves.
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: npm install: %w: %s", ErrUnavailable, err, strings.TrimSpace(string(out)))
	}
	return dir, os.WriteFile(stamp, want, 0o644)
}

// ForTest starts an engine for one test and stops it at its end. The test is skipped, with the reason, under -short and
// where the engine cannot run.
func ForTest(t testing.TB) *ClickHouse {
	t.Helper()
	skipShort(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	c, err := Start(ctx, t.TempDir())
	check(t, err)
	t.Cleanup(c.Stop)
	return c
}

// Shared is one engine for all tests of a package, each with a database of its own. The first test that asks for it
// starts it; TestMain stops it:
//
//	var shared telemetry.Shared
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
type Shared struct {
	once   sync.Once // starts the engine; engine, dir and err are set by it and read after it
	dir    string
	engine *ClickHouse
	err    error
	serial atomic.Int64
}

// Database gives the engine with an empty database, under the same conditions as ForTest.
func (s *Shared) Database(t testing.TB) *ClickHouse {
	t.Helper()
	skipShort(t)
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "atlhyper-clickhouse-"); s.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // not the test's context: it ends with the first test
		defer cancel()
		s.engine, s.err = Start(ctx, s.dir)
	})
	check(t, s.err)
	c, err := s.engine.In(t.Context(), fmt.Sprintf("t%d_%d", os.Getpid(), s.serial.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Run runs a package's tests and stops the engine that they started. It returns the exit code.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	if s.engine != nil {
		s.engine.Stop()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func skipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("the ClickHouse engine is not started under -short")
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
