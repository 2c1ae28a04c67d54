package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/agent/telemetry"
	"github.com/bukahou/atlhyper/agent/telemetry/clickhouse"
	"github.com/bukahou/atlhyper/agent/telemetry/prometheus"
)

// storeFlags say where a cluster's metrics, traces and logs are kept.
type storeFlags struct {
	ClickHouseURL      string            `name:"clickhouse-url" help:"ClickHouse that the OpenTelemetry Collector writes to: clickhouse://user:password@host:9000,other:9000/database, or https://…:8443/database." env:"CLICKHOUSE_URL" group:"Telemetry"`
	ClickHouseDatabase string            `name:"clickhouse-database" help:"Database of the collector's tables; the URL's when empty." env:"ATLHYPER_CLICKHOUSE_DATABASE" group:"Telemetry"`
	ClickHouseTables   map[string]string `name:"clickhouse-tables" help:"Other names than the exporter's, such as logs=my_logs,traces=my_traces; also gauge, sum, histogram, exponential and summary." env:"ATLHYPER_CLICKHOUSE_TABLES" mapsep:"," group:"Telemetry"`
	PrometheusURL      string            `name:"prometheus-url" help:"Prometheus server, or what speaks its query API: http://prometheus.monitoring:9090; a user and a password may be in it." env:"PROMETHEUS_URL" group:"Telemetry"`
	PrometheusToken    string            `name:"prometheus-token" help:"Bearer token of the Prometheus server." env:"PROMETHEUS_TOKEN" group:"Telemetry"`
}

func (f storeFlags) clickhouse(names telemetry.Names, log *slog.Logger) (clickhouse.Config, error) {
	cfg := clickhouse.Config{URL: f.ClickHouseURL, Database: f.ClickHouseDatabase, Names: names, Logger: log}
	into := map[string]*string{
		"gauge": &cfg.Tables.Gauge, "sum": &cfg.Tables.Sum, "histogram": &cfg.Tables.Histogram, "exponential": &cfg.Tables.Exponential, "summary": &cfg.Tables.Summary, "traces": &cfg.Tables.Traces, "logs": &cfg.Tables.Logs,
	}
	for kind, name := range f.ClickHouseTables {
		if into[kind] == nil {
			return cfg, fmt.Errorf("--clickhouse-tables: %q is none of %s", kind, strings.Join(slices.Sorted(maps.Keys(into)), ", "))
		}
		*into[kind] = name
	}
	return cfg, nil
}

func (f storeFlags) prometheus(names telemetry.Names, log *slog.Logger) prometheus.Config {
	return prometheus.Config{URL: f.PrometheusURL, Token: f.PrometheusToken, Names: names, Logger: log}
}

// check refuses what can never work before anything is started.
func (f storeFlags) check() error {
	stores, err := f.stores(slog.New(slog.DiscardHandler))(telemetry.NewDirectory(nil, nil))
	if err != nil {
		return err
	}
	return telemetry.NewSeveral(stores...).Close()
}

// stores makes the sources once the cluster is known, the best first.
func (f storeFlags) stores(log *slog.Logger) func(telemetry.Names) ([]telemetry.Source, error) {
	return func(names telemetry.Names) ([]telemetry.Source, error) {
		var out []telemetry.Source
		if f.ClickHouseURL != "" {
			cfg, err := f.clickhouse(names, log)
			if err != nil {
				return nil, err
			}
			s, err := clickhouse.Open(cfg)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		if f.PrometheusURL != "" {
			s, err := prometheus.Open(f.prometheus(names, log))
			if err != nil {
				return nil, errors.Join(err, telemetry.NewSeveral(out...).Close())
			}
			out = append(out, s)
		}
		return out, nil
	}
}
