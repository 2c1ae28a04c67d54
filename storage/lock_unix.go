//go:build unix

package storage

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// lock takes the file for this process. The system gives it free when the process ends, however it ends. Its text is
// the holder's process id, for the error of the next one.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &Error{Err: err, Remedy: "make the data directory writable for this user"}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := "another process"
		if text, readErr := os.ReadFile(path); readErr == nil && len(text) > 0 {
			holder = fmt.Sprintf("process %s", strings.TrimSpace(string(text)))
		}
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &Error{Err: ErrLocked, Remedy: fmt.Sprintf("stop %s, or give this one its own ATLHYPER_DATA_DIR", holder)}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f.Close, nil
}
