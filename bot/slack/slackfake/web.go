package slackfake

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// method is one method of the Web API. It runs with the lock held, and returns the answer's fields or a refusal.
type method struct {
	scope string
	run   func(s *Server, a args) (map[string]any, *refusal)
}

// args are a call's arguments, from a form or from JSON.
type args struct {
	form url.Values
	json map[string]any
}

func (a args) get(key string) string {
	if a.json != nil {
		return str(a.json, key)
	}
	return a.form.Get(key)
}

func (a args) has(key string) bool {
	if a.json != nil {
		_, ok := a.json[key]
		return ok
	}
	return a.form.Has(key)
}

var methods = map[string]method{
	"auth.test":             {"", (*Server).authTest},
	"apps.connections.open": {"connections:write", (*Server).connectionsOpen},
	"chat.postMessage":      {"chat:write", (*Server).postMessage},
	"chat.postEphemeral":    {"chat:write", (*Server).postEphemeral},
	"chat.update":           {"chat:write", (*Server).update},
	"chat.delete":           {"chat:write", (*Server).delete},
	"conversations.history": {"channels:history", (*Server).history},
	"conversations.replies": {"channels:history", (*Server).repliesOf},
	"conversations.info":    {"channels:read", (*Server).channelInfo},
	"users.info":            {"users:read", (*Server).userInfo},
	"usergroups.list":       {"usergroups:read", (*Server).userGroups},
	"views.open":            {"", (*Server).viewsOpen},
	"views.publish":         {"", (*Server).viewsPublish},
	"reactions.add":         {"reactions:write", (*Server).react},
	"chat.startStream":      {"chat:write", (*Server).startStream},
	"chat.appendStream":     {"chat:write", (*Server).appendStream},
	"chat.stopStream":       {"chat:write", (*Server).stopStream},

	"assistant.threads.setStatus":           {"chat:write", (*Server).setStatus},
	"assistant.threads.setTitle":            {"assistant:write", (*Server).setTitle},
	"assistant.threads.setSuggestedPrompts": {"assistant:write", (*Server).setPrompts},
	"files.getUploadURLExternal":            {"files:write", (*Server).uploadURL},
	"files.completeUploadExternal":          {"files:write", (*Server).completeUpload},
}

// ordinary are refusals that a correct bot meets in life. Everything else is its fault.
var ordinary = []string{
	"channel_not_found", "not_in_channel", "is_archived", "message_not_found", "user_not_found", "missing_scope",
	"token_revoked", "invalid_auth", "expired_trigger_id", "thread_not_found", "already_reacted",
	"invalid_thread_ts", "message_not_in_streaming_state", "not_enabled", "hash_conflict",
}

// maxCall bounds what is read of one call.
const maxCall = 4 << 20

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("method")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
	if err != nil {
		http.Error(w, "unreadable body", http.StatusBadRequest)
		return
	}
	a := args{form: r.URL.Query()}
	switch {
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		a.json = map[string]any{}
		if len(body) > 0 && json.Unmarshal(body, &a.json) != nil {
			writeJSON(w, map[string]any{"ok": false, "error": "invalid_json"})
			return
		}
	default:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			writeJSON(w, map[string]any{"ok": false, "error": "invalid_form_data"})
			return
		}
		maps.Copy(a.form, form)
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "" {
		token = a.form.Get("token")
	}

	answer, status, retryAfter, lost := s.call(name, token, a)
	if lost {
		// The connection breaks after the work is done: the client cannot know.
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = c.Close()
		}
		return
	}
	w.Header().Set("X-OAuth-Scopes", s.granted())
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	writeJSON(w, answer)
}

// granted lists the bot token's scopes, as Slack does with every answer.
func (s *Server) granted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []string{
		"app_mentions:read", "assistant:write", "channels:history", "channels:read", "chat:write", "commands", "files:write",
		"groups:history", "groups:read", "im:history", "usergroups:read", "users:read", "users:read.email",
	}
	return strings.Join(slices.DeleteFunc(all, func(x string) bool { return s.scopes[x] }), ",")
}

