package slack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

var channel = bot.Place{Surface: "slack", Channel: ops}

// desk is a surface that only posts.
func desk(t *testing.T, cfg slackfake.Config) (*Slack, *slackfake.Server) {
	t.Helper()
	fake := slackfake.New(cfg)
	t.Cleanup(fake.Close)
	return newDesk(t, fake), fake
}

func newDesk(t *testing.T, fake *slackfake.Server) *Slack {
	t.Helper()
	s, err := New(Config{BotToken: slackfake.BotToken, AppToken: slackfake.AppToken, APIURL: fake.URL()})
	ok(t, err)
	return s
}

func TestAPostedMessageIsEditedInPlace(t *testing.T) {
	s, fake := desk(t, slackfake.Config{})
	ctx := t.Context()
	ref, err := s.Post(ctx, channel, message.Message{Tone: message.Incident, Title: "checkout is failing"}, "k1", "INC-1")
	ok(t, err)
	if ref.Thread != ref.Message || ref.Channel != ops || ref.Surface != "slack" {
		t.Errorf("%+v", ref)
	}
	beneath := channel
	beneath.Thread = ref.Thread
	reply, err := s.Post(ctx, beneath, message.Message{Title: "why"}, "k2", "")
	ok(t, err)
	if reply.Thread != ref.Message {
		t.Errorf("%+v", reply)
	}
	ok(t, s.Edit(ctx, ref, message.Message{Tone: message.Resolved, Title: "checkout recovered"}))
	if all := fake.Messages(ops); len(all) != 1 || !strings.Contains(all[0].Text(), "🟢 checkout recovered") {
		t.Errorf("%v", all)
	}
	if thread := fake.Thread(ops, ref.Message); len(thread) != 2 {
		t.Errorf("%v", thread)
	}
	if f := fake.Faults(); f != nil {
		t.Error(f)
	}
}

func TestAPictureStandsInTheThreadAndItsFiguresInTheMessage(t *testing.T) {
	s, fake := desk(t, slackfake.Config{})
	m := message.Message{Title: "payments", Blocks: []message.Block{
		message.Image{Name: "errors", PNG: []byte("\x89PNG…"), Alt: "errors 0.2 % → 31 %"},
	}}
	ref, err := s.Post(t.Context(), channel, m, "k1", "")
	ok(t, err)
	thread := fake.Thread(ops, ref.Message)
	if len(thread) != 2 || len(thread[1].Files) != 1 || thread[1].Files[0].Name != "errors.png" || thread[1].Files[0].Alt != "errors 0.2 % → 31 %" {
		t.Fatalf("%+v", thread)
	}
	if !strings.Contains(thread[0].Text(), "errors 0.2 % → 31 %") {
		t.Error(thread[0].Text())
	}
	fake.Fail("files.completeUploadExternal", "internal_error", 1)
	if _, err := s.Post(t.Context(), channel, m, "k2", ""); err != nil {
		t.Errorf("a lost picture must not fail a delivered message: %v", err)
	}
}

func TestAFileStandsInTheThreadWhole(t *testing.T) {
	s, fake := desk(t, slackfake.Config{})
	text := strings.Repeat("| a | b |\n", 5000)
	ref, err := s.Post(t.Context(), channel, message.Message{Title: "Draft", Blocks: []message.Block{message.File{Name: "INC-1-postmortem.md", Text: text}}}, "k1", "")
	ok(t, err)
	thread := fake.Thread(ops, ref.Message)
	if len(thread) != 2 || len(thread[1].Files) != 1 || thread[1].Files[0].Name != "INC-1-postmortem.md" || string(thread[1].Files[0].Content) != text {
		t.Fatalf("%d messages in the thread", len(thread))
	}
	if !strings.Contains(thread[0].Text(), "INC-1-postmortem.md") {
		t.Error(thread[0].Text())
	}
}

