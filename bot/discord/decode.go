package discord

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message/layout"
	"github.com/bukahou/atlhyper/tools"
)

// heard is a decoded event before its place and person are known.
type heard struct {
	in      bot.Inbound
	channel string // as Discord names it: a thread is a channel of its own
	guild   string // "" in direct messages
	user    user
	member  *member // nil in direct messages
	// thread says that the message in.Message has a thread beneath it.
	thread bool
	// token answers an interaction; "" for messages.
	token string
	id    string // of the interaction or the message
}

type user struct {
	ID         string `json:"id"`
	Username   string `json:"username"`
	GlobalName string `json:"global_name"`
	Bot        bool   `json:"bot"`
	System     bool   `json:"system"`
}

type member struct {
	Nick    string   `json:"nick"`
	Roles   []string `json:"roles"`
	Pending bool     `json:"pending"`
	User    *user    `json:"user"`
}

// The kinds of messages that are somebody's words: ordinary ones, and replies.
const (
	typeDefault = 0
	typeReply   = 19
)

type wireMessage struct {
	ID        string    `json:"id"`
	ChannelID string    `json:"channel_id"`
	GuildID   string    `json:"guild_id"`
	Type      int       `json:"type"`
	Content   string    `json:"content"`
	Author    user      `json:"author"`
	Member    *member   `json:"member"`
	WebhookID string    `json:"webhook_id"`
	Mentions  []user    `json:"mentions"`
	Timestamp time.Time `json:"timestamp"`
	Flags     int       `json:"flags"`
	Thread    *struct {
		ID string `json:"id"`
	} `json:"thread"`
}

// flagHasThread marks a message that a thread was started on.
const flagHasThread = 1 << 5

// decodeMessage reads a MESSAGE_CREATE. It returns nil without an error for what is not said to the bot. Whether a
// message stands in one of the bot's threads cannot be seen in it: every other message of a server is a Reply here,
// and dropped when its channel turns out not to be such a thread.
func decodeMessage(payload []byte, self string) (*heard, error) {
	var m wireMessage
	if err := json.Unmarshal(payload, &m); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	if m.ID == "" || m.ChannelID == "" || m.Author.ID == "" {
		return nil, errors.New("decode message: id, channel or author is missing")
	}
	if m.Author.Bot || m.Author.System || m.Author.ID == self || m.WebhookID != "" || (m.Type != typeDefault && m.Type != typeReply) {
		return nil, nil
	}
	h := &heard{channel: m.ChannelID, guild: m.GuildID, user: m.Author, member: m.Member, id: m.ID}
	mentioned := false
	for _, u := range m.Mentions {
		// A reply mentions whom it answers without their name in the text, and that is meant for the bot as well.
		mentioned = mentioned || u.ID == self
	}
	text := strings.NewReplacer("<@"+self+">", " ", "<@!"+self+">", " ").Replace(m.Content)
	h.in = bot.Inbound{
		ID: m.ID, Text: strings.TrimSpace(text), At: m.Timestamp,
		Message: bot.Ref{Surface: "discord", Channel: m.ChannelID, Message: m.ID},
	}
	switch {
	case m.GuildID == "":
		h.in.Kind = bot.Direct
	case mentioned:
		h.in.Kind = bot.Mention
	case strings.TrimSpace(m.Content) != "":
		h.in.Kind = bot.Reply
	default:
		return nil, nil // Discord withholds the words of what is not for the bot
	}
	return h, nil
}

type wireInteraction struct {
	ID        string       `json:"id"`
	Type      int          `json:"type"`
	Token     string       `json:"token"`
	ChannelID string       `json:"channel_id"`
	GuildID   string       `json:"guild_id"`
	Member    *member      `json:"member"`
	User      *user        `json:"user"`
	Locale    string       `json:"locale"`
	Message   *wireMessage `json:"message"`
	Data      struct {
		Name     string `json:"name"`
		Type     int    `json:"type"`      // of a command
		TargetID string `json:"target_id"` // of one on a message
		Resolved struct {
			Messages map[string]struct {
				Content string `json:"content"`
				Embeds  any    `json:"embeds"`
			} `json:"messages"`
		} `json:"resolved"`
		CustomID string   `json:"custom_id"`
		Values   []string `json:"values"` // of a list
		Options  []struct {
			Name    string `json:"name"`
			Value   any    `json:"value"`
			Focused bool   `json:"focused"` // of a completion: it is being typed
		} `json:"options"`
		Components []wireComponent `json:"components"`
	} `json:"data"`
}

