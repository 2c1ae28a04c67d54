package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// BridgeConfig says which engine a Bridge leads to, and where its client is.
type BridgeConfig struct {
	URL     string // of the engine's people port
	Token   string
	In      io.Reader // what the client says: one JSON-RPC message a line
	Out     io.Writer // what it is answered, likewise; nothing else is written to it
	Version string
	Client  *http.Client // default http.DefaultClient
	Logger  *slog.Logger
}

// The ways in which an engine cannot be used.
var (
	ErrToken   = errors.New("the engine does not know this token; an admin makes one with `atlhyper token add NAME`")
	ErrNoMCP   = errors.New("what answers there is no engine that serves tools: is this its --listen address, and is the engine of this version?")
	ErrNoReply = errors.New("no engine answers there: is it running, and is this its --listen address?")
)

// Bridge serves the engine's tools to one client until it leaves or ctx ends. The engine must be there at the start, for
// its tools are what is offered; when it is away later, calls say so and work again once it is back.
func Bridge(ctx context.Context, cfg BridgeConfig) error {
	if cfg.Client == nil {
		cfg.Client = http.DefaultClient
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	b := &bridge{cfg: cfg, signed: &signer{next: cfg.Client.Transport, token: cfg.Token}}
	if b.signed.next == nil {
		b.signed.next = http.DefaultTransport
	}
	defer b.drop()
	session, err := b.connect(ctx)
	if err != nil {
		return b.why(err)
	}
	offered := session.InitializeResult()
	s := mcp.NewServer(&mcp.Implementation{Name: "atlhyper", Title: "AtlHyper", Version: cfg.Version}, &mcp.ServerOptions{Instructions: offered.Instructions, Capabilities: &mcp.ServerCapabilities{}})
	for t, err := range session.Tools(ctx, nil) {
		if err != nil {
			return b.why(err)
		}
		s.AddTool(t, b.call)
	}
	err = s.Run(ctx, &mcp.IOTransport{Reader: io.NopCloser(cfg.In), Writer: unclosed{cfg.Out}})
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		return nil // the client left
	}
	return err
}

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

type bridge struct {
	cfg    BridgeConfig
	signed *signer

	mu      sync.Mutex // guards session
	session *mcp.ClientSession
}

// connect gives the session with the engine, a new one after a failure.
func (b *bridge) connect(ctx context.Context) (*mcp.ClientSession, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil {
		return b.session, nil
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "atlhyper-bridge", Version: b.cfg.Version}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: strings.TrimSuffix(b.cfg.URL, "/") + Path, HTTPClient: &http.Client{Transport: b.signed}, MaxRetries: -1, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		return nil, err
	}
	b.session = session
	return session, nil
}

// drop ends the session; the next call opens another.
func (b *bridge) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil {
		_ = b.session.Close() // it may be broken already
		b.session = nil
	}
}

// call forwards one call. It is never sent twice: whether a proposal was made is not known when its answer was lost.
func (b *bridge) call(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	session, err := b.connect(ctx)
	if err == nil {
		var res *mcp.CallToolResult
		if res, err = session.CallTool(ctx, &mcp.CallToolParams{Name: req.Params.Name, Arguments: req.Params.Arguments}); err == nil {
			return res, nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	b.drop()
	b.cfg.Logger.Warn("tool not called", "tool", req.Params.Name, "err", err)
	return failed(sentence(b.why(err))), nil
}

func sentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// why says what a person can do about a failure. The library's errors name no cause that can be told apart, so the last
// answer's status does.
func (b *bridge) why(err error) error {
	switch status := b.signed.last(); {
	case status == 0:
		return fmt.Errorf("%w (%s)", ErrNoReply, b.cfg.URL)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ErrToken
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return ErrNoMCP
	case status >= 500:
		return fmt.Errorf("the engine failed with status %d; it is in its log", status)
	}
	return err
}

// signer puts the token on every request and remembers the status of the last answer, 0 when none came.
type signer struct {
	next  http.RoundTripper
	token string

	mu     sync.Mutex // guards status
	status int
}

func (s *signer) last() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// RoundTrip implements http.RoundTripper.
func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.next.RoundTrip(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = 0
	if err == nil {
		s.status = resp.StatusCode
	}
	return resp, err
}
