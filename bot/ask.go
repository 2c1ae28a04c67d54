package bot

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools"
)

// Asked is one question's whole answer, as `ask --json` prints it.
type Asked struct {
	Question  string          `json:"question"`
	Answer    string          `json:"answer"` // the first line answers
	By        string          `json:"by"`     // the model's name, or "planner"
	Degraded  string          `json:"degraded,omitempty"`
	Facts     []tools.Fact    `json:"facts"`
	RootCause *incident.Cause `json:"root_cause,omitempty"`
	Incident  string          `json:"incident,omitempty"`
	Proposal  string          `json:"proposal,omitempty"`
	Missing   []string        `json:"missing,omitempty"`
	Tools     []AskedCall     `json:"tools"`
	Results   []*tools.Result `json:"results"`
	At        time.Time       `json:"at"`
}

// AskedCall is one tool that was called for an answer.
type AskedCall struct {
	Tool  string          `json:"tool"`
	Args  json.RawMessage `json:"args"`
	Error string          `json:"error,omitempty"`
}

// Ask answers one question outside any thread. A verb goes straight to its tool, as in chat.
func (b *Bot) Ask(ctx context.Context, question string, caller tools.Caller, progress assistant.Progress) (*Asked, error) {
	caller.Question = question
	if caller.Lang == "" {
		caller.Lang = lang(Inbound{Text: question})
	}
	var a *assistant.Answer
	tool, args, ok, err := b.cfg.Tools.ParseLine(question)
	if ok && err == nil {
		var res *tools.Result
		if res, err = b.cfg.Tools.Call(ctx, caller, tool, args); err == nil {
			a = &assistant.Answer{By: "command", Results: []*tools.Result{res}, Calls: []assistant.Call{{Tool: tool, Args: args, Result: res}}}
		}
	} else {
		a, err = b.cfg.Answerer.Answer(ctx, assistant.Request{Text: question, Caller: caller, Now: b.cfg.Now()}, progress)
	}
	if err != nil {
		return nil, err
	}
	out := &Asked{Question: question, Answer: a.Text, By: a.By, Degraded: a.Degraded, Proposal: a.Proposal, Results: a.Results, At: b.cfg.Now(), Facts: []tools.Fact{}, Tools: []AskedCall{}}
	for _, c := range a.Calls {
		out.Tools = append(out.Tools, AskedCall{Tool: c.Tool, Args: c.Args, Error: c.Err})
	}
	for _, r := range a.Results {
		if out.Answer == "" {
			out.Answer = r.Headline
		}
		out.Facts = append(out.Facts, r.Facts...)
		out.Missing = append(out.Missing, r.Missing...)
		if r.Incident != "" && out.Incident == "" {
			out.Incident = r.Incident
		}
	}
	if out.Incident != "" {
		i, err := b.cfg.Engine.Incident(ctx, out.Incident)
		switch {
		case err == nil && !i.Cause.Entity.IsZero():
			out.RootCause = &i.Cause
		case err != nil && !errors.Is(err, incident.ErrNotFound):
			return nil, err
		}
	}
	return out, nil
}