// call runs a method and what was ordered to go wrong with it.
func (s *Server) call(name, token string, a args) (answer map[string]any, status, retryAfter int, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[name]++
	if s.outage {
		return nil, http.StatusServiceUnavailable, 0, false
	}
	if pending := s.failures[name]; len(pending) > 0 {
		s.failures[name] = pending[1:]
		code := pending[0].code
		if code != Lost {
			if n, err := strconv.Atoi(code); err == nil {
				return nil, n, 0, false
			}
			return map[string]any{"ok": false, "error": code}, http.StatusOK, 0, false
		}
		lost = true
	}
	fields, refused := s.runLocked(name, token, a)
	s.changedLocked()
	if refused != nil {
		if refused.code == "ratelimited" {
			n, _ := strconv.Atoi(refused.detail)
			return nil, http.StatusTooManyRequests, n, false
		}
		if !slices.Contains(ordinary, refused.code) {
			s.faultLocked("%s: %s: %s", name, refused.code, refused.detail)
		}
		answer = map[string]any{"ok": false, "error": refused.code}
		if refused.code == "missing_scope" {
			answer["needed"], answer["provided"] = refused.detail, "commands,im:history"
		} else if refused.detail != "" {
			answer["response_metadata"] = map[string]any{"messages": []string{"[ERROR] " + refused.detail}}
		}
		return answer, http.StatusOK, 0, lost
	}
	answer = map[string]any{"ok": true}
	maps.Copy(answer, fields)
	return answer, http.StatusOK, 0, lost
}

func (s *Server) runLocked(name, token string, a args) (map[string]any, *refusal) {
	m, ok := methods[name]
	if !ok {
		return nil, &refusal{"unknown_method", name}
	}
	want := BotToken
	if name == "apps.connections.open" {
		want = AppToken
	}
	switch {
	case s.revoked:
		return nil, &refusal{"token_revoked", ""}
	case token != want:
		return nil, &refusal{"invalid_auth", ""}
	case s.scopes[m.scope]:
		return nil, &refusal{"missing_scope", m.scope}
	}
	return m.run(s, a)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) authTest(args) (map[string]any, *refusal) {
	return map[string]any{
		"url": "https://home.slack.com/", "team": "Home", "user": BotName,
		"team_id": Team, "user_id": BotUser, "bot_id": BotID,
	}, nil
}

func (s *Server) connectionsOpen(args) (map[string]any, *refusal) {
	return map[string]any{"url": "ws" + strings.TrimPrefix(s.http.URL, "http") + "/socket"}, nil
}

// placeLocked checks that the bot may write into a channel and thread.
func (s *Server) placeLocked(channel, thread string) *refusal {
	c, ok := s.channels[channel]
	switch {
	case !ok:
		return &refusal{"channel_not_found", channel}
	case c.Archived:
		return &refusal{"is_archived", channel}
	case c.Outside:
		return &refusal{"not_in_channel", channel}
	case thread != "" && s.findLocked(channel, thread) == nil:
		return &refusal{"thread_not_found", thread}
	}
	return nil
}

// contentLocked reads text, blocks and metadata, and checks them.
func contentLocked(a args) (text string, blocks []any, metadata json.RawMessage, refused *refusal) {
	text = a.get("text")
	if runes(text) > maxText {
		return "", nil, nil, &refusal{"msg_too_long", fmt.Sprintf("%d characters", runes(text))}
	}
	switch {
	case a.json != nil:
		blocks = array(a.json, "blocks")
	case a.get("blocks") != "":
		if err := json.Unmarshal([]byte(a.get("blocks")), &blocks); err != nil {
			return "", nil, nil, &refusal{"invalid_blocks_format", err.Error()}
		}
	}
	if refused := checkBlocks(blocks, false); refused != nil {
		return "", nil, nil, refused
	}
	if raw := a.get("metadata"); raw != "" {
		var m struct {
			EventType    string         `json:"event_type"`
			EventPayload map[string]any `json:"event_payload"`
		}
		if err := json.Unmarshal([]byte(raw), &m); err != nil || m.EventType == "" || m.EventPayload == nil {
			return "", nil, nil, &refusal{"invalid_metadata_format", raw}
		}
		metadata = json.RawMessage(raw)
	}
	return text, blocks, metadata, nil
}

