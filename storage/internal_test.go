package storage

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/people"
)

// at opens a database and brings its schema to a version only.
func at(t *testing.T, path string, version int64) {
	t.Helper()
	db, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	// There are no down migrations: what a version did not have is taken away by hand.
	rows, err := db.write.QueryContext(t.Context(), `SELECT type || ' ' || name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`)
	if err != nil {
		t.Fatal(err)
	}
	var drops []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		drops = append(drops, "DROP "+s)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	for _, s := range append(drops, "DROP TABLE goose_db_version") {
		if _, err := db.write.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	p, err := provider(db.write, db.log)
	if err != nil {
		t.Fatal(err)
	}
	if version > 0 {
		if _, err := p.UpTo(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	if version >= 1 {
		if err := db.AppendEvents(t.Context(), event.Event{Note: "kept"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryOldSchemaIsBroughtUp(t *testing.T) {
	mem, err := Open(t.Context(), ":memory:", Config{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider(mem.write, mem.log)
	if err != nil {
		t.Fatal(err)
	}
	sources := p.ListSources()
	if err := mem.Close(); err != nil {
		t.Fatal(err)
	}
	for version := range int64(len(sources)) + 1 {
		path := filepath.Join(t.TempDir(), "atlhyper.db")
		at(t, path, version)
		db, err := Open(t.Context(), path, Config{})
		if err != nil {
			t.Fatalf("from %d: %v", version, err)
		}
		for _, table := range []string{"events", "incidents", "proposals", "grants", "silences", "clusters", "checkpoints", "audit", "outbox", "refs", "choices"} {
			if _, err := db.write.ExecContext(t.Context(), "SELECT * FROM "+table); err != nil {
				t.Errorf("from %d: %v", version, err)
			}
		}
		l, err := db.EventsAfter(t.Context(), 0, 10)
		if err != nil || version >= 1 && (len(l) != 1 || l[0].Note != "kept") {
			t.Errorf("from %d: %v %v", version, l, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "atlhyper.db")
	db, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.write.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path, Config{})
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "run the newer atlhyper") {
		t.Errorf("got %v", err)
	}
}

func TestAFullDiskIsNamedAndLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "atlhyper.db")
	db, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := db.write.ExecContext(t.Context(), `PRAGMA max_page_count = 130`); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for err == nil {
		if err = db.AppendEvents(t.Context(), event.Event{Note: strings.Repeat("x", 8000)}); err == nil {
			stored++
		}
	}
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Remedy, "is full: free some space") {
		t.Errorf("got %v", err)
	}
	if l, err := db.EventsAfter(t.Context(), 0, 1000); err != nil || len(l) != stored || stored == 0 {
		t.Errorf("%d of %d events left, %v", len(l), stored, err)
	}
	if _, err := db.write.ExecContext(t.Context(), `PRAGMA max_page_count = 1000`); err != nil {
		t.Fatal(err)
	}
	if err := db.AppendEvents(t.Context(), event.Event{}); err != nil {
		t.Errorf("after space was freed: %v", err)
	}
}

func TestTheAuditTableRefusesChanges(t *testing.T) {
	db, err := Open(t.Context(), ":memory:", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	log, err := audit.New(t.Context(), audit.Config{Store: db})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := log.Append(t.Context(), people.Person{ID: "slack:MIA"}, "x", "", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{`UPDATE audit SET action = 'y' WHERE seq = 2`, `DELETE FROM audit WHERE seq = 2`, `DELETE FROM audit`} {
		if _, err := db.write.ExecContext(t.Context(), s); err == nil {
			t.Errorf("%s went through", s)
		}
	}
	// Whoever owns the file can take the triggers away; then the chain shows what was done.
	for _, s := range []string{`DROP TRIGGER audit_no_update`, `UPDATE audit SET action = 'y' WHERE seq = 2`} {
		if _, err := db.write.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Verify(t.Context()); !errors.Is(err, audit.ErrBroken) || !strings.Contains(err.Error(), "entry 2 was changed") {
		t.Errorf("got %v", err)
	}
}

func TestTokensAreNotStored(t *testing.T) {
	db, err := Open(t.Context(), ":memory:", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	token, err := db.AddCluster(t.Context(), "prod-eu")
	if err != nil {
		t.Fatal(err)
	}
	var stored []byte
	if err := db.write.QueryRowContext(t.Context(), `SELECT token FROM clusters`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if len(stored) != 32 || strings.Contains(token, string(stored)) {
		t.Errorf("stored %x", stored)
	}
}
