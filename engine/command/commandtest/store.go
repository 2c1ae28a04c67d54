// Package commandtest has a store in memory and a cluster with an agent, for tests of what proposes and approves.
package commandtest

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/event"
)

// Step is one transition that a store was asked for and made.
type Step struct{ From, To command.State }

// Memory is a command.Store that forgets at the end of the process. The zero value is empty.
type Memory struct {
	mu     sync.Mutex // guards all below
	bodies map[string][]byte
	order  []string
	events []event.Event
	steps  map[string][]Step
}

// CreateProposal implements command.Store.
func (m *Memory) CreateProposal(_ context.Context, p *command.Proposal, events ...event.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.all() {
		if o.Digest == p.Digest && !o.State.Final() {
			return command.ErrDuplicate
		}
	}
	m.order = append(m.order, p.ID)
	return m.put(p, events)
}

// SwapProposal implements command.Store.
func (m *Memory) SwapProposal(_ context.Context, from command.State, p *command.Proposal, events ...event.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.get(p.ID)
	if old == nil || old.State != from {
		return command.ErrMoved
	}
	if m.steps == nil {
		m.steps = map[string][]Step{}
	}
	m.steps[p.ID] = append(m.steps[p.ID], Step{from, p.State})
	return m.put(p, events)
}

func (m *Memory) put(p *command.Proposal, events []event.Event) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if m.bodies == nil {
		m.bodies = map[string][]byte{}
	}
	m.bodies[p.ID] = body
	for _, e := range events {
		e.Seq = int64(len(m.events) + 1)
		m.events = append(m.events, e)
	}
	return nil
}

func (m *Memory) get(id string) *command.Proposal {
	p := &command.Proposal{}
	if json.Unmarshal(m.bodies[id], p) != nil {
		return nil
	}
	return p
}

// all lists the proposals, newest first.
func (m *Memory) all() (out []*command.Proposal) {
	for _, id := range slices.Backward(m.order) {
		out = append(out, m.get(id))
	}
	return out
}

// Proposal implements command.Store.
func (m *Memory) Proposal(_ context.Context, id string) (*command.Proposal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.get(id); p != nil {
		return p, nil
	}
	return nil, command.ErrNotFound
}

// OpenProposal implements command.Store.
func (m *Memory) OpenProposal(_ context.Context, digest string) (*command.Proposal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.all() {
		if p.Digest == digest && !p.State.Final() {
			return p, nil
		}
	}
	return nil, command.ErrNotFound
}

// Proposals implements command.Store.
func (m *Memory) Proposals(_ context.Context, f command.Filter) ([]*command.Proposal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*command.Proposal
	for _, p := range m.all() {
		if (f.Cluster == "" || f.Cluster == p.Command.Target.Cluster) && (f.Incident == "" || f.Incident == p.Incident) &&
			(!f.Open || !p.State.Final()) && (f.Limit <= 0 || len(out) < f.Limit) {
			out = append(out, p)
		}
	}
	return out, nil
}

// PruneProposals implements command.Store.
func (m *Memory) PruneProposals(_ context.Context, before time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.order)
	m.order = slices.DeleteFunc(m.order, func(id string) bool {
		p := m.get(id)
		return p.State.Final() && p.Created.Before(before) && p.EndedAt.Before(before)
	})
	return n - len(m.order), nil
}

// Events lists what was told, oldest first.
func (m *Memory) Events() []event.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// Steps lists the transitions that a proposal made.
func (m *Memory) Steps(id string) []Step {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.steps[id])
}
