package geminifake_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
)

const path = "/v1beta/models/gemini-3.8-flash:generateContent"

func post(t *testing.T, url, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("x-goog-api-key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// said is what the model says to the first question: two parallel calls and a signature that stands alone.
type said struct {
	Candidates []struct {
		Content struct {
			Role  string           `json:"role"`
			Parts []map[string]any `json:"parts"`
		} `json:"content"`
	} `json:"candidates"`
}

func TestWhatTheFakeRefuses(t *testing.T) {
	t.Parallel()
	part := func(t *testing.T, m map[string]any, key string) map[string]any {
		t.Helper()
		v, ok := m[key].(map[string]any)
		if !ok {
			t.Fatalf("no %s in %v", key, m)
		}
		return v
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, model, answer []map[string]any) (m, a []map[string]any)
		want  string // "" when it is accepted
	}{
		{"everything as it came is accepted", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) { return m, a }, ""},
		{"a missing thought signature", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			delete(m[1], "thoughtSignature")
			return m, a
		}, "is missing a `thought_signature`"},
		{"a thought signature with one other byte", func(t *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			s, ok := m[1]["thoughtSignature"].(string)
			if !ok {
				t.Fatal("not signed")
			}
			m[1]["thoughtSignature"] = "A" + s[1:]
			return m, a
		}, "Thought signature is not valid"},
		{"a signature on the second of two parallel calls", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			m[2]["thoughtSignature"] = m[1]["thoughtSignature"]
			return m, a
		}, "Thought signature is not valid"},
		{"the signature that stood alone is lost", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			return m[:3], a
		}, "is not what the model said"},
		{"a call without its id", func(t *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			delete(part(t, m[1], "functionCall"), "id")
			return m, a
		}, "has no known id"},
		{"a call with other arguments", func(t *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			part(t, m[1], "functionCall")["args"] = map[string]any{"target": "other"}
			return m, a
		}, "is not the one that the model made"},
		{"a call that is left out", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			return append(m[:2:2], m[3]), a[:1]
		}, "is not what the model said"},
		{"an answer without its id", func(t *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			delete(part(t, a[0], "functionResponse"), "id")
			return m, a
		}, "does not match the id"},
		{"answers in another order", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			return m, []map[string]any{a[1], a[0]}
		}, "does not match the id"},
		{"fewer answers than calls", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			return m, a[:1]
		}, "number of function response parts is equal"},
		{"an answer that is neither output nor error", func(t *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			part(t, a[0], "functionResponse")["response"] = map[string]any{}
			return m, a
		}, "must hold either output or error"},
		{"a part that holds nothing", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			return append(m, map[string]any{}), a
		}, "required oneof field 'data'"},
		{"an answer to no call", func(_ *testing.T, m, a []map[string]any) ([]map[string]any, []map[string]any) {
			return m[:1], a
		}, "immediately after a function call turn"},
		{"a content without parts", func(_ *testing.T, _, a []map[string]any) ([]map[string]any, []map[string]any) {
			return []map[string]any{}, a
		}, "parts must not be empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fake := geminifake.New(geminifake.Config{Key: "k", Brain: geminifake.Script(
				geminifake.Reply{Text: []string{"I look."}, SignLast: true, Calls: []geminifake.Call{{Name: "a", Args: map[string]any{"target": "x"}}, {Name: "b"}}},
				geminifake.Reply{Text: []string{"Done."}},
			)})
			t.Cleanup(fake.Close)
			status, body := post(t, fake.URL+path, "k", `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`)
			var r said
			if err := json.Unmarshal([]byte(body), &r); err != nil || status != 200 {
				t.Fatalf("%d %s %v", status, body, err)
			}
			model := r.Candidates[0].Content.Parts
			var answer []map[string]any
			for _, p := range model[1:3] {
				f := part(t, p, "functionCall")
				answer = append(answer, map[string]any{"functionResponse": map[string]any{"id": f["id"], "name": f["name"], "response": map[string]any{"output": 1}}})
			}
			model, answer = c.spoil(t, model, answer)
			next, err := json.Marshal(map[string]any{"contents": []any{
				map[string]any{"role": "user", "parts": []any{map[string]any{"text": "hello"}}},
				map[string]any{"role": "model", "parts": model},
				map[string]any{"role": "user", "parts": answer},
			}})
			if err != nil {
				t.Fatal(err)
			}
			status, body = post(t, fake.URL+path, "k", string(next))
			if c.want == "" {
				if status != 200 {
					t.Errorf("%d %s", status, body)
				}
				return
			}
			if status != 400 || !strings.Contains(body, c.want) || !strings.Contains(body, "INVALID_ARGUMENT") {
				t.Errorf("%d %s, want 400 with %q", status, body, c.want)
			}
			if all := fake.Requests(); all[1].Status != 400 || !strings.Contains(all[1].Refusal, c.want) {
				t.Errorf("recorded %+v", all[1])
			}
		})
	}
}

