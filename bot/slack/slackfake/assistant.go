package slackfake

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Slack's limits of an assistant's thread and of a streamed message. For a title it names none.
const (
	maxPrompts         = 4
	maxLoadingMessages = 10
)

// Suggestion is a prompt that a person may press instead of typing.
type Suggestion struct {
	Title   string `json:"title"`
	Message string `json:"message"`
}

// AssistantThread is what an assistant's thread shows beside its messages.
type AssistantThread struct {
	Channel, Thread string
	Status, Title   string
	Suggestions     []Suggestion
}

// OpenAssistant opens a new conversation with the app in the assistant's pane.
func (s *Server) OpenAssistant(user, looksAt string) (AssistantThread, error) {
	s.mu.Lock()
	channel := s.directLocked(user)
	root := s.addLocked(Message{Channel: channel, User: BotUser, Fallback: "New Assistant Thread"})
	root.Thread = root.TS
	a := &AssistantThread{Channel: channel, Thread: root.TS}
	s.assistants[channel+" "+root.TS] = a
	payload := s.assistantEventLocked("assistant_thread_started", user, a, looksAt)
	thread := *a
	s.mu.Unlock()
	return thread, s.deliver(kindEvent, payload)
}

// LookAt has a person with an open assistant's thread look at another channel.
func (s *Server) LookAt(user string, a AssistantThread, channel string) error {
	s.mu.Lock()
	payload := s.assistantEventLocked("assistant_thread_context_changed", user, &a, channel)
	s.mu.Unlock()
	return s.deliver(kindEvent, payload)
}

func (s *Server) assistantEventLocked(kind, user string, a *AssistantThread, looksAt string) map[string]any {
	return s.eventLocked(map[string]any{
		"type": kind, "event_ts": s.tsLocked(), "assistant_thread": map[string]any{
			"user_id": user, "channel_id": a.Channel, "thread_ts": a.Thread,
			"context": map[string]any{"channel_id": looksAt, "team_id": Team, "enterprise_id": nil},
		},
	})
}

// Assistant is the present state of an assistant's thread.
func (s *Server) Assistant(channel, thread string) AssistantThread {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.assistants[channel+" "+thread]; a != nil {
		return *a
	}
	return AssistantThread{}
}

func (s *Server) assistantLocked(a args) (*AssistantThread, *refusal) {
	if _, ok := s.channels[a.get("channel_id")]; !ok {
		return nil, &refusal{"channel_not_found", a.get("channel_id")}
	}
	t := s.assistants[a.get("channel_id")+" "+a.get("thread_ts")]
	if t == nil {
		return nil, &refusal{"invalid_thread_ts", a.get("thread_ts")}
	}
	return t, nil
}

func (s *Server) setStatus(a args) (map[string]any, *refusal) {
	t, refused := s.assistantLocked(a)
	switch {
	case refused != nil:
		return nil, refused
	case !a.has("status"):
		return nil, &refusal{"invalid_arguments", "status is missing"}
	case a.get("loading_messages") != "" && len(strings.Split(a.get("loading_messages"), ",")) > maxLoadingMessages:
		return nil, &refusal{"invalid_arguments", fmt.Sprintf("no more than %d loading messages", maxLoadingMessages)}
	}
	t.Status = a.get("status")
	return nil, nil
}

func (s *Server) setTitle(a args) (map[string]any, *refusal) {
	t, refused := s.assistantLocked(a)
	if refused != nil {
		return nil, refused
	}
	if a.get("title") == "" {
		return nil, &refusal{"invalid_arguments", "title is missing"}
	}
	t.Title = a.get("title")
	return nil, nil
}

func (s *Server) setPrompts(a args) (map[string]any, *refusal) {
	t, refused := s.assistantLocked(a)
	if refused != nil {
		return nil, refused
	}
	var prompts []Suggestion
	if err := json.Unmarshal([]byte(a.get("prompts")), &prompts); err != nil {
		return nil, &refusal{"invalid_arguments", err.Error()}
	}
	if len(prompts) == 0 || len(prompts) > maxPrompts {
		return nil, &refusal{"invalid_arguments", fmt.Sprintf("1 to %d prompts", maxPrompts)}
	}
	for _, p := range prompts {
		if p.Title == "" || p.Message == "" {
			return nil, &refusal{"invalid_arguments", "a prompt needs a title and a message"}
		}
	}
	t.Suggestions = prompts
	return nil, nil
}