// wireComponent is a part of a prompt that was sent off: a row or a label, with the input in it.
type wireComponent struct {
	CustomID   string          `json:"custom_id"`
	Value      string          `json:"value"`
	Values     []string        `json:"values"` // of a list
	Component  *wireComponent  `json:"component"`
	Components []wireComponent `json:"components"`
}

// gather takes the values of the inputs, by their names.
func (c wireComponent) gather(values map[string]string) {
	switch {
	case c.CustomID == "":
	case len(c.Values) > 0:
		values[c.CustomID] = strings.TrimSpace(c.Values[0])
	default:
		values[c.CustomID] = strings.TrimSpace(c.Value)
	}
	if c.Component != nil {
		c.Component.gather(values)
	}
	for _, inner := range c.Components {
		inner.gather(values)
	}
}

// commandOnMessage is the type of a command in a message's menu.
const commandOnMessage = 3

// shownIn are the fields of embeds whose strings people read.
var shownIn = []string{"title", "description", "name", "value", "text"}

// marked is a character of markup that is written as itself.
var marked = regexp.MustCompile(`\\([^0-9A-Za-z\s])`)

func unmarked(s string) string { return marked.ReplaceAllString(s, "$1") }

const (
	interactionCommand  = 2
	interactionButton   = 3
	interactionComplete = 4
	interactionPrompt   = 5
)

// decodeInteraction reads a command, a click or a prompt; nil without an error for anything else.
func decodeInteraction(payload []byte) (*heard, error) {
	var i wireInteraction
	if err := json.Unmarshal(payload, &i); err != nil {
		return nil, fmt.Errorf("decode interaction: %w", err)
	}
	h := &heard{channel: i.ChannelID, guild: i.GuildID, member: i.Member, token: i.Token, id: i.ID}
	switch {
	case i.Member != nil && i.Member.User != nil:
		h.user = *i.Member.User
	case i.User != nil:
		h.user = *i.User
	}
	if i.ID == "" || i.Token == "" || i.ChannelID == "" || h.user.ID == "" {
		return nil, errors.New("decode interaction: id, token, channel or user is missing")
	}
	h.in = bot.Inbound{ID: i.ID, Lang: i.Locale}
	if m := i.Message; m != nil && m.ID != "" {
		h.in.Message = bot.Ref{Surface: "discord", Channel: i.ChannelID, Message: m.ID}
		h.thread = m.Thread != nil || m.Flags&flagHasThread != 0
	}
	switch i.Type {
	case interactionCommand, interactionComplete:
		if i.Data.Type == commandOnMessage {
			m, ok := i.Data.Resolved.Messages[i.Data.TargetID]
			if i.Data.Name != contextName || i.Type != interactionCommand {
				return nil, nil
			}
			if !ok {
				return nil, errors.New("decode interaction: the message that was pointed at is missing")
			}
			// Alerts of other systems stand in embeds, with little text beside them.
			words := append([]string{unmarked(m.Content)}, bot.Shown(m.Embeds, shownIn, unmarked)...)
			h.in.Kind, h.in.Evidence = bot.Pointed, layout.Cut(strings.Join(words, "\n"), bot.MaxEvidence)
			return h, nil
		}
		if i.Data.Name != commandName {
			return nil, nil
		}
		h.in.Kind = bot.Slash
		if i.Type == interactionComplete {
			h.in.Kind = bot.Complete
		}
		for _, o := range i.Data.Options {
			value, ok := o.Value.(string)
			value = strings.TrimSpace(value)
			switch {
			case !ok:
			case o.Focused:
				h.in.Field, h.in.Text = o.Name, value
			case o.Name == optionName && i.Type == interactionCommand:
				h.in.Text = value
			case o.Name == tools.FieldCluster:
				h.in.About.Cluster = value
			case o.Name == tools.FieldNamespace:
				h.in.About.Namespace = value
			case o.Name == tools.FieldWorkload:
				h.in.About.Workload = value
			}
		}
	case interactionButton, interactionPrompt:
		h.in.Kind = bot.Click
		id := i.Data.CustomID
		if strings.HasPrefix(id, selectAction+actionMark) && len(i.Data.Values) > 0 {
			id = i.Data.Values[0]
		}
		action, subject, ok := strings.Cut(id, actionMark)
		if !ok || action == "" {
			return nil, fmt.Errorf("decode interaction: %q is not one of our buttons", i.Data.CustomID)
		}
		h.in.Action, h.in.Subject = action, subject
		if i.Type == interactionPrompt {
			h.in.Kind = bot.Submit
			h.in.Values = map[string]string{}
			for _, c := range i.Data.Components {
				c.gather(h.in.Values)
			}
		}
	default:
		return nil, nil
	}
	return h, nil
}
