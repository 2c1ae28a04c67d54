package main

import (
	"strings"
	"sync"
	"testing"

	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
	"github.com/bukahou/atlhyper/bot/assistant/openaifake"
)

// newModelServer starts a server of chat completions whose model thinks with brain, and gives the flags that lead there.
func newModelServer(t *testing.T, brain geminifake.Brain) (*openaifake.Server, []string) {
	t.Helper()
	fake := openaifake.New(openaifake.Config{Key: "sk-lab-canary", Models: []string{"local-7b"}, Brain: brain})
	t.Cleanup(fake.Close)
	t.Cleanup(func() {
		for i, r := range fake.Requests() {
			if r.Refusal != "" {
				t.Errorf("the model server refused request %d: %s", i, r.Refusal)
			}
		}
	})
	return fake, []string{"--openai-api-key", "sk-lab-canary", "--openai-base-url", fake.URL, "--openai-model", "local-7b"}
}

func TestAnOpenAICompatibleModelAnswersFromTheToolsAndHandsOverWhenItBreaks(t *testing.T) {
	var mu sync.Mutex
	broken := false
	fake, flags := newModelServer(t, func(turn geminifake.Turn) geminifake.Reply {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case broken:
			return geminifake.Reply{Text: []string{"All ", "is ", "well."}, CutAfter: 1}
		case turn.Step == 0:
			return geminifake.Reply{Text: []string{"Let me look."}, Calls: []geminifake.Call{
				{Name: "explain", Args: map[string]any{"id": "checkout"}},
				{Name: "logs", Args: map[string]any{"target": "checkout", "tail": 5}},
			}}
		}
		return geminifake.Reply{Text: []string{"checkout cannot start.\n", "It is this: ", factOf(turn.Results[0].Output, "cause")}}
	})
	w := newWorkspace(t, flags...)
	w.start()
	w.breakImage("checkout")
	w.expect("checkout", "INC-1")
	answer := w.expectReply(w.mention(mia, "why is checkout failing?"), "checkout cannot start.", "pods waits in ImagePullBackOff", "missing-1", "looked at: explain", "logs")
	for _, unwanted := range []string{"Let me look", "Not found in any reading", "without the model"} {
		if strings.Contains(answer.Text(), unwanted) {
			t.Errorf("the answer says %q:\n%s", unwanted, answer.Text())
		}
	}
	for _, r := range fake.Requests()[1].Turn.Results {
		if r.Error != "" {
			t.Errorf("%s failed: %s", r.Name, r.Error)
		}
	}

	mu.Lock()
	broken = true
	mu.Unlock()
	asked := w.mention(mia, "how many nodes are there?")
	first := w.expectReply(asked, "nodes in lab", "Answering without the model")
	if strings.Contains(first.Text(), "All") {
		t.Errorf("half an answer was left standing:\n%s", first.Text())
	}
	mu.Lock()
	broken = false
	mu.Unlock()
}
