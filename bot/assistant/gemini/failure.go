package gemini

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/genai"

	"github.com/bukahou/atlhyper/bot/assistant"
)

// explainer turns the library's errors into ours.
type explainer struct{ model, key string }

// error explains a request that failed.
func (e explainer) error(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var api genai.APIError
	if !errors.As(err, &api) {
		return NoAnswer(err, e.key)
	}
	f := Refusal{Code: api.Code, Status: api.Status, Message: api.Message}
	for _, d := range api.Details {
		f.Read(d)
	}
	return f.Explain(e.model, Redact(err, e.key))
}

// broken explains a reply that stopped in its middle.
func (e explainer) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return Interrupted(Redact(err, e.key))
}

// Refusal is an error of the Gemini API, from whichever client library.
type Refusal struct {
	Code       int    // the HTTP status
	Status     string // "RESOURCE_EXHAUSTED"
	Message    string
	Reason     string // of an ErrorInfo: "API_KEY_INVALID"
	RetryDelay time.Duration
}

// Read takes what matters from one of the error's details.
func (f *Refusal) Read(detail map[string]any) {
	if s, ok := detail["reason"].(string); ok && f.Reason == "" {
		f.Reason = s
	}
	if s, ok := detail["retryDelay"].(string); ok {
		// An unreadable delay is as good as none.
		f.RetryDelay, _ = time.ParseDuration(s)
	}
}

// Explain says what is wrong and what to do. model is the one that was asked for; cause is kept for the log.
func (f Refusal) Explain(model string, cause error) *assistant.ModelError {
	e := &assistant.ModelError{RetryAfter: f.RetryDelay, Err: cause}
	badKey := f.Reason == "API_KEY_INVALID" || f.Reason == "API_KEY_EXPIRED" || strings.Contains(strings.ToLower(f.Message), "api key")
	switch {
	case f.Code == 401 || f.Code == 403 || f.Code == 400 && badKey:
		e.Kind, e.Sentence = assistant.BadKey, "Gemini does not accept the API key."
		e.Remedy = "Set GEMINI_API_KEY to a valid key that may use the Generative Language API."
	case f.Code == 404:
		e.Kind, e.Sentence = assistant.BadModel, fmt.Sprintf("Gemini has no model %q.", model)
		e.Remedy = fmt.Sprintf("Set GEMINI_MODEL to a model that exists, or leave it empty for %s.", DefaultModel)
	case f.Code == 429:
		e.Kind, e.Sentence = assistant.Quota, "Gemini's quota is used up."
		if f.RetryDelay > 0 {
			e.Sentence = fmt.Sprintf("Gemini's quota is used up for another %s.", f.RetryDelay.Round(time.Second))
		}
		e.Remedy = "Wait, or raise the quota of the key's project."
	case f.Code >= 500:
		e.Kind, e.Sentence = assistant.Unavailable, fmt.Sprintf("Gemini is not available (status %d).", f.Code)
	case f.Code == 400:
		e.Kind, e.Sentence = assistant.BadRequest, "Gemini refused the request."
	default:
		e.Sentence = fmt.Sprintf("Gemini failed (status %d).", f.Code)
	}
	return e
}

// NoAnswer is the error when nothing usable came at all: no connection, or something that is not the API.
func NoAnswer(cause error, key string) *assistant.ModelError {
	e := &assistant.ModelError{Kind: assistant.Failed, Sentence: "Gemini's answer cannot be read.", Err: Redact(cause, key)}
	var network *url.Error
	if errors.As(cause, &network) {
		e.Kind, e.Sentence = assistant.Unavailable, "Gemini cannot be reached."
	}
	e.Remedy = "Check the network, the proxy and GEMINI_API_URL."
	return e
}

// Interrupted is the error for a reply that stopped in its middle.
func Interrupted(cause error) *assistant.ModelError {
	return &assistant.ModelError{Kind: assistant.Broken, Sentence: "The connection to Gemini broke in the middle of the answer.", Err: cause}
}

// Redact hides the key in an error's text. Libraries put addresses and headers into their errors, and those reach logs.
func Redact(err error, key string) error {
	if err == nil || key == "" || !strings.Contains(err.Error(), key) {
		return err
	}
	return redacted{strings.ReplaceAll(err.Error(), key, "[key]"), err}
}

// redacted keeps the cause for errors.Is. As does not reach it: whoever unpacks the cause could print it.
type redacted struct {
	text  string
	cause error
}

func (r redacted) Error() string        { return r.text }
func (r redacted) Is(target error) bool { return errors.Is(r.cause, target) }