func TestTheFakeKnowsItsKeyAndModels(t *testing.T) {
	t.Parallel()
	fake := geminifake.New(geminifake.Config{Key: "k", Models: []string{"gemini-3.8-flash"}, Brain: geminifake.Script(geminifake.Reply{Text: []string{"Hello."}})})
	t.Cleanup(fake.Close)
	hello := `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`
	for name, c := range map[string]struct {
		url, key, body string
		status         int
		want           string
	}{
		"the right key in the header":  {path, "k", hello, 200, "Hello."},
		"the right key in the address": {path + "?key=k", "", hello, 200, "Hello."},
		"no key":                       {path, "", hello, 400, "API_KEY_INVALID"},
		"the wrong key":                {path, "other", hello, 400, "API_KEY_INVALID"},
		"an unknown model":             {"/v1beta/models/gemini-2.0-flash:generateContent", "k", hello, 404, "NOT_FOUND"},
		"an unknown method":            {"/v1beta/models/gemini-3.8-flash:sing", "k", hello, 404, "NOT_FOUND"},
		"no contents":                  {path, "k", `{}`, 400, "contents is not specified"},
		"no JSON":                      {path, "k", `{`, 400, "Invalid JSON"},
		"an error in the old dialect":  {"/v1beta/models/gemini-3.8-flash:streamGenerateContent?$alt=json;enum-encoding=int", "k", `{}`, 400, `[{"error"`},
	} {
		status, body := post(t, fake.URL+c.url, c.key, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestTheTwoDialects(t *testing.T) {
	t.Parallel()
	fake := geminifake.New(geminifake.Config{Brain: geminifake.Script(geminifake.Reply{Text: []string{"a", "b"}})})
	t.Cleanup(fake.Close)
	hello := `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`
	_, sse := post(t, fake.URL+"/v1beta/models/m:streamGenerateContent?alt=sse", "k", hello)
	if strings.Count(sse, "data: {") != 3 || !strings.Contains(sse, `"finishReason":"STOP"`) {
		t.Error(sse)
	}
	_, array := post(t, fake.URL+"/v1beta/models/m:streamGenerateContent?%24alt=json%3Benum-encoding%3Dint", "k", hello)
	var list []map[string]any
	if err := json.Unmarshal([]byte(array), &list); err != nil || len(list) != 3 || !strings.Contains(array, `"finishReason":1`) {
		t.Errorf("%v %s", err, array)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	if _, err := geminifake.Rules(geminifake.Rule{When: "("}); err == nil {
		t.Error("a broken expression was accepted")
	}
	if _, err := geminifake.Rules(geminifake.Rule{Answer: "{{"}); err == nil {
		t.Error("a broken template was accepted")
	}
	brain, err := geminifake.Rules(geminifake.Rule{
		When: `restart (\S+)`, Calls: [][]geminifake.Call{{{Name: "restart", Args: map[string]any{"target": "$1", "n": 1}}}}, Answer: `{{output "restart" "headline"}} {{output "other" "x"}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := brain(geminifake.Turn{Question: "please RESTART payments"})
	if len(r.Calls) != 1 || r.Calls[0].Args.(map[string]any)["target"] != "payments" { //nolint:forcetypeassert // a test
		t.Errorf("%+v", r)
	}
	r = brain(geminifake.Turn{Question: "restart payments", Step: 1, Results: []geminifake.Result{{Name: "restart", Output: map[string]any{"headline": "ok"}}}})
	if strings.Join(r.Text, "") != "ok nothing from other" {
		t.Errorf("%+v", r)
	}
	if r := brain(geminifake.Turn{Question: "hello"}); len(r.Text) == 0 {
		t.Error("no answer without a rule")
	}
}
