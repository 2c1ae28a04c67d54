package incident

import (
	"context"
	"errors"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
)

// Filter selects records; zero fields select all.
type Filter struct {
	Cluster string
	Open    bool // only open ones
	Since   time.Time
	Limit   int // newest first
}

// Store keeps records. A Save is one transaction: either the records and the events that tell of them are both
// durable when it returns nil, or neither is. Implementations are safe for concurrent use.
type Store interface {
	// NextIncident allocates the next id, "INC-1" upward, never the same twice.
	NextIncident(ctx context.Context) (string, error)
	// SaveIncidents upserts records with their whole timelines and appends the events.
	SaveIncidents(ctx context.Context, records []*Incident, events []event.Event) error
	// Incident gives one record; ErrNotFound when there is none.
	Incident(ctx context.Context, id string) (*Incident, error)
	// Incidents lists records, newest first.
	Incidents(ctx context.Context, f Filter) ([]*Incident, error)
	// PruneIncidents deletes closed records older than before, and reports how many.
	PruneIncidents(ctx context.Context, before time.Time) (int, error)
}

// ErrNotFound is returned for an id that no record has.
var ErrNotFound = errors.New("incident not found")
