package gateway_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/gateway"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is an engine's people port on a real network, with real tokens.
type house struct {
	t      *testing.T
	db     *storage.DB
	server *gateway.Server
	addr   string
	stop   func()
	tokens map[string]string
}

func open(t *testing.T, h bot.Handler) *house {
	t.Helper()
	db, err := storage.Open(t.Context(), filepath.Join(t.TempDir(), "people.db"), storage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	x := &house{t: t, db: db, addr: "127.0.0.1:0", tokens: map[string]string{}}
	for name, role := range map[string]people.Role{"mia": people.Operator, "ken": people.Viewer} {
		if x.tokens[name], err = db.AddPerson(t.Context(), name, role); err != nil {
			t.Fatal(err)
		}
	}
	x.start(h)
	t.Cleanup(func() {
		x.stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// start serves as a new process does, at the same address; without a handler the engine is still starting.
func (x *house) start(h bot.Handler) {
	x.t.Helper()
	x.server = gateway.New(x.db, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", x.addr)
	if err != nil {
		x.t.Fatal(err)
	}
	x.addr = l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle(x.server.Handler())
	web := &http.Server{Handler: mux, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10) // so that little is enough to fill it
		return ctx
	}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = web.Serve(l) }) // ends with Close
	if h != nil {
		running.Go(func() {
			if err := x.server.Run(ctx, h); err != nil {
				x.t.Error(err)
			}
		})
	}
	var once sync.Once
	x.stop = func() {
		once.Do(func() {
			cancel()
			web.Close()
			running.Wait()
		})
	}
}

func (x *house) client(token string) gateway.ChatServiceClient {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return c, err
	}}
	x.t.Cleanup(transport.CloseIdleConnections)
	return gateway.NewChatServiceClient(&http.Client{Transport: transport}, "http://"+x.addr, connect.WithInterceptors(gateway.Bearer(token)))
}

func (x *house) post(channel, key, title, thread string) {
	x.t.Helper()
	if _, err := x.server.Post(x.t.Context(), bot.Place{Surface: "client", Channel: channel, Thread: thread}, message.Message{Title: title}, key, ""); err != nil {
		x.t.Fatal(err)
	}
}

// watch opens a stream and gives what it shows, a line each, until it ends.
func (x *house) watch(ctx context.Context, token, conversation string) (lines chan string, err error) {
	stream, err := x.client(token).Watch(ctx, connect.NewRequest(&gateway.WatchRequest{Conversation: conversation}))
	if err != nil {
		return nil, err
	}
	if !stream.Receive() {
		return nil, errors.Join(stream.Err(), stream.Close())
	}
	lines = make(chan string, 100)
	go func() {
		defer close(lines)
		defer stream.Close()
		for stream.Receive() {
			var m message.Message
			if json.Unmarshal(stream.Msg().GetMessage(), &m) == nil {
				lines <- strings.TrimSpace(stream.Msg().GetThread() + " " + stream.Msg().GetKey() + "=" + m.Title)
			}
		}
	}()
	return lines, nil
}

func next(t *testing.T, lines chan string) string {
	t.Helper()
	select {
	case l := <-lines:
		return l
	case <-time.After(5 * time.Second):
		t.Fatal("nothing came")
		return ""
	}
}

