package slackfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

type obj = map[string]any

func plainText(s string) obj { return obj{"type": "plain_text", "text": s} }

func button(id, label, value string) obj {
	return obj{"type": "button", "action_id": id, "text": plainText(label), "value": value}
}

func option(label, value string) obj { return obj{"text": plainText(label), "value": value} }

func actions(elements ...any) obj { return obj{"type": "actions", "elements": elements} }

func richTextOf(s string) obj {
	return obj{"type": "rich_text", "elements": []any{obj{"type": "rich_text_section", "elements": []any{obj{"type": "text", "text": s}}}}}
}

func repeated(n int, b func(i int) any) []any {
	var out []any
	for i := range n {
		out = append(out, b(i))
	}
	return out
}

func x(n int) string { return strings.Repeat("é", n) }

// call calls a method as a client does, and gives the error code, "" when it was well.
func call(t *testing.T, s *Server, method string, form map[string]string) (string, obj) {
	t.Helper()
	values := url.Values{"token": {BotToken}}
	for k, v := range form {
		values.Set(k, v)
	}
	resp, err := http.PostForm(s.URL()+method, values)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Retry-After")), nil
	}
	var answer obj
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return str(answer, "error"), answer
}

func TestEachLimitIsEnforced(t *testing.T) {
	s := New(Config{Burst: -1})
	defer s.Close()
	divider := func(int) any { return obj{"type": "divider"} }
	fields := func(n int) obj {
		return obj{"type": "section", "fields": repeated(n, func(int) any { return plainText("f") })}
	}
	context := func(n int) obj {
		return obj{"type": "context", "elements": repeated(n, func(int) any { return plainText("c") })}
	}
	buttons := func(n int) obj {
		return actions(repeated(n, func(i int) any { return button(fmt.Sprint("a", i), "b", "v") })...)
	}
	menu := func(n int, change func(obj)) obj {
		m := obj{"type": "static_select", "action_id": "m", "options": repeated(n, func(i int) any { return option("o", fmt.Sprint(i)) })}
		if change != nil {
			change(m)
		}
		return actions(m)
	}
	one := func(b any) []any { return []any{b} }
	for name, c := range map[string]struct {
		fits, breaks []any
		code         string
	}{
		"50 blocks":                     {repeated(50, divider), repeated(51, divider), ""},
		"150 characters of a header":    {one(obj{"type": "header", "text": plainText(x(150))}), one(obj{"type": "header", "text": plainText(x(151))}), ""},
		"a header is plain":             {one(obj{"type": "header", "text": plainText("h")}), one(obj{"type": "header", "text": obj{"type": "mrkdwn", "text": "h"}}), ""},
		"3000 characters of a section":  {one(obj{"type": "section", "text": plainText(x(3000))}), one(obj{"type": "section", "text": plainText(x(3001))}), ""},
		"a section is not empty":        {one(fields(1)), one(obj{"type": "section"}), ""},
		"10 fields":                     {one(fields(10)), one(fields(11)), ""},
		"2000 characters of a field":    {one(obj{"type": "section", "fields": one(plainText(x(2000)))}), one(obj{"type": "section", "fields": one(plainText(x(2001)))}), ""},
		"no empty field":                {one(fields(1)), one(obj{"type": "section", "fields": one(plainText(""))}), ""},
		"10 elements of a context":      {one(context(10)), one(context(11)), ""},
		"25 buttons of a row":           {one(buttons(25)), one(buttons(26)), ""},
		"75 characters of a label":      {one(actions(button("a", x(75), "v"))), one(actions(button("a", x(76), "v"))), ""},
		"2000 characters of a value":    {one(actions(button("a", "b", x(2000)))), one(actions(button("a", "b", x(2001)))), ""},
		"3000 characters of an address": {one(actions(obj{"type": "button", "text": plainText("b"), "url": "https://" + x(2992)})), one(actions(obj{"type": "button", "text": plainText("b"), "url": "https://" + x(2993)})), ""},
		"an address that is one":        {one(actions(obj{"type": "button", "text": plainText("b"), "url": "https://a.example"})), one(actions(obj{"type": "button", "text": plainText("b"), "url": "javascript:alert(1)"})), ""},
		"255 characters of an action":   {one(actions(button(x(255), "b", "v"))), one(actions(button(x(256), "b", "v"))), ""},
		"an action_id once":             {[]any{actions(button("a", "b", "v")), actions(button("b", "b", "v"))}, []any{actions(button("a", "b", "v")), actions(button("a", "b", "v"))}, ""},
		"a block_id once":               {[]any{obj{"type": "divider", "block_id": "a"}, obj{"type": "divider", "block_id": "b"}}, []any{obj{"type": "divider", "block_id": "a"}, obj{"type": "divider", "block_id": "a"}}, ""},
		"255 characters of a block_id":  {one(obj{"type": "divider", "block_id": x(255)}), one(obj{"type": "divider", "block_id": x(256)}), ""},
		"two styles of buttons":         {one(actions(obj{"type": "button", "text": plainText("b"), "style": "danger"})), one(actions(obj{"type": "button", "text": plainText("b"), "style": "loud"})), ""},
		"12000 characters of markdown":  {one(obj{"type": "markdown", "text": x(12000)}), one(obj{"type": "markdown", "text": x(12001)}), ""},
		"no empty rich text":            {one(richTextOf("a")), one(richTextOf("")), ""},
		"a section's worth of rich":     {one(richTextOf(x(3000))), one(richTextOf(x(3300))), ""},
		"blocks for agents do not post": {one(divider(0)), one(obj{"type": "alert", "text": plainText("a")}), ""},
		"100 options of a menu":         {one(menu(100, nil)), one(menu(101, nil)), ""},
		"a menu is not empty":           {one(menu(1, nil)), one(menu(0, nil)), ""},
		"75 characters of an option":    {one(menu(1, func(m obj) { m["options"] = one(option(x(75), "v")) })), one(menu(1, func(m obj) { m["options"] = one(option(x(76), "v")) })), ""},
		"150 characters of its value":   {one(menu(1, func(m obj) { m["options"] = one(option("o", x(150))) })), one(menu(1, func(m obj) { m["options"] = one(option("o", x(151))) })), ""},
		"150 characters of placeholder": {one(menu(1, func(m obj) { m["placeholder"] = plainText(x(150)) })), one(menu(1, func(m obj) { m["placeholder"] = plainText(x(151)) })), ""},
		"a first option that is one":    {one(menu(1, func(m obj) { m["initial_option"] = option("o", "0") })), one(menu(1, func(m obj) { m["initial_option"] = option("o", "1") })), ""},
		"inputs are for modals":         {one(divider(0)), one(obj{"type": "input", "label": plainText("a")}), ""},
		"13200 characters of blocks":    {repeated(4, func(int) any { return richTextOf(x(3000)) }), repeated(5, func(int) any { return richTextOf(x(3000)) }), "msg_blocks_too_long"},
	} {
		t.Run(name, func(t *testing.T) {
			post := func(blocks []any) string {
				encoded, err := json.Marshal(blocks)
				if err != nil {
					t.Fatal(err)
				}
				code, _ := call(t, s, "chat.postMessage", map[string]string{"channel": "C0OPS", "text": "t", "blocks": string(encoded)})
				return code
			}
			if code := post(c.fits); code != "" {
				t.Errorf("what fits is refused: %s: %v", code, s.Faults())
			}
			want := c.code
			if want == "" {
				want = "invalid_blocks"
			}
			if code := post(c.breaks); code != want {
				t.Errorf("what does not fit: %q, want %q", code, want)
			}
		})
	}
}

