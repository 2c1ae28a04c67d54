// Package telemetry is the telemetry half of the lab: ClickHouse's engine, OpenTelemetry's collector, and records in the
// shapes that the real exporter writes. The programs run on Linux only.
package telemetry
