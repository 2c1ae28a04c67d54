package command

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// maxBulk is how many objects one command may change: as many as every surface shows, each with what it means there.
const maxBulk = 20

// Bulk says whether the command is about all objects that its selector matched when it was proposed.
func (c Command) Bulk() bool { return c.Selector != "" }

// Each gives the command for each of its objects: itself, unless it is a bulk one.
func (c Command) Each() []Command {
	if !c.Bulk() {
		return []Command{c}
	}
	var out []Command
	for name := range strings.SplitSeq(c.Names, ",") {
		if name == "" {
			continue
		}
		one := c
		one.Selector, one.Names, one.Target.Name = "", "", name
		out = append(out, one)
	}
	return out
}

// Typed is what the class W3 wants typed: the object's name, or the namespace of a bulk command.
func (c Command) Typed() string {
	if c.Bulk() {
		return c.Target.Namespace
	}
	return c.Target.Name
}

// About names what a command is about, for the audit log.
func (c Command) About() string {
	if c.Bulk() {
		return c.Target.String() + "[" + c.Selector + "]"
	}
	return c.Target.String()
}

// validateBulk checks what only a bulk command has.
func (c Command) validateBulk() error {
	t := c.Target
	if c.Verb != RolloutRestart && c.Verb != Scale {
		return denied("I %s one object at a time.", c.Verb.phrase())("Several at once I can restart or scale.")
	}
	if t.Name != "" {
		return denied("A command has a name or a selector, not both.")("Leave one of them out.")
	}
	s, err := labels.Parse(c.Selector)
	if err != nil || len(c.Selector) > 500 {
		return denied("%q is not a label selector.", c.Selector)("Write it like app=cart,tier!=db.")
	}
	if s.Empty() || s.String() != c.Selector {
		return denied("%q is not a label selector in its plain form.", c.Selector)("Write it like app=cart,tier!=db.")
	}
	for _, one := range c.Each() {
		if err := one.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// expand pins the objects that a selector matches now. What is approved are these, whatever the selector matches later.
func (c Command) expand(view *fleet.Cluster) (Command, error) {
	if !c.Bulk() {
		return c, nil
	}
	s, err := labels.Parse(c.Selector)
	if err != nil {
		return c, c.validateBulk()
	}
	c.Selector = s.String()
	var names []string
	for _, r := range view.List(c.Target.Kind, c.Target.Namespace) {
		if s.Matches(labels.Set(r.GetLabels())) {
			names = append(names, r.GetName())
		}
	}
	slices.Sort(names)
	kind := strings.ToLower(c.Target.Kind)
	switch n := len(names); {
	case c.Target.Namespace == "":
		return c, denied("The command names no namespace.")("Name one with -n: several namespaces at once are refused by design.")
	case n == 0:
		return c, denied("No %s in %s matches %s.", kind, place(c.Target.Cluster, c.Target.Namespace), c.Selector)("Look at their labels with describe.")
	case n > maxBulk:
		return c, denied("%s matches %d %ss, more than the %d that one command may change.", c.Selector, n, kind, maxBulk)("Narrow the selector.")
	}
	c.Names = strings.Join(names, ",")
	return c, nil
}

// Member is one object of a bulk proposal, as it was at the preview.
type Member struct {
	Name    string `json:"name"`
	UID     string `json:"uid"`
	Version string `json:"resource_version"`
	Seen    Seen   `json:"seen"`
}

// one gives a member's part of a proposal, as a proposal of its own would be. It is never stored.
func (p *Proposal) one(i int) *Proposal {
	each := p.Command.Each()
	if !p.Command.Bulk() {
		return p
	}
	out := *p
	m := p.Members[i]
	out.Command, out.UID, out.Version, out.Seen, out.Members = each[i], m.UID, m.Version, m.Seen, nil
	return &out
}

// members is what a bulk command was seen to be about.
func (s subject) pinned() []Member {
	var out []Member
	for _, m := range s.members {
		out = append(out, Member{Name: m.Target.Name, UID: m.object.GetUid(), Version: m.object.GetResourceVersion(), Seen: m.seen()})
	}
	return out
}

// void says what has changed since the preview, "" when nothing that matters has.
func (s subject) void(p *Proposal) string {
	if !s.Bulk() {
		return s.changed(p.UID, p.Seen)
	}
	for i, m := range s.members {
		if what := m.changed(p.Members[i].UID, p.Members[i].Seen); what != "" {
			return what
		}
	}
	return ""
}

// previewAll is the preview of a bulk command: a line for every object.
func (s subject) previewAll(policy Policy) Preview {
	out := Preview{}
	var budgets []string
	for _, m := range s.members {
		p := m.preview(policy)
		out.Objects = append(out.Objects, m.Target.Name+": "+strings.Join(p.Touches, "; "))
		for _, c := range p.Callers {
			if !slices.Contains(out.Callers, c) && len(out.Callers) < maxCallers {
				out.Callers = append(out.Callers, c)
			}
		}
		if p.Budget != "" && !slices.Contains(budgets, p.Budget) {
			budgets = append(budgets, p.Budget)
		}
		for _, w := range p.Warnings {
			out.Warnings = append(out.Warnings, m.Target.Name+": "+w)
		}
		out.Protected = out.Protected || p.Protected
	}
	out.Budget = strings.Join(budgets, "; ")
	out.Touches = []string{count(len(s.members), strings.ToLower(s.Target.Kind)) + ", one after the other; the first that fails stops the rest"}
	return out
}

// undoAll takes a bulk scale back where all had one size before, nil otherwise: one command sets one number.
func (s subject) undoAll() *Command {
	if s.Verb != Scale {
		return nil
	}
	u := s.Command
	for i, m := range s.members {
		was := m.object.GetWorkload().GetDesired()
		if i > 0 && was != u.Replicas {
			return nil
		}
		u.Replicas = was
	}
	return &u
}

// together is the outcome of a bulk command whose members ended so, in order; a member that failed is the last.
func together(each []Command, outcomes []*report.Outcome) *report.Outcome {
	last := outcomes[len(outcomes)-1]
	if last.GetStatus() == report.Outcome_STATUS_SUCCEEDED {
		return &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED, Message: fmt.Sprintf("%d of %d done", len(outcomes), len(each))}
	}
	if len(outcomes) == 1 {
		return last
	}
	status := last.GetStatus()
	if status == report.Outcome_STATUS_REFUSED { // some did run
		status = report.Outcome_STATUS_FAILED
	}
	return &report.Outcome{Status: status, Message: fmt.Sprintf("%d of %d done, then stopped at %s: %s", len(outcomes)-1, len(each), each[len(outcomes)-1].Target.Name, last.GetMessage())}
}
