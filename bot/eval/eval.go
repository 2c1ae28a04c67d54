// Package eval asks questions whose answers are known of clusters in known trouble, and says how many were answered
// rightly. The questions are data beside the code; before.yaml holds those that were written before anybody read how the
// planner understands them.
package eval

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// World is a simulated shop and what befalls it, from when the questions are asked about it.
type World struct {
	Name     string `json:"name"`
	Scenario string `json:"scenario"` // "none" for an ordinary night
	Seed     uint64 `json:"seed"`     // names and versions follow from it
}

// Question is one question with what its answer must hold. What a person is shown counts, not how it came to be.
type Question struct {
	World    string   `json:"world"`
	Kind     string   `json:"kind"`
	Lang     string   `json:"lang"`
	Thread   []string `json:"thread,omitempty"`   // what the same person asked before
	Incident string   `json:"incident,omitempty"` // it is asked in the thread of this incident
	Ask      string   `json:"ask"`
	Has      []string `json:"has,omitempty"`      // regular expressions that the answer must all hold, in any case
	Not      []string `json:"not,omitempty"`      // none of these
	First    string   `json:"first,omitempty"`    // the first line holds it
	Proposes string   `json:"proposes,omitempty"` // the one change that it must propose; nothing may be proposed without
	Asks     bool     `json:"asks,omitempty"`     // the right answer asks back
	Set      Set      `json:"-"`
}

// Set says who wrote a question, and so what a score over it is worth.
type Set string

// The sets of questions.
const (
	Own    Set = ""       // by who made the planner, while it was made
	Before Set = "before" // by who made the planner, before it was read; the planner is not changed for them
	Blind  Set = "blind"  // by others who had not read the planner, which was changed for them afterwards
	Unseen Set = "unseen" // by others too; neither they nor the planner are changed for the other's sake
)

//go:embed before.yaml questions.yaml blind.yaml unseen.yaml
var data embed.FS

// Load gives the worlds and the questions about them.
func Load() ([]World, []Question, error) {
	var worlds []World // all in the first file
	var all []Question
	for _, name := range []string{"questions.yaml", "before.yaml", "blind.yaml", "unseen.yaml"} {
		raw, err := data.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		var f struct {
			Written   Set        `json:"written,omitempty"`
			Worlds    []World    `json:"worlds,omitempty"`
			Questions []Question `json:"questions"`
		}
		if err := yaml.UnmarshalStrict(raw, &f); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		worlds = append(worlds, f.Worlds...)
		for _, q := range f.Questions {
			q.Set = f.Written
			if err := q.check(worlds); err != nil {
				return nil, nil, fmt.Errorf("%s: %q: %w", name, q.Ask, err)
			}
			all = append(all, q)
		}
	}
	return worlds, all, nil
}

// check finds what would make a question always right or always wrong.
func (q *Question) check(worlds []World) error {
	if !slices.ContainsFunc(worlds, func(w World) bool { return w.Name == q.World }) {
		return fmt.Errorf("there is no world %q", q.World)
	}
	if q.Kind == "" || q.Lang == "" || q.Ask == "" {
		return errors.New("world, kind, lang and ask are needed")
	}
	if len(q.Has) == 0 && q.First == "" && q.Proposes == "" && !q.Asks {
		return errors.New("it says nothing that an answer must hold")
	}
	for _, p := range append(append([]string{q.First, q.Proposes}, q.Has...), q.Not...) {
		if _, err := regexp.Compile("(?i)" + p); err != nil {
			return err
		}
	}
	return nil
}

// Reply is what came of a question.
type Reply struct {
	Text      string   // what the person was shown, the first line first
	Proposals []string // what was proposed, as "restart deployment/cart -n shop" with the command's own verb in front
	AskedBack bool
	Unclear   bool // it was not understood, which is never a right reply
}

// wrong says what a reply lacks, empty when it is right.
func (q *Question) wrong(r Reply) string {
	found := func(p, in string) bool { return regexp.MustCompile("(?i)" + p).MatchString(in) } // checked when it was loaded
	switch {
	case r.Unclear:
		return "it was not understood"
	case q.Proposes == "" && len(r.Proposals) > 0:
		return "it proposed " + strings.Join(r.Proposals, " and ")
	case q.Proposes != "" && (len(r.Proposals) != 1 || !found(q.Proposes, r.Proposals[0])):
		return fmt.Sprintf("it proposed %q instead of %s", r.Proposals, q.Proposes)
	case q.Asks && !r.AskedBack:
		return "it did not ask back"
	}
	first, _, _ := strings.Cut(r.Text, "\n")
	if !found(q.First, first) {
		return fmt.Sprintf("the first line lacks %s", q.First)
	}
	for _, p := range q.Has {
		if !found(p, r.Text) {
			return "it lacks " + p
		}
	}
	for _, p := range q.Not {
		if found(p, r.Text) {
			return "it holds " + p
		}
	}
	return ""
}

// Verdict is the judgement of one reply.
type Verdict struct {
	Question Question
	Reply    Reply
	Wrong    string // what is wrong with it, empty when it is right
}

// Asker puts a question to whoever is tried. An error ends the evaluation: what a person would be told is a Reply.
type Asker func(context.Context, Question) (Reply, error)

// Ask puts the questions, one after the other.
func Ask(ctx context.Context, questions []Question, ask Asker) ([]Verdict, error) {
	var out []Verdict
	for _, q := range questions {
		r, err := ask(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", q.Ask, err)
		}
		out = append(out, Verdict{q, r, q.wrong(r)})
	}
	return out, nil
}

// Tally counts right replies.
type Tally struct{ Right, Cases int }

func (t *Tally) add(v Verdict) {
	t.Cases++
	if v.Wrong == "" {
		t.Right++
	}
}

func count[K comparable](by map[K]Tally, key K, v Verdict) {
	t := by[key]
	t.add(v)
	by[key] = t
}

// Share is the part that was right, 0 when nothing was asked.
func (t Tally) Share() float64 {
	if t.Cases == 0 {
		return 0
	}
	return float64(t.Right) / float64(t.Cases)
}

// Score sums up what was asked once.
type Score struct {
	All   Tally // of the sets Own and Before
	Sets  map[Set]Tally
	Kinds map[string]Tally
	Langs map[string]Tally
}

// Sum makes a score of verdicts.
func Sum(verdicts []Verdict) Score {
	s := Score{Sets: map[Set]Tally{}, Kinds: map[string]Tally{}, Langs: map[string]Tally{}}
	for _, v := range verdicts {
		if v.Question.Set == Own || v.Question.Set == Before {
			s.All.add(v)
		}
		count(s.Sets, v.Question.Set, v)
		count(s.Kinds, v.Question.Kind, v)
		count(s.Langs, v.Question.Lang, v)
	}
	return s
}

// Steady gives the mean share over runs of the same questions, and the share that was right in every run: who answers
// rightly two times of three cannot be relied on.
func Steady(runs [][]Verdict) (mean, always float64) {
	if len(runs) == 0 || len(runs[0]) == 0 {
		return 0, 0
	}
	for _, r := range runs {
		mean += Sum(r).All.Share() / float64(len(runs))
	}
	for i := range runs[0] {
		if !slices.ContainsFunc(runs, func(r []Verdict) bool { return r[i].Wrong != "" }) {
			always++
		}
	}
	return mean, always / float64(len(runs[0]))
}
