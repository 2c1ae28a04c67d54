package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// spawnEnv makes the test binary start a process, print it, and end without stopping it.
const spawnEnv = "ATLHYPER_LAB_TEST_SPAWN"

func spawnAndLeave() int {
	p, err := spawn("sleep", "/bin/sleep", []string{"60"}, os.Getenv(spawnEnv), false)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print(p.id.PID, " ", p.id.Started)
	return 0
}

func TestProcessesEndWithTheOneThatStartedThem(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), spawnEnv+"="+filepath.Join(t.TempDir(), "log"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var id identity
	if _, err := fmt.Sscan(string(out), &id.PID, &id.Started); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	for end := time.Now().Add(10 * time.Second); id.alive(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d outlived its parent", id.PID)
		}
	}
}

func TestProcessIsKilledAndItsIdentityIsNotAnothers(t *testing.T) {
	p, err := spawn("sleep", "/bin/sleep", []string{"60"}, filepath.Join(t.TempDir(), "log"), false)
	if err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Error("a started process is not alive")
	}
	if (identity{PID: p.id.PID, Started: "1"}).alive() {
		t.Error("another process with the same id passes for ours")
	}
	for range 2 { // the second kill finds nothing to do
		if err := p.kill(0); err != nil {
			t.Fatal(err)
		}
		if p.alive() {
			t.Error("a killed process is alive")
		}
	}
}

func TestProgramThatDoesNotExistIsNotStarted(t *testing.T) {
	if _, err := spawn("nothing", "/does/not/exist", nil, filepath.Join(t.TempDir(), "log"), false); err == nil {
		t.Error("no error")
	}
}
