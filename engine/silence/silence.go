// Package silence keeps what people asked not to be told for a while. A silence always has an end, and it ends at once
// for an incident that gets worse than it was when the silence was asked for.
package silence

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
)

// Matcher selects incidents: one by its id, those in which an entity plays a part, those with a root cause of a kind or
// in a namespace, or all of a cluster. Exactly the set fields count, and all of them must match.
type Matcher struct {
	Cluster   string     `json:"cluster"`
	Namespace string     `json:"namespace,omitempty"` // of the root cause
	Entity    entity.Ref `json:"entity,omitzero"`
	Kind      string     `json:"kind,omitempty"` // of the root cause: a fact's reason or a metric's name
	Incident  string     `json:"incident,omitempty"`
}

// Matches says whether an incident is meant.
func (m Matcher) Matches(inc *incident.Incident) bool {
	if m.Cluster != inc.Cluster || m.Incident != "" && m.Incident != inc.ID || m.Kind != "" && m.Kind != inc.Cause.Kind ||
		m.Namespace != "" && m.Namespace != inc.Cause.Entity.Namespace {
		return false
	}
	return m.Entity.IsZero() || inc.Cause.Entity == m.Entity ||
		slices.ContainsFunc(inc.Entities, func(a incident.Affected) bool { return a.Entity == m.Entity })
}

// Silence is one request for quiet.
type Silence struct {
	ID      string         `json:"id"`
	Matcher Matcher        `json:"matcher"`
	Stage   incident.Stage `json:"stage,omitempty"` // what the incident had reached when it was asked for; none for one to come
	// Severity and Risk are the incident's when it was asked for; a silence without a Severity goes by the stage alone.
	Severity incident.Severity `json:"severity,omitempty"`
	Risk     float64           `json:"risk,omitempty"`
	Till     time.Time         `json:"till"`
	By       people.Person     `json:"by"`
	Lang     string            `json:"lang,omitempty"` // in which By asked, and is told of its end
	Reason   string            `json:"reason,omitempty"`
	Created  time.Time         `json:"created"`
	Broken   []string          `json:"broken,omitempty"` // incidents that got worse: it no longer holds for them
}

// Why is how an incident outgrew a silence.
type Why string

// The ways.
const (
	ByStage    Why = "stage"
	BySeverity Why = "severity"
	ByRisk     Why = "risk"
)

// leap is by how much the risk must rise over that of the asking: one step of severity. What was asked for while the
// incident eased is outgrown when it comes back, though its severity, which is that of its peak, never fell.
const leap = 0.2

// Worse says whether an incident has become more than what s was asked for: it reached the stage incident from a lower
// one, a higher severity, or a risk that is higher by a whole step.
func (s Silence) Worse(inc *incident.Incident) (why Why, worse bool) {
	switch {
	case inc.Stage == incident.StageIncident && s.Stage != incident.StageIncident:
		return ByStage, true
	case s.Severity == "":
		return "", false
	case inc.Severity.Above(s.Severity):
		return BySeverity, true
	case inc.Risk >= s.Risk+leap:
		return ByRisk, true
	}
	return "", false
}

// Store keeps silences by id. A change is durable when its method returns nil. Implementations are safe for
// concurrent use.
type Store interface {
	Silences(ctx context.Context) ([]Silence, error)
	PutSilence(ctx context.Context, s Silence) error
	DeleteSilence(ctx context.Context, id string) error
}

// Longest is the longest time that a silence may be asked for.
const Longest = 30 * 24 * time.Hour

// ErrNotFound is returned for an id that no silence has.
var ErrNotFound = errors.New("silence not found")

// Desk takes silences and applies them. It is safe for concurrent use and the only writer of its store.
type Desk struct {
	store Store

	mu  sync.Mutex // guards all; held over a write to the store, so that memory and store change in one order
	all []Silence
}

