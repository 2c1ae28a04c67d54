package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
)

// TestThePlannerAndAModelAreScoredByTheSameQuestions asks about one world: the planner knows the answers, and a model that looks
// nothing up does not.
func TestThePlannerAndAModelAreScoredByTheSameQuestions(t *testing.T) {
	fake, _ := newModelServer(t, func(geminifake.Turn) geminifake.Reply {
		return geminifake.Reply{Text: []string{"I cannot tell."}}
	})
	var out strings.Builder
	c := &evalAskCmd{
		evalFlags: evalFlags{JSON: true}, Runs: 2, World: "calm",
		chatFlags: chatFlags{OpenAIAPIKey: "sk-lab-canary", OpenAIBaseURL: fake.URL, OpenAIModel: "local-7b"},
	}
	if err := c.Run(t.Context(), &environment{stdin: strings.NewReader(""), stdout: &out, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	var figures map[string]float64
	if err := json.Unmarshal([]byte(out.String()), &figures); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if figures["planner_score"] < 0.9 || figures["planner_cases"] < 10 {
		t.Errorf("the planner: %v", figures)
	}
	// What is typed as a command is answered without the model.
	if figures["model_mean"] > 0.2 || figures["model_all3"] > figures["model_mean"]+1e-9 {
		t.Errorf("a model that knows nothing: %v", figures)
	}
	if len(fake.Requests()) < 20 {
		t.Errorf("the model was asked %d times", len(fake.Requests()))
	}
}
