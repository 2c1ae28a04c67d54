// Package openai is the model provider for whatever speaks OpenAI's chat completions: OpenAI itself, Ollama, vLLM and the
// like, through the official openai-go. It keeps the conversation itself and reads the stream itself, since what such
// servers leave out (ids and indexes of calls, arguments of a call without any) differs.
package openai

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"

	"github.com/bukahou/atlhyper/bot/assistant"
)

// DefaultModel is used when none is configured, with OpenAI itself.
const DefaultModel = openai.ChatModelGPT5_4Mini

// MaxOutput caps the tokens of one reply; reasoning counts towards it.
const MaxOutput = 8192

const officialURL = "https://api.openai.com/v1/"

// Config says where the model is.
type Config struct {
	APIKey  string       // OPENAI_API_KEY; may be empty when BaseURL is set, for a server that wants none
	Model   string       // OPENAI_MODEL; DefaultModel when empty, which only OpenAI itself has
	BaseURL string       // OPENAI_BASE_URL, such as http://localhost:11434/v1; OpenAI's when empty
	Client  *http.Client // http.DefaultTransport when nil
	// RetryDelay is how long to wait before the one retry after status 500, 502, 503 or 504; 1 s when 0.
	RetryDelay time.Duration
}

// Model implements assistant.Model.
type Model struct {
	name     string
	official bool
	delay    time.Duration
	chat     openai.ChatCompletionService
	models   openai.ModelService
	explain  explainer
}

// New makes the provider. It does not speak to the server yet.
func New(cfg Config) (*Model, error) {
	official := cfg.BaseURL == ""
	switch {
	case official && cfg.APIKey == "":
		return nil, errors.New("openai: no API key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server that needs none")
	case !official && cfg.Model == "":
		return nil, errors.New("openai: OPENAI_BASE_URL is set and no model: set OPENAI_MODEL to one that this server has")
	}
	if u, err := url.Parse(cfg.BaseURL); err != nil || !official && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil) {
		return nil, errors.New("openai: OPENAI_BASE_URL is no address; it looks like http://localhost:11434/v1, without a user")
	}
	// The services are made one by one: a whole client would also read variables that are meant for other programs.
	options := []option.RequestOption{
		option.WithBaseURL(cmp.Or(cfg.BaseURL, officialURL)), option.WithHTTPClient(cmp.Or(cfg.Client, &http.Client{})),
		option.WithMaxRetries(0), // ours is below: a quota is not retried, since the planner can answer at once
	}
	if cfg.APIKey != "" {
		options = append(options, option.WithAPIKey(cfg.APIKey))
	}
	name := cmp.Or(cfg.Model, DefaultModel)
	who := "OpenAI"
	if !official {
		who = "The model server"
	}
	return &Model{
		name: name, official: official, delay: cmp.Or(cfg.RetryDelay, time.Second), chat: openai.NewChatCompletionService(options...), models: openai.NewModelService(options...),
		explain: explainer{who, name, cfg.APIKey},
	}, nil
}

// Name implements assistant.Model.
func (m *Model) Name() string { return m.name }

// Check asks whether the key is accepted and the model exists. Its error is an *assistant.ModelError with the remedy.
func (m *Model) Check(ctx context.Context) error {
	if _, err := m.models.Get(ctx, m.name); err != nil {
		return m.explain.error(ctx, err)
	}
	return nil
}

// Start implements assistant.Model.
func (m *Model) Start(o assistant.Opening) (assistant.Session, error) {
	s := &session{model: m, params: openai.ChatCompletionNewParams{
		Model:         m.name,
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}}
	if m.official {
		s.params.MaxCompletionTokens = openai.Int(MaxOutput)
	} else {
		s.params.MaxTokens = openai.Int(MaxOutput) // the name that every server knows
	}
	for _, t := range o.Tools {
		f := shared.FunctionDefinitionParam{Name: t.Name, Description: openai.String(cmp.Or(t.Description, t.Summary))}
		if len(t.Schema) > 0 {
			if err := json.Unmarshal(t.Schema, &f.Parameters); err != nil {
				return nil, fmt.Errorf("openai: schema of tool %s: %w", t.Name, err)
			}
		}
		s.params.Tools = append(s.params.Tools, openai.ChatCompletionFunctionTool(f))
	}
	s.messages = append(s.messages, openai.SystemMessage(o.System))
	for _, t := range o.History {
		if t.Person {
			s.messages = append(s.messages, openai.UserMessage(t.Text))
		} else {
			s.messages = append(s.messages, openai.AssistantMessage(t.Text))
		}
	}
	return s, nil
}

// session is one conversation.
type session struct {
	model    *Model
	params   openai.ChatCompletionNewParams           // without messages
	messages []openai.ChatCompletionMessageParamUnion // only exchanges that succeeded
	calls    int                                      // made so far, for ids where the server gives none
}

