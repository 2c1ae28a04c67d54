package discordfake

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call is one request: its path's parts, its JSON, its files.
type call struct {
	r     *http.Request
	body  []byte
	files []File
}

func (c *call) path(name string) string { return c.r.PathValue(name) }

func (c *call) decode(v any) *refusal {
	if err := json.Unmarshal(c.body, v); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// maxCall bounds what is read of one call.
const maxCall = 8 << 20

func readCall(r *http.Request) (*call, error) {
	c := &call{r: r}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxCall))
		c.body = body
		return c, err
	}
	parts := multipart.NewReader(io.LimitReader(r.Body, maxCall), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		if part.FormName() == "payload_json" {
			c.body = content
		} else {
			c.files = append(c.files, File{Name: part.FileName(), Content: content})
		}
	}
}

// expected are refusals that a correct bot meets in life. Everything else is its fault.
var expected = []int{10003, 10004, 10007, 10008, 10015, 10062, 40060, 50001, 50013, 160004}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, route string, run func(*Server, *call) (any, *refusal)) {
	c, err := readCall(r)
	if err != nil {
		http.Error(w, "unreadable body", http.StatusBadRequest)
		return
	}
	answer, refused, lost := s.run(r, c, route, run)
	switch {
	case lost:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	case refused != nil && refused.status == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(refused.retryAfter))))
		writeJSON(w, refused.status, map[string]any{"message": "You are being rate limited.", "retry_after": refused.retryAfter, "global": false})
	case refused != nil:
		writeJSON(w, refused.status, map[string]any{"code": refused.code, "message": refused.detail})
	case answer == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

func (s *Server) run(r *http.Request, c *call, route string, run func(*Server, *call) (any, *refusal)) (answer any, refused *refusal, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[route]++
	tokenless := strings.Contains(route, "{token}") // the interaction's token is in the path
	switch {
	case s.outage:
		return nil, &refusal{status: http.StatusServiceUnavailable}, false
	case s.revoked || !tokenless && r.Header.Get("Authorization") != "Bot "+BotToken:
		return nil, &refusal{status: http.StatusUnauthorized, detail: "401: Unauthorized"}, false
	}
	if pending := s.failures[route]; len(pending) > 0 {
		s.failures[route] = pending[1:]
		if pending[0] != Lost {
			status, own, _ := strings.Cut(pending[0], " ")
			refused = &refusal{detail: "ordered", retryAfter: 1}
			refused.status, _ = strconv.Atoi(status)
			refused.code, _ = strconv.Atoi(own)
			return nil, refused, false
		}
		lost = true
	}
	answer, refused = run(s, c)
	s.changedLocked()
	if refused != nil && refused.status != http.StatusTooManyRequests && !slices.Contains(expected, refused.code) {
		s.faultLocked("%s: %d %s", route, refused.code, refused.detail)
	}
	return answer, refused, lost
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *Server) me(*call) (any, *refusal) {
	return map[string]any{"id": BotUser, "username": "atlhyper", "bot": true}, nil
}

func (s *Server) gatewayURL(*call) (any, *refusal) {
	return map[string]any{"url": "ws" + strings.TrimPrefix(s.http.URL, "http") + "/ws"}, nil
}

// The kinds of channels.
const (
	kindText   = 0
	kindDirect = 1
	kindThread = 11
)

func (s *Server) getChannel(c *call) (any, *refusal) {
	ch := s.channels[c.path("channel")]
	if ch == nil {
		return nil, &refusal{status: 404, code: 10003, detail: "Unknown Channel"}
	}
	out := map[string]any{"id": ch.id, "name": ch.name, "type": kindText}
	switch {
	case ch.parent != "":
		out["type"], out["parent_id"], out["owner_id"] = kindThread, ch.parent, ch.owner
	case ch.direct != "":
		out["type"] = kindDirect
	}
	return out, nil
}

