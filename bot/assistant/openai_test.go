package assistant_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
	"github.com/bukahou/atlhyper/bot/assistant/openai"
	"github.com/bukahou/atlhyper/bot/assistant/openaifake"
)

const (
	openaiKey   = "sk-canary-51f2"
	openaiModel = "local-7b"
)

func newOpenAI(t *testing.T, cfg openaifake.Config, key, model string) (*openaifake.Server, *openai.Model) {
	t.Helper()
	cfg.Models = []string{openaiModel}
	fake := openaifake.New(cfg)
	t.Cleanup(fake.Close)
	m, err := openai.New(openai.Config{APIKey: key, Model: model, BaseURL: fake.URL, RetryDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return fake, m
}

func refused(fake *openaifake.Server) string {
	var b strings.Builder
	for i, r := range fake.Requests() {
		fmt.Fprintf(&b, "request %d: %d %s\n%s\n", i, r.Status, r.Refusal, r.Body)
	}
	return b.String()
}

func TestAConversationWithToolsOverChatCompletions(t *testing.T) {
	t.Parallel()
	for name, sloppy := range map[string]bool{"a server that names its calls": false, "a server that does not": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules, err := geminifake.Rules(geminifake.Rule{
				When: `why is (\S+) failing`,
				Calls: [][]geminifake.Call{
					{{Name: "list_events", Args: map[string]any{"target": "$1"}}, {Name: "get_logs", Args: map[string]any{"target": "$1", "tail": 50}}},
					{{Name: "get_overview"}},
				},
				Answer: `{{output "list_events" "headline"}}; {{output "get_overview" "headline"}}.`,
			})
			if err != nil {
				t.Fatal(err)
			}
			fake, m := newOpenAI(t, openaifake.Config{Key: openaiKey, Sloppy: sloppy, Brain: func(turn geminifake.Turn) geminifake.Reply {
				r := rules(turn)
				if len(r.Calls) > 0 {
					r.Text = []string{"Let me ", "look."}
				}
				return r
			}}, openaiKey, openaiModel)
			if err := m.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			box := &shop{delay: map[string]time.Duration{"list_events": 20 * time.Millisecond}}
			tk := talker(t, assistant.Config{Model: m, Toolbox: box})
			req := asking("viewer", "Why is payments failing?")
			req.History = []assistant.Turn{{Text: "INC-214 opened"}, {Person: true, Text: "hello"}, {Text: "Hello."}}
			var steps, streamed []string
			req.Stream = func(s string) { streamed = append(streamed, s) }
			ans, err := tk.Answer(t.Context(), req, func(s string) { steps = append(steps, s) })
			if err != nil {
				t.Fatalf("%v\n%s", err, refused(fake))
			}
			if want := "prod-eu: 3 warnings for payments; prod-eu is degraded."; ans.Text != want {
				t.Errorf("text %q, want %q", ans.Text, want)
			}
			if ans.By != openaiModel || ans.Degraded != "" || ans.Unverified != nil {
				t.Errorf("answer %+v", ans)
			}
			var got []string
			for _, c := range ans.Calls {
				got = append(got, c.Tool+" "+string(c.Args)+" "+c.Err)
			}
			want := []string{`list_events {"target":"payments"} `, `get_logs {"tail":50,"target":"payments"} `, `get_overview {} `}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("calls in the order in which the model made them:\n%s", d)
			}
			if d := cmp.Diff([]string{"looking at events of payments", "looking at logs of payments", "looking at overview"}, steps); d != "" {
				t.Error(d)
			}
			if len(streamed) < 4 || streamed[len(streamed)-1] != ans.Text || !slices.Contains(streamed, "Let me ") {
				t.Errorf("streamed %q", streamed)
			}
			requests := fake.Requests()
			if len(requests) != 3 {
				t.Fatalf("%d requests", len(requests))
			}
			for i, r := range requests {
				if r.Status != 200 || strings.Contains(string(r.Body), openaiKey) || !strings.Contains(r.Turn.System, "You are AtlHyper") {
					t.Errorf("request %d: status %d %s, system %.40q", i, r.Status, r.Refusal, r.Turn.System)
				}
				if d := cmp.Diff([]string{"list_events", "get_logs", "get_overview", "kubectl"}, r.Turn.Tools); d != "" {
					t.Errorf("request %d: a viewer's tools:\n%s", i, d)
				}
			}
		})
	}
}

