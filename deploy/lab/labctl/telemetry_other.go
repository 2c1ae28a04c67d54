//go:build !linux

package main

import (
	"context"
	"log/slog"
)

// prepareTelemetry has nothing to prepare: the telemetry half of the lab runs on Linux only.
func prepareTelemetry(context.Context, *slog.Logger) error { return nil }
