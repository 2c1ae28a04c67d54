package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	"github.com/bukahou/atlhyper/agent/telemetry/clickhouse"
	lab "github.com/bukahou/atlhyper/deploy/lab/telemetry"
)

// benchTelemetryCmd reads ticks from a ClickHouse that a large cluster has written to for an hour.
type benchTelemetryCmd struct {
	benchFlags
	Nodes    int           `help:"Nodes." default:"200"`
	Services int           `help:"Services, each behind the ingress and in the mesh." default:"500"`
	Edges    int           `help:"Mesh edges between them." default:"2000"`
	Span     time.Duration `help:"How long they have been measured." default:"1h"`
	Naive    int           `help:"The naive way asks of one entity at a time; it is measured on one in so many and multiplied." default:"25"`
}

// naive are the queries of a tick that asks for one node, or one service, at a time, as a dashboard's panels do.
var naive = map[string][]string{
	"node": {
		`SELECT Attributes['mode'] AS mode, sum(v) FROM (SELECT Attributes, (max(Value) - min(Value)) / 90 AS v FROM otel_metrics_sum WHERE MetricName = 'node_cpu_seconds_total' AND ResourceAttributes['server.address'] = '{name}' AND TimeUnix >= toDateTime({from}) GROUP BY Attributes) GROUP BY mode`,
		`SELECT MetricName, (max(Value) - min(Value)) / 90 FROM otel_metrics_sum WHERE MetricName LIKE 'node_pressure%' AND ResourceAttributes['server.address'] = '{name}' AND TimeUnix >= toDateTime({from}) GROUP BY MetricName`,
		`SELECT MetricName, Attributes, argMax(Value, TimeUnix) FROM otel_metrics_gauge WHERE MetricName IN ('node_memory_MemTotal_bytes', 'node_memory_MemAvailable_bytes', 'node_filesystem_size_bytes', 'node_filesystem_avail_bytes') AND ResourceAttributes['server.address'] = '{name}' AND TimeUnix >= toDateTime({from}) GROUP BY MetricName, Attributes`,
	},
	"service": {
		`SELECT code, sum(v) FROM (SELECT Attributes['code'] AS code, ResourceAttributes['service.instance.id'] AS i, (max(Value) - min(Value)) / 90 AS v FROM otel_metrics_sum WHERE MetricName = 'traefik_service_requests_total' AND Attributes['service'] = 'load-{name}-80@kubernetes' AND TimeUnix >= toDateTime({from}) GROUP BY code, i) GROUP BY code`,
		`SELECT sumForEach(d) FROM (SELECT arrayMap((x, y) -> x - y, argMax(BucketCounts, TimeUnix), argMin(BucketCounts, TimeUnix)) AS d FROM otel_metrics_histogram WHERE MetricName = 'traefik_service_request_duration_seconds' AND Attributes['service'] = 'load-{name}-80@kubernetes' AND TimeUnix >= toDateTime({from}) GROUP BY ResourceAttributes['service.instance.id'], Attributes)`,
		`SELECT class, sum(v) FROM (SELECT Attributes['classification'] AS class, (max(Value) - min(Value)) / 90 AS v FROM otel_metrics_sum WHERE MetricName = 'response_total' AND Attributes['direction'] = 'inbound' AND Attributes['deployment'] = '{name}' AND TimeUnix >= toDateTime({from}) GROUP BY Attributes) GROUP BY class`,
		`SELECT sumForEach(d) FROM (SELECT arrayMap((x, y) -> x - y, argMax(BucketCounts, TimeUnix), argMin(BucketCounts, TimeUnix)) AS d FROM otel_metrics_histogram WHERE MetricName = 'response_latency_ms' AND Attributes['direction'] = 'inbound' AND Attributes['deployment'] = '{name}' AND TimeUnix >= toDateTime({from}) GROUP BY Attributes)`,
		`SELECT to, class, sum(v) FROM (SELECT Attributes['dst_service'] AS to, Attributes['classification'] AS class, (max(Value) - min(Value)) / 90 AS v FROM otel_metrics_sum WHERE MetricName = 'response_total' AND Attributes['direction'] = 'outbound' AND Attributes['deployment'] = '{name}' AND TimeUnix >= toDateTime({from}) GROUP BY Attributes) GROUP BY to, class`,
		`SELECT to, sumForEach(d) FROM (SELECT Attributes['dst_service'] AS to, arrayMap((x, y) -> x - y, argMax(BucketCounts, TimeUnix), argMin(BucketCounts, TimeUnix)) AS d FROM otel_metrics_histogram WHERE MetricName = 'response_latency_ms' AND Attributes['direction'] = 'outbound' AND Attributes['deployment'] = '{name}' AND TimeUnix >= toDateTime({from}) GROUP BY Attributes) GROUP BY to`,
	},
}

const benchTicks = 12 // two minutes

