package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/rota"
	"github.com/bukahou/atlhyper/tools/phrase"
)

const reader = "notify" // the cursor's name

// What is told of an incident.
const (
	opened   = "opened"
	worsened = "worsened"
	back     = "back" // after its end was told
	resolved = "resolved"
	merged   = "merged"
)

// envelope is the body of an outgoing message: what happened, and what to render at delivery; or a message that is
// finished.
type envelope struct {
	Target   string            `json:"target"`
	Address  string            `json:"address,omitempty"` // of a mail
	Kind     string            `json:"kind,omitempty"`
	Incident string            `json:"incident,omitempty"`
	Severity incident.Severity `json:"severity,omitempty"`
	At       time.Time         `json:"at"`
	Message  *message.Message  `json:"message,omitempty"`
}

// follow turns the engine's events into outgoing messages.
func (n *Notifier) follow(ctx context.Context) error {
	cursor, err := n.cfg.Store.Cursor(ctx, reader)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("read the event cursor of notifications: %w", err)
	}
	for n.pause(ctx) {
		if cursor, err = n.read(ctx, cursor); err != nil && ctx.Err() == nil {
			n.log.Error("events not notified", "seq", cursor, "err", err) // tried again at the next poll
		}
	}
	return nil
}

// read takes the next events and gives how far it came.
func (n *Notifier) read(ctx context.Context, cursor int64) (int64, error) {
	limit := int64(0)
	if len(n.cfg.Chat) > 0 { // a mention goes into a thread that the bot must have put on its way before
		var err error
		if limit, err = n.cfg.Store.Cursor(ctx, bot.Reader); err != nil {
			return cursor, err
		}
	}
	events, err := n.cfg.Store.EventsAfter(ctx, cursor, 100)
	if err != nil {
		return cursor, err
	}
	begun := cursor
	for _, e := range events {
		if len(n.cfg.Chat) > 0 && e.Seq > limit {
			break
		}
		if e.Incident != "" && e.Proposal == "" {
			told, err := n.tell(ctx, e.Incident, e.Seq)
			if err != nil {
				return cursor, err
			}
			if told {
				begun = e.Seq
			}
		}
		cursor = e.Seq
	}
	if cursor == begun {
		return cursor, nil
	}
	return cursor, n.cfg.Store.PutNotice(ctx, reader, cursor, Notice{})
}

// tell enqueues what is new of an incident and says whether anything was.
func (n *Notifier) tell(ctx context.Context, id string, seq int64) (bool, error) {
	i, err := n.cfg.Engine.Incident(ctx, id)
	if errors.Is(err, incident.ErrNotFound) {
		return false, nil // pruned before it was told
	}
	if err != nil {
		return false, err
	}
	before, err := n.cfg.Store.Notice(ctx, id)
	if err != nil {
		return false, err
	}
	now := n.cfg.Now()
	after, news, unmanned := n.cfg.Plan.conclude(i, before, now)
	if unmanned {
		n.log.Warn("nobody is on call, so nobody on call is told", "incident", i.ID, "severity", i.Severity)
	}
	if len(news) == 0 && after.Severity == before.Severity && after.Round == before.Round {
		return false, nil
	}
	var out []bot.Outgoing
	for _, x := range news {
		o, err := n.outgoing(x, i, after.Round, now)
		if err != nil {
			return false, err
		}
		out = append(out, o...)
	}
	return true, n.cfg.Store.PutNotice(ctx, reader, seq, after, out...)
}

// telling is one target's news.
type telling struct{ target, kind string }

