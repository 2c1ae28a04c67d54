package slack

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/engine/people"
)

const (
	// personFresh is how long a looked-up person is believed. It bounds how long someone who was deactivated or made
	// a guest is still served as before.
	personFresh = 5 * time.Minute
	// lookTimeout bounds a look-up, which stands between a question and its answer.
	lookTimeout = 5 * time.Second
	// bookSize bounds the caches. They are emptied when full, which costs one look-up each.
	bookSize = 10_000
)

// directory knows the people of the workspace.
type directory struct {
	api    *slack.Client
	now    func() time.Time
	groups *groupBook

	mu    sync.Mutex // guards what follows
	self  identity
	known map[string]acquaintance
}

type acquaintance struct {
	person people.Person
	lang   string
	at     time.Time
}

func newDirectory(api *slack.Client, now func() time.Time) *directory {
	return &directory{api: api, now: now, groups: &groupBook{api: api, now: now}, known: map[string]acquaintance{}}
}

func (d *directory) setSelf(self identity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.self = self
}

// look says who a user is, and their language. teams are the workspaces that the event named. Any doubt makes a
// stranger: a bot, a guest, a deactivated account, someone of another organisation, and with the error, someone
// whom Slack would not tell about. Groups are looked up more often than people; when that fails the person comes without
// them, and with the error.
func (d *directory) look(ctx context.Context, user string, teams []string) (people.Person, string, error) {
	d.mu.Lock()
	self := d.self
	known, ok := d.known[user]
	d.mu.Unlock()
	if !ok || d.now().Sub(known.at) > personFresh {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		info, err := d.api.GetUserInfoContext(ctx, user, slack.GetUserInfoOptionIncludeLocale(true))
		if err != nil {
			return people.Person{ID: "slack:" + user, Name: user, Stranger: true}, "", fmt.Errorf("users.info: %w", err)
		}
		known = acquaintance{person: personOf(user, info, self), lang: info.Locale, at: d.now()}
		d.mu.Lock()
		if len(d.known) >= bookSize {
			clear(d.known)
		}
		d.known[user] = known
		d.mu.Unlock()
	}
	person := known.person
	for _, team := range teams {
		// In an Enterprise Grid each workspace has its own id below that of the enterprise, which personOf compared.
		if team != self.Team && self.Enterprise == "" {
			person.Stranger = true
		}
	}
	if person.Stranger {
		return person, known.lang, nil // a group of ours does not make one of us
	}
	groups, err := d.groups.groups(ctx, user)
	person.Groups = groups
	return person, known.lang, err
}

func personOf(user string, info *slack.User, self identity) people.Person {
	name := info.Profile.DisplayName
	if name == "" {
		name = info.RealName
	}
	if name == "" {
		name = info.Name
	}
	ours := info.TeamID == self.Team ||
		self.Enterprise != "" && info.Enterprise.EnterpriseID == self.Enterprise
	email := ""
	if info.IsEmailConfirmed { // an address that nobody confirmed is whoever's that typed it
		email = info.Profile.Email
	}
	return people.Person{
		ID:    "slack:" + user,
		Name:  name,
		Email: email,
		Stranger: !ours || info.Deleted || info.IsBot || info.IsConnectorBot || info.IsWorkflowBot ||
			info.IsRestricted || info.IsUltraRestricted || info.IsStranger || info.IsInvitedUser || user == "USLACKBOT",
	}
}

// directBook knows the direct channels with people. One that is not known is opened by posting to the person's id, which no
// other call takes.
type directBook struct {
	mu    sync.Mutex // guards known
	known map[string]string
}

// learn notes the channel with a person.
func (b *directBook) learn(user, channel string) {
	if !strings.HasPrefix(channel, "D") {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil || len(b.known) >= bookSize {
		b.known = map[string]string{}
	}
	b.known[user] = channel
}

// with is where to post to a person.
func (b *directBook) with(user string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return orElse(b.known[user], user)
}

// threadBook knows in which threads the bot takes part.
type threadBook struct {
	api *slack.Client

	mu    sync.Mutex // guards what follows
	self  identity
	known map[bot.Place]bool
}

func newThreadBook(api *slack.Client) *threadBook {
	return &threadBook{api: api, known: map[bot.Place]bool{}}
}

func (b *threadBook) setSelf(self identity) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.self = self
}

// join notes that the bot speaks in a thread.
func (b *threadBook) join(p bot.Place) {
	if p.Thread != "" {
		b.note(p, true)
	}
}

func (b *threadBook) note(p bot.Place, ours bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) >= bookSize {
		clear(b.known)
	}
	// Who has joined stays: a look-up that began before must not undo it.
	b.known[p] = ours || b.known[p]
}

// takesPart says whether the bot wrote in a thread, now or before it was restarted.
func (b *threadBook) takesPart(ctx context.Context, p bot.Place) (bool, error) {
	b.mu.Lock()
	ours, ok := b.known[p]
	self := b.self
	b.mu.Unlock()
	if ok {
		return ours, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	messages, _, _, err := b.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
		ChannelID: p.Channel, Timestamp: p.Thread, Limit: 100,
	})
	if err != nil {
		return false, fmt.Errorf("conversations.replies: %w", err)
	}
	for _, m := range messages {
		if m.User == self.User || self.Bot != "" && m.BotID == self.Bot {
			ours = true
			break
		}
	}
	b.note(p, ours)
	return ours, nil
}
