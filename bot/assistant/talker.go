package assistant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"text/template"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/bukahou/atlhyper/tools"
)

// Config is what a Talker needs.
type Config struct {
	Model   Model
	Toolbox Toolbox
	Log     *slog.Logger
	// Steps is how many replies of the model one answer may take, 10 by default. In the last one it has no tools, so that
	// it must answer with what it has.
	Steps int
	// Budget is the time for one answer, 60 s by default. In its last quarter the model has no tools.
	Budget time.Duration
	// Tokens is how many tokens one answer may cost before the model loses its tools, 200,000 by default.
	Tokens int
	// ToolTimeout is the time for one tool, 20 s by default.
	ToolTimeout time.Duration
	// Meter limits what people, threads and days may cost; nil limits nothing.
	Meter *Meter
}

// Talker is the model loop. It is an Answerer, and keeps nothing between two answers.
type Talker struct {
	cfg    Config
	prompt *template.Template
}

// New makes a Talker.
func New(cfg Config) (*Talker, error) {
	if cfg.Model == nil || cfg.Toolbox == nil || cfg.Log == nil {
		return nil, errors.New("assistant: model, toolbox and log are required")
	}
	cfg.Steps = cmp.Or(cfg.Steps, 10)
	cfg.Budget = cmp.Or(cfg.Budget, 60*time.Second)
	cfg.Tokens = cmp.Or(cfg.Tokens, 200_000)
	cfg.ToolTimeout = cmp.Or(cfg.ToolTimeout, 20*time.Second)
	if cfg.Steps < 1 || cfg.Budget < 0 || cfg.Tokens < 0 || cfg.ToolTimeout < 0 {
		return nil, fmt.Errorf("assistant: steps %d, budget %s, tokens %d and tool timeout %s must be positive", cfg.Steps, cfg.Budget, cfg.Tokens, cfg.ToolTimeout)
	}
	prompt, err := template.New("system").Option("missingkey=error").Parse(systemPrompt)
	if err != nil {
		return nil, fmt.Errorf("assistant: system prompt: %w", err)
	}
	return &Talker{cfg: cfg, prompt: prompt}, nil
}

// Answer implements Answerer. Its errors are *ModelError, or ctx's.
func (t *Talker) Answer(ctx context.Context, req Request, progress Progress) (*Answer, error) {
	if err := t.cfg.Meter.allow(ctx, req); err != nil {
		return nil, err
	}
	began := time.Now()
	budget := t.cfg.Budget
	if deadline, ok := ctx.Deadline(); ok { // whoever waits less long still gets the planner's answer when the model hangs
		budget = min(budget, time.Until(deadline)/2)
	}
	within, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	ans, err := t.answer(within, req, progress, began)
	if err == nil {
		return ans, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if within.Err() != nil {
		return nil, &ModelError{Kind: TimedOut, Sentence: fmt.Sprintf("The model did not answer in %s.", seconds(budget)), Err: err}
	}
	var known *ModelError
	if !errors.As(err, &known) {
		err = &ModelError{Sentence: "The model failed.", Err: err}
	}
	return nil, err
}

// seconds writes a duration as a person does: "60 s".
func seconds(d time.Duration) string { return fmt.Sprintf("%.3g s", d.Seconds()) }

// tries is how often an unusable reply is asked for again before the model is given up.
const tries = 2

func (t *Talker) answer(ctx context.Context, req Request, progress Progress, began time.Time) (*Answer, error) {
	// What is by hand is nobody's to call who may have read a log line, and what is for the asker alone is not put before a
	// model, which would repeat it in a channel: a call of either is one of a tool that does not exist.
	specs := slices.DeleteFunc(t.cfg.Toolbox.Tools(req.Caller), func(s tools.Spec) bool { return s.ByHand || s.Private })
	prompt, err := system(t.prompt, req)
	if err != nil {
		return nil, err
	}
	session, err := t.cfg.Model.Start(Opening{System: prompt, Tools: specs, History: opening(req.History)})
	if err != nil {
		return nil, err
	}
	ans := &Answer{By: t.cfg.Model.Name()}
	desk := newDesk(t, req, specs, progress)
	in := Input{Text: question(req)}
	for step, tokens, unusable := 1, 0, 0; ; step++ {
		if step >= t.cfg.Steps || tokens >= t.cfg.Tokens || time.Since(began) >= t.cfg.Budget*3/4 {
			in.NoTools = true
		}
		reply, err := t.send(ctx, session, in, req.Stream)
		cost := cmp.Or(reply.Tokens, reckon(in, reply))
		t.cfg.Meter.spend(ctx, req, cost)
		if err != nil {
			return nil, err
		}
		tokens += cost
		text := strings.TrimSpace(clean(reply.Text))
		switch {
		case reply.Finish != FinishMalformed && text != "" && (len(reply.Calls) == 0 || in.NoTools):
			ans.Text = text
			ans.Unverified, ans.Cited = check(text, req, desk.told)
			if reply.Finish == FinishLength {
				ans.Notes = append(ans.Notes, "The model's answer was cut at its limit of length.")
			}
			ans.Calls, ans.Results = desk.calls, desk.results()
			return ans, nil
		case reply.Finish == FinishMalformed || len(reply.Calls) == 0 || in.NoTools:
			unusable++
			if unusable > tries || step > t.cfg.Steps {
				return nil, &ModelError{Kind: Empty, Sentence: "The model gave no usable answer."}
			}
			if len(reply.Calls) > 0 && reply.Finish != FinishMalformed {
				// It called tools that it does not have, and this stands in the conversation now: the calls must be answered.
				in = Input{Outputs: declined(reply.Calls), NoTools: true}
				continue
			}
			in.NoTools = in.NoTools || unusable == tries // the same input again
			continue
		}
		outputs, proposal := desk.perform(ctx, reply.Calls)
		if err := ctx.Err(); err != nil && proposal == "" {
			return nil, err
		}
		if proposal != "" {
			// What the model said beside its proposal is dropped: it could only claim more than was done.
			if req.Stream != nil {
				req.Stream("")
			}
			ans.Proposal, ans.Calls, ans.Results, ans.Notes = proposal, desk.calls, desk.results(), desk.notes
			return ans, nil
		}
		in = Input{Outputs: outputs, NoTools: desk.stuck}
	}
}

// send puts in to the model and passes its text on while it grows.
// tracer makes a span of each exchange with the model, where traces are wanted.
var tracer = otel.Tracer("github.com/bukahou/atlhyper/bot/assistant")

func (t *Talker) send(ctx context.Context, s Session, in Input, stream func(string)) (Reply, error) {
	ctx, span := tracer.Start(ctx, "model turn")
	defer span.End()
	var text strings.Builder
	reply, err := s.Send(ctx, in, func(more string) {
		if more == "" || stream == nil {
			return
		}
		text.WriteString(more)
		stream(clean(text.String()))
	})
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(attribute.Int("tool_calls", len(reply.Calls)))
	return reply, err
}

// declined answers calls that cannot be made any more.
func declined(calls []ModelCall) []Output {
	var out []Output
	for _, c := range calls {
		out = append(out, failed(c, "No more tools can be used for this answer. Answer now with what you know."))
	}
	return out
}
