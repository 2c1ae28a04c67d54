package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// state is what another process must know to join, stop or restart a lab. It is kept in state.json.
type state struct {
	// Ports by component: etcd, etcd-peer, kube-apiserver, kwok.
	Ports map[string]int `json:"ports"`
	// Starts counts the runs on these data. Each has a range of pod addresses of its own, because kwok would
	// otherwise give away addresses that pods of the last run still have.
	Starts int `json:"starts"`
	// Processes by component, while they run.
	Processes map[string]identity `json:"processes"`
}

func stateFile(dir string) string { return filepath.Join(dir, "state.json") }

// readState returns the zero state for a directory without one.
func readState(dir string) (state, error) {
	data, err := os.ReadFile(stateFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("read lab state: %w", err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, fmt.Errorf("read lab state %s: %w; remove the lab's directory to start afresh", stateFile(dir), err)
	}
	return s, nil
}

func (s state) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write lab state: %w", err)
	}
	tmp := stateFile(dir) + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write lab state: %w", err)
	}
	if err := os.Rename(tmp, stateFile(dir)); err != nil {
		return fmt.Errorf("write lab state: %w", err)
	}
	return nil
}

// newState keeps the ports of an earlier run where they are free, so that old kubeconfigs stay valid.
func newState(old state) (state, error) {
	s := state{Ports: map[string]int{}, Processes: map[string]identity{}, Starts: old.Starts + 1}
	for _, name := range []string{"etcd", "etcd-peer", "kube-apiserver", "kwok"} {
		port := old.Ports[name]
		if port == 0 || !portFree(port) {
			var err error
			if port, err = freePort(); err != nil {
				return state{}, err
			}
		}
		s.Ports[name] = port
	}
	return s, nil
}

// freePort picks a port below the range from which the kernel serves outgoing connections, so that none of those
// takes it before our process listens.
func freePort() (int, error) {
	for range 100 {
		if port := 20000 + rand.IntN(10000); portFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("no free port between 20000 and 30000")
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port))) //nolint:noctx // returns at once
	if err != nil {
		return false
	}
	return l.Close() == nil
}
