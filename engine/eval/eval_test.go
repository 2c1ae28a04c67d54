package eval

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/storage"
)

func config(f engine.Formulas) Config {
	return Config{Formulas: f, Open: func(ctx context.Context, now func() time.Time) (engine.Store, func() error, error) {
		db, err := storage.Open(ctx, ":memory:", storage.Config{Now: now})
		if err != nil {
			return nil, nil, err
		}
		return db, db.Close, nil
	}}
}

// set writes a set of one case in the neutral layout: front calls a and b, and from the fault on b is slow and front with it.
func set(t *testing.T, label string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made-up")
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if !strings.HasSuffix(name, ".gz") {
			if _, err := f.WriteString(text); err != nil {
				t.Fatal(err)
			}
			return
		}
		z := gzip.NewWriter(f)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	rows := func(from int64, n int, slowFrom int64) string {
		var b strings.Builder
		b.WriteString("time,entity,metric,value\n")
		for i := range int64(n) {
			at := from + 10*i
			extra := 0.0
			if at >= slowFrom {
				extra = 0.2
			}
			wobble := 1 + 0.02*float64(i%5-2)
			for entity, base := range map[string]float64{"ingress/front": 0.1 + 0.03 + 0.02 + extra, "service/a": 0.03, "service/b/v2": 0.02 + extra} {
				fmt.Fprintf(&b, "%d,%s,latency_avg_s,%g\n%d,%s,request_count,500\n%d,%s,unheard_of,3\n", at, entity, base*wobble, at, entity, at, entity)
			}
		}
		return b.String()
	}
	const start = 1_700_000_000
	write("set.json", `{"name":"made-up","tick_seconds":10,"cases":["one"]}`)
	write("one/history.csv.gz", rows(start-90_000, 90, math.MaxInt64))
	write("one/window.csv.gz", rows(start, 90, start+120))
	write("one/topology.json", `{"entities":[{"id":"ingress/front","kind":"Ingress","name":"front"},{"id":"service/a","kind":"Service","name":"a"},{"id":"service/b/v2","kind":"Service","name":"b/v2"},{"id":"pod/b","kind":"Pod","name":"b","service":"service/b/v2"}],
		"edges":[{"from":"ingress/front","to":"service/a","type":"calls"},{"from":"ingress/front","to":"service/b/v2","type":"calls"}]}`)
	write("one/case.json", fmt.Sprintf(`{"name":"one","history":"history.csv.gz","history_shift_s":%d,"window":"window.csv.gz","topology":"topology.json",
		"alert":{"entity":"ingress/front","metric":"latency_avg_s","direction":"up","time":%q},"fault_start":null%s}`,
		90_000-900, time.Unix(start+130, 0).UTC().Format(time.RFC3339), label))
	return dir
}

func TestACaseIsReplayedRankedAndScored(t *testing.T) {
	sets, err := LoadSets(set(t, `,"root_causes":["pod/b"],"fault":"latency"`))
	if err != nil {
		t.Fatal(err)
	}
	o, err := Run(t.Context(), config(engine.Default), sets[0])
	if err != nil {
		t.Fatal(err)
	}
	r := o.Results[0]
	if o.All.Top(1) != 1 || r.Ranked[0] != "service/b/v2" || r.OpenedAt.IsZero() || o.False != 0 || o.ByFault["latency"].Cases != 1 {
		t.Errorf("top-1 %g of %v, opened at %s, %d false: %+v", o.All.Top(1), r.Ranked, r.OpenedAt, o.False, r)
	}
	if !strings.Contains(r.Explanation, "b/v2") {
		t.Errorf("the explanation is %q", r.Explanation)
	}
	line, err := json.Marshal(r)
	if err != nil || !strings.HasPrefix(string(line), `{"case":"one","ranked":["service/b/v2"`) {
		t.Errorf("as JSON it is %s, %v", line, err)
	}
}

