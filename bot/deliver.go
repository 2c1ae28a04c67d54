package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// envelope is the body of an Outgoing: it names what to render, and the rendering happens at delivery, so that a
// message that waited tells the newest truth. Seq makes a later body differ from an earlier one.
type envelope struct {
	Incident string `json:"incident,omitempty"`
	Proposal string `json:"proposal,omitempty"`
	Note     string `json:"note,omitempty"`
	Chart    string `json:"chart,omitempty"` // of which incident
	Tone     int    `json:"tone,omitempty"`
	Seq      string `json:"seq,omitempty"`

	Message *message.Message `json:"message,omitempty"` // finished: there is nothing to render
}

// Reader is the name of the cursor by which the bot follows the engine's events.
const Reader = "bot"

// Finished is a message that shows the same whenever it is delivered: in the thread of a topic, or in the channel itself
// when under is empty.
func Finished(key string, p Place, under string, m message.Message) (Outgoing, error) {
	body, err := json.Marshal(envelope{Message: &m})
	return Outgoing{Key: key, Place: p, Under: under, Body: body}, err
}

// seqAgain marks a card that a person asked to see again.
const seqAgain = "again"

// follow turns the engine's events into outgoing messages. The cursor moves in the same transaction as the outbox, so a
// crash between two events neither loses nor doubles a message.
func (b *Bot) follow(ctx context.Context) error {
	cursor, err := b.cfg.Store.Cursor(ctx, Reader)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("read the event cursor: %w", err)
	}
	for b.pause(ctx) {
		events, err := b.cfg.Store.EventsAfter(ctx, cursor, 100)
		if err != nil {
			if ctx.Err() == nil {
				b.log.Error("events not read", "err", err)
			}
			continue
		}
		for _, e := range events {
			out, err := b.outgoing(ctx, e)
			if err == nil {
				err = b.cfg.Store.Enqueue(ctx, Reader, e.Seq, out...)
			}
			if err != nil {
				if ctx.Err() == nil {
					b.log.Error("event not told", "seq", e.Seq, "err", err)
				}
				break // tried again at the next poll
			}
			cursor = e.Seq
		}
	}
	return nil
}

