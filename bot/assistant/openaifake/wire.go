package openaifake

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
)

// wireRequest is what a client sends, as far as the fake looks at it.
type wireRequest struct {
	Model         string          `json:"model"`
	Messages      []wireMessage   `json:"messages"`
	Tools         []wireTool      `json:"tools"`
	ToolChoice    json.RawMessage `json:"tool_choice"`
	Stream        bool            `json:"stream"`
	MaxTokens     *int            `json:"max_tokens"`
	MaxCompletion *int            `json:"max_completion_tokens"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

type wireMessage struct {
	Role       string     `json:"role"`
	Content    any        `json:"content"`
	ToolCallID string     `json:"tool_call_id"`
	ToolCalls  []wireCall `json:"tool_calls"`
}

type wireCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string  `json:"name"`
		Arguments *string `json:"arguments"`
	} `json:"function"`
}

type wireTool struct {
	Type     string `json:"type"`
	Function struct {
		Name       string         `json:"name"`
		Parameters map[string]any `json:"parameters"`
	} `json:"function"`
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// check refuses what the API refuses.
func (in wireRequest) check() string {
	switch {
	case in.Model == "":
		return "you must provide a model parameter"
	case len(in.Messages) == 0:
		return "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
	case in.MaxTokens != nil && in.MaxCompletion != nil:
		return "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
	case !in.Stream:
		return "the fake only streams"
	case len(in.ToolChoice) > 0 && len(in.Tools) == 0:
		return "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
	}
	seen := map[string]bool{}
	for i, t := range in.Tools {
		switch {
		case t.Type != "function":
			return fmt.Sprintf("Invalid value: '%s'. Supported values are: 'function' and 'custom'. (tools[%d].type)", t.Type, i)
		case !toolName.MatchString(t.Function.Name):
			return fmt.Sprintf("Invalid 'tools[%d].function.name': string does not match pattern.", i)
		case seen[t.Function.Name]:
			return "tools: Tool names must be unique."
		case t.Function.Parameters != nil && t.Function.Parameters["type"] != "object":
			return fmt.Sprintf("Invalid schema for function '%s': schema must be a JSON Schema of 'type: \"object\"'.", t.Function.Name)
		}
		seen[t.Function.Name] = true
	}
	var open []string // calls that wait for their output
	calling := false
	for i, m := range in.Messages {
		if m.Role != "tool" && len(open) > 0 {
			break
		}
		_, isText := m.Content.(string)
		_, isParts := m.Content.([]any)
		switch m.Role {
		case "system", "developer", "user":
			if !isText && !isParts {
				return fmt.Sprintf("Invalid value for 'content': expected a string, got null. (messages[%d].content)", i)
			}
			calling = false
		case "assistant":
			if m.Content == nil && len(m.ToolCalls) == 0 {
				return fmt.Sprintf("Invalid value for 'content': expected a string, got null. (messages[%d].content)", i)
			}
			calling = len(m.ToolCalls) > 0
			for j, c := range m.ToolCalls {
				switch {
				case c.ID == "":
					return fmt.Sprintf("Missing required parameter: 'messages[%d].tool_calls[%d].id'.", i, j)
				case c.Type != "function":
					return fmt.Sprintf("Missing required parameter: 'messages[%d].tool_calls[%d].type'.", i, j)
				case c.Function.Name == "":
					return fmt.Sprintf("Missing required parameter: 'messages[%d].tool_calls[%d].function.name'.", i, j)
				case c.Function.Arguments == nil:
					return fmt.Sprintf("Missing required parameter: 'messages[%d].tool_calls[%d].function.arguments'.", i, j)
				case slices.Contains(open, c.ID):
					return fmt.Sprintf("Duplicate value for 'tool_call_id' of %q in message[%d]", c.ID, i)
				}
				open = append(open, c.ID)
			}
		case "tool":
			at := slices.Index(open, m.ToolCallID)
			switch {
			case m.ToolCallID == "":
				return fmt.Sprintf("Missing required parameter: 'messages[%d].tool_call_id'.", i)
			case !calling || at < 0:
				return "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
			case !isText && !isParts:
				return fmt.Sprintf("Invalid value for 'content': expected a string, got null. (messages[%d].content)", i)
			}
			open = slices.Delete(open, at, at+1)
		default:
			return fmt.Sprintf("Invalid value: '%s'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", m.Role)
		}
	}
	if len(open) > 0 {
		return "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: " + strings.Join(open, ", ")
	}
	return ""
}

// turn reads the conversation as the model sees it.
func (in wireRequest) turn() geminifake.Turn {
	t := geminifake.Turn{NoTools: string(in.ToolChoice) == `"none"`}
	for _, x := range in.Tools {
		t.Tools = append(t.Tools, x.Function.Name)
	}
	names := map[string]string{}
	for _, m := range in.Messages {
		text, _ := m.Content.(string)
		switch m.Role {
		case "system", "developer":
			t.System += text
		case "user":
			t.Question, t.Step, t.Results = text, 0, nil
		case "assistant":
			for _, c := range m.ToolCalls {
				names[c.ID] = c.Function.Name
			}
			if len(m.ToolCalls) > 0 {
				t.Step++
			}
		case "tool":
			r := geminifake.Result{Name: names[m.ToolCallID]}
			var given map[string]any
			if json.Unmarshal([]byte(text), &given) == nil {
				r.Output = given["output"]
				r.Error, _ = given["error"].(string)
			}
			t.Results = append(t.Results, r)
		}
	}
	return t
}
