package command

import (
	"context"
	"errors"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
)

// Filter selects proposals; zero fields select all.
type Filter struct {
	Cluster  string
	Incident string
	Open     bool // only those whose State is not final
	Limit    int  // newest first
}

// Store keeps proposals. Each change is one transaction with the events that tell of it: both are durable when the
// method returns nil, or neither is. Implementations are safe for concurrent use.
type Store interface {
	// CreateProposal stores a new one. ErrDuplicate is returned when an open proposal has the same digest.
	CreateProposal(ctx context.Context, p *Proposal, events ...event.Event) error
	// SwapProposal is the compare-and-set of every transition: it stores p if the stored state is still from, and
	// returns ErrMoved if it is not.
	SwapProposal(ctx context.Context, from State, p *Proposal, events ...event.Event) error
	// Proposal gives one; ErrNotFound when there is none.
	Proposal(ctx context.Context, id string) (*Proposal, error)
	// Proposals lists them, newest first.
	Proposals(ctx context.Context, f Filter) ([]*Proposal, error)
	// OpenProposal gives the open one with a digest; ErrNotFound when there is none.
	OpenProposal(ctx context.Context, digest string) (*Proposal, error)
	// PruneProposals deletes those that ended before a time, and reports how many.
	PruneProposals(ctx context.Context, before time.Time) (int, error)
}

// The conditions that a Store reports.
var (
	ErrNotFound  = errors.New("proposal not found")
	ErrDuplicate = errors.New("an identical proposal is open")
	ErrMoved     = errors.New("the proposal has moved on")
)
