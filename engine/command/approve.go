package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/people"
)

// Approve is one person's yes. Everything is checked again at this moment: the person's role, the time, the object, the
// rule. The first valid approval runs the command, once; every other decision gets a *TooLate that shows the outcome.
// typed is what the person typed where the class asks for the object's name. It returns when the approval is stored; the
// command runs behind, and events tell how it goes on.
func (d *Desk) Approve(ctx context.Context, id string, who people.Person, typed string) (*Proposal, error) {
	p, err := d.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := d.approve(ctx, p, who, typed, ""); err != nil {
		return nil, d.lost(ctx, p, who, err)
	}
	return p, nil
}

// shortReason is the least that a reason must be: "fire" explains nothing to who reads the log next week.
const shortReason = 10

// BreakGlass is an admin's approval of what needs another operator when there is none: alone, with a reason, and told to
// everybody. All other checks of Approve stay, the typed name of W3 with them. It is written to the audit log before it
// counts.
func (d *Desk) BreakGlass(ctx context.Context, id string, who people.Person, typed, reason string) (*Proposal, error) {
	p, err := d.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	reason = strings.Join(strings.Fields(reason), " ")
	t := p.Command.Target
	switch role := d.cfg.People.RoleOf(who, t.Cluster, t.Namespace); {
	case p.State != Proposed: // approve says what became of it
	case role < people.Admin:
		err = denied("Only an admin of %s may approve alone; you are a %s there.", place(t.Cluster, t.Namespace), role)("Ask another operator to approve it.")
	case len([]rune(reason)) < shortReason:
		err = denied("Breaking the glass needs a reason that others understand later.")("Write one of at least %d characters.", shortReason)
	case p.Class == W1:
		err = denied("This needs nobody else: %s.", p.Why)("Approve it on its card.")
	}
	if err == nil {
		err = d.approve(ctx, p, who, typed, reason)
	}
	if err != nil {
		return nil, d.lost(ctx, p, who, err)
	}
	return p, nil
}

// approve makes p approved in memory and in the store, and starts its runner. alone is the reason of an admin who breaks
// the glass, which the caller has checked.
func (d *Desk) approve(ctx context.Context, p *Proposal, who people.Person, typed, alone string) error {
	now := d.cfg.Now()
	if err := d.stillOpen(ctx, p, now); err != nil {
		return err
	}
	if err := d.mayOperate(who, p.Command, "approve"); err != nil {
		return err
	}
	if err := d.mayApprove(p, who, typed, alone != ""); err != nil {
		return err
	}
	s, err := d.subject(p.Command)
	if err != nil {
		return err
	}
	void := s.void(p)
	if class, why := Classify(p.Command, s.view, d.cfg.Policy); void == "" && class != p.Class {
		void = fmt.Sprintf("the rule for it is another by now (%s: %s)", class, why)
	}
	if void != "" {
		p.State, p.EndedAt, p.Result = Superseded, now, void
		if err := d.swap(ctx, p, Proposed, now, "The proposal to %s is void: %s.", p.Title, void); err != nil {
			return err
		}
		return tooLate(p)
	}
	p.State, p.Approvals = Approved, append(p.Approvals, Approval{By: who, At: now, BreakGlass: alone})
	if alone != "" {
		if err := d.breakGlass(ctx, p, who, now, alone); err != nil {
			return err
		}
		d.start(p.ID)
		return nil
	}
	if err := d.swap(ctx, p, Proposed, now, "%s approved: %s.", name(who), p.Title); err != nil {
		return err
	}
	d.start(p.ID)
	return nil
}

// breakGlass records the approval of one alone, and tells everybody.
func (d *Desk) breakGlass(ctx context.Context, p *Proposal, who people.Person, now time.Time, reason string) error {
	_, err := d.cfg.Audit.Append(ctx, who, "command.break_glass", p.Command.Target.Cluster, p.Command.About(), map[string]any{
		"proposal": p.ID, "command": p.Command, "digest": p.Digest, "class": p.Class.String(), "why": p.Why, "reason": reason,
	})
	if err != nil {
		return fmt.Errorf("write the audit entry: %w", err)
	}
	told := event.Event{
		At: now, Type: event.GlassBroken, Cluster: p.Command.Target.Cluster,
		Note: fmt.Sprintf("%s broke the glass in %s: %s, approved alone. Reason: %s", name(who), place(p.Command.Target.Cluster, p.Command.Target.Namespace), p.Title, reason),
	}
	return d.cfg.Store.SwapProposal(ctx, Proposed, p, d.event(p, event.ProposalChanged, now, "%s approved alone: %s.", name(who), p.Title), told)
}

