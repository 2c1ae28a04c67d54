package bot

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/engine/entity"
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
	return b.AskAfter(ctx, nil, question, caller, progress)
}

// AskAfter answers a question as one that follows others in a thread, which is that of an incident when the caller has one.
func (b *Bot) AskAfter(ctx context.Context, earlier []assistant.Turn, question string, caller tools.Caller, progress assistant.Progress) (*Asked, error) {
	caller.Question = question
	if prefers := b.cfg.Engine.People.Lang(caller.Person.ID); prefers != "" {
		caller.Lang = prefers
	}
	if caller.Lang == "" {
		caller.Lang = AnswerLang(question, "")
	}
	var a *assistant.Answer
	tool, args, ok, err := b.cfg.Tools.ParseLine(question)
	if ok && err == nil {
		var res *tools.Result
		if res, err = b.cfg.Tools.Call(ctx, caller, tool, args); err == nil {
			a = &assistant.Answer{By: "command", Results: []*tools.Result{res}, Calls: []assistant.Call{{Tool: tool, Args: args, Result: res}}}
		}
	} else {
		a, err = b.cfg.Answerer.Answer(ctx, b.request(ctx, caller, question, earlier), progress)
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

// request is a question with what the thread knows.
func (b *Bot) request(ctx context.Context, caller tools.Caller, text string, earlier []assistant.Turn) assistant.Request {
	req := assistant.Request{Text: text, Caller: caller, History: earlier, Now: b.cfg.Now()}
	if caller.Incident == "" {
		return req
	}
	if i, err := b.cfg.Engine.Incident(ctx, caller.Incident); err == nil {
		req.Context = tools.Sentence(i)
		req.Targets = []entity.Ref{i.Cause.Entity}
		for _, a := range i.Entities {
			req.Targets = append(req.Targets, a.Entity)
		}
	}
	return req
}
