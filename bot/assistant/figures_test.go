package assistant

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnverifiedFigures(t *testing.T) {
	told := []json.RawMessage{
		json.RawMessage(`{"facts":[{"label":"error rate","value":"0.314"},{"label":"delay","value":"41.2 s"},{"label":"requests","value":"1240"},{"label":"of","value":"4,020"}],"observed":"2026-11-22T02:51:20Z"}`),
		json.RawMessage(`{"tables":[{"rows":[["payments","6/6","734003200"],["checkout","3/4","250m"]]}],"age":"12s"}`),
	}
	req := Request{
		Text: "why did it go past 90 %?", Context: "budget burning 22×",
		History: []Turn{{Person: true, Text: "we saw 555 errors"}, {Text: "there were 777 of them"}},
	}
	for text, want := range map[string][]string{
		"No figures at all.":                                 nil,
		"31 % of requests fail, 31.4% to be exact":           nil,
		"about 41 s, or 41200 ms":                            nil,
		"1,240 of 4020 requests, or 1.2k":                    nil,
		"700 MiB of memory, 0.25 cores":                      nil,
		"past 90 % and 22× as the person and the engine say": nil,
		"555 errors": nil,
		"777 errors, as the bot itself said before": {"777"},
		"42 % fail":                      {"42 %"},
		"it fell by 17 and 17, to 0.4 %": {"17", "0.4 %"},
		"p95 of v2.3.1 on worker-3, 10.0.0.12, INC-214, payments-7f9c4d and sha256:abc12": nil,
		"since 02:51:20 on 2026-11-22":   nil,
		"since 04:00":                    {"04:00"},
		"1. first\n2. second\n10. tenth": nil,
		"2 services, 3 pods":             nil,
		"5 s":                            {"5 s"},
		"失敗率は３１％、遅延は９９秒": {"99"},
		"6/6 ready":  nil,
		"6/17 ready": {"17"},
	} {
		got, _ := check(text, req, told)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q:\n%s", text, d)
		}
	}
}

func TestEachFigureNamesTheCallThatGaveIt(t *testing.T) {
	told := []json.RawMessage{json.RawMessage(`{"error rate":"0.314","at":"02:51:20"}`), json.RawMessage(`{"delay":"41.2 s","errors":"31.4 %"}`)}
	_, cited := check("31 % fail since 02:51:20, which adds 41 s; you said 90 %, and 31 % it is", Request{Text: "is it past 90 %?"}, told)
	if d := cmp.Diff([]Citation{{"31 %", 0}, {"02:51:20", 0}, {"41 s", 1}}, cited); d != "" {
		t.Error(d)
	}
}

func FuzzUnverified(f *testing.F) {
	f.Add("31 % of 4,020 at 02:51 on v2.3.1", "0.31")
	f.Fuzz(func(t *testing.T, text, source string) {
		// What the person wrote is verified, wherever it stands.
		check(text, Request{Text: source}, []json.RawMessage{json.RawMessage(source)})
		if got, _ := check(text, Request{Text: text}, nil); len(got) > 0 {
			t.Errorf("%q is not verified by itself: %q", text, got)
		}
	})
}
