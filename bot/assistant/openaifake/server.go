// Package openaifake is a stand-in for a server of OpenAI's chat completions, for tests and for trying things without a
// key. What its model says is decided by one of geminifake's brains, so that the same brain can think for both.
//
// It is as strict as the real API where clients go wrong: a tool's output that answers no call or names none, a call that
// is never answered, a message without content, a tool whose name or schema is none.
package openaifake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
)

// Config is what the fake accepts, and what it leaves out.
type Config struct {
	Key    string   // the only valid API key; none is asked for when empty
	Models []string // the models that exist; any when empty
	Brain  geminifake.Brain
	// Sloppy gives no ids to calls and writes each in one piece, as some compatible servers do.
	Sloppy bool
}

// Server is a running fake.
type Server struct {
	URL string // the base address for a client, with /v1

	cfg  Config
	http *httptest.Server
	quit chan struct{} // closed by Close; ends the replies that hang

	mu       sync.Mutex // guards what follows, and the brain
	requests []Request
	serial   int
}

// Request is one request for a completion as it came.
type Request struct {
	Model   string
	Status  int // of the answer
	Refusal string
	Turn    geminifake.Turn
	Body    []byte
}

// New starts a fake. The caller closes it.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, quit: make(chan struct{})}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL + "/v1"
	return s
}

// Close ends all replies and stops the fake.
func (s *Server) Close() {
	close(s.quit)
	s.http.CloseClientConnections()
	s.http.Close()
}

// Requests gives all requests for completions so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Key != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.Key {
		fail(w, 401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/v1/models/"); ok && r.Method == http.MethodGet {
		if !s.has(name) {
			noModel(w, name)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"id": name, "object": "model", "created": 1, "owned_by": "fake"})
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" {
		fail(w, 404, "invalid_request_error", "unknown_url", fmt.Sprintf("Unknown request URL: %s %s.", r.Method, r.URL.Path))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 20<<20))
	if err != nil {
		fail(w, 413, "invalid_request_error", "", "The request is too large.")
		return
	}
	var in wireRequest
	req := Request{Status: http.StatusOK, Body: body}
	if err := json.Unmarshal(body, &in); err != nil {
		req.Refusal = "We could not parse the JSON body of your request: " + err.Error()
	} else {
		req.Refusal = in.check()
	}
	req.Model, req.Turn = in.Model, in.turn()
	missing := req.Refusal == "" && !s.has(in.Model)
	var reply geminifake.Reply
	s.mu.Lock()
	if req.Refusal == "" && !missing {
		reply = geminifake.Reply{Fault: geminifake.Fault{Status: 500, Message: "the fake has no brain"}}
		if s.cfg.Brain != nil {
			reply = s.cfg.Brain(req.Turn)
		}
	}
	switch {
	case req.Refusal != "":
		req.Status = 400
	case missing:
		req.Status = 404
	case reply.Fault.Status != 0:
		req.Status = reply.Fault.Status
	}
	s.requests = append(s.requests, req)
	s.serial++
	serial := s.serial
	s.mu.Unlock()
	switch {
	case req.Refusal != "":
		fail(w, 400, "invalid_request_error", "", req.Refusal)
	case missing:
		noModel(w, in.Model)
	case reply.Fault.Status != 0:
		if reply.Fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(reply.Fault.RetryAfter.Seconds())))
		}
		fail(w, reply.Fault.Status, "server_error", reply.Fault.Reason, reply.Fault.Message)
	default:
		s.stream(w, r, in, reply, serial)
	}
}

func (s *Server) has(model string) bool {
	return len(s.cfg.Models) == 0 || slices.Contains(s.cfg.Models, model)
}

func noModel(w http.ResponseWriter, name string) {
	fail(w, 404, "invalid_request_error", "model_not_found", fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", name))
}

// fail writes an error as the API does.
func fail(w http.ResponseWriter, status int, kind, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}})
}

// chunks gives the reply as the API streams it: the role, then words, then each call with its arguments in pieces, then
// why it ended, then what it cost.
func (s *Server) chunks(in wireRequest, reply geminifake.Reply, serial int) []map[string]any {
	var out []map[string]any
	add := func(delta map[string]any, finish any) {
		out = append(out, map[string]any{
			"id": fmt.Sprintf("chatcmpl-%d", serial), "object": "chat.completion.chunk", "created": 1, "model": in.Model,
			"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}},
		})
	}
	if reply.Nothing {
		return nil
	}
	for i, text := range reply.Text {
		delta := map[string]any{"content": text}
		if i == 0 {
			delta["role"] = "assistant"
		}
		add(delta, nil)
	}
	for i, c := range reply.Calls {
		args, err := json.Marshal(c.Args)
		if err != nil {
			panic(fmt.Errorf("openaifake: a call cannot be written: %w", err))
		}
		if text, ok := c.Args.(string); ok { // a model that writes nonsense
			args = []byte(text)
		}
		if c.Args == nil {
			args = nil
		}
		first := map[string]any{"index": i, "id": fmt.Sprintf("call_%d_%d", serial, i), "type": "function", "function": map[string]any{"name": c.Name, "arguments": ""}}
		pieces := []string{string(args[:len(args)/2]), string(args[len(args)/2:])}
		if s.cfg.Sloppy {
			delete(first, "id")
			first["function"] = map[string]any{"name": c.Name, "arguments": string(args)}
			pieces = nil
		}
		add(map[string]any{"tool_calls": []any{first}}, nil)
		for _, piece := range pieces {
			add(map[string]any{"tool_calls": []any{map[string]any{"index": i, "function": map[string]any{"arguments": piece}}}}, nil)
		}
	}
	finish := map[string]string{"": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}[reply.Finish]
	if finish == "" {
		finish = strings.ToLower(reply.Finish)
	}
	if len(reply.Calls) > 0 && finish == "stop" {
		finish = "tool_calls"
	}
	add(map[string]any{}, finish)
	if in.StreamOptions.IncludeUsage {
		out = append(out, map[string]any{
			"id": fmt.Sprintf("chatcmpl-%d", serial), "object": "chat.completion.chunk", "created": 1, "model": in.Model, "choices": []any{},
			"usage": map[string]any{"prompt_tokens": 100, "completion_tokens": 25, "total_tokens": 125},
		})
	}
	return out
}

// stream sends the reply, and breaks off or hangs where it says so.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, in wireRequest, reply geminifake.Reply, serial int) {
	if reply.Hang && reply.CutAfter == 0 {
		s.hang(r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	flush := func(text string) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
	}
	for i, c := range s.chunks(in, reply, serial) {
		b, err := json.Marshal(c)
		if err != nil {
			panic(fmt.Errorf("openaifake: a reply cannot be written: %w", err))
		}
		if reply.CutAfter > 0 && i == reply.CutAfter {
			switch {
			case reply.Hang:
				s.hang(r)
			case reply.CutClean:
			default:
				flush("data: " + string(b[:len(b)/2]))
				panic(http.ErrAbortHandler)
			}
			return
		}
		flush("data: " + string(b) + "\n\n")
	}
	flush("data: [DONE]\n\n")
}

func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.quit:
	case <-time.After(5 * time.Minute):
	}
}
