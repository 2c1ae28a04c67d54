package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
	"unicode"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Handle takes one thing that a person did and answers it. It is the Handler of every surface.
func (b *Bot) Handle(ctx context.Context, in Inbound, r Responder) {
	if in.Kind == Complete {
		b.complete(ctx, in, r)
		return
	}
	if first, err := b.cfg.Store.FirstSeen(ctx, in.ID, b.cfg.Now()); err != nil {
		b.log.Error("inbound event not recorded", "err", err)
	} else if !first {
		return // delivered twice by the platform
	}
	if b.cfg.Engine.People.Highest(in.Person) == people.Nobody {
		if in.Kind == Home || in.AtHome { // a page of their own, which would stay as it is without a word
			b.publish(ctx, in, r, "")
			return
		}
		b.log.Info("stranger ignored", "person", in.Person.ID)
		return
	}
	in.Prefers = b.cfg.Engine.People.Lang(in.Person.ID)
	if in.Kind == Home {
		b.publish(ctx, in, r, "")
		return
	}
	if in.Kind == Opened || in.Kind == Moved {
		b.greet(ctx, in, r)
		return
	}
	if in.Place.Thread != "" && in.Kind != Click && in.Kind != Submit { // a click says itself what it is about
		defer b.takeTurn(ctx, in.Place)()
	}
	b.ready(ctx, in, r)
	said := ""
	if in.AtHome {
		defer func() { b.publish(ctx, in, r, said) }()
	}
	m, err := b.attempt(ctx, in, r)
	if err != nil && ctx.Err() != nil {
		return // the process ends
	}
	var problem *tools.Problem
	if in.Kind == Reply && errors.As(err, &problem) && problem.Unclear {
		return // people talk to each other in our threads as well
	}
	if err != nil {
		m = b.failure(err, in)
	}
	if m == nil {
		return
	}
	if err := b.offerWhole(ctx, in, r, m); err != nil {
		b.log.Warn("a cut answer is not offered whole", "surface", in.Place.Surface, "err", err)
	}
	err = r.Answer(ctx, *m)
	switch {
	case err == nil:
		said = m.Title
	case ctx.Err() == nil:
		b.log.Error("answer not delivered", "surface", in.Place.Surface, "err", err)
	}
}

// attempt is answer with a panic as an error: one broken tool must not end everybody's conversation.
func (b *Bot) attempt(ctx context.Context, in Inbound, r Responder) (m *message.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return b.answer(ctx, in, r)
}

// settle is how long a question waits for clusters that are still being read.
const settle = 15 * time.Second

// ready waits a moment when nothing has been read yet: a question in the first seconds deserves an answer, not a shrug.
func (b *Bot) ready(ctx context.Context, in Inbound, r Responder) {
	reading := func() bool {
		ids := b.cfg.Engine.Fleet.Clusters()
		for _, id := range ids {
			if c, ok := b.cfg.Engine.Fleet.Cluster(id); ok && !c.Status().Synced && !c.Status().Silent {
				return true
			}
		}
		return len(ids) == 0
	}
	for told := false; time.Since(b.begun) < settle && reading(); told = true {
		if !told && in.Kind != Reply { // a reply may be for somebody else, and then nothing is said
			if err := r.Working(ctx, phrase.For(lang(in)).Sprintf("reading the cluster")); err != nil {
				b.log.Debug("progress not shown", "err", err)
			}
		}
		if !b.pause(ctx) {
			return
		}
	}
}

// failure is what a person reads when something went wrong: what they can mend is said, what only we can is logged.
func (b *Bot) failure(err error, in Inbound) *message.Message {
	var problem *tools.Problem
	var denied *command.Denied
	switch {
	case errors.Is(err, ErrNoPrompt):
		p := phrase.For(lang(in))
		m := card.Problem(p.Sprintf("No form could open any more; nothing was changed."), p.Sprintf("Press the button again."), lang(in))
		return &m
	case errors.As(err, &problem):
		m := card.Problem(problem.Sentence, problem.Remedy, lang(in))
		return &m
	case errors.As(err, &denied):
		m := card.Problem(denied.Sentence, denied.Remedy, lang(in))
		return &m
	}
	b.log.Error("question not answered", "person", in.Person.ID, "err", err)
	p := phrase.For(lang(in))
	remedy := p.Sprintf("Nothing was changed. Try again, or ask with a command: help.")
	if in.Action == card.ActApprove {
		remedy = p.Sprintf("Whether it runs stands on its card.")
	}
	m := card.Problem(p.Sprintf("Something broke on my side; it is in the log."), remedy, lang(in))
	return &m
}

// AnswerLang is the language in which a question is answered when nobody asked for one: that of its script, then the client's.
func AnswerLang(question, client string) string { return lang(Inbound{Text: question, Lang: client}) }

// lang is the language of an answer: what the person asked for, then the script of the question, then the client's setting.
func lang(in Inbound) string {
	if in.Prefers != "" {
		return in.Prefers
	}
	han := false
	for _, r := range in.Text {
		switch {
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			return "ja"
		case unicode.Is(unicode.Han, r):
			han = true
		}
	}
	if han {
		return "zh"
	}
	return phrase.Match(in.Lang)
}

