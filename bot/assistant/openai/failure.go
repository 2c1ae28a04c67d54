package openai

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"

	"github.com/bukahou/atlhyper/bot/assistant"
)

// explainer turns the library's errors into ours.
type explainer struct{ who, model, key string }

// temporary says that the same request may succeed in a moment.
func temporary(err error) bool {
	e, ok := errors.AsType[*openai.Error](err)
	if !ok {
		return false
	}
	switch e.StatusCode {
	case 500, 502, 503, 504:
		return true
	}
	return false
}

// error explains a request that failed.
func (x explainer) error(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &assistant.ModelError{Err: x.redact(err)}
	api, ok := errors.AsType[*openai.Error](err)
	if !ok {
		if _, network := errors.AsType[*url.Error](err); network {
			e.Kind, e.Sentence = assistant.Unavailable, x.who+" cannot be reached."
		} else {
			e.Sentence = x.who + "'s answer cannot be read."
		}
		e.Remedy = "Check the network, the proxy and OPENAI_BASE_URL."
		return e
	}
	// The library's own text is the status alone; what the server wrote is for the log.
	e.Err = x.redact(fmt.Errorf("%w: %s", err, api.Message))
	switch code := api.StatusCode; {
	case code == 401 || code == 403:
		e.Kind, e.Sentence = assistant.BadKey, x.who+" does not accept the API key."
		e.Remedy = "Set OPENAI_API_KEY to a valid key that may use this model."
	case code == 404:
		e.Kind, e.Sentence = assistant.BadModel, fmt.Sprintf("%s has no model %q.", x.who, x.model)
		e.Remedy = "Set OPENAI_MODEL to a model that exists there; if it does, mend OPENAI_BASE_URL, which mostly ends with /v1."
	case code == 429:
		e.Kind, e.Sentence = assistant.Quota, x.who+"'s quota is used up."
		e.Remedy = "Wait, or raise the limit of the key's project."
		if api.Response != nil {
			if s, err := strconv.ParseFloat(api.Response.Header.Get("Retry-After"), 64); err == nil && s > 0 {
				e.RetryAfter = time.Duration(s * float64(time.Second))
				e.Sentence = fmt.Sprintf("%s's quota is used up for another %s.", x.who, e.RetryAfter.Round(time.Second))
			}
		}
	case code >= 500:
		e.Kind, e.Sentence = assistant.Unavailable, fmt.Sprintf("%s is not available (status %d).", x.who, code)
	case code == 400 || code == 422:
		e.Kind, e.Sentence = assistant.BadRequest, x.who+" refused the request."
	default:
		e.Sentence = fmt.Sprintf("%s failed (status %d).", x.who, code)
	}
	return e
}

// broken explains a reply that stopped in its middle.
func (x explainer) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	who := strings.ToLower(x.who[:1]) + x.who[1:]
	if x.who == "OpenAI" {
		who = x.who
	}
	return &assistant.ModelError{Kind: assistant.Broken, Sentence: fmt.Sprintf("The connection to %s broke in the middle of the answer.", who), Err: x.redact(err)}
}

// finish maps the API's finish reason. Its error is for a reply that was withheld.
func (x explainer) finish(reason string) (assistant.Finish, error) {
	switch reason {
	case "length":
		return assistant.FinishLength, nil
	case "content_filter":
		return 0, &assistant.ModelError{Kind: assistant.Blocked, Sentence: x.who + " withheld its answer (content filter)."}
	}
	return assistant.FinishStop, nil // stop, tool_calls, and what other servers call them
}

// redact hides the key in an error's text.
func (x explainer) redact(err error) error {
	if x.key == "" || !strings.Contains(err.Error(), x.key) {
		return err
	}
	return redacted{strings.ReplaceAll(err.Error(), x.key, "[key]"), err}
}

// redacted keeps the cause for errors.Is. As does not reach it: whoever unpacks the cause could print it.
type redacted struct {
	text  string
	cause error
}

func (r redacted) Error() string        { return r.text }
func (r redacted) Is(target error) bool { return errors.Is(r.cause, target) }
