package discordfake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Prompt is an open prompt.
type Prompt struct {
	User    string
	form    promptForm
	channel string
	message *Message
}

// Text is the prompt's title, labels and hints.
func (p Prompt) Text() string {
	lines := []string{p.form.Title}
	for _, l := range p.form.Components {
		lines = append(lines, l.Label)
		for _, o := range l.Component.Options {
			lines = append(lines, "  "+o.Label)
		}
		if l.Description != "" {
			lines = append(lines, l.Description)
		}
	}
	return strings.Join(lines, "\n")
}

// Slash uses the command /atl with a text.
func (s *Server) Slash(user, channel, text string) error {
	return s.SlashWith(user, channel, map[string]string{"text": text})
}

// SlashWith uses the command /atl with options by their names.
func (s *Server) SlashWith(user, channel string, options map[string]string) error {
	s.mu.Lock()
	i := s.interactionLocked(channel, user, nil)
	event := s.interactionEventLocked(i, 2, map[string]any{"id": "1", "name": "atl", "type": 1, "options": optionValues(options, "")})
	s.mu.Unlock()
	return s.interact(event)
}

// onMessage is the type of a command in a message's menu.
const onMessage = 3

// Point takes a command from the menu of a message that a person sees. Discord sends along what stands in it.
func (s *Server) Point(user string, m Message, command string) error {
	s.mu.Lock()
	if !slices.Contains(s.onMessages, command) {
		s.mu.Unlock()
		return fmt.Errorf("discordfake: messages have no command %q", command)
	}
	target := map[string]any{
		"id": m.ID, "channel_id": m.Channel, "content": m.Content, "embeds": m.Embeds, "author": userOf(s.users[m.Author]), "type": 0,
	}
	event := s.interactionEventLocked(s.interactionLocked(m.Channel, user, nil), 2, map[string]any{
		"id": "2", "name": command, "type": onMessage, "target_id": m.ID, "resolved": map[string]any{"messages": map[string]any{m.ID: target}},
	})
	s.mu.Unlock()
	return s.interact(event)
}

func optionValues(options map[string]string, focused string) []any {
	out := []any{}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		o := map[string]any{"name": name, "type": 3, "value": options[name]}
		if name == focused {
			o["focused"] = true
		}
		out = append(out, o)
	}
	return out
}

// Suggestions are what the bot offers a person who has typed so much of an option, given the other options. It fails when
// the command has no such option that can be completed, or when nothing came in time.
func (s *Server) Suggestions(ctx context.Context, user, channel, option, typed string, others map[string]string) ([]Choice, error) {
	s.mu.Lock()
	if !slices.ContainsFunc(s.options, func(o commandOption) bool { return o.Name == option && o.Autocomplete }) {
		s.mu.Unlock()
		return nil, fmt.Errorf("discordfake: the command has no option %q that is completed", option)
	}
	options := map[string]string{option: typed}
	maps.Copy(options, others)
	i := s.interactionLocked(channel, user, nil)
	i.completing = true
	event := s.interactionEventLocked(i, 4, map[string]any{"id": "1", "name": "atl", "type": 1, "options": optionValues(options, option)})
	s.mu.Unlock()
	if err := s.interact(event); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.AnswerWithin)
	defer cancel()
	err := s.Wait(ctx, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return i.answered })
	s.mu.Lock()
	defer s.mu.Unlock()
	return i.choices, err
}

// Mention writes a message that names the bot, in a channel or thread.
func (s *Server) Mention(user, channel, text string) (Message, error) {
	return s.say(user, channel, "<@"+BotUser+"> "+text, []string{BotUser})
}

// Reply writes in a thread; Say in a channel, to nobody in particular. To Discord both are messages in a channel.
func (s *Server) Reply(user, thread, text string) (Message, error) {
	return s.say(user, thread, text, nil)
}

// Say writes in a channel, to nobody in particular.
func (s *Server) Say(user, channel, text string) (Message, error) {
	return s.say(user, channel, text, nil)
}

// Direct writes to the bot alone. The channel is in the message that it returns.
func (s *Server) Direct(user, text string) (Message, error) {
	s.mu.Lock()
	channel := s.directLocked(user)
	s.mu.Unlock()
	return s.say(user, channel, text, nil)
}

// Thread starts a thread of a person's on a message, and gives its id.
func (s *Server) Thread(user string, m Message, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.findLocked(m.Channel, m.ID)
	if found == nil || found.Thread != "" {
		return "", fmt.Errorf("discordfake: no thread can start on %s", m.ID)
	}
	found.Thread = m.ID
	s.channels[m.ID] = &channel{id: m.ID, parent: m.Channel, owner: user, name: name}
	return m.ID, nil
}

func (s *Server) say(user, channel, text string, mentions []string) (Message, error) {
	s.mu.Lock()
	if s.channels[channel] == nil {
		s.mu.Unlock()
		return Message{}, fmt.Errorf("discordfake: no channel %s", channel)
	}
	m := &Message{Channel: channel, Author: user, Content: text}
	s.addLocked(m)
	event, said := s.messageEventLocked(m, mentions), m.snapshot()
	s.mu.Unlock()
	return said, s.dispatch("MESSAGE_CREATE", event)
}

