package slackfake

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// View is an open modal, or what a home shows.
type View struct {
	ID, User  string
	Published int // how often a home was
	hash      string
	raw       map[string]any
}

// Text is the modal's title, labels and hints.
func (v View) Text() string {
	lines := []string{textOf(v.raw["title"])}
	for _, b := range array(v.raw, "blocks") {
		lines = append(lines, blockText(b))
		for _, o := range array(object(object(b)["element"]), "options") {
			lines = append(lines, "  "+textOf(object(o)["text"]))
		}
		if hint := textOf(object(b)["hint"]); hint != "" {
			lines = append(lines, hint)
		}
	}
	return strings.Join(lines, "\n")
}

// Slash types a slash command in a channel.
func (s *Server) Slash(user, channel, command, text string) error {
	s.mu.Lock()
	r := s.responseLocked(channel, "", user)
	payload := map[string]any{
		"team_id": s.users[user].Team, "team_domain": "home", "channel_id": channel, "channel_name": s.channels[channel].Name,
		"user_id": user, "user_name": s.users[user].Name, "command": command, "text": s.referLocked(escape(text)),
		"trigger_id": s.triggerLocked(user), "response_url": r, "api_app_id": "A0APP",
	}
	s.mu.Unlock()
	return s.deliver(kindCommand, payload)
}

// referLocked turns "@Ken" into the reference that Slack sends: for a
// slash command whose manifest says should_escape.
func (s *Server) referLocked(text string) string {
	for _, u := range s.users {
		ref := "<@" + u.ID + "|" + strings.ToLower(u.Name) + ">"
		text = regexp.MustCompile(`@`+regexp.QuoteMeta(u.Name)+`\b`).ReplaceAllLiteralString(text, ref)
	}
	return text
}

// Mention writes a message that names the bot. As in life, the bot hears of it twice: as a mention, and as a message.
func (s *Server) Mention(user, channel, text string) (Message, error) {
	return s.say(user, channel, "", "<@"+BotUser+"> "+escape(text))
}

// MentionIn is Mention within a thread.
func (s *Server) MentionIn(user, channel, thread, text string) (Message, error) {
	return s.say(user, channel, thread, "<@"+BotUser+"> "+escape(text))
}

// Direct writes to the bot alone. The channel is in the message that it returns.
func (s *Server) Direct(user, text string) (Message, error) {
	s.mu.Lock()
	channel := s.directLocked(user)
	s.mu.Unlock()
	return s.say(user, channel, "", escape(text))
}

// directLocked is the channel of the direct messages between a person and the bot.
func (s *Server) directLocked(user string) string {
	channel := "D" + strings.TrimPrefix(user, "U")
	if _, ok := s.channels[channel]; !ok {
		s.channels[channel] = Channel{ID: channel}
	}
	return channel
}

// Reply writes in a thread.
func (s *Server) Reply(user, channel, thread, text string) (Message, error) {
	return s.say(user, channel, thread, escape(text))
}

// Say writes in a channel, to nobody in particular.
func (s *Server) Say(user, channel, text string) (Message, error) {
	return s.say(user, channel, "", escape(text))
}

