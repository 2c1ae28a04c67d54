package incident

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
)

// Memory is a Store without durability, for tests and for looking at a case. It keeps records as their JSON, so that
// nothing is shared with whoever saved or reads them.
type Memory struct {
	mu      sync.Mutex // guards all below
	next    int
	records map[string][]byte
	order   []string
	events  []event.Event
	fail    error
}

// NewMemory makes an empty store.
func NewMemory() *Memory { return &Memory{records: map[string][]byte{}} }

// Fail makes every write fail with err from now on; nil mends it.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// Events gives what was told, in order.
func (m *Memory) Events() []event.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// NextIncident implements Store.
func (m *Memory) NextIncident(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return "", m.fail
	}
	m.next++
	return fmt.Sprintf("INC-%d", m.next), nil
}

// SaveIncidents implements Store.
func (m *Memory) SaveIncidents(_ context.Context, records []*Incident, events []event.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	blobs := make([][]byte, len(records))
	for n, i := range records {
		b, err := json.Marshal(i)
		if err != nil {
			return fmt.Errorf("marshal %s: %w", i.ID, err)
		}
		blobs[n] = b
	}
	for n, i := range records {
		if _, known := m.records[i.ID]; !known {
			m.order = append(m.order, i.ID)
		}
		m.records[i.ID] = blobs[n]
	}
	for _, e := range events {
		e.Seq = int64(len(m.events) + 1)
		m.events = append(m.events, e)
	}
	return nil
}

// Incident implements Store.
func (m *Memory) Incident(_ context.Context, id string) (*Incident, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.read(id)
}

func (m *Memory) read(id string) (*Incident, error) {
	b, ok := m.records[id]
	if !ok {
		return nil, ErrNotFound
	}
	i := &Incident{}
	if err := json.Unmarshal(b, i); err != nil {
		return nil, fmt.Errorf("unmarshal %s: %w", id, err)
	}
	return i, nil
}

// Incidents implements Store.
func (m *Memory) Incidents(_ context.Context, f Filter) ([]*Incident, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*Incident
	for _, id := range slices.Backward(m.order) {
		i, err := m.read(id)
		if err != nil {
			return nil, err
		}
		if f.Cluster != "" && i.Cluster != f.Cluster || f.Open && !i.Open() || !f.Since.IsZero() && i.OpenedAt.Before(f.Since) {
			continue
		}
		out = append(out, i)
		if f.Limit > 0 && len(out) == f.Limit {
			break
		}
	}
	return out, nil
}

// PruneIncidents implements Store.
func (m *Memory) PruneIncidents(_ context.Context, before time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return 0, m.fail
	}
	var kept []string
	for _, id := range m.order {
		i, err := m.read(id)
		if err != nil {
			return 0, err
		}
		if !i.Open() && i.ClosedAt.Before(before) {
			delete(m.records, id)
			continue
		}
		kept = append(kept, id)
	}
	n := len(m.order) - len(kept)
	m.order = kept
	return n, nil
}

var _ Store = (*Memory)(nil)
