package clickhouse

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	lab "github.com/bukahou/atlhyper/deploy/lab/telemetry"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
)

// broke checks a tick of a store that cannot be read: skipped, said with its remedy, and nothing in it that a person must
// not see; the next tick does not even ask.
func broke(t *testing.T, s *Source, now time.Time, want string) {
	t.Helper()
	for range 2 {
		begin := time.Now()
		f, err := s.Sample(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		status := f.GetSources()[0]
		if len(f.GetSamples()) != 0 || len(f.GetTraffic()) != 0 || status.GetAvailable() || len(status.GetSignals()) != 0 {
			t.Errorf("the tick has %d samples, available %v", len(f.GetSamples()), status.GetAvailable())
		}
		if !strings.Contains(status.GetMessage(), want) {
			t.Errorf("it says %q, want %q", status.GetMessage(), want)
		}
		for _, secret := range []string{":" + lab.Password, "127.0.0.1", "SELECT"} {
			if strings.Contains(status.GetMessage(), secret) {
				t.Errorf("it tells %q: %q", secret, status.GetMessage())
			}
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("the tick took %v", took)
		}
		now = now.Add(time.Second)
	}
	if n := s.ticker.Failures(); n != 1 {
		t.Errorf("it was asked %d times, want once", n)
	}
}

func TestWhateverAStoreDoesTheTickIsSkippedAndSaidWithItsRemedy(t *testing.T) {
	c := lab.ForTest(t)
	if !c.Own() {
		t.Skip("a server at CLICKHOUSE_URL is not broken on purpose")
	}
	if err := c.Create(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	h := &history{t: t, shop: shop.New(shop.Config{Start: epoch}), db: c}
	h.write(h.run(2*time.Minute, nil)...)
	now := h.shop.Now()
	open := func(address string, within time.Duration) *Source {
		s, err := Open(Config{URL: address, Names: names(), Within: within})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	for name, x := range map[string]struct {
		fault lab.Fault
		want  string
	}{
		"slow":      {lab.Fault{DelayMS: 30_000}, "did not answer in time"},
		"full disk": {lab.Fault{Code: 243, Message: "Cannot reserve 1.00 MiB, not enough space"}, "disk is full"},
		"killed":    {lab.Fault{Code: 394, Message: "Query was cancelled"}, "somebody ended the query"},
		"no memory": {lab.Fault{Code: 241, Message: "Memory limit exceeded"}, "no memory left"},
		"too much":  {lab.Fault{Code: 158, Message: "Limit for rows to read exceeded"}, "too much"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Fault(t.Context(), x.fault); err != nil {
				t.Fatal(err)
			}
			within := 20 * time.Second
			if x.fault.DelayMS > 0 {
				within = 500 * time.Millisecond
			}
			s := open(c.URL(), within)
			broke(t, s, now, x.want)
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			_, err := s.Answer(ctx, &report.Query{Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: "00"}}})
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("a question is answered with %v, want %q", err, x.want)
			}
			if err := c.Fault(t.Context(), lab.Fault{}); err != nil {
				t.Fatal(err)
			}
			s.ticker.Within = time.Minute
			f, err := s.Sample(t.Context(), now.Add(11*time.Second)) // the pause is over
			if err != nil || !f.GetSources()[0].GetAvailable() {
				t.Errorf("mended: %v, %v", f.GetSources(), err)
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		u, err := url.Parse(c.URL())
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("default", "not-it")
		broke(t, open(u.String(), 5*time.Second), now, "refuses the user or the password")
	})
	t.Run("down for 20 minutes", func(t *testing.T) {
		s := open(c.URL(), 5*time.Second)
		c.Stop()
		broke(t, s, now, "cannot be reached")
		asked := s.ticker.Failures()
		for i := range 120 { // a tick every ten seconds
			begin := time.Now()
			f, err := s.Sample(t.Context(), now.Add(time.Duration(i)*10*time.Second))
			if err != nil || len(f.GetSamples()) > 0 {
				t.Fatalf("%v, %v", f, err)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Fatalf("tick %d took %v", i, took)
			}
		}
		if tries := s.ticker.Failures() - asked; tries > 25 {
			t.Errorf("it was tried %d times in 20 minutes, want about once a minute", tries)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.ticker.Within = time.Minute
		f, err := s.Sample(t.Context(), now.Add(21*time.Minute))
		if err != nil || !f.GetSources()[0].GetAvailable() || len(f.GetSamples()) != 0 || !strings.Contains(f.GetSources()[0].GetMessage(), "nothing was written in the last 1m0s") {
			t.Errorf("it is there again, with nothing new: %v, %v", f, err)
		}
	})
}

func TestAnotherSchemaIsSaidTableByTable(t *testing.T) {
	for name, x := range map[string]struct {
		statements []string
		available  bool
		want       string
	}{
		"no tables":           {nil, false, "has none of the collector's tables"},
		"a column is missing": {[]string{"CREATE TABLE otel_logs (Timestamp DateTime64(9), Body String) ENGINE = MergeTree ORDER BY Timestamp"}, false, "has none of the collector's tables"},
		"attributes are JSON": {[]string{
			"CREATE TABLE otel_logs (Timestamp DateTime64(9), Body String, SeverityNumber UInt8, SeverityText String, ResourceAttributes JSON) ENGINE = MergeTree ORDER BY Timestamp",
			"CREATE TABLE otel_traces (Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, SpanName String, ServiceName String, SpanKind String, StatusCode String, StatusMessage String, Duration UInt64, " +
				"ResourceAttributes Map(String, String), SpanAttributes Map(String, String)) ENGINE = MergeTree ORDER BY Timestamp",
		}, true, "column ResourceAttributes of otel_logs is JSON; set json: false in the exporter"},
	} {
		t.Run(name, func(t *testing.T) {
			db := shared.Database(t)
			if err := db.Exec(t.Context(), x.statements...); err != nil {
				t.Fatal(err)
			}
			s := source(t, db)
			f, err := s.Sample(t.Context(), epoch)
			if err != nil {
				t.Fatal(err)
			}
			status := f.GetSources()[0]
			if status.GetAvailable() != x.available || !strings.Contains(status.GetMessage(), x.want) {
				t.Errorf("available %v, %q; want %v, %q", status.GetAvailable(), status.GetMessage(), x.available, x.want)
			}
			_, err = s.Answer(t.Context(), &report.Query{Ask: &report.Query_LogSearch{LogSearch: &report.LogSearchQuery{To: timestamppb.New(epoch)}}})
			if !errors.Is(err, telemetry.ErrNotKept) {
				t.Errorf("logs that cannot be read: %v", err)
			}
		})
	}
}

func TestTablesOfOtherNamesInAnotherDatabase(t *testing.T) {
	h := newHistory(t, "c")
	h.write(h.run(2*time.Minute, nil)...)
	for _, table := range []string{"otel_metrics_gauge", "otel_metrics_sum", "otel_metrics_histogram", "otel_logs"} {
		if err := h.db.Exec(t.Context(), "RENAME TABLE "+table+" TO my_"+table); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(h.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	database := strings.TrimPrefix(u.Path, "/")
	u.Path = ""
	s, err := Open(Config{
		URL: u.String(), Database: database, Names: names(), Within: time.Minute,
		Tables: Tables{Gauge: "my_otel_metrics_gauge", Sum: "my_otel_metrics_sum", Histogram: "my_otel_metrics_histogram", Logs: "my_otel_logs"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := h.shop.Now()
	h.truth(h.sample(s), now.Add(-90*time.Second), now)
}

func TestAConfigurationThatCannotWorkIsRefusedWithoutThePassword(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no address":                    {URL: "clickhouse://user:hunter2@host:port/x y"},
		"a table's name that is SQL":    {URL: "clickhouse://user:hunter2@host:9000", Tables: Tables{Logs: "x; DROP TABLE y"}},
		"a database's name that is SQL": {URL: "clickhouse://user:hunter2@host:9000", Database: "a`b"},
		"a scheme that is none":         {URL: "mysql://user:hunter2@host:9000"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Names = names()
			s, err := Open(cfg)
			if err == nil {
				_ = s.Close()
				t.Fatal("it was taken")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("it tells the password: %v", err)
			}
		})
	}
	for _, address := range []string{"clickhouse://u:p@a:9000,b:9000,c:9000/x", "clickhouse://u:p@a:9440/x?secure=true", "https://u:p@a:8443/x", "http://u:p@a:8123,b:8123/x"} {
		s, err := Open(Config{URL: address, Names: names()})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		_ = s.Close()
	}
}

func TestTLSAndAReplicaThatIsDown(t *testing.T) {
	h := newHistory(t, "c")
	h.write(h.run(2*time.Minute, nil)...)
	u, err := url.Parse(h.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: u.Host}))
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that does not trust it hangs up, as is wanted
	front.StartTLS()
	defer front.Close()
	host := strings.TrimPrefix(front.URL, "https://")
	for name, address := range map[string]string{
		"TLS":                    "https://default:" + lab.Password + "@" + host + u.Path + "?skip_verify=true",
		"the first host is down": "http://default:" + lab.Password + "@127.0.0.1:1," + u.Host + u.Path,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(Config{URL: address, Names: names(), Within: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			now := h.shop.Now()
			h.truth(h.sample(s), now.Add(-90*time.Second), now)
		})
	}
	s, err := Open(Config{URL: "https://default:" + lab.Password + "@" + host + u.Path, Names: names()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := s.Sample(t.Context(), epoch)
	if err != nil || f.GetSources()[0].GetAvailable() || !strings.Contains(f.GetSources()[0].GetMessage(), "certificate") {
		t.Errorf("a certificate that nobody knows: %v, %v", f.GetSources(), err)
	}
}
