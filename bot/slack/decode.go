package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message/layout"
)

// heard is a decoded event before the person is known: the neutral form, and what only an answer on Slack needs.
type heard struct {
	in   bot.Inbound
	user string
	// teams are the workspaces that the event says the person belongs to. One that is not ours makes a stranger.
	teams       []string
	responseURL string
	trigger     string
	// direct says that the place is a direct message channel, where answers need no thread.
	direct bool
	// ephemeral says that the clicked message is seen by one person and cannot carry a thread.
	ephemeral bool
	// fresh says that nothing may be shown to a person who could not be looked up: what they saw before stays.
	fresh bool
}

// callback is the outer form of an Events API delivery, the same over HTTP and Socket Mode.
type callback struct {
	Type      string       `json:"type"`
	Challenge string       `json:"challenge"`
	TeamID    string       `json:"team_id"`
	EventID   string       `json:"event_id"`
	Event     messageEvent `json:"event"`
}

// messageEvent holds the fields of app_mention and message events that matter here.
type messageEvent struct {
	Type        string `json:"type"`
	SubType     string `json:"subtype"`
	User        string `json:"user"`
	BotID       string `json:"bot_id"`
	Text        string `json:"text"`
	TS          string `json:"ts"`
	ThreadTS    string `json:"thread_ts"`
	Channel     string `json:"channel"`
	ChannelType string `json:"channel_type"`
	UserTeam    string `json:"user_team"`
	SourceTeam  string `json:"source_team"`
	Edited      *struct {
		TS string `json:"ts"`
	} `json:"edited"`
	EventTS string `json:"event_ts"`
	Tab     string `json:"tab"` // of app_home_opened
	// Assistant is of assistant_thread_started and assistant_thread_context_changed.
	Assistant struct {
		UserID    string `json:"user_id"`
		ChannelID string `json:"channel_id"`
		ThreadTS  string `json:"thread_ts"`
	} `json:"assistant_thread"`
}

// decodeEvent reads an Events API delivery. It returns nil without an error for everything that is not a person
// speaking to the bot: messages of bots and of itself, edits, joins, talk between people.
func decodeEvent(payload []byte, self identity) (*heard, error) {
	var c callback
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	e := c.Event
	if a := e.Assistant; c.Type == "event_callback" && c.EventID != "" && a.UserID != "" && a.UserID != self.User && a.ChannelID != "" && a.ThreadTS != "" {
		h := &heard{user: a.UserID, direct: true, in: bot.Inbound{
			ID: c.EventID, Place: bot.Place{Surface: "slack", Channel: a.ChannelID, Thread: a.ThreadTS}, At: tsTime(e.EventTS),
		}}
		switch e.Type {
		case "assistant_thread_started":
			h.in.Kind = bot.Opened
			return h, nil
		case "assistant_thread_context_changed":
			h.in.Kind = bot.Moved
			return h, nil
		}
		return nil, nil
	}
	if c.Type == "event_callback" && e.Type == "app_home_opened" {
		// The tab of messages is opened with every look at them, and shows nothing of ours.
		if e.Tab != homeTab || c.EventID == "" || e.User == "" || e.User == self.User || e.Channel == "" {
			return nil, nil
		}
		return &heard{user: e.User, direct: true, fresh: true, in: bot.Inbound{
			ID: c.EventID, Kind: bot.Home, Place: bot.Place{Surface: "slack", Channel: e.Channel}, At: tsTime(e.EventTS),
		}}, nil
	}
	if c.Type != "event_callback" || e.Channel == "" || e.TS == "" || c.EventID == "" {
		return nil, nil
	}
	if e.User == "" || e.User == self.User || e.BotID != "" || e.Edited != nil {
		return nil, nil
	}
	// thread_broadcast is a reply that was also sent to the channel; file_share a message with a file beside it.
	if !slices.Contains([]string{"", "thread_broadcast", "file_share"}, e.SubType) {
		return nil, nil
	}
	h := &heard{user: e.User, teams: nonEmpty(e.UserTeam, e.SourceTeam)}
	h.in = bot.Inbound{
		ID:    c.EventID,
		Place: bot.Place{Surface: "slack", Channel: e.Channel, Thread: e.ThreadTS},
		At:    tsTime(e.TS),
	}
	mention := "<@" + self.User + ">"
	switch {
	case e.Type == "app_mention":
		h.in.Kind = bot.Mention
		if e.ThreadTS == "" {
			h.in.Place.Thread = e.TS // the answer opens a thread beneath the question
		}
	case e.Type != "message":
		return nil, nil
	case e.ChannelType == "im":
		// Nobody is "mentioned" in a direct message, even when the name is typed: there is no app_mention beside it.
		h.in.Kind, h.direct = bot.Direct, true
	case e.ThreadTS != "" && !strings.Contains(e.Text, mention):
		h.in.Kind = bot.Reply
	default:
		// Either talk that is not for us, or the twin of an app_mention that is handled as such.
		return nil, nil
	}
	text := strings.ReplaceAll(e.Text, mention, " ")
	h.in.Text, h.in.Mentioned = plainText(text), mentioned(text)
	return h, nil
}

