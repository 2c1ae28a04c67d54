package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/bukahou/atlhyper/storage"
)

// backupCmd copies the database while the engine runs.
type backupCmd struct {
	dataDir
	File string `arg:"" help:"Where the copy goes, - for standard output; it replaces nothing." type:"path"`
}

func (c *backupCmd) Run(ctx context.Context, env *environment) error {
	dir, err := c.dataDir.open()
	if err != nil {
		return err
	}
	if c.File == "-" { // out of a container without tar: kubectl exec … backup - > FILE
		return stream(ctx, dir, env.stdout)
	}
	if err := storage.Backup(ctx, databaseIn(dir), c.File); err != nil {
		return err
	}
	return env.say("The database is copied to %s.", c.File)
}

// stream writes a copy to out. It is whole on the disk first, so that out gets all of it or nothing.
func stream(ctx context.Context, dir string, out io.Writer) (err error) {
	tmp, err := os.MkdirTemp(dir, "backup-")
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	file := filepath.Join(tmp, "atlhyper.db")
	if err := storage.Backup(ctx, databaseIn(dir), file); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(out, f); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

// restoreCmd puts a copy in the database's place. The engine must not run meanwhile, and the lock sees to it.
type restoreCmd struct {
	dataDir
	File string `arg:"" help:"A file that backup wrote." type:"existingfile"`
}

func (c *restoreCmd) Run(ctx context.Context, env *environment) error {
	dir, err := c.dataDir.open()
	if err != nil {
		return err
	}
	kept, err := storage.Restore(ctx, c.File, databaseIn(dir), time.Now())
	if err != nil {
		return err
	}
	if kept != "" {
		return env.say("Restored. The database before it is kept as %s.", kept)
	}
	return env.say("Restored.")
}