func (s *Server) getMember(c *call) (any, *refusal) {
	u, ok := s.users[c.path("user")]
	if c.path("user") == BotUser {
		u, ok = User{ID: BotUser, Name: "atlhyper"}, true
	}
	if !ok || u.Outside || c.path("guild") != Guild {
		return nil, &refusal{status: 404, code: 10007, detail: "Unknown Member"}
	}
	return memberOf(u), nil
}

func memberOf(u User) map[string]any {
	roles := u.Roles
	if roles == nil {
		roles = []string{}
	}
	return map[string]any{"nick": "", "roles": roles, "user": userOf(u), "joined_at": "2026-01-01T00:00:00Z"}
}

func userOf(u User) map[string]any {
	return map[string]any{"id": u.ID, "username": strings.ToLower(u.Name), "global_name": u.Name, "bot": u.Bot}
}

func (s *Server) openDirect(c *call) (any, *refusal) {
	var body struct {
		Recipient string `json:"recipient_id"`
	}
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	return map[string]any{"id": s.directLocked(body.Recipient), "type": kindDirect}, nil
}

// directLocked is the channel of direct messages with a person.
func (s *Server) directLocked(user string) string {
	id := "9" + user
	if s.channels[id] == nil {
		s.channels[id] = &channel{id: id, direct: user}
	}
	return id
}

// takeLocked takes one message from a channel's allowance, or says for how many seconds there is none.
func (s *Server) takeLocked(channel string) float64 {
	if s.cfg.Burst < 0 {
		return 0
	}
	now := s.cfg.Now()
	recent := slices.DeleteFunc(s.sent[channel], func(t time.Time) bool { return now.Sub(t) >= s.cfg.PerWindow })
	s.sent[channel] = recent
	if len(recent) >= s.cfg.Burst {
		return (s.cfg.PerWindow - now.Sub(recent[0])).Seconds()
	}
	s.sent[channel] = append(recent, now)
	return 0
}

func (s *Server) postMessage(c *call) (any, *refusal) {
	id := c.path("channel")
	if s.channels[id] == nil {
		return nil, &refusal{status: 404, code: 10003, detail: "Unknown Channel"}
	}
	m, p, refused := s.contentLocked(c)
	if refused != nil {
		return nil, refused
	}
	if runes(p.Nonce) > maxNonce {
		return nil, invalid("nonce: must be %d or fewer in length", maxNonce)
	}
	if made, ok := s.nonces[id+" "+p.Nonce]; ok && p.Enforce && p.Nonce != "" {
		return map[string]any{"id": made, "channel_id": id}, nil
	}
	if wait := s.takeLocked(id); wait > 0 {
		return nil, &refusal{status: http.StatusTooManyRequests, retryAfter: wait}
	}
	if p.Reference != nil {
		if s.findLocked(id, p.Reference.MessageID) == nil {
			return nil, invalid("message_reference: unknown message")
		}
		m.Reply = p.Reference.MessageID
	}
	m.Channel, m.Author = id, BotUser
	s.addLocked(m)
	if p.Nonce != "" {
		s.nonces[id+" "+p.Nonce] = m.ID
	}
	s.dispatchLocked("MESSAGE_CREATE", s.messageEventLocked(m, nil))
	return map[string]any{"id": m.ID, "channel_id": id}, nil
}

func (s *Server) addLocked(m *Message) {
	m.ID = s.idLocked()
	s.log = append(s.log, m)
	s.changedLocked()
}

// contentLocked reads and checks what a message consists of.
func (s *Server) contentLocked(c *call) (*Message, payload, *refusal) {
	var p payload
	if refused := c.decode(&p); refused != nil {
		return nil, p, refused
	}
	return contentOf(p, c.files)
}

func contentOf(p payload, files []File) (*Message, payload, *refusal) {
	if refused := check(p, len(files)); refused != nil {
		return nil, p, refused
	}
	for _, e := range p.Embeds {
		if e.Image == nil {
			continue
		}
		name := strings.TrimPrefix(e.Image.URL, "attachment://")
		if !slices.ContainsFunc(files, func(f File) bool { return f.Name == name }) {
			return nil, p, invalid("embeds: image: no attachment %q", name)
		}
	}
	return &Message{
		Content: p.Content, Embeds: p.Embeds, Rows: p.Components, Files: files,
		Pinged: p.Mentions == nil || p.Mentions.Parse == nil || len(p.Mentions.Parse) > 0,
	}, p, nil
}

