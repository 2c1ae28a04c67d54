package eval

import (
	"context"
	"strings"
	"testing"
)

func TestTheQuestionsAreManyAndOfManyKinds(t *testing.T) {
	worlds, questions, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	sets, langs, kinds, asked := map[Set]int{}, map[string]int{}, map[string]int{}, map[string]bool{}
	for _, q := range questions {
		sets[q.Set]++
		langs[q.Lang]++
		kinds[q.Kind]++
		key := q.World + strings.Join(q.Thread, "\n") + q.Incident + q.Ask
		if asked[key] {
			t.Errorf("%q is asked twice", q.Ask)
		}
		asked[key] = true
	}
	if sets[Own] < 100 || 2*sets[Before] < sets[Own] || sets[Blind] < 90 || sets[Unseen] < 90 || len(worlds) < 5 {
		t.Errorf("%d questions, by who wrote them %v, about %d worlds", len(questions), sets, len(worlds))
	}
	for _, lang := range []string{"en", "zh", "ja"} {
		if langs[lang] < 20 {
			t.Errorf("only %d questions in %s", langs[lang], lang)
		}
	}
	if len(kinds) < 12 || kinds["write"] < 20 || kinds["doubt"] < 10 {
		t.Errorf("the kinds are %v", kinds)
	}
}

func TestAReplyIsJudgedByWhatAPersonSees(t *testing.T) {
	for name, x := range map[string]struct {
		q    Question
		r    Reply
		want string // part of what is wrong, empty when nothing is
	}{
		"every fact is there":               {Question{Has: []string{"payments", `v3\.11`}}, Reply{Text: "x\nPayments v3.11"}, ""},
		"a fact is missing":                 {Question{Has: []string{"payments", `v3\.11`}}, Reply{Text: "payments"}, "lacks v3"},
		"something wrong is there":          {Question{Has: []string{"a"}, Not: []string{"INC"}}, Reply{Text: "a inc-1"}, "holds INC"},
		"the first line must answer":        {Question{First: "12"}, Reply{Text: "some\n12"}, "first line"},
		"the change is proposed":            {Question{Proposes: "^scale deployment/cart .*6"}, Reply{Proposals: []string{"scale deployment/cart 6 -n shop"}}, ""},
		"another change is proposed":        {Question{Proposes: "^scale deployment/cart .*6"}, Reply{Proposals: []string{"scale deployment/cart 5"}}, "instead"},
		"two changes are proposed":          {Question{Proposes: "scale"}, Reply{Proposals: []string{"scale a", "scale b"}}, "instead"},
		"nothing was to be proposed":        {Question{Has: []string{"a"}}, Reply{Text: "a", Proposals: []string{"drain node/n"}}, "it proposed drain"},
		"it asks back":                      {Question{Asks: true}, Reply{Text: "Which?", AskedBack: true}, ""},
		"it guesses where it ought to ask":  {Question{Asks: true}, Reply{Text: "ok"}, "ask back"},
		"not understood is never an answer": {Question{Has: []string{"no"}}, Reply{Text: "I did not understand", Unclear: true}, "understood"},
	} {
		t.Run(name, func(t *testing.T) {
			verdicts, err := Ask(t.Context(), []Question{x.q}, func(context.Context, Question) (Reply, error) { return x.r, nil })
			if err != nil {
				t.Fatal(err)
			}
			got := verdicts[0].Wrong
			if (got == "") != (x.want == "") || !strings.Contains(got, x.want) {
				t.Errorf("judged %q, want %q", got, x.want)
			}
		})
	}
}

func TestAScoreOfSeveralRuns(t *testing.T) {
	right, wrong := Verdict{Question: Question{Kind: "why", Lang: "en", Set: Before}}, Verdict{Question: Question{Kind: "why", Lang: "en"}, Wrong: "x"}
	mean, always := Steady([][]Verdict{{right, right}, {right, wrong}, {right, right}})
	if mean < 0.83 || mean > 0.84 || always != 0.5 {
		t.Errorf("mean %f, always %f", mean, always)
	}
	s := Sum([]Verdict{right, wrong})
	if s.All != (Tally{1, 2}) || s.Sets[Before] != (Tally{1, 1}) || s.Kinds["why"] != (Tally{1, 2}) || s.Langs["en"].Share() != 0.5 {
		t.Errorf("%+v", s)
	}
}

func TestAQuestionThatCannotFailIsRefused(t *testing.T) {
	worlds := []World{{Name: "calm"}}
	for _, q := range []Question{
		{World: "calm", Kind: "status", Lang: "en", Ask: "well?"},
		{World: "elsewhere", Kind: "status", Lang: "en", Ask: "well?", Has: []string{"a"}},
		{World: "calm", Kind: "status", Lang: "en", Ask: "well?", Has: []string{"("}},
		{World: "calm", Lang: "en", Ask: "well?", Has: []string{"a"}},
	} {
		if err := q.check(worlds); err == nil {
			t.Errorf("%+v was taken", q)
		}
	}
}
