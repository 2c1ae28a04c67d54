// Package prometheus reads a cluster's metrics from a Prometheus server, or from what speaks its query API: node_exporter,
// Traefik, Linkerd, OpenTelemetry's HTTP and RPC server metrics as Prometheus renders their names, cAdvisor and
// kube-state-metrics. Each family is one query for all entities, put together by the server. It keeps no traces and no
// logs. What the server does not have is said, and is never zero.
//
// Rates are Prometheus' own: they reach over several scrapes, and what a series counted before its first scrape is lost, so
// that the very first errors of a service show one scrape later than in a store of raw samples.
package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/bukahou/atlhyper/agent/telemetry"
)

const sourceName = "prometheus"

// maxAnswer is how large one answer may be: ten times what a large cluster's tick needs.
const maxAnswer = 64 << 20

// Config is what a Source needs.
type Config struct {
	// URL is http://host:9090 or https://…, with a path where the API is below one. A user and a password in it are sent
	// as basic authentication.
	URL   string
	Token string // bearer token; not together with a user in URL
	Names telemetry.Names
	// Window is what rates are taken over. It should hold four scrapes, so that one may be missing; default 2 min.
	Window time.Duration
	Within time.Duration // one tick; default 5 s
	Client *http.Client  // default an own one
	Logger *slog.Logger
}

func (c *Config) defaults() error {
	if c.Names == nil {
		return errors.New("prometheus: Names is needed")
	}
	c.Window = cmp.Or(c.Window, 2*time.Minute)
	c.Within = cmp.Or(c.Within, 5*time.Second)
	if c.Window < time.Second {
		return errors.New("prometheus: the window must be a second at least")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Source implements telemetry.Source, Answerer and Counter. After a failure a tick does not ask again until a pause is
// over, so that a server that is down costs nothing.
type Source struct {
	cfg    Config
	api    v1.API
	ticker telemetry.Ticker
	own    *http.Transport // closed by Close; nil when a client was given

	mu     sync.Mutex // guards what follows
	there  map[string]bool
	probed time.Time // of the ticks' own time
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
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// err may hold the password
		return nil, errors.New("PROMETHEUS_URL is no address; it looks like http://prometheus.monitoring:9090 or https://user:password@host/prometheus")
	}
	if u.User != nil && cfg.Token != "" {
		return nil, errors.New("PROMETHEUS_URL holds a user and PROMETHEUS_TOKEN is set; give one of them")
	}
	s := &Source{cfg: cfg, ticker: telemetry.Ticker{Source: sourceName, Window: cfg.Window, Within: cfg.Within, Reason: reason, Log: cfg.Logger}}
	var next http.RoundTripper
	if cfg.Client != nil {
		next = cmp.Or[http.RoundTripper](cfg.Client.Transport, http.DefaultTransport)
	} else {
		s.own = http.DefaultTransport.(*http.Transport).Clone()
		next = s.own
	}
	login := u.User
	u.User = nil
	client, err := api.NewClient(api.Config{Address: u.String(), RoundTripper: &signer{next: next, user: login, token: cfg.Token}})
	if err != nil {
		return nil, errors.New("PROMETHEUS_URL cannot be used")
	}
	s.api = v1.NewAPI(client)
	return s, nil
}

// Close ends the connections.
func (s *Source) Close() error {
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
	return nil
}

// Check asks whether the server answers queries. Its error is a sentence for a person.
func (s *Source) Check(ctx context.Context) error {
	if _, err := s.instant(ctx, "vector(1)", time.Now()); err != nil {
		return errors.New(reason(err))
	}
	return nil
}

// signer adds the login and bounds answers.
type signer struct {
	next  http.RoundTripper
	user  *url.Userinfo
	token string
}

func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	switch {
	case s.token != "":
		r.Header.Set("Authorization", "Bearer "+s.token)
	case s.user != nil:
		password, _ := s.user.Password()
		r.SetBasicAuth(s.user.Username(), password)
	}
	resp, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden: // the library's error does not say which it was
		resp.Body.Close()
		return nil, errRefused
	}
	resp.Body = &bounded{resp.Body, maxAnswer}
	return resp, nil
}

