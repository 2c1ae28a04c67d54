package storage_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/storage/storagetest"
)

func open(t *testing.T, path string) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), path, storage.Config{Now: storagetest.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestConformanceOnAFile(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Store {
		return open(t, filepath.Join(t.TempDir(), "a dir?with#odd %41 name", "atlhyper.db"))
	})
}

func TestConformanceInMemory(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Store { return open(t, ":memory:") })
}

func TestWhatIsStoredIsThereAfterAReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "atlhyper.db")
	db := open(t, path)
	inc := storagetest.Incident("INC-1", storagetest.Now())
	if err := db.SaveIncidents(t.Context(), []*incident.Incident{inc}, []event.Event{{Type: event.IncidentOpened, Incident: "INC-1"}}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	if got, err := db.Incident(t.Context(), "INC-1"); err != nil || got.Title != inc.Title {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFilesAreForThisUserAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	db := open(t, filepath.Join(dir, "atlhyper.db"))
	if err := db.AppendEvents(t.Context(), event.Event{Type: event.ClusterBack}); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			n++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", d.Name(), info.Mode())
		}
		return nil
	})
	if err != nil || n < 3 { // the database, its log, the lock
		t.Errorf("%d files, %v", n, err)
	}
}

func TestASecondProcessIsToldWhoHoldsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "atlhyper.db")
	db := open(t, path)
	_, err := storage.Open(t.Context(), path, storage.Config{})
	if !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), "stop process ") {
		t.Errorf("got %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestADamagedFileIsNamedWithTheRemedy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "atlhyper.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := storage.Open(t.Context(), path, storage.Config{})
	var e *storage.Error
	if !errors.As(err, &e) || !strings.Contains(e.Remedy, "restore a backup") || !strings.Contains(e.Remedy, path) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(text), "this is no database") {
		t.Errorf("the file was touched: %v", err)
	}
}

func TestADirectoryThatCannotBeMadeIsNamedWithTheRemedy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := storage.Open(t.Context(), filepath.Join(file, "atlhyper.db"), storage.Config{})
	if err == nil || !strings.Contains(err.Error(), "ATLHYPER_DATA_DIR") {
		t.Errorf("got %v", err)
	}
}

func TestNegativeRetentionIsRefused(t *testing.T) {
	_, err := storage.Open(t.Context(), ":memory:", storage.Config{Retention: storage.Retention{Events: -1}})
	if err == nil || !strings.Contains(err.Error(), "retention of events") {
		t.Errorf("got %v", err)
	}
}

func TestACancelledCallChangesNothingAndHarmsNothing(t *testing.T) {
	db := open(t, ":memory:")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.AppendEvents(ctx, event.Event{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := db.AppendEvents(t.Context(), event.Event{}); err != nil {
		t.Fatal(err)
	}
	if l, err := db.EventsAfter(t.Context(), 0, 10); err != nil || len(l) != 1 {
		t.Errorf("%v %v", l, err)
	}
}
