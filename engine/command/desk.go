package command

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/people"
)

// Dispatcher sends a command to a cluster's agent and waits for its outcome. An error says nothing about whether the
// command ran: it is sent again under the same id, which the agent answers from its journal.
type Dispatcher interface {
	Do(ctx context.Context, cluster string, c *report.Command) (*report.Outcome, error)
}

// Roles says who may do what, as of now.
type Roles interface {
	RoleOf(p people.Person, cluster, namespace string) people.Role
	// Same says whether two ids are one human.
	Same(a, b people.Person) bool
}

// Auditor writes the log without which nothing runs.
type Auditor interface {
	Append(ctx context.Context, actor people.Person, action, cluster, target string, detail any) (audit.Entry, error)
}

// Config of a Desk.
type Config struct {
	Store      Store
	Dispatcher Dispatcher
	Fleet      *fleet.Fleet
	People     Roles
	Audit      Auditor
	Policy     Policy
	// Graph gives who depends on whom in a cluster; nil: previews name no callers.
	Graph func(cluster string) Graph
	// Judge says whether a command that ran for an incident helped it: settled is false while that cannot be told yet.
	// nil: the cluster's state alone verifies. It is called by Tick.
	Judge func(ctx context.Context, p *Proposal, now time.Time) (settled, helped bool, sentence string)
	// Burn gives how fast the error budget of a service is spent now, 1 for just in its window; false when it has none or
	// nothing is known. nil: verification names no budgets.
	Burn func(now time.Time, ref entity.Ref) (rate float64, known bool)
	// NotSent is what an error of Dispatcher wraps when nothing was sent, as to an agent that is not connected. nil: every
	// error leaves open whether the command ran.
	NotSent   error
	VerifyFor time.Duration    // how long a command may take to show its effect; default 5 min
	Now       func() time.Time // default time.Now
	Logger    *slog.Logger
}

// How long an approval may wait, and how long after it a command may still begin.
const (
	ttlSimple = 10 * time.Minute // W1
	ttlOther  = 15 * time.Minute // W2 and W3: another person has to come
	beginFor  = 2 * time.Minute
	dryRunFor = 15 * time.Second
)

// Desk takes proposals through their life. It is safe for concurrent use.
type Desk struct {
	cfg Config
	log *slog.Logger

	stop    context.CancelFunc // ends the runners
	ctx     context.Context    // of the runners: they outlive the click that started them
	runners sync.WaitGroup

	mu      sync.Mutex // guards the below
	running map[string]bool
	closed  bool
}

// New makes a desk. What an earlier process left approved or running is taken up at the first Tick.
func New(cfg Config) (*Desk, error) {
	if cfg.Store == nil || cfg.Dispatcher == nil || cfg.Fleet == nil || cfg.People == nil || cfg.Audit == nil {
		return nil, errors.New("command: store, dispatcher, fleet, people and audit are needed")
	}
	if cfg.VerifyFor < 0 {
		return nil, fmt.Errorf("command: verification for %v is negative", cfg.VerifyFor)
	}
	cfg.VerifyFor = cmp.Or(cfg.VerifyFor, 5*time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Desk{cfg: cfg, log: cfg.Logger, running: map[string]bool{}}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d, nil
}

// Close stops waiting for agents and returns when nothing of the desk runs any more. A command under way goes on in its
// cluster; the next process learns its outcome.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.runners.Wait()
}

// Request is what somebody asks for.
type Request struct {
	Command  Command
	By       people.Person
	Incident string // that it shall mend, "" for none
	Question string // the exact words that were asked
	Reason   string // why, for the card
	// pinned says that Command's names are ours and stay: an undo is about what was changed, not about what matches now.
	pinned bool
}

// Propose checks a command, tries it on the API server without effect and stores it for approval. Nothing has changed
// when it returns. An identical command that is open is returned instead of a second one. What a person can mend comes
// back as a *Denied.
func (d *Desk) Propose(ctx context.Context, r Request) (*Proposal, error) {
	p, err := d.propose(ctx, r)
	if refusal := (*Denied)(nil); errors.As(err, &refusal) {
		d.note(ctx, r.By, "command.refused", r.Command, map[string]any{"command": r.Command, "question": r.Question, "why": refusal.Sentence})
	}
	return p, err
}

