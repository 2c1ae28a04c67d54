//go:build !linux

package main

import "errors"

// benchTelemetryCmd needs ClickHouse's engine, whose lab runs on Linux.
type benchTelemetryCmd struct{ benchFlags }

func (benchTelemetryCmd) Run() error {
	return errors.New("bench telemetry runs on Linux only: the lab's ClickHouse engine does")
}