func TestWhenTheModelServerFails(t *testing.T) {
	t.Parallel()
	ok := geminifake.Reply{Text: []string{"All is well."}}
	lookup := geminifake.Reply{Calls: []geminifake.Call{{Name: "get_overview"}}}
	fault := func(status int, message string) geminifake.Reply {
		return geminifake.Reply{Fault: geminifake.Fault{Status: status, Message: message}}
	}
	const broke = "The connection to the model server broke in the middle of the answer."
	for _, c := range []struct {
		name     string
		key      string
		model    string
		brain    []geminifake.Reply
		kind     assistant.ErrorKind
		sentence string // why the planner answers; "" when the model does
		remedy   string
		notes    string
	}{
		{name: "the API key is wrong", key: "sk-canary-wrong", brain: []geminifake.Reply{ok}, kind: assistant.BadKey, sentence: "The model server does not accept the API key.", remedy: "OPENAI_API_KEY"},
		{name: "the model does not exist", model: "local-0", brain: []geminifake.Reply{ok}, kind: assistant.BadModel, sentence: `The model server has no model "local-0".`, remedy: "OPENAI_MODEL"},
		{name: "the quota is used up", brain: []geminifake.Reply{{Fault: geminifake.Fault{Status: 429, Message: "quota", RetryAfter: 37 * time.Second}}}, kind: assistant.Quota, sentence: "The model server's quota is used up for another 37s."},
		{name: "the service is overloaded and stays so", brain: []geminifake.Reply{fault(503, "overloaded")}, kind: assistant.Unavailable, sentence: "The model server is not available (status 503)."},
		{name: "the service is overloaded once", brain: []geminifake.Reply{fault(503, "overloaded"), ok}},
		{name: "the request is refused", brain: []geminifake.Reply{fault(400, "bad schema")}, kind: assistant.BadRequest, sentence: "The model server refused the request."},
		{name: "nothing comes", brain: []geminifake.Reply{{Hang: true}}, kind: assistant.TimedOut, sentence: "The model did not answer in 0.4 s."},
		{name: "nothing more comes after the first words", brain: []geminifake.Reply{{Text: []string{"All ", "is ", "well."}, Hang: true, CutAfter: 1}}, kind: assistant.TimedOut, sentence: "The model did not answer in 0.4 s."},
		{name: "the stream breaks in the middle of a chunk", brain: []geminifake.Reply{{Text: []string{"All ", "is ", "well."}, CutAfter: 2}}, kind: assistant.Broken, sentence: broke},
		{name: "the stream ends early between two chunks", brain: []geminifake.Reply{{Text: []string{"All ", "is ", "well."}, CutAfter: 2, CutClean: true}}, kind: assistant.Broken, sentence: broke},
		{name: "the stream breaks after a tool was used", brain: []geminifake.Reply{lookup, {Text: []string{"All ", "is ", "well."}, CutAfter: 1}}, kind: assistant.Broken, sentence: broke},
		{name: "the answer is withheld", brain: []geminifake.Reply{{Text: []string{"All "}, Finish: "SAFETY"}}, kind: assistant.Blocked, sentence: "The model server withheld its answer (content filter)."},
		{name: "there is no choice", brain: []geminifake.Reply{{Nothing: true}}, kind: assistant.Broken, sentence: broke},
		{name: "the answer is empty each time", brain: []geminifake.Reply{{}}, kind: assistant.Empty, sentence: "The model gave no usable answer."},
		{name: "the answer is empty once", brain: []geminifake.Reply{{}, ok}},
		{name: "the arguments are no object once", brain: []geminifake.Reply{{Calls: []geminifake.Call{{Name: "get_overview", Args: `{"target":`}}}, ok}},
		{name: "the arguments are no object each time", brain: []geminifake.Reply{{Calls: []geminifake.Call{{Name: "get_overview", Args: "[1]"}}}}, kind: assistant.Empty, sentence: "The model gave no usable answer."},
		{name: "the tool does not exist", brain: []geminifake.Reply{{Calls: []geminifake.Call{{Name: "run_shell", Args: map[string]any{"cmd": "rm"}}}}, ok}},
		{name: "the answer is cut at its limit", brain: []geminifake.Reply{{Text: []string{"All is well."}, Finish: "MAX_TOKENS"}}, notes: "The model's answer was cut at its limit of length."},
		{name: "calls come alone, then parallel, then the answer", brain: []geminifake.Reply{lookup, {Calls: []geminifake.Call{{Name: "list_events", Args: map[string]any{"target": "<a> & b"}}, {Name: "get_logs", Args: map[string]any{"target": "c"}}}}, ok}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			use, model := openaiKey, openaiModel
			if c.key != "" {
				use = c.key
			}
			if c.model != "" {
				model = c.model
			}
			fake, m := newOpenAI(t, openaifake.Config{Key: openaiKey, Brain: geminifake.Script(c.brain...)}, use, model)
			budget := 20 * time.Second
			if c.kind == assistant.TimedOut {
				budget = 400 * time.Millisecond
			}
			tk := talker(t, assistant.Config{Model: m, Toolbox: &shop{}, Budget: budget})
			log := &strings.Builder{}
			plan := &planner{}
			fallback := assistant.NewFallback(tk, plan, slog.New(slog.NewTextHandler(log, nil)))
			req := asking("viewer", "how is it?")
			shown := "nothing yet"
			req.Stream = func(s string) { shown = s }
			ans, err := fallback.Answer(t.Context(), req, nil)
			if err != nil {
				t.Fatal(err)
			}
			if ans.Degraded != c.sentence {
				t.Fatalf("degraded %q, want %q\nlog %s\n%s", ans.Degraded, c.sentence, log, refused(fake))
			}
			if strings.Contains(log.String()+fmt.Sprint(ans), use) {
				t.Errorf("the key leaked: %s", log)
			}
			if c.sentence == "" {
				if ans.Text != "All is well." || plan.asked != 0 || strings.Join(ans.Notes, " ") != c.notes {
					t.Errorf("answer %+v, log %s", ans, log)
				}
				for _, r := range fake.Requests() {
					if r.Status == 400 {
						t.Errorf("refused: %s", r.Refusal)
					}
				}
				return
			}
			if ans.By != "planner" || ans.Text != "" || len(ans.Results) != 1 || shown != "" {
				t.Errorf("the planner did not answer: %+v; on screen %q", ans, shown)
			}
			_, err = tk.Answer(t.Context(), req, nil)
			var failure *assistant.ModelError
			if !errors.As(err, &failure) || failure.Kind != c.kind || !strings.Contains(failure.Remedy, c.remedy) {
				t.Errorf("error %v, want kind %d with remedy %q", err, c.kind, c.remedy)
			}
			if c.kind == assistant.Quota && failure.RetryAfter != 37*time.Second {
				t.Errorf("retry after %s", failure.RetryAfter)
			}
		})
	}
}

