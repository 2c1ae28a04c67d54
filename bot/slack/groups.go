package slack

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"
)

// groupsFresh is how long the user groups are believed: a role that a group gives ends this long after the membership.
const groupsFresh = time.Minute

// groupBook knows who is in which user group. Any doubt gives no groups, and so none of their roles.
type groupBook struct {
	api *slack.Client
	now func() time.Time

	mu sync.Mutex // guards what follows; held over a look-up, so that many questions at once make one
	of map[string][]string
	at time.Time // of the last look-up that was made
}

// groups lists the groups of a user as people.Person has them: "slack:S123". The error of a look-up is given once.
func (b *groupBook) groups(ctx context.Context, user string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() || b.now().Sub(b.at) > groupsFresh {
		b.of = nil
		b.at = b.now()
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		all, err := b.api.GetUserGroupsContext(ctx, slack.GetUserGroupsOptionIncludeUsers(true))
		if err != nil {
			return nil, fmt.Errorf("usergroups.list: %w", err)
		}
		b.of = map[string][]string{}
		for _, g := range all {
			for _, u := range g.Users {
				b.of[u] = append(b.of[u], "slack:"+g.ID)
			}
		}
	}
	return slices.Clone(b.of[user]), nil
}
