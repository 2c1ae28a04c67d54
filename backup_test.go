package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/storage"
)

func TestABackupGoesToAFileOrOutAndComesBack(t *testing.T) {
	dir := t.TempDir()
	db, err := storage.Open(t.Context(), databaseIn(dir), storage.Config{}) // as a running engine has it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.AddCluster(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	if out, code := call(t, nil, "backup", "--data-dir", dir, file); code != 0 {
		t.Fatalf("backup: %d %s", code, out.stderr)
	}
	out, code := call(t, nil, "backup", "--data-dir", dir, "-")
	if code != 0 || !strings.HasPrefix(out.stdout, "SQLite format 3\x00") {
		t.Fatalf("backup to standard output: %d %s %.20q", code, out.stderr, out.stdout)
	}
	piped := filepath.Join(t.TempDir(), "piped.db")
	if err := os.WriteFile(piped, []byte(out.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := call(t, nil, "restore", "--data-dir", dir, file); code == 0 || !strings.Contains(out.stderr, "stop process") {
		t.Errorf("restore under a running engine: %d %s", code, out.stderr)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{file, piped} {
		fresh := t.TempDir()
		if out, code := call(t, nil, "restore", "--data-dir", fresh, f); code != 0 {
			t.Fatalf("restore: %d %s", code, out.stderr)
		}
		if out, code := call(t, nil, "cluster", "list", "--data-dir", fresh); code != 0 || !strings.HasPrefix(out.stdout, "prod\t") {
			t.Errorf("restored: %d %q %s", code, out.stdout, out.stderr)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
