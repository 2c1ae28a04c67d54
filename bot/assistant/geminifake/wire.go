package geminifake

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// wireRequest is what a client sends, as far as the fake looks at it.
type wireRequest struct {
	SystemInstruction *wireContent  `json:"systemInstruction"`
	Contents          []wireContent `json:"contents"`
	Tools             []struct {
		FunctionDeclarations []struct {
			Name string `json:"name"`
		} `json:"functionDeclarations"`
	} `json:"tools"`
	ToolConfig struct {
		FunctionCallingConfig struct {
			Mode any `json:"mode"` // "NONE", or 3 with numeric enums
		} `json:"functionCallingConfig"`
	} `json:"toolConfig"`
	GenerationConfig struct {
		ThinkingConfig struct {
			ThinkingLevel string `json:"thinkingLevel"`
		} `json:"thinkingConfig"`
	} `json:"generationConfig"`
}

type wireContent struct {
	Role  string     `json:"role,omitempty"`
	Parts []wirePart `json:"parts,omitempty"`
}

type wirePart struct {
	Text             *string       `json:"text,omitempty"`
	Thought          bool          `json:"thought,omitempty"`
	ThoughtSignature string        `json:"thoughtSignature,omitempty"`
	FunctionCall     *wireCall     `json:"functionCall,omitempty"`
	FunctionResponse *wireResponse `json:"functionResponse,omitempty"`
}

type wireCall struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name"`
	Args any    `json:"args,omitempty"`
}

type wireResponse struct {
	ID       string         `json:"id,omitempty"`
	Name     string         `json:"name"`
	Response map[string]any `json:"response"`
}

// issue is what a client must send back for a reply with calls: its calls with their signatures, in order, and the
// signature that stood alone.
type issue struct {
	calls []wirePart
	alone string
}

// turnOf reads the conversation as the model sees it.
func turnOf(in wireRequest) Turn {
	t := Turn{Thinking: in.GenerationConfig.ThinkingConfig.ThinkingLevel}
	if in.SystemInstruction != nil {
		for _, p := range in.SystemInstruction.Parts {
			if p.Text != nil {
				t.System += *p.Text
			}
		}
	}
	for _, tool := range in.Tools {
		for _, f := range tool.FunctionDeclarations {
			t.Tools = append(t.Tools, f.Name)
		}
	}
	switch m := in.ToolConfig.FunctionCallingConfig.Mode.(type) {
	case string:
		t.NoTools = m == "NONE"
	case float64:
		t.NoTools = m == 3
	}
	for _, c := range in.Contents {
		if c.Role == "model" {
			continue
		}
		var words []string
		answered := false
		for _, p := range c.Parts {
			switch {
			case p.FunctionResponse != nil:
				answered = true
				r := Result{Name: p.FunctionResponse.Name, Output: p.FunctionResponse.Response["output"]}
				r.Error, _ = p.FunctionResponse.Response["error"].(string)
				t.Results = append(t.Results, r)
			case p.Text != nil:
				words = append(words, *p.Text)
			}
		}
		if answered {
			t.Step++
		}
		if len(words) > 0 {
			t.Question, t.Step, t.Results = strings.Join(words, "\n"), 0, nil
		}
	}
	return t
}

// check refuses what the API refuses. It is called with the lock held.
func (s *Server) check(in wireRequest) string {
	if len(in.Contents) == 0 {
		return "contents is not specified"
	}
	for i, c := range in.Contents {
		if len(c.Parts) == 0 {
			return fmt.Sprintf("contents[%d].parts must not be empty.", i)
		}
		calls, responses, alone := 0, 0, ""
		var issued *issue
		for j, p := range c.Parts {
			switch {
			case p.FunctionCall != nil:
				if issued == nil {
					issued = s.issued[p.FunctionCall.ID]
				}
				if refusal := issued.matches(p, calls, i); refusal != "" {
					return refusal
				}
				calls++
			case p.FunctionResponse != nil:
				responses++
			case p.Text == nil && p.ThoughtSignature == "":
				return fmt.Sprintf("contents[%d].parts[%d].data: required oneof field 'data' must have one initialized field", i, j)
			case p.ThoughtSignature != "":
				alone = p.ThoughtSignature
			}
		}
		if issued != nil && (calls != len(issued.calls) || alone != issued.alone) {
			return fmt.Sprintf("contents[%d] is not what the model said: %d of %d calls, or its signature is missing.", i, calls, len(issued.calls))
		}
		if calls > 0 {
			if c.Role != "model" {
				return "Please ensure that function call turns have the role model."
			}
			if i+1 >= len(in.Contents) {
				return "Please ensure that function call turn is followed by a function response turn."
			}
			if refusal := answers(in.Contents[i+1], issued, i+1); refusal != "" {
				return refusal
			}
		}
		if responses > 0 && (i == 0 || !hasCalls(in.Contents[i-1])) {
			return "Please ensure that function response turn comes immediately after a function call turn."
		}
	}
	return ""
}

func hasCalls(c wireContent) bool {
	for _, p := range c.Parts {
		if p.FunctionCall != nil {
			return true
		}
	}
	return false
}

// matches compares a call that came back with the one that was sent.
func (is *issue) matches(p wirePart, n, content int) string {
	if is == nil || n >= len(is.calls) {
		return fmt.Sprintf("Function call `%s` in the %d. content block has no known id.", p.FunctionCall.Name, content)
	}
	want := is.calls[n]
	switch {
	case p.ThoughtSignature == "" && want.ThoughtSignature != "":
		return fmt.Sprintf("Function call `%s` in the %d. content block is missing a `thought_signature`.", p.FunctionCall.Name, content)
	case p.ThoughtSignature != want.ThoughtSignature:
		return fmt.Sprintf("Thought signature is not valid in the %d. content block.", content)
	case p.FunctionCall.ID != want.FunctionCall.ID || p.FunctionCall.Name != want.FunctionCall.Name || !equal(p.FunctionCall.Args, want.FunctionCall.Args):
		return fmt.Sprintf("Function call `%s` in the %d. content block is not the one that the model made.", p.FunctionCall.Name, content)
	}
	return ""
}

