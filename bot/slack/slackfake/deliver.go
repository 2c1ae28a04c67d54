package slackfake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// socket is one Socket Mode connection.
type socket struct {
	conn *websocket.Conn
	mu   sync.Mutex    // guards writes
	done chan struct{} // closed when nothing more is read
}

func (c *socket) send(v any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.WriteJSON(v)
}

func (c *socket) ping() error {
	return c.conn.WriteControl(websocket.PingMessage, []byte("ping"), time.Now().Add(time.Second))
}

func (c *socket) close() { _ = c.conn.Close() }

func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &socket{conn: conn, done: make(chan struct{})}
	defer c.close()
	if c.send(map[string]any{"type": "hello", "num_connections": 1}) != nil || c.ping() != nil {
		return
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.conns = append(s.conns, c)
	s.changedLocked()
	s.mu.Unlock()

	var pings sync.WaitGroup
	pings.Go(func() {
		t := time.NewTicker(s.cfg.PingEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				_ = c.ping()
			case <-c.done:
				return
			}
		}
	})
	for {
		var ack struct {
			EnvelopeID string          `json:"envelope_id"`
			Payload    json.RawMessage `json:"payload"`
		}
		if err := conn.ReadJSON(&ack); err != nil {
			break
		}
		s.mu.Lock()
		if waiting := s.acks[ack.EnvelopeID]; waiting != nil {
			waiting <- ack.Payload
			delete(s.acks, ack.EnvelopeID)
		} else {
			s.faultLocked("acknowledgement of an unknown envelope %q", ack.EnvelopeID)
		}
		s.mu.Unlock()
	}
	close(c.done)
	pings.Wait()
	s.mu.Lock()
	s.conns = slices.DeleteFunc(s.conns, func(o *socket) bool { return o == c })
	s.changedLocked()
	s.mu.Unlock()
}

// Disconnect ends the socket connections: with Slack's notice when politely, as a broken line otherwise.
func (s *Server) Disconnect(politely bool) {
	s.mu.Lock()
	conns := slices.Clone(s.conns)
	s.conns = nil
	s.changedLocked()
	s.mu.Unlock()
	for _, c := range conns {
		if politely {
			_ = c.send(map[string]any{"type": "disconnect", "reason": "refresh_requested"})
		} else {
			c.close()
		}
	}
}

// ErrNotConnected says that the bot is not there to be told.
var ErrNotConnected = errors.New("slackfake: the bot is not connected")

// The kinds of deliveries, as Socket Mode calls them, and their HTTP paths.
const (
	kindEvent       = "events_api"
	kindCommand     = "slash_commands"
	kindInteraction = "interactive"
)

var paths = map[string]string{
	kindEvent: "/slack/events", kindCommand: "/slack/commands", kindInteraction: "/slack/interactions",
}

// deliver sends one event and waits for its acknowledgement as long as Slack does. Missing it is a fault of the bot.
func (s *Server) deliver(kind string, payload map[string]any) error {
	s.mu.Lock()
	base := s.eventsURL
	s.lastSent = func() error { return s.send(base, kind, payload, 1) }
	s.mu.Unlock()
	return s.send(base, kind, payload, 0)
}

// Redeliver sends the last event again, with the same id, as Slack does when it saw no acknowledgement.
func (s *Server) Redeliver() error {
	s.mu.Lock()
	again := s.lastSent
	s.mu.Unlock()
	if again == nil {
		return errors.New("slackfake: nothing was delivered yet")
	}
	return again()
}

func (s *Server) send(base, kind string, payload map[string]any, retry int) error {
	if base != "" {
		return s.sendHTTP(base, kind, payload, retry)
	}
	s.mu.Lock()
	if len(s.conns) == 0 || s.closed {
		s.mu.Unlock()
		return ErrNotConnected
	}
	s.serial++
	c := s.conns[s.serial%len(s.conns)] // Slack spreads events over the connections
	id := s.idLocked("envelope-")
	acked := make(chan json.RawMessage, 1)
	s.acks[id] = acked
	s.mu.Unlock()
	envelope := map[string]any{
		"type": kind, "envelope_id": id, "payload": payload, "accepts_response_payload": kind != kindEvent,
		"retry_attempt": retry, "retry_reason": "",
	}
	err := c.send(envelope)
	if err == nil {
		select {
		case <-acked:
			return nil
		case <-c.done:
			err = ErrNotConnected
		case <-time.After(s.cfg.AckWithin):
			err = fmt.Errorf("slackfake: %s was not acknowledged within %s", kind, s.cfg.AckWithin)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.acks, id)
	if !s.closed && !errors.Is(err, ErrNotConnected) {
		s.faultLocked("%v", err)
	}
	return err
}

func (s *Server) sendHTTP(base, kind string, payload map[string]any, retry int) error {
	encoded, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("slackfake: %w", err)
	}
	body, contentType := string(encoded), "application/json"
	switch kind {
	case kindCommand:
		form := url.Values{}
		for k, v := range payload {
			form.Set(k, fmt.Sprint(v))
		}
		body, contentType = form.Encode(), "application/x-www-form-urlencoded"
	case kindInteraction:
		body, contentType = url.Values{"payload": {string(encoded)}}.Encode(), "application/x-www-form-urlencoded"
	}
	req, err := SignedRequest(base+paths[kind], contentType, body, SigningSecret, time.Now())
	if err != nil {
		return err
	}
	if retry > 0 {
		req.Header.Set("X-Slack-Retry-Num", strconv.Itoa(retry))
		req.Header.Set("X-Slack-Retry-Reason", "http_timeout")
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.AckWithin)
	defer cancel()
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		s.fault("%s was not acknowledged within %s: %v", kind, s.cfg.AckWithin, err)
		return fmt.Errorf("slackfake: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		s.fault("%s was answered with %s", kind, resp.Status)
		return fmt.Errorf("slackfake: %s: %s: %s", kind, resp.Status, bytes.TrimSpace(text))
	}
	return nil
}

// SignedRequest is a delivery with Slack's signature, made at a time with a secret.
func SignedRequest(address, contentType, body, secret string, at time.Time) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodPost, address, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, fmt.Errorf("slackfake: %w", err)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, "v0:"+stamp+":"+body)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("X-Slack-Request-Timestamp", stamp)
	req.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return req, nil
}

// event wraps an event as the Events API does.
func (s *Server) eventLocked(event map[string]any) map[string]any {
	return map[string]any{
		"type": "event_callback", "team_id": Team, "api_app_id": "A0APP",
		"event_id": s.idLocked("Ev"), "event_time": s.cfg.Now().Unix(), "event": event,
	}
}

// echoLocked tells the bot of its own messages, as Slack does: a bot that answers itself would never stop.
func (s *Server) echoLocked(p *post, subtype string) {
	if s.closed || (len(s.conns) == 0 && s.eventsURL == "") {
		return
	}
	event := s.messageEventLocked(p.snapshot())
	if subtype != "" {
		event = map[string]any{
			"type": "message", "subtype": subtype, "channel": p.Channel, "channel_type": channelType(p.Channel),
			"ts": s.tsLocked(), "message": wire(p.snapshot(), false),
		}
	}
	payload, base := s.eventLocked(event), s.eventsURL
	s.work.Go(func() {
		_ = s.send(base, kindEvent, payload, 0) // a missing acknowledgement is noted there
	})
}
