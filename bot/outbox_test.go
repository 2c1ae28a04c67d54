package bot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/incident"
)

func TestAnIncidentIsOneParentWithItsNewsBeneathInOrder(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		o.save(i, event.IncidentOpened, "it opened")
		for n := range 5 {
			o.save(i, event.IncidentChanged, fmt.Sprint("news ", n))
		}
		i.Stage, i.ResolvedAt = incident.StageResolved, time.Now()
		o.save(i, event.IncidentChanged, "it is resolved")
		settle(10 * time.Second)
		want := []string{
			"checkout recovered — prod-eu / shop", "thread-0: news 0", "thread-0: news 1", "thread-0: news 2", "thread-0: news 3", "thread-0: news 4", "thread-0: it is resolved",
		}
		if d := cmp.Diff(want, o.chat.said()); d != "" {
			t.Error(d)
		}
		if idle, err := o.bot.Idle(t.Context()); !idle || err != nil {
			t.Errorf("idle is %v (%v) when all is told", idle, err)
		}
	})
}

func TestACardLinksToItsPageOnlyWhereThatHasAnAddress(t *testing.T) {
	for _, base := range []string{"", "https://atlhyper.example"} {
		inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.PageURL = base }, func(t *testing.T, o *office) {
			o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "it opened")
			settle(10 * time.Second)
			var links []string
			for i, b := range o.chat.all()[0].m.Blocks {
				if m, ok := b.(message.Markdown); ok {
					links = append(links, m.Text)
					if _, next := o.chat.all()[0].m.Blocks[i+1].(message.Actions); !next {
						t.Error("the link does not stand above the buttons")
					}
				}
			}
			var want []string
			if base != "" {
				want = []string{"[Open the page](https://atlhyper.example/incident/INC-1)"}
			}
			if d := cmp.Diff(want, links); d != "" {
				t.Errorf("with the address %q:\n%s", base, d)
			}
		})
	}
}

func TestASilencedIncidentIsEditedAndSaysNothing(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		i.SilencedTill = time.Now().Add(time.Hour)
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "it opened")
		settle(10 * time.Second)
		o.save(i, event.IncidentChanged, "a symptom more")
		settle(10 * time.Second)
		if said := o.chat.said(); len(said) != 1 {
			t.Errorf("said %q", said)
		}
	})
}

func TestWhatOpensUnderASilenceIsToldWhenThatEnds(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		i.SilencedTill = time.Now().Add(time.Hour)
		o.save(i, event.IncidentOpened, "it opened")
		o.save(i, event.IncidentChanged, "a symptom more")
		settle(10 * time.Second)
		if said := o.chat.said(); len(said) != 0 {
			t.Errorf("under a silence it said %q", said)
		}
		i.SilencedTill = time.Time{}
		o.save(i, event.IncidentChanged, "the silence is over")
		settle(10 * time.Second)
		if said := o.chat.said(); len(said) != 2 || !strings.Contains(said[0], "checkout is failing") || !strings.Contains(said[1], "the silence is over") {
			t.Errorf("after it, it said %q", said)
		}
	})
}

func TestAClustersSilenceAndReturnAreTold(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		o.save(i, event.IncidentOpened, "")
		c, _ := o.engine.Fleet.Cluster("prod-eu")
		c.SetStatus(func(s *fleet.Status) { s.Silent = true })
		o.ok(o.db.AppendEvents(t.Context(), event.Event{At: time.Now(), Type: event.ClusterSilent, Cluster: "prod-eu", Note: "The agent is silent."}))
		o.ok(o.db.AppendEvents(t.Context(), event.Event{At: time.Now(), Type: event.ClusterBack, Cluster: "prod-eu", Note: "The agent speaks again."}))
		settle(10 * time.Second)
		all := o.chat.all()
		if len(all) != 3 || all[0].m.Tone.Mark() != "⚪" || all[1].m.Tone.Mark() != "⚪" || all[2].m.Tone.Mark() != "🟢" {
			t.Errorf("shown: %+v", all)
		}
	})
}