func (s *Server) say(user, channel, thread, raw string) (Message, error) {
	s.mu.Lock()
	c, ok := s.channels[channel]
	if !ok {
		s.mu.Unlock()
		return Message{}, fmt.Errorf("slackfake: no channel %s", channel)
	}
	if thread != "" && s.findLocked(channel, thread) == nil {
		s.mu.Unlock()
		return Message{}, fmt.Errorf("slackfake: no thread %s in %s", thread, channel)
	}
	p := s.addLocked(Message{Channel: channel, Thread: s.rootLocked(channel, thread), User: user, Fallback: raw})
	m := p.snapshot()
	var payloads []map[string]any
	if !c.Outside {
		if !strings.HasPrefix(channel, "D") && strings.Contains(raw, "<@"+BotUser+">") {
			mention := s.messageEventLocked(m)
			mention["type"] = "app_mention"
			delete(mention, "channel_type")
			payloads = append(payloads, s.eventLocked(mention))
		}
		payloads = append(payloads, s.eventLocked(s.messageEventLocked(m)))
	}
	s.mu.Unlock()
	for _, payload := range payloads {
		if err := s.deliver(kindEvent, payload); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (s *Server) messageEventLocked(m Message) map[string]any {
	event := wire(m, false)
	event["channel"], event["channel_type"], event["event_ts"] = m.Channel, channelType(m.Channel), m.TS
	if u := s.users[m.User]; u.Team != Team {
		event["user_team"], event["source_team"] = u.Team, u.Team
	}
	if root := s.findLocked(m.Channel, m.Thread); root != nil && m.Thread != m.TS {
		event["parent_user_id"] = root.User
	}
	return event
}

func channelType(channel string) string {
	if strings.HasPrefix(channel, "D") {
		return "im"
	}
	return "channel"
}

// Click presses the button with this label on the message as it is now. It fails when there is no such button, as a
// person would.
func (s *Server) Click(user string, m Message, label string) error {
	return s.act(user, m, func(now Message) (map[string]any, error) {
		for _, b := range now.Buttons() {
			if b.Label == label {
				return map[string]any{
					"type": "button", "action_id": b.ActionID, "value": b.Value, "text": map[string]any{"type": "plain_text", "text": b.Label},
				}, nil
			}
		}
		return nil, fmt.Errorf("slackfake: the message has no button %q:\n%s", label, now.Text())
	})
}

// Choose takes the option with this label from a menu on the message as it is now.
func (s *Server) Choose(user string, m Message, label string) error {
	return s.act(user, m, func(now Message) (map[string]any, error) {
		for _, o := range now.Options() {
			if o.Label == label {
				return map[string]any{
					"type": "static_select", "action_id": o.ActionID,
					"selected_option": map[string]any{"text": map[string]any{"type": "plain_text", "text": o.Label}, "value": o.Value},
				}, nil
			}
		}
		return nil, fmt.Errorf("slackfake: no menu of the message has %q:\n%s", label, now.Text())
	})
}

// act tells the bot of what a person did with a part of a message.
func (s *Server) act(user string, m Message, part func(now Message) (map[string]any, error)) error {
	s.mu.Lock()
	var p *post
	for _, candidate := range s.log {
		if candidate.Channel == m.Channel && candidate.TS == m.TS && !candidate.deleted {
			p = candidate
		}
	}
	if p == nil || p.Only != "" && p.Only != user {
		s.mu.Unlock()
		return fmt.Errorf("slackfake: %s sees no message %s in %s", user, m.TS, m.Channel)
	}
	now := p.snapshot()
	action, err := part(now)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	action["block_id"], action["action_ts"] = "b1", s.tsLocked()
	container := map[string]any{
		"type": "message", "message_ts": now.TS, "channel_id": now.Channel, "is_ephemeral": now.Only != "",
	}
	if now.Thread != "" {
		container["thread_ts"] = now.Thread
	}
	u := s.users[user]
	payload := map[string]any{
		"type":       "block_actions",
		"team":       map[string]any{"id": Team},
		"user":       map[string]any{"id": user, "name": u.Name, "team_id": u.Team},
		"trigger_id": s.triggerLocked(user), "response_url": s.responseLocked(now.Channel, now.Thread, user),
		"container": container,
		"channel":   map[string]any{"id": now.Channel},
		"actions":   []any{action},
	}
	if now.Only == "" {
		payload["message"] = wire(now, false)
	} else {
		s.replies[payload["response_url"].(string)[len(s.http.URL+"/response/"):]].last = p
	}
	s.mu.Unlock()
	return s.deliver(kindInteraction, payload)
}

// View is the modal that a person has open.
func (s *Server) View(user string) (View, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.views {
		if v.User == user {
			return v, true
		}
	}
	return View{}, false
}

// Submit fills in the modal's inputs by their block ids and sends it off. What is not given stays as it stands there, and
// Slack lets nobody leave a needed input empty, or choose what is no option.
func (s *Server) Submit(user string, view View, fields map[string]string) error {
	s.mu.Lock()
	v, ok := s.views[view.ID]
	if !ok || v.User != user {
		s.mu.Unlock()
		return fmt.Errorf("slackfake: %s has no such modal open", user)
	}
	values, err := v.fill(fields)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	delete(s.views, view.ID)
	u := s.users[user]
	payload := map[string]any{
		"type":       "view_submission",
		"team":       map[string]any{"id": Team},
		"user":       map[string]any{"id": user, "name": u.Name, "team_id": u.Team},
		"trigger_id": s.triggerLocked(user),
		"view": map[string]any{
			"id": v.ID, "type": "modal", "callback_id": str(v.raw, "callback_id"),
			"private_metadata": str(v.raw, "private_metadata"), "state": map[string]any{"values": values},
		},
	}
	s.mu.Unlock()
	return s.deliver(kindInteraction, payload)
}

// fill gives the state of the modal's inputs.
func (v View) fill(fields map[string]string) (map[string]any, error) {
	values, left := map[string]any{}, maps.Clone(fields)
	for _, b := range array(v.raw, "blocks") {
		block := object(b)
		if str(block, "type") != "input" {
			continue
		}
		id, element := str(block, "block_id"), object(block["element"])
		text, given := left[id]
		delete(left, id)
		state := map[string]any{"type": str(element, "type")}
		switch str(element, "type") {
		case "static_select":
			if !given {
				text = str(object(element["initial_option"]), "value")
			}
			for _, o := range array(element, "options") {
				if str(object(o), "value") == text {
					state["selected_option"] = o
				}
			}
			if state["selected_option"] == nil && text != "" {
				return nil, fmt.Errorf("slackfake: %q is no option of %s", text, id)
			}
		default:
			if !given {
				text = str(element, "initial_value")
			}
			if limit, _ := element["max_length"].(float64); limit > 0 && runes(text) > int(limit) {
				return nil, fmt.Errorf("slackfake: %s takes no more than %v characters", id, limit)
			}
			state["value"] = text
		}
		if optional, _ := block["optional"].(bool); text == "" && !optional {
			return nil, fmt.Errorf("slackfake: %s must be filled in", id)
		}
		values[id] = map[string]any{str(element, "action_id"): state}
	}
	for id := range left {
		return nil, fmt.Errorf("slackfake: the modal has no input %q", id)
	}
	return values, nil
}

// response is a response URL: for whom, and how often it was used.
type response struct {
	channel, thread, user string
	at                    time.Time
	uses                  int
	last                  *post // what it showed the person, which it can replace
}

// Slack's limits of a response URL.
const (
	responseUses = 5
	responseAge  = 30 * time.Minute
)

func (s *Server) responseLocked(channel, thread, user string) string {
	id := s.idLocked("R")
	s.replies[id] = &response{channel: channel, thread: thread, user: user, at: s.cfg.Now()}
	return s.http.URL + "/response/" + id
}

func (s *Server) serveResponse(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall)).Decode(&body); err != nil {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls["response_url"]++
	resp := s.replies[r.PathValue("id")]
	switch {
	case s.outage:
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
		return
	case resp == nil:
		http.Error(w, "no_such_url", http.StatusNotFound)
		return
	case s.cfg.Now().Sub(resp.at) > responseAge:
		http.Error(w, "expired_url", http.StatusNotFound)
		return
	case resp.uses >= responseUses:
		s.faultLocked("response_url: used more than %d times", responseUses)
		http.Error(w, "used_url", http.StatusNotFound)
		return
	}
	text, blocks, _, refused := contentLocked(args{json: body})
	if refused != nil {
		s.faultLocked("response_url: %s: %s", refused.code, refused.detail)
		writeJSON(w, map[string]any{"ok": false, "error": refused.code})
		return
	}
	resp.uses++
	replace, _ := body["replace_original"].(bool)
	remove, _ := body["delete_original"].(bool)
	switch {
	case remove:
		if resp.last != nil {
			resp.last.deleted = true
		}
	case replace && resp.last != nil:
		resp.last.Fallback, resp.last.Blocks = text, blocks
		resp.last.Edits++
	default:
		m := Message{Channel: resp.channel, Thread: resp.thread, User: BotUser, Fallback: text, Blocks: blocks, Only: resp.user}
		if str(body, "response_type") == "in_channel" {
			m.Only = ""
		}
		p := s.addLocked(m)
		if m.Only != "" {
			resp.last = p
		}
	}
	s.changedLocked()
	_, _ = w.Write([]byte("ok"))
}