// New loads the silences.
func New(ctx context.Context, store Store) (*Desk, error) {
	all, err := store.Silences(ctx)
	if err != nil {
		return nil, fmt.Errorf("load silences: %w", err)
	}
	return &Desk{store: store, all: all}, nil
}

// Add stores a silence and gives it its id. Its Matcher must name a cluster, its Till lie in the future and its Stage
// be that of the incident meant.
func (d *Desk) Add(ctx context.Context, s Silence, now time.Time) (Silence, error) {
	switch {
	case s.Matcher.Cluster == "":
		return Silence{}, errors.New("silence: name the cluster")
	case !s.Matcher.Entity.IsZero() && s.Matcher.Entity.Cluster != s.Matcher.Cluster:
		return Silence{}, fmt.Errorf("silence: %s is not in cluster %s", s.Matcher.Entity, s.Matcher.Cluster)
	case !s.Till.After(now):
		return Silence{}, errors.New("silence: its end must lie in the future")
	case s.Till.Sub(now) > Longest:
		return Silence{}, fmt.Errorf("silence: at most %d days", int(Longest.Hours()/24))
	}
	s.ID, s.Created, s.Broken = "sil-"+rand.Text()[:10], now, nil
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.store.PutSilence(ctx, s); err != nil {
		return Silence{}, fmt.Errorf("silence: %w", err)
	}
	d.all = append(d.all, s)
	return s, nil
}

// End ends a silence before its time.
func (d *Desk) End(ctx context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.all, func(s Silence) bool { return s.ID == id })
	if i < 0 {
		return ErrNotFound
	}
	if err := d.store.DeleteSilence(ctx, id); err != nil {
		return fmt.Errorf("end silence: %w", err)
	}
	d.all = slices.Delete(d.all, i, i+1)
	return nil
}

// List gives the silences that hold now, the one that ends first first.
func (d *Desk) List(now time.Time) []Silence {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Silence
	for _, s := range d.all {
		if s.Till.After(now) {
			s.Broken = slices.Clone(s.Broken)
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Silence) int { return a.Till.Compare(b.Till) })
	return out
}

// Match is how an incident stands to the silences.
type Match struct {
	Silence  Silence // under which it is, the one that ends last
	Silenced bool
	// Ended is the last silence that would hold and that the incident has outgrown, and Why; only when no other holds. Why is
	// empty when the incident has eased since.
	Ended *Silence
	Why   Why
}

// Matches gives the silence under which an incident is now. A silence that the incident has outgrown ends for it here,
// for good: it does not come back when the incident eases. When that cannot be stored the incident is told all the same,
// and the error says why it may be silenced again after a restart.
func (d *Desk) Matches(ctx context.Context, inc *incident.Incident, now time.Time) (m Match, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var failed []error
	for i := range d.all {
		c := &d.all[i]
		if !c.Till.After(now) || !c.Matcher.Matches(inc) {
			continue
		}
		broken := slices.Contains(c.Broken, inc.ID)
		why, worse := c.Worse(inc)
		if worse && !broken {
			broken = true
			c.Broken = append(c.Broken, inc.ID)
			if err := d.store.PutSilence(ctx, *c); err != nil {
				failed = append(failed, fmt.Errorf("end silence %s for %s: %w", c.ID, inc.ID, err))
			}
		}
		switch {
		case broken:
			ended := *c
			m.Ended, m.Why = &ended, why
		case !m.Silenced || c.Till.After(m.Silence.Till):
			m.Silence, m.Silenced = *c, true
		}
	}
	if m.Silenced {
		m.Ended, m.Why = nil, ""
	}
	return m, errors.Join(failed...)
}

// Prune forgets silences that are over.
func (d *Desk) Prune(ctx context.Context, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var failed []error
	d.all = slices.DeleteFunc(d.all, func(s Silence) bool {
		if s.Till.After(now) {
			return false
		}
		if err := d.store.DeleteSilence(ctx, s.ID); err != nil {
			failed = append(failed, err)
			return false
		}
		return true
	})
	return errors.Join(failed...)
}
