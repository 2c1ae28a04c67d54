package bot

import (
	"context"
	"encoding/json"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools"
)

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
	case card.ActAsk:
		return b.asking(ctx, in, r, caller)
	case card.ActLang:
		return b.speak(ctx, in, r, caller)
	case card.ActWhole:
		return b.whole(ctx, in, r, caller)
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