// answers checks that a content holds one response for each call, with its id and name.
func answers(c wireContent, is *issue, content int) string {
	if len(c.Parts) != len(is.calls) {
		return "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."
	}
	for i, p := range c.Parts {
		call := is.calls[i].FunctionCall
		if p.FunctionResponse == nil || p.FunctionResponse.ID != call.ID || p.FunctionResponse.Name != call.Name {
			return fmt.Sprintf("Function response %d in the %d. content block does not match the id and name of its function call.", i, content)
		}
		_, output := p.FunctionResponse.Response["output"]
		_, failed := p.FunctionResponse.Response["error"]
		if output == failed {
			return fmt.Sprintf("Function response %d in the %d. content block must hold either output or error.", i, content)
		}
	}
	return ""
}

// equal compares values as JSON; no arguments are the same as empty ones.
func equal(a, b any) bool {
	norm := func(v any) any {
		raw, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		var out any
		dec := json.NewDecoder(bytes.NewReader(raw))
		if err := dec.Decode(&out); err != nil {
			return err.Error()
		}
		if m, ok := out.(map[string]any); ok && len(m) == 0 {
			return nil
		}
		return out
	}
	return reflect.DeepEqual(norm(a), norm(b))
}

// sent is a reply with the ids and signatures that it was given.
type sent struct {
	Reply
	id    int
	parts []wirePart // all of it, in order
}

// issue gives a reply its ids and signatures, and remembers them. It is called with the lock held.
func (s *Server) issue(r Reply) sent {
	s.serial++
	out := sent{Reply: r, id: s.serial}
	is := &issue{}
	if r.Thought != "" {
		out.parts = append(out.parts, wirePart{Text: &r.Thought, Thought: true})
	}
	for i := range r.Text {
		out.parts = append(out.parts, wirePart{Text: &r.Text[i]})
	}
	for i, c := range r.Calls {
		p := wirePart{FunctionCall: &wireCall{ID: fmt.Sprintf("call-%d-%d", s.serial, i), Name: c.Name, Args: c.Args}}
		if i == 0 {
			p.ThoughtSignature = signature(s.serial, "call")
		}
		is.calls = append(is.calls, p)
		out.parts = append(out.parts, p)
	}
	if r.SignLast {
		is.alone = signature(s.serial, "last")
		out.parts = append(out.parts, wirePart{ThoughtSignature: is.alone})
	}
	for _, c := range is.calls {
		s.issued[c.FunctionCall.ID] = is
	}
	return out
}

// signature makes bytes that look like noise and, in base64, hold the characters that careless handling breaks.
func signature(serial int, what string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", serial, what))
	return base64.StdEncoding.EncodeToString(append([]byte{0xfb, 0xff, 0xfe, 0x00, 0x3f}, sum[:]...))
}

// finishNumbers are the values of the finish reasons in the protocol, for the dialect with numeric enums.
var finishNumbers = map[string]int{
	"STOP": 1, "MAX_TOKENS": 2, "SAFETY": 3, "RECITATION": 4, "OTHER": 5, "LANGUAGE": 6, "BLOCKLIST": 7,
	"PROHIBITED_CONTENT": 8, "SPII": 9, "MALFORMED_FUNCTION_CALL": 10, "UNEXPECTED_TOOL_CALL": 12,
}

// blockNumbers are those of the reasons for which a prompt is blocked.
var blockNumbers = map[string]int{"SAFETY": 1, "OTHER": 2, "BLOCKLIST": 3, "PROHIBITED_CONTENT": 4}

// chunks gives the responses of a stream, or the single response without one.
func (r sent) chunks(numeric, stream bool) []any {
	enum := func(name string, numbers map[string]int) any {
		if numeric {
			return numbers[name]
		}
		return name
	}
	usage := map[string]any{"promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 5, "totalTokenCount": 125}
	response := func(candidate map[string]any) map[string]any {
		out := map[string]any{"usageMetadata": usage, "modelVersion": "fake", "responseId": fmt.Sprintf("response-%d", r.id)}
		if candidate != nil {
			candidate["index"] = 0
			out["candidates"] = []any{candidate}
		}
		return out
	}
	if r.Block != "" {
		out := response(nil)
		out["promptFeedback"] = map[string]any{"blockReason": enum(r.Block, blockNumbers)}
		return []any{out}
	}
	if r.Nothing {
		return []any{response(nil)}
	}
	finish := r.Finish
	if finish == "" {
		finish = "STOP"
	}
	if !stream {
		return []any{response(map[string]any{"content": wireContent{Role: "model", Parts: r.parts}, "finishReason": enum(finish, finishNumbers)})}
	}
	var out []any
	for _, p := range r.parts {
		out = append(out, response(map[string]any{"content": wireContent{Role: "model", Parts: []wirePart{p}}}))
	}
	// The end comes in a chunk of its own, with an empty part, as the API often does it.
	last := wireContent{Role: "model"}
	if len(r.parts) > 0 {
		empty := ""
		last.Parts = []wirePart{{Text: &empty}}
	}
	return append(out, response(map[string]any{"content": last, "finishReason": enum(finish, finishNumbers)}))
}
