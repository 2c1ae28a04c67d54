package gemini

import (
	"strings"

	"google.golang.org/genai"

	"github.com/bukahou/atlhyper/bot/assistant"
)

// gathered joins the chunks of a streamed reply. Parts keep their order. Two neighbouring texts become one only when
// neither is signed, since a signature belongs to exactly the part that it came with; a part that holds nothing but a
// signature is kept as it is.
type gathered struct {
	parts  []*genai.Part
	text   strings.Builder
	finish genai.FinishReason
	tokens int
	chunks int
}

func (g *gathered) add(resp *genai.GenerateContentResponse, onText func(string)) error {
	g.chunks++
	if resp.UsageMetadata != nil {
		g.tokens = max(g.tokens, int(resp.UsageMetadata.TotalTokenCount)) // a running total
	}
	if f := resp.PromptFeedback; f != nil && f.BlockReason != "" {
		return BlockedFor(string(f.BlockReason))
	}
	if len(resp.Candidates) == 0 {
		return nil
	}
	c := resp.Candidates[0]
	if c.FinishReason != "" && c.FinishReason != genai.FinishReasonUnspecified {
		g.finish = c.FinishReason
	}
	if c.Content == nil {
		return nil
	}
	for _, p := range c.Content.Parts {
		if p == nil || plainText(p) && p.Text == "" {
			continue // the API refuses a part that holds nothing
		}
		if p.Text != "" && !p.Thought {
			g.text.WriteString(p.Text)
			onText(p.Text)
		}
		if n := len(g.parts); n > 0 && plainText(p) && plainText(g.parts[n-1]) && p.Thought == g.parts[n-1].Thought {
			joined := *g.parts[n-1]
			joined.Text += p.Text
			g.parts[n-1] = &joined
			continue
		}
		g.parts = append(g.parts, p)
	}
	return nil
}

// plainText reports whether a part is text, or nothing, and has no signature.
func plainText(p *genai.Part) bool {
	return len(p.ThoughtSignature) == 0 && p.FunctionCall == nil && p.FunctionResponse == nil && p.InlineData == nil &&
		p.FileData == nil && p.ExecutableCode == nil && p.CodeExecutionResult == nil && p.ToolCall == nil && p.ToolResponse == nil
}

// Finish maps the API's finish reason. Its error is for a reply that was withheld.
func Finish(reason string) (assistant.Finish, error) {
	switch genai.FinishReason(reason) {
	case genai.FinishReasonStop:
		return assistant.FinishStop, nil
	case genai.FinishReasonMaxTokens, genai.FinishReasonContinuation:
		return assistant.FinishLength, nil
	case genai.FinishReasonMalformedFunctionCall, genai.FinishReasonUnexpectedToolCall, genai.FinishReasonTooManyToolCalls:
		return assistant.FinishMalformed, nil
	}
	return 0, BlockedFor(reason)
}

// BlockedFor is the error for a prompt or a reply that the API withholds, with its word for why.
func BlockedFor(reason string) *assistant.ModelError {
	return &assistant.ModelError{Kind: assistant.Blocked, Sentence: "Gemini withheld its answer (" + strings.ToLower(strings.ReplaceAll(reason, "_", " ")) + ")."}
}
