package discordfake

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// gateway is one connection.
type gateway struct {
	conn *websocket.Conn
	mu   sync.Mutex // guards writes
}

func (g *gateway) send(v any) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conn.WriteJSON(v)
}

func (g *gateway) refuse(code int, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(time.Second))
}

// intentText is the Message Content Intent.
const intentText = 1 << 15

func (s *Server) serveGateway(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	g := &gateway{conn: conn}
	if g.send(map[string]any{"op": 10, "d": map[string]any{"heartbeat_interval": 10_000}}) != nil {
		return
	}
	for {
		var p struct {
			Op int `json:"op"`
			D  struct {
				Token   string `json:"token"`
				Intents int    `json:"intents"`
				Seq     int    `json:"seq"`
			} `json:"d"`
		}
		_, raw, err := conn.ReadMessage()
		if err != nil {
			break
		}
		_ = json.Unmarshal(raw, &p) // a heartbeat's d is a number: the rest is read all the same
		switch p.Op {
		case 1:
			_ = g.send(map[string]any{"op": 11})
		case 2, 6:
			s.mu.Lock()
			revoked := s.revoked
			s.mu.Unlock()
			switch {
			case revoked || p.D.Token != "Bot "+BotToken:
				g.refuse(4004, "Authentication failed.")
				return
			case s.cfg.NoContentIntent && p.D.Intents&intentText != 0:
				g.refuse(4014, "Disallowed intent(s).")
				return
			}
			s.mu.Lock()
			s.welcomeLocked(g, p.Op == 6, p.D.Seq)
			s.mu.Unlock()
		}
	}
	s.mu.Lock()
	s.conns = slices.DeleteFunc(s.conns, func(o *gateway) bool { return o == g })
	s.changedLocked()
	s.mu.Unlock()
}

// welcomeLocked begins a session, or resumes it: then with what was missed.
func (s *Server) welcomeLocked(g *gateway, resume bool, seq int) {
	if s.closed {
		return
	}
	last := map[string]any{"op": 0, "t": "READY", "d": map[string]any{
		"v": 9, "session_id": "session", "user": map[string]any{"id": BotUser, "username": "atlhyper"}, "guilds": []any{},
	}}
	if resume {
		last = map[string]any{"op": 0, "t": "RESUMED", "d": map[string]any{}}
		for _, e := range s.events {
			if e["s"].(int) > seq && g.send(e) != nil {
				return
			}
		}
	}
	s.seq++
	last["s"] = s.seq
	if g.send(last) == nil {
		s.conns = append(s.conns, g)
	}
	s.welcomed = true
	s.changedLocked()
}

// Disconnect ends the gateway connections: with a request to come back when politely, as a broken line otherwise.
func (s *Server) Disconnect(politely bool) {
	s.mu.Lock()
	conns := slices.Clone(s.conns)
	s.conns = nil
	s.changedLocked()
	s.mu.Unlock()
	for _, c := range conns {
		if politely {
			_ = c.send(map[string]any{"op": 7, "d": nil})
		} else {
			_ = c.conn.Close()
		}
	}
}

// ErrNotConnected says that the bot is not there to be told.
var ErrNotConnected = errors.New("discordfake: the bot is not connected")

// dispatchLocked sends an event over the gateway. While the line is down, it is kept for when the session resumes.
func (s *Server) dispatchLocked(kind string, event any) error {
	if !s.welcomed {
		return ErrNotConnected
	}
	s.seq++
	e := map[string]any{"op": 0, "t": kind, "s": s.seq, "d": event}
	s.events = append(s.events, e)
	if len(s.conns) > 0 {
		_ = s.conns[len(s.conns)-1].send(e) // a broken line's events follow on resuming
	}
	return nil
}

func (s *Server) dispatch(kind string, event any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastSent = func() error { return s.dispatch(kind, event) }
	return s.dispatchLocked(kind, event)
}

// Redeliver sends the last event again, as a gateway does that resumes.
func (s *Server) Redeliver() error {
	s.mu.Lock()
	again := s.lastSent
	s.mu.Unlock()
	if again == nil {
		return errors.New("discordfake: nothing was delivered yet")
	}
	return again()
}

// interact delivers an interaction the way the application wants it.
func (s *Server) interact(event map[string]any) error {
	s.mu.Lock()
	address := s.httpURL
	s.mu.Unlock()
	if address == "" {
		return s.dispatch("INTERACTION_CREATE", event)
	}
	body, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("discordfake: %w", err)
	}
	status, text, err := s.PostSigned(address, string(body), time.Now())
	if err != nil {
		return err
	}
	if status != http.StatusAccepted && status != http.StatusOK {
		return fmt.Errorf("discordfake: %d: %s", status, text)
	}
	return nil
}

// PostSigned sends a body to the application's interactions address, signed at a time, and gives what it answered.
func (s *Server) PostSigned(address, body string, at time.Time) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.AnswerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", fmt.Errorf("discordfake: %w", err)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Signature-Timestamp", stamp)
	req.Header.Set("X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(s.key, []byte(stamp+body))))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("discordfake: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4000))
	if err != nil {
		return 0, "", fmt.Errorf("discordfake: %w", err)
	}
	return resp.StatusCode, strings.TrimSpace(string(answer)), nil
}
