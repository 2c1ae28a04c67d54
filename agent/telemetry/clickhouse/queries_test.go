package clickhouse

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTheCollectorThatWeShipKeepsEveryMetricThatIsAskedFor compares what the shipped configuration lets through with what
// the queries read.
func TestTheCollectorThatWeShipKeepsEveryMetricThatIsAskedFor(t *testing.T) {
	config, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "collector", "collector.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kept []*regexp.Regexp
	for _, m := range regexp.MustCompile(`regex: "([a-z_]*_\(.*|traefik_.*?|response_.*?)"`).FindAllStringSubmatch(string(config), -1) {
		kept = append(kept, regexp.MustCompile("^("+strings.TrimSuffix(m[1], `"`)+")$"))
	}
	for _, name := range slices.Concat(nodeCounters, untypedCounters, nodeGauges, ingressMetrics, meshCounts, []string{"response_latency_ms"}) {
		if !slices.ContainsFunc(kept, func(r *regexp.Regexp) bool { return r.MatchString(name) }) {
			t.Errorf("%s is asked for and not scraped; %d rules", name, len(kept))
		}
	}
}

func TestEveryQueryIsBoundedInWhatItGives(t *testing.T) {
	entries, err := files.ReadDir("sql")
	if err != nil {
		t.Fatal(err)
	}
	all := tables{Gauge: "g", Sum: "s", Histogram: "h", Traces: "t", TraceIDs: "i", Logs: "l", LogTime: true}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".sql")
		text, err := render(name, all)
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.HasPrefix(text, "-- ") || !strings.HasSuffix(strings.TrimSpace(text), "LIMIT {limit:UInt32}") {
			t.Errorf("%s has no comment, or no limit", name)
		}
		// By trace id alone nothing else is known; the columns of the tables have no time.
		if name != "trace" && name != "tables" && !strings.Contains(text, "{from:Int64}") && !strings.Contains(text, "{begin:Int64}") {
			t.Errorf("%s has no range of time", name)
		}
	}
}

func TestAListIsOneArrayWhateverIsInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOf(rapid.String()).Draw(t, "names")
		text := list(names...)
		// Read as ClickHouse does: a quote ends a string unless a backslash is before it.
		var got []string
		for rest := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"); rest != ""; {
			rest = strings.TrimPrefix(rest, ",")
			if !strings.HasPrefix(rest, "'") {
				t.Fatalf("%q is no array", text)
			}
			var b strings.Builder
			i := 1
			for ; rest[i] != '\''; i++ {
				if rest[i] == '\\' {
					i++
					b.WriteString(map[byte]string{'n': "\n", 't': "\t"}[rest[i]])
					if rest[i] == 'n' || rest[i] == 't' {
						continue
					}
				}
				b.WriteByte(rest[i])
			}
			got = append(got, b.String())
			rest = rest[i+1:]
		}
		if !slices.Equal(got, names) && len(got)+len(names) > 0 {
			t.Fatalf("%q reads as %q, want %q", text, got, names)
		}
	})
}
