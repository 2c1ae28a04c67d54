package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/report"
)

const week = 7 * 24 * time.Hour

func open(t *testing.T, path string, now time.Time) *Journal {
	t.Helper()
	j, err := OpenJournal(path, week, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func TestJournalRemembersOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "commands.journal")
	now := time.Unix(1_800_000_000, 0)
	j := open(t, path, now)
	for _, id := range []string{"ended", "begun"} {
		if err := j.Begin(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.End("ended", &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED, Message: "scaled"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Begin("ended"); err == nil {
		t.Error("a command could begin twice")
	}
	// No Close: the process was killed.
	again := open(t, path, now)
	if e, ok := again.Lookup("ended"); !ok || e.Outcome.GetMessage() != "scaled" {
		t.Errorf("ended command: %+v", e)
	}
	if e, ok := again.Lookup("begun"); !ok || e.Outcome != nil || !e.Ended.IsZero() {
		t.Errorf("begun command: %+v", e)
	}
	if _, ok := again.Lookup("other"); ok {
		t.Error("an unknown command is known")
	}
}

func TestJournalSurvivesATornLastLineAndNoOtherDamage(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_800_000_000, 0)
	path := filepath.Join(dir, "j")
	j := open(t, path, now)
	for i := range 3 {
		if err := j.Begin(fmt.Sprint("c-", i)); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lastLine := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for cut := lastLine; cut < len(whole); cut++ {
		torn := filepath.Join(dir, fmt.Sprint("torn-", cut))
		if err := os.WriteFile(torn, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, torn, now)
		if _, ok := j.Lookup("c-1"); !ok {
			t.Fatalf("cut at %d lost an earlier command", cut)
		}
		if _, ok := j.Lookup("c-2"); ok {
			t.Fatalf("cut at %d kept a torn line", cut)
		}
		if err := j.Begin("c-2"); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if _, ok := open(t, torn, now).Lookup("c-2"); !ok {
			t.Fatalf("cut at %d: what was written afterwards is lost", cut)
		}
	}
	damaged := bytes.Clone(whole)
	damaged[12] ^= 1
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	var wrong *DamagedError
	if _, err := OpenJournal(path, week, time.Now); !errors.As(err, &wrong) || wrong.Line != 1 || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("damage in the first line: %v", err)
	}
}

func TestJournalKeepsWhatIsYoungEnough(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	now := time.Unix(1_800_000_000, 0)
	j := open(t, path, now)
	for _, id := range []string{"old", "long"} {
		if err := j.Begin(id); err != nil {
			t.Fatal(err)
		}
	}
	later := open(t, path, now.Add(week-time.Hour))
	if err := later.End("long", &report.Outcome{}); err != nil {
		t.Fatal(err)
	}
	last := open(t, path, now.Add(week+time.Hour))
	if _, ok := last.Lookup("old"); ok {
		t.Error("an entry past its time was kept")
	}
	if e, ok := last.Lookup("long"); !ok || e.Outcome == nil {
		t.Error("an entry that ended lately was dropped")
	}
}

// fullDisk is a file on a disk that has room for a number of bytes only.
type fullDisk struct {
	bytes.Buffer
	room   int
	broken bool // nothing can be cut off either
}

func (f *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *fullDisk) Sync() error  { return nil }
func (f *fullDisk) Close() error { return nil }

func (f *fullDisk) Truncate(size int64) error {
	if f.broken {
		return syscall.EIO
	}
	f.room += f.Len() - int(size)
	f.Buffer.Truncate(int(size))
	return nil
}

func TestJournalOnAFullDiskRefusesAndRecovers(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "j"), time.Unix(1_800_000_000, 0))
	disk := &fullDisk{room: 30}
	j.file, j.size = disk, 0
	if err := j.Begin("c-1"); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if _, ok := j.Lookup("c-1"); ok {
		t.Error("a command that could not be written is known")
	}
	if disk.Len() != 0 {
		t.Errorf("half a line was left: %q", disk.String())
	}
	disk.room = 1000
	if err := j.Begin("c-1"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	disk.room, disk.broken = 10, true
	if err := j.Begin("c-2"); err == nil {
		t.Error("a full disk was not noticed")
	}
	disk.room = 1000
	if err := j.Begin("c-3"); err == nil {
		t.Error("a line was written behind half a line")
	}
}

// TestJournalNeverForgets runs random commands with crashes in between, each of which may tear what was not synced.
func TestJournalNeverForgets(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "j")
		clock := func() time.Time { return time.Unix(1_800_000_000, 0) }
		j, err := OpenJournal(path, week, clock)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{} // id → ended
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				id := rapid.StringN(1, 8, 20).Draw(t, "id")
				_, again := known[id]
				if err := j.Begin(id); (err != nil) != again {
					t.Fatalf("begin %q, known %v: %v", id, again, err)
				}
				if !again {
					known[id] = false
				}
			},
			"end": func(t *rapid.T) {
				for id, ended := range known {
					if !ended {
						if err := j.End(id, &report.Outcome{Message: id}); err != nil && !strings.Contains(err.Error(), "UTF-8") {
							t.Fatal(err)
						} else if err == nil {
							known[id] = true
						}
						return
					}
				}
			},
			"crash": func(t *rapid.T) {
				_ = j.Close()
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				tail := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "torn")
				_, _ = f.Write(bytes.ReplaceAll(tail, []byte("\n"), nil))
				_ = f.Close()
				if j, err = OpenJournal(path, week, clock); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				for id, ended := range known {
					if e, ok := j.Lookup(id); !ok || (e.Outcome != nil) != ended {
						t.Fatalf("%q ended %v, the journal says %v %+v", id, ended, ok, e)
					}
				}
			},
		})
		_ = j.Close()
	})
}

func FuzzJournal(f *testing.F) {
	line, err := record{ID: "c-1", At: time.Unix(1, 0), Ended: true, Outcome: []byte{8, 1}}.line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(append(bytes.Clone(line), line[:10]...))
	f.Add([]byte("00000000 {}\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, good, err := decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		if good < 0 || good > int64(len(data)) {
			t.Fatalf("good part of %d bytes is %d", len(data), good)
		}
		again, whole, err := decode(bytes.NewReader(data[:good]))
		if err != nil || whole != good || len(again) != len(records) {
			t.Fatalf("the good part reads differently alone: %d records for %d, %v", len(again), len(records), err)
		}
		for _, r := range records {
			if r.ID == "" {
				t.Fatal("a record without id was taken")
			}
		}
	})
}
