package discordfake

import (
	"encoding/json"
	"time"
)

// interaction is a command, a click or a prompt that waits for its first answer.
type interaction struct {
	id, token, channel, user string
	message                  *Message // that was clicked
	timer                    *time.Timer
	answered                 bool
	completing               bool     // an option is being typed: the answer is choices
	choices                  []Choice // that were suggested
	original                 *Message // what the first answer made
}

func (s *Server) byTokenLocked(token string) *interaction {
	for _, i := range s.interactions {
		if i.token == token {
			return i
		}
	}
	return nil
}

const flagEphemeral = 1 << 6

func (s *Server) firstAnswer(c *call) (any, *refusal) {
	i := s.interactions[c.path("interaction")]
	if i == nil || i.token != c.path("token") {
		return nil, &refusal{status: 404, code: 10062, detail: "Unknown interaction"}
	}
	if i.answered {
		return nil, &refusal{status: 400, code: 40060, detail: "Interaction has already been acknowledged."}
	}
	var body struct {
		Type int             `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if refused := c.decode(&body); refused != nil {
		return nil, refused
	}
	m := &Message{Channel: i.channel, Author: BotUser}
	if i.completing != (body.Type == 8) {
		return nil, invalid("type: %d does not answer this interaction", body.Type)
	}
	switch body.Type {
	case 8:
		var data struct {
			Choices *[]Choice `json:"choices"`
		}
		if err := json.Unmarshal(body.Data, &data); err != nil {
			return nil, invalid("%v", err)
		}
		if data.Choices == nil {
			return nil, invalid("choices: this field is required")
		}
		if refused := checkChoices(*data.Choices); refused != nil {
			return nil, refused
		}
		i.choices = *data.Choices
	case 4, 5:
		var p payload
		if len(body.Data) > 0 {
			if err := json.Unmarshal(body.Data, &p); err != nil {
				return nil, invalid("%v", err)
			}
		}
		if body.Type == 4 {
			content, _, refused := contentOf(p, c.files)
			if refused != nil {
				return nil, refused
			}
			content.Channel, content.Author = m.Channel, m.Author
			m = content
		}
		m.pending = body.Type == 5
		if p.Flags&flagEphemeral != 0 {
			m.Only = i.user
		}
		s.addLocked(m)
		i.original = m
	case 6:
		if i.message == nil {
			return nil, invalid("type: there is no message to update")
		}
		i.original = i.message
	case 9:
		var f promptForm
		if err := json.Unmarshal(body.Data, &f); err != nil {
			return nil, invalid("%v", err)
		}
		if refused := checkPrompt(f); refused != nil {
			return nil, refused
		}
		s.prompts[i.user] = Prompt{User: i.user, form: f, channel: i.channel, message: i.message}
	default:
		return nil, invalid("type: %d", body.Type)
	}
	i.answered = true
	i.timer.Stop()
	return nil, nil
}

func (s *Server) editOriginal(c *call) (any, *refusal) {
	i := s.byTokenLocked(c.path("token"))
	if i == nil || i.original == nil || i.original.deleted {
		return nil, &refusal{status: 404, code: 10015, detail: "Unknown Webhook"}
	}
	by, _, refused := s.contentLocked(c)
	if refused != nil {
		return nil, refused
	}
	i.original.pending = false
	i.original.replace(by)
	return map[string]any{"id": i.original.ID}, nil
}

func (s *Server) deleteOriginal(c *call) (any, *refusal) {
	i := s.byTokenLocked(c.path("token"))
	if i == nil || i.original == nil || i.original.deleted {
		return nil, &refusal{status: 404, code: 10015, detail: "Unknown Webhook"}
	}
	i.original.deleted = true
	return nil, nil
}

func (s *Server) followUp(c *call) (any, *refusal) {
	i := s.byTokenLocked(c.path("token"))
	if i == nil || !i.answered {
		return nil, &refusal{status: 404, code: 10015, detail: "Unknown Webhook"}
	}
	m, p, refused := s.contentLocked(c)
	if refused != nil {
		return nil, refused
	}
	m.Channel, m.Author = i.channel, BotUser
	if p.Flags&flagEphemeral != 0 {
		m.Only = i.user
	}
	if i.original != nil && i.original.pending && !i.original.deleted {
		// Discord lets the first message after an announcement take its place, visible to whom that was.
		m.Only = i.original.Only
		i.original.deleted = true
	}
	s.addLocked(m)
	return map[string]any{"id": m.ID, "channel_id": m.Channel}, nil
}

func (s *Server) interactionLocked(channel, user string, message *Message) *interaction {
	id := s.idLocked()
	i := &interaction{id: id, token: "token-" + id, channel: channel, user: user, message: message}
	i.timer = time.AfterFunc(s.cfg.AnswerWithin, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !i.answered && !s.closed {
			s.faultLocked("an interaction of %s got no answer within %s", user, s.cfg.AnswerWithin)
			delete(s.interactions, i.id)
		}
	})
	s.interactions[id] = i
	return i
}