// Send implements assistant.Session.
func (s *session) Send(ctx context.Context, in assistant.Input, onText func(string)) (assistant.Reply, error) {
	params := s.params
	if in.NoTools && len(params.Tools) > 0 {
		params.ToolChoice.OfAuto = openai.String(string(openai.ChatCompletionToolChoiceOptionAutoNone))
	}
	// A copy, so that a failed attempt leaves no trace.
	params.Messages = append(s.messages[:len(s.messages):len(s.messages)], said(in)...)
	got, err := s.read(ctx, params, onText)
	if temporary(err) && got.chunks == 0 {
		select {
		case <-ctx.Done():
			return assistant.Reply{}, ctx.Err()
		case <-time.After(s.model.delay):
		}
		got, err = s.read(ctx, params, onText)
	}
	switch {
	case err != nil && got.chunks > 0:
		return assistant.Reply{}, s.model.explain.broken(ctx, err)
	case err != nil:
		return assistant.Reply{}, s.model.explain.error(ctx, err)
	case ctx.Err() != nil:
		return assistant.Reply{}, ctx.Err()
	case got.finish == "":
		return assistant.Reply{}, s.model.explain.broken(ctx, errors.New("the stream ended without a finish reason"))
	}
	reply := assistant.Reply{Text: got.text.String(), Tokens: got.tokens}
	if reply.Finish, err = s.model.explain.finish(got.finish); err != nil {
		return assistant.Reply{}, err
	}
	answer := openai.ChatCompletionAssistantMessageParam{}
	if reply.Text != "" {
		answer.Content.OfString = openai.String(reply.Text)
	}
	for i, c := range got.calls {
		args, ok := object(c.arguments.String())
		if !ok || c.name == "" {
			reply.Finish, reply.Calls = assistant.FinishMalformed, nil
			return reply, nil
		}
		id := c.id
		if id == "" {
			id = fmt.Sprintf("call_%d", s.calls+i+1)
		}
		reply.Calls = append(reply.Calls, assistant.ModelCall{ID: id, Name: c.name, Args: args})
		answer.ToolCalls = append(answer.ToolCalls, openai.ChatCompletionMessageToolCallUnionParam{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
			ID: id, Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: c.name, Arguments: string(args)},
		}})
	}
	s.calls += len(got.calls)
	if reply.Text != "" || len(reply.Calls) > 0 {
		s.messages = append(params.Messages, openai.ChatCompletionMessageParamUnion{OfAssistant: &answer})
	}
	return reply, nil
}

// object reads the arguments of a call: a JSON object. No text at all is the empty one.
func object(s string) (json.RawMessage, bool) {
	if strings.TrimSpace(s) == "" {
		return json.RawMessage("{}"), true
	}
	var o map[string]json.RawMessage
	if json.Unmarshal([]byte(s), &o) != nil || o == nil {
		return nil, false
	}
	var b bytes.Buffer
	if json.Compact(&b, []byte(s)) != nil {
		return nil, false
	}
	return b.Bytes(), true
}

// said gives the input its wire form: words, or one message for the output of each call.
func said(in assistant.Input) []openai.ChatCompletionMessageParamUnion {
	if len(in.Outputs) == 0 {
		return []openai.ChatCompletionMessageParamUnion{openai.UserMessage(in.Text)}
	}
	var out []openai.ChatCompletionMessageParamUnion
	for _, o := range in.Outputs {
		key := "output"
		if o.Failed {
			key = "error"
		}
		out = append(out, openai.ToolMessage(fmt.Sprintf(`{%q:%s}`, key, o.Content), o.ID))
	}
	return out
}

// gathered joins the chunks of a streamed reply.
type gathered struct {
	text   strings.Builder
	calls  []*gatheredCall
	at     map[int64]*gatheredCall // by index
	finish string
	tokens int
	chunks int
}

type gatheredCall struct {
	id, name  string
	arguments strings.Builder
}

func (s *session) read(ctx context.Context, params openai.ChatCompletionNewParams, onText func(string)) (*gathered, error) {
	got := &gathered{at: map[int64]*gatheredCall{}}
	stream := s.model.chat.NewStreaming(ctx, params)
	defer stream.Close()
	for stream.Next() {
		got.add(stream.Current(), onText)
	}
	return got, stream.Err()
}

func (g *gathered) add(chunk openai.ChatCompletionChunk, onText func(string)) {
	g.chunks++
	g.tokens = max(g.tokens, int(chunk.Usage.TotalTokens))
	for _, c := range chunk.Choices {
		if c.Index != 0 {
			continue
		}
		if c.FinishReason != "" {
			g.finish = c.FinishReason
		}
		for _, text := range []string{c.Delta.Content, c.Delta.Refusal} {
			if text != "" {
				g.text.WriteString(text)
				onText(text)
			}
		}
		for _, d := range c.Delta.ToolCalls {
			call := g.at[d.Index]
			// A server that numbers every call 0 still gives each an id.
			if call == nil || d.ID != "" && call.id != "" && d.ID != call.id {
				call = &gatheredCall{}
				g.at[d.Index] = call
				g.calls = append(g.calls, call)
			}
			call.id = cmp.Or(call.id, d.ID)
			call.name = cmp.Or(call.name, d.Function.Name)
			call.arguments.WriteString(d.Function.Arguments)
		}
	}
}
