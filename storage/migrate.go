package storage

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

// The migrations are append-only: one that has landed is never edited.
//
//go:embed migrations/*.sql
var migrations embed.FS

// provider knows the migrations of this binary.
func provider(db *sql.DB, log *slog.Logger) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true), goose.WithSlog(log))
}

func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	p, err := provider(db, log)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return &Error{
			Err:    fmt.Errorf("%w: its schema is %d, this one knows %d", ErrNewer, current, target),
			Remedy: "run the newer atlhyper, or restore a backup made by this version",
		}
	}
	if current == target {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring schema %d up to %d: %w", current, target, err)
	}
	return nil
}