func TestAFailedExchangeDoesNotSpoilTheSessionWithAModelServer(t *testing.T) {
	t.Parallel()
	fake, m := newOpenAI(t, openaifake.Config{Brain: geminifake.Script(
		geminifake.Reply{Fault: geminifake.Fault{Status: 429, Message: "later"}},
		geminifake.Reply{Text: []string{"I ", "look."}, Calls: []geminifake.Call{{Name: "get_logs", Args: map[string]any{"target": "a", "tail": 5}}, {Name: "list_events"}}},
		geminifake.Reply{Text: []string{"half an ", "answer"}, CutAfter: 2},
		geminifake.Reply{Text: []string{"A ", "whole ", "answer"}},
		geminifake.Reply{Text: []string{"And ", "another"}},
	)}, "", openaiModel)
	s, err := m.Start(assistant.Opening{System: "test", Tools: (&shop{}).Tools(asking("viewer", "").Caller), History: []assistant.Turn{{Person: true, Text: "hi"}, {Text: "Hi."}}})
	if err != nil {
		t.Fatal(err)
	}
	question := assistant.Input{Text: "what now?"}
	if _, err := s.Send(t.Context(), question, func(string) {}); err == nil {
		t.Fatal("429 was not an error")
	}
	r, err := s.Send(t.Context(), question, func(string) {})
	if err != nil || len(r.Calls) != 2 || r.Text != "I look." || r.Tokens != 125 {
		t.Fatalf("%+v %v", r, err)
	}
	outputs := assistant.Input{Outputs: []assistant.Output{
		{ID: r.Calls[0].ID, Name: r.Calls[0].Name, Content: []byte(`{"list":["a",1,true,null,{"deep":[1.5]}]}`)},
		{ID: r.Calls[1].ID, Name: r.Calls[1].Name, Content: []byte(`"it did not work"`), Failed: true},
	}}
	if _, err := s.Send(t.Context(), outputs, func(string) {}); err == nil {
		t.Fatal("a broken stream was not an error")
	}
	r, err = s.Send(t.Context(), outputs, func(string) {})
	if err != nil || r.Text != "A whole answer" {
		t.Fatalf("%+v %v\n%s", r, err, refused(fake))
	}
	r, err = s.Send(t.Context(), assistant.Input{Text: "thanks", NoTools: true}, func(string) {})
	if err != nil || r.Text != "And another" {
		t.Fatalf("%+v %v\n%s", r, err, refused(fake))
	}
	all := fake.Requests()
	if last := all[len(all)-1].Turn; last.Question != "thanks" || !last.NoTools {
		t.Errorf("last turn %+v", last)
	}
	results := all[len(all)-2].Turn.Results
	if len(results) != 2 || results[1].Error != "it did not work" || results[0].Output == nil {
		t.Errorf("the model saw %+v", results)
	}
	if n := strings.Count(string(all[len(all)-1].Body), "what now?"); n != 1 {
		t.Errorf("the failed question stands %d times in the history", n)
	}
}

func TestAModelServerThatIsAwayIsSaidWithoutTheKey(t *testing.T) {
	t.Parallel()
	fake := openaifake.New(openaifake.Config{})
	url := fake.URL
	fake.Close()
	m, err := openai.New(openai.Config{APIKey: openaiKey, Model: openaiModel, BaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{m.Check(t.Context()), send(t, m)} {
		var failure *assistant.ModelError
		if !errors.As(err, &failure) || failure.Kind != assistant.Unavailable || strings.Contains(err.Error(), openaiKey) {
			t.Errorf("error %v", err)
		}
	}
	for _, bad := range []openai.Config{{}, {BaseURL: "http://localhost/v1"}, {BaseURL: "localhost:11434", Model: "x"}, {BaseURL: "http://me:" + openaiKey + "@host/v1", Model: "x"}} {
		if _, err := openai.New(bad); err == nil || !strings.Contains(err.Error(), "OPENAI_") || strings.Contains(err.Error(), openaiKey) {
			t.Errorf("%+v gives %v", bad, err)
		}
	}
}
