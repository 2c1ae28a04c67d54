// Package gateway is the RPC endpoint for people's own clients, `atlhyper chat` and `atlhyper ask`. It is one more
// surface of the same conversation: it knows tokens and streams, and decides nothing.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

// Broadcast is the channel that every watching client sees.
const Broadcast = "all"

const (
	// kept is how many of the newest messages for all a client that connects is shown.
	kept = 20
	// keptPrivate is how many messages of people's own conversations are kept altogether for clients that connect.
	keptPrivate = 200
	// pulse is the time between two empty messages on a quiet stream: a client that hears nothing knows that it was cut off.
	pulse = 20 * time.Second
)

// Tokens says whose token it is.
type Tokens interface {
	VerifyPerson(ctx context.Context, token string) (people.Person, bool, error)
}

// Server implements ChatServiceHandler and bot.Surface. It is safe for concurrent use.
type Server struct {
	tokens Tokens
	log    *slog.Logger
	ask    func(ctx context.Context, question string, caller tools.Caller) (*bot.Asked, error)

	mu       sync.Mutex // guards all below
	handler  bot.Handler
	watchers map[chan *WatchResponse]string // the value is the conversation
	recent   []told                         // for all
	private  []told                         // of conversations
}

// told is a message with its channel.
type told struct {
	channel string
	m       *WatchResponse
}

// New makes a server; it refuses to talk until Run gives it a handler.
func New(tokens Tokens, log *slog.Logger) *Server {
	return &Server{tokens: tokens, log: log, watchers: map[chan *WatchResponse]string{}}
}

// Answers sets who answers Ask. It is called before serving.
func (s *Server) Answers(ask func(ctx context.Context, question string, caller tools.Caller) (*bot.Asked, error)) {
	s.ask = ask
}

// Handler gives the path and the handler to mount.
func (s *Server) Handler() (string, http.Handler) {
	return NewChatServiceHandler(s, connect.WithReadMaxBytes(1<<20))
}

// Name implements bot.Surface.
func (s *Server) Name() string { return "client" }

// Run implements bot.Surface.
func (s *Server) Run(ctx context.Context, h bot.Handler) error {
	s.mu.Lock()
	s.handler = h
	s.mu.Unlock()
	<-ctx.Done()
	return nil
}

// Post implements bot.Surface.
func (s *Server) Post(_ context.Context, p bot.Place, m message.Message, key, _ string) (bot.Ref, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return bot.Ref{}, &bot.DeliveryError{Err: err, Permanent: true}
	}
	s.broadcast(p.Channel, &WatchResponse{Key: key, Thread: p.Thread, Message: raw})
	return bot.Ref{Surface: s.Name(), Channel: p.Channel, Message: key, Thread: key}, nil
}

// Edit implements bot.Surface.
func (s *Server) Edit(_ context.Context, ref bot.Ref, m message.Message) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return &bot.DeliveryError{Err: err, Permanent: true}
	}
	s.broadcast(ref.Channel, &WatchResponse{Key: ref.Message, Message: raw})
	return nil
}

// keep puts a message at the end of a list of at most n, in place of an earlier form of it.
func keep(list []told, t told, n int) []told {
	list = slices.DeleteFunc(list, func(x told) bool {
		if x.channel != t.channel || x.m.GetKey() != t.m.GetKey() {
			return false
		}
		if t.m.GetThread() == "" {
			t.m.Thread = x.m.GetThread() // an edit does not say where it stands
		}
		return true
	})
	list = append(list, t)
	return list[max(0, len(list)-n):]
}

func (s *Server) broadcast(channel string, m *WatchResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if channel == Broadcast {
		s.recent = keep(s.recent, told{channel, m}, kept)
	} else {
		s.private = keep(s.private, told{channel, m}, keptPrivate)
	}
	for w, conversation := range s.watchers {
		if channel != Broadcast && channel != conversation {
			continue
		}
		select {
		case w <- m:
		default: // a client that does not read is cut: it connects again and gets the newest
			delete(s.watchers, w)
			close(w)
		}
	}
}

func (s *Server) person(ctx context.Context, h http.Header) (people.Person, error) {
	token, _ := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	p, ok, err := s.tokens.VerifyPerson(ctx, token)
	switch {
	case err != nil:
		s.log.Error("token not checked", "err", err)
		return p, connect.NewError(connect.CodeUnavailable, errors.New("the token could not be checked now; try again"))
	case !ok:
		return p, connect.NewError(connect.CodeUnauthenticated, errors.New("the token is not known"))
	}
	return p, nil
}

