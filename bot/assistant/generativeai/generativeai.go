// Package generativeai is the model provider on github.com/google/generative-ai-go, the older client library for Gemini.
// That library drops the signatures of thoughts and the ids of calls, without which newer models refuse a conversation,
// and shows thoughts as text. A transport beneath it keeps what it drops and puts it back (see memory).
package generativeai

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/generative-ai-go/genai"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/api/option/internaloption"
	gtransport "google.golang.org/api/transport/grpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/assistant/gemini"
)

// Config says where the model is. Its fields mean what they mean in gemini.Config.
type Config struct {
	APIKey     string
	Model      string
	BaseURL    string
	Base       http.RoundTripper // http.DefaultTransport when nil
	RetryDelay time.Duration
}

// Model implements assistant.Model.
type Model struct {
	name   string
	key    string
	client *genai.Client
	idle   *grpc.ClientConn
}

// New makes the provider. It does not speak to Google yet.
func New(ctx context.Context, cfg Config) (*Model, error) {
	if cfg.APIKey == "" {
		return nil, errors.New("generativeai: no API key: set GEMINI_API_KEY")
	}
	base := cfg.Base
	if base == nil {
		base = http.DefaultTransport
	}
	client := &http.Client{Transport: &transport{base: base, key: cfg.APIKey, delay: cmp.Or(cfg.RetryDelay, time.Second)}}
	// The library also opens a gRPC connection, for a service that we never use, keeps dialling it and never closes it. It
	// is given one that does not dial until it is used. To take that beside an HTTP client it must not validate its options.
	idle, err := grpc.NewClient("passthrough:///unused", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("generativeai: %w", err)
	}
	// Were the library told the key, it would put it into addresses, where errors and proxies show it.
	opts := []option.ClientOption{option.WithHTTPClient(client), gtransport.WithConnPool(pool{idle}), internaloption.SkipDialSettingsValidation()}
	if cfg.BaseURL != "" {
		opts = append(opts, option.WithEndpoint(strings.TrimRight(cfg.BaseURL, "/")))
	}
	c, err := genai.NewClient(ctx, opts...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("generativeai: %w", gemini.Redact(err, cfg.APIKey)), idle.Close())
	}
	return &Model{name: cmp.Or(cfg.Model, gemini.DefaultModel), key: cfg.APIKey, client: c, idle: idle}, nil
}

// pool is the one connection that the library wants and never uses.
type pool struct{ *grpc.ClientConn }

func (p pool) Conn() *grpc.ClientConn { return p.ClientConn }
func (pool) Num() int                 { return 1 }

// Close releases the client's connections.
func (m *Model) Close() error { return errors.Join(m.client.Close(), m.idle.Close()) }

// Name implements assistant.Model.
func (m *Model) Name() string { return m.name }

// Check asks whether the key is accepted and the model exists. Its error is an *assistant.ModelError with the remedy.
func (m *Model) Check(ctx context.Context) error {
	if _, err := m.client.GenerativeModel(m.name).Info(ctx); err != nil {
		return m.explain(ctx, err)
	}
	return nil
}

// Start implements assistant.Model.
func (m *Model) Start(o assistant.Opening) (assistant.Session, error) {
	s := &session{model: m, system: o.System, memory: newMemory()}
	for _, t := range o.Tools {
		d := &genai.FunctionDeclaration{Name: t.Name, Description: cmp.Or(t.Description, t.Summary)}
		var err error
		if d.Parameters, err = parameters(t.Schema); err != nil {
			return nil, fmt.Errorf("generativeai: schema of tool %s: %w", t.Name, err)
		}
		s.declared = append(s.declared, d)
	}
	for _, t := range o.History {
		role := "model"
		if t.Person {
			role = "user"
		}
		s.contents = append(s.contents, &genai.Content{Role: role, Parts: []genai.Part{genai.Text(t.Text)}})
	}
	return s, nil
}

// session is one conversation. It owns the history: the library's chat keeps the words of a failed exchange, and then
// every later one fails too.
type session struct {
	model    *Model
	system   string
	declared []*genai.FunctionDeclaration
	contents []*genai.Content // only exchanges that succeeded
	memory   *memory
}

