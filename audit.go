package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/storage"
)

// auditCmd reads the audit log in the engine's database, beside a running engine too.
type auditCmd struct {
	Verify auditVerify `cmd:"" help:"Check that no entry was changed, added or removed."`
	Export auditExport `cmd:"" help:"Print the entries as JSON, one a line."`
}

type auditVerify struct{ dataDir }

type auditExport struct {
	dataDir
	After int64 `help:"Begin after the entry with this number." default:"0"`
}

func (c *auditVerify) Run(ctx context.Context, env *environment) error {
	return c.database(ctx, env, func(db *storage.DB) error {
		log, err := audit.New(ctx, audit.Config{Store: db})
		if err != nil {
			return err
		}
		if err := log.Verify(ctx); err != nil {
			return err
		}
		if log.Head().Seq == 0 {
			return env.say("whole: no entry yet")
		}
		// The head, kept elsewhere, proves later that nothing was cut off at the end.
		return env.say("whole: %d entries, head %s", log.Head().Seq, log.Head().Hash)
	})
}

func (c *auditExport) Run(ctx context.Context, env *environment) error {
	return c.database(ctx, env, func(db *storage.DB) error {
		out := bufio.NewWriter(env.stdout)
		enc := json.NewEncoder(out)
		for after := c.After; ; {
			entries, err := db.AuditEntries(ctx, after, 500)
			if err != nil {
				return err
			}
			if len(entries) == 0 {
				return out.Flush()
			}
			for _, e := range entries {
				if err := enc.Encode(e); err != nil {
					return fmt.Errorf("export entry %d: %w", e.Seq, err)
				}
				after = e.Seq
			}
		}
	})
}