// decodeCommand reads a slash command.
func decodeCommand(c slack.SlashCommand) (*heard, error) {
	if c.UserID == "" || c.ChannelID == "" || c.TriggerID == "" {
		return nil, errors.New("decode command: user, channel or trigger is missing")
	}
	return &heard{
		in: bot.Inbound{
			ID:    c.TriggerID,
			Kind:  bot.Slash,
			Place: bot.Place{Surface: "slack", Channel: c.ChannelID},
			Text:  plainText(c.Text),

			Mentioned: mentioned(c.Text),
		},
		user:        c.UserID,
		teams:       nonEmpty(c.TeamID),
		responseURL: c.ResponseURL,
		trigger:     c.TriggerID,
		direct:      isDirect(c.ChannelID),
	}, nil
}

// prompted is what a modal carries through its private_metadata, so that its answer finds back.
type prompted struct {
	Action  string    `json:"action"`
	Subject string    `json:"subject"`
	Place   bot.Place `json:"place"`
	Message bot.Ref   `json:"message"`
	AtHome  bool      `json:"at_home,omitempty"`
}

// The callback ids of the shortcuts, as deploy/slack/manifest.yaml gives them.
const (
	AskShortcut     = "atlhyper.ask"     // global
	ExplainShortcut = "atlhyper.explain" // on a message
)

const (
	promptCallback = "atlhyper.prompt"
	selectAction   = "select" // action of a list: the option that was chosen holds the real one
)

// decodeInteraction reads a button click, a shortcut or a modal that was sent off; nil without an error for anything else.
func decodeInteraction(payload []byte) (*heard, error) {
	var c slack.InteractionCallback
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, fmt.Errorf("decode interaction: %w", err)
	}
	if c.User.ID == "" {
		return nil, errors.New("decode interaction: user is missing")
	}
	h := &heard{user: c.User.ID, teams: nonEmpty(c.User.TeamID), responseURL: c.ResponseURL, trigger: c.TriggerID}
	switch c.Type {
	case slack.InteractionTypeBlockActions:
		if a := c.ActionCallback.BlockActions; len(a) > 0 && strings.HasPrefix(a[0].ActionID, linkAction+actionMark) {
			return nil, nil
		}
		return h, h.click(c)
	case slack.InteractionTypeShortcut:
		if c.CallbackID != AskShortcut {
			return nil, nil
		}
		return h, h.shortcut(c)
	case slack.InteractionTypeMessageAction:
		if c.CallbackID != ExplainShortcut {
			return nil, nil
		}
		return h, h.pointed(c, payload)
	case slack.InteractionTypeViewSubmission:
		if c.View.CallbackID != promptCallback {
			return nil, nil
		}
		return h, h.submit(c)
	}
	return nil, nil
}

