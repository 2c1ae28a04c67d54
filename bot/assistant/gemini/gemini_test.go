package gemini

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genai"

	"github.com/bukahou/atlhyper/bot/assistant"
)

func TestPartsAreJoinedInOrder(t *testing.T) {
	call := &genai.FunctionCall{ID: "1", Name: "a"}
	chunk := func(parts ...*genai.Part) *genai.GenerateContentResponse {
		return &genai.GenerateContentResponse{Candidates: []*genai.Candidate{{Content: &genai.Content{Parts: parts}}}}
	}
	var g gathered
	var shown string
	for _, c := range []*genai.GenerateContentResponse{
		chunk(&genai.Part{Text: "thinking ", Thought: true}, &genai.Part{Text: "hard", Thought: true}),
		chunk(&genai.Part{Text: "I "}), chunk(&genai.Part{Text: "look"}),
		chunk(&genai.Part{Text: " signed", ThoughtSignature: []byte{1}}), chunk(&genai.Part{Text: "."}),
		chunk(&genai.Part{FunctionCall: call, ThoughtSignature: []byte{2}}),
		chunk(&genai.Part{ThoughtSignature: []byte{3}}),
		chunk(&genai.Part{Text: ""}), chunk(), {},
	} {
		if err := g.add(c, func(s string) { shown += s }); err != nil {
			t.Fatal(err)
		}
	}
	want := []*genai.Part{
		{Text: "thinking hard", Thought: true},
		{Text: "I look"}, {Text: " signed", ThoughtSignature: []byte{1}}, {Text: "."},
		{FunctionCall: call, ThoughtSignature: []byte{2}},
		{ThoughtSignature: []byte{3}},
	}
	if d := cmp.Diff(want, g.parts); d != "" {
		t.Error(d)
	}
	if shown != "I look signed." || g.text.String() != shown {
		t.Errorf("shown %q", shown)
	}
}

func TestTheKeyIsInNoError(t *testing.T) {
	cause := fmt.Errorf("Get https://x/?key=sekret: %w", context.DeadlineExceeded)
	err := Redact(cause, "sekret")
	if strings.Contains(err.Error(), "sekret") || strings.Contains(fmt.Sprintf("%+v %#v", err, err.Error()), "sekret") {
		t.Errorf("%v", err)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cause is lost")
	}
	if Redact(nil, "sekret") != nil {
		t.Error("nothing became an error")
	}
}

func TestFinishReasons(t *testing.T) {
	for reason, want := range map[string]assistant.Finish{
		"STOP": assistant.FinishStop, "MAX_TOKENS": assistant.FinishLength, "CONTINUATION": assistant.FinishLength,
		"MALFORMED_FUNCTION_CALL": assistant.FinishMalformed, "UNEXPECTED_TOOL_CALL": assistant.FinishMalformed, "TOO_MANY_TOOL_CALLS": assistant.FinishMalformed,
	} {
		if got, err := Finish(reason); got != want || err != nil {
			t.Errorf("%s: %v %v", reason, got, err)
		}
	}
	for _, reason := range []string{"SAFETY", "RECITATION", "SPII", "OTHER", "SOMETHING_NEW"} {
		var blocked *assistant.ModelError
		if _, err := Finish(reason); !errors.As(err, &blocked) || blocked.Kind != assistant.Blocked {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

func TestNoKeyIsRefused(t *testing.T) {
	t.Setenv("GEMINI_API_KEY", "from the environment of something else")
	if _, err := New(t.Context(), Config{}); err == nil || !strings.Contains(err.Error(), "GEMINI_API_KEY") {
		t.Error(err)
	}
}
