package generativeai

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// memory holds, for one conversation, what the library drops: every part of what the model said, as the bytes that came,
// by the place of the content in the history. Thoughts and parts that are only a signature are hidden from the library
// and are in here. When the history goes out again, the parts go back as they were.
//
// It is not safe for concurrent use; a session sends one request at a time.
type memory struct {
	turns map[int]turn
	heard turn // what is coming in now
}

// turn is one message of the model.
type turn struct {
	parts  []json.RawMessage
	calls  []call
	finish string // the API's word, "" until it came
	tokens int
}

// call is what the answer to a call must carry.
type call struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func newMemory() *memory { return &memory{turns: map[int]turn{}} }

// listen forgets what came in and was not kept.
func (m *memory) listen() { m.heard = turn{} }

// keep files what came in as the content at place i of the history.
func (m *memory) keep(i int) {
	m.turns[i] = m.heard
	m.heard = turn{}
}

// part is a part as far as the memory looks at it.
type part struct {
	Text             *string         `json:"text"`
	Thought          bool            `json:"thought"`
	ThoughtSignature string          `json:"thoughtSignature"`
	FunctionCall     json.RawMessage `json:"functionCall"`
}

// finishWords are the finish reasons by their numbers in the protocol of the Gemini API.
var finishWords = map[int]string{
	1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER", 6: "LANGUAGE", 7: "BLOCKLIST",
	8: "PROHIBITED_CONTENT", 9: "SPII", 10: "MALFORMED_FUNCTION_CALL", 11: "IMAGE_SAFETY", 12: "UNEXPECTED_TOOL_CALL",
	13: "TOO_MANY_TOOL_CALLS",
}

// word reads an enum that comes as a number or as a name.
func word(raw json.RawMessage) string {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		if name == "FINISH_REASON_UNSPECIFIED" {
			return ""
		}
		return name
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil || n == 0 {
		return ""
	}
	if w, ok := finishWords[n]; ok {
		return w
	}
	return "REASON_" + strconv.Itoa(n)
}

// hear takes one element of a streamed answer into the memory and gives the part of it that the library can read.
func (m *memory) hear(raw json.RawMessage) (json.RawMessage, error) {
	var chunk struct {
		Candidates     []map[string]json.RawMessage `json:"candidates"`
		PromptFeedback json.RawMessage              `json:"promptFeedback,omitempty"`
		UsageMetadata  struct {
			Total int `json:"totalTokenCount"`
		} `json:"usageMetadata"`
		Error json.RawMessage `json:"error,omitempty"`
	}
	if err := json.Unmarshal(raw, &chunk); err != nil {
		return nil, fmt.Errorf("element of the answer: %w", err)
	}
	if len(chunk.Error) > 0 {
		return nil, apiError(chunk.Error)
	}
	m.heard.tokens = max(m.heard.tokens, chunk.UsageMetadata.Total)
	visible := map[string]any{}
	if len(chunk.PromptFeedback) > 0 {
		visible["promptFeedback"] = chunk.PromptFeedback
	}
	if len(chunk.Candidates) > 0 { // only one is ever asked for
		c := chunk.Candidates[0]
		if w := word(c["finishReason"]); w != "" {
			m.heard.finish = w
		}
		shown := map[string]any{"index": 0}
		// The library knows few reasons and only acts on two; the session reads the word from here.
		if w := m.heard.finish; w == "SAFETY" || w == "RECITATION" {
			shown["finishReason"] = w
		}
		if len(c["content"]) > 0 {
			var content struct {
				Parts []json.RawMessage `json:"parts"`
			}
			if err := json.Unmarshal(c["content"], &content); err != nil {
				return nil, fmt.Errorf("content of the answer: %w", err)
			}
			parts, err := m.take(content.Parts)
			if err != nil {
				return nil, err
			}
			shown["content"] = map[string]any{"role": "model", "parts": parts}
		}
		visible["candidates"] = []any{shown}
	}
	return json.Marshal(visible)
}