// replace takes over the content of another message.
func (m *Message) replace(by *Message) {
	m.Content, m.Embeds, m.Rows, m.Files, m.Pinged = by.Content, by.Embeds, by.Rows, by.Files, by.Pinged
	m.Edits++
}

func (s *Server) editMessage(c *call) (any, *refusal) {
	m := s.findLocked(c.path("channel"), c.path("message"))
	if m == nil || m.Only != "" {
		return nil, &refusal{status: 404, code: 10008, detail: "Unknown Message"}
	}
	if m.Author != BotUser {
		return nil, &refusal{status: 403, code: 50005, detail: "Cannot edit a message authored by another user"}
	}
	by, _, refused := s.contentLocked(c)
	if refused != nil {
		return nil, refused
	}
	m.replace(by)
	return map[string]any{"id": m.ID, "channel_id": m.Channel}, nil
}

func (s *Server) startThread(c *call) (any, *refusal) {
	var body struct {
		Name    string `json:"name"`
		Archive int    `json:"auto_archive_duration"`
	}
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	m := s.findLocked(c.path("channel"), c.path("message"))
	switch {
	case m == nil:
		return nil, &refusal{status: 404, code: 10008, detail: "Unknown Message"}
	case m.Thread != "":
		return nil, &refusal{status: 400, code: 160004, detail: "A thread has already been created for this message"}
	case body.Name == "" || runes(body.Name) > maxThreadName:
		return nil, invalid("name: must be between 1 and %d in length", maxThreadName)
	case !slices.Contains([]int{60, 1440, 4320, 10080}, body.Archive):
		return nil, invalid("auto_archive_duration: %d", body.Archive)
	case s.channels[m.Channel].parent != "" || s.channels[m.Channel].direct != "":
		return nil, &refusal{status: 400, code: 50024, detail: "Cannot execute action on this channel type"}
	}
	m.Thread = m.ID
	s.channels[m.ID] = &channel{id: m.ID, parent: m.Channel, owner: BotUser, name: body.Name}
	return map[string]any{"id": m.ID, "type": kindThread, "parent_id": m.Channel, "owner_id": BotUser, "name": body.Name}, nil
}

func (s *Server) setCommands(c *call) (any, *refusal) {
	var body []struct {
		Name        string            `json:"name"`
		Type        int               `json:"type"` // 1 when left out
		Local       map[string]string `json:"name_localizations"`
		Description string            `json:"description"`
		Described   map[string]string `json:"description_localizations"`
		Options     []commandOption   `json:"options"`
	}
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	if guild := c.path("guild"); guild != "" && guild != Guild {
		return nil, &refusal{status: 403, code: 50001, detail: "Missing Access"}
	}
	s.commands, s.options, s.onMessages = nil, nil, nil
	for _, command := range body {
		for _, name := range append(slices.Collect(maps.Values(command.Local)), command.Name) {
			if name == "" || runes(name) > maxCommandName {
				return nil, invalid("name: must be between 1 and %d in length", maxCommandName)
			}
		}
		if command.Type == onMessage {
			if command.Description != "" || len(command.Options) > 0 {
				return nil, invalid("description: context menu commands have neither description nor options")
			}
			if s.onMessages = append(s.onMessages, command.Name); len(s.onMessages) > maxOnMessages {
				return nil, &refusal{status: 400, code: 30032, detail: "Maximum number of application commands reached"}
			}
			continue
		}
		if !optionName.MatchString(command.Name) {
			return nil, invalid("name: %q", command.Name)
		}
		if refused := checkDirections(command.Description, command.Described); refused != nil {
			return nil, refused
		}
		if refused := checkCommandOptions(command.Options); refused != nil {
			return nil, refused
		}
		s.commands, s.options, s.described = append(s.commands, command.Name), command.Options, command.Described
	}
	return []any{}, nil
}
