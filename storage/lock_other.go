//go:build !unix

package storage

import (
	"errors"
	"os"
)

// lock takes the file for this process: an open file cannot be removed here, so that only a file that nobody holds can
// be made anew.
func lock(path string) (unlock func() error, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, &Error{Err: ErrLocked, Remedy: "stop the other process, or give this one its own ATLHYPER_DATA_DIR"}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, &Error{Err: ErrLocked, Remedy: "stop the other process, or give this one its own ATLHYPER_DATA_DIR"}
	}
	return func() error { return errors.Join(f.Close(), os.Remove(path)) }, nil
}
