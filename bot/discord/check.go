package discord

import (
	"context"
	"errors"
	"fmt"

	"github.com/bwmarrin/discordgo"
)

// Check says what a person must mend before the bot can work, one error a fault, joined. channel is where incidents go; it
// may be empty. It opens no connection to the gateway, and registers nothing.
func (d *Discord) Check(ctx context.Context, channel string) error {
	self, err := d.api.User("@me", discordgo.WithContext(ctx))
	switch {
	case unauthorised(err):
		return fmt.Errorf("discord: the token is refused: %s", tokenRemedy)
	case err != nil:
		return fmt.Errorf("discord: %w", deliveryError(err))
	}
	var faults []error
	if _, err := d.api.Gateway(discordgo.WithContext(ctx)); err != nil {
		faults = append(faults, fmt.Errorf("discord: no gateway is named: %w", deliveryError(err)))
	}
	if d.cfg.GuildID != "" {
		if _, err := d.api.GuildMember(d.cfg.GuildID, self.ID, discordgo.WithContext(ctx)); err != nil {
			faults = append(faults, fmt.Errorf("discord: the bot is not in guild %s: invite it there, or mend DISCORD_GUILD_ID", d.cfg.GuildID))
		}
	}
	if channel != "" {
		if _, err := d.api.Channel(channel, discordgo.WithContext(ctx)); err != nil {
			faults = append(faults, fmt.Errorf("discord: channel %s: %w", channel, deliveryError(err)))
		}
	}
	return errors.Join(faults...)
}
