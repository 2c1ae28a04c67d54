package lab

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
)

// ForTest starts a lab for one test and stops it at its end. The test is skipped, with the reason, under -short and
// where a lab cannot exist (ErrUnavailable); anything else that goes wrong fails it.
func ForTest(t *testing.T) *Lab {
	t.Helper()
	skipShort(t)
	l, err := Start(t.Context(), Config{Dir: t.TempDir(), Log: testLog()})
	check(t, err)
	t.Cleanup(func() {
		if err := l.Stop(); err != nil {
			t.Errorf("stop lab: %v", err)
		}
	})
	return l
}

// Shared is one lab for all tests of a package. The first test that asks for it starts it; TestMain stops it:
//
//	var shared lab.Shared
//
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
type Shared struct {
	// Config of the lab; Dir is ignored.
	Config Config

	once sync.Once // starts the lab; lab, dir and err are set by it and read after it
	dir  string
	lab  *Lab
	err  error
}

// Lab is the shared lab, under the same conditions as ForTest.
func (s *Shared) Lab(t *testing.T) *Lab {
	t.Helper()
	skipShort(t)
	s.once.Do(func() {
		cfg := s.Config
		if cfg.Log == nil {
			cfg.Log = testLog()
		}
		if cfg.Dir, s.err = os.MkdirTemp("", "atlhyper-lab-"); s.err != nil {
			return
		}
		s.dir = cfg.Dir
		// Not the test's context: it ends with the first test, the lab with the last.
		s.lab, s.err = Start(context.Background(), cfg)
	})
	check(t, s.err)
	return s.lab
}

// Run runs a package's tests and stops the lab that they started. It returns the exit code.
func (s *Shared) Run(m *testing.M) int {
	code := m.Run()
	var errs []error
	if s.lab != nil {
		errs = append(errs, s.lab.Stop())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	if err := errors.Join(errs...); err != nil {
		testLog().Error("stop shared lab", "err", err)
		return max(code, 1)
	}
	return code
}

func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the lab's real API server is not for -short")
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("start lab: %v", err)
	}
}

// testLog writes to standard error and not to the test's log, because a build of ten minutes must be seen while it runs.
func testLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}
