package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/storage/storagetest"
)

func count(t *testing.T, db *storage.DB) int {
	t.Helper()
	n, after := 0, int64(0)
	for {
		es, err := db.EventsAfter(t.Context(), after, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(es) == 0 {
			return n
		}
		n, after = n+len(es), es[len(es)-1].Seq
	}
}

func TestABackupIsTakenWhileTheEngineWritesAndRestored(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "atlhyper.db"), filepath.Join(dir, "backup.db")
	db := open(t, path)
	write := func(ctx context.Context, n int) error {
		return db.AppendEvents(ctx, event.Event{Type: event.ClusterBack, Note: fmt.Sprint(n)})
	}
	for n := range 50 {
		if err := write(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	var writer sync.WaitGroup
	stop := make(chan struct{})
	writer.Go(func() {
		for n := 50; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := write(t.Context(), n); err != nil {
				t.Error(err)
				return
			}
		}
	})
	err := storage.Backup(t.Context(), path, backup)
	close(stop)
	writer.Wait()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(backup)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := storage.Backup(t.Context(), path, backup); err == nil || !strings.Contains(err.Error(), "replaces nothing") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := storage.Restore(t.Context(), backup, path, storagetest.Now()); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("while it runs: %v", err)
	}
	all := count(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := storage.Restore(t.Context(), backup, path, storagetest.Now())
	if err != nil {
		t.Fatal(err)
	}
	restored, before := open(t, path), open(t, kept)
	if n := count(t, restored); n < 50 || n > all {
		t.Errorf("%d events restored of %d", n, all)
	}
	if n := count(t, before); n != all {
		t.Errorf("what was put aside has %d events of %d", n, all)
	}
}

func TestWhatIsNoBackupIsNotRestored(t *testing.T) {
	dir := t.TempDir()
	path, junk := filepath.Join(dir, "atlhyper.db"), filepath.Join(dir, "junk")
	db := open(t, path)
	if err := db.AppendEvents(t.Context(), event.Event{Note: "kept"}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(junk, []byte(strings.Repeat("no database ", 900)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{junk, filepath.Join(dir, "none")} {
		if _, err := storage.Restore(t.Context(), from, path, storagetest.Now()); err == nil {
			t.Errorf("%s was restored", from)
		}
	}
	if n := count(t, open(t, path)); n != 1 {
		t.Errorf("the database has %d events", n)
	}
}