// callJSON is call for a method that takes JSON alone; it gives the whole answer.
func callJSON(t *testing.T, s *Server, method string, args obj) (answer obj) {
	t.Helper()
	body, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+method, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+BotToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestCallsAreRefusedBySlacksCodes(t *testing.T) {
	s := New(Config{Burst: -1})
	defer s.Close()
	s.AddChannel(Channel{ID: "C0FAR", Outside: true})
	s.AddChannel(Channel{ID: "C0OLD", Archived: true})
	said, err := s.say("U0MIA", "C0FAR", "", "hello") // where the bot is not, nothing is delivered
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method string
		form   map[string]string
		want   string
	}{
		"a wrong token":              {"auth.test", map[string]string{"token": "xoxb-no"}, "invalid_auth"},
		"the bot's token for a line": {"apps.connections.open", nil, "invalid_auth"},
		"no channel":                 {"chat.postMessage", map[string]string{"channel": "C0NO", "text": "t"}, "channel_not_found"},
		"a channel without the bot":  {"chat.postMessage", map[string]string{"channel": "C0FAR", "text": "t"}, "not_in_channel"},
		"an archived channel":        {"chat.postMessage", map[string]string{"channel": "C0OLD", "text": "t"}, "is_archived"},
		"no text":                    {"chat.postMessage", map[string]string{"channel": "C0OPS"}, "no_text"},
		"40001 characters":           {"chat.postMessage", map[string]string{"channel": "C0OPS", "text": x(40_001)}, "msg_too_long"},
		"no thread":                  {"chat.postMessage", map[string]string{"channel": "C0OPS", "text": "t", "thread_ts": "1.1"}, "thread_not_found"},
		"metadata without a type":    {"chat.postMessage", map[string]string{"channel": "C0OPS", "text": "t", "metadata": "{}"}, "invalid_metadata_format"},
		"an edit of nothing":         {"chat.update", map[string]string{"channel": "C0OPS", "ts": "1.1", "text": "t"}, "message_not_found"},
		"an edit of another's":       {"chat.update", map[string]string{"channel": "C0FAR", "ts": said.TS, "text": "t"}, "cant_update_message"},
		"a deletion of another's":    {"chat.delete", map[string]string{"channel": "C0FAR", "ts": said.TS}, "cant_delete_message"},
		"a whisper to nobody":        {"chat.postEphemeral", map[string]string{"channel": "C0OPS", "user": "U9", "text": "t"}, "user_not_in_channel"},
		"a user nobody knows":        {"users.info", map[string]string{"user": "U9"}, "user_not_found"},
		"no method":                  {"chat.shout", nil, "unknown_method"},
		"a file without a length":    {"files.getUploadURLExternal", map[string]string{"filename": "a.png"}, "invalid_arguments"},
		"a file that was not sent":   {"files.completeUploadExternal", map[string]string{"files": `[{"id":"F1"}]`, "channel_id": "C0OPS"}, "file_not_found"},
		"a reaction to nothing":      {"reactions.add", map[string]string{"channel": "C0OPS", "timestamp": "1.1", "name": "eyes"}, "message_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _ := call(t, s, c.method, c.form); code != c.want {
				t.Errorf("%q, want %q", code, c.want)
			}
		})
	}
}

