package slackfake

import (
	"encoding/json"
	"fmt"
	"testing"
)

func encode(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAnAssistantsThreadIsHeldToItsLimits(t *testing.T) {
	s := New(Config{Burst: -1})
	defer s.Close()
	a, err := s.OpenAssistant("U0MIA", "C0OPS")
	if err == nil {
		t.Fatal("nobody is connected, and it was delivered")
	}
	prompts := func(n int, title, message string) string {
		return encode(t, repeated(n, func(int) any { return obj{"title": title, "message": message} }))
	}
	blocks := func(n int) string {
		return encode(t, []any{obj{"type": "blocks", "blocks": repeated(n, func(int) any { return obj{"type": "divider"} })}})
	}
	begin := func() string {
		code, answer := call(t, s, "chat.startStream", map[string]string{"channel": a.Channel, "thread_ts": a.Thread, "chunks": blocks(1)})
		if code != "" {
			t.Fatal(code)
		}
		return str(answer, "ts")
	}
	ended := begin()
	if code, _ := call(t, s, "chat.stopStream", map[string]string{"channel": a.Channel, "ts": ended}); code != "" {
		t.Fatal(code)
	}
	in := func(more map[string]string) map[string]string {
		out := map[string]string{"channel": a.Channel, "channel_id": a.Channel, "thread_ts": a.Thread}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	for name, c := range map[string]struct {
		method string
		form   map[string]string
		want   string
	}{
		"4 prompts":                  {"assistant.threads.setSuggestedPrompts", in(map[string]string{"prompts": prompts(4, "t", "m")}), ""},
		"5 prompts":                  {"assistant.threads.setSuggestedPrompts", in(map[string]string{"prompts": prompts(5, "t", "m")}), "invalid_arguments"},
		"no prompt":                  {"assistant.threads.setSuggestedPrompts", in(map[string]string{"prompts": "[]"}), "invalid_arguments"},
		"a prompt without a title":   {"assistant.threads.setSuggestedPrompts", in(map[string]string{"prompts": prompts(1, "", "m")}), "invalid_arguments"},
		"a prompt without a message": {"assistant.threads.setSuggestedPrompts", in(map[string]string{"prompts": prompts(1, "t", "")}), "invalid_arguments"},
		"a status":                   {"assistant.threads.setStatus", in(map[string]string{"status": "s"}), ""},
		"no status":                  {"assistant.threads.setStatus", in(nil), "invalid_arguments"},
		"11 loading messages":        {"assistant.threads.setStatus", in(map[string]string{"status": "s", "loading_messages": "1,2,3,4,5,6,7,8,9,10,11"}), "invalid_arguments"},
		"a status elsewhere":         {"assistant.threads.setStatus", in(map[string]string{"status": "s", "thread_ts": "1.1"}), "invalid_thread_ts"},
		"a status nowhere":           {"assistant.threads.setStatus", in(map[string]string{"status": "s", "channel_id": "D0NONE"}), "channel_not_found"},
		"no title":                   {"assistant.threads.setTitle", in(nil), "invalid_arguments"},
		"a stream to nobody":         {"chat.startStream", map[string]string{"channel": a.Channel, "chunks": blocks(1)}, "invalid_arguments"},
		"50 blocks":                  {"chat.startStream", in(map[string]string{"chunks": blocks(50)}), ""},
		"51 blocks":                  {"chat.startStream", in(map[string]string{"chunks": blocks(51)}), "invalid_blocks"},
		"51 blocks bit by bit":       {"chat.appendStream", in(map[string]string{"ts": begin(), "chunks": blocks(50)}), "invalid_blocks"},
		"51 blocks at the end":       {"chat.stopStream", in(map[string]string{"ts": begin(), "blocks": encode(t, repeated(51, func(int) any { return obj{"type": "divider"} }))}), "invalid_blocks"},
		"12000 characters":           {"chat.appendStream", in(map[string]string{"ts": begin(), "markdown_text": x(12_000)}), ""},
		"12001 characters":           {"chat.appendStream", in(map[string]string{"ts": begin(), "markdown_text": x(12_001)}), "msg_too_long"},
		"nothing":                    {"chat.appendStream", in(map[string]string{"ts": begin()}), "no_text"},
		"a chunk of another kind":    {"chat.appendStream", in(map[string]string{"ts": begin(), "chunks": `[{"type":"hologram"}]`}), "invalid_chunks"},
		"a task without a name":      {"chat.appendStream", in(map[string]string{"ts": begin(), "chunks": `[{"type":"task_update","id":"1"}]`}), "invalid_chunks"},
		"more after the end":         {"chat.appendStream", in(map[string]string{"ts": ended, "markdown_text": "more"}), "message_not_in_streaming_state"},
		"a second end":               {"chat.stopStream", in(map[string]string{"ts": ended}), "message_not_in_streaming_state"},
		"a person's message":         {"chat.stopStream", in(map[string]string{"ts": "1.1"}), "message_not_found"},
		"an edit of what streams":    {"chat.update", in(map[string]string{"ts": begin(), "text": "t"}), "streaming_state_conflict"},
	} {
		if code, _ := call(t, s, c.method, c.form); code != c.want {
			t.Errorf("%s: %q, want %q", name, code, c.want)
		}
	}
	said, err := s.say("U0MIA", "C0OPS", "", "hello")
	if err == nil {
		t.Error("nobody is connected, and it was delivered")
	}
	if code, _ := call(t, s, "chat.startStream", map[string]string{"channel": "C0OPS", "thread_ts": said.TS, "chunks": blocks(1)}); code != "missing_recipient_user_id" {
		t.Errorf("a stream in a channel for nobody: %q", code)
	}
	if n := len(s.Faults()); n < 10 {
		t.Errorf("only %d breaches are remembered: %s", n, fmt.Sprint(s.Faults()))
	}
}
