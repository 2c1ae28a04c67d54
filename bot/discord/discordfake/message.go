package discordfake

import (
	"regexp"
	"slices"
	"strings"
)

// Message is one message as a person sees it.
type Message struct {
	ID, Channel string // a thread is a channel of its own
	Author      string
	Content     string
	Embeds      []Embed
	Rows        []row
	Only        string // the one person who sees it, "" for everyone
	Reply       string // the message that it answers
	Thread      string // the thread that was started on it
	Files       []File
	Edits       int
	Pinged      bool // allowed_mentions let it ping
	deleted     bool
	pending     bool // "is thinking…"
}

// File is an attached file.
type File struct {
	Name    string
	Content []byte
}

// Button is a button of a message.
type Button struct {
	Label, CustomID string
	Style           int
}

// Text is everything that the message shows, part after part, with markup taken away.
func (m Message) Text() string {
	var lines []string
	add := func(s string) {
		if s != "" {
			lines = append(lines, s)
		}
	}
	add(plain(m.Content))
	for _, e := range m.Embeds {
		if e.Author != nil {
			add(e.Author.Name)
		}
		add(plain(e.Title))
		add(plain(e.Description))
		for _, f := range e.Fields {
			add(plain(f.Name) + "  " + plain(f.Value))
		}
		if e.Footer != nil {
			add(e.Footer.Text)
		}
	}
	for _, r := range m.Rows {
		var labels []string
		for _, b := range r.Components {
			if b.Type == typeMenu {
				labels = append(labels, "[ "+b.Placeholder+" ▾ ]")
				continue
			}
			labels = append(labels, "[ "+b.Label+" ]")
		}
		add(strings.Join(labels, " "))
	}
	return strings.Join(lines, "\n")
}

// Buttons are the message's buttons in their order.
func (m Message) Buttons() []Button {
	var out []Button
	for _, r := range m.Rows {
		for _, b := range r.Components {
			if b.Type != typeButton {
				continue
			}
			out = append(out, Button{Label: b.Label, CustomID: b.CustomID, Style: b.Style})
		}
	}
	return out
}

// Options are those of the message's menus, in their order.
func (m Message) Options() []Option {
	var out []Option
	for _, r := range m.Rows {
		for _, b := range r.Components {
			for _, o := range b.Options {
				o.CustomID = b.CustomID
				out = append(out, o)
			}
		}
	}
	return out
}

var (
	code    = regexp.MustCompile("(?s)```(?:[a-z]*\n)?(.*?)```")
	escaped = regexp.MustCompile(`\\([^0-9A-Za-z\s])`)
	strong  = regexp.MustCompile(`\*\*([^*\n]+)\*\*`)
	line    = regexp.MustCompile(`(?m)^(-# |#{1,3} )`)
)

// plain is text as it is shown: code as it is, marks gone, escapes undone.
func plain(s string) string {
	var out strings.Builder
	for {
		at := code.FindStringSubmatchIndex(s)
		if at == nil {
			out.WriteString(plainLine(s))
			return out.String()
		}
		out.WriteString(plainLine(s[:at[0]]))
		out.WriteString(s[at[2]:at[3]])
		s = s[at[1]:]
	}
}

// plainLine takes escaped characters out of the way before it looks for marks.
func plainLine(s string) string {
	var kept []string
	s = escaped.ReplaceAllStringFunc(s, func(m string) string {
		kept = append(kept, m[1:])
		return "\x00"
	})
	s = strong.ReplaceAllString(line.ReplaceAllString(s, ""), "$1")
	var out strings.Builder
	for _, r := range s {
		if r == 0 && len(kept) > 0 {
			out.WriteString(kept[0])
			kept = kept[1:]
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// Messages are the messages of a channel or thread, by time, those to one person among them.
func (s *Server) Messages(channel string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	for _, m := range s.log {
		if m.Channel == channel && !m.deleted && !m.pending {
			out = append(out, m.snapshot())
		}
	}
	return out
}

// Message is the present state of a message.
func (s *Server) Message(channel, id string) (Message, bool) {
	for _, m := range s.Messages(channel) {
		if m.ID == id {
			return m, true
		}
	}
	return Message{}, false
}

// ThreadName is the name of a thread, "" when there is none.
func (s *Server) ThreadName(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[id]; c != nil && c.parent != "" {
		return c.name
	}
	return ""
}

func (m *Message) snapshot() Message {
	c := *m
	c.Files = slices.Clone(m.Files)
	return c
}

func (s *Server) findLocked(channel, id string) *Message {
	for _, m := range s.log {
		if m.Channel == channel && m.ID == id && !m.deleted {
			return m
		}
	}
	return nil
}
