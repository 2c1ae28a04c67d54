package generativeai

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"

	"github.com/google/generative-ai-go/genai"
)

const streamed = `[{"candidates":[{"content":{"role":"model","parts":[{"text":"secret thought","thought":true}]}}]},
{"candidates":[{"content":{"role":"model","parts":[{"text":"I "}]}}]}
,{"candidates":[{"content":{"role":"model","parts":[{"text":"look."},{"inlineData":{"mimeType":"x","data":"AA=="}}]}}]},
{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"id":"c1","name":"a","args":{"q":1}},"thoughtSignature":"+/8="},{"functionCall":{"id":"c2","name":"b"}}]}}],"usageMetadata":{"totalTokenCount":7}},
{"candidates":[{"content":{"role":"model","parts":[{"thoughtSignature":"//4="}]}}]},
{"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"finishReason":1,"somethingNew":{"x":1}}],"usageMetadata":{"totalTokenCount":9}}]`

func TestWhatTheLibrarySees(t *testing.T) {
	m := newMemory()
	// One byte at a time: chunks of the network do not end where elements do.
	body := newStripper(io.NopCloser(iotest.OneByteReader(strings.NewReader(streamed))), m)
	got, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	var seen []struct {
		Candidates []struct {
			Content struct{ Parts []map[string]any }
		}
	}
	if err := json.Unmarshal(got, &seen); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	var parts []map[string]any
	for _, s := range seen {
		parts = append(parts, s.Candidates[0].Content.Parts...)
	}
	want := []map[string]any{
		{"text": "I "}, {"text": "look."},
		{"functionCall": map[string]any{"id": "c1", "name": "a", "args": map[string]any{"q": 1.0}}},
		{"functionCall": map[string]any{"id": "c2", "name": "b"}},
	}
	if d := cmp.Diff(want, parts); d != "" {
		t.Error(d)
	}
	if m.heard.finish != "STOP" || m.heard.tokens != 9 {
		t.Errorf("heard %q, %d tokens", m.heard.finish, m.heard.tokens)
	}
	if d := cmp.Diff([]call{{"c1", "a"}, {"c2", "b"}}, m.heard.calls); d != "" {
		t.Error(d)
	}
}

func TestWhatGoesBack(t *testing.T) {
	m := newMemory()
	if _, err := io.ReadAll(newStripper(io.NopCloser(strings.NewReader(streamed)), m)); err != nil {
		t.Fatal(err)
	}
	m.keep(1)
	out, err := m.restore([]byte(`{"model":"models/m","contents":[
		{"role":"user","parts":[{"text":"hello"}]},
		{"role":"model","parts":[{"text":"I look."},{"functionCall":{"name":"a","args":{"q":1}}},{"functionCall":{"name":"b","args":{}}}]},
		{"role":"user","parts":[{"functionResponse":{"name":"a","response":{"output":1}}},{"functionResponse":{"name":"b","response":{"error":"no"}}}]}],
		"generationConfig":{"maxOutputTokens":5}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"contents":[{"parts":[{"text":"hello"}],"role":"user"},` +
		`{"parts":[{"text":"secret thought","thought":true},{"text":"I look."},{"inlineData":{"mimeType":"x","data":"AA=="}},` +
		`{"functionCall":{"id":"c1","name":"a","args":{"q":1}},"thoughtSignature":"+/8="},{"functionCall":{"id":"c2","name":"b"}},{"thoughtSignature":"//4="}],"role":"model"},` +
		`{"parts":[{"functionResponse":{"id":"c1","name":"a","response":{"output":1}}},{"functionResponse":{"id":"c2","name":"b","response":{"error":"no"}}}],"role":"user"}],` +
		`"generationConfig":{"maxOutputTokens":5,"thinkingConfig":{"thinkingLevel":"LOW"}},"model":"models/m"}`
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Error(d)
	}
	for name, body := range map[string]string{
		"fewer answers than calls": `{"contents":[{"parts":[]},{"parts":[]},{"parts":[{"functionResponse":{"name":"a"}}]}]}`,
		"answers to other calls":   `{"contents":[{"parts":[]},{"parts":[]},{"parts":[{"functionResponse":{"name":"b"}},{"functionResponse":{"name":"a"}}]}]}`,
		"no contents":              `{}`,
		"no JSON":                  `{`,
	} {
		if _, err := m.restore([]byte(body)); err == nil {
			t.Errorf("%s went through", name)
		}
	}
}

func TestABrokenStreamIsNotTakenForItsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"nothing":                   {"", io.ErrUnexpectedEOF},
		"an open array":             {"[", io.ErrUnexpectedEOF},
		"half an element":           {`[{"candidates":[`, io.ErrUnexpectedEOF},
		"an element and no end":     {`[{"candidates":[]}`, io.ErrUnexpectedEOF},
		"an element and a comma":    {`[{"candidates":[]},`, io.ErrUnexpectedEOF},
		"an object":                 {`{"candidates":[]}`, nil},
		"an element that is a list": {`[[]]`, nil},
		"parts that are no list":    {`[{"candidates":[{"content":{"parts":3}}]}]`, nil},
		"a call that is no object":  {`[{"candidates":[{"content":{"parts":[{"functionCall":"x"}]}}]}]`, nil},
	} {
		_, err := io.ReadAll(newStripper(io.NopCloser(strings.NewReader(c.body)), newMemory()))
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := io.ReadAll(newStripper(io.NopCloser(strings.NewReader(`[{"candidates":[]},{"error":{"code":503,"message":"gone"}}]`)), newMemory()))
	var api *googleapi.Error
	if !errors.As(err, &api) || api.Code != 503 {
		t.Errorf("an error in the stream: %v", err)
	}
	if got, err := io.ReadAll(newStripper(io.NopCloser(strings.NewReader(`[]`)), newMemory())); err != nil || string(got) != "[]" {
		t.Errorf("an empty answer: %s %v", got, err)
	}
}