func TestThePlatformsRetryAfterIsHonouredAndNothingOvertakes(t *testing.T) {
	var tried []time.Duration
	var begun time.Time
	c := &chat{}
	c.fail = func(key string, _ bool) error {
		if !strings.HasSuffix(key, "/ops") {
			return nil
		}
		tried = append(tried, time.Since(begun))
		if len(tried) == 1 {
			return &bot.DeliveryError{Err: errors.New("429"), RetryAfter: 30 * time.Second}
		}
		return nil
	}
	channels := []bot.Place{{Surface: "chat", Channel: "ops"}, {Surface: "chat", Channel: "other"}}
	inOffice(t, c, func(cfg *bot.Config) { cfg.Channels = channels }, func(t *testing.T, o *office) {
		begun = time.Now()
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		o.save(newIncident("INC-2", "search is failing"), event.IncidentOpened, "")
		settle(5 * time.Second)
		var here, elsewhere int
		for _, m := range c.all() {
			if m.place.Channel == "ops" {
				here++
			} else {
				elsewhere++
			}
		}
		if here != 0 || elsewhere != 2 {
			t.Errorf("while one channel waits it shows %d, and the other %d of 2", here, elsewhere)
		}
		settle(time.Minute)
		if len(tried) != 3 || tried[1] < 30*time.Second || tried[1] > 32*time.Second {
			t.Errorf("tried after %v", tried)
		}
		var order []string
		for _, m := range c.all() {
			if m.place.Channel == "ops" {
				order = append(order, m.m.Title[:6])
			}
		}
		if d := cmp.Diff([]string{"checko", "search"}, order); d != "" {
			t.Error(d)
		}
	})
}

func TestWhatCanNeverBeDeliveredIsDroppedAndLogged(t *testing.T) {
	c := &chat{fail: func(key string, _ bool) error {
		if strings.Contains(key, "INC-1@") {
			return &bot.DeliveryError{Err: errors.New("channel_not_found"), Permanent: true, Remedy: "Invite the bot."}
		}
		return nil
	}}
	inOffice(t, c, nil, func(t *testing.T, o *office) {
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentChanged, "a line whose thread never was")
		o.save(newIncident("INC-2", "search is failing"), event.IncidentOpened, "")
		settle(15 * time.Second)
		if d := cmp.Diff([]string{"search is failing — prod-eu / shop"}, c.said()); d != "" {
			t.Error(d)
		}
		o.stop()
		if log := o.logged.String(); !strings.Contains(log, "channel_not_found") || !strings.Contains(log, "Invite the bot.") {
			t.Errorf("the log says:\n%s", log)
		}
	})
}

func TestAnHourWithoutThePlatformLosesNothingAndDoublesNothing(t *testing.T) {
	var up atomic.Bool
	c := &chat{fail: func(string, bool) error {
		if !up.Load() {
			return &bot.DeliveryError{Err: errors.New("503")}
		}
		return nil
	}}
	inOffice(t, c, func(cfg *bot.Config) { cfg.Poll = 5 * time.Second }, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		o.save(i, event.IncidentOpened, "")
		want := []string{"checkout is failing — prod-eu / shop"}
		for n := range 30 {
			settle(2 * time.Minute)
			i.Acknowledged = fmt.Sprint("person ", n)
			o.save(i, event.IncidentChanged, fmt.Sprint("news ", n))
			want = append(want, fmt.Sprint("thread-0: news ", n))
			if n == 15 { // the process is restarted in the middle of it
				o.stop()
				o.start()
			}
		}
		up.Store(true)
		settle(4 * time.Minute)
		if d := cmp.Diff(want, c.said()); d != "" {
			t.Error(d)
		}
		if got := c.all()[0].m.Footer; !strings.Contains(got, "person 29") {
			t.Errorf("the parent tells of %q, not of the newest state", got)
		}
	})
}