// Say implements ChatServiceHandler.
func (s *Server) Say(ctx context.Context, req *connect.Request[SayRequest], stream *connect.ServerStream[SayResponse]) error {
	who, err := s.person(ctx, req.Header())
	if err != nil {
		return err
	}
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	if h == nil {
		return connect.NewError(connect.CodeUnavailable, errors.New("the engine is starting; try again"))
	}
	m := req.Msg
	if m.GetId() == "" { // all without one would be taken for one that is repeated
		return connect.NewError(connect.CodeInvalidArgument, errors.New("an id is needed"))
	}
	in := bot.Inbound{
		ID: who.ID + "/" + m.GetId(), Kind: bot.Direct, Person: who, Text: m.GetText(), Action: m.GetAction(), Subject: m.GetSubject(), Values: m.GetValues(), Lang: m.GetLang(),
		// The conversation is the person's own: nobody can name somebody else's.
		Place: bot.Place{Surface: s.Name(), Channel: who.ID + "/" + m.GetConversation()}, At: time.Now(),
	}
	switch {
	case m.GetSubmit():
		in.Kind = bot.Submit
	case m.GetAction() != "":
		in.Kind = bot.Click
	}
	h(ctx, in, &responder{stream: stream})
	return nil
}

type responder struct {
	stream *connect.ServerStream[SayResponse]
}

// Working implements bot.Responder.
func (r *responder) Working(_ context.Context, step string) error {
	return r.stream.Send(&SayResponse{What: &SayResponse_Working{Working: step}})
}

// Answer implements bot.Responder.
func (r *responder) Answer(_ context.Context, m message.Message) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return r.stream.Send(&SayResponse{What: &SayResponse_Message{Message: raw}})
}

// Ask implements bot.Responder.
func (r *responder) Ask(_ context.Context, p bot.Prompt) error {
	return r.stream.Send(&SayResponse{What: &SayResponse_Prompt{Prompt: wirePrompt(p)}})
}

// Watch implements ChatServiceHandler.
func (s *Server) Watch(ctx context.Context, req *connect.Request[WatchRequest], stream *connect.ServerStream[WatchResponse]) error {
	who, err := s.person(ctx, req.Header())
	if err != nil {
		return err
	}
	w := make(chan *WatchResponse, 256)
	conversation := who.ID + "/" + req.Msg.GetConversation()
	s.mu.Lock()
	replay := slices.Clone(s.recent)
	for _, t := range s.private {
		if t.channel == conversation {
			replay = append(replay, t)
		}
	}
	s.watchers[w] = conversation
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, w)
		s.mu.Unlock()
	}()
	if err := stream.Send(&WatchResponse{}); err != nil { // at once, so that the client knows that the stream stands
		return err
	}
	for _, t := range replay {
		if err := stream.Send(t.m); err != nil {
			return err
		}
	}
	quiet := time.NewTicker(pulse)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-quiet.C:
			if err := stream.Send(&WatchResponse{}); err != nil {
				return err
			}
		case m, ok := <-w:
			if !ok {
				return connect.NewError(connect.CodeAborted, errors.New("too slow: connect again"))
			}
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

// Ask implements ChatServiceHandler.
func (s *Server) Ask(ctx context.Context, req *connect.Request[AskRequest]) (*connect.Response[AskResponse], error) {
	who, err := s.person(ctx, req.Header())
	if err != nil {
		return nil, err
	}
	if s.ask == nil {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("the engine is starting; try again"))
	}
	asked, err := s.ask(ctx, req.Msg.GetQuestion(), tools.Caller{Person: who, Lang: req.Msg.GetLang(), Cluster: req.Msg.GetCluster(), Place: s.Name()})
	var problem *tools.Problem
	switch {
	case errors.As(err, &problem):
		return nil, connect.NewError(connect.CodeInvalidArgument, problem)
	case err != nil:
		s.log.Error("question not answered", "person", who.ID, "err", err)
		return nil, connect.NewError(connect.CodeInternal, errors.New("something broke in the engine; it is in its log"))
	}
	raw, err := json.Marshal(asked)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&AskResponse{Json: raw}), nil
}

// Bearer puts a token on every call of a client.
func Bearer(token string) connect.Interceptor { return bearer(token) }

type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, req)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
