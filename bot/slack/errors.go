package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
)

const inviteRemedy = "invite the bot there: /invite @atlhyper"

// unheaded429 is the wait after a 429 that names none.
const unheaded429 = 3 * time.Second

// apiCode is Slack's own code for a failure, "" when the failure is not one of its answers.
func apiCode(err error) string {
	var e slack.SlackErrorResponse
	if errors.As(err, &e) {
		return e.Err
	}
	return ""
}

// deliveryError says of a failed call whether it may be tried again, when, and what a person must do.
func deliveryError(err error) *bot.DeliveryError {
	d := &bot.DeliveryError{Err: err}
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	switch {
	case errors.As(err, &limited):
		d.RetryAfter = max(limited.RetryAfter, time.Second)
		return d
	case errors.As(err, &status):
		if status.Code == http.StatusTooManyRequests {
			d.RetryAfter = unheaded429
		} else {
			d.Permanent = status.Code < 500
		}
		return d
	}
	var e slack.SlackErrorResponse
	if !errors.As(err, &e) {
		return d // the network, or Slack's answer was cut short
	}
	switch e.Err {
	case "ratelimited", "rate_limited", "message_limit_exceeded":
		d.RetryAfter = unheaded429
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org":
		// Passes by itself.
	case "channel_not_found", "not_in_channel":
		d.Permanent, d.Remedy = true, inviteRemedy
	case "is_archived":
		d.Permanent, d.Remedy = true, "unarchive the channel, or route its messages to another"
	case "restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel":
		d.Permanent, d.Remedy = true, "let the app post in this channel, under its posting permissions"
	case "missing_scope":
		d.Permanent, d.Remedy = true, scopeRemedy(e)
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired":
		// Not permanent: the message is good, and goes out once the token is.
		d.RetryAfter, d.Remedy = time.Minute, tokenRemedy("SLACK_BOT_TOKEN")
	default:
		// Slack's other codes speak of the message or its place, and say the same however often one asks.
		d.Permanent = true
	}
	return d
}

// ambiguous says of a failed post that Slack may have taken it all the same.
func ambiguous(err error) bool {
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	switch {
	case err == nil, errors.As(err, &limited):
		return false
	case errors.As(err, &status):
		return status.Code >= 500
	}
	switch apiCode(err) {
	case "", "internal_error", "fatal_error", "service_unavailable", "request_timeout":
		return true
	}
	return false
}

// needsPerson gives the error with its remedy when only a person can mend it, else nil.
func needsPerson(err error, token string) error {
	var e slack.SlackErrorResponse
	var status slack.StatusCodeError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &e):
		switch e.Err {
		case "missing_scope":
			return fmt.Errorf("%w: %s", err, scopeRemedy(e))
		case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission",
			"not_allowed_token_type", "access_denied", "org_login_required", "ekm_access_denied":
			return fmt.Errorf("%w: %s", err, tokenRemedy(token))
		}
	case errors.As(err, &status) && status.Code == http.StatusNotFound:
		return fmt.Errorf("%w: nothing answers at the API's address: check SLACK_API_URL", err)
	}
	return nil
}

func tokenRemedy(token string) string {
	if token == "SLACK_APP_TOKEN" {
		return "make an app-level token with connections:write under Basic Information, and set it as SLACK_APP_TOKEN"
	}
	return fmt.Sprintf("install the app again and set %s to its new token", token)
}

func scopeRemedy(e slack.SlackErrorResponse) string {
	if e.Needed == "connections:write" {
		return "the app-level token lacks connections:write: make one that has it under Basic Information, and set it as SLACK_APP_TOKEN"
	}
	needed := e.Needed
	if needed == "" {
		needed = "that it asks for"
	}
	remedy := fmt.Sprintf("add the scope %s under OAuth & Permissions, and install the app again", needed)
	if e.Provided != "" {
		remedy += fmt.Sprintf(" (it has %s)", strings.ReplaceAll(e.Provided, ",", ", "))
	}
	return remedy
}