// outgoing says what an event becomes: an edit of the incident's parent, and a line in its thread.
func (b *Bot) outgoing(ctx context.Context, e event.Event) ([]Outgoing, error) {
	var out []Outgoing
	switch {
	case e.Proposal != "":
		places, err := b.cfg.Store.Places(ctx, "proposal/"+e.Proposal)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			o, err := proposalOut(p, e.Proposal, fmt.Sprint(e.Seq))
			if err != nil {
				return nil, err
			}
			out = append(out, o)
		}
	case e.Incident != "":
		i, err := b.cfg.Engine.Incident(ctx, e.Incident)
		if errors.Is(err, incident.ErrNotFound) {
			return nil, nil // pruned before it was told
		}
		if err != nil {
			return nil, err
		}
		quiet := i.SilencedTill.After(b.cfg.Now())
		topic := "incident/" + e.Incident
		told, err := b.cfg.Store.Places(ctx, topic)
		if err != nil {
			return nil, err
		}
		for _, p := range b.cfg.Channels {
			if quiet && !slices.ContainsFunc(told, func(x Place) bool { return x.Surface == p.Surface && x.Channel == p.Channel }) {
				continue // it opened under a silence; when that ends, what ends it is an event
			}
			parent, err := json.Marshal(envelope{Incident: e.Incident, Seq: fmt.Sprint(e.Seq)})
			if err != nil {
				return nil, err
			}
			out = append(out, Outgoing{
				Key: topic + "@" + p.Surface + "/" + p.Channel, Place: p, Topic: topic, Edit: true, Body: parent,
				Thread: clip(i.ID+" "+phrase.Say(b.langAt(p), i.Title), 90),
			})
			if chart := tools.IncidentChart(b.cfg.Engine, i, b.langAt(p)); chart != nil && !quiet && i.MergedInto == "" {
				// Under one key: the first picture that there is goes out, and no other.
				body, err := json.Marshal(envelope{Chart: e.Incident})
				if err != nil {
					return nil, err
				}
				out = append(out, Outgoing{Key: "chart/" + e.Incident + "@" + p.Surface + "/" + p.Channel, Place: p, Under: topic, Body: body})
			}
			if e.Type == event.IncidentOpened || e.Note == "" || quiet {
				continue
			}
			body := envelope{Note: e.Note}
			if e.Type == event.SilenceEnd {
				m, err := b.silenceEnded(e, p)
				if err != nil {
					return nil, err
				}
				body = envelope{Message: &m}
			}
			note, err := json.Marshal(body)
			if err != nil {
				return nil, err
			}
			out = append(out, Outgoing{Key: fmt.Sprintf("event/%d@%s/%s", e.Seq, p.Surface, p.Channel), Place: p, Under: topic, Body: note})
		}
	case e.Type == event.GlassBroken, e.Type == event.ClusterSilent, e.Type == event.ClusterBack, e.Type == event.ClusterDegraded, e.Type == event.ClusterRecovered:
		tone := message.Unknown
		if e.Type == event.ClusterBack || e.Type == event.ClusterRecovered {
			tone = message.Resolved
		}
		if e.Type == event.GlassBroken {
			tone = message.Warning
		}
		note, err := json.Marshal(envelope{Note: e.Note, Tone: int(tone)})
		if err != nil {
			return nil, err
		}
		for _, p := range b.cfg.Channels {
			out = append(out, Outgoing{Key: fmt.Sprintf("event/%d@%s/%s", e.Seq, p.Surface, p.Channel), Place: p, Body: note})
		}
	}
	return out, nil
}

