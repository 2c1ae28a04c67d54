package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card"
	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// delivery is one message as a target gets it.
type delivery struct {
	key      string
	target   Target
	address  string
	kind     string // of what happened to an incident, or of the report
	subject  string
	message  msg.Message
	page     string // address of its page, "" for none
	at       time.Time
	incident *incident.Incident // nil for a report
	thread   string             // what its mails belong to together
	lang     string
}

// deliver empties the outbox, each target beside the others and each in its order.
func (n *Notifier) deliver(ctx context.Context) error {
	for n.pause(ctx) {
		due, err := n.cfg.Store.Outbox(ctx, Surface, time.Now(), 50)
		if err != nil {
			if ctx.Err() == nil {
				n.log.Error("notifications not read", "err", err)
			}
			continue
		}
		var sending sync.WaitGroup
		for _, o := range due {
			sending.Go(func() { n.send(ctx, o) })
		}
		sending.Wait()
	}
	return nil
}

func (n *Notifier) send(ctx context.Context, o bot.Outgoing) {
	defer func() {
		if p := recover(); p != nil { // it would do so again after every restart
			n.log.Error("notification dropped", "key", o.Key, "err", fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			n.note(ctx, n.cfg.Store.Dropped(ctx, o.Key, fmt.Sprint("panic: ", p)))
		}
	}()
	d, err := n.render(ctx, o)
	switch {
	case errors.Is(err, incident.ErrNotFound), errors.Is(err, errGone):
		n.log.Warn("notification dropped", "key", o.Key, "err", err)
		n.note(ctx, n.cfg.Store.Dropped(ctx, o.Key, err.Error()))
		return
	case err == nil:
		err = n.carry(ctx, d)
	}
	var failed *bot.DeliveryError
	switch {
	case err == nil:
		// It is delivered: a process that is asked to end now must still write that down, or it would send it again.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		n.note(ctx, n.cfg.Store.Delivered(ctx, o, bot.Ref{}))
	case ctx.Err() != nil: // no failure of the target's
	case errors.As(err, &failed) && failed.Permanent:
		text := n.cfg.Plan.Mask(err.Error())
		n.log.Error("notification dropped", "key", o.Key, "err", text)
		n.note(ctx, n.cfg.Store.Dropped(ctx, o.Key, text))
	default:
		wait := min(time.Second<<min(o.Attempts, 6), time.Minute)
		if failed != nil && failed.RetryAfter > 0 {
			wait = failed.RetryAfter
		}
		text := n.cfg.Plan.Mask(err.Error())
		n.log.Warn("notification postponed", "key", o.Key, "wait", wait, "err", text)
		n.note(ctx, n.cfg.Store.Postponed(ctx, o.Key, time.Now().Add(wait), text))
	}
}

func (n *Notifier) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		n.log.Error("outbox not updated", "err", err)
	}
}

// errGone says that nothing can come of a message any more.
var errGone = errors.New("it has nowhere to go")

// carry hands a message to what its target is.
func (n *Notifier) carry(ctx context.Context, d delivery) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	switch {
	case d.address != "":
		return n.cfg.Plan.Mail.send(ctx, d)
	case d.target.Slack != "":
		return n.postSlack(ctx, d)
	}
	return n.postWebhook(ctx, d)
}

// late is from which age on a message says that it waited.
const late = 5 * time.Minute

// render makes what a target gets. What it tells of an incident is the newest: who is mailed an hour late should not
// begin with what was an hour ago.
func (n *Notifier) render(ctx context.Context, o bot.Outgoing) (delivery, error) {
	var e envelope
	if err := json.Unmarshal(o.Body, &e); err != nil {
		return delivery{}, fmt.Errorf("%w: %w", errGone, err)
	}
	t, ok := n.cfg.Plan.find(e.Target)
	switch {
	case !ok:
		return delivery{}, fmt.Errorf("%w: the routes have no target %s any more", errGone, e.Target)
	case e.Address != "" && n.cfg.Plan.Mail == nil:
		return delivery{}, fmt.Errorf("%w: the routes have no mail server any more", errGone)
	}
	d := delivery{key: o.Key, target: t, address: e.Address, kind: e.Kind, at: e.At, lang: n.lang(t)}
	if e.Message != nil {
		d.message, d.subject, d.page = *e.Message, e.Message.Title, n.cfg.PageURL
		return d, nil
	}
	i, err := n.cfg.Engine.Incident(ctx, e.Incident)
	if err != nil {
		return delivery{}, err
	}
	silent := false
	if c, ok := n.cfg.Engine.Fleet.Cluster(i.Cluster); ok {
		silent = c.Status().Silent
	}
	p, now := phrase.For(d.lang), n.cfg.Now()
	d.incident, d.thread, d.subject = i, i.ID+"@"+i.Cluster, heading(p, e, i)
	d.message = card.Incident(i, silent, now, d.lang)
	if n.cfg.PageURL != "" {
		d.page = n.cfg.PageURL + "/incident/" + i.ID
	}
	if wait := now.Sub(e.At); wait > late {
		d.message.Footer = strings.Trim(p.Sprintf("This message waited %s; it tells what is known now.", card.Span(wait))+" · "+d.message.Footer, " ·")
	}
	return d, nil
}

// heading is what happened, in one line.
func heading(p *message.Printer, e envelope, i *incident.Incident) string {
	where := i.Cluster
	if i.Namespace != "" {
		where += " / " + i.Namespace
	}
	what := i.Title + " — " + where
	switch e.Kind {
	case worsened:
		what = p.Sprintf("%s is %s now: %s", i.ID, e.Severity, what)
	case back:
		what = p.Sprintf("%s is back: %s", i.ID, what)
	case resolved:
		what = p.Sprintf("%s is over: %s", i.ID, what)
	case merged:
		what = p.Sprintf("%s has one cause with %s: %s", i.ID, i.MergedInto, what)
	default:
		what = i.ID + ": " + what
	}
	return "[" + string(e.Severity) + "] " + what
}