func FuzzStripper(f *testing.F) {
	f.Add([]byte(streamed))
	f.Add([]byte(`[{"candidates":[{"content":{"parts":[{"functionCall":{"name":"a"},"thoughtSignature":"AA=="}]},"finishReason":"STOP"}]}]`))
	f.Add([]byte(`[{"error":{"code":429}}]`))
	f.Add([]byte(`[{"candidates":[{"content":null,"finishReason":99}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m := newMemory()
		got, err := io.ReadAll(newStripper(io.NopCloser(bytes.NewReader(body)), m))
		if err != nil {
			return
		}
		// What is passed on is an array that holds no thought and no signature, and what was kept is valid JSON that holds
		// as many calls as were passed on.
		var seen []struct {
			Candidates []struct {
				Content struct {
					Parts []map[string]json.RawMessage `json:"parts"`
				} `json:"content"`
			} `json:"candidates"`
		}
		if err := json.Unmarshal(got, &seen); err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		calls := 0
		for _, s := range seen {
			for _, c := range s.Candidates {
				for _, p := range c.Content.Parts {
					if len(p) != 1 {
						t.Fatalf("a part with %d fields: %s", len(p), got)
					}
					if p["functionCall"] != nil {
						calls++
					}
				}
			}
		}
		if calls != len(m.heard.calls) {
			t.Fatalf("%d calls were shown and %d kept", calls, len(m.heard.calls))
		}
		for _, p := range m.heard.parts {
			if !json.Valid(p) {
				t.Fatalf("kept %q", p)
			}
		}
		m.keep(1)
		if _, err := m.restore([]byte(`{"contents":[{"parts":[]},{"role":"model","parts":[]}]}`)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestParameters(t *testing.T) {
	got, err := parameters(json.RawMessage(`{"type":"object","additionalProperties":false,"required":["target"],"properties":{
		"target":{"type":"string","description":"what"},"tail":{"type":["null","integer"],"minimum":1},
		"how":{"type":"string","enum":["rolling","all"]},"kinds":{"type":["null","array"],"items":{"type":"string"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &genai.Schema{Type: genai.TypeObject, Required: []string{"target"}, Properties: map[string]*genai.Schema{
		"target": {Type: genai.TypeString, Description: "what"},
		"tail":   {Type: genai.TypeInteger, Nullable: true},
		"how":    {Type: genai.TypeString, Format: "enum", Enum: []string{"rolling", "all"}},
		"kinds":  {Type: genai.TypeArray, Nullable: true, Items: &genai.Schema{Type: genai.TypeString}},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, err := parameters(json.RawMessage(`{"type":"object"}`)); err != nil || got != nil {
		t.Errorf("a tool without arguments: %v %v", got, err)
	}
	for _, bad := range []string{`{`, `{"properties":{"x":{"type":["string","integer"]}}}`, `{"properties":{"x":{"type":"thing"}}}`, `{"properties":{"x":null}}`} {
		if _, err := parameters(json.RawMessage(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