// Undo proposes what takes a finished command back, from the state of now. It needs the same approvals as any other.
func (d *Desk) Undo(ctx context.Context, id string, who people.Person, question string) (*Proposal, error) {
	p, err := d.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if !p.Undoable() {
		return nil, denied("%s cannot be taken back with one command.", upper(p.Title))("Look at the object and ask for what it needs.")
	}
	return d.Propose(ctx, Request{Command: *p.Undo, By: who, Question: question, Reason: "takes back: " + p.Title, pinned: true})
}

// Undoable says whether the command ran and has an inverse.
func (p *Proposal) Undoable() bool {
	return p.Undo != nil && (p.State == Done || p.State == Verified || p.State == Unverified)
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// stillOpen refuses a decision on what is decided or past its time.
func (d *Desk) stillOpen(ctx context.Context, p *Proposal, now time.Time) error {
	if p.State != Proposed {
		return tooLate(p)
	}
	if now.Before(p.Expires) {
		return nil
	}
	if err := d.expire(ctx, p, now); err != nil {
		return err
	}
	return tooLate(p)
}

func (d *Desk) expire(ctx context.Context, p *Proposal, now time.Time) error {
	p.State, p.EndedAt = Expired, now
	return d.swap(ctx, p, Proposed, now, "The proposal to %s has expired; nothing ran.", p.Title)
}

// mayApprove is the rule of the class. The person at the local terminal, who holds the kubeconfig anyway, may approve
// what they asked for themselves; it is recorded as such.
func (d *Desk) mayApprove(p *Proposal, who people.Person, typed string, alone bool) error {
	where := place(p.Command.Target.Cluster, p.Command.Target.Namespace)
	switch p.Class {
	case W1:
		return nil
	case W2, W3:
		if !who.Local && !alone && d.cfg.People.Same(p.By, who) {
			return denied("You asked for this yourself, and %s needs one other operator: %s.", p.Class, p.Why)("Another operator of %s can approve it until %s.", where, p.Expires.UTC().Format("15:04 MST"))
		}
		if p.Class == W3 && typed != p.Command.Typed() {
			return denied("This cannot be taken back, and the name was not typed.")("Approve it again and type %s exactly.", p.Command.Typed())
		}
		return nil
	}
	return denied("The rule for this is not known, so nobody may approve it.")("Use kubectl itself if it must be.")
}

// Reject is one person's no. The one who asked and every operator may say it.
func (d *Desk) Reject(ctx context.Context, id string, who people.Person) (*Proposal, error) {
	p, err := d.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := d.reject(ctx, p, who); err != nil {
		return nil, d.lost(ctx, p, who, err)
	}
	d.note(ctx, who, "command.rejected", p.Command, map[string]any{"proposal": p.ID, "digest": p.Digest})
	return p, nil
}

func (d *Desk) reject(ctx context.Context, p *Proposal, who people.Person) error {
	now := d.cfg.Now()
	if err := d.stillOpen(ctx, p, now); err != nil {
		return err
	}
	if who.ID == "" || !d.cfg.People.Same(p.By, who) {
		if err := d.mayOperate(who, p.Command, "reject"); err != nil {
			return err
		}
	}
	p.State, p.Decided, p.EndedAt = Rejected, name(who), now
	return d.swap(ctx, p, Proposed, now, "%s rejected: %s.", name(who), p.Title)
}

// lost words a decision that did not count: when another was faster, what became of the proposal is read again.
func (d *Desk) lost(ctx context.Context, p *Proposal, who people.Person, err error) error {
	if errors.Is(err, ErrMoved) {
		now, readErr := d.Get(ctx, p.ID)
		if readErr != nil {
			return readErr
		}
		err = tooLate(now)
	}
	if refusal := (*Denied)(nil); errors.As(err, &refusal) {
		d.note(ctx, who, "command.refused", p.Command, map[string]any{"proposal": p.ID, "why": refusal.Sentence})
		return err
	}
	return fmt.Errorf("decide on proposal: %w", err)
}