// silenceEnded tells whoever asked for a silence that it ended early, in their language.
func (b *Bot) silenceEnded(e event.Event, p Place) (message.Message, error) {
	var ended event.SilenceEnded
	if err := json.Unmarshal(e.Data, &ended); err != nil {
		return message.Message{}, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	m := message.Message{Title: tools.SilenceEnded(ended, cmp.Or(ended.Lang, b.langAt(p)))}
	if id, ok := strings.CutPrefix(ended.ID, p.Surface+":"); ok {
		m.Mention = []string{id}
	}
	return m, nil
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func proposalOut(p Place, id, seq string) (Outgoing, error) {
	body, err := json.Marshal(envelope{Proposal: id, Seq: seq})
	return Outgoing{
		Key: "proposal/" + id + "@" + p.Surface + "/" + p.Channel + "/" + p.Thread, Place: p,
		Topic: "proposal/" + id, Edit: true, Body: body,
	}, err
}

// deliver empties the outbox of one surface, in order. What waits longer than the store's retention is given up there.
func (b *Bot) deliver(ctx context.Context, s Surface) error {
	for b.pause(ctx) {
		due, err := b.cfg.Store.Outbox(ctx, s.Name(), time.Now(), 50)
		if err != nil {
			if ctx.Err() == nil {
				b.log.Error("outbox not read", "err", err)
			}
			continue
		}
		held := map[Place]bool{} // a place whose message failed keeps its order: nothing overtakes it
		for _, o := range due {
			where := Place{Surface: o.Place.Surface, Channel: o.Place.Channel}
			if held[where] || ctx.Err() != nil {
				continue
			}
			if !b.send(ctx, s, o) {
				held[where] = true
			}
		}
	}
	return nil
}

// send delivers one message and says whether the place is free for the next. A message that makes a surface panic is
// dropped: it would do so again after every restart.
func (b *Bot) send(ctx context.Context, s Surface, o Outgoing) (free bool) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("message dropped", "surface", s.Name(), "key", o.Key, "err", fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			b.note(ctx, b.cfg.Store.Dropped(ctx, o.Key, fmt.Sprint("panic: ", p)))
			free = true
		}
	}()
	ctx, span := tracer.Start(ctx, "deliver", trace.WithAttributes(attribute.String("surface", s.Name())))
	defer span.End()
	var ref Ref
	known := false
	if o.Topic != "" {
		var err error
		if ref, known, err = b.cfg.Store.RefOf(ctx, o.Topic, o.Place); err != nil {
			b.log.Error("delivered message not found", "err", err)
			return false
		}
	}
	if known && o.Edit {
		b.mu.Lock()
		wait := b.cfg.EditEvery - time.Since(b.edited[o.Key])
		b.mu.Unlock()
		if wait > 0 {
			b.note(ctx, b.cfg.Store.Postponed(ctx, o.Key, time.Now().Add(wait), ""))
			return true
		}
	}
	place := o.Place
	if o.Under != "" {
		under, ok, err := b.cfg.Store.RefOf(ctx, o.Under, o.Place)
		if err != nil {
			b.log.Error("thread not found", "err", err)
			return false
		}
		if !ok {
			// The parent is not there yet, or never will be; it stands before us in the outbox when it is to come.
			b.note(ctx, b.cfg.Store.Dropped(ctx, o.Key, "its thread was never opened"))
			return true
		}
		place.Thread = under.Thread
	}
	m, err := b.render(ctx, o)
	var gone *command.Denied // how the desk says that it knows no such proposal
	switch {
	case errors.Is(err, incident.ErrNotFound), errors.As(err, &gone), errors.Is(err, errUnreadable):
		b.note(ctx, b.cfg.Store.Dropped(ctx, o.Key, err.Error())) // what it was to tell of is gone
		return true
	case err != nil:
		b.postpone(ctx, s, o, 0, err)
		return false
	}
	if known && o.Edit {
		err = s.Edit(ctx, ref, m)
	} else {
		defer b.posting(place)()
		ref, err = s.Post(ctx, place, m, o.Key, o.Thread)
	}
	var failed *DeliveryError
	switch {
	case err == nil:
		b.delivered(o.Key)
		// It is on the screen: a process that is asked to end now must still write that down, or it would post it again.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		b.note(ctx, b.cfg.Store.Delivered(ctx, o, ref))
		return true
	case errors.As(err, &failed) && failed.Permanent:
		b.log.Error("message dropped", "surface", s.Name(), "key", o.Key, "err", err)
		b.note(ctx, b.cfg.Store.Dropped(ctx, o.Key, err.Error()))
		return true
	case failed != nil:
		b.postpone(ctx, s, o, failed.RetryAfter, err)
	default:
		b.postpone(ctx, s, o, 0, err)
	}
	return false
}

// delivered notes when a message was last shown, and forgets those whose next edit need not wait any more.
func (b *Bot) delivered(key string) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, at := range b.edited {
		if now.Sub(at) >= b.cfg.EditEvery {
			delete(b.edited, k)
		}
	}
	b.edited[key] = now
}

// postpone puts a message off for as long as the platform asked, or for twice as long as the last time, up to a minute.
func (b *Bot) postpone(ctx context.Context, s Surface, o Outgoing, wait time.Duration, err error) {
	if ctx.Err() != nil {
		return // it is no failure of the surface's
	}
	if wait <= 0 {
		wait = min(time.Second<<min(o.Attempts, 6), time.Minute)
	}
	b.log.Warn("message postponed", "surface", s.Name(), "key", o.Key, "wait", wait, "err", err)
	b.note(ctx, b.cfg.Store.Postponed(ctx, o.Key, time.Now().Add(wait), err.Error()))
}

func (b *Bot) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		b.log.Error("outbox not updated", "err", err)
	}
}

var errUnreadable = errors.New("the message cannot be read")

