package main

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/deploy/lab"
)

func TestUpIsIdempotentAndDownLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("the lab's real API server is not for -short")
	}
	dir := t.TempDir()
	labctl := func(args ...string) (string, error) {
		var stdout bytes.Buffer
		err := run(t.Context(), append([]string{"--dir", dir}, args...), &stdout, io.Discard)
		return stdout.String(), err
	}
	t.Cleanup(func() {
		if err := down(dir, false, nil, io.Discard); err != nil {
			t.Error(err)
		}
	})

	first, err := labctl("up", "--nodes", "2")
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := "export KUBECONFIG=" + filepath.Join(dir, "admin.kubeconfig") + "\n"; !strings.HasSuffix(first, want) {
		t.Errorf("up prints %q, want %q at its end", first, want)
	}
	second, err := labctl("up")
	if err != nil || second != first {
		t.Errorf("up again prints %q (%v), want %q", second, err, first)
	}
	if _, err := labctl("status"); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{
		{"seed"},
		{"break", "image-pull", "cart"},
		{"break", "node-not-ready", "node-1"},
		{"heal", "node/node-1"},
		{"heal", "shop/cart"},
	} {
		if _, err := labctl(args...); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := labctl("break", "flood", "cart"); err == nil || !strings.Contains(err.Error(), "want one of config-error") {
		t.Errorf("an unknown fault: %v", err)
	}

	l, err := lab.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	if out, err := labctl("up"); err != nil || out != first {
		t.Errorf("up of a lab without its API server prints %q (%v), want %q", out, err, first)
	}
	if _, err := labctl("break", "not-ready", "ads"); err != nil {
		t.Errorf("the API server is not back: %v", err)
	}
	if _, err := labctl("down", "--purge"); err != nil {
		t.Error(err)
	}
	if _, err := labctl("status"); !errors.Is(err, lab.ErrNotRunning) {
		t.Errorf("status after down: %v", err)
	}
	if out, err := labctl("down"); err != nil || out != "# no lab runs\n" {
		t.Errorf("down again prints %q (%v)", out, err)
	}
	if _, err := labctl("down", "--purge"); err == nil {
		t.Error("a directory that holds no lab is deleted")
	}
}