func (s *Server) postMessage(a args) (map[string]any, *refusal) {
	channel, thread := a.get("channel"), a.get("thread_ts")
	if _, ok := s.users[channel]; ok { // what is posted to a person goes to the direct channel with them
		channel = s.directLocked(channel)
	}
	if refused := s.placeLocked(channel, thread); refused != nil {
		return nil, refused
	}
	text, blocks, metadata, refused := contentLocked(a)
	if refused != nil {
		return nil, refused
	}
	if text == "" && len(blocks) == 0 {
		return nil, &refusal{"no_text", ""}
	}
	if text == "" {
		s.faultLocked("chat.postMessage: blocks without a text for notifications")
	}
	if wait := s.takeLocked(channel); wait > 0 {
		return nil, &refusal{"ratelimited", strconv.Itoa(wait)}
	}
	p := s.addLocked(Message{
		Channel: channel, Thread: s.rootLocked(channel, thread), User: BotUser,
		Fallback: text, Blocks: blocks, Metadata: metadata,
	})
	s.echoLocked(p, "")
	return map[string]any{"channel": channel, "ts": p.TS, "message": wire(p.Message, false)}, nil
}

// rootLocked is the first message of the thread that a reply to ts joins: Slack has no threads within threads.
func (s *Server) rootLocked(channel, ts string) string {
	if p := s.findLocked(channel, ts); p != nil && p.Thread != "" {
		return p.Thread
	}
	return ts
}

func (s *Server) addLocked(m Message) *post {
	m.TS = s.tsLocked()
	p := &post{Message: m}
	s.log = append(s.log, p)
	if a := s.assistants[m.Channel+" "+m.Thread]; a != nil && m.User == BotUser {
		a.Status = "" // it is shown until the app says something
	}
	s.changedLocked()
	return p
}

func (s *Server) postEphemeral(a args) (map[string]any, *refusal) {
	channel, thread, user := a.get("channel"), a.get("thread_ts"), a.get("user")
	if refused := s.placeLocked(channel, thread); refused != nil {
		return nil, refused
	}
	if _, ok := s.users[user]; !ok {
		return nil, &refusal{"user_not_in_channel", user}
	}
	text, blocks, _, refused := contentLocked(a)
	if refused != nil {
		return nil, refused
	}
	p := s.addLocked(Message{
		Channel: channel, Thread: thread, User: BotUser, Fallback: text, Blocks: blocks, Only: user,
	})
	return map[string]any{"message_ts": p.TS}, nil
}

func (s *Server) update(a args) (map[string]any, *refusal) {
	p := s.findLocked(a.get("channel"), a.get("ts"))
	if p == nil {
		return nil, &refusal{"message_not_found", a.get("ts")}
	}
	if p.User != BotUser {
		return nil, &refusal{"cant_update_message", a.get("ts")}
	}
	if p.Streaming {
		return nil, &refusal{"streaming_state_conflict", a.get("ts")}
	}
	text, blocks, metadata, refused := contentLocked(a)
	if refused != nil {
		return nil, refused
	}
	p.Fallback = text
	if a.has("blocks") { // without the argument, what the message had stays
		p.Blocks = blocks
	}
	if metadata != nil {
		p.Metadata = metadata
	}
	p.Edits++
	s.echoLocked(p, "message_changed")
	return map[string]any{"channel": p.Channel, "ts": p.TS, "text": text}, nil
}

func (s *Server) delete(a args) (map[string]any, *refusal) {
	p := s.findLocked(a.get("channel"), a.get("ts"))
	if p == nil {
		return nil, &refusal{"message_not_found", a.get("ts")}
	}
	if p.User != BotUser {
		return nil, &refusal{"cant_delete_message", a.get("ts")}
	}
	p.deleted = true
	return map[string]any{"channel": p.Channel, "ts": p.TS}, nil
}

// wire is a message in the form of events and histories.
func wire(m Message, metadata bool) map[string]any {
	out := map[string]any{"type": "message", "user": m.User, "text": m.Fallback, "ts": m.TS}
	if m.User == BotUser {
		out["bot_id"] = BotID
	}
	if m.Thread != "" {
		out["thread_ts"] = m.Thread
	}
	if len(m.Blocks) > 0 {
		out["blocks"] = m.Blocks
	}
	if len(m.Attachments) > 0 {
		out["attachments"] = m.Attachments
	}
	if m.Edits > 0 {
		out["edited"] = map[string]any{"user": m.User, "ts": m.TS}
	}
	if metadata && m.Metadata != nil {
		out["metadata"] = m.Metadata
	}
	return out
}

