package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// runSocket serves Socket Mode until ctx ends. socketmode reconnects by itself, also after a "disconnect" and when
// pings stop. What it retries for ever although only a person can mend it, a missing scope, ends the run here.
func (s *Slack) runSocket(ctx context.Context, run *session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := socketmode.New(s.api,
		socketmode.OptionDialer(s.dialer()),
		socketmode.OptionReadLimit(maxBody),
	)
	ended := make(chan error, 1)
	go func() { ended <- client.RunContext(ctx) }()

	var fatal error
	for {
		select {
		case err := <-ended:
			switch {
			case fatal != nil:
				return fatal
			case ctx.Err() != nil:
				return nil
			}
			if f := needsPerson(err, "SLACK_APP_TOKEN"); f != nil {
				err = f
			}
			return fmt.Errorf("slack: socket mode: %w", err)
		case evt := <-client.Events:
			if fatal == nil {
				if fatal = s.socketEvent(ctx, client, evt); fatal != nil {
					cancel()
				}
			}
		}
	}
}

// socketEvent acknowledges one event and starts its answer. The error it returns is one that only a person can mend.
func (s *Slack) socketEvent(ctx context.Context, client *socketmode.Client, evt socketmode.Event) error {
	switch evt.Type {
	case socketmode.EventTypeConnected:
		s.heardSomething()
		s.log.Info("socket mode connected")
		return nil
	case socketmode.EventTypeConnectionError:
		failure, ok := evt.Data.(*slack.ConnectionErrorEvent)
		if !ok {
			return nil
		}
		if f := needsPerson(failure.ErrorObj, "SLACK_APP_TOKEN"); f != nil {
			return fmt.Errorf("slack: socket mode: %w", f)
		}
		if ctx.Err() != nil {
			return nil
		}
		s.log.Warn("socket mode cannot connect, will try again", "err", failure.ErrorObj, "wait", failure.Backoff)
		return nil
	case socketmode.EventTypeErrorBadMessage:
		// The library could not parse it, so it cannot be acknowledged either: Slack will send it again, in vain.
		if bad, ok := evt.Data.(*socketmode.ErrorBadMessage); ok {
			s.log.Warn("socket mode: unreadable message", "err", bad.Cause)
		}
		return nil
	case socketmode.EventTypeEventsAPI, socketmode.EventTypeSlashCommand, socketmode.EventTypeInteractive:
	default:
		return nil
	}

	s.heardSomething()
	if err := client.AckCtx(ctx, evt.Request.EnvelopeID, nil); err != nil {
		// Slack delivers it again, and the core knows the event by its id: answering now as well costs nothing.
		s.log.Warn("socket mode: cannot acknowledge", "err", err)
	}
	payload := evt.Request.Payload
	s.begin(func(run *session) {
		h, err := decodeSocket(evt.Type, payload, run.self)
		if err != nil {
			s.log.Warn("unreadable event", "type", evt.Type, "err", err)
			return
		}
		if h != nil {
			s.answer(run, h)
		}
	})
	return nil
}

func decodeSocket(kind socketmode.EventType, payload json.RawMessage, self identity) (*heard, error) {
	switch kind {
	case socketmode.EventTypeEventsAPI:
		return decodeEvent(payload, self)
	case socketmode.EventTypeSlashCommand:
		var c slack.SlashCommand
		if err := json.Unmarshal(payload, &c); err != nil {
			return nil, fmt.Errorf("decode command: %w", err)
		}
		return decodeCommand(c)
	case socketmode.EventTypeInteractive:
		return decodeInteraction(payload)
	}
	return nil, errors.New("not an event")
}

// dialer stamps LastEvent with everything that is read, so that pings count: an idle workspace sends nothing else.
func (s *Slack) dialer() *websocket.Dialer {
	plain := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &websocket.Dialer{
		Proxy:            http.ProxyFromEnvironment,
		HandshakeTimeout: 10 * time.Second,
		WriteBufferSize:  32 << 10, // an answer must fit one frame: Slack drops those that are split
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := plain.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &stampedConn{Conn: c, stamp: s.heardSomething}, nil
		},
	}
}

type stampedConn struct {
	net.Conn
	stamp func()
}

func (c *stampedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.stamp()
	}
	return n, err
}
