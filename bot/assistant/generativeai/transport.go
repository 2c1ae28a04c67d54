package generativeai

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/api/googleapi"
)

// Caps on what is read of one answer, in bytes.
const (
	maxStream = 64 << 20
	maxError  = 1 << 20
)

// transport sends the library's requests. It adds the key as a header, puts back into the conversation what the library
// dropped, and hides from the library what it cannot read.
type transport struct {
	base  http.RoundTripper
	key   string
	delay time.Duration // before the one retry
}

// memoryKey marks the conversation's memory in the context of a request.
type memoryKey struct{}

func remember(ctx context.Context, m *memory) context.Context {
	return context.WithValue(ctx, memoryKey{}, m)
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Header.Set("X-Goog-Api-Key", t.key)
	query := out.URL.Query()
	query.Del("key")
	out.URL.RawQuery = query.Encode()
	m, _ := req.Context().Value(memoryKey{}).(*memory)
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		if m != nil {
			if body, err = m.restore(body); err != nil {
				return nil, fmt.Errorf("restore the conversation: %w", err)
			}
		}
	}
	resp, err := t.send(out, body)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode >= 300:
		return unwrapError(resp)
	case m != nil && strings.HasSuffix(req.URL.Path, ":streamGenerateContent"):
		resp.Body = newStripper(resp.Body, m)
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
	}
	return resp, nil
}

// send sends once, and once more when the service says that it is down.
func (t *transport) send(req *http.Request, body []byte) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		if body != nil {
			req.Body = io.NopCloser(bytes.NewReader(body))
			req.ContentLength = int64(len(body))
			req.GetBody = nil
		}
		resp, err := t.base.RoundTrip(req)
		if err != nil || attempt > 0 {
			return resp, err
		}
		switch resp.StatusCode {
		case 500, 502, 503, 504:
		default:
			return resp, nil
		}
		_ = resp.Body.Close()
		select {
		case <-req.Context().Done():
			return nil, req.Context().Err()
		case <-time.After(t.delay):
		}
	}
}

// unwrapError takes an error out of the array in which streamed JSON has it: the library does not look there.
func unwrapError(resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read error %d: %w", resp.StatusCode, err)
	}
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && len(list) > 0 {
		body = list[0]
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}

// stripper is the body of a streamed answer as the library may see it. It passes each element on as soon as it is whole.
type stripper struct {
	body   io.ReadCloser
	in     *json.Decoder
	memory *memory
	ready  bytes.Buffer // what the library has not read yet
	count  int
	err    error // what Read says when ready is empty
}

func newStripper(body io.ReadCloser, m *memory) *stripper {
	return &stripper{body: body, in: json.NewDecoder(io.LimitReader(body, maxStream)), memory: m}
}

// Read implements io.Reader.
func (s *stripper) Read(p []byte) (int, error) {
	for s.ready.Len() == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.err = s.next()
	}
	return s.ready.Read(p)
}

// next makes one more element ready. It returns io.EOF after the last.
func (s *stripper) next() error {
	if s.count == 0 {
		open, err := s.in.Token()
		if err != nil {
			return cutOff(err)
		}
		if open != json.Delim('[') {
			return fmt.Errorf("the answer begins with %v and not with an array", open)
		}
	}
	if !s.in.More() {
		end, err := s.in.Token()
		if err != nil {
			return cutOff(err)
		}
		if end != json.Delim(']') {
			return fmt.Errorf("the answer ends with %v", end)
		}
		if s.count == 0 {
			s.ready.WriteByte('[')
		}
		s.ready.WriteByte(']')
		return io.EOF
	}
	var raw json.RawMessage
	if err := s.in.Decode(&raw); err != nil {
		return cutOff(err)
	}
	visible, err := s.memory.hear(raw)
	if err != nil {
		return err
	}
	if s.count == 0 {
		s.ready.WriteByte('[')
	} else {
		s.ready.WriteByte(',')
	}
	s.ready.Write(visible)
	s.count++
	return nil
}

// cutOff names the end of the input in the middle of an answer; io.EOF would look like its end.
func cutOff(err error) error {
	if err == io.EOF { //nolint:errorlint // json.Decoder returns it bare
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close implements io.Closer.
func (s *stripper) Close() error { return s.body.Close() }

// apiError is an error that came as an element of a stream.
func apiError(raw json.RawMessage) error {
	var e struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Details []any  `json:"details"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("error in the stream: %w", err)
	}
	return &googleapi.Error{Code: e.Code, Message: e.Message, Details: e.Details}
}