func (c *benchTelemetryCmd) Run(ctx context.Context, env *environment) error {
	if c.Nodes < 1 || c.Services < 1 || c.Edges < 1 || c.Naive < 1 || c.Span < 2*time.Minute {
		return errors.New("--nodes, --services, --edges and --naive are at least 1, --span at least 2m")
	}
	dir := c.Dir
	if dir == "" {
		temp, remove, err := tempDir()
		if err != nil {
			return err
		}
		defer remove()
		dir = temp
	}
	env.note("starting ClickHouse's engine (the first time fetches it)…")
	engine, err := lab.Start(ctx, filepath.Join(dir, "clickhouse"))
	if err != nil {
		return err
	}
	defer engine.Stop()
	if err := engine.Create(ctx, "c"); err != nil {
		return err
	}
	now := time.Now().Truncate(time.Second)
	rows, err := engine.Load(ctx, now, lab.Scale{Nodes: c.Nodes, Services: c.Services, Edges: c.Edges, Span: c.Span, Every: 15 * time.Second}, func(done, of int) {
		if done%20 == 0 {
			env.note("%d of %d scrapes written", done, of)
		}
	})
	if err != nil {
		return err
	}
	figures, err := c.ticks(ctx, engine, now)
	if err != nil {
		return err
	}
	figures["rows_stored"] = float64(rows)
	env.note("asking the naive way of one entity in %d…", c.Naive)
	if figures["naive_tick_ms"], err = c.naive(ctx, engine, now); err != nil {
		return err
	}
	return c.print(env, figures)
}

// ticks measures whole ticks, with the look for tables and writers that every sixth of them begins with.
func (c *benchTelemetryCmd) ticks(ctx context.Context, engine *lab.ClickHouse, now time.Time) (map[string]float64, error) {
	names := telemetry.NewDirectory(c.objects(), time.Now)
	var took time.Duration
	var worst time.Duration
	before, err := spent(ctx, engine)
	if err != nil {
		return nil, err
	}
	var source *clickhouse.Source
	for i := range benchTicks {
		if i%6 == 0 {
			if source, err = clickhouse.Open(clickhouse.Config{URL: engine.URL(), Names: names, Within: time.Minute}); err != nil {
				return nil, err
			}
			defer source.Close()
		}
		begin := time.Now()
		f, err := source.Sample(ctx, now)
		if err != nil {
			return nil, err
		}
		one := time.Since(begin)
		took, worst = took+one, max(worst, one)
		if least := 4 * (c.Nodes + c.Services); !f.GetSources()[0].GetAvailable() || len(f.GetSamples()) < least || len(f.GetTraffic()) < c.Edges*9/10 {
			return nil, fmt.Errorf("a tick has %d samples and %d edges: %s", len(f.GetSamples()), len(f.GetTraffic()), f.GetSources()[0].GetMessage())
		}
	}
	after, err := spent(ctx, engine)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"tick_ms": float64(took.Microseconds()) / 1000 / benchTicks, "tick_max_ms": float64(worst.Microseconds()) / 1000, "rows_read_per_tick": (after.rows - before.rows) / benchTicks,
		"tick_cpu_ms": (after.cpu - before.cpu) / 1000 / benchTicks, // of the engine, which a busy machine does not change
	}, nil
}

// work is what the engine has done since it started: rows read from tables, and microseconds of processor time.
type work struct{ rows, cpu float64 }

func spent(ctx context.Context, engine *lab.ClickHouse) (w work, err error) {
	out, err := engine.Query(ctx, "SELECT sumIf(value, event = 'SelectedRows'), sumIf(value, event IN ('UserTimeMicroseconds', 'SystemTimeMicroseconds')) FROM system.events")
	if err != nil {
		return w, err
	}
	_, err = fmt.Sscan(out, &w.rows, &w.cpu)
	return w, err
}

func (c *benchTelemetryCmd) naive(ctx context.Context, engine *lab.ClickHouse, now time.Time) (float64, error) {
	var total float64
	for kind, count := range map[string]int{"node": c.Nodes, "service": c.Services} {
		prefix := map[string]string{"node": "node-", "service": "svc-"}[kind]
		asked := 0
		begin := time.Now()
		for i := 0; i < count; i += c.Naive {
			asked++
			for _, q := range naive[kind] {
				q = strings.NewReplacer("{name}", fmt.Sprint(prefix, i), "{from}", fmt.Sprint(now.Add(-90*time.Second).Unix())).Replace(q)
				if _, err := engine.Query(ctx, q); err != nil {
					return 0, err
				}
			}
		}
		total += float64(time.Since(begin).Microseconds()) / 1000 * float64(count) / float64(asked)
	}
	return total, nil
}

type benchObjects map[string][]*report.Resource

func (o benchObjects) Resources(kind string) []*report.Resource { return o[kind] }

// objects are the cluster that the names in the data belong to.
func (c *benchTelemetryCmd) objects() benchObjects {
	o := benchObjects{}
	for i := range c.Nodes {
		o["Node"] = append(o["Node"], &report.Resource{Kind: "Node", Name: fmt.Sprint("node-", i)})
	}
	for i := range c.Services {
		o["Service"] = append(o["Service"], &report.Resource{Kind: "Service", Namespace: "load", Name: fmt.Sprint("svc-", i), Detail: &report.Resource_Service{
			Service: &report.Service{Ports: []*report.ServicePort{{Port: 80}}},
		}})
	}
	return o
}