func TestLabelsNeverReachTheReplay(t *testing.T) {
	var answers []Result
	for _, label := range []string{`,"root_causes":["pod/b"],"root_cause_metric":"latency_avg_s","fault":"latency"`, `,"root_causes":["service/a"],"fault":"memory"`, ``} {
		sets, err := LoadSets(set(t, label))
		if err != nil {
			t.Fatal(err)
		}
		r, err := Replay(t.Context(), config(engine.Default), &sets[0].Cases[0])
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, r)
	}
	for _, a := range answers[1:] {
		if diff := cmp.Diff(answers[0], a); diff != "" {
			t.Errorf("another label gives another answer:\n%s", diff)
		}
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(x reflect.Type) {
		for x.Kind() == reflect.Pointer || x.Kind() == reflect.Slice {
			x = x.Elem()
		}
		if seen[x] || x.Kind() != reflect.Struct {
			return
		}
		seen[x] = true
		if x == reflect.TypeFor[Label]() {
			t.Error("a Case holds a Label")
		}
		for i := range x.NumField() {
			walk(x.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[Case]())
}

func TestAPodAndItsServiceShareOnePlace(t *testing.T) {
	c := &Case{Entities: []Entity{{ID: "pod/a-1", Service: "service/a"}}, Edges: []Edge{{From: "service/b", To: "pod/b-1", Type: "selects"}}}
	for _, tc := range []struct {
		ranked string
		right  string
		place  int
	}{
		{"service/a", "pod/a-1", 0}, {"pod/a-1", "service/a", 0}, {"pod/b-1 service/b service/a", "service/a", 1}, {"service/b pod/b-1 node/n", "node/n", 1},
		{"", "node/n", 5}, {"x/1 x/2 x/3 x/4 x/5 x/6", "x/6", 5},
	} {
		if got := Place(c, strings.Fields(tc.ranked), Label{RootCauses: []string{tc.right}}); min(got, 5) != tc.place {
			t.Errorf("%s in %q is at %d, want %d", tc.right, tc.ranked, got, tc.place)
		}
	}
}

func TestNABIsScoredByItsRules(t *testing.T) {
	m := Measure{Name: "x"}
	for i := range 100 {
		m.Times, m.Values = append(m.Times, time.Unix(int64(i*300), 0)), append(m.Values, 1)
	}
	b := &Benchmark{Series: []Measure{m}, windows: map[string][]span{"x": {{40, 59}}}}
	p := Profile{Hit: 1, Miss: 1, False: 0.11}
	score := func(rows ...int) float64 {
		f := make([]bool, 100)
		for _, r := range rows {
			f[r] = true
		}
		return b.Score(Flags{"x": f}, p)
	}
	s := func(x float64) float64 { return 2/(1+math.Exp(5*x)) - 1 }
	for name, tc := range map[string]struct{ got, want float64 }{
		"nothing is flagged":                        {score(), 0},
		"the first row of the window":               {score(40), 100},
		"the first one counts, later ones are free": {score(40, 41, 59), 100},
		"the last row":                              {score(59), 100 * (s(-1.0/20)/s(-1) + 1) / 2},
		"a false one before any window":             {score(20), 100 * -0.11 / 2},
		"one just after the window costs little":    {score(40, 60), 100 * (1 + 0.11*s(1.0/19) + 1) / 2},
		"one long after costs all":                  {score(40, 99), 100 * (1 + 0.11*s(40.0/19) + 1) / 2},
		"the first 15 % are not scored":             {score(3, 14, 40), 100},
	} {
		if math.Abs(tc.got-tc.want) > 1e-9 {
			t.Errorf("%s: %g, want %g", name, tc.got, tc.want)
		}
	}
}

func TestTheSameSeedMakesTheSameCase(t *testing.T) {
	a, b := MakeCase(7), MakeCase(7)
	if !slices.Equal(a.Case.Window.Rows, b.Case.Window.Rows) || !cmp.Equal(a.Label, b.Label) || len(a.Case.Resources) != len(b.Case.Resources) {
		t.Error("seed 7 is not always the same")
	}
	if c := MakeCase(8); slices.Equal(a.Case.Window.Rows, c.Case.Window.Rows) {
		t.Error("seed 8 is seed 7")
	}
}

func TestMadeUpCasesAreMostlyAnsweredRight(t *testing.T) {
	s, err := Synth(t.Context(), config(engine.Default), 1, 24)
	if err != nil {
		t.Fatal(err)
	}
	if s.Top1 < 0.85 || s.Decoy > 0.05 || s.OneEach < 0.9 {
		t.Errorf("top-1 %.3f, decoys blamed %.3f, one incident each %.3f\n%s", s.Top1, s.Decoy, s.OneEach, strings.Join(s.Wrong, "\n"))
	}
}

func TestFloorsOnlyRise(t *testing.T) {
	f := &Floors{AtLeast: map[string]float64{"a": 0.5, "unmeasured": 1}, AtMost: map[string]float64{"b": 2}}
	if below := f.Below(map[string]float64{"a": 0.4, "b": 3}); len(below) != 2 {
		t.Errorf("below: %q", below)
	}
	if f.Raise(map[string]float64{"a": 0.4, "b": 3}) {
		t.Error("a floor fell")
	}
	if !f.Raise(map[string]float64{"a": 0.6, "b": 1}) || f.AtLeast["a"] != 0.6 || f.AtMost["b"] != 1 {
		t.Errorf("raised to %v", f)
	}
	if len(f.Below(map[string]float64{"a": 0.6, "b": 1})) > 0 {
		t.Error("what reaches its floor is below it")
	}
}

func TestTheCommittedFloorsAreRead(t *testing.T) {
	f, err := LoadFloors("floors.json")
	if err != nil {
		t.Fatal(err)
	}
	if f.AtLeast["synth.top1"] < 0.85 || f.AtMost["synth.decoy_blamed"] > 0.03 || f.AtMost["false_openings"] > 2 {
		t.Errorf("a floor is below what was promised: %+v", f)
	}
}

func FuzzRows(f *testing.F) {
	f.Add("time,entity,metric,value\n1,service/a,latency_avg_s,0.1\n")
	f.Add("time,entity,metric,value\n1,\"edge/service/a->service/b\",edge_latency_p50_s,1e-3\n2,node/n,node_cpu_ratio,NaN\n")
	f.Add("time,entity,metric,value\n-1,a,b,c\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := parseRows(strings.NewReader(text))
		if err != nil {
			return
		}
		c := Case{Tick: 10 * time.Second, Window: &Series{Rows: rows}}
		c.graph()
		for i := 1; i < len(rows); i++ {
			if rows[i].At < rows[i-1].At {
				t.Fatal("rows are not by time")
			}
		}
	})
}
