package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// ChatConfig is what the terminal chat against a running engine needs.
type ChatConfig struct {
	Client       ChatServiceClient
	In           io.Reader
	Out          io.Writer
	Lang         string
	Conversation string
	Logger       *slog.Logger
}

const (
	retry    = time.Second     // between two attempts to reach the engine
	deaf     = 3 * pulse       // a stream that is silent for so long is broken
	cardSoon = 2 * time.Second // how long a card may take that stands for an answer
)

// chatter is a running Chat.
type chatter struct {
	ChatConfig
	terminal *terminal.Terminal
	shown    chan struct{} // capacity 1: the watch has shown something
}

// Chat runs the terminal until the person leaves. The terminal is the same as that of `up`; what is typed travels to
// the engine, and what the engine tells is shown. It returns an error when the engine does not know the token.
func Chat(ctx context.Context, cfg ChatConfig) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &chatter{ChatConfig: cfg, shown: make(chan struct{}, 1), terminal: terminal.New(terminal.Config{
		In: cfg.In, Out: cfg.Out, Lang: cfg.Lang, Greeting: phrase.For(cfg.Lang).Sprintf("Connected. Ask in plain words (what is wrong?), or type help. Leave with exit.") + "\n",
	})}
	group, ctx := errgroup.WithContext(ctx)
	stream, err := c.watch(ctx) // fails at once when the engine is not there or the token is wrong
	if err != nil {
		return err
	}
	group.Go(func() error { return c.follow(ctx, stream) })
	group.Go(func() error {
		return c.terminal.Run(ctx, func(ctx context.Context, in bot.Inbound, r bot.Responder) {
			if err := c.say(ctx, in, r); err != nil && ctx.Err() == nil {
				c.terminal.Echo(phrase.For(c.Lang).Sprintf("The engine did not answer: %s. Try again.", connect.CodeOf(err)))
				c.Logger.Error("not said", "err", err)
			}
		})
	})
	return group.Wait()
}

// watching is a stream that ends by itself when the engine falls silent.
type watching struct {
	*connect.ServerStreamForClient[WatchResponse]
	alarm *time.Timer
	end   context.CancelFunc
}

func (w *watching) Receive() bool {
	ok := w.ServerStreamForClient.Receive()
	w.alarm.Reset(deaf)
	return ok
}

func (w *watching) close() {
	w.alarm.Stop()
	w.end()
	_ = w.Close() // its error is that of Receive
}

// watch opens the stream and waits until it stands.
func (c *chatter) watch(ctx context.Context) (*watching, error) {
	ctx, cancel := context.WithCancel(ctx)
	alarm := time.AfterFunc(deaf, cancel)
	stream, err := c.Client.Watch(ctx, connect.NewRequest(&WatchRequest{Conversation: c.Conversation}))
	if err != nil {
		alarm.Stop()
		cancel()
		return nil, err
	}
	w := &watching{stream, alarm, cancel}
	if !w.Receive() {
		err := w.Err()
		w.close()
		if err == nil {
			err = connect.NewError(connect.CodeUnavailable, errors.New("the engine ended the connection"))
		}
		return nil, err
	}
	return w, nil
}

// follow shows what the engine tells by itself, and connects again when the stream breaks.
func (c *chatter) follow(ctx context.Context, stream *watching) error {
	told := false // that the engine is away
	for {
		if stream != nil {
			for stream.Receive() {
				c.show(ctx, stream.Msg())
			}
			err := stream.Err()
			stream.close()
			if ctx.Err() != nil {
				return nil
			}
			c.Logger.Warn("stream broken", "err", err)
			if !told && connect.CodeOf(err) != connect.CodeAborted {
				c.terminal.Echo(phrase.For(c.Lang).Sprintf("The engine is not reached; trying again until it is."))
				told = true
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
		var err error
		stream, err = c.watch(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case connect.CodeOf(err) == connect.CodeUnauthenticated && err != nil:
			return err // the token was taken away
		case err != nil:
			c.Logger.Debug("engine not reached", "err", err)
		case told:
			c.terminal.Echo(phrase.For(c.Lang).Sprintf("Connected again."))
			told = false
		}
	}
}

func (c *chatter) show(ctx context.Context, w *WatchResponse) {
	if len(w.GetMessage()) == 0 {
		return
	}
	var m message.Message
	err := json.Unmarshal(w.GetMessage(), &m)
	if err == nil {
		_, err = c.terminal.Post(ctx, bot.Place{Thread: w.GetThread()}, m, w.GetKey(), "")
	}
	if err != nil {
		c.Logger.Error("message not shown", "key", w.GetKey(), "err", err)
		c.terminal.Echo(phrase.For(c.Lang).Sprintf("The engine told something that this version cannot show; it may be older than the engine."))
	}
	select {
	case c.shown <- struct{}{}:
	default:
	}
}

func (c *chatter) say(ctx context.Context, in bot.Inbound, r bot.Responder) error {
	select { // what was shown before is no answer
	case <-c.shown:
	default:
	}
	stream, err := c.Client.Say(ctx, connect.NewRequest(&SayRequest{
		Id: in.ID, Text: in.Text, Action: in.Action, Subject: in.Subject, Submit: in.Kind == bot.Submit, Values: in.Values, Lang: in.Lang, Conversation: c.Conversation,
	}))
	if err != nil {
		return err
	}
	var errs []error
	answered := false
	for stream.Receive() {
		switch x := stream.Msg().GetWhat().(type) {
		case *SayResponse_Working:
			errs = append(errs, r.Working(ctx, x.Working))
		case *SayResponse_Message:
			answered = true
			var m message.Message
			if err := json.Unmarshal(x.Message, &m); err != nil {
				_ = stream.Close() // the rest is not understood either
				return fmt.Errorf("read the engine's answer: %w", err)
			}
			errs = append(errs, r.Answer(ctx, m))
		case *SayResponse_Prompt:
			answered = true
			errs = append(errs, r.Ask(ctx, promptOf(x.Prompt)))
		}
	}
	if err := errors.Join(append(errs, stream.Err(), stream.Close())...); err != nil || answered {
		return err
	}
	select { // a card answers, and comes by the other stream: who speaks through a pipe must not leave before it
	case <-c.shown:
	case <-time.After(cardSoon):
	case <-ctx.Done():
	}
	return nil
}
