// Package gemini is the model provider on google.golang.org/genai. It keeps the conversation itself instead of using the
// library's chats: those mix two histories, and ask for billed continuations by themselves. What the model said goes back
// part by part as it came, because the signatures of its thoughts are checked byte for byte.
package gemini

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/genai"

	"github.com/bukahou/atlhyper/bot/assistant"
)

// DefaultModel is used when none is configured.
const DefaultModel = "gemini-3.8-flash"

// MaxOutput caps the tokens of one reply; thoughts count towards it.
const MaxOutput = 8192

// Config says where the model is.
type Config struct {
	APIKey  string       // GEMINI_API_KEY; required
	Model   string       // GEMINI_MODEL; DefaultModel when empty
	BaseURL string       // GEMINI_API_URL: a proxy, a gateway, an emulator; Google's when empty
	Client  *http.Client // http.DefaultTransport when nil
	// RetryDelay is how long to wait before the one retry after status 500, 502, 503 or 504; 1 s when 0.
	RetryDelay time.Duration
}

// Model implements assistant.Model.
type Model struct {
	name    string
	client  *genai.Client
	explain explainer
}

// New makes the provider. It does not speak to Google yet.
func New(ctx context.Context, cfg Config) (*Model, error) {
	if cfg.APIKey == "" {
		return nil, errors.New("gemini: no API key: set GEMINI_API_KEY")
	}
	delay := cmp.Or(cfg.RetryDelay, time.Second).Seconds()
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		APIKey: cfg.APIKey,
		// Named, so that variables of the environment meant for other programs do not change it.
		Backend:    genai.BackendGeminiAPI,
		HTTPClient: cmp.Or(cfg.Client, &http.Client{}),
		HTTPOptions: genai.HTTPOptions{
			BaseURL: cmp.Or(cfg.BaseURL, "https://generativelanguage.googleapis.com/"),
			// A quota is not retried here: the planner can answer at once.
			RetryOptions: &genai.HTTPRetryOptions{
				Attempts: genai.Ptr[int32](2), InitialDelay: &delay, MaxDelay: &delay, Jitter: genai.Ptr(0.0),
				HTTPStatusCodes: []int32{500, 502, 503, 504},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("gemini: %w", Redact(err, cfg.APIKey))
	}
	name := cmp.Or(cfg.Model, DefaultModel)
	return &Model{name: name, client: client, explain: explainer{name, cfg.APIKey}}, nil
}

// Name implements assistant.Model.
func (m *Model) Name() string { return m.name }

// Check asks whether the key is accepted and the model exists. Its error is an *assistant.ModelError with the remedy.
func (m *Model) Check(ctx context.Context) error {
	if _, err := m.client.Models.Get(ctx, m.name, nil); err != nil {
		return m.explain.error(ctx, err)
	}
	return nil
}

// Start implements assistant.Model.
func (m *Model) Start(o assistant.Opening) (assistant.Session, error) {
	s := &session{model: m, config: &genai.GenerateContentConfig{
		SystemInstruction:     genai.NewContentFromText(o.System, genai.RoleUser),
		CandidateCount:        1,
		MaxOutputTokens:       MaxOutput,
		ThinkingConfig:        &genai.ThinkingConfig{ThinkingLevel: genai.ThinkingLevelLow},
		AutomaticContinuation: genai.Ptr(false),
	}}
	var declared []*genai.FunctionDeclaration
	for _, t := range o.Tools {
		d := &genai.FunctionDeclaration{Name: t.Name, Description: cmp.Or(t.Description, t.Summary)}
		if len(t.Schema) > 0 {
			var schema any
			if err := json.Unmarshal(t.Schema, &schema); err != nil {
				return nil, fmt.Errorf("gemini: schema of tool %s: %w", t.Name, err)
			}
			d.ParametersJsonSchema = schema
		}
		declared = append(declared, d)
	}
	if declared != nil {
		s.config.Tools = []*genai.Tool{{FunctionDeclarations: declared}}
	}
	for _, t := range o.History {
		role := genai.RoleModel
		if t.Person {
			role = genai.RoleUser
		}
		s.contents = append(s.contents, genai.NewContentFromText(t.Text, genai.Role(role)))
	}
	return s, nil
}

// session is one conversation.
type session struct {
	model    *Model
	config   *genai.GenerateContentConfig
	contents []*genai.Content // only exchanges that succeeded
}

// Send implements assistant.Session.
func (s *session) Send(ctx context.Context, in assistant.Input, onText func(string)) (assistant.Reply, error) {
	said, err := content(in)
	if err != nil {
		return assistant.Reply{}, err
	}
	config := *s.config
	if in.NoTools && len(config.Tools) > 0 {
		config.ToolConfig = &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{Mode: genai.FunctionCallingConfigModeNone}}
	}
	// A copy, so that a failed attempt leaves no trace.
	contents := append(s.contents[:len(s.contents):len(s.contents)], said)
	var got gathered
	for resp, err := range s.model.client.Models.GenerateContentStream(ctx, s.model.name, contents, &config) {
		if err != nil {
			if got.chunks > 0 {
				return assistant.Reply{}, s.model.explain.broken(ctx, err)
			}
			return assistant.Reply{}, s.model.explain.error(ctx, err)
		}
		if err := got.add(resp, onText); err != nil {
			return assistant.Reply{}, err
		}
	}
	if ctx.Err() != nil {
		return assistant.Reply{}, ctx.Err()
	}
	if got.finish == "" {
		return assistant.Reply{}, s.model.explain.broken(ctx, errors.New("the stream ended without a finish reason"))
	}
	reply := assistant.Reply{Text: got.text.String(), Tokens: got.tokens}
	if reply.Finish, err = Finish(string(got.finish)); err != nil {
		return assistant.Reply{}, err
	}
	for _, p := range got.parts {
		if p.FunctionCall == nil {
			continue
		}
		args, err := json.Marshal(p.FunctionCall.Args)
		if err != nil {
			return assistant.Reply{}, fmt.Errorf("gemini: arguments of %s: %w", p.FunctionCall.Name, err)
		}
		reply.Calls = append(reply.Calls, assistant.ModelCall{ID: p.FunctionCall.ID, Name: p.FunctionCall.Name, Args: args})
	}
	if reply.Finish != assistant.FinishMalformed && (reply.Text != "" || len(reply.Calls) > 0) {
		s.contents = append(contents, &genai.Content{Role: genai.RoleModel, Parts: got.parts})
	}
	return reply, nil
}

// content gives the input its wire form: words, or the answers to all calls in one content.
func content(in assistant.Input) (*genai.Content, error) {
	if len(in.Outputs) == 0 {
		return genai.NewContentFromText(in.Text, genai.RoleUser), nil
	}
	c := &genai.Content{Role: genai.RoleUser}
	for _, o := range in.Outputs {
		key := "output"
		if o.Failed {
			key = "error"
		}
		var v any
		if err := json.Unmarshal(o.Content, &v); err != nil {
			return nil, fmt.Errorf("gemini: output of %s: %w", o.Name, err)
		}
		c.Parts = append(c.Parts, &genai.Part{FunctionResponse: &genai.FunctionResponse{ID: o.ID, Name: o.Name, Response: map[string]any{key: v}}})
	}
	return c, nil
}