// take files the parts of one chunk and gives those that the library may see, without what it does not know.
func (m *memory) take(parts []json.RawMessage) ([]any, error) {
	visible := []any{}
	for _, raw := range parts {
		var p part
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, fmt.Errorf("part of the answer: %w", err)
		}
		if p.text() && *p.Text == "" {
			continue // holds nothing, and the API would refuse it
		}
		m.file(raw, p)
		switch {
		case len(p.FunctionCall) > 0 && string(p.FunctionCall) != "null":
			var c call
			if err := json.Unmarshal(p.FunctionCall, &c); err != nil {
				return nil, fmt.Errorf("function call of the answer: %w", err)
			}
			m.heard.calls = append(m.heard.calls, c)
			visible = append(visible, map[string]any{"functionCall": p.FunctionCall})
		case p.Text != nil && !p.Thought && *p.Text != "":
			visible = append(visible, map[string]any{"text": *p.Text})
		}
	}
	return visible, nil
}

// text reports whether the part is unsigned text for the reader, which may be joined to its neighbour.
func (p part) text() bool {
	return p.Text != nil && !p.Thought && p.ThoughtSignature == "" && len(p.FunctionCall) == 0
}

// file appends a part. Neighbouring texts without a signature become one, as they would have been without streaming.
func (m *memory) file(raw json.RawMessage, p part) {
	if n := len(m.heard.parts); n > 0 && p.text() {
		var last part
		if err := json.Unmarshal(m.heard.parts[n-1], &last); err == nil && last.text() {
			joined, err := json.Marshal(map[string]string{"text": *last.Text + *p.Text})
			if err == nil {
				m.heard.parts[n-1] = joined
				return
			}
		}
	}
	m.heard.parts = append(m.heard.parts, append(json.RawMessage(nil), raw...))
}

// restore puts what was kept back into an outgoing request: the model's parts as they came, and the ids of the calls into
// the answers to them. It also asks for little thinking, for which the library has no field.
func (m *memory) restore(body []byte) ([]byte, error) {
	var req map[string]json.RawMessage
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	var contents []map[string]json.RawMessage
	if err := json.Unmarshal(req["contents"], &contents); err != nil {
		return nil, fmt.Errorf("contents: %w", err)
	}
	for i := range contents {
		if t, ok := m.turns[i]; ok {
			raw, err := json.Marshal(t.parts)
			if err != nil {
				return nil, fmt.Errorf("contents[%d]: %w", i, err)
			}
			contents[i]["parts"] = raw
		}
		if t, ok := m.turns[i-1]; ok && len(t.calls) > 0 {
			raw, err := answered(contents[i]["parts"], t.calls)
			if err != nil {
				return nil, fmt.Errorf("contents[%d]: %w", i, err)
			}
			contents[i]["parts"] = raw
		}
	}
	config := map[string]json.RawMessage{}
	if len(req["generationConfig"]) > 0 {
		if err := json.Unmarshal(req["generationConfig"], &config); err != nil {
			return nil, fmt.Errorf("generationConfig: %w", err)
		}
	}
	config["thinkingConfig"] = json.RawMessage(`{"thinkingLevel":"LOW"}`)
	var err error
	if req["contents"], err = json.Marshal(contents); err != nil {
		return nil, err
	}
	if req["generationConfig"], err = json.Marshal(config); err != nil {
		return nil, err
	}
	return json.Marshal(req)
}

// answered puts the ids of calls into the answers to them, which come in the same order.
func answered(raw json.RawMessage, calls []call) (json.RawMessage, error) {
	var parts []struct {
		FunctionResponse map[string]json.RawMessage `json:"functionResponse"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, err
	}
	if len(parts) != len(calls) {
		return nil, fmt.Errorf("%d answers to %d calls", len(parts), len(calls))
	}
	for i, c := range calls {
		var name string
		if err := json.Unmarshal(parts[i].FunctionResponse["name"], &name); err != nil || name != c.Name {
			return nil, errors.Join(fmt.Errorf("answer %d is for %q and not for %q", i, name, c.Name), err)
		}
		if c.ID == "" {
			continue
		}
		id, err := json.Marshal(c.ID)
		if err != nil {
			return nil, err
		}
		parts[i].FunctionResponse["id"] = id
	}
	return json.Marshal(parts)
}