func (h *heard) click(c slack.InteractionCallback) error {
	if len(c.ActionCallback.BlockActions) == 0 {
		return errors.New("decode click: no action")
	}
	a := c.ActionCallback.BlockActions[0]
	action, _, ok := strings.Cut(a.ActionID, actionMark)
	channel := c.Container.ChannelID
	if channel == "" {
		channel = c.Channel.ID
	}
	atHome := c.View.Type == slack.VTHomeTab
	if atHome { // which stands in no channel: the answer goes to the direct messages beside it
		channel = orElse(c.View.PrivateMetadata, c.User.ID)
	}
	subject := a.Value
	if ok && action == selectAction {
		action, subject, ok = strings.Cut(a.SelectedOption.Value, actionMark)
	}
	if !ok || action == "" || channel == "" || c.TriggerID == "" {
		return fmt.Errorf("decode click: action %q, channel %q, trigger %q: not one of our buttons", a.ActionID, channel, c.TriggerID)
	}
	if atHome {
		h.direct, h.fresh = true, true
		h.in = bot.Inbound{ID: c.TriggerID, Kind: bot.Click, Place: bot.Place{Surface: "slack", Channel: channel}, Action: action, Subject: subject, AtHome: true, At: tsTime(a.ActionTs)}
		return nil
	}
	ts, thread := c.Container.MessageTs, c.Container.ThreadTs
	if ts == "" {
		ts = c.Message.Timestamp
	}
	if thread == "" {
		thread = c.Message.ThreadTimestamp
	}
	h.direct = isDirect(channel)
	h.ephemeral = c.Container.IsEphemeral
	if thread == "" && !h.direct && !h.ephemeral {
		thread = ts // the answer to a click goes beneath the message that holds the button
	}
	h.in = bot.Inbound{
		ID:      c.TriggerID,
		Kind:    bot.Click,
		Place:   bot.Place{Surface: "slack", Channel: channel, Thread: thread},
		Message: bot.Ref{Surface: "slack", Channel: channel, Message: ts, Thread: thread},
		Action:  action,
		Subject: subject,
		At:      tsTime(a.ActionTs),
	}
	return nil
}

func (h *heard) submit(c slack.InteractionCallback) error {
	var p prompted
	if err := json.Unmarshal([]byte(c.View.PrivateMetadata), &p); err != nil {
		return fmt.Errorf("decode prompt: %w", err)
	}
	if p.Action == "" || p.Place.Channel == "" || c.View.ID == "" {
		return errors.New("decode prompt: action, channel or view is missing")
	}
	values := map[string]string{}
	if c.View.State != nil {
		for name, input := range c.View.State.Values { // a block for each field, both named as the field
			v := input[name].Value
			if v == "" {
				v = input[name].SelectedOption.Value
			}
			values[name] = strings.TrimSpace(v)
		}
	}
	h.direct = isDirect(p.Place.Channel)
	h.in = bot.Inbound{
		// A view is sent off once. Its id is the one thing that a second delivery of the same submission shares.
		ID:      c.View.ID,
		Kind:    bot.Submit,
		Place:   p.Place,
		Message: p.Message,
		Values:  values,
		Action:  p.Action,
		Subject: p.Subject,
		AtHome:  p.AtHome,
	}
	h.fresh = p.AtHome
	return nil
}

// shortcut is the one that asks: it does what the button on the home does, and is answered in direct messages.
func (h *heard) shortcut(c slack.InteractionCallback) error {
	if c.TriggerID == "" {
		return errors.New("decode shortcut: trigger is missing")
	}
	h.direct = true
	h.in = bot.Inbound{
		ID: c.TriggerID, Kind: bot.Click, Place: bot.Place{Surface: "slack", Channel: c.User.ID}, Action: card.ActAsk, Subject: "question", At: tsTime(c.ActionTs),
	}
	return nil
}

