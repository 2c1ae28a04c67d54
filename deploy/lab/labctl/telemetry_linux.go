package main

import (
	"context"
	"log/slog"

	"github.com/bukahou/atlhyper/deploy/lab/telemetry"
)

// prepareTelemetry fetches and builds the telemetry half of the lab. Where that cannot be had, its tests say so.
func prepareTelemetry(ctx context.Context, log *slog.Logger) error {
	if err := telemetry.Prepare(ctx, log); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		log.Warn("no telemetry lab; its tests are skipped", "err", err)
	}
	return nil
}
