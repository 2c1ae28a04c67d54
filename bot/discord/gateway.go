package discord

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/bwmarrin/discordgo"
	"github.com/gorilla/websocket"
)

// The gateway's close codes that no waiting mends.
const (
	closeBadToken    = 4004
	closeBadIntents  = 4013
	closeDenyIntents = 4014
)

const (
	intents = discordgo.IntentGuilds | discordgo.IntentGuildMessages | discordgo.IntentDirectMessages
	// intentText is for replies in the bot's threads that do not mention it. It must be allowed by a switch.
	intentText = discordgo.IntentMessageContent
)

// settle is how long a lost connection is left alone before the next.
const settle = 250 * time.Millisecond

// runGateway holds the gateway's connection until ctx ends: it opens it, and opens it again whenever it is lost, each
// time resuming the session so that Discord sends what was missed.
func (d *Discord) runGateway(ctx context.Context) error {
	lost := make(chan struct{}, 1)
	removeEvents := d.api.AddHandler(func(_ *discordgo.Session, e *discordgo.Event) {
		d.heardSomething()
		if e.Type == "MESSAGE_CREATE" || e.Type == "INTERACTION_CREATE" {
			d.take(e.Type, e.RawData)
		}
	})
	removeLost := d.api.AddHandler(func(*discordgo.Session, *discordgo.Disconnect) {
		select {
		case lost <- struct{}{}:
		default:
		}
	})
	defer removeEvents()
	defer removeLost()

	line := &line{stamp: d.heardSomething}
	d.api.Dialer = &websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, HandshakeTimeout: 10 * time.Second, NetDialContext: line.dial,
	}
	d.api.Identify.Intents = intents | intentText
	// The library opens without a context and waits without a deadline: cutting the line is what stops it.
	defer context.AfterFunc(ctx, line.cut)()

	wait := time.Second
	for ctx.Err() == nil {
		err := d.api.Open()
		switch {
		case ctx.Err() != nil:
		case err == nil || errors.Is(err, discordgo.ErrWSAlreadyOpen):
			wait = time.Second
			select {
			case <-lost:
				d.log.Info("gateway lost, connecting again")
				// The library's heartbeat of the lost connection may still be about to close "the" connection, whichever
				// that is by then. It gets the time to find none.
				_ = sleep(ctx, settle)
				select {
				case <-lost:
				default:
				}
			case <-ctx.Done():
			}
			continue
		default:
			again, fatal := d.closedBy(err)
			if fatal != nil {
				return fatal
			}
			if again {
				continue
			}
			d.log.Warn("gateway cannot connect, will try again", "err", err, "wait", wait)
			if sleep(ctx, wait) == nil {
				wait = min(2*wait, time.Minute)
			}
		}
	}
	line.cut()
	_ = d.api.Close() // the line is cut: nothing can go wrong any more
	return nil
}

// closedBy looks at why the gateway would not have us: whether to try at once with less, or to give up.
func (d *Discord) closedBy(err error) (again bool, fatal error) {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) {
		return false, nil
	}
	switch closed.Code {
	case closeBadToken:
		return false, fmt.Errorf("discord: gateway: %w: %s", err, tokenRemedy)
	case closeBadIntents, closeDenyIntents:
		if d.api.Identify.Intents&intentText == 0 {
			return false, fmt.Errorf("discord: gateway: %w: allow the bot's intents under Bot", err)
		}
		d.api.Identify.Intents = intents
		d.log.Warn("replies in threads must mention the bot, until Message Content Intent is switched on under Bot")
		return true, nil
	}
	return false, nil
}

// line is the gateway's connection, which can be cut from outside, and stamps when something was read.
type line struct {
	stamp func()

	mu   sync.Mutex // guards what follows
	conn net.Conn
	gone bool
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	l.conn = conn
	return &stampedConn{Conn: conn, stamp: l.stamp}, nil
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	if l.conn != nil {
		_ = l.conn.Close()
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
