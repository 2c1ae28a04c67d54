package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

type breakGlassArgs struct {
	Target  string `json:"target" jsonschema:"name of the object that the waiting proposal is about; the namespace for several objects"`
	Reason  string `json:"reason" jsonschema:"why nobody else can approve"`
	Cluster string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

func breakGlassTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "break_glass", verb: "break-glass", usage: "break-glass TARGET REASON… [--cluster C]", pos: []string{"target", "reason…"}, role: people.Admin, hand: true}
	return define(s, func(ctx context.Context, caller Caller, a breakGlassArgs) (*Result, error) {
		p := phrase.For(caller.Lang)
		waiting, err := e.Desk.Pending(ctx)
		if err != nil {
			return nil, err
		}
		var found []*command.Proposal
		var names []string
		for _, x := range waiting {
			names = append(names, x.Command.Typed())
			if x.Command.Typed() == a.Target && (a.Cluster == "" || x.Command.Target.Cluster == a.Cluster) {
				found = append(found, x)
			}
		}
		switch {
		case len(found) == 0:
			return nil, &Problem{Sentence: p.Sprintf("No proposal about %s waits for approval.", a.Target), Remedy: p.Sprintf("Waiting: %s.", orDash(strings.Join(names, ", ")))}
		case len(found) > 1:
			return nil, &Problem{Sentence: p.Sprintf("%d proposals about %s wait for approval.", len(found), a.Target), Remedy: p.Sprintf("Reject the others first, or name the cluster with --cluster.")}
		}
		x, err := e.Desk.BreakGlass(ctx, found[0].ID, caller.Person, a.Target, a.Reason)
		if err != nil {
			return nil, err
		}
		return &Result{Headline: p.Sprintf("Approved by you alone: %s. It is in the audit log, and everybody is told why.", x.Title), Cluster: x.Command.Target.Cluster, Observed: e.Now()}, nil
	})
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

type auditArgs struct {
	What  string `json:"what,omitempty" jsonschema:"verify, export, or how many entries to show"`
	After int64  `json:"after,omitempty" jsonschema:"for export: the number of the entry after which to begin"`
}

const (
	auditShown    = 20
	auditExported = 200 // in one answer; the next begins after the last
)

func auditTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "audit", verb: "audit", usage: "audit [N | verify | export [AFTER]]", pos: []string{"what", "after"}, role: people.Admin, hand: true}
	return define(s, func(ctx context.Context, caller Caller, a auditArgs) (*Result, error) {
		p := phrase.For(caller.Lang)
		// It holds what people asked everywhere, so an admin of one place does not read it.
		if role := e.People.RoleOf(caller.Person, "", ""); role < people.Admin {
			return nil, &Problem{Sentence: p.Sprintf("The audit log is for an admin of everything, and you are %s.", role), Remedy: p.Sprintf("Ask an admin: grants lists them.")}
		}
		head := e.Audit.Head()
		res := &Result{Observed: e.Now(), Data: head}
		switch a.What {
		case "verify":
			switch err := e.Audit.Verify(ctx); {
			case errors.Is(err, audit.ErrBroken):
				res.Headline = p.Sprintf("The audit log was tampered with: %s.", err)
			case err != nil:
				return nil, err
			default:
				res.Headline = p.Sprintf("The audit log is whole: %d entries, the newest has the hash %s.", int(head.Seq), head.Hash)
			}
			return res, nil
		case "export":
			entries, err := e.Audit.Entries(ctx, a.After, auditExported)
			if err != nil {
				return nil, err
			}
			// Whole lines only: half an entry is no JSON.
			var b strings.Builder
			last := a.After
			for _, x := range entries {
				line, err := json.Marshal(x)
				if err != nil {
					return nil, fmt.Errorf("audit entry %d: %w", x.Seq, err)
				}
				if b.Len()+len(line) >= maxText {
					break
				}
				b.Write(append(line, '\n'))
				last = x.Seq
			}
			res.Headline = p.Sprintf("Audit log, entries %d to %d of %d.", int(min(a.After+1, last)), int(last), int(head.Seq))
			if last < head.Seq {
				res.Missing = []string{p.Sprintf("the rest: audit export %s; all of it at once: atlhyper audit export", fmt.Sprint(last))}
			}
			if b.Len() > 0 {
				res.Texts = []Text{{Heading: "JSON lines", Body: b.String()}}
			}
			return res, nil
		}
		n := auditShown
		if a.What != "" {
			var err error
			if n, err = strconv.Atoi(a.What); err != nil || n < 1 || n > maxRows {
				return nil, &Problem{Sentence: p.Sprintf("%q is not what the audit log can do.", a.What), Remedy: "Usage: /atl " + s.usage}
			}
		}
		entries, err := e.Audit.Entries(ctx, max(0, head.Seq-int64(n)), n)
		if err != nil {
			return nil, err
		}
		t := Table{Columns: []string{"NO", "AT", "WHO", "WHAT", "ABOUT"}, Total: int(head.Seq)}
		for _, x := range entries {
			who := x.Actor.Name
			if who == "" {
				who = x.Actor.ID
			}
			t.Rows = append(t.Rows, []string{fmt.Sprint(x.Seq), x.At.Format("2006-01-02 15:04:05"), who, x.Action, x.Target})
		}
		res.Headline, res.Tables = p.Sprintf("The newest %d of %d entries of the audit log.", len(t.Rows), int(head.Seq)), []Table{t}
		return res, nil
	})
}