func (s *Server) history(a args) (map[string]any, *refusal) {
	c, ok := s.channels[a.get("channel")]
	if !ok {
		return nil, &refusal{"channel_not_found", ""}
	}
	if c.Outside {
		return nil, &refusal{"not_in_channel", ""}
	}
	var out []any
	limit := limitOf(a)
	for _, p := range slices.Backward(s.log) { // newest first
		if p.Channel == c.ID && !p.deleted && p.Only == "" && (p.Thread == "" || p.Thread == p.TS) && len(out) < limit {
			out = append(out, wire(p.Message, a.get("include_all_metadata") != ""))
		}
	}
	return map[string]any{"messages": out, "has_more": false}, nil
}

func (s *Server) repliesOf(a args) (map[string]any, *refusal) {
	channel, ts := a.get("channel"), a.get("ts")
	if s.findLocked(channel, ts) == nil {
		return nil, &refusal{"thread_not_found", ts}
	}
	var out []any
	for _, p := range s.log { // oldest first
		inThread := p.Channel == channel && (p.TS == ts || p.Thread == ts)
		recent := p.TS == ts || p.TS >= a.get("oldest") // the first message always comes along
		if inThread && recent && !p.deleted && p.Only == "" && len(out) < limitOf(a) {
			out = append(out, wire(p.Message, a.get("include_all_metadata") != ""))
		}
	}
	return map[string]any{"messages": out, "has_more": false}, nil
}

func limitOf(a args) int {
	if n, err := strconv.Atoi(a.get("limit")); err == nil && n > 0 {
		return n
	}
	return 100
}

func (s *Server) channelInfo(a args) (map[string]any, *refusal) {
	c, ok := s.channels[a.get("channel")]
	if !ok {
		return nil, &refusal{"channel_not_found", ""}
	}
	return map[string]any{"channel": map[string]any{
		"id": c.ID, "name": c.Name, "is_channel": true, "is_member": !c.Outside, "is_archived": c.Archived,
		"is_ext_shared": c.Shared, "is_im": strings.HasPrefix(c.ID, "D"),
	}}, nil
}

func (s *Server) userInfo(a args) (map[string]any, *refusal) {
	u, ok := s.users[a.get("user")]
	if !ok {
		return nil, &refusal{"user_not_found", ""}
	}
	profile := map[string]any{"display_name": u.Name}
	if !s.scopes["users:read.email"] {
		profile["email"] = u.Email
	}
	return map[string]any{"user": map[string]any{
		"id": u.ID, "team_id": u.Team, "name": strings.ToLower(u.Name), "real_name": u.Name, "locale": u.Locale,
		"deleted": u.Deleted, "is_bot": u.Bot, "is_restricted": u.Guest, "is_stranger": u.Team != Team,
		"profile": profile, "is_email_confirmed": u.Email != "" && !u.Unconfirmed,
	}}, nil
}

func (s *Server) userGroups(a args) (map[string]any, *refusal) {
	groups := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		g := map[string]any{"id": id, "team_id": Team, "is_usergroup": true, "name": id}
		if a.get("include_users") == "true" {
			g["users"] = s.groups[id]
		}
		groups = append(groups, g)
	}
	return map[string]any{"usergroups": groups}, nil
}

// triggerAge is how long a trigger_id can be used.
const triggerAge = 3 * time.Second

func (s *Server) viewsOpen(a args) (map[string]any, *refusal) {
	t := s.triggers[a.get("trigger_id")]
	switch {
	case t == nil:
		return nil, &refusal{"invalid_trigger_id", a.get("trigger_id")}
	case t.used:
		return nil, &refusal{"exchanged_trigger_id", a.get("trigger_id")}
	case s.cfg.Now().Sub(t.at) > triggerAge:
		return nil, &refusal{"expired_trigger_id", ""}
	}
	view := object(a.json["view"])
	if refused := checkView(view, "modal"); refused != nil {
		return nil, refused
	}
	t.used = true
	v := View{ID: s.idLocked("V"), User: t.user, raw: view}
	s.views[v.ID] = v
	return map[string]any{"view": map[string]any{"id": v.ID, "type": "modal", "callback_id": str(view, "callback_id")}}, nil
}

func (s *Server) react(a args) (map[string]any, *refusal) {
	p := s.findLocked(a.get("channel"), a.get("timestamp"))
	switch {
	case p == nil:
		return nil, &refusal{"message_not_found", ""}
	case slices.Contains(p.Reactions, a.get("name")):
		return nil, &refusal{"already_reacted", ""}
	}
	p.Reactions = append(p.Reactions, a.get("name"))
	return nil, nil
}