var (
	errRefused  = errors.New("the login is refused")
	errTooLarge = errors.New("the answer is too large")
)

type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// row is one series of an answer at one time.
type row struct {
	model.Metric
	at    time.Time
	value float64
}

// get gives the first of the labels that is not empty.
func (r row) get(labels ...model.LabelName) string {
	for _, l := range labels {
		if v := r.Metric[l]; v != "" {
			return string(v)
		}
	}
	return ""
}

// instant runs one query at one time. Rows that are no numbers are left out.
func (s *Source) instant(ctx context.Context, query string, at time.Time) ([]row, error) {
	got, _, err := s.api.Query(ctx, query, at, timeout(ctx)...)
	if err != nil {
		return nil, err
	}
	vector, ok := got.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("the answer is a %s", got.Type())
	}
	var out []row
	for _, x := range vector {
		if v := float64(x.Value); !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, row{x.Metric, at, v})
		}
	}
	return out, nil
}

// course runs one query at every step from a time to another, both included.
func (s *Source) course(ctx context.Context, query string, from, to time.Time, step time.Duration) ([]row, error) {
	got, _, err := s.api.QueryRange(ctx, query, v1.Range{Start: from, End: to, Step: step}, timeout(ctx)...)
	if err != nil {
		return nil, err
	}
	matrix, ok := got.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("the answer is a %s", got.Type())
	}
	var out []row
	for _, x := range matrix {
		for _, p := range x.Values {
			if v := float64(p.Value); !math.IsNaN(v) && !math.IsInf(v, 0) {
				out = append(out, row{x.Metric, p.Timestamp.Time(), v})
			}
		}
	}
	return out, nil
}

// timeout lets the server give up when the caller does.
func timeout(ctx context.Context) []v1.Option {
	if deadline, ok := ctx.Deadline(); ok {
		return []v1.Option{v1.WithTimeout(max(time.Until(deadline).Truncate(time.Second), time.Second))} // fractions are refused
	}
	return nil
}

const probeEvery = time.Minute

// look finds which of the metrics that stand for a family were there in the window before a time, again every minute.
func (s *Source) look(ctx context.Context, now time.Time) (map[string]bool, error) {
	s.mu.Lock()
	there, fresh := s.there, s.there != nil && now.Sub(s.probed).Abs() < probeEvery
	s.mu.Unlock()
	if fresh {
		return there, nil
	}
	rows, err := s.instant(ctx, fmt.Sprintf(`group by (__name__) ({__name__=~%q})`, strings.Join(probes(), "|")), now)
	if err != nil {
		return nil, err
	}
	there = map[string]bool{}
	for _, r := range rows {
		there[string(r.Metric[model.MetricNameLabel])] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there, s.probed = there, now
	return there, nil
}

// forget has the next tick look anew at what the server holds.
func (s *Source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there = nil
}

// reason says what went wrong as a sentence's end that names the remedy, without an address and without a query.
func reason(err error) string {
	switch {
	case errors.Is(err, errRefused):
		return "Prometheus refuses the login; mend PROMETHEUS_TOKEN, or the user in PROMETHEUS_URL"
	case errors.Is(err, errTooLarge):
		return "Prometheus' answer is too large"
	case errors.Is(err, context.DeadlineExceeded):
		return "Prometheus did not answer in time"
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return "Prometheus did not answer in time"
	}
	if _, dial := errors.AsType[*net.OpError](err); dial || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "Prometheus cannot be reached"
	}
	if e, ok := errors.AsType[*v1.Error](err); ok {
		switch e.Type {
		case v1.ErrTimeout, v1.ErrCanceled:
			return "Prometheus did not answer in time"
		case v1.ErrExec:
			return "Prometheus refuses the query as too expensive; raise --query.max-samples"
		case v1.ErrServer:
			return "Prometheus fails with a server error; see its log"
		case v1.ErrClient:
			return "PROMETHEUS_URL is not the address of a Prometheus: it knows no query API there"
		}
	}
	return "Prometheus' answer was not understood; is PROMETHEUS_URL that of a Prometheus?"
}