func TestAMessageIsNeverDoubled(t *testing.T) {
	ctx := context.Background()
	count := func(fake *slackfake.Server) (n int) {
		for _, m := range fake.Messages(ops) {
			if strings.Contains(m.Text(), "INC-1") {
				n++
			}
		}
		return n
	}
	m := message.Message{Title: "INC-1"}

	t.Run("when the answer to the first try was lost", func(t *testing.T) {
		s, fake := desk(t, slackfake.Config{})
		fake.Fail("chat.postMessage", slackfake.Lost, 1)
		_, err := s.Post(ctx, channel, m, "k1", "")
		if d := asDelivery(t, err); d.Permanent {
			t.Fatalf("%+v", d)
		}
		ref, err := s.Post(ctx, channel, m, "k1", "")
		ok(t, err)
		if n := count(fake); n != 1 {
			t.Errorf("%d messages", n)
		}
		if _, there := fake.Message(ops, ref.Message); !there {
			t.Errorf("%+v is no message", ref)
		}
	})
	t.Run("when the first try was refused with 500 and did nothing", func(t *testing.T) {
		s, fake := desk(t, slackfake.Config{})
		fake.Fail("chat.postMessage", "500", 1)
		_, err := s.Post(ctx, channel, m, "k1", "")
		asDelivery(t, err)
		_, err = s.Post(ctx, channel, m, "k1", "")
		ok(t, err)
		if n := count(fake); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
	t.Run("when the process died before it noted the delivery", func(t *testing.T) {
		s, fake := desk(t, slackfake.Config{})
		first, err := s.Post(ctx, channel, m, "k1", "")
		ok(t, err)
		again := newDesk(t, fake)
		second, err := again.Post(ctx, channel, m, "k1", "")
		ok(t, err)
		if first != second || count(fake) != 1 {
			t.Errorf("%+v, then %+v; %d messages", first, second, count(fake))
		}
		beneath := bot.Place{Surface: "slack", Channel: ops, Thread: first.Thread}
		reply, err := again.Post(ctx, beneath, message.Message{Title: "why"}, "k2", "")
		ok(t, err)
		third := newDesk(t, fake)
		if ref, err := third.Post(ctx, beneath, message.Message{Title: "why"}, "k2", ""); err != nil || ref != reply {
			t.Errorf("in the thread: %+v, want %+v: %v", ref, reply, err)
		}
	})
	t.Run("when looking for it fails, it waits", func(t *testing.T) {
		s, fake := desk(t, slackfake.Config{})
		fake.Fail("chat.postMessage", slackfake.Lost, 1)
		fake.Fail("conversations.history", "503", 2)
		for range 3 { // the first look is the one after the start
			_, err := s.Post(ctx, channel, m, "k1", "")
			asDelivery(t, err)
		}
		_, err := s.Post(ctx, channel, m, "k1", "")
		ok(t, err)
		if n := count(fake); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
	t.Run("the history is read once a place, not for every message", func(t *testing.T) {
		s, fake := desk(t, slackfake.Config{Burst: -1})
		for i := range 20 {
			_, err := s.Post(ctx, channel, m, fmt.Sprint("k", i), "")
			ok(t, err)
		}
		beneath, err := s.Post(ctx, channel, m, "parent", "INC-1")
		ok(t, err)
		_, err = s.Post(ctx, bot.Place{Surface: "slack", Channel: ops, Thread: beneath.Thread}, m, "reply", "")
		ok(t, err)
		if n, r := fake.Calls("conversations.history"), fake.Calls("conversations.replies"); n != 1 || r != 0 {
			t.Errorf("read %d times, and threads %d times", n, r)
		}
	})
}

func asDelivery(t *testing.T, err error) *bot.DeliveryError {
	t.Helper()
	var d *bot.DeliveryError
	if !errors.As(err, &d) {
		t.Fatalf("%v is no delivery error", err)
	}
	return d
}

func TestFailuresSayWhetherToTryAgainAndWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(*slackfake.Server)
		permanent bool
		after     time.Duration
		remedy    string
	}{
		"an outage":                       {func(f *slackfake.Server) { f.Outage(true) }, false, 0, ""},
		"a 429 that names no time":        {func(f *slackfake.Server) { f.Fail("chat.postMessage", "429", 1) }, false, unheaded429, ""},
		"ratelimited as a code":           {func(f *slackfake.Server) { f.Fail("chat.postMessage", "ratelimited", 1) }, false, unheaded429, ""},
		"an internal error of Slack's":    {func(f *slackfake.Server) { f.Fail("chat.postMessage", "internal_error", 1) }, false, 0, ""},
		"a channel without the bot":       {func(f *slackfake.Server) { f.AddChannel(slackfake.Channel{ID: ops, Outside: true}) }, true, 0, "/invite @atlhyper"},
		"an archived channel":             {func(f *slackfake.Server) { f.AddChannel(slackfake.Channel{ID: ops, Archived: true}) }, true, 0, "unarchive"},
		"a missing scope":                 {func(f *slackfake.Server) { f.DropScope("chat:write") }, true, 0, "add the scope chat:write"},
		"a revoked token":                 {func(f *slackfake.Server) { f.Revoke() }, false, time.Minute, "SLACK_BOT_TOKEN"},
		"a code that nobody has heard of": {func(f *slackfake.Server) { f.Fail("chat.postMessage", "moon_phase", 1) }, true, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, fake := desk(t, slackfake.Config{})
			c.prepare(fake)
			_, err := s.Post(t.Context(), channel, message.Message{Title: "x"}, "k1", "")
			d := asDelivery(t, err)
			if d.Permanent != c.permanent || d.RetryAfter != c.after || !strings.Contains(d.Remedy, c.remedy) {
				t.Errorf("%+v", d)
			}
			if f := fake.Faults(); f != nil {
				t.Error(f)
			}
		})
	}
	t.Run("the rate of a channel", func(t *testing.T) {
		s, _ := desk(t, slackfake.Config{Burst: 2})
		var last error
		for i := range 3 {
			_, last = s.Post(t.Context(), channel, message.Message{Title: "x"}, fmt.Sprint("k", i), "")
		}
		if d := asDelivery(t, last); d.RetryAfter < time.Second || d.Permanent {
			t.Errorf("%+v", d)
		}
	})
	t.Run("an edit of a message that is gone", func(t *testing.T) {
		s, _ := desk(t, slackfake.Config{})
		err := s.Edit(t.Context(), bot.Ref{Channel: ops, Message: "1.000001"}, message.Message{Title: "x"})
		if d := asDelivery(t, err); !d.Permanent {
			t.Errorf("%+v", d)
		}
	})
}

func TestRefusedBlocksGoOutAsPlainText(t *testing.T) {
	s, fake := desk(t, slackfake.Config{})
	m := message.Message{Title: "INC-1", Blocks: []message.Block{message.Facts{Facts: []message.Fact{{Label: "pods", Value: "6 <of> 6"}}}}}
	fake.Fail("chat.postMessage", "invalid_blocks", 1)
	ref, err := s.Post(t.Context(), channel, m, "k1", "")
	ok(t, err)
	got, _ := fake.Message(ops, ref.Message)
	if len(got.Blocks) != 0 || !strings.Contains(got.Text(), "pods: 6 <of> 6") {
		t.Errorf("%+v", got)
	}
	fake.Fail("chat.update", "msg_blocks_too_long", 1)
	ok(t, s.Edit(t.Context(), ref, m))
}

func TestAnAnswerOutlastsAShortOutage(t *testing.T) {
	o := open(t, officeConfig{handle: echo})
	o.Fail("chat.postMessage", slackfake.Lost, 1)
	m := must[slackfake.Message](t)(o.Mention(mia, ops, "there?"))
	o.until(t, func() bool { return o.Calls("conversations.replies") > 0 }) // it looks before it would post again
	o.expect(t, ops, "you said there?")
	ok(t, o.stop())
	if thread := o.Thread(ops, m.TS); len(thread) != 2 {
		t.Errorf("%d messages", len(thread))
	}
}

func TestErrorsOfTheLibraryAreRecognised(t *testing.T) {
	wrapped := fmt.Errorf("post: %w", slack.SlackErrorResponse{Err: "missing_scope", Needed: "files:write", Provided: "chat:write,commands"})
	if d := deliveryError(wrapped); !strings.Contains(d.Remedy, "files:write") || !strings.Contains(d.Remedy, "chat:write, commands") {
		t.Errorf("%+v", d)
	}
	if d := deliveryError(fmt.Errorf("x: %w", &slack.RateLimitedError{RetryAfter: 7 * time.Second})); d.RetryAfter != 7*time.Second {
		t.Errorf("%+v", d)
	}
	if needsPerson(context.Canceled, "T") != nil || needsPerson(nil, "T") != nil {
		t.Error("a cancelled call needs nobody")
	}
}

func TestATextThatIsCutGoesAlongWhole(t *testing.T) {
	fake := slackfake.New(slackfake.Config{Burst: -1})
	defer fake.Close()
	s := newDesk(t, fake)
	logs := strings.Repeat("2026-03-03T02:51:20Z ERROR *x* cannot reach payments-db\n", 300)
	ref, err := s.Post(contextOf(t), channel, message.Message{Title: "logs", Blocks: []message.Block{
		message.Code{Heading: "The last lines", Text: logs}, message.Code{Heading: "short", Text: "all of it"}, message.Code{Heading: "the newest", Text: logs + "end"},
	}}, "k", "")
	ok(t, err)
	var files []slackfake.File
	for _, m := range fake.Thread(ops, ref.Message) {
		files = append(files, m.Files...)
	}
	if len(files) != 2 || string(files[0].Content) != logs || string(files[1].Content) != logs+"end" || files[0].Title != "The last lines" {
		t.Errorf("%d files", len(files))
	}
	if f := fake.Faults(); f != nil {
		t.Error(f)
	}
}
