package assistant

import (
	"context"
	"errors"
	"log/slog"
)

// Fallback answers with the model and, when that fails, with the planner.
type Fallback struct {
	model   Answerer
	planner Answerer
	log     *slog.Logger
}

// NewFallback joins two answerers. model may be nil when none is set up.
func NewFallback(model, planner Answerer, log *slog.Logger) *Fallback {
	return &Fallback{model: model, planner: planner, log: log}
}

// Answer implements Answerer. It fails only when the planner does, or when ctx ends.
func (f *Fallback) Answer(ctx context.Context, req Request, progress Progress) (*Answer, error) {
	why := "No model is set up."
	if f.model != nil {
		ans, err := f.model.Answer(ctx, req, progress)
		if err == nil {
			return ans, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f.log.WarnContext(ctx, "the model did not answer, the planner does", "err", err)
		if req.Stream != nil {
			req.Stream("")
		}
		why = "The model failed."
		var failure *ModelError
		if errors.As(err, &failure) {
			why = failure.Sentence
		}
	}
	ans, err := f.planner.Answer(ctx, req, progress)
	if err != nil {
		return nil, err
	}
	degraded := *ans
	degraded.Degraded = why
	return &degraded, nil
}
