// Package clickhouse reads a cluster's telemetry from the tables that the OpenTelemetry Collector's ClickHouse exporter
// writes: node_exporter, Traefik, Linkerd, OpenTelemetry's own metrics, traces and logs. Every query is one file in sql/,
// is bounded in time, rows, memory and seconds, and asks for all entities at once. What is not there is said, and is
// never zero.
package clickhouse

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/bukahou/atlhyper/agent/telemetry"
)

const sourceName = "clickhouse"

// Tables are the names of the exporter's tables; an empty one is the exporter's default.
type Tables struct{ Gauge, Sum, Histogram, Exponential, Summary, Traces, Logs string }

// Config is what a Source needs.
type Config struct {
	// URL is clickhouse://user:password@host:9000,other:9000/database (native), or http:// or https:// with port 8123 or
	// 8443; with ?secure=true for TLS. Of several hosts one that answers is asked.
	URL string
	// Database is where the tables are; default the URL's, else "default".
	Database string
	Tables   Tables
	Names    telemetry.Names
	Window   time.Duration // that rates are taken over; default 1 min
	Lag      time.Duration // two scrape intervals: how much older the first sample of a window may be; default 30 s
	Within   time.Duration // one tick; default 5 s
	Logger   *slog.Logger
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *Config) defaults() error {
	if c.Names == nil {
		return errors.New("clickhouse: Names is needed")
	}
	c.Window = cmp.Or(c.Window, time.Minute)
	c.Lag = cmp.Or(c.Lag, 30*time.Second)
	c.Within = cmp.Or(c.Within, 5*time.Second)
	t := &c.Tables
	for name, fallback := range map[*string]string{
		&t.Gauge: "otel_metrics_gauge", &t.Sum: "otel_metrics_sum", &t.Histogram: "otel_metrics_histogram", &t.Exponential: "otel_metrics_exponential_histogram", &t.Summary: "otel_metrics_summary", &t.Traces: "otel_traces", &t.Logs: "otel_logs",
	} {
		*name = cmp.Or(*name, fallback)
		if !identifier.MatchString(*name) { // it goes into the text of queries
			return fmt.Errorf("clickhouse: %q is no name of a table; letters, digits and _ make one", *name)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Source implements telemetry.Source, Answerer and Counter. After a failure it is not asked again until a pause is over,
// so that a store that is down costs nothing.
type Source struct {
	cfg    Config
	db     driver.Conn
	ticker telemetry.Ticker

	mu     sync.Mutex // guards what follows
	store  store      // without jobs
	probed time.Time
	jobs   map[string][]string // of the ticks
	listed time.Time
}

var (
	_ telemetry.Source   = (*Source)(nil)
	_ telemetry.Answerer = (*Source)(nil)
	_ telemetry.Counter  = (*Source)(nil)
)

// Open checks the configuration. It connects to nothing: what is not there now may come.
func Open(cfg Config) (*Source, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	options, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg.Database = cmp.Or(cfg.Database, options.Auth.Database, "default")
	if !identifier.MatchString(cfg.Database) {
		return nil, fmt.Errorf("clickhouse: %q is no name of a database; letters, digits and _ make one", cfg.Database)
	}
	options.Auth.Database = cfg.Database
	// The driver waits for a free connection as long as for a new one; what a query may take in all its context says.
	options.MaxOpenConns, options.MaxIdleConns, options.DialTimeout = 6, 4, 3*time.Second
	db, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("CLICKHOUSE_URL cannot be used: %s", reason(err))
	}
	return &Source{cfg: cfg, db: db, ticker: telemetry.Ticker{
		Source: sourceName, Window: cfg.Window, Within: cfg.Within, Reason: reason, Log: cfg.Logger,
	}}, nil
}

// parse reads an address. Its errors never hold it, for it has a password in it.
func parse(address string) (*clickhouse.Options, error) {
	wrong := errors.New("CLICKHOUSE_URL is no address; it looks like clickhouse://user:password@host:9000/database or https://user:password@host:8443/database")
	scheme, _, _ := strings.Cut(address, "://")
	switch scheme {
	case "clickhouse", "tcp", "native", "http":
	case "https": // the driver wants to hear it twice
		if !strings.Contains(address, "secure=") {
			join := "?"
			if strings.Contains(address, "?") {
				join = "&"
			}
			address += join + "secure=true"
		}
	default:
		return nil, wrong
	}
	options, err := clickhouse.ParseDSN(address)
	if err != nil {
		return nil, wrong
	}
	if options.TLS != nil {
		options.TLS.MinVersion = tls.VersionTLS12
	}
	return options, nil
}

// Close ends the connections.
func (s *Source) Close() error { return s.db.Close() }

// bound is what a query is bound to beside its own limit: values as the server reads them.
type bound map[string]string

func number[T ~int | ~int32 | ~int64](n T) string { return fmt.Sprint(int64(n)) }

// list writes an Array(String).
func list(names ...string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\t", `\t`).Replace(n) + "'"
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// maxRows is what one query may read: fifty times what a large cluster's tick needs.
const maxRows = 200_000_000

// each runs one of the files and reads its rows.
func (s *Source) each(ctx context.Context, t tables, name string, limit int, values bound, row func(driver.Rows) error) error {
	text, err := render(name, t)
	if err != nil {
		return err
	}
	seconds := 60.
	if deadline, ok := ctx.Deadline(); ok {
		seconds = max(1, math.Ceil(time.Until(deadline).Seconds()))
	}
	params := clickhouse.Parameters{"limit": fmt.Sprint(limit)}
	for k, v := range values {
		params[k] = v
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(params), clickhouse.WithSettings(clickhouse.Settings{
		"max_execution_time": int(seconds), "max_memory_usage": 1 << 30, "max_rows_to_read": maxRows, "readonly": 2,
	}))
	rows, err := s.db.Query(ctx, text)
	if err != nil {
		return fmt.Errorf("query %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("query %s: %w", name, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("query %s: %w", name, err)
	}
	return nil
}

// store is what was found: a value that is never changed.
type store struct {
	tables
	absent []string            // signals that are not there, with why
	jobs   map[string][]string // metric → the ServiceNames that have it
}

// of gives the ServiceNames that have any of the metrics, and whether there is one.
func (x store) of(metrics ...[]string) (string, bool) {
	var out []string
	for _, list := range metrics {
		for _, m := range list {
			out = append(out, x.jobs[m]...)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return list(out...), len(out) > 0
}

const probeEvery = time.Minute

// look finds the tables, again every minute and after a failure.
func (s *Source) look(ctx context.Context) (store, error) {
	s.mu.Lock()
	x, fresh := s.store, !s.probed.IsZero() && time.Since(s.probed) < probeEvery
	s.mu.Unlock()
	if fresh {
		return x, nil
	}
	begun := time.Now()
	x, err := s.probe(ctx)
	if err != nil {
		return store{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store, s.probed = x, begun
	return x, nil
}

func (s *Source) probe(ctx context.Context) (store, error) {
	names := s.cfg.Tables
	ids := names.Traces + "_trace_id_ts"
	found := map[string]map[string]string{} // table → column → type
	err := s.each(ctx, tables{}, "tables", 10_000, bound{"database": s.cfg.Database, "tables": list(names.Gauge, names.Sum, names.Histogram, names.Exponential, names.Summary, names.Traces, ids, names.Logs)}, func(r driver.Rows) error {
		var table, column, kind string
		if err := r.Scan(&table, &column, &kind); err != nil {
			return err
		}
		if found[table] == nil {
			found[table] = map[string]string{}
		}
		found[table][column] = kind
		return nil
	})
	if err != nil {
		return store{}, err
	}
	var x store
	use := func(what, table string, into *string, columns ...string) {
		have := found[table]
		if have == nil {
			x.absent = append(x.absent, fmt.Sprintf("%s: no table %s", what, table))
			return
		}
		for _, c := range columns {
			switch kind, ok := have[c]; {
			case !ok:
				x.absent = append(x.absent, fmt.Sprintf("%s: table %s has no column %s", what, table, c))
				return
			case strings.HasSuffix(c, "Attributes") && !strings.HasPrefix(kind, "Map("):
				x.absent = append(x.absent, fmt.Sprintf("%s: column %s of %s is %s; set json: false in the exporter", what, c, table, strings.SplitN(kind, "(", 2)[0]))
				return
			}
		}
		*into = table
	}
	use("gauges", names.Gauge, &x.Gauge, "MetricName", "Attributes", "ResourceAttributes", "StartTimeUnix", "TimeUnix", "Value", "Flags")
	use("counters", names.Sum, &x.Sum, "MetricName", "Attributes", "ResourceAttributes", "StartTimeUnix", "TimeUnix", "Value", "Flags")
	use("histograms", names.Histogram, &x.Histogram, "MetricName", "Attributes", "ResourceAttributes", "StartTimeUnix", "TimeUnix", "Flags", "BucketCounts", "ExplicitBounds", "AggregationTemporality")
	if found[names.Exponential] != nil { // seldom used, and not missed
		use("exponential histograms", names.Exponential, &x.Exponential, "MetricName", "Attributes", "ResourceAttributes", "StartTimeUnix", "TimeUnix", "Flags", "Scale", "ZeroCount", "PositiveOffset", "PositiveBucketCounts", "AggregationTemporality")
	}
	if found[names.Summary] != nil {
		use("summaries", names.Summary, &x.Summary, "MetricName", "Attributes", "ResourceAttributes", "StartTimeUnix", "TimeUnix", "Flags", "Count", "Sum")
	}
	use("traces", names.Traces, &x.Traces, "TraceId", "SpanId", "ParentSpanId", "ServiceName", "SpanKind", "ResourceAttributes", "SpanAttributes", "Duration")
	use("logs", names.Logs, &x.Logs, "Timestamp", "Body", "SeverityNumber", "ResourceAttributes")
	if found[ids] != nil {
		x.TraceIDs = ids
	}
	_, x.LogTime = found[names.Logs]["TimestampTime"]
	return x, nil
}

// writers finds who wrote the metrics that we know in a time.
func (s *Source) writers(ctx context.Context, x store, from, to time.Time) (store, error) {
	x.jobs = map[string][]string{}
	if len(x.Metrics()) == 0 {
		return x, nil
	}
	known := slices.Concat(nodeCounters, untypedCounters, nodeGauges, ingressMetrics, meshCounts, meshLatencies, httpMetrics)
	err := s.each(ctx, x.tables, "jobs", 1000, bound{"metrics": list(known...), "from": number(from.Unix()), "to": number(to.Unix())}, func(r driver.Rows) error {
		var metric string
		var jobs []string
		if err := r.Scan(&metric, &jobs); err != nil {
			return err
		}
		x.jobs[metric] = jobs
		return nil
	})
	return x, err
}

// current is look with who writes now, which is found again every minute of the ticks' own time.
func (s *Source) current(ctx context.Context, now time.Time) (store, error) {
	x, err := s.look(ctx)
	if err != nil {
		return x, err
	}
	s.mu.Lock()
	jobs, fresh := s.jobs, len(s.jobs) > 0 && now.Sub(s.listed).Abs() < probeEvery
	s.mu.Unlock()
	if fresh {
		x.jobs = jobs
		return x, nil
	}
	if x, err = s.writers(ctx, x, now.Add(-s.cfg.Window-s.cfg.Lag), now); err != nil {
		return x, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs, s.listed = x.jobs, now
	return x, nil
}

// forget has the next tick look anew at what the store is.
func (s *Source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probed, s.jobs = time.Time{}, nil
}
