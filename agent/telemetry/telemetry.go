// Package telemetry reads metrics, traces and logs of a cluster from wherever they are kept. A source gives frames;
// what else it can do are small interfaces of their own. Directory tells what the names in the data stand for, and
// Several makes one source of many.
package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
)

// Source gives one frame of samples and traffic a tick. What it cannot give is named in the frame's sources as
// unavailable, never sent as zero. Sample honours its context and is called by one goroutine at a time.
type Source interface {
	Sample(ctx context.Context, now time.Time) (*report.TelemetryFrame, error)
}

// ErrNotKept says that a source does not keep what was asked for, so that another may be asked.
var ErrNotKept = errors.New("not kept here")

// Answerer is a source that can be asked about the past. Answer takes the queries of traces, logs, series and requests,
// is bounded by its context and by the query's own limits, and may be called by any goroutine. Its error is ErrNotKept,
// or a sentence for a person: why, and what mends it.
type Answerer interface {
	Answer(ctx context.Context, q *report.Query) (*report.Outcome, error)
}

// Counter is a source that counts requests. Requests gives, for each whole step between from and to, one count for each
// entity, layer and route that was seen; a step without one is unknown, not idle. Each has its start and span. It may be
// called by any goroutine.
type Counter interface {
	Requests(ctx context.Context, from, to time.Time, step time.Duration) ([]*report.RequestCount, error)
}

// Names tells what the names in a store's data stand for in the cluster. Its methods may be called by any goroutine.
type Names interface {
	// Node gives the name of the node that is called by this name, host name or address; "" when there is none. A port
	// behind it does not matter.
	Node(name string) string
	// Addresses gives every name that Node knows a node by, its own first.
	Addresses(node string) []string
	// Backend gives the Service that Traefik calls "shop-cart-8080@kubernetes".
	Backend(label string) (namespace, service string, ok bool)
	// Route gives the Ingress, or what else routes, that Traefik calls "shop-front-shop-example-com@kubernetes".
	Route(label string) (*report.EntityRef, bool)
	// Routes gives what routes to a Service from outside.
	Routes(namespace, service string) []*report.EntityRef
	// Service gives the Service of this name, or the one in front of the workload, pod or host of this name. Without a namespace
	// the name must be the only one of its kind.
	Service(namespace, name string) (string, string, bool)
	// Workloads gives the names of the workloads behind a Service.
	Workloads(namespace, service string) []string
}
