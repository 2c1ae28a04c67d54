package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bukahou/atlhyper/agent"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/incident"
)

// adminFlags are of the port on which the program itself is watched. It asks for no name: it belongs on an address that
// only the cluster's own monitoring reaches.
type adminFlags struct {
	AdminListen string `help:"Address of /metrics, /healthz and /readyz; nothing listens when empty." env:"ATLHYPER_ADMIN_LISTEN" placeholder:"ADDR" group:"Monitoring"`
	Pprof       bool   `help:"Profiles at /debug/pprof/ on that address." env:"ATLHYPER_PPROF" group:"Monitoring"`
}

// handler answers on the port. ready says why the program cannot do its work, nil when it can.
func (f adminFlags) handler(ready func(context.Context) error, own ...prometheus.Collector) http.Handler {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "atlhyper_build_info", Help: "1, with the version as a label.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	r.MustRegister(append([]prometheus.Collector{build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}, own...)...)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if f.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// open listens; nil when nobody asked for the port.
func (f adminFlags) open() (net.Listener, error) {
	if f.AdminListen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", f.AdminListen)
	if err != nil {
		return nil, fmt.Errorf("listen for monitoring: %w; choose another address with --admin-listen", err)
	}
	return l, nil
}

// ready says whether the engine can do its work, which it cannot without its database.
func (c *core) ready(ctx context.Context) error {
	_, err := c.db.Cursor(ctx, "readyz")
	return err
}

// linkMetrics are an agent's figures of its link to the engine.
type linkMetrics struct{ agent *agent.Agent }

var (
	connected = prometheus.NewDesc("atlhyper_agent_connected", "1 while the engine answers.", nil, nil)
	reported  = prometheus.NewDesc("atlhyper_agent_last_report_timestamp_seconds", "When the engine last took a report.", nil, nil)
	sent      = prometheus.NewDesc("atlhyper_agent_sent_bytes_total", "Bytes of reports as they went over the wire.", nil, nil)
	dropped   = prometheus.NewDesc("atlhyper_agent_dropped_frames_total", "Telemetry that was left out because the engine was away for too long.", nil, nil)
	unseen    = prometheus.NewDesc("atlhyper_agent_kinds_not_visible", "Kinds that the agent may not or cannot list.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m linkMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connected, reported, sent, dropped, unseen} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m linkMetrics) Collect(out chan<- prometheus.Metric) {
	st := m.agent.Stats()
	up, blind := 0.0, 0.0
	if st.Link.Connected {
		up = 1
	}
	for _, k := range st.Kinds {
		if k.GetState() == report.KindStatus_STATE_FORBIDDEN || k.GetState() == report.KindStatus_STATE_FAILING {
			blind++
		}
	}
	out <- prometheus.MustNewConstMetric(connected, prometheus.GaugeValue, up)
	out <- prometheus.MustNewConstMetric(unseen, prometheus.GaugeValue, blind)
	out <- prometheus.MustNewConstMetric(sent, prometheus.CounterValue, float64(st.Link.WireBytes))
	out <- prometheus.MustNewConstMetric(dropped, prometheus.CounterValue, float64(st.Link.DroppedFrames))
	if !st.Link.LastReport.IsZero() {
		out <- prometheus.MustNewConstMetric(reported, prometheus.GaugeValue, float64(st.Link.LastReport.UnixMilli())/1000)
	}
}

// fleetMetrics reads its figures from the engine when somebody asks. Its labels are clusters and stages: as many as there
// are of them, and no more.
type fleetMetrics struct{ engine *engine.Engine }

var (
	clusterUp = prometheus.NewDesc("atlhyper_cluster_up", "1 while the cluster's agent speaks, 0 while it is silent.", []string{"cluster"}, nil)
	seen      = prometheus.NewDesc("atlhyper_cluster_last_seen_timestamp_seconds", "When the cluster's agent was last heard.", []string{"cluster"}, nil)
	judged    = prometheus.NewDesc("atlhyper_cluster_evaluated_timestamp_seconds", "When the cluster was last judged.", []string{"cluster"}, nil)
	resources = prometheus.NewDesc("atlhyper_cluster_vertices", "Objects in the cluster's dependency graph.", []string{"cluster"}, nil)
	facts     = prometheus.NewDesc("atlhyper_cluster_facts", "Certain faults in the cluster.", []string{"cluster"}, nil)
	anomalies = prometheus.NewDesc("atlhyper_cluster_anomalies", "Metrics that are not normal in the cluster.", []string{"cluster"}, nil)
	worst     = prometheus.NewDesc("atlhyper_cluster_risk", "The highest R_final in the cluster, 0 to 1.", []string{"cluster"}, nil)
	incidents = prometheus.NewDesc("atlhyper_incidents_open", "Open incidents by cluster and stage.", []string{"cluster", "stage"}, nil)
	pending   = prometheus.NewDesc("atlhyper_proposals_pending", "Proposals that wait for an approval.", nil, nil)
	audited   = prometheus.NewDesc("atlhyper_audit_entries_total", "Entries ever written to the audit log.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m fleetMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{clusterUp, seen, judged, resources, facts, anomalies, worst, incidents, pending, audited} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m fleetMetrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, x float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, id := range m.engine.Fleet.Clusters() {
		c, ok := m.engine.Fleet.Cluster(id)
		if !ok {
			continue
		}
		up, st := 1.0, c.Status()
		if st.Silent {
			up = 0
		}
		gauge(clusterUp, up, id)
		gauge(seen, float64(st.LastSeen.UnixMilli())/1000, id)
		a := m.engine.Assessment(id)
		if !a.At.IsZero() {
			gauge(judged, float64(a.At.UnixMilli())/1000, id)
		}
		highest := 0.0
		for _, s := range a.Scores {
			highest = max(highest, s.Final)
		}
		gauge(worst, highest, id)
		gauge(resources, float64(m.engine.Graph(id).N()), id)
		gauge(facts, float64(len(m.engine.Facts(id))), id)
		gauge(anomalies, float64(len(m.engine.Anomalies(id))), id)
	}
	type key struct {
		cluster string
		stage   incident.Stage
	}
	if open, err := m.engine.ListIncidents(ctx, incident.Filter{Open: true}); err == nil {
		n := map[key]int{}
		for _, i := range open {
			n[key{i.Cluster, i.Stage}]++
		}
		for k, count := range n {
			gauge(incidents, float64(count), k.cluster, string(k.stage))
		}
	} else {
		out <- prometheus.NewInvalidMetric(incidents, err)
	}
	if ps, err := m.engine.Desk.Pending(ctx); err == nil {
		gauge(pending, float64(len(ps)))
	} else {
		out <- prometheus.NewInvalidMetric(pending, err)
	}
	out <- prometheus.MustNewConstMetric(audited, prometheus.CounterValue, float64(m.engine.Audit.Head().Seq))
}