func (d *Desk) propose(ctx context.Context, r Request) (*Proposal, error) {
	if err := r.Command.Validate(); err != nil {
		return nil, err
	}
	if err := d.mayOperate(r.By, r.Command, "propose"); err != nil {
		return nil, err
	}
	var err error
	if view, ok := d.cfg.Fleet.Cluster(r.Command.Target.Cluster); ok && !r.pinned {
		if r.Command, err = r.Command.expand(view); err != nil {
			return nil, err
		}
	}
	s, err := d.subject(r.Command)
	if err != nil {
		return nil, err
	}
	if err := s.pin(); err != nil {
		return nil, err
	}
	class, why := Classify(s.Command, s.view, d.cfg.Policy)
	if class == Refused {
		return nil, denied("I do not %s: %s.", s.Title(), why)("Use kubectl itself if it must be.")
	}
	digest, now := s.Digest(), d.cfg.Now()
	if open, err := d.open(ctx, digest, now); open != nil || err != nil {
		return open, err
	}
	p := &Proposal{
		ID: rand.Text(), Command: s.Command, Digest: digest, UID: s.object.GetUid(), Version: s.object.GetResourceVersion(), Seen: s.seen(),
		Title: s.Title(), Button: s.button(), Reason: r.Reason, Class: class, Why: why + "; needs " + class.Needs(),
		Incident: r.Incident, By: r.By, Question: r.Question, State: Proposed, Undo: s.undo(),
		Members: s.pinned(),
	}
	if p.Preview = s.preview(d.cfg.Policy); s.Bulk() {
		p.Preview = s.previewAll(d.cfg.Policy)
	}
	if err := d.dryRun(ctx, p); err != nil {
		return nil, err
	}
	p.Created = d.cfg.Now()
	p.Expires = p.Created.Add(ttlOther)
	if class == W1 {
		p.Expires = p.Created.Add(ttlSimple)
	}
	err = d.cfg.Store.CreateProposal(ctx, p, d.event(p, event.ProposalMade, p.Created, "%s proposes to %s.", name(p.By), p.Title))
	if errors.Is(err, ErrDuplicate) { // somebody was faster
		return d.cfg.Store.OpenProposal(ctx, digest)
	}
	if err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	d.note(ctx, p.By, "command.proposed", p.Command, map[string]any{"proposal": p.ID, "digest": p.Digest, "question": p.Question, "class": p.Class.String(), "incident": p.Incident})
	return p, nil
}

// open gives the open proposal of a digest, nil when there is none. One that is past its time is closed first.
func (d *Desk) open(ctx context.Context, digest string, now time.Time) (*Proposal, error) {
	p, err := d.cfg.Store.OpenProposal(ctx, digest)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("propose: %w", err)
	case p.State != Proposed || now.Before(p.Expires):
		return p, nil
	}
	if err := d.expire(ctx, p, now); err != nil && !errors.Is(err, ErrMoved) {
		return nil, err
	}
	return nil, nil
}

// subject finds what a command acts on, and refuses what cannot be acted on now.
func (d *Desk) subject(c Command) (subject, error) {
	t := c.Target
	view, ok := d.cfg.Fleet.Cluster(t.Cluster)
	if !ok {
		return subject{}, denied("The cluster %s is not known.", t.Cluster)("Ask for the list of clusters.")
	}
	switch st := view.Status(); {
	case !st.Synced:
		return subject{}, denied("The cluster %s has not reported its state yet.", t.Cluster)("Try again in a moment.")
	case st.Silent:
		return subject{}, denied("The agent of %s is silent: its state is not known, and nothing can be run there.", t.Cluster)("Look at the agent first.")
	case !slices.Contains(st.Verbs, string(c.Verb)):
		return subject{}, denied("The agent of %s may not %s.", t.Cluster, c.Verb.phrase())("Whoever runs the cluster can allow it in the agent's rights.")
	}
	s := subject{Command: c, view: view}
	if d.cfg.Graph != nil {
		s.graph = d.cfg.Graph(t.Cluster)
	}
	if c.Bulk() {
		for _, one := range c.Each() {
			m, err := d.subject(one)
			if err != nil {
				return subject{}, err
			}
			s.members = append(s.members, m)
		}
		return s, nil
	}
	if s.object = view.Find(t); s.object == nil {
		return subject{}, denied("%s is not there in %s.", t.Short(), place(t.Cluster, t.Namespace))("Copy the name from a list.")
	}
	if at := s.object.GetDeleting(); at.IsValid() && at.GetSeconds() > 0 {
		return subject{}, denied("%s is being deleted.", t.Short())("There is nothing to change.")
	}
	return s, nil
}

