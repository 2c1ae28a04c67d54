package slackfake

import (
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"
)

// app is what a manifest says of the app, as far as people meet it.
type app struct {
	Features struct {
		Home struct {
			On bool `json:"home_tab_enabled"`
		} `json:"app_home"`
		Shortcuts []shortcut `json:"shortcuts"`
	} `json:"features"`
	Settings struct {
		Subscriptions struct {
			Events []string `json:"bot_events"`
		} `json:"event_subscriptions"`
	} `json:"settings"`
}

type shortcut struct {
	Name        string `json:"name"`
	Type        string `json:"type"` // global, or message
	Callback    string `json:"callback_id"`
	Description string `json:"description"`
}

// Install makes the app what a manifest says: whether it has a home, and which shortcuts. Without it the app has neither.
func (s *Server) Install(manifest []byte) error {
	var a app
	if err := yaml.Unmarshal(manifest, &a); err != nil {
		return fmt.Errorf("slackfake: invalid_manifest: %w", err)
	}
	if n := len(a.Features.Shortcuts); n > maxShortcuts {
		return fmt.Errorf("slackfake: invalid_manifest: %d shortcuts, at most %d", n, maxShortcuts)
	}
	callbacks := map[string]bool{}
	for _, x := range a.Features.Shortcuts {
		switch {
		case x.Type != "global" && x.Type != "message":
			return fmt.Errorf("slackfake: invalid_manifest: a shortcut is of the type global or message, not %q", x.Type)
		case x.Name == "" || runes(x.Name) > maxShortcutName:
			return fmt.Errorf("slackfake: invalid_manifest: a shortcut's name has 1 to %d characters", maxShortcutName)
		case x.Description == "" || runes(x.Description) > maxShortcutWords:
			return fmt.Errorf("slackfake: invalid_manifest: a shortcut's description has 1 to %d characters", maxShortcutWords)
		case x.Callback == "" || runes(x.Callback) > maxID:
			return fmt.Errorf("slackfake: invalid_manifest: a callback_id has 1 to %d characters", maxID)
		case callbacks[x.Callback]:
			return fmt.Errorf("slackfake: invalid_manifest: the callback_id %s is used twice", x.Callback)
		}
		callbacks[x.Callback] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.app = a
	return nil
}

func (s *Server) viewsPublish(a args) (map[string]any, *refusal) {
	user, view := a.get("user_id"), object(a.json["view"])
	if _, ok := s.users[user]; !ok {
		return nil, &refusal{"user_not_found", user}
	}
	if !s.app.Features.Home.On {
		return nil, &refusal{"not_enabled", "the home tab is off"}
	}
	if refused := checkView(view, "home"); refused != nil {
		return nil, refused
	}
	now := s.homes[user]
	if hash := a.get("hash"); hash != "" && (now == nil || now.hash != hash) {
		return nil, &refusal{"hash_conflict", "the view was published anew meanwhile"}
	}
	v := &View{ID: s.idLocked("V"), User: user, raw: view, hash: s.idLocked("hash.")}
	if now != nil {
		v.ID, v.Published = now.ID, now.Published
	}
	v.Published++
	s.homes[user] = v
	return map[string]any{"view": map[string]any{"id": v.ID, "type": "home", "hash": v.hash}}, nil
}

// OpenHome opens the app's home. Slack tells an app that asked for it, at each look at any of its tabs.
func (s *Server) OpenHome(user string) error { return s.openTab(user, "home") }

// OpenMessages opens the tab with the direct messages.
func (s *Server) OpenMessages(user string) error { return s.openTab(user, "messages") }

func (s *Server) openTab(user, tab string) error {
	s.mu.Lock()
	if tab == "home" && !s.app.Features.Home.On {
		s.mu.Unlock()
		return errors.New("slackfake: the app has no home tab")
	}
	if !slices.Contains(s.app.Settings.Subscriptions.Events, "app_home_opened") {
		s.mu.Unlock()
		return nil
	}
	event := map[string]any{"type": "app_home_opened", "user": user, "channel": s.directLocked(user), "tab": tab, "event_ts": s.tsLocked()}
	if v := s.homes[user]; v != nil && tab == "home" {
		event["view"] = v.wire("home")
	}
	payload := s.eventLocked(event)
	s.mu.Unlock()
	return s.deliver(kindEvent, payload)
}

// Home is what the app's home shows a person now. Its Blocks are those of a message.
func (s *Server) Home(user string) (home Message, published int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.homes[user]
	if v == nil {
		return Message{}, 0
	}
	return Message{Only: user, User: BotUser, Blocks: array(v.raw, "blocks")}, v.Published
}

// ClickHome presses the button with this label on a person's home, or takes the option of a menu.
func (s *Server) ClickHome(user, label string) error {
	home, _ := s.Home(user)
	var action map[string]any
	for _, b := range home.Buttons() {
		if b.Label == label && action == nil {
			action = map[string]any{"type": "button", "action_id": b.ActionID, "value": b.Value, "text": map[string]any{"type": "plain_text", "text": b.Label}}
		}
	}
	for _, o := range home.Options() {
		if o.Label == label && action == nil {
			action = map[string]any{
				"type": "static_select", "action_id": o.ActionID,
				"selected_option": map[string]any{"text": map[string]any{"type": "plain_text", "text": o.Label}, "value": o.Value},
			}
		}
	}
	if action == nil {
		return fmt.Errorf("slackfake: the home has no button %q:\n%s", label, home.Text())
	}
	s.mu.Lock()
	action["block_id"], action["action_ts"] = "b1", s.tsLocked()
	payload := s.interactionLocked("block_actions", user)
	v := s.homes[user]
	payload["container"], payload["view"] = map[string]any{"type": "view", "view_id": v.ID}, v.wire("home")
	payload["actions"] = []any{action}
	s.mu.Unlock()
	return s.deliver(kindInteraction, payload)
}

// Shortcut takes one of the app's global shortcuts by its name.
func (s *Server) Shortcut(user, name string) error {
	s.mu.Lock()
	x, err := s.shortcutLocked("global", name)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	payload := s.interactionLocked("shortcut", user)
	payload["callback_id"], payload["action_ts"] = x.Callback, s.tsLocked()
	s.mu.Unlock()
	return s.deliver(kindInteraction, payload)
}

// Point takes one of the app's shortcuts on a message by its name. It can be taken on any message that a person sees, in places
// where the bot is not.
func (s *Server) Point(user string, m Message, name string) error {
	s.mu.Lock()
	x, err := s.shortcutLocked("message", name)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	payload := s.interactionLocked("message_action", user)
	payload["callback_id"], payload["action_ts"] = x.Callback, s.tsLocked()
	payload["channel"] = map[string]any{"id": m.Channel, "name": s.channels[m.Channel].Name}
	payload["message_ts"], payload["message"] = m.TS, wire(m, false)
	payload["response_url"] = s.responseLocked(m.Channel, m.Thread, user)
	s.mu.Unlock()
	return s.deliver(kindInteraction, payload)
}

func (s *Server) shortcutLocked(kind, name string) (shortcut, error) {
	at := slices.IndexFunc(s.app.Features.Shortcuts, func(x shortcut) bool { return x.Type == kind && x.Name == name })
	if at < 0 {
		return shortcut{}, fmt.Errorf("slackfake: the app has no %s shortcut %q", kind, name)
	}
	return s.app.Features.Shortcuts[at], nil
}

// interactionLocked is what all interactions say.
func (s *Server) interactionLocked(kind, user string) map[string]any {
	u := s.users[user]
	return map[string]any{
		"type": kind, "team": map[string]any{"id": Team}, "trigger_id": s.triggerLocked(user),
		"user": map[string]any{"id": user, "name": u.Name, "team_id": u.Team},
	}
}

func (v View) wire(kind string) map[string]any {
	return map[string]any{"id": v.ID, "type": kind, "hash": v.hash, "callback_id": str(v.raw, "callback_id"), "private_metadata": str(v.raw, "private_metadata")}
}
