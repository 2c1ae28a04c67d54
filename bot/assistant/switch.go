package assistant

import (
	"context"
	"sync/atomic"
)

// Switch is an Answerer that another one can take the place of while questions are asked. An answer under way is given by
// whoever began it.
type Switch struct{ now atomic.Pointer[Answerer] }

// Set puts a in place.
func (s *Switch) Set(a Answerer) { s.now.Store(&a) }

// Answer implements Answerer. Set must have been called.
func (s *Switch) Answer(ctx context.Context, req Request, progress Progress) (*Answer, error) {
	return (*s.now.Load()).Answer(ctx, req, progress)
}