// dryRun has the API server try the command, each of its objects by itself. What it does not accept is not proposed.
func (d *Desk) dryRun(ctx context.Context, p *Proposal) error {
	ctx, cancel := context.WithTimeout(ctx, dryRunFor)
	defer cancel()
	for i, one := range p.Command.Each() {
		id, prefix := p.ID+"-dry", ""
		if p.Command.Bulk() {
			id, prefix = fmt.Sprintf("%s-%d-dry", p.ID, i), one.Target.Name+": "
		}
		part := p.one(i)
		c := ToReport(one, id, part.UID, "", true, d.cfg.Now().Add(dryRunFor))
		c.OnBehalfOf = identity(p.By)
		o, err := d.cfg.Dispatcher.Do(ctx, one.Target.Cluster, c)
		if err != nil {
			d.log.Warn("dry run failed", "cluster", one.Target.Cluster, "command", p.Title, "err", err)
			return denied("The API server of %s could not be asked whether it accepts this.", one.Target.Cluster)("Try again when its agent is connected.")
		}
		if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			return denied("The API server does not accept it: %s%s", prefix, o.GetMessage())("Change the command, or the object first.")
		}
		if v := o.GetResourceVersion(); v != "" && !p.Command.Bulk() && p.Command.Verb.exact() {
			p.Version = v
		}
		for _, c := range o.GetChanges() {
			p.Preview.Changes = append(p.Preview.Changes, FieldChange{Path: prefix + c.GetPath(), Before: c.GetBefore(), After: c.GetAfter()})
		}
	}
	p.Preview.Accepted, p.Preview.DryRun = true, "accepted by the API server"
	return nil
}

// identity names the person whose rights count where the agent impersonates: by the address that the chat platform has
// confirmed, as single sign-on does, else by the id.
func identity(who people.Person) *report.Identity {
	return &report.Identity{User: cmp.Or(who.Email, who.ID), Groups: who.Groups}
}

// mayOperate says whether a person is an operator where a command acts.
func (d *Desk) mayOperate(who people.Person, c Command, what string) error {
	t := c.Target
	role, where := d.cfg.People.RoleOf(who, t.Cluster, t.Namespace), place(t.Cluster, t.Namespace)
	switch {
	case role >= people.Operator:
		return nil
	case role == people.Nobody:
		return denied("I take no commands from guests, bots and people of other organisations.")("Ask a member of the team.")
	}
	return denied("Only an operator of %s may %s changes; you are a %s there.", where, what, role)("Ask an operator, or have an admin give you the role.")
}

// Get gives one proposal.
func (d *Desk) Get(ctx context.Context, id string) (*Proposal, error) {
	p, err := d.cfg.Store.Proposal(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, denied("This proposal is not known any more.")("Ask again if it is still needed.")
	}
	return p, err
}

// Pending lists the proposals that wait for a decision, newest first.
func (d *Desk) Pending(ctx context.Context) ([]*Proposal, error) {
	all, err := d.cfg.Store.Proposals(ctx, Filter{Open: true})
	now := d.cfg.Now()
	return slices.DeleteFunc(all, func(p *Proposal) bool { return p.State != Proposed || !now.Before(p.Expires) }), err
}

// Of lists the proposals made for an incident, newest first.
func (d *Desk) Of(ctx context.Context, incident string) ([]*Proposal, error) {
	return d.cfg.Store.Proposals(ctx, Filter{Incident: incident})
}

// event tells of a proposal.
func (d *Desk) event(p *Proposal, t event.Type, at time.Time, note string, args ...any) event.Event {
	return event.Event{At: at, Type: t, Cluster: p.Command.Target.Cluster, Incident: p.Incident, Proposal: p.ID, Note: fmt.Sprintf(note, args...)}
}

// swap makes one transition and tells of it.
func (d *Desk) swap(ctx context.Context, p *Proposal, from State, at time.Time, note string, args ...any) error {
	return d.cfg.Store.SwapProposal(ctx, from, p, d.event(p, event.ProposalChanged, at, note, args...))
}

// note writes to the audit log what runs nothing. A failure is not the caller's: nothing runs without the entry of its own.
func (d *Desk) note(ctx context.Context, who people.Person, action string, c Command, detail any) {
	if _, err := d.cfg.Audit.Append(ctx, who, action, c.Target.Cluster, c.About(), detail); err != nil {
		d.log.Error("audit entry not written", "action", action, "err", err)
	}
}

func name(p people.Person) string { return cmp.Or(p.Name, p.ID) }

func place(cluster, namespace string) string {
	if namespace == "" {
		return cluster
	}
	return cluster + " / " + namespace
}