func TestAChannelTakesABurstAndThenOneMessageASecond(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := New(Config{Now: func() time.Time { return now }, Burst: 3})
	defer s.Close()
	post := func() string {
		code, _ := call(t, s, "chat.postMessage", map[string]string{"channel": "C0OPS", "text": "t"})
		return code
	}
	for range 3 {
		if code := post(); code != "" {
			t.Fatal(code)
		}
	}
	if code := post(); code != "429 2" && code != "429 1" {
		t.Errorf("%q", code)
	}
	now = now.Add(time.Second)
	if code := post(); code != "" {
		t.Error(code)
	}
	if code := post(); !strings.HasPrefix(code, "429") {
		t.Errorf("%q", code)
	}
	seen := map[string]bool{}
	for _, m := range s.Messages("C0OPS") {
		if seen[m.TS] {
			t.Errorf("two messages have ts %s", m.TS)
		}
		seen[m.TS] = true
	}
}

func TestModalsAreLimitedAndTriggersDie(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := New(Config{Now: func() time.Time { return now }})
	defer s.Close()
	trigger := func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.triggerLocked("U0MIA")
	}
	view := func(change func(obj)) obj {
		v := obj{"type": "modal", "title": plainText("t"), "submit": plainText("OK"), "blocks": []any{
			obj{"type": "input", "block_id": "b", "label": plainText("l"), "element": obj{"type": "plain_text_input", "action_id": "a"}},
		}}
		if change != nil {
			change(v)
		}
		return v
	}
	open := func(id string, v obj) string {
		t.Helper()
		return str(callJSON(t, s, "views.open", obj{"trigger_id": id, "view": v}), "error")
	}
	fresh := trigger()
	if code := open(fresh, view(nil)); code != "" {
		t.Error(code)
	}
	if code := open(fresh, view(nil)); code != "exchanged_trigger_id" {
		t.Errorf("a used trigger: %q", code)
	}
	late := trigger()
	now = now.Add(4 * time.Second)
	if code := open(late, view(nil)); code != "expired_trigger_id" {
		t.Errorf("an old trigger: %q", code)
	}
	if code := open("t1", view(nil)); code != "invalid_trigger_id" {
		t.Errorf("a made-up trigger: %q", code)
	}
	for name, change := range map[string]func(obj){
		"24 characters of a title":   func(v obj) { v["title"] = plainText(x(25)) },
		"24 characters of a button":  func(v obj) { v["submit"] = plainText(x(25)) },
		"3000 characters of state":   func(v obj) { v["private_metadata"] = x(3001) },
		"255 characters of callback": func(v obj) { v["callback_id"] = x(256) },
		"2000 characters of a label": func(v obj) { object(array(v, "blocks")[0])["label"] = plainText(x(2001)) },
		"2000 characters of a hint":  func(v obj) { object(array(v, "blocks")[0])["hint"] = plainText(x(2001)) },
		"3000 characters of a line":  func(v obj) { object(object(array(v, "blocks")[0])["element"])["max_length"] = 3001 },
		"an input with an element":   func(v obj) { delete(object(array(v, "blocks")[0]), "element") },
		"100 choices of an input": func(v obj) {
			object(array(v, "blocks")[0])["element"] = obj{"type": "static_select", "options": repeated(101, func(i int) any { return option("o", fmt.Sprint(i)) })}
		},
		"100 blocks": func(v obj) { v["blocks"] = repeated(101, func(int) any { return obj{"type": "divider"} }) },
	} {
		if code := open(trigger(), view(change)); code == "" {
			t.Errorf("%s: more is taken", name)
		}
	}
}