// Send implements assistant.Session.
func (s *session) Send(ctx context.Context, in assistant.Input, onText func(string)) (assistant.Reply, error) {
	said, err := parts(in)
	if err != nil {
		return assistant.Reply{}, err
	}
	gm := s.model.client.GenerativeModel(s.model.name)
	gm.SystemInstruction = &genai.Content{Parts: []genai.Part{genai.Text(s.system)}}
	gm.SetMaxOutputTokens(gemini.MaxOutput)
	if s.declared != nil {
		gm.Tools = []*genai.Tool{{FunctionDeclarations: s.declared}}
		if in.NoTools {
			gm.ToolConfig = &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{Mode: genai.FunctionCallingNone}}
		}
	}
	chat := gm.StartChat()
	chat.History = slices.Clone(s.contents)
	s.memory.listen()
	stream := chat.SendMessageStream(remember(ctx, s.memory), said...)
	reply := assistant.Reply{}
	var replied []genai.Part
	for chunks := 0; ; chunks++ {
		resp, err := stream.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			err = s.model.explain(ctx, err)
			var known *assistant.ModelError
			if chunks > 0 && errors.As(err, &known) && (known.Kind == assistant.Failed || known.Kind == assistant.Unavailable) {
				err = gemini.Interrupted(known.Err)
			}
			return assistant.Reply{}, err
		}
		if len(resp.Candidates) == 0 || resp.Candidates[0].Content == nil {
			continue
		}
		for _, p := range resp.Candidates[0].Content.Parts {
			replied = append(replied, p)
			switch p := p.(type) {
			case genai.Text:
				reply.Text += string(p)
				onText(string(p))
			case genai.FunctionCall:
				args, err := json.Marshal(p.Args)
				if err != nil {
					return assistant.Reply{}, fmt.Errorf("generativeai: arguments of %s: %w", p.Name, err)
				}
				reply.Calls = append(reply.Calls, assistant.ModelCall{Name: p.Name, Args: args})
			}
		}
	}
	if ctx.Err() != nil {
		return assistant.Reply{}, ctx.Err()
	}
	heard := s.memory.heard
	if heard.finish == "" {
		return assistant.Reply{}, gemini.Interrupted(errors.New("the stream ended without a finish reason"))
	}
	reply.Tokens = heard.tokens
	if reply.Finish, err = gemini.Finish(heard.finish); err != nil {
		return assistant.Reply{}, err
	}
	if len(heard.calls) != len(reply.Calls) {
		return assistant.Reply{}, &assistant.ModelError{Sentence: "Gemini's answer cannot be read.", Err: fmt.Errorf("%d calls came and %d were understood", len(heard.calls), len(reply.Calls))}
	}
	for i, c := range heard.calls {
		reply.Calls[i].ID = c.ID
	}
	if reply.Finish != assistant.FinishMalformed && (reply.Text != "" || len(reply.Calls) > 0) {
		s.contents = append(s.contents, genai.NewUserContent(said...), &genai.Content{Role: "model", Parts: replied})
		s.memory.keep(len(s.contents) - 1)
	}
	return reply, nil
}

// parts gives the input its library form: words, or the answers to all calls. Answers are decoded into the basic types of
// JSON, because the library cannot convert any other.
func parts(in assistant.Input) ([]genai.Part, error) {
	if len(in.Outputs) == 0 {
		return []genai.Part{genai.Text(in.Text)}, nil
	}
	var out []genai.Part
	for _, o := range in.Outputs {
		key := "output"
		if o.Failed {
			key = "error"
		}
		var v any
		if err := json.Unmarshal(o.Content, &v); err != nil {
			return nil, fmt.Errorf("generativeai: output of %s: %w", o.Name, err)
		}
		out = append(out, genai.FunctionResponse{Name: o.Name, Response: map[string]any{key: v}})
	}
	return out, nil
}

// explain turns the library's errors into ours.
func (m *Model) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var blocked *genai.BlockedError
	if errors.As(err, &blocked) {
		switch {
		case blocked.Candidate != nil && blocked.Candidate.FinishReason == genai.FinishReasonRecitation:
			return gemini.BlockedFor("RECITATION")
		case blocked.PromptFeedback != nil && blocked.PromptFeedback.BlockReason != genai.BlockReasonSafety:
			return gemini.BlockedFor("OTHER")
		}
		return gemini.BlockedFor("SAFETY")
	}
	var api *googleapi.Error
	if !errors.As(err, &api) {
		return gemini.NoAnswer(err, m.key)
	}
	f := gemini.Refusal{Code: api.Code, Message: api.Message}
	for _, d := range api.Details {
		if d, ok := d.(map[string]any); ok {
			f.Read(d)
		}
	}
	return f.Explain(m.name, gemini.Redact(err, m.key))
}