// messageEventLocked is a MESSAGE_CREATE. Without the Message Content Intent, the words of what is neither direct nor
// for the bot are withheld.
func (s *Server) messageEventLocked(m *Message, mentions []string) map[string]any {
	u := s.users[m.Author]
	if m.Author == BotUser {
		u = User{ID: BotUser, Name: "atlhyper", Bot: true}
	}
	named := []any{}
	for _, id := range mentions {
		named = append(named, map[string]any{"id": id, "bot": id == BotUser})
	}
	c := s.channels[m.Channel]
	content := m.Content
	if s.cfg.NoContentIntent && c.direct == "" && len(mentions) == 0 {
		content = ""
	}
	event := map[string]any{
		"id": m.ID, "channel_id": m.Channel, "type": 0, "content": content, "author": userOf(u), "mentions": named,
		"timestamp": s.cfg.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00"),
	}
	if c.direct == "" {
		member := memberOf(u)
		delete(member, "user")
		event["guild_id"], event["member"] = Guild, member
	}
	return event
}

func (s *Server) interactionEventLocked(i *interaction, kind int, data map[string]any) map[string]any {
	u := s.users[i.user]
	event := map[string]any{
		"id": i.id, "application_id": BotUser, "type": kind, "token": i.token, "version": 1,
		"channel_id": i.channel, "locale": cmp.Or(u.Locale, "ja"), "data": data,
	}
	if s.channels[i.channel] != nil && s.channels[i.channel].direct != "" {
		event["user"] = userOf(u)
	} else {
		event["guild_id"], event["member"] = Guild, memberOf(u)
	}
	if m := i.message; m != nil {
		message := s.messageEventLocked(m, nil)
		if m.Thread != "" {
			message["flags"] = 1 << 5
		}
		event["message"] = message
	}
	return event
}

// Click presses the button with this label on the message as it is now. It fails when there is no such button, as a
// person would.
func (s *Server) Click(user string, m Message, label string) error {
	return s.act(user, m, func(now *Message) (map[string]any, error) {
		for _, b := range now.Buttons() {
			if b.Label == label {
				return map[string]any{"custom_id": b.CustomID, "component_type": typeButton}, nil
			}
		}
		return nil, fmt.Errorf("discordfake: the message has no button %q:\n%s", label, now.Text())
	})
}

// Choose takes the option with this label from a menu on the message as it is now.
func (s *Server) Choose(user string, m Message, label string) error {
	return s.act(user, m, func(now *Message) (map[string]any, error) {
		for _, o := range now.Options() {
			if o.Label == label {
				return map[string]any{"custom_id": o.CustomID, "component_type": typeMenu, "values": []string{o.Value}}, nil
			}
		}
		return nil, fmt.Errorf("discordfake: no menu of the message has %q:\n%s", label, now.Text())
	})
}

// act tells the bot of what a person did with a component of a message.
func (s *Server) act(user string, m Message, component func(now *Message) (map[string]any, error)) error {
	s.mu.Lock()
	now := s.findLocked(m.Channel, m.ID)
	if now == nil || now.Only != "" && now.Only != user {
		s.mu.Unlock()
		return fmt.Errorf("discordfake: %s sees no message %s in %s", user, m.ID, m.Channel)
	}
	data, err := component(now)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	event := s.interactionEventLocked(s.interactionLocked(m.Channel, user, now), 3, data)
	s.mu.Unlock()
	return s.interact(event)
}

// Prompt is the prompt that a person has open.
func (s *Server) Prompt(user string) (Prompt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.prompts[user]
	return p, ok
}

// Submit fills in the prompt's inputs by their ids and sends it off. What is not given stays as it stands there, and
// Discord lets nobody leave a required input empty, or choose what is no option.
func (s *Server) Submit(user string, p Prompt, fields map[string]string) error {
	s.mu.Lock()
	if _, ok := s.prompts[user]; !ok {
		s.mu.Unlock()
		return fmt.Errorf("discordfake: %s has no prompt open", user)
	}
	parts, err := p.fill(fields)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	delete(s.prompts, user)
	i := s.interactionLocked(p.channel, user, p.message)
	event := s.interactionEventLocked(i, 5, map[string]any{"custom_id": p.form.CustomID, "components": parts})
	s.mu.Unlock()
	return s.interact(event)
}

// fill gives the components of a prompt that is sent off.
func (p Prompt) fill(fields map[string]string) ([]any, error) {
	left := maps.Clone(fields)
	var parts []any
	for _, l := range p.form.Components {
		id := l.Component.CustomID
		text, given := left[id]
		delete(left, id)
		part := map[string]any{"type": l.Component.Type, "custom_id": id}
		switch l.Component.Type {
		case typeMenu:
			at := slices.IndexFunc(l.Component.Options, func(o Option) bool { return given && o.Value == text || !given && o.Default })
			if at < 0 && text != "" {
				return nil, fmt.Errorf("discordfake: %q is no option of %s", text, id)
			}
			values := []string{}
			if at >= 0 {
				text = l.Component.Options[at].Value
				values = append(values, text)
			}
			part["values"] = values
		default:
			if !given {
				text = l.Component.Value
			}
			if runes(text) > l.Component.MaxLength {
				return nil, fmt.Errorf("discordfake: %s takes no more than %d characters", id, l.Component.MaxLength)
			}
			part["value"] = text
		}
		if required := l.Component.Required == nil || *l.Component.Required; text == "" && required {
			return nil, fmt.Errorf("discordfake: %s must be filled in", id)
		}
		parts = append(parts, map[string]any{"type": typeLabel, "component": part})
	}
	for id := range left {
		return nil, fmt.Errorf("discordfake: the prompt has no input %q", id)
	}
	return parts, nil
}