// partLocked reads and checks what a call adds to a streamed message: text, or chunks of text and blocks.
func partLocked(a args) (text string, blocks []any, refused *refusal) {
	text = a.get("markdown_text")
	var chunks []map[string]any
	if raw := a.get("chunks"); raw != "" {
		if err := json.Unmarshal([]byte(raw), &chunks); err != nil {
			return "", nil, &refusal{"invalid_chunks", err.Error()}
		}
	}
	for _, c := range chunks {
		switch str(c, "type") {
		case "markdown_text":
			text += str(c, "text")
		case "task_update":
			if str(c, "id") == "" || str(c, "title") == "" {
				return "", nil, &refusal{"invalid_chunks", "a task needs an id and a title"}
			}
		case "plan_update":
		case "blocks":
			blocks = append(blocks, array(c, "blocks")...)
		default:
			return "", nil, &refusal{"invalid_chunks", "unknown type " + str(c, "type")}
		}
	}
	if runes(text) > maxMarkdown {
		return "", nil, &refusal{"msg_too_long", fmt.Sprintf("%d characters", runes(text))}
	}
	return text, blocks, nil
}

// growLocked adds a part to a streamed message. All its chunks together hold as many blocks as a message.
func growLocked(p *post, text string, blocks []any) *refusal {
	all := append(p.Blocks[:len(p.Blocks):len(p.Blocks)], blocks...)
	if refused := checkBlocks(all, false); refused != nil {
		return refused
	}
	p.Blocks = all
	p.Fallback += text
	p.Parts++
	return nil
}

func (s *Server) startStream(a args) (map[string]any, *refusal) {
	channel, thread := a.get("channel"), a.get("thread_ts")
	if refused := s.placeLocked(channel, thread); refused != nil {
		return nil, refused
	}
	if thread == "" {
		return nil, &refusal{"invalid_arguments", "a stream answers a message: thread_ts is missing"}
	}
	if !strings.HasPrefix(channel, "D") && (a.get("recipient_user_id") == "" || a.get("recipient_team_id") == "") {
		return nil, &refusal{"missing_recipient_user_id", "in a channel it is for somebody"}
	}
	text, blocks, refused := partLocked(a)
	if refused != nil {
		return nil, refused
	}
	if wait := s.takeLocked(channel); wait > 0 {
		return nil, &refusal{"ratelimited", strconv.Itoa(wait)}
	}
	p := &post{Message: Message{Channel: channel, Thread: s.rootLocked(channel, thread), User: BotUser}}
	if refused := growLocked(p, text, blocks); refused != nil {
		return nil, refused
	}
	added := s.addLocked(p.Message)
	added.Streaming = true
	s.echoLocked(added, "")
	return map[string]any{"channel": channel, "ts": added.TS}, nil
}

func (s *Server) streamLocked(a args) (*post, *refusal) {
	p := s.findLocked(a.get("channel"), a.get("ts"))
	switch {
	case p == nil:
		return nil, &refusal{"message_not_found", a.get("ts")}
	case p.User != BotUser:
		return nil, &refusal{"message_not_owned_by_app", a.get("ts")}
	case !p.Streaming:
		return nil, &refusal{"message_not_in_streaming_state", a.get("ts")}
	}
	return p, nil
}

func (s *Server) appendStream(a args) (map[string]any, *refusal) {
	p, refused := s.streamLocked(a)
	if refused != nil {
		return nil, refused
	}
	text, blocks, refused := partLocked(a)
	if refused != nil {
		return nil, refused
	}
	if text == "" && len(blocks) == 0 && a.get("chunks") == "" {
		return nil, &refusal{"no_text", ""}
	}
	if refused := growLocked(p, text, blocks); refused != nil {
		return nil, refused
	}
	return map[string]any{"channel": p.Channel, "ts": p.TS}, nil
}

func (s *Server) stopStream(a args) (map[string]any, *refusal) {
	p, refused := s.streamLocked(a)
	if refused != nil {
		return nil, refused
	}
	text, blocks, refused := partLocked(a)
	if refused != nil {
		return nil, refused
	}
	var last []any
	if raw := a.get("blocks"); raw != "" {
		if err := json.Unmarshal([]byte(raw), &last); err != nil {
			return nil, &refusal{"invalid_blocks_format", err.Error()}
		}
	}
	// What comes at the end has a limit of its own.
	if refused := checkBlocks(last, false); refused != nil {
		return nil, refused
	}
	if text != "" || len(blocks) > 0 {
		if refused := growLocked(p, text, blocks); refused != nil {
			return nil, refused
		}
	}
	p.Blocks = append(p.Blocks[:len(p.Blocks):len(p.Blocks)], last...)
	p.Streaming = false
	s.echoLocked(p, "message_changed")
	return map[string]any{"channel": p.Channel, "ts": p.TS}, nil
}
