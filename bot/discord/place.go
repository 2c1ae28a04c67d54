package discord

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/bwmarrin/discordgo"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/engine/people"
)

const (
	// lookTimeout bounds a look-up, which stands between a question and its answer.
	lookTimeout = 5 * time.Second
	// bookSize bounds what is remembered. It is emptied when full, which costs one look-up each.
	bookSize = 10_000
)

// atlas knows which channels are threads, of what, and whose.
type atlas struct {
	api *discordgo.Session

	mu     sync.Mutex // guards what follows
	self   string
	known  map[string]spot // by Discord's channel id
	joined map[string]bool // threads in which the bot speaks
}

// spot is what does not change about a channel.
type spot struct {
	parent string // of a thread, "" for other channels
	owner  string
}

func newAtlas(api *discordgo.Session) *atlas {
	return &atlas{api: api, known: map[string]spot{}, joined: map[string]bool{}}
}

func (a *atlas) setSelf(self string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.self = self
}

func (a *atlas) join(thread string) {
	if thread == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.joined) >= bookSize {
		clear(a.joined)
	}
	a.joined[thread] = true
}

// find fills in where an event took place, and says whether the bot takes part there: in its own threads, those
// started on its messages among them, and where it was spoken to.
func (a *atlas) find(ctx context.Context, h *heard) (bool, error) {
	place := bot.Place{Surface: "discord", Channel: h.channel}
	message := h.in.Message.Message
	if h.token == "" {
		h.in.Message = bot.Ref{} // what was said is no message of the bot's
	}
	if h.guild == "" {
		h.in.Place = place
		return true, nil
	}
	where, err := a.look(ctx, h.channel)
	if err != nil {
		return false, err
	}
	ours := false
	switch {
	case where.parent != "":
		place = bot.Place{Surface: "discord", Channel: where.parent, Thread: h.channel}
		a.mu.Lock()
		ours = where.owner == a.self || a.joined[h.channel]
		a.mu.Unlock()
	case h.in.Kind == bot.Mention, h.thread:
		// The thread beneath a message has the message's id, also before it is started.
		place.Thread = message
	}
	h.in.Place = place
	if h.in.Message.Message != "" {
		h.in.Message.Channel, h.in.Message.Thread = place.Channel, place.Thread
	}
	if h.in.Kind != bot.Reply && h.in.Kind != bot.Pointed && (where.parent != "" || h.thread) {
		a.join(place.Thread)
	}
	return ours, nil
}

func (a *atlas) look(ctx context.Context, channel string) (spot, error) {
	a.mu.Lock()
	where, ok := a.known[channel]
	a.mu.Unlock()
	if ok {
		return where, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	c, err := a.api.Channel(channel, discordgo.WithContext(ctx))
	if err != nil {
		return spot{}, fmt.Errorf("look up channel: %w", err)
	}
	if c.IsThread() {
		where = spot{parent: c.ParentID, owner: c.OwnerID}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= bookSize {
		clear(a.known)
	}
	a.known[channel] = where
	return where, nil
}

// person says who spoke. Roles come with each event of a server, so they are never stale. Whoever writes directly is
// looked up in the one server that is served; when there is none, or it does not know them, they are a stranger.
func (a *atlas) person(ctx context.Context, h *heard, guild string) (people.Person, error) {
	p := people.Person{ID: "discord:" + h.user.ID, Name: firstOf(h.user.GlobalName, h.user.Username, h.user.ID)}
	m := h.member
	var failed error
	switch {
	case h.user.Bot || h.user.System:
		p.Stranger = true
	case h.guild != "":
		p.Stranger = guild != "" && h.guild != guild
	case guild == "":
		p.Stranger = true
	default:
		m, failed = a.member(ctx, guild, h.user.ID)
	}
	if m == nil || m.Pending {
		p.Stranger = true
	}
	if m != nil {
		p.Name = firstOf(m.Nick, p.Name)
		for _, role := range m.Roles {
			p.Groups = append(p.Groups, "discord:role:"+role)
		}
	}
	return p, failed
}

func (a *atlas) member(ctx context.Context, guild, id string) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	m, err := a.api.GuildMember(guild, id, discordgo.WithContext(ctx))
	var refused *discordgo.RESTError
	switch {
	case errors.As(err, &refused) && refused.Response.StatusCode == http.StatusNotFound:
		return nil, nil // not of this server
	case err != nil:
		return nil, fmt.Errorf("look up member: %w", err)
	}
	return &member{Nick: m.Nick, Roles: m.Roles, Pending: m.Pending}, nil
}

func firstOf(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}
