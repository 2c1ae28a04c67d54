package slack

import (
	"context"
	"fmt"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot/message"
)

// homeTab is what Slack calls the tab of the app that shows a view.
const homeTab = "home"

// Slack's limits of a view. Of its size Slack says 250 kB; less is read on a phone, so it is held to far less.
const (
	maxViewBlocks = 100
	maxView       = 60_000
)

// Publish implements bot.Publisher: the message is the view of the app's home tab. It replaces what the tab showed, whoever
// published that; the core publishes one person's in order. The direct channel beside the tab goes along, for a click on the view
// names none.
func (r *responder) Publish(ctx context.Context, m message.Message) error {
	view := slack.HomeTabViewRequest{
		Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: renderIn(m, maxView, maxViewBlocks).Blocks}, PrivateMetadata: r.in.Place.Channel,
	}
	return again(ctx, "publish the home", func() error {
		_, err := r.s.api.PublishViewContext(ctx, slack.PublishViewContextRequest{UserID: r.user, View: view})
		if apiCode(err) == "not_enabled" {
			return fmt.Errorf("%w: switch the home tab on under App Home, or take deploy/slack/manifest.yaml", err)
		}
		return err
	})
}

// Loses implements bot.Courier. Files cannot go with a message that one person sees in a channel: they would be everybody's.
func (r *responder) Loses(m message.Message) bool {
	if !m.Private || r.direct {
		return false
	}
	x := render(m)
	for _, image := range x.images {
		if len(image.PNG) > 0 {
			return true
		}
	}
	return len(x.whole)+len(x.files) > 0
}

// Send implements bot.Courier.
func (r *responder) Send(ctx context.Context, m message.Message) error {
	to := r.in.Place
	to.Channel, to.Thread = r.s.directs.with(r.user), ""
	if r.direct {
		to = r.in.Place
	}
	key := "whole-" + r.in.ID
	return again(ctx, "send the whole", func() error {
		ref, found, err := r.s.sent.find(ctx, to, key, false)
		if found { // by a try whose outcome was not known, which therefore sent no files
			r.s.upload(ctx, ref, render(m))
		}
		if err != nil || found {
			return err
		}
		_, err = r.s.post(ctx, to, m, key)
		return err
	})
}
