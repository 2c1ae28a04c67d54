package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
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
	"github.com/bukahou/atlhyper/engine/incident"
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
		b.log.Info("stranger ignored", "person", in.Person.ID)
		return
	}
	in.Prefers = b.cfg.Engine.People.Lang(in.Person.ID)
	if in.Kind == Opened || in.Kind == Moved {
		b.greet(ctx, in, r)
		return
	}
	if in.Place.Thread != "" && in.Kind != Click && in.Kind != Submit { // a click says itself what it is about
		defer b.takeTurn(ctx, in.Place)()
	}
	b.ready(ctx, in, r)
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
	if err := r.Answer(ctx, *m); err != nil && ctx.Err() == nil {
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
	}
	if word, ok := aboutModel(text, in.Kind); ok {
		return b.model(ctx, in, r, caller, word)
	}
	if word, ok := strings.CutPrefix(strings.ToLower(text), "help "); ok && !strings.Contains(word, " ") {
		m := card.HelpOn(b.help(caller), word, caller.Lang)
		return &m, nil
	}
	if tool, args, ok, err := b.cfg.Tools.ParseLine(text); ok {
		if err == nil {
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

// show renders a result. A proposal is not rendered here: its card goes through the outbox, because it will be edited.
func (b *Bot) show(ctx context.Context, in Inbound, caller tools.Caller, res *tools.Result) (*message.Message, error) {
	if res.Proposal != "" {
		again, err := b.postProposal(ctx, in.Place, res.Proposal)
		switch {
		case err != nil:
			return nil, err
		case again: // where a card stands, it is only edited: silence would look like a broken button
			m, err := b.card(ctx, res, caller.Lang)
			m.Footer = phrase.For(caller.Lang).Sprintf("Its card is in this channel already.")
			return &m, err
		case len(res.Lists) == 0:
			return nil, nil
		}
		// The card says what the headline says; only what the card lacks is left to show.
		res = &tools.Result{Headline: phrase.For(caller.Lang).Sprintf("Beside the proposal:"), Lists: res.Lists}
	}
	m, err := b.card(ctx, res, caller.Lang)
	return &m, err
}

// card renders a result. Those with pictures take turns.
func (b *Bot) card(ctx context.Context, res *tools.Result, lang string) (message.Message, error) {
	if len(res.Charts) > 0 {
		select {
		case b.easel <- struct{}{}:
			defer func() { <-b.easel }()
		case <-ctx.Done():
			return message.Message{}, ctx.Err()
		}
	}
	return card.Result(res, b.cfg.Now(), lang, b.choice(ctx))
}

// postProposal puts a proposal's card where it was asked for, and says whether it stands there already.
func (b *Bot) postProposal(ctx context.Context, p Place, id string) (again bool, err error) {
	places, err := b.cfg.Store.Places(ctx, "proposal/"+id)
	if err != nil {
		return false, err
	}
	again = slices.ContainsFunc(places, func(x Place) bool { return x.Surface == p.Surface && x.Channel == p.Channel })
	seq := ""
	if again {
		seq = seqAgain
	}
	o, err := proposalOut(p, id, seq)
	if err != nil {
		return false, err
	}
	return again, b.cfg.Store.Enqueue(ctx, "", 0, o)
}

func (b *Bot) home(ctx context.Context, caller tools.Caller) (*message.Message, error) {
	overview, err := b.cfg.Tools.Call(ctx, caller, "overview", nil)
	if err != nil {
		return nil, err
	}
	pending, err := b.cfg.Engine.Desk.Pending(ctx)
	if err != nil {
		return nil, err
	}
	m, err := card.Home(overview, len(pending), b.cfg.Now(), caller.Lang, b.choice(ctx))
	return &m, err
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

func (b *Bot) showAnswer(ctx context.Context, in Inbound, caller tools.Caller, a *assistant.Answer) (*message.Message, error) {
	p := phrase.For(caller.Lang)
	var footer []string
	if a.Degraded != "" {
		footer = append(footer, p.Sprintf("Answering without the model: %s", phrase.Say(caller.Lang, a.Degraded)))
	}
	if len(a.Unverified) > 0 {
		footer = append(footer, p.Sprintf("Not found in any reading: %s", strings.Join(a.Unverified, ", ")))
	}
	footer = append(footer, a.Notes...)
	if a.Proposal != "" {
		again, err := b.postProposal(ctx, in.Place, a.Proposal)
		if err != nil {
			return nil, err
		}
		if again {
			footer = append(footer, p.Sprintf("Its card is in this channel already."))
		}
		if a.Text == "" && len(footer) == 0 {
			return nil, nil
		}
	}
	var m message.Message
	switch {
	case a.Text != "":
		first, rest, _ := strings.Cut(strings.TrimSpace(a.Text), "\n")
		m.Title = strings.Trim(first, "*# ")
		if rest = strings.TrimSpace(rest); rest != "" {
			m.Blocks = append(m.Blocks, message.Markdown{Text: rest})
		}
		if a.By != "" {
			footer = append(footer, steps(a, b.cfg.Now(), caller.Lang))
		}
	case len(a.Results) > 0:
		for i, res := range a.Results {
			if res.Proposal != "" {
				continue
			}
			one, err := b.card(ctx, res, caller.Lang)
			if err != nil {
				return nil, err
			}
			if i == 0 || m.Title == "" {
				m = one
				continue
			}
			m.Blocks = append(m.Blocks, message.Paragraph{Heading: one.Title})
			m.Blocks = append(m.Blocks, one.Blocks...)
		}
	}
	if m.Title == "" {
		if a.Proposal != "" && len(footer) == 0 {
			return nil, nil
		}
		m.Title = p.Sprintf("I have no answer to that.")
		if a.Proposal != "" {
			m.Title = p.Sprintf("Proposed; see the card.")
		}
	}
	if m.Footer != "" {
		footer = append(footer, m.Footer)
	}
	m.Footer = strings.Join(footer, " · ")
	return &m, nil
}

// steps folds what was looked at into one line, each with the figures of the answer that it gave and how old they are:
// "gemini looked at: metrics (31 %, 2.4 s; 12s old), logs".
func steps(a *assistant.Answer, now time.Time, lang string) string {
	p := phrase.For(lang)
	lead := p.Sprintf("%s looked at:", a.By)
	if len(a.Calls) == 0 {
		return strings.TrimSuffix(lead, ":")
	}
	names := make([]string, 0, len(a.Calls))
	for n, c := range a.Calls {
		name := strings.ReplaceAll(c.Tool, "_", " ")
		var figures []string
		for _, x := range a.Cited {
			if x.Call == n {
				figures = append(figures, x.Figure)
			}
		}
		if len(figures) > 0 {
			name += " (" + strings.Join(figures, ", ")
			if c.Result != nil && !c.Result.Observed.IsZero() {
				name += "; " + p.Sprintf("%s old", tools.Age(max(0, now.Sub(c.Result.Observed))))
			}
			name += ")"
		}
		names = append(names, name)
	}
	return lead + " " + strings.Join(names, ", ")
}

// click acts on a button or a typed prompt. The button's id alone decides; who clicked decides whether it may.
func (b *Bot) click(ctx context.Context, in Inbound, r Responder, caller tools.Caller) (*message.Message, error) {
	with := func(tool string, args map[string]string) (*message.Message, error) {
		args["id"] = in.Subject
		raw, err := json.Marshal(args)
		if err != nil {
			return nil, err
		}
		caller.Incident = in.Subject
		return b.run(ctx, in, caller, tool, raw)
	}
	about := func(tool string) (*message.Message, error) { return with(tool, map[string]string{}) }
	judged := func(j incident.Judgement) (*message.Message, error) {
		return with("judge", map[string]string{"judgement": string(j)})
	}
	switch in.Action {
	case card.ActExplain:
		return about("explain")
	case card.ActTimeline:
		return about("timeline")
	case card.ActReview:
		return about("postmortem")
	case card.ActAck:
		return about("acknowledge")
	case card.ActSilence:
		return b.silence(ctx, in, r, caller)
	case card.ActFill:
		return b.fill(ctx, in, r, caller)
	case card.ActFix:
		return about("suggest_fix")
	case card.ActModel:
		return b.model(ctx, in, r, caller, "set")
	case card.ActRight:
		return judged(incident.Right)
	case card.ActWrong:
		return judged(incident.Wrong)
	case card.ActNoise:
		return judged(incident.Noise)
	case card.ActUndo:
		args, err := json.Marshal(map[string]string{"id": in.Subject})
		if err != nil {
			return nil, err
		}
		caller.Question = "undo"
		return b.run(ctx, in, caller, "undo", args)
	case card.ActSay:
		in.Text = in.Subject
		in.Kind = Direct
		return b.answer(ctx, in, r)
	case card.ActChoice:
		o, err := b.chosen(ctx, in.Subject)
		if err != nil {
			return nil, err
		}
		in.Text, caller.Question = o.Label, o.Label
		if lacks := b.cfg.Tools.Lacks(o.Tool, o.Args); len(lacks) > 0 {
			return b.lacking(ctx, in, r, caller, o.Tool, o.Args, nil)
		}
		return b.runFrom(ctx, in, caller, o)
	case card.ActDiff:
		x, err := b.cfg.Engine.Desk.Get(ctx, in.Subject)
		if err != nil {
			return nil, err
		}
		m := card.Diff(x, caller.Lang)
		return &m, nil
	case card.ActReject:
		_, err := b.cfg.Engine.Desk.Reject(ctx, in.Subject, in.Person)
		return nil, err // the card itself tells the outcome
	case card.ActApprove:
		return b.approve(ctx, in, r, caller)
	}
	return nil, &tools.Problem{Sentence: "That button is not known any more.", Remedy: "Ask again."}
}

// approve passes an approval to the desk, which decides. A destructive command asks for the name first.
func (b *Bot) approve(ctx context.Context, in Inbound, r Responder, caller tools.Caller) (*message.Message, error) {
	x, err := b.cfg.Engine.Desk.Get(ctx, in.Subject)
	if err != nil {
		return nil, err
	}
	if x.Class == command.W3 && in.Kind == Click && x.State == command.Proposed {
		return nil, r.Ask(ctx, namePrompt(x, caller.Lang))
	}
	_, err = b.cfg.Engine.Desk.Approve(ctx, in.Subject, in.Person, in.Values["name"])
	return nil, err
}
