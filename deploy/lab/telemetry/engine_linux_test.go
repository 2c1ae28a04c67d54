package telemetry

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func TestTheDriverWritesAndReadsWithBoundParameters(t *testing.T) {
	c := ForTest(t)
	options, err := clickhouse.ParseDSN(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	db, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Exec(t.Context(), `CREATE TABLE seen (At DateTime64(9), Labels Map(LowCardinality(String), String), Buckets Array(UInt64)) ENGINE = MergeTree ORDER BY At`); err != nil {
		t.Fatal(err)
	}
	batch, err := db.PrepareBatch(t.Context(), "INSERT INTO seen (At, Labels, Buckets)")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)
	for i := range 1000 {
		if err := batch.Append(at.Add(time.Duration(i)*time.Second), map[string]string{"service": "it's `x`"}, []uint64{uint64(i), 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"service": "it's `x`", "least": "990"}))
	var n, sum uint64
	var last time.Time
	row := db.QueryRow(ctx, `SELECT count(), sum(Buckets[1]), max(At) FROM seen WHERE Labels['service'] = {service:String} AND Buckets[1] >= {least:UInt64}`)
	if err := row.Scan(&n, &sum, &last); err != nil {
		t.Fatal(err)
	}
	if n != 10 || sum != 9945 || !last.Equal(at.Add(999*time.Second)) {
		t.Errorf("read %d rows, sum %d, last %v", n, sum, last)
	}
}

func TestTheEngineFailsAsClickHouseDoes(t *testing.T) {
	c := ForTest(t)
	if !c.Own() {
		t.Skip("a server at CLICKHOUSE_URL is not broken on purpose")
	}
	for want, sql := range map[string]string{
		"Code: 60.": "SELECT * FROM nope",
		"Code: 62.": "SELECT FROM WHERE",
	} {
		if _, err := c.Query(t.Context(), sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", sql, err, want)
		}
	}
	if err := c.Fault(t.Context(), Fault{Code: 243, Message: "Cannot reserve 1.00 MiB, not enough space"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Query(t.Context(), "SELECT 1"); err == nil || !strings.Contains(err.Error(), "not enough space") {
		t.Errorf("a full disk: %v", err)
	}
	if err := c.Fault(t.Context(), Fault{DelayMS: 10_000}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Query(ctx, "SELECT 1"); err == nil {
		t.Error("a slow engine answered at once")
	}
	if err := c.Fault(t.Context(), Fault{}); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Query(t.Context(), "SELECT 1"); err != nil || out != "1\n" {
		t.Errorf("mended: %q, %v", out, err)
	}
	c.Stop()
	if _, err := c.Query(t.Context(), "SELECT 1"); err == nil {
		t.Error("a stopped engine answered")
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := c.Query(t.Context(), "SELECT 1"); err != nil || out != "1\n" {
		t.Errorf("after a restart: %q, %v", out, err)
	}
}

func TestTheCollectorTakesTheConfigurationThatWeShip(t *testing.T) {
	skipShort(t)
	program, err := BuildCollector(t.Context())
	check(t, err)
	cmd := exec.CommandContext(t.Context(), program, "validate", "--config", filepath.Join("..", "..", "collector", "collector.yaml"))
	cmd.Env = append(cmd.Environ(), "CLICKHOUSE_ENDPOINT=tcp://clickhouse:9000", "CLICKHOUSE_USER=u", "CLICKHOUSE_PASSWORD=p")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
