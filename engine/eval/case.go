// Package eval measures the engine's judgement: it replays labelled incidents and synthetic ones through the same ingestion
// that agents' reports take, on a virtual clock, and scores the answers. What replays never sees a label: a Case has
// none, and a Label goes to the scorer alone.
package eval

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
)

// Case is one recording of trouble, without the answer.
type Case struct {
	Name       string
	Tick       time.Duration
	Namespace  string // of everything that has one; recordings have none
	Entities   []Entity
	Edges      []Edge
	History    *Series       // without faults; nil for none
	Shift      time.Duration // to be added to the times of History
	Window     *Series
	Alert      *Alert    // what rang; nil when FaultStart says when it began
	FaultStart time.Time // zero when Alert says it
	// Resources are Kubernetes objects as they came, by time; recordings have none, synthetic cases do.
	Resources []Resources
}

// Resources are the objects that appeared or changed at one time.
type Resources struct {
	At      time.Time
	Upserts []*report.Resource
}

// Entity is one vertex. ID is "kind/name" with the kind in lower case; Service is the id of the service that a pod serves.
type Entity struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Service string `json:"service"`
}

// Edge points from the one that depends to the one that it depends on.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	Type string `json:"type"`
}

// Alert is what rang.
type Alert struct {
	Entity    string    `json:"entity"`
	Metric    string    `json:"metric"`
	Direction string    `json:"direction"`
	Time      time.Time `json:"time"`
}

// Row is one value of one metric of one entity.
type Row struct {
	At     int64 // Unix seconds
	Entity string
	Metric string
	Value  float64
}

// Series are rows by time.
type Series struct {
	Path string // where they were read, to tell shared ones; empty when they were made
	Rows []Row
}

// Label is the answer to a case. It is read by Score and by nothing else.
type Label struct {
	RootCauses []string `json:"root_causes"`
	Metric     string   `json:"root_cause_metric"`
	Fault      string   `json:"fault"`
}

// Set is a folder of cases. Labels lie beside them, by the name of the case.
type Set struct {
	Name   string
	Cases  []Case
	Labels map[string]Label
}

// LoadSets reads a set, or every set of a folder of sets. A folder without any is an error.
func LoadSets(dir string) ([]*Set, error) {
	if _, err := os.Stat(filepath.Join(dir, "set.json")); err == nil {
		s, err := loadSet(dir)
		if err != nil {
			return nil, err
		}
		if s == nil {
			return nil, fmt.Errorf("%s has no cases with topologies: it is not for rca", dir)
		}
		return []*Set{s}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []*Set
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(sub, "set.json")); err != nil {
			continue
		}
		s, err := loadSet(sub)
		if err != nil {
			return nil, err
		}
		if s != nil {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no set.json in %s or in a folder of it", dir)
	}
	return out, nil
}

// loadSet reads one set; nil for one that has series with windows instead of cases.
func loadSet(dir string) (*Set, error) {
	var head struct {
		Name  string   `json:"name"`
		Tick  float64  `json:"tick_seconds"`
		Cases []string `json:"cases"`
	}
	if err := readJSON(filepath.Join(dir, "set.json"), &head); err != nil {
		return nil, err
	}
	s := &Set{Name: head.Name, Labels: map[string]Label{}}
	shared := map[string]*Series{}
	for _, name := range head.Cases {
		folder := filepath.Join(dir, name)
		if _, err := os.Stat(filepath.Join(folder, "case.json")); errors.Is(err, os.ErrNotExist) {
			continue
		}
		c, err := loadCase(folder, shared)
		if err != nil {
			return nil, fmt.Errorf("case %s: %w", name, err)
		}
		c.Tick = time.Duration(head.Tick * float64(time.Second))
		if c.Tick <= 0 {
			return nil, fmt.Errorf("%s: tick_seconds is %g", dir, head.Tick)
		}
		var l Label
		if err := readJSON(filepath.Join(folder, "case.json"), &l); err != nil {
			return nil, err
		}
		s.Cases = append(s.Cases, c)
		s.Labels[c.Name] = l
	}
	if len(s.Cases) == 0 {
		return nil, nil
	}
	return s, nil
}

func loadCase(folder string, shared map[string]*Series) (Case, error) {
	var head struct {
		Name       string     `json:"name"`
		History    *string    `json:"history"`
		Shift      float64    `json:"history_shift_s"`
		Window     string     `json:"window"`
		Topology   string     `json:"topology"`
		Alert      *Alert     `json:"alert"`
		FaultStart *time.Time `json:"fault_start"`
	}
	if err := readJSON(filepath.Join(folder, "case.json"), &head); err != nil {
		return Case{}, err
	}
	c := Case{Name: head.Name, Shift: time.Duration(head.Shift * float64(time.Second)), Alert: head.Alert}
	if head.FaultStart != nil {
		c.FaultStart = *head.FaultStart
	}
	if c.Alert == nil && c.FaultStart.IsZero() {
		return c, errors.New("neither alert nor fault_start")
	}
	var err error
	if head.History != nil {
		path := filepath.Join(folder, *head.History)
		if c.History = shared[path]; c.History == nil {
			if c.History, err = readSeries(path); err != nil {
				return c, err
			}
			shared[path] = c.History
		}
	}
	if c.Window, err = readSeries(filepath.Join(folder, head.Window)); err != nil {
		return c, err
	}
	var graph struct {
		Entities []Entity `json:"entities"`
		Edges    []Edge   `json:"edges"`
	}
	if err := readJSON(filepath.Join(folder, head.Topology), &graph); err != nil {
		return c, err
	}
	c.Entities, c.Edges = graph.Entities, graph.Edges
	return c, nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readSeries(path string) (*Series, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rows, err := parseRows(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Series{Path: path, Rows: rows}, nil
}

// maxRows bounds what a file may unpack to.
const maxRows = 20_000_000

// parseRows reads "time,entity,metric,value". Rows whose value is no finite number are refused: a missing value has no row.
func parseRows(r io.Reader) ([]Row, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord, in.ReuseRecord = 4, true
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	if got := strings.Join(head, ","); strings.TrimPrefix(got, "\ufeff") != "time,entity,metric,value" {
		return nil, fmt.Errorf("the header is %q", got)
	}
	names := map[string]string{} // every row repeats the same few names
	intern := func(s string) string {
		if known, ok := names[s]; ok {
			return known
		}
		s = strings.Clone(s)
		names[s] = s
		return s
	}
	var out []Row
	for {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		at, err := strconv.ParseFloat(rec[0], 64)
		if err != nil || !(at >= 0 && at < 1<<40) {
			return nil, fmt.Errorf("row %d: time %q", len(out)+2, rec[0])
		}
		value, err := strconv.ParseFloat(rec[3], 64)
		if err != nil {
			return nil, fmt.Errorf("row %d: value %q", len(out)+2, rec[3])
		}
		if out = append(out, Row{At: int64(at), Entity: intern(rec[1]), Metric: intern(rec[2]), Value: value}); len(out) > maxRows {
			return nil, errors.New("too many rows")
		}
	}
	slices.SortStableFunc(out, func(a, b Row) int { return int(a.At - b.At) })
	return out, nil
}
