package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// identity names a process for good: ids are given again, a start time with the same id is not.
type identity struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // clock ticks since boot, field 22 of /proc/PID/stat
}

func (id identity) alive() bool {
	state, started, err := stat(id.PID)
	return err == nil && started == id.Started && state != "Z" && state != "X"
}

// stat reads a process's state letter and start time.
func stat(pid int) (state, started string, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", "", err
	}
	// The second field is the command in parentheses, and may itself hold spaces and parentheses.
	rest := data[bytes.LastIndexByte(data, ')')+1:]
	fields := bytes.Fields(rest)
	if len(fields) < 20 {
		return "", "", fmt.Errorf("process %d: short stat", pid)
	}
	return string(fields[0]), string(fields[19]), nil
}

// process is one component, in a process group of its own.
type process struct {
	name string
	id   identity
	done chan struct{} // closed when our child was reaped; nil for an adopted process
}

// spawn starts a command with its output appended to a file. Unless detached, the kernel kills it when this process
// ends: the goroutine that starts it holds its thread until the child is gone, because the kernel watches the thread.
func spawn(name, path string, args []string, logFile string, detached bool) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...) //nolint:noctx // it outlives the context of the call that starts it
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if detached {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	p := &process{name: name, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = out.Close()
		if err == nil {
			p.id.PID = cmd.Process.Pid
			_, p.id.Started, err = stat(p.id.PID)
		}
		started <- err
		if cmd.Process != nil {
			_ = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// adopt takes over a process that another one started.
func adopt(name string, id identity) *process { return &process{name: name, id: id} }

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return p.id.alive()
	}
}

// kill ends the process group and waits for it: politely for patience, if that is not zero, then at once.
func (p *process) kill(patience time.Duration) error {
	if patience > 0 && p.alive() {
		if err := syscall.Kill(-p.id.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s: %w", p.name, err)
		}
		if p.gone(patience) {
			return nil
		}
	}
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(-p.id.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	if !p.gone(10 * time.Second) {
		return fmt.Errorf("kill %s: process %d is still there after 10 s", p.name, p.id.PID)
	}
	return nil
}

// gone waits until the process has ended.
func (p *process) gone(within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !p.alive() {
			return true
		}
	}
	return !p.alive()
}

// lockFile takes an exclusive lock between processes, and returns how to release it.
func lockFile(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
