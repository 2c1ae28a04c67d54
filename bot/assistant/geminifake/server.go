// Package geminifake is a stateful stand-in for the Gemini API, for tests and for trying things without a key. It speaks
// generateContent and streamGenerateContent in both dialects: server-sent events, and the JSON array with numeric enums
// that the older client library asks for. What its model says is decided by a Brain: a script, or rules.
//
// It is as strict as the real API where clients go wrong: a call that comes back without its thought signature, byte for
// byte, or an answer whose ids do not match the calls, is refused with status 400.
package geminifake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Config is what the fake accepts.
type Config struct {
	Key    string   // the only valid API key; any when empty
	Models []string // the models that exist; any when empty
	Brain  Brain
}

// Server is a running fake. Its fields are set before the first request and not changed.
type Server struct {
	URL string // the base address for a client

	cfg  Config
	http *httptest.Server
	quit chan struct{} // closed by Close; ends the replies that hang

	mu       sync.Mutex // guards what follows
	requests []Request
	issued   map[string]*issue // by the id of each call that was made
	serial   int
}

// Request is one request as it came.
type Request struct {
	Model    string
	Stream   bool
	Legacy   bool // the JSON array with numeric enums
	KeyInURL bool
	Status   int // of the answer
	Refusal  string
	Turn     Turn
	Body     []byte
}

// New starts a fake. The caller closes it.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, quit: make(chan struct{}), issued: map[string]*issue{}}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s
}

// Close ends all replies and stops the fake.
func (s *Server) Close() {
	close(s.quit)
	s.http.CloseClientConnections()
	s.http.Close()
}

// Requests gives all requests for content so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, method, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1beta/models/"), ":")
	req := Request{Model: name, KeyInURL: r.URL.Query().Has("key")}
	key := r.Header.Get("X-Goog-Api-Key")
	if req.KeyInURL {
		key = r.URL.Query().Get("key")
	}
	alt := r.URL.Query().Get("alt")
	if alt == "" {
		alt = r.URL.Query().Get("$alt")
	}
	req.Legacy = strings.Contains(alt, "enum-encoding=int")
	req.Stream = method == "streamGenerateContent"
	dialect := dialect{array: req.Stream && alt != "sse", numeric: req.Legacy}
	if key == "" || s.cfg.Key != "" && key != s.cfg.Key {
		dialect.fail(w, Fault{Status: 400, Message: "API key not valid. Please pass a valid API key.", Reason: "API_KEY_INVALID"})
		return
	}
	if len(s.cfg.Models) > 0 && !contains(s.cfg.Models, name) {
		dialect.fail(w, Fault{Status: 404, Message: "models/" + name + " is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods."})
		return
	}
	if r.Method == http.MethodGet && method == "" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"name":"models/`+name+`","version":"1","inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent"]}`)
		return
	}
	if r.Method != http.MethodPost || method != "generateContent" && method != "streamGenerateContent" {
		dialect.fail(w, Fault{Status: 404, Message: "Requested entity was not found."})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 20<<20))
	if err != nil {
		dialect.fail(w, Fault{Status: 400, Message: "Request payload size exceeds the limit."})
		return
	}
	req.Body = body
	reply, refusal := s.decide(body, &req)
	req.Status, req.Refusal = http.StatusOK, refusal
	switch {
	case refusal != "":
		req.Status = http.StatusBadRequest
	case reply.Fault.Status != 0:
		req.Status = reply.Fault.Status
	}
	s.mu.Lock()
	s.requests = append(s.requests, req)
	s.mu.Unlock()
	switch {
	case refusal != "":
		dialect.fail(w, Fault{Status: 400, Message: refusal})
	case reply.Fault.Status != 0:
		dialect.fail(w, reply.Fault)
	default:
		s.write(w, r, dialect, req.Stream, reply)
	}
}

// decide checks the request and asks the brain.
func (s *Server) decide(body []byte, req *Request) (sent, string) {
	var in wireRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return sent{}, "Invalid JSON payload received. " + err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	req.Turn = turnOf(in)
	if refusal := s.check(in); refusal != "" {
		return sent{}, refusal
	}
	if s.cfg.Brain == nil {
		return sent{Reply: Reply{Fault: Fault{Status: 500, Message: "the fake has no brain"}}}, ""
	}
	return s.issue(s.cfg.Brain(req.Turn)), ""
}

// dialect is how answers are written.
type dialect struct{ array, numeric bool }

// fail writes an error as Google does: in the streamed JSON dialect it is the element of an array.
func (d dialect) fail(w http.ResponseWriter, f Fault) {
	e := map[string]any{"code": f.Status, "message": f.Message, "status": statusName(f.Status)}
	var details []any
	if f.Reason != "" {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": f.Reason, "domain": "googleapis.com"})
	}
	if f.RetryAfter > 0 {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": fmt.Sprintf("%gs", f.RetryAfter.Seconds())})
	}
	if details != nil {
		e["details"] = details
	}
	var out any = map[string]any{"error": e}
	if d.array {
		out = []any{out}
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(f.Status)
	_ = json.NewEncoder(w).Encode(out)
}

func statusName(code int) string {
	switch code {
	case 400:
		return "INVALID_ARGUMENT"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 503:
		return "UNAVAILABLE"
	}
	return "INTERNAL"
}

// write sends the reply in chunks, and breaks off or hangs where the reply says so.
func (s *Server) write(w http.ResponseWriter, r *http.Request, d dialect, stream bool, reply sent) {
	if reply.Hang && reply.CutAfter == 0 {
		s.hang(r)
		return
	}
	chunks := reply.chunks(d.numeric, stream)
	if !stream {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_ = json.NewEncoder(w).Encode(chunks[0])
		return
	}
	if d.array {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	} else {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	flush := func(text string) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
	}
	for i, c := range chunks {
		b, err := json.Marshal(c)
		if err != nil {
			panic(fmt.Errorf("geminifake: a reply cannot be written: %w", err))
		}
		open, end := "data: ", "\r\n\r\n"
		if d.array {
			open, end = ",\r\n", ""
			if i == 0 {
				open = "["
			}
		}
		if reply.CutAfter > 0 && i == reply.CutAfter {
			switch {
			case reply.Hang:
				s.hang(r)
			case reply.CutClean:
				// The stream ends between two chunks and looks complete to a careless reader.
			default:
				flush(open + string(b[:len(b)/2]))
				panic(http.ErrAbortHandler)
			}
			if d.array && reply.CutClean {
				flush("]")
			}
			return
		}
		flush(open + string(b) + end)
	}
	if d.array {
		flush("\r\n]")
	}
}

func (s *Server) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.quit:
	case <-time.After(5 * time.Minute):
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