func TestAResponseURLServesFiveTimesAndHalfAnHour(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := New(Config{Now: func() time.Time { return now }})
	defer s.Close()
	make := func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.responseLocked("C0OPS", "", "U0MIA")
	}
	use := func(address, body string) int {
		resp, err := http.Post(address, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	five := make()
	for range 5 {
		if got := use(five, `{"text":"hi","replace_original":true}`); got != 200 {
			t.Errorf("%d", got)
		}
	}
	if got := use(five, `{"text":"hi"}`); got != 404 {
		t.Errorf("the sixth use: %d", got)
	}
	if all := s.Messages("C0OPS"); len(all) != 1 || all[0].Only != "U0MIA" || all[0].Edits != 4 {
		t.Errorf("%+v", all)
	}
	old := make()
	now = now.Add(31 * time.Minute)
	if got := use(old, `{"text":"hi"}`); got != 404 {
		t.Errorf("after half an hour: %d", got)
	}
}

func TestEventsThatAreNotAcknowledgedAreAFault(t *testing.T) {
	s := New(Config{AckWithin: 50 * time.Millisecond})
	defer s.Close()
	if err := s.Slash("U0MIA", "C0OPS", "/atl", "hi"); err == nil {
		t.Error("nobody is connected, and yet it was delivered")
	}
	if _, err := s.Direct("U0MIA", "hi"); err == nil {
		t.Error("nobody is connected, and yet it was delivered")
	}
	s.EventsURL("http://127.0.0.1:1")
	if err := s.Slash("U0MIA", "C0OPS", "/atl", "hi"); err == nil || len(s.Faults()) != 1 {
		t.Errorf("%v, %v", err, s.Faults())
	}
	s.EventsURL("")
	line, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.http.URL, "http")+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	if err := s.WaitConnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Slash("U0MIA", "C0OPS", "/atl", "hi"); err == nil || len(s.Faults()) != 2 {
		t.Errorf("%v, %v", err, s.Faults())
	}
}
