package assistant_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/assistant/gemini"
	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
	"github.com/bukahou/atlhyper/bot/assistant/generativeai"
)

// key is a canary: it must not turn up in any error, address or answer.
const key = "AIza-canary-51f2"

// checker is what both providers can do beside being a model.
type checker interface {
	assistant.Model
	Check(ctx context.Context) error
}

var providers = []struct {
	name string
	make func(t *testing.T, url, key, model string) checker
}{
	{"google.golang.org/genai", func(t *testing.T, url, key, model string) checker {
		m, err := gemini.New(t.Context(), gemini.Config{APIKey: key, Model: model, BaseURL: url, RetryDelay: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}},
	{"generative-ai-go", func(t *testing.T, url, key, model string) checker {
		m, err := generativeai.New(t.Context(), generativeai.Config{APIKey: key, Model: model, BaseURL: url, RetryDelay: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
		return m
	}},
}

// onBoth runs a test against both client libraries, each with a fake of its own.
func onBoth(t *testing.T, brain func() geminifake.Brain, test func(t *testing.T, fake *geminifake.Server, m checker)) {
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			fake := geminifake.New(geminifake.Config{Key: key, Models: []string{gemini.DefaultModel}, Brain: brain()})
			t.Cleanup(fake.Close)
			test(t, fake, p.make(t, fake.URL, key, ""))
		})
	}
}

func TestAConversationWithTools(t *testing.T) {
	t.Parallel()
	brain := func() geminifake.Brain {
		b, err := geminifake.Rules(geminifake.Rule{
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
		return func(turn geminifake.Turn) geminifake.Reply {
			r := b(turn)
			r.SignLast = true // also behind calls
			if len(r.Calls) > 0 {
				r.Text = []string{"Let me ", "look."}
			}
			return r
		}
	}
	onBoth(t, brain, func(t *testing.T, fake *geminifake.Server, m checker) {
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
			t.Fatalf("%v\n%s", err, refusals(fake))
		}
		if want := "prod-eu: 3 warnings for payments; prod-eu is degraded."; ans.Text != want {
			t.Errorf("text %q, want %q", ans.Text, want)
		}
		if ans.By != gemini.DefaultModel || ans.Degraded != "" || ans.Unverified != nil {
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
		if len(ans.Results) != 3 || ans.Results[0].Tool != "list_events" || ans.Results[1].Tool != "get_logs" {
			t.Errorf("results %v", ans.Results)
		}
		if d := cmp.Diff([]string{"looking at events of payments", "looking at logs of payments", "looking at overview"}, steps); d != "" {
			t.Error(d)
		}
		if len(streamed) < 4 || streamed[len(streamed)-1] != ans.Text || !slices.Contains(streamed, "Let me ") {
			t.Errorf("streamed %q", streamed)
		}
		for _, s := range streamed {
			if strings.Contains(s, "I should look") || strings.Contains(s, "Now I can") {
				t.Errorf("a thought was shown: %q", s)
			}
		}
		requests := fake.Requests()
		if len(requests) != 3 {
			t.Fatalf("%d requests", len(requests))
		}
		for i, r := range requests {
			if r.Status != 200 || r.KeyInURL || strings.Contains(string(r.Body), key) {
				t.Errorf("request %d: status %d %s, key in the address %t", i, r.Status, r.Refusal, r.KeyInURL)
			}
			if r.Turn.Thinking != "LOW" || !strings.Contains(r.Turn.System, "You are AtlHyper") {
				t.Errorf("request %d: thinking %q, system %.40q", i, r.Turn.Thinking, r.Turn.System)
			}
			if d := cmp.Diff([]string{"list_events", "get_logs", "get_overview", "kubectl"}, r.Turn.Tools); d != "" {
				t.Errorf("request %d: a viewer's tools:\n%s", i, d)
			}
		}
	})
}

func TestTheToolsAreThoseOfTheRole(t *testing.T) {
	t.Parallel()
	onBoth(t, func() geminifake.Brain { return geminifake.Script(geminifake.Reply{Text: []string{"Hello."}}) },
		func(t *testing.T, fake *geminifake.Server, m checker) {
			tk := talker(t, assistant.Config{Model: m, Toolbox: &shop{}})
			for _, who := range []string{"viewer", "operator"} {
				if _, err := tk.Answer(t.Context(), asking(who, "hello"), nil); err != nil {
					t.Fatal(err)
				}
			}
			r := fake.Requests()
			if slices.Contains(r[0].Turn.Tools, "restart_workload") {
				t.Error("a viewer's model was given a write tool")
			}
			if !slices.Contains(r[1].Turn.Tools, "restart_workload") {
				t.Error("an operator's model was not given the write tool")
			}
		})
}

func TestWhenTheModelFails(t *testing.T) {
	t.Parallel()
	ok := geminifake.Reply{Text: []string{"All is well."}}
	lookup := geminifake.Reply{Calls: []geminifake.Call{{Name: "get_overview"}}}
	fault := func(status int, message string) geminifake.Reply {
		return geminifake.Reply{Fault: geminifake.Fault{Status: status, Message: message}}
	}
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
		{name: "the API key is wrong", key: "AIza-canary-wrong", brain: []geminifake.Reply{ok}, kind: assistant.BadKey, sentence: "Gemini does not accept the API key.", remedy: "GEMINI_API_KEY"},
		{name: "the model does not exist", model: "gemini-0", brain: []geminifake.Reply{ok}, kind: assistant.BadModel, sentence: `Gemini has no model "gemini-0".`, remedy: "GEMINI_MODEL"},
		{name: "the quota is used up", brain: []geminifake.Reply{{Fault: geminifake.Fault{Status: 429, Message: "quota", RetryAfter: 37 * time.Second}}}, kind: assistant.Quota, sentence: "Gemini's quota is used up for another 37s."},
		{name: "the service is overloaded and stays so", brain: []geminifake.Reply{fault(503, "overloaded")}, kind: assistant.Unavailable, sentence: "Gemini is not available (status 503)."},
		{name: "the service is overloaded once", brain: []geminifake.Reply{fault(503, "overloaded"), ok}},
		{name: "the service has an internal error", brain: []geminifake.Reply{fault(500, "internal")}, kind: assistant.Unavailable, sentence: "Gemini is not available (status 500)."},
		{name: "the request is refused", brain: []geminifake.Reply{fault(400, "bad schema")}, kind: assistant.BadRequest, sentence: "Gemini refused the request."},
		{name: "nothing comes", brain: []geminifake.Reply{{Hang: true}}, kind: assistant.TimedOut, sentence: "The model did not answer in 0.4 s."},
		{name: "nothing more comes after the first words", brain: []geminifake.Reply{{Text: []string{"All ", "is ", "well."}, Hang: true, CutAfter: 1}}, kind: assistant.TimedOut, sentence: "The model did not answer in 0.4 s."},
		{name: "the stream breaks in the middle of a chunk", brain: []geminifake.Reply{{Text: []string{"All ", "is ", "well."}, CutAfter: 2}}, kind: assistant.Broken, sentence: "The connection to Gemini broke in the middle of the answer."},
		{name: "the stream ends early between two chunks", brain: []geminifake.Reply{{Text: []string{"All ", "is ", "well."}, CutAfter: 2, CutClean: true}}, kind: assistant.Broken, sentence: "The connection to Gemini broke in the middle of the answer."},
		{name: "the stream breaks after a tool was used", brain: []geminifake.Reply{lookup, {Text: []string{"All ", "is ", "well."}, CutAfter: 1}}, kind: assistant.Broken, sentence: "The connection to Gemini broke in the middle of the answer."},
		{name: "the prompt is blocked", brain: []geminifake.Reply{{Block: "SAFETY"}}, kind: assistant.Blocked, sentence: "Gemini withheld its answer (safety)."},
		{name: "the answer is withheld", brain: []geminifake.Reply{{Text: []string{"All "}, Finish: "SAFETY"}}, kind: assistant.Blocked, sentence: "Gemini withheld its answer (safety)."},
		{name: "the answer is withheld for a newer reason", brain: []geminifake.Reply{{Finish: "PROHIBITED_CONTENT"}}, kind: assistant.Blocked, sentence: "Gemini withheld its answer (prohibited content)."},
		{name: "there is no candidate", brain: []geminifake.Reply{{Nothing: true}}, kind: assistant.Broken, sentence: "The connection to Gemini broke in the middle of the answer."},
		{name: "the answer is empty each time", brain: []geminifake.Reply{{Thought: "Nothing to say."}}, kind: assistant.Empty, sentence: "The model gave no usable answer."},
		{name: "the answer is empty once", brain: []geminifake.Reply{{SignLast: true}, ok}},
		{name: "a call is malformed once", brain: []geminifake.Reply{{Finish: "MALFORMED_FUNCTION_CALL"}, ok}},
		{name: "a call is malformed after a tool was used", brain: []geminifake.Reply{lookup, {Finish: "MALFORMED_FUNCTION_CALL"}, {Finish: "UNEXPECTED_TOOL_CALL"}, ok}},
		{name: "every call is malformed", brain: []geminifake.Reply{{Finish: "MALFORMED_FUNCTION_CALL"}}, kind: assistant.Empty, sentence: "The model gave no usable answer."},
		{name: "the arguments are no object", brain: []geminifake.Reply{{Calls: []geminifake.Call{{Name: "get_overview", Args: "nonsense"}}}}, kind: assistant.Failed, sentence: "Gemini's answer cannot be read."},
		{name: "the tool does not exist", brain: []geminifake.Reply{{Calls: []geminifake.Call{{Name: "run_shell", Args: map[string]any{"cmd": "rm"}}}}, ok}},
		{name: "the answer is cut at its limit", brain: []geminifake.Reply{{Text: []string{"All is well."}, Finish: "MAX_TOKENS"}}, notes: "The model's answer was cut at its limit of length."},
		{name: "calls come alone, then parallel, then the answer", brain: []geminifake.Reply{lookup, {SignLast: true, Calls: []geminifake.Call{{Name: "list_events", Args: map[string]any{"target": "<a> & b"}}, {Name: "get_logs", Args: map[string]any{"target": "c"}}}}, ok}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range providers {
				t.Run(p.name, func(t *testing.T) {
					t.Parallel()
					fake := geminifake.New(geminifake.Config{Key: key, Models: []string{gemini.DefaultModel}, Brain: geminifake.Script(c.brain...)})
					t.Cleanup(fake.Close)
					use := key
					if c.key != "" {
						use = c.key
					}
					budget := 20 * time.Second
					if c.kind == assistant.TimedOut {
						budget = 400 * time.Millisecond
					}
					tk := talker(t, assistant.Config{Model: p.make(t, fake.URL, use, c.model), Toolbox: &shop{}, Budget: budget})
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
						t.Fatalf("degraded %q, want %q\nlog %s\n%s", ans.Degraded, c.sentence, log, refusals(fake))
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
		})
	}
}

func TestAnUnreachableServiceIsSaidWithoutTheKey(t *testing.T) {
	t.Parallel()
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			fake := geminifake.New(geminifake.Config{})
			url := fake.URL
			fake.Close()
			m := p.make(t, url, key, "")
			for _, err := range []error{m.Check(t.Context()), send(t, m)} {
				var failure *assistant.ModelError
				if !errors.As(err, &failure) || failure.Kind != assistant.Unavailable || strings.Contains(err.Error(), key) {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

func send(t *testing.T, m assistant.Model) error {
	t.Helper()
	s, err := m.Start(assistant.Opening{System: "test"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Send(t.Context(), assistant.Input{Text: "hello"}, func(string) {})
	return err
}

func TestAFailedExchangeDoesNotSpoilTheSession(t *testing.T) {
	t.Parallel()
	down := geminifake.Reply{Fault: geminifake.Fault{Status: 429, Message: "later"}}
	brain := func() geminifake.Brain {
		return geminifake.Script(
			down,
			geminifake.Reply{Thought: "hm", Text: []string{"I ", "look."}, Calls: []geminifake.Call{{Name: "get_logs", Args: map[string]any{"target": "a", "tail": 5}}, {Name: "list_events"}}},
			geminifake.Reply{Text: []string{"half an ", "answer"}, CutAfter: 2},
			geminifake.Reply{Text: []string{"A ", "whole ", "answer"}, SignLast: true},
			geminifake.Reply{Text: []string{"And ", "another"}},
		)
	}
	onBoth(t, brain, func(t *testing.T, fake *geminifake.Server, m checker) {
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
			t.Fatalf("%+v %v\n%s", r, err, refusals(fake))
		}
		r, err = s.Send(t.Context(), assistant.Input{Text: "thanks", NoTools: true}, func(string) {})
		if err != nil || r.Text != "And another" {
			t.Fatalf("%+v %v\n%s", r, err, refusals(fake))
		}
		all := fake.Requests()
		last := all[len(all)-1].Turn
		if last.Question != "thanks" || !last.NoTools {
			t.Errorf("last turn %+v", last)
		}
		results := all[len(all)-2].Turn.Results
		if len(results) != 2 || results[1].Error != "it did not work" || results[0].Output == nil {
			t.Errorf("the model saw %+v", results)
		}
		if n := strings.Count(string(all[len(all)-1].Body), "what now?"); n != 1 {
			t.Errorf("the failed question stands %d times in the history", n)
		}
	})
}

func refusals(fake *geminifake.Server) string {
	var b strings.Builder
	for i, r := range fake.Requests() {
		fmt.Fprintf(&b, "request %d: %d %s\n%s\n", i, r.Status, r.Refusal, r.Body)
	}
	return b.String()
}