func TestEditsAreCoalescedAndTheLastStateArrives(t *testing.T) {
	const every = 5 * time.Second
	var edits []time.Time
	c := &chat{fail: func(_ string, edit bool) error {
		if edit {
			edits = append(edits, time.Now())
		}
		return nil
	}}
	inOffice(t, c, func(cfg *bot.Config) { cfg.EditEvery = every }, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		o.save(i, event.IncidentOpened, "")
		for n := range 100 {
			settle(300 * time.Millisecond)
			i.Acknowledged = fmt.Sprint("person ", n)
			o.save(i, event.IncidentChanged, "")
		}
		settle(2 * every)
		for n := 1; n < len(edits); n++ {
			if gap := edits[n].Sub(edits[n-1]); gap < every {
				t.Errorf("edit %d came %v after the one before", n, gap)
			}
		}
		if len(edits) < 5 || len(edits) > 8 {
			t.Errorf("%d edits in 30 s", len(edits))
		}
		if all := c.all(); len(all) != 1 || all[0].m.Footer != "Acknowledged by person 99" {
			t.Errorf("shown at last: %+v", all)
		}
	})
}

func TestAnEditThatWaitsHoldsNothingUp(t *testing.T) {
	c := &chat{}
	inOffice(t, c, func(cfg *bot.Config) { cfg.EditEvery = time.Hour }, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		o.save(i, event.IncidentOpened, "")
		settle(time.Second)
		i.Acknowledged = "Mia"
		o.save(i, event.IncidentChanged, "acknowledged by Mia")
		settle(5 * time.Second)
		if d := cmp.Diff([]string{"checkout is failing — prod-eu / shop", "thread-0: acknowledged by Mia"}, c.said()); d != "" {
			t.Error(d)
		}
	})
}

// forgetful is a Store whose process dies before it can write down that something was delivered.
type forgetful struct {
	bot.Store
	dead atomic.Bool
}

func (f *forgetful) Delivered(ctx context.Context, o bot.Outgoing, ref bot.Ref) error {
	if f.dead.Load() {
		return errors.New("killed")
	}
	return f.Store.Delivered(ctx, o, ref)
}

func TestACrashBetweenDeliveryAndRecordDoesNotDoubleWhereKeysAreKnown(t *testing.T) {
	c := &chat{knowsKeys: true}
	store := &forgetful{}
	store.dead.Store(true)
	inOffice(t, c, func(cfg *bot.Config) { store.Store, cfg.Store = cfg.Store, store }, func(t *testing.T, o *office) {
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		settle(time.Second)
		if len(c.all()) != 1 {
			t.Fatalf("shown: %q", c.said())
		}
		o.stop()
		store.dead.Store(false)
		o.start()
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentChanged, "a line in the right thread")
		settle(15 * time.Second)
		if d := cmp.Diff([]string{"checkout is failing — prod-eu / shop", "thread-0: a line in the right thread"}, c.said()); d != "" {
			t.Error(d)
		}
		if len(c.attempts) < 3 {
			t.Errorf("the message was not tried again after the crash: %q", c.attempts)
		}
	})
}

func TestAnOrderlyEndInTheMiddleOfADeliveryDoesNotDoubleAnywhere(t *testing.T) {
	c := &chat{}
	var ending chan struct{}
	inOffice(t, c, func(*bot.Config) {
		ending = make(chan struct{})
		c.after = func(string) { // shown, but the bot hears of it only when it is to end
			close(ending)
			time.Sleep(time.Second)
		}
	}, func(t *testing.T, o *office) {
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		<-ending
		o.stop()
		c.after = nil
		o.start()
		settle(15 * time.Second)
		if said := c.said(); len(said) != 1 {
			t.Errorf("said %q", said)
		}
	})
}

// refusing is a Store that cannot read for a while.
type refusing struct {
	bot.Store
	refuse atomic.Bool
}

func (r *refusing) RefOf(ctx context.Context, topic string, p bot.Place) (bot.Ref, bool, error) {
	if r.refuse.Load() {
		return bot.Ref{}, false, errors.New("disk failure")
	}
	return r.Store.RefOf(ctx, topic, p)
}

func TestADiskFailureDelaysAndDropsNothing(t *testing.T) {
	c := &chat{}
	store := &refusing{}
	store.refuse.Store(true)
	inOffice(t, c, func(cfg *bot.Config) { store.Store, cfg.Store = cfg.Store, store }, func(t *testing.T, o *office) {
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		settle(10 * time.Second)
		store.refuse.Store(false)
		settle(10 * time.Second)
		if said := c.said(); len(said) != 1 {
			t.Errorf("said %q", said)
		}
	})
}