func said(t *testing.T, c gateway.ChatServiceClient, req *gateway.SayRequest) (out []string, err error) {
	t.Helper()
	stream, err := c.Say(t.Context(), connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	for stream.Receive() {
		switch w := stream.Msg().GetWhat().(type) {
		case *gateway.SayResponse_Working:
			out = append(out, "… "+w.Working)
		case *gateway.SayResponse_Message:
			var m message.Message
			if err := json.Unmarshal(w.Message, &m); err != nil {
				t.Fatal(err)
			}
			out = append(out, m.Title)
		case *gateway.SayResponse_Prompt:
			out = append(out, "? "+w.Prompt.GetTitle())
			for _, f := range w.Prompt.GetFields() {
				out = append(out, strings.TrimRight(fmt.Sprintln(" ", f.GetName(), f.GetHint(), f.GetValue(), f.GetOptional(), len(f.GetChoices())), "\n"))
			}
		}
	}
	return out, stream.Err()
}

func TestSayStreamsTheWorkTheAnswerAndThePrompt(t *testing.T) {
	var mu sync.Mutex
	var heard []bot.Inbound
	x := open(t, func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		mu.Lock()
		heard = append(heard, in)
		mu.Unlock()
		for _, err := range []error{
			r.Working(ctx, "overview"), r.Working(ctx, "logs"), r.Answer(ctx, message.Message{Title: "All is well."}),
			r.Ask(ctx, bot.Prompt{Title: "Type the name", Action: "approve", Subject: "p1", Fields: []bot.Field{
				{Name: "name", Hint: "worker-3"}, {Name: "when", Choices: []bot.Choice{{Label: "now", Value: "0"}}, Value: "0", Optional: true},
			}}),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	c := x.client(x.tokens["mia"])
	got, err := said(t, c, &gateway.SayRequest{Id: "1", Text: "what is wrong?", Lang: "ja", Conversation: "laptop"})
	if d := cmp.Diff([]string{"… overview", "… logs", "All is well.", "? Type the name", "  name worker-3  false 0", "  when  0 true 1"}, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if _, err := said(t, c, &gateway.SayRequest{Id: "2", Action: "approve", Subject: "p1", Conversation: "laptop"}); err != nil {
		t.Error(err)
	}
	if _, err := said(t, c, &gateway.SayRequest{Id: "3", Action: "approve", Subject: "p1", Values: map[string]string{"name": "worker-3"}, Submit: true, Conversation: "laptop"}); err != nil {
		t.Error(err)
	}
	if len(heard) != 3 {
		t.Fatalf("heard %+v", heard)
	}
	in := heard[0]
	if in.Kind != bot.Direct || in.Person.ID != "client:mia" || in.Person.Given != people.Operator || in.Lang != "ja" || in.Text != "what is wrong?" || in.Place != (bot.Place{Surface: "client", Channel: "client:mia/laptop"}) {
		t.Errorf("words came as %+v", in)
	}
	if heard[1].Kind != bot.Click || heard[1].Action != "approve" || heard[1].Subject != "p1" {
		t.Errorf("a click came as %+v", heard[1])
	}
	if heard[2].Kind != bot.Submit || heard[2].Values["name"] != "worker-3" {
		t.Errorf("a typed name came as %+v", heard[2])
	}
	if _, err := said(t, c, &gateway.SayRequest{Text: "without an id"}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("without an id: %v", err)
	}
	ken, _ := said(t, x.client(x.tokens["ken"]), &gateway.SayRequest{Id: "1", Text: "the same id"})
	if len(ken) == 0 || heard[0].ID == heard[3].ID {
		t.Errorf("two people's ids are one: %q", heard[3].ID)
	}
}

func TestWithoutATokenNothingIsSaid(t *testing.T) {
	x := open(t, func(context.Context, bot.Inbound, bot.Responder) { t.Error("somebody was heard") })
	x.server.Answers(func(context.Context, string, tools.Caller) (*bot.Asked, error) {
		t.Error("somebody was answered")
		return nil, nil
	})
	x.post(gateway.Broadcast, "k", "secret", "")
	gone := x.tokens["ken"]
	if err := x.db.RemovePerson(t.Context(), "ken"); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"none": "", "wrong": "atl_wrong", "removed": gone} {
		c := x.client(token)
		if _, err := said(t, c, &gateway.SayRequest{Id: "1", Text: "hello"}); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("%s token, say: %v", name, err)
		}
		if _, err := x.watch(t.Context(), token, ""); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("%s token, watch: %v", name, err)
		}
		if _, err := c.Ask(t.Context(), connect.NewRequest(&gateway.AskRequest{Question: "hello"})); connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("%s token, ask: %v", name, err)
		}
	}
}

func TestBeforeTheBotRunsACallerIsToldToTryAgain(t *testing.T) {
	x := open(t, nil)
	c := x.client(x.tokens["mia"])
	if _, err := said(t, c, &gateway.SayRequest{Id: "1", Text: "hello"}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("say: %v", err)
	}
	if _, err := c.Ask(t.Context(), connect.NewRequest(&gateway.AskRequest{Question: "hello"})); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("ask: %v", err)
	}
}