// pointed is the shortcut on a message. What stands in that message goes along as evidence.
func (h *heard) pointed(c slack.InteractionCallback, payload []byte) error {
	var raw struct {
		Message struct {
			Text        string `json:"text"`
			Blocks      any    `json:"blocks"`
			Attachments any    `json:"attachments"`
		} `json:"message"`
	}
	if err := json.Unmarshal(payload, &raw); err != nil {
		return fmt.Errorf("decode shortcut: %w", err)
	}
	if c.TriggerID == "" || c.Channel.ID == "" {
		return errors.New("decode shortcut: trigger or channel is missing")
	}
	thread := c.Message.ThreadTimestamp
	if thread == c.Message.Timestamp {
		thread = "" // it was seen in the channel
	}
	// Alerts of other systems stand in blocks and attachments, with little text beside them.
	words := append([]string{plainText(raw.Message.Text)}, bot.Shown(raw.Message.Blocks, shownIn, plainText)...)
	words = append(words, bot.Shown(raw.Message.Attachments, shownIn, plainText)...)
	// The place may be anybody's, such as two people's direct messages: the answer is for one person, and shows nothing there.
	h.ephemeral = true
	h.in = bot.Inbound{
		ID: c.TriggerID, Kind: bot.Pointed, Place: bot.Place{Surface: "slack", Channel: c.Channel.ID, Thread: thread},
		Evidence: layout.Cut(strings.Join(words, "\n"), bot.MaxEvidence), At: tsTime(c.ActionTs),
	}
	return nil
}

// shownIn are the fields of blocks and attachments whose strings people read.
var shownIn = []string{"text", "fallback", "pretext", "title", "value", "footer"}

// entity is one of Slack's marked-up references: <@U1|mia>, <#C1|ops>, <!here>, <https://x|label>.
var entity = regexp.MustCompile(`<([^<>\n]*)>`)

// unescape undoes Slack's three escapes, in one pass so that "&amp;lt;" stays "&lt;".
var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// plainText turns what Slack sends into what the person typed.
func plainText(s string) string {
	s = entity.ReplaceAllStringFunc(s, func(m string) string {
		ref, label, labelled := strings.Cut(m[1:len(m)-1], "|")
		switch {
		case strings.HasPrefix(ref, "@"):
			if labelled && label != "" {
				return "@" + label
			}
			return ref
		case strings.HasPrefix(ref, "#"):
			if labelled && label != "" {
				return "#" + label
			}
			return ref
		case strings.HasPrefix(ref, "!"):
			return "@" + strings.TrimPrefix(ref, "!")
		case labelled && label != "":
			return label // Slack links bare names such as shop.example.com: what was typed is the label
		}
		return strings.TrimPrefix(ref, "mailto:")
	})
	return strings.TrimSpace(unescape.Replace(s))
}

// mentioned gives whom a text names, by what plainText makes of the reference. What could mean two of them means nobody.
func mentioned(s string) map[string]string {
	var out map[string]string
	for _, m := range entity.FindAllStringSubmatch(s, -1) {
		ref, _, _ := strings.Cut(m[1], "|")
		id, group := strings.CutPrefix(ref, "!subteam^")
		if !group {
			var person bool
			if id, person = strings.CutPrefix(ref, "@"); !person {
				continue
			}
		}
		if id == "" {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		text := plainText(m[0])
		if other, twice := out[text]; twice && other != "slack:"+id {
			out[text] = ""
			continue
		}
		out[text] = "slack:" + id
	}
	return out
}

// tsTime reads a message's ts, zero when it is none.
func tsTime(ts string) time.Time {
	sec, frac, _ := strings.Cut(ts, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	micro, err := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	if err != nil {
		micro = 0
	}
	return time.Unix(n, micro*1000)
}

// isDirect tells a direct message channel by its id, as Slack documents them: C… and G… are channels, D… is direct. What is
// posted to a person, U… or W…, goes to the direct channel with them.
func isDirect(channel string) bool {
	return channel != "" && strings.Contains("DUW", channel[:1])
}

func nonEmpty(ss ...string) []string {
	return slices.DeleteFunc(ss, func(s string) bool { return s == "" })
}