func TestAMessageThatMakesTheSurfacePanicIsDroppedAndTheRestArrives(t *testing.T) {
	c := &chat{fail: func(key string, _ bool) error {
		if strings.Contains(key, "INC-1@") {
			panic("nil renderer")
		}
		return nil
	}}
	inOffice(t, c, nil, func(t *testing.T, o *office) {
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		o.save(newIncident("INC-2", "search is failing"), event.IncidentOpened, "")
		settle(15 * time.Second)
		if d := cmp.Diff([]string{"search is failing — prod-eu / shop"}, c.said()); d != "" {
			t.Error(d)
		}
		o.stop()
		if log := o.logged.String(); !strings.Contains(log, "nil renderer") {
			t.Errorf("the log says:\n%s", log)
		}
	})
}

func TestWhatIsGoneIsNotTold(t *testing.T) {
	c := &chat{}
	inOffice(t, c, nil, func(t *testing.T, o *office) {
		place := bot.Place{Surface: "chat", Channel: "ops"}
		o.ok(o.db.Enqueue(t.Context(), "", 0,
			bot.Outgoing{Key: "a", Place: place, Body: bodyOf(t, map[string]string{"incident": "INC-404"})},
			bot.Outgoing{Key: "b", Place: place, Body: bodyOf(t, map[string]string{"proposal": "nobody"})},
			bot.Outgoing{Key: "c", Place: place, Body: []byte(`["not an envelope"]`)},
			bot.Outgoing{Key: "d", Place: place, Body: bodyOf(t, map[string]string{"note": "still here"})},
		))
		o.ok(o.db.AppendEvents(t.Context(), event.Event{At: time.Now(), Type: event.IncidentChanged, Incident: "INC-404", Note: "pruned before it was told"}))
		settle(15 * time.Second)
		if d := cmp.Diff([]string{"still here"}, c.said()); d != "" {
			t.Error(d)
		}
	})
}

func TestAProposalsCardIsEditedThroughItsLife(t *testing.T) {
	c := &chat{}
	inOffice(t, c, func(cfg *bot.Config) { cfg.Answerer = proposing("p1") }, func(t *testing.T, o *office) {
		x := o.propose("p1", command.W2)
		thread := bot.Place{Surface: "chat", Channel: "ops", Thread: "thread-9"}
		if r := o.say(bot.Inbound{Text: "please drain it", Place: thread}); len(r.answers) != 0 {
			t.Errorf("beside the card it answered %+v", r.answers)
		}
		settle(10 * time.Second)
		for _, s := range []command.State{command.Approved, command.Running, command.Done, command.Verified} {
			from := x.State
			x.State = s
			o.ok(o.db.SwapProposal(t.Context(), from, x, event.Event{At: time.Now(), Type: event.ProposalChanged, Proposal: "p1"}))
			settle(time.Second)
		}
		settle(10 * time.Second)
		all := c.all()
		if len(all) != 1 || all[0].place != thread || all[0].edits == 0 {
			t.Fatalf("shown: %+v", all)
		}
		if m := all[0].m; m.Tone.Mark() != "✅" || !strings.HasPrefix(m.Context, "verified") || len(m.Blocks) != 0 {
			t.Errorf("at last: %+v", m)
		}
	})
}

func TestACardThatIsAskedForAgainIsPointedAt(t *testing.T) {
	c := &chat{}
	inOffice(t, c, func(cfg *bot.Config) { cfg.Answerer = proposing("p1") }, func(t *testing.T, o *office) {
		o.propose("p1", command.W2)
		o.say(bot.Inbound{Text: "please drain it"})
		settle(10 * time.Second)
		gist := c.all()[0].m.Gist
		for _, text := range []string{"please drain it", "pending"} {
			r := o.say(bot.Inbound{Text: text})
			if len(r.answers) != 1 || r.answers[0].Footer != "Its card is in this channel already." {
				t.Errorf("%q was answered with %+v", text, r.answers)
			}
			settle(10 * time.Second)
			all := c.all()
			if len(all) != 1 || all[0].m.Gist == gist {
				t.Errorf("a surface that cannot edit has no reason to show it again: %+v", all)
			}
		}
		o.say(bot.Inbound{Text: "please drain it", Place: bot.Place{Surface: "chat", Channel: "elsewhere"}})
		settle(10 * time.Second)
		if len(c.all()) != 2 {
			t.Errorf("another channel was not shown the card")
		}
	})
}

