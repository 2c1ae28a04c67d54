package storage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/storage"
)

// writerEnv names the database that a child process writes until it is killed.
const writerEnv = "STORAGE_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		if err := writeForever(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForever saves records, each with the event that tells of it, and says on standard output what is stored.
func writeForever(path string) error {
	ctx := context.Background()
	db, err := storage.Open(ctx, path, storage.Config{})
	if err != nil {
		return err
	}
	for {
		id, err := db.NextIncident(ctx)
		if err != nil {
			return err
		}
		inc := &incident.Incident{ID: id, Cluster: "c", OpenedAt: time.Now()}
		for recurrence := range 3 {
			inc.Recurrence = recurrence
			tell := event.Event{At: time.Now(), Type: event.IncidentChanged, Incident: id, Data: []byte(strconv.Itoa(recurrence))}
			if err := db.SaveIncidents(ctx, []*incident.Incident{inc}, []event.Event{tell}); err != nil {
				return err
			}
			fmt.Println(id, recurrence)
		}
	}
}

// A process is killed again and again while it writes. No record is ever without its event nor an event without its
// record, and what the process was told is stored is there.
func TestKillNine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "atlhyper.db")
	told := map[string]int{}
	for round := range 4 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), writerEnv+"="+path)
		child.Stderr = os.Stderr
		stdout, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines, n := bufio.NewScanner(stdout), 0
		for lines.Scan() {
			id, recurrence, _ := strings.Cut(lines.Text(), " ")
			if told[id], err = strconv.Atoi(recurrence); err != nil {
				t.Fatal(err)
			}
			if n++; n == 20+7*round {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || n < 20 {
			t.Fatalf("the child ended by itself after %d lines: %v", n, err)
		}

		db, err := storage.Open(t.Context(), path, storage.Config{})
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		records, err := db.Incidents(t.Context(), incident.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		events, err := db.EventsAfter(t.Context(), 0, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		newest := map[string]int{}
		for _, e := range events {
			var recurrence int
			if err := json.Unmarshal(e.Data, &recurrence); err != nil {
				t.Fatal(err)
			}
			newest[e.Incident] = recurrence
		}
		if len(newest) != len(records) {
			t.Errorf("%d records, events of %d", len(records), len(newest))
		}
		for _, r := range records {
			if last, ok := newest[r.ID]; !ok || last != r.Recurrence {
				t.Errorf("%s is at %d, its newest event at %d (there is one: %v)", r.ID, r.Recurrence, last, ok)
			}
			if r.Recurrence < told[r.ID] {
				t.Errorf("%s is at %d, the killed process was told %d", r.ID, r.Recurrence, told[r.ID])
			}
			delete(told, r.ID)
		}
		if len(told) != 0 {
			t.Errorf("lost: %v", told)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