// caller says who asks and what "it" means here: the incident of the thread, and its cluster.
func (b *Bot) caller(ctx context.Context, in Inbound, mem memory) tools.Caller {
	c := tools.Caller{Person: in.Person, Lang: lang(in), Cluster: mem.Cluster, Question: in.Text, Place: in.Place.Surface + "/" + in.Place.Channel, Mentioned: in.Mentioned}
	topic, err := b.topicOf(ctx, in.Place)
	if err != nil {
		b.log.Warn("thread not recognised", "err", err)
	}
	if id, ok := strings.CutPrefix(topic, "incident/"); ok {
		c.Incident = id
		if i, err := b.cfg.Engine.Incident(ctx, id); err == nil {
			c.Cluster = i.Cluster
		}
	}
	return c
}

// tracer makes a span of each answer and each delivery, where traces are wanted.
var tracer = otel.Tracer("github.com/bukahou/atlhyper/bot")

func (b *Bot) answer(ctx context.Context, in Inbound, r Responder) (*message.Message, error) {
	ctx, span := tracer.Start(ctx, "answer", trace.WithAttributes(attribute.String("surface", in.Place.Surface)))
	defer span.End()
	mem := b.recall(ctx, in.Place)
	caller := b.caller(ctx, in, mem)
	switch in.Kind {
	case Click, Submit:
		return b.click(ctx, in, r, caller)
	case Pointed:
		return b.evidence(ctx, in, caller, in.Evidence)
	}
	text := strings.TrimSpace(in.Text)
	text = strings.TrimSpace(strings.TrimPrefix(text, "/atl"))
	if in.About != (tools.About{}) {
		var err error
		if text, err = b.cfg.Tools.Point(text, in.About); err != nil {
			return nil, err
		}
		in.Text, caller.Question = text, text
	}
	switch strings.ToLower(text) {
	case "":
		return b.home(ctx, caller)
	case "help", "?", "/help":
		m := card.Help(b.help(caller), caller.Lang)
		return &m, nil
	case "home":
		return b.page(ctx, in, false, "")
	}
	if word, ok := aboutModel(text, in.Kind); ok {
		return b.model(ctx, in, r, caller, word)
	}
	if word, ok := strings.CutPrefix(strings.ToLower(text), "help "); ok && !strings.Contains(word, " ") {
		m := card.HelpOn(b.help(caller), word, caller.Lang)
		return &m, nil
	}
	if tool, args, ok, err := b.cfg.Tools.ParseLine(text); ok {
		switch {
		case err == nil && tool == tools.ExplainText:
			return b.evidence(ctx, in, caller, evidenceIn(args))
		case err == nil:
			return b.run(ctx, in, caller, tool, args)
		}
		if in.Kind == Slash || strings.Contains(text, " -") || tool == "scale" {
			return b.lacking(ctx, in, r, caller, tool, args, err)
		}
		// "scale is a problem, why?" begins with a verb and is none: it is a question.
	}
	return b.ask(ctx, in, r, caller, mem, text)
}

// run calls one tool and shows its answer.
func (b *Bot) run(ctx context.Context, in Inbound, caller tools.Caller, tool string, args json.RawMessage) (*message.Message, error) {
	return b.runFrom(ctx, in, caller, tools.Option{Tool: tool, Args: args})
}

// runFrom is run for what a button stands for, which may be a later page of the answer.
func (b *Bot) runFrom(ctx context.Context, in Inbound, caller tools.Caller, o tools.Option) (*message.Message, error) {
	res, err := b.cfg.Tools.Call(ctx, caller, o.Tool, o.Args)
	if err != nil {
		return nil, err
	}
	res.From = o.From
	mem := b.recall(ctx, in.Place)
	mem.Turns = append(mem.Turns, assistant.Turn{Person: true, Text: in.Text, By: in.Person.ID}, assistant.Turn{Text: res.Headline})
	if res.Cluster != "" {
		mem.Cluster = res.Cluster
	}
	b.remember(ctx, in.Place, mem)
	return b.show(ctx, in, caller, res)
}

// ask puts free text to the assistant.
func (b *Bot) ask(ctx context.Context, in Inbound, r Responder, caller tools.Caller, mem memory, text string) (*message.Message, error) {
	req := b.request(ctx, caller, text, mem.Turns)
	if in.Place.Thread != "" {
		req.Thread = in.Place.Surface + "/" + in.Place.Channel + "/" + in.Place.Thread
	}
	a, err := b.cfg.Answerer.Answer(ctx, req, func(step string) {
		if err := r.Working(ctx, step); err != nil {
			b.log.Debug("progress not shown", "err", err)
		}
	})
	if err != nil {
		return nil, err
	}
	said := a.Text
	if said == "" && len(a.Results) > 0 {
		said = a.Results[0].Headline
	}
	for _, res := range a.Results {
		if res.Cluster != "" {
			mem.Cluster = res.Cluster
		}
	}
	mem.Turns = append(mem.Turns, assistant.Turn{Person: true, Text: text, By: in.Person.ID}, assistant.Turn{Text: said})
	if mem.Degraded == a.Degraded {
		a.Degraded = ""
	} else {
		mem.Degraded = a.Degraded
	}
	b.remember(ctx, in.Place, mem)
	return b.showAnswer(ctx, in, caller, a)
}
