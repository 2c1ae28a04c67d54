package assistant

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/bukahou/atlhyper/tools/phrase"
)

// Ledger keeps how many tokens were spent, by day and by whom. It is safe for concurrent use.
type Ledger interface {
	// SpendTokens adds n to what each key has spent on a day, written 2026-03-03.
	SpendTokens(ctx context.Context, day string, n int, keys ...string) error
	// SpentTokens gives what each key has spent on a day, in the order of the keys.
	SpentTokens(ctx context.Context, day string, keys ...string) ([]int, error)
}

// Limits are how many tokens the model may cost in a day, which ends at midnight UTC; 0 is no limit.
type Limits struct {
	Person int // one person, wherever they ask
	Thread int // one thread, whoever asks
	All    int
}

// Meter counts tokens and says when a limit is reached. One that is spent ends no answer under way; the planner gives the
// next. It is safe for concurrent use.
type Meter struct {
	ledger Ledger
	limits Limits
	log    *slog.Logger
}

// NewMeter makes a meter.
func NewMeter(ledger Ledger, limits Limits, log *slog.Logger) *Meter {
	return &Meter{ledger: ledger, limits: limits, log: log}
}

func day(at time.Time) string { return at.UTC().Format(time.DateOnly) }

// keys are whose budgets a question is charged to: the person's, everybody's, and the thread's where there is one.
func keys(req Request) []string {
	out := []string{"person/" + req.Caller.Person.ID, "all"}
	if req.Thread != "" {
		out = append(out, "thread/"+req.Thread)
	}
	return out
}

// allow refuses with a *ModelError what a spent budget would pay for. When the ledger cannot be read it refuses too: what
// nobody counts has no limit.
func (m *Meter) allow(ctx context.Context, req Request) error {
	if m == nil {
		return nil
	}
	p := phrase.For(req.Caller.Lang)
	spent, err := m.ledger.SpentTokens(ctx, day(req.Now), keys(req)...)
	if err != nil {
		return &ModelError{Kind: Spent, Sentence: p.Sprintf("The model's budget could not be read."), Err: err}
	}
	over := func(n, limit int) bool { return limit > 0 && n >= limit }
	sentence := ""
	switch {
	case over(spent[1], m.limits.All):
		sentence = p.Sprintf("The model's budget for today, %s tokens, is spent; it begins anew at 00:00 UTC.", thousands(m.limits.All))
	case over(spent[0], m.limits.Person):
		sentence = p.Sprintf("%s's budget for the model today, %s tokens, is spent; it begins anew at 00:00 UTC.", cmp.Or(req.Caller.Person.Name, req.Caller.Person.ID), thousands(m.limits.Person))
	case len(spent) > 2 && over(spent[2], m.limits.Thread):
		sentence = p.Sprintf("This thread's budget for the model today, %s tokens, is spent; ask outside it, or after 00:00 UTC.", thousands(m.limits.Thread))
	default:
		return nil
	}
	return &ModelError{Kind: Spent, Sentence: sentence}
}

// spend charges what an exchange cost. It is charged also when whoever asked has gone.
func (m *Meter) spend(ctx context.Context, req Request, tokens int) {
	if m == nil || tokens <= 0 {
		return
	}
	if err := m.ledger.SpendTokens(context.WithoutCancel(ctx), day(req.Now), tokens, keys(req)...); err != nil {
		m.log.ErrorContext(ctx, "tokens not counted", "tokens", tokens, "err", err)
	}
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// reckon estimates what an exchange cost when the provider did not say: four bytes a token, as English takes.
func reckon(in Input, reply Reply) int {
	n := len(in.Text) + len(reply.Text)
	for _, o := range in.Outputs {
		n += len(o.Content)
	}
	for _, c := range reply.Calls {
		n += len(c.Args)
	}
	return n / 4
}
