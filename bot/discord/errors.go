package discord

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/bwmarrin/discordgo"

	"github.com/bukahou/atlhyper/bot"
)

const tokenRemedy = "reset the token under Bot and set DISCORD_BOT_TOKEN to it"

// deliveryError says of a failed call whether it may be tried again, when, and what a person must do.
func deliveryError(err error) *bot.DeliveryError {
	d := &bot.DeliveryError{Err: err}
	var limited *discordgo.RateLimitError
	var refused *discordgo.RESTError
	switch {
	case errors.As(err, &limited):
		d.RetryAfter = max(limited.RetryAfter, time.Second)
		return d
	case !errors.As(err, &refused):
		return d // the network, or 502
	}
	status := refused.Response.StatusCode
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return d
	case status == http.StatusUnauthorized:
		// Not permanent: the message is good, and goes out once the token is.
		d.RetryAfter, d.Remedy = time.Minute, tokenRemedy
		return d
	}
	d.Permanent = true
	switch code(err) {
	case discordgo.ErrCodeUnknownChannel:
		d.Remedy = "set DISCORD_CHANNEL to a channel that is there"
	case discordgo.ErrCodeMissingAccess, discordgo.ErrCodeMissingPermissions:
		d.Remedy = "let the bot View Channel, Send Messages, Embed Links, Attach Files, Create Public Threads and Send Messages in Threads in that channel"
	}
	return d
}

// code is Discord's own number for a refusal, 0 when there is none.
func code(err error) int {
	var refused *discordgo.RESTError
	if errors.As(err, &refused) && refused.Message != nil {
		return refused.Message.Code
	}
	return 0
}

func unauthorised(err error) bool {
	var refused *discordgo.RESTError
	return errors.As(err, &refused) && refused.Response.StatusCode == http.StatusUnauthorized ||
		errors.Is(err, discordgo.ErrUnauthorized) ||
		err != nil && strings.Contains(err.Error(), discordgo.ErrUnauthorized.Error())
}