// langAt is the language of what is told in a place: the channel's, else that of who asked for it, by id.
func (b *Bot) langAt(p Place, asked ...string) string {
	lang := b.cfg.Engine.People.Lang(people.Channel(p.Surface + "/" + p.Channel))
	for _, id := range asked {
		lang = cmp.Or(lang, b.cfg.Engine.People.Lang(id))
	}
	return cmp.Or(lang, b.cfg.Lang)
}

// render makes what an outgoing message shows now.
func (b *Bot) render(ctx context.Context, o Outgoing) (message.Message, error) {
	var e envelope
	lang := b.langAt(o.Place)
	if err := json.Unmarshal(o.Body, &e); err != nil {
		return message.Message{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	switch {
	case e.Message != nil:
		return *e.Message, nil
	case e.Incident != "":
		i, err := b.cfg.Engine.Incident(ctx, e.Incident)
		if err != nil {
			return message.Message{}, err
		}
		silent := false
		if c, ok := b.cfg.Engine.Fleet.Cluster(i.Cluster); ok {
			silent = c.Status().Silent
		}
		m := card.Incident(i, silent, b.cfg.Now(), lang)
		if b.cfg.PageURL != "" {
			link := card.Link(phrase.For(lang).Sprintf("Open the page"), b.cfg.PageURL+"/incident/"+i.ID)
			m.Blocks = slices.Insert(m.Blocks, actionsAt(m.Blocks), link)
		}
		return m, nil
	case e.Chart != "":
		i, err := b.cfg.Engine.Incident(ctx, e.Chart)
		if err != nil {
			return message.Message{}, err
		}
		c := tools.IncidentChart(b.cfg.Engine, i, lang)
		if c == nil {
			return message.Message{}, fmt.Errorf("%w: nothing is left to draw", errUnreadable)
		}
		return card.Say(message.Message{Title: c.Title, Blocks: []message.Block{card.Chart(*c, lang)}}, lang), nil
	case e.Proposal != "":
		x, err := b.cfg.Engine.Desk.Get(ctx, e.Proposal)
		if err != nil {
			return message.Message{}, err
		}
		m := card.Proposal(x, b.cfg.Now(), b.langAt(o.Place, x.By.ID))
		if e.Seq == seqAgain { // news by itself, for a surface that cannot edit
			m.Gist += " again " + b.cfg.Now().Format(time.RFC3339Nano)
		}
		return m, nil
	}
	return card.Say(message.Message{Tone: message.Tone(e.Tone), Title: e.Note}, lang), nil
}

// actionsAt is where the buttons of a card begin.
func actionsAt(blocks []message.Block) int {
	i := slices.IndexFunc(blocks, func(b message.Block) bool { _, ok := b.(message.Actions); return ok })
	if i < 0 {
		return len(blocks)
	}
	return i
}

// Idle says whether everything that the engine concluded has been told.
func (b *Bot) Idle(ctx context.Context) (bool, error) { return b.told(ctx, b.cfg.Surfaces...) }

func (b *Bot) told(ctx context.Context, surfaces ...Surface) (bool, error) {
	cursor, err := b.cfg.Store.Cursor(ctx, Reader)
	if err != nil {
		return false, err
	}
	events, err := b.cfg.Store.EventsAfter(ctx, cursor, 1)
	if err != nil || len(events) > 0 {
		return false, err
	}
	for _, s := range surfaces {
		due, err := b.cfg.Store.Outbox(ctx, s.Name(), time.Now(), 1)
		if err != nil || len(due) > 0 {
			return false, err
		}
	}
	return true, nil
}

// lastWords is how long a surface that ends waits for what it is still owed.
const lastWords = 2 * time.Second

// drain waits until a surface that is about to end has shown what was asked of it: the card of a proposal comes through
// the outbox, after the answer.
func (b *Bot) drain(ctx context.Context, s Surface) {
	for end := time.Now().Add(lastWords); time.Now().Before(end); {
		if told, err := b.told(ctx, s); told || err != nil || !b.pause(ctx) {
			return
		}
	}
}
