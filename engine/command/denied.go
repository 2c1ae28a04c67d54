package command

import "fmt"

// Denied is a refusal: a sentence that names the rule, and what to do or who may.
type Denied struct {
	Sentence string
	Remedy   string
}

func (e *Denied) Error() string {
	if e.Remedy == "" {
		return e.Sentence
	}
	return e.Sentence + " " + e.Remedy
}

// denied makes a refusal in two steps: denied(sentence, …)(remedy, …).
func denied(sentence string, args ...any) func(remedy string, args ...any) error {
	return func(remedy string, more ...any) error {
		return &Denied{Sentence: fmt.Sprintf(sentence, args...), Remedy: fmt.Sprintf(remedy, more...)}
	}
}

// TooLate is the refusal of a decision on a proposal that is decided. It shows what became of it.
type TooLate struct {
	Denied   *Denied
	Proposal *Proposal
}

func (e *TooLate) Error() string { return e.Denied.Error() }

// Unwrap lets a TooLate be told as any other refusal.
func (e *TooLate) Unwrap() error { return e.Denied }

// tooLate words the refusal from what is stored.
func tooLate(p *Proposal) error {
	by := ""
	if n := len(p.Approvals); n > 0 {
		by = " by " + p.Approvals[n-1].By.Name
	}
	outcome := map[State]string{
		Approved:   "was approved" + by + " and is about to run",
		Running:    "was approved" + by + " and is running",
		Done:       "was approved" + by + " and ran; its effect is being verified",
		Verified:   "was approved" + by + " and ran: " + p.Result,
		Unverified: "was approved" + by + " and ran, without the effect: " + p.Result,
		Failed:     "was approved" + by + " and failed: " + p.Result,
		Unsure:     "was approved" + by + ", and nobody can tell whether it ran: " + p.Result,
		Rejected:   "was rejected by " + p.Decided,
		Expired:    "has expired; nothing ran",
		Superseded: "is void: " + p.Result,
	}[p.State]
	d := &Denied{Sentence: fmt.Sprintf("Too late: the proposal to %s %s.", p.Title, outcome)}
	if p.State.Final() {
		d.Remedy = "Ask again if it is still needed."
	}
	return &TooLate{Denied: d, Proposal: p}
}
