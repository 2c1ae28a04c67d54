package openaifake_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
	"github.com/bukahou/atlhyper/bot/assistant/openaifake"
)

func TestWhatTheRealServerRefusesIsRefused(t *testing.T) {
	s := openaifake.New(openaifake.Config{Key: "sk-1", Models: []string{"m"}, Brain: geminifake.Script(geminifake.Reply{Text: []string{"Hello."}})})
	defer s.Close()
	call := `{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"a","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"b","arguments":"{}"}}]}`
	for name, c := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"nothing wrong":                   {`"messages":[{"role":"user","content":"hi"}]`, 200, "[DONE]"},
		"both calls answered":             {`"messages":[{"role":"user","content":"hi"},` + call + `,{"role":"tool","tool_call_id":"c2","content":"x"},{"role":"tool","tool_call_id":"c1","content":"x"}]`, 200, "[DONE]"},
		"no message":                      {`"messages":[]`, 400, "empty array"},
		"a message without content":       {`"messages":[{"role":"user"}]`, 400, "expected a string, got null"},
		"an unknown role":                 {`"messages":[{"role":"model","content":"hi"}]`, 400, "Invalid value: 'model'"},
		"an output that answers nothing":  {`"messages":[{"role":"user","content":"hi"},{"role":"tool","tool_call_id":"c1","content":"x"}]`, 400, "must be a response to a preceeding message"},
		"an output without an id":         {`"messages":[{"role":"user","content":"hi"},` + call + `,{"role":"tool","content":"x"}]`, 400, "tool_call_id"},
		"a call that is never answered":   {`"messages":[{"role":"user","content":"hi"},` + call + `,{"role":"tool","tool_call_id":"c1","content":"x"}]`, 400, "did not have response messages: c2"},
		"words between call and output":   {`"messages":[{"role":"user","content":"hi"},` + call + `,{"role":"user","content":"and?"}]`, 400, "did not have response messages: c1, c2"},
		"a call without an id":            {`"messages":[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"a","arguments":"{}"}}]}]`, 400, "tool_calls[0].id"},
		"a call without arguments":        {`"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"a"}}]}]`, 400, "arguments"},
		"a tool of a bad name":            {`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"a b"}}]`, 400, "does not match pattern"},
		"a schema that is no object":      {`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"a","parameters":{"type":"string"}}}]`, 400, "Invalid schema"},
		"a choice of tools without tools": {`"messages":[{"role":"user","content":"hi"}],"tool_choice":"none"`, 400, "tool_choice"},
		"two limits":                      {`"messages":[{"role":"user","content":"hi"}],"max_tokens":1,"max_completion_tokens":1`, 400, "at the same time"},
		"a model that is not there":       {`"model":"x","messages":[{"role":"user","content":"hi"}]`, 404, "does not exist"},
		"nonsense":                        {`"messages":7`, 400, "could not parse"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/chat/completions", strings.NewReader(`{"model":"m","stream":true,`+c.body+`}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer sk-1")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || !strings.Contains(string(body), c.want) {
				t.Errorf("%d %s %v, want %d with %q", resp.StatusCode, body, err, c.status, c.want)
			}
		})
	}
}