// conclude says who is told what of an incident, given what was told before. It does not look at events but at the
// record, so that an event that is read twice, or late, tells nothing wrong.
func (p *Plan) conclude(i *incident.Incident, told Notice, now time.Time) (after Notice, news []telling, unmanned bool) {
	told.Incident = i.ID
	over := i.Stage == incident.StageResolved || i.Stage == incident.StageCleared
	var asked []string
	switch {
	case i.MergedInto != "" || over:
		if told.Over || len(told.Targets) == 0 {
			return told, nil, false
		}
		kind := resolved
		if i.MergedInto != "" {
			kind = merged
		}
		for _, t := range told.Targets {
			news = append(news, telling{t, kind})
		}
		told.Over = true
		return told, news, false
	case told.Over: // a silence keeps quiet what comes back; what gets worse has ended its silence
		if i.SilencedTill.After(now) && rank(i.Severity) <= rank(incident.Severity(told.Severity)) {
			return told, nil, false
		}
		told.Over, told.Round = false, told.Round+1
		told.Targets, unmanned = p.Route(i, now)
		for _, t := range told.Targets {
			news = append(news, telling{t, back})
		}
	case told.Severity == "" && i.SilencedTill.After(now), rank(i.Severity) <= rank(incident.Severity(told.Severity)):
		return told, nil, false
	default:
		asked, unmanned = p.Route(i, now)
		for _, t := range asked {
			kind := worsened
			if !slices.Contains(told.Targets, t) {
				kind = opened
				told.Targets = append(slices.Clone(told.Targets), t)
			}
			news = append(news, telling{t, kind})
		}
	}
	told.Severity = string(i.Severity)
	return told, news, unmanned
}

// outgoing makes the messages of one target's news: one for each address, so that each is delivered once whatever
// becomes of the others.
func (n *Notifier) outgoing(x telling, i *incident.Incident, round int, now time.Time) ([]bot.Outgoing, error) {
	what := fmt.Sprintf("%s/%s/%d/%s", Surface, i.ID, round, x.kind)
	if x.kind == opened || x.kind == worsened {
		what += "-" + string(i.Severity)
	}
	e := envelope{Target: x.target, Kind: x.kind, Incident: i.ID, Severity: i.Severity, At: now}
	who, ok := n.cfg.Plan.person(x.target)
	if !ok {
		return n.addressed(what, e)
	}
	out, err := n.mailed(what, e, who)
	if err != nil || x.kind == resolved || x.kind == merged { // the thread says so itself, and needs nobody
		return out, err
	}
	p := phrase.For(n.cfg.Lang)
	mention, err := n.mention(what, "incident/"+i.ID, who, message.Message{Title: p.Sprintf("%s is on call: %s", who.Name, heading(p, e, i))})
	return append(out, mention...), err
}

// addressed makes what goes to a target of the file.
func (n *Notifier) addressed(what string, e envelope) ([]bot.Outgoing, error) {
	t, ok := n.cfg.Plan.find(e.Target)
	if !ok { // it was told once and has left the file since
		return nil, nil
	}
	if len(t.Mail) == 0 {
		return enclosed(what, t.Name, e)
	}
	var out []bot.Outgoing
	for _, a := range t.Mail {
		e.Address = a
		o, err := enclosed(what, "mail/"+a, e)
		if err != nil {
			return nil, err
		}
		out = append(out, o...)
	}
	return out, nil
}

func (n *Notifier) mailed(what string, e envelope, p rota.Person) ([]bot.Outgoing, error) {
	if p.Mail == "" {
		return nil, nil
	}
	e.Target, e.Address = onCallPrefix+p.Name, p.Mail
	return enclosed(what, "mail/"+p.Mail, e)
}

// enclosed puts an envelope on its way. Two targets that share an address share the key, so it gets one.
func enclosed(what, channel string, e envelope) ([]bot.Outgoing, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return []bot.Outgoing{{Key: what + "@" + channel, Place: bot.Place{Surface: Surface, Channel: channel}, Body: body}}, nil
}

// mention speaks to a person in the chats where they are known, in a thread when topic names one.
func (n *Notifier) mention(what, topic string, who rota.Person, m message.Message) ([]bot.Outgoing, error) {
	var out []bot.Outgoing
	for _, place := range n.cfg.Chat {
		for _, id := range idsOn(who, place.Surface) {
			m.Mention = []string{id}
			o, err := bot.Finished(fmt.Sprintf("%s@%s/%s/%s", what, place.Surface, place.Channel, id), place, topic, m)
			if err != nil {
				return nil, err
			}
			out = append(out, o)
		}
	}
	return out, nil
}

// idsOn gives a person's ids on one surface.
func idsOn(p rota.Person, surface string) []string {
	var out []string
	for _, id := range p.IDs {
		if of, ok := strings.CutPrefix(id, surface+":"); ok {
			out = append(out, of)
		}
	}
	return out
}