func TestWhoConnectsIsShownTheNewestOfEachMessageAndThenWhatComes(t *testing.T) {
	x := open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x.post(gateway.Broadcast, "incident/INC-1", "opened", "")
	x.post(gateway.Broadcast, "event/1", "a line", "incident/INC-1")
	if err := x.server.Edit(ctx, bot.Ref{Channel: gateway.Broadcast, Message: "incident/INC-1"}, message.Message{Title: "resolved"}); err != nil {
		t.Fatal(err)
	}
	x.post("client:mia/laptop", "proposal/p1", "for Mia's laptop", "")
	for range 2 { // the second time it connects again
		lines, err := x.watch(ctx, x.tokens["mia"], "laptop")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"incident/INC-1 event/1=a line", "incident/INC-1=resolved", "proposal/p1=for Mia's laptop"} {
			if got := next(t, lines); got != want {
				t.Errorf("shown %q, want %q", got, want)
			}
		}
	}
	lines, err := x.watch(ctx, x.tokens["mia"], "phone")
	if err != nil {
		t.Fatal(err)
	}
	next(t, lines)
	next(t, lines)
	x.post(gateway.Broadcast, "event/2", "for all", "")
	if got := next(t, lines); got != "event/2=for all" {
		t.Errorf("then %q", got)
	}
	for n := range 50 {
		x.post(gateway.Broadcast, fmt.Sprint("event/", 10+n), "many", "")
	}
	late, err := x.watch(ctx, x.tokens["ken"], "")
	if err != nil {
		t.Fatal(err)
	}
	if got := next(t, late); got != "event/40=many" {
		t.Errorf("of 50 the first that is shown is %q", got)
	}
	cancel()
	for range late { // until it ends
	}
}

func TestNobodyReachesAnotherPersonsConversation(t *testing.T) {
	x := open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x.post("client:mia/laptop", "before", "a secret", "")
	for _, conversation := range []string{"laptop", "client:mia/laptop", "../client:mia/laptop", "all", ""} {
		lines, err := x.watch(ctx, x.tokens["ken"], conversation)
		if err != nil {
			t.Fatal(err)
		}
		x.post("client:mia/laptop", "after", "a secret", "")
		x.post(gateway.Broadcast, "event/"+conversation, "for all", "")
		for got := ""; !strings.HasPrefix(got, "event/"+conversation+"="); {
			if got = next(t, lines); strings.Contains(got, "secret") {
				t.Errorf("conversation %q shows Ken %q", conversation, got)
			}
		}
	}
}

func TestAWatcherThatDoesNotReadIsCutAndTheOthersGoOn(t *testing.T) {
	x := open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow, err := x.client(x.tokens["ken"]).Watch(ctx, connect.NewRequest(&gateway.WatchRequest{}))
	if err != nil || !slow.Receive() {
		t.Fatal(err)
	}
	defer slow.Close()
	begun := time.Now()
	noise := make([]byte, 6<<10)                   // that no compression makes small
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	big := base64.StdEncoding.EncodeToString(noise)
	const many = 400 // more than the buffers of both ends and 256 messages hold
	for n := range many {
		x.post(gateway.Broadcast, fmt.Sprint("event/", n), big, "")
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("one slow watcher held everybody up for %v", took)
	}
	lines, err := x.watch(ctx, x.tokens["mia"], "")
	if err != nil {
		t.Fatal(err)
	}
	next(t, lines)
	n := 0
	for slow.Receive() {
		n++
	}
	if connect.CodeOf(slow.Err()) != connect.CodeAborted || n >= many {
		t.Errorf("after %d messages the slow one ended with %v", n, slow.Err())
	}
}

func TestAskMapsWhatWentWrong(t *testing.T) {
	x := open(t, nil)
	var caller tools.Caller
	x.server.Answers(func(_ context.Context, q string, c tools.Caller) (*bot.Asked, error) {
		caller = c
		switch q {
		case "problem":
			return nil, fmt.Errorf("wrapped: %w", &tools.Problem{Sentence: "There is no pod x.", Remedy: "Did you mean y?"})
		case "fault":
			return nil, errors.New("disk failure at /var/secret")
		}
		return &bot.Asked{Question: q, Answer: "All is well."}, nil
	})
	c := x.client(x.tokens["mia"])
	ask := func(q string) (*connect.Response[gateway.AskResponse], error) {
		return c.Ask(t.Context(), connect.NewRequest(&gateway.AskRequest{Question: q, Cluster: "prod-eu", Lang: "zh"}))
	}
	res, err := ask("well?")
	if err != nil {
		t.Fatal(err)
	}
	var asked bot.Asked
	if err := json.Unmarshal(res.Msg.GetJson(), &asked); err != nil || asked.Answer != "All is well." || asked.Question != "well?" {
		t.Errorf("asked %+v (%v)", asked, err)
	}
	if caller.Person.ID != "client:mia" || caller.Cluster != "prod-eu" || caller.Lang != "zh" {
		t.Errorf("asked by %+v", caller)
	}
	if _, err := ask("problem"); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "There is no pod x. Did you mean y?") {
		t.Errorf("a problem came as %v", err)
	}
	if _, err := ask("fault"); connect.CodeOf(err) != connect.CodeInternal || strings.Contains(err.Error(), "secret") {
		t.Errorf("a fault came as %v", err)
	}
}
