package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/storage"
)

func TestTheAuditLogIsVerifiedAndExportedBesideARunningEngine(t *testing.T) {
	dir := t.TempDir()
	db, err := storage.Open(t.Context(), filepath.Join(dir, "atlhyper.db"), storage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	log, err := audit.New(t.Context(), audit.Config{Store: db})
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"command.proposed", "command.run", "role.granted"} {
		if _, err := log.Append(t.Context(), people.Person{ID: "slack:MIA"}, action, "prod", "<prod>", nil); err != nil {
			t.Fatal(err)
		}
	}
	out, code := call(t, nil, "audit", "verify", "--data-dir", dir)
	if code != 0 || out.stdout != "whole: 3 entries, head "+log.Head().Hash+"\n" {
		t.Errorf("%d %q %q", code, out.stdout, out.stderr)
	}
	out, code = call(t, nil, "audit", "export", "--after", "1", "--data-dir", dir)
	lines := strings.Split(strings.TrimSpace(out.stdout), "\n")
	if code != 0 || len(lines) != 2 || !strings.Contains(lines[0], `"action":"command.run"`) || !strings.Contains(lines[1], log.Head().Hash) {
		t.Errorf("%d %q %q", code, out.stdout, out.stderr)
	}
}
