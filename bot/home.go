package bot

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/bot/card"
	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// publish shows a person's home, where the surface has one. said is the title of the answer to what was pressed there. Two of
// one person's are made one after the other, so that the last that is shown is the newest.
func (b *Bot) publish(ctx context.Context, in Inbound, r Responder, said string) {
	x, ok := r.(Publisher)
	if !ok {
		return
	}
	defer b.takeTurn(ctx, Place{Surface: in.Place.Surface, Channel: "home", Thread: in.Person.ID})()
	in.Prefers = b.cfg.Engine.People.Lang(in.Person.ID) // what was pressed may have changed it
	in.Text = ""
	m, err := b.page(ctx, in, true, said)
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		m = b.failure(err, in)
	}
	if err := x.Publish(ctx, *m); err != nil && ctx.Err() == nil {
		b.log.Error("home not shown", "surface", in.Place.Surface, "err", err)
	}
}

// page makes a person's home of what the tools say to them; stays says that it is published, and no message. Whoever may see
// nothing is told how to get access.
func (b *Bot) page(ctx context.Context, in Inbound, stays bool, said string) (*msg.Message, error) {
	caller := tools.Caller{Person: in.Person, Lang: lang(in), Question: "home", Place: in.Place.Surface + "/" + in.Place.Channel}
	if b.cfg.Engine.People.Highest(in.Person) == people.Nobody {
		m := card.NoAccess(caller.Lang)
		return &m, nil
	}
	p := phrase.For(caller.Lang)
	h := card.Page{Stays: stays, Said: said, Role: b.roles(in.Person, p, caller.Lang)}
	// told is what a tool says, or why it cannot.
	told := func(tool string) (*tools.Result, error) {
		res, err := b.cfg.Tools.Call(ctx, caller, tool, nil)
		var problem *tools.Problem
		if errors.As(err, &problem) {
			return &tools.Result{Headline: phrase.Say(caller.Lang, problem.Sentence)}, nil
		}
		return res, err
	}
	for tool, take := range map[string]func(*tools.Result){
		"incidents": func(res *tools.Result) {
			open, _ := res.Data.([]*incident.Incident)
			h.Headline, h.Open = res.Headline, b.opened(ctx, in.Place, open)
		},
		"clusters": func(res *tools.Result) { h.Clusters, h.Dark = b.standing(res, p) },
		"oncall":   func(res *tools.Result) { h.OnCall = res.Headline },
		"lang":     func(res *tools.Result) { h.Speaks = res.Headline },
	} {
		res, err := told(tool)
		if err != nil {
			return nil, err
		}
		take(res)
	}
	m := card.HomePage(h, b.cfg.Now(), caller.Lang)
	return &m, nil
}

// opened adds to incidents whether their cluster is silent, and where their threads are on a surface.
func (b *Bot) opened(ctx context.Context, here Place, open []*incident.Incident) []card.Opened {
	var out []card.Opened
	for _, i := range open {
		o := card.Opened{Incident: i, Thread: b.threadOf(ctx, here.Surface, i.ID)}
		if c, ok := b.cfg.Engine.Fleet.Cluster(i.Cluster); ok {
			o.Silent = c.Status().Silent
		}
		out = append(out, o)
	}
	return out
}

// threadOf is the address of an incident's thread on a surface, "" where there is none.
func (b *Bot) threadOf(ctx context.Context, surface, id string) string {
	at := slices.IndexFunc(b.cfg.Surfaces, func(s Surface) bool { return s.Name() == surface })
	if at < 0 {
		return ""
	}
	s, ok := b.cfg.Surfaces[at].(interface{ Permalink(Ref) string })
	if !ok {
		return ""
	}
	for _, p := range b.cfg.Channels {
		if p.Surface != surface {
			continue
		}
		ref, ok, err := b.cfg.Store.RefOf(ctx, "incident/"+id, p)
		if err != nil {
			b.log.Warn("thread not found", "incident", id, "err", err)
		}
		if ok {
			return s.Permalink(ref)
		}
	}
	return ""
}

// standing makes a line of each cluster: whether its agent speaks, and what it sees. dark says that one does not.
func (b *Bot) standing(res *tools.Result, p *message.Printer) (lines []msg.Fact, dark bool) {
	if len(res.Tables) == 0 {
		return nil, true // none has reported yet, which the headline says
	}
	cell := func(row []string, name string) string {
		if i := slices.Index(res.Tables[0].Columns, name); i >= 0 && i < len(row) {
			return row[i]
		}
		return ""
	}
	for _, row := range res.Tables[0].Rows {
		id, seen := cell(row, "CLUSTER"), cell(row, "SEEN")
		var agent string
		switch cell(row, "AGENT") {
		case "silent":
			agent, dark = "⚪ "+p.Sprintf("agent silent for %s: what it last reported is all that is known", seen), true
		case "syncing":
			agent, dark = "⚪ "+p.Sprintf("still being read"), true
		default:
			agent = "🟢 " + p.Sprintf("agent connected, heard %s ago", seen)
		}
		if hidden := cell(row, "NOT VISIBLE"); hidden != "" {
			agent += "; " + p.Sprintf("it cannot read %s", hidden)
		}
		lines = append(lines, msg.Fact{Label: id, Value: agent + " · " + p.Sprintf("%s nodes, %s pods", cell(row, "NODES"), cell(row, "PODS"))})
	}
	return lines, dark
}

// roles says what a person may do, and where.
func (b *Bot) roles(who people.Person, p *message.Printer, lang string) string {
	dir := b.cfg.Engine.People
	everywhere := dir.RoleOf(who, "", "")
	out := []string{p.Sprintf("%s everywhere", phrase.Word(lang, everywhere.String()))}
	for _, g := range dir.Of(who) {
		if g.Role <= everywhere || g.Cluster == "" {
			continue
		}
		where := strings.TrimSuffix(g.Cluster+" / "+g.Namespace, " / ")
		out = append(out, p.Sprintf("%s in %s", phrase.Word(lang, g.Role.String()), where))
	}
	const most = 5
	if more := len(out) - most; more > 0 {
		out = append(out[:most], p.Sprintf("+%d more", more))
	}
	return strings.Join(out, ", ")
}
