package slackfake

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// post is a message as the workspace keeps it.
type post struct {
	Message
	deleted bool
}

// Message is one message as a person sees it.
type Message struct {
	Channel, TS string
	Thread      string // ts of the first message of its thread, "" outside
	User        string
	Fallback    string // the text field, shown when there are no blocks
	Blocks      []any  // decoded JSON
	Attachments []any  // of another app's message: most alerts stand in these
	Metadata    json.RawMessage
	Only        string // the one person who sees it, "" for everyone
	Edits       int
	Streaming   bool // it is still being written
	Parts       int  // in how many it was streamed
	Files       []File
	Reactions   []string
}

// File is an uploaded file.
type File struct {
	ID, Name, Title, Alt string
	Content              []byte
}

// Button is a button of a message.
type Button struct{ Label, ActionID, BlockID, Value, Style, URL string }

// Text is everything that the message shows, block after block, one a line.
func (m Message) Text() string {
	if len(m.Blocks) == 0 {
		return unescape(m.Fallback)
	}
	var lines []string
	for _, b := range m.Blocks {
		if s := blockText(b); s != "" {
			lines = append(lines, s)
		}
	}
	return strings.Join(lines, "\n")
}

// Buttons are the message's buttons in their order.
func (m Message) Buttons() []Button {
	var out []Button
	for _, b := range m.Blocks {
		block := object(b)
		if str(block, "type") != "actions" {
			continue
		}
		for _, e := range array(block, "elements") {
			e := object(e)
			if str(e, "type") != "button" {
				continue
			}
			out = append(out, Button{
				Label: str(object(e["text"]), "text"), ActionID: str(e, "action_id"),
				BlockID: str(block, "block_id"), Value: str(e, "value"), Style: str(e, "style"), URL: str(e, "url"),
			})
		}
	}
	return out
}

// Option is one of a menu's.
type Option struct{ Label, ActionID, BlockID, Value string }

// Options are those of the message's menus, in their order.
func (m Message) Options() []Option {
	var out []Option
	for _, b := range m.Blocks {
		block := object(b)
		for _, e := range array(block, "elements") {
			e := object(e)
			for _, o := range array(e, "options") {
				out = append(out, Option{
					Label: str(object(object(o)["text"]), "text"), ActionID: str(e, "action_id"), BlockID: str(block, "block_id"), Value: str(object(o), "value"),
				})
			}
		}
	}
	return out
}

// Pings are the references in the message that Slack would act on: <!channel>, <@U…>, <#C…> in marked-up text.
func (m Message) Pings() []string {
	var out []string
	if len(m.Blocks) == 0 {
		out = reference.FindAllString(m.Fallback, -1)
	}
	walk(m.Blocks, func(o map[string]any) {
		switch str(o, "type") {
		case "mrkdwn":
			out = append(out, reference.FindAllString(str(o, "text"), -1)...)
		case "user", "usergroup", "broadcast", "channel":
			out = append(out, str(o, "type"))
		}
	})
	return out
}

var reference = regexp.MustCompile(`<[!@#][^>]*>`)

func blockText(b any) string {
	block := object(b)
	switch str(block, "type") {
	case "header":
		return textOf(block["text"])
	case "section":
		var parts []string
		if t := textOf(block["text"]); t != "" {
			parts = append(parts, t)
		}
		fields := array(block, "fields")
		for pair := range slices.Chunk(fields, 2) {
			var cells []string
			for _, f := range pair {
				cells = append(cells, textOf(f))
			}
			parts = append(parts, strings.Join(cells, "  "))
		}
		return strings.Join(parts, "\n")
	case "context":
		var parts []string
		for _, e := range array(block, "elements") {
			parts = append(parts, textOf(e))
		}
		return strings.Join(parts, " ")
	case "actions":
		var parts []string
		for _, e := range array(block, "elements") {
			e := object(e)
			if str(e, "type") == "static_select" {
				parts = append(parts, "[ "+textOf(e["placeholder"])+" ▾ ]")
				continue
			}
			parts = append(parts, "[ "+textOf(e["text"])+" ]")
		}
		return strings.Join(parts, " ")
	case "rich_text":
		var out strings.Builder
		for _, e := range array(block, "elements") {
			out.WriteString(richText(object(e)))
		}
		return strings.TrimRight(out.String(), "\n")
	case "input":
		return textOf(block["label"])
	}
	return ""
}

func richText(o map[string]any) string {
	switch str(o, "type") {
	case "text":
		return str(o, "text")
	case "user":
		return "<@" + str(o, "user_id") + ">"
	case "link":
		if t := str(o, "text"); t != "" {
			return t
		}
		return str(o, "url")
	}
	var out strings.Builder
	for _, e := range array(o, "elements") {
		out.WriteString(richText(object(e)))
	}
	if str(o, "type") == "rich_text_preformatted" {
		return "\n" + strings.Trim(out.String(), "\n") + "\n"
	}
	return out.String()
}

// textOf is a text object as it is shown. In mrkdwn, marks go and escapes are undone.
func textOf(t any) string {
	o := object(t)
	s := str(o, "text")
	if str(o, "type") == "mrkdwn" {
		s = unescape(emphasis.ReplaceAllString(s, "$2"))
	}
	return s
}

var emphasis = regexp.MustCompile("([*_~`])([^*_~`\n]+)[*_~`]")

var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

func unescape(s string) string { return entities.Replace(s) }

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// walk calls f for each object in decoded JSON.
func walk(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	case map[string]any:
		f(v)
		for _, e := range v {
			walk(e, f)
		}
	}
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func str(o map[string]any, key string) string {
	s, _ := o[key].(string)
	return s
}

func array(o map[string]any, key string) []any {
	a, _ := o[key].([]any)
	return a
}

// all are the messages of a channel and its threads, by time.
func (s *Server) all(channel string) []Message {
	return s.list(func(m Message) bool { return m.Channel == channel })
}

// Messages are a channel's messages outside threads, by time, those to one person among them.
func (s *Server) Messages(channel string) []Message {
	return s.list(func(m Message) bool { return m.Channel == channel && (m.Thread == "" || m.Thread == m.TS) })
}

// Thread is a thread: its first message and the replies, by time.
func (s *Server) Thread(channel, ts string) []Message {
	return s.list(func(m Message) bool { return m.Channel == channel && (m.TS == ts || m.Thread == ts) })
}

// Message is the present state of a message.
func (s *Server) Message(channel, ts string) (Message, bool) {
	found := s.list(func(m Message) bool { return m.Channel == channel && m.TS == ts })
	if len(found) == 0 {
		return Message{}, false
	}
	return found[0], true
}

func (s *Server) list(want func(Message) bool) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, p := range s.log {
		if !p.deleted && want(p.Message) {
			out = append(out, p.snapshot())
		}
	}
	return out
}

// snapshot is a copy that later edits do not touch. Blocks are replaced as a whole, never changed in place.
func (p *post) snapshot() Message {
	m := p.Message
	m.Files = slices.Clone(m.Files)
	m.Reactions = slices.Clone(m.Reactions)
	return m
}

// findLocked finds a message that everyone can see.
func (s *Server) findLocked(channel, ts string) *post {
	for _, p := range s.log {
		if p.Channel == channel && p.TS == ts && !p.deleted && p.Only == "" {
			return p
		}
	}
	return nil
}