func TestASurfaceThatEndsIsShownItsLastWordsFirst(t *testing.T) {
	left := errors.New("left")
	c := &chat{}
	c.run = func(ctx context.Context, h bot.Handler) error {
		h(ctx, bot.Inbound{ID: "1", Kind: bot.Direct, Person: mia, Place: bot.Place{Surface: "chat", Channel: "ops"}, Text: "please drain it"}, &replies{})
		return left
	}
	var started chan struct{}
	run := c.run
	c.run = func(ctx context.Context, h bot.Handler) error {
		<-started
		return run(ctx, h)
	}
	inOffice(t, c, func(cfg *bot.Config) { started, cfg.Answerer = make(chan struct{}), proposing("p1") }, func(t *testing.T, o *office) {
		o.propose("p1", command.W1)
		close(started)
		settle(5 * time.Second)
		if said := c.said(); len(said) != 1 || !strings.Contains(said[0], "drain node/worker-3") {
			t.Errorf("said %q before it ended", said)
		}
	})
}

func TestABotNeedsItsParts(t *testing.T) {
	if _, err := bot.New(bot.Config{}); err == nil {
		t.Error("a bot without an engine was made")
	}
}

func TestPlacesWithinTheOutboxKeepTheirOrderPerChannel(t *testing.T) {
	c := &chat{}
	inOffice(t, c, nil, func(t *testing.T, o *office) {
		var out []bot.Outgoing
		for n := range 20 {
			for _, channel := range []string{"a", "b"} {
				out = append(out, bot.Outgoing{Key: fmt.Sprint(channel, n), Place: bot.Place{Surface: "chat", Channel: channel}, Body: bodyOf(t, map[string]string{"note": fmt.Sprintf("%02d", n)})})
			}
		}
		o.ok(o.db.Enqueue(t.Context(), "", 0, out...))
		settle(15 * time.Second)
		for _, channel := range []string{"a", "b"} {
			var got []string
			for _, m := range c.all() {
				if m.place.Channel == channel {
					got = append(got, m.m.Title)
				}
			}
			if len(got) != 20 || !slices.IsSorted(got) {
				t.Errorf("%s shows %q", channel, got)
			}
		}
	})
}

func TestWhoAskedForASilenceIsToldOfItsEndInTheirLanguage(t *testing.T) {
	for lang, want := range map[string]string{
		"ja": "thread-0: Mia さんのサイレンスは早く終わりました：重大度が low から high に上がりました。",
		"zh": "thread-0: Mia 的静默提前结束：严重程度从 low 升至 high。",
		"":   "thread-0: The silence of Mia ended early: the severity rose from low to high.",
	} {
		inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
			i := newIncident("INC-1", "checkout is failing")
			o.save(i, event.IncidentOpened, "")
			settle(5 * time.Second)
			told := event.Event{
				At: time.Now(), Type: event.SilenceEnd, Cluster: i.Cluster, Incident: i.ID, Note: "the silence of Mia ended early",
				Data: bodyOf(t, event.SilenceEnded{By: "Mia", ID: "chat:MIA", Lang: lang, Why: "severity", From: "low", To: "high"}),
			}
			o.ok(o.db.SaveIncidents(t.Context(), []*incident.Incident{i}, []event.Event{told}))
			settle(10 * time.Second)
			if d := cmp.Diff([]string{"checkout is failing — prod-eu / shop", want}, o.chat.said()); d != "" {
				t.Error(d)
			}
			if m := o.chat.all()[1].m.Mention; !slices.Equal(m, []string{"MIA"}) {
				t.Errorf("mentioned %q", m)
			}
		})
	}
}
