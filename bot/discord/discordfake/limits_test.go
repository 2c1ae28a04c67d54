package discordfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

type obj = map[string]any

func x(n int) string { return strings.Repeat("é", n) }

func aButton(id, label string) obj {
	return obj{"type": 2, "style": 1, "label": label, "custom_id": id}
}

func rowOf(n int) obj {
	var buttons []any
	for i := range n {
		buttons = append(buttons, aButton(fmt.Sprint("b", i), "b"))
	}
	return obj{"type": 1, "components": buttons}
}

func post(t *testing.T, s *Server, body any) (int, obj) {
	t.Helper()
	return send(t, s, "/channels/"+Ops+"/messages", body)
}

func send(t *testing.T, s *Server, path string, body any) (int, obj) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+path, strings.NewReader(string(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bot "+BotToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer obj
	_ = json.NewDecoder(resp.Body).Decode(&answer) // 204 has none
	return resp.StatusCode, answer
}

func TestEachLimitIsEnforced(t *testing.T) {
	s := New(Config{Burst: -1})
	defer s.Close()
	embed := func(e obj) obj { return obj{"embeds": []any{e}} }
	rows := func(rows ...any) obj { return obj{"content": "c", "components": rows} }
	for name, c := range map[string]struct{ fits, breaks obj }{
		"2000 characters":              {obj{"content": x(2000)}, obj{"content": x(2001)}},
		"something":                    {obj{"content": "c"}, obj{}},
		"4096 of a description":        {embed(obj{"description": x(4096)}), embed(obj{"description": x(4097)})},
		"256 of a title":               {embed(obj{"title": x(256)}), embed(obj{"title": x(257)})},
		"2048 of a footer":             {embed(obj{"footer": obj{"text": x(2048)}}), embed(obj{"footer": obj{"text": x(2049)}})},
		"6000 over all embeds":         {obj{"embeds": []any{obj{"description": x(3000)}, obj{"description": x(3000)}}}, obj{"embeds": []any{obj{"description": x(3000)}, obj{"description": x(3001)}}}},
		"10 embeds":                    {obj{"embeds": make([]obj, 10)}, obj{"embeds": make([]obj, 11)}},
		"25 fields":                    {embed(obj{"fields": fields(25, 1)}), embed(obj{"fields": fields(26, 1)})},
		"1024 of a field":              {embed(obj{"fields": fields(1, 1024)}), embed(obj{"fields": fields(1, 1025)})},
		"5 buttons in a row":           {rows(rowOf(5)), rows(rowOf(6))},
		"5 rows":                       {rows(one(0), one(1), one(2), one(3), one(4)), rows(one(0), one(1), one(2), one(3), one(4), one(5))},
		"80 of a label":                {rows(obj{"type": 1, "components": []any{aButton("a", x(80))}}), rows(obj{"type": 1, "components": []any{aButton("a", x(81))}})},
		"100 of a custom_id":           {rows(obj{"type": 1, "components": []any{aButton(x(100), "b")}}), rows(obj{"type": 1, "components": []any{aButton(x(101), "b")}})},
		"a custom_id once":             {rows(rowOf(1)), rows(rowOf(1), rowOf(1))},
		"512 of an address":            {rows(obj{"type": 1, "components": []any{aLink("https://"+x(504), "")}}), rows(obj{"type": 1, "components": []any{aLink("https://"+x(505), "")}})},
		"a link has no custom_id":      {rows(obj{"type": 1, "components": []any{aLink("https://a", "")}}), rows(obj{"type": 1, "components": []any{aLink("https://a", "c")}})},
		"a link has an address":        {rows(obj{"type": 1, "components": []any{aLink("https://a", "")}}), rows(obj{"type": 1, "components": []any{aLink("", "")}})},
		"25 options":                   {rows(menuOf(25, 1)), rows(menuOf(26, 1))},
		"an option at least":           {rows(menuOf(1, 1)), rows(menuOf(0, 1))},
		"100 of an option":             {rows(menuOf(1, 100)), rows(menuOf(1, 101))},
		"100 of its value":             {rows(menu(anOption("o", x(100)))), rows(menu(anOption("o", x(101))))},
		"an option's value once":       {rows(menu(anOption("a", "v"), anOption("b", "w"))), rows(menu(anOption("a", "v"), anOption("b", "v")))},
		"a menu in a row of its own":   {rows(menuOf(1, 1)), rows(obj{"type": 1, "components": []any{menuOf(1, 1)["components"].([]any)[0], aButton("a", "b")}})},
		"150 of a placeholder":         {rows(placeheld(150)), rows(placeheld(151))},
		"25 of a nonce":                {obj{"content": "c", "nonce": strings.Repeat("n", 25)}, obj{"content": "c", "nonce": strings.Repeat("n", 26)}},
		"pictures that are there":      {embed(obj{"description": "d"}), embed(obj{"description": "d", "image": obj{"url": "attachment://a.png"}})},
		"a reply to what can be found": {obj{"content": "c"}, obj{"content": "c", "message_reference": obj{"message_id": "1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if status, answer := post(t, s, c.fits); status != 200 {
				t.Errorf("what fits is refused: %v", answer)
			}
			if status, answer := post(t, s, c.breaks); status != 400 {
				t.Errorf("what does not fit is taken: %v", answer)
			}
		})
	}
	if len(s.Faults()) == 0 {
		t.Error("breaches are not remembered")
	}
}

func one(i int) obj {
	return obj{"type": 1, "components": []any{aButton(fmt.Sprint("r", i), "b")}}
}

// asked is a field of a prompt.
func asked(change func(obj)) obj {
	l := obj{"type": 18, "label": "l", "component": obj{"type": 4, "custom_id": "t", "style": 1}}
	change(l)
	return l
}

func named(id string) obj { return asked(func(l obj) { l["component"].(obj)["custom_id"] = id }) }

func anOption(label, value string) obj { return obj{"label": label, "value": value} }

func aLink(address, id string) obj {
	o := obj{"type": 2, "style": 5, "label": "l", "url": address}
	if id != "" {
		o["custom_id"] = id
	}
	return o
}

func menu(options ...any) obj {
	if options == nil {
		options = []any{}
	}
	return obj{"type": 1, "components": []any{obj{"type": 3, "custom_id": "m", "options": options}}}
}

func menuOf(n, length int) obj {
	var options []any
	for i := range n {
		options = append(options, anOption(x(length), fmt.Sprint(i)))
	}
	return menu(options...)
}

func placeheld(n int) obj {
	m := menuOf(1, 1)
	m["components"].([]any)[0].(obj)["placeholder"] = x(n)
	return m
}

func fields(n, length int) []any {
	var out []any
	for range n {
		out = append(out, obj{"name": "n", "value": x(length)})
	}
	return out
}

func TestSuggestionsAreRefusedBeyondTheirLimits(t *testing.T) {
	s := New(Config{AnswerWithin: 100 * time.Millisecond})
	defer s.Close()
	open := func(completing bool) string {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := s.interactionLocked(Ops, Mia, nil)
		i.completing = completing
		return "/interactions/" + i.id + "/" + i.token + "/callback"
	}
	choices := func(n, name, value int) obj {
		out := []any{}
		for range n {
			out = append(out, obj{"name": x(name), "value": x(value)})
		}
		return obj{"type": 8, "data": obj{"choices": out}}
	}
	for name, c := range map[string]struct{ fits, breaks obj }{
		"25 choices":         {choices(25, 1, 1), choices(26, 1, 1)},
		"none is a list too": {choices(0, 0, 0), obj{"type": 8, "data": obj{}}},
		"100 of a name":      {choices(1, 100, 1), choices(1, 101, 1)},
		"a name":             {choices(1, 1, 1), choices(1, 0, 1)},
		"100 of a value":     {choices(1, 1, 100), choices(1, 1, 101)},
		"suggestions alone":  {choices(1, 1, 1), obj{"type": 4, "data": obj{"content": "c"}}},
	} {
		if status, answer := send(t, s, open(true), c.fits); status != 204 {
			t.Errorf("%s: what fits is refused: %d %v", name, status, answer)
		}
		if status, _ := send(t, s, open(true), c.breaks); status != 400 {
			t.Errorf("%s: what does not fit is taken: %d", name, status)
		}
	}
	if status, _ := send(t, s, open(false), choices(1, 1, 1)); status != 400 {
		t.Errorf("suggestions answer a command: %d", status)
	}
	before := len(s.Faults())
	open(true)
	for begun := time.Now(); len(s.Faults()) == before; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 5*time.Second {
			t.Fatal("suggestions that never came are no fault")
		}
	}
}

func TestCommandsAreRefusedBeyondTheirLimits(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	register := func(commands ...any) int {
		t.Helper()
		body, err := json.Marshal(commands)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL()+"/applications/1/commands", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bot "+BotToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	put := func(options ...any) int {
		t.Helper()
		return register(obj{"name": "atl", "description": "d", "options": options})
	}
	option := func(name string, more obj) obj {
		o := obj{"type": 3, "name": name, "description": "d"}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	var many []any
	for i := range 26 {
		many = append(many, option(fmt.Sprint("o", i), nil))
	}
	if status := put(many[:25]...); status != 200 {
		t.Errorf("25 options are refused: %d", status)
	}
	for name, options := range map[string][]any{
		"25 options":               many,
		"a name in lower case":     {option("Cluster", nil)},
		"32 of a name":             {option(strings.Repeat("n", 33), nil)},
		"a name once":              {option("a", nil), option("a", nil)},
		"100 of a description":     {option("a", obj{"description": x(101)})},
		"completion of text":       {option("a", obj{"type": 5, "autocomplete": true})},
		"completion or choices":    {option("a", obj{"autocomplete": true, "choices": []any{obj{"name": "n", "value": "v"}}})},
		"choices within limits":    {option("a", obj{"choices": []any{obj{"name": x(101), "value": "v"}}})},
		"a description altogether": {option("a", obj{"description": ""})},
	} {
		if status := put(options...); status != 400 {
			t.Errorf("%s: more is taken: %d", name, status)
		}
	}
	onMessages := func(n int, more obj) (out []any) {
		for i := range n {
			o := obj{"type": 3, "name": fmt.Sprint("Explain this ", i)}
			for k, v := range more {
				o[k] = v
			}
			out = append(out, o)
		}
		return out
	}
	if status := register(append(onMessages(4, nil), onMessages(1, obj{"name": x(32), "options": nil, "name_localizations": obj{"ja": x(32)}})...)...); status != 200 {
		t.Errorf("five commands on messages are refused: %d", status)
	}
	for name, commands := range map[string][]any{
		"32 of a name":                       {obj{"type": 3, "name": x(33)}},
		"32 of a name in a language":         onMessages(1, obj{"name_localizations": obj{"ja": x(33)}}),
		"a name":                             {obj{"type": 3}},
		"5 commands on messages":             onMessages(6, nil),
		"no description on a message":        onMessages(1, obj{"description": "d"}),
		"no options on a message":            onMessages(1, obj{"options": []any{option("a", nil)}}),
		"a typed name in lower case":         {obj{"name": "Explain this", "description": "d"}},
		"100 of a description in a language": {obj{"name": "atl", "description": "d", "description_localizations": obj{"ja": x(101)}}},
		"100 of an option in a language":     {obj{"name": "atl", "description": "d", "options": []any{option("a", obj{"description_localizations": obj{"ja": x(101)}})}}},
	} {
		if status := register(commands...); status != 400 {
			t.Errorf("%s: more is taken: %d", name, status)
		}
	}
	if err := s.Point("401", Message{}, "Explain this"); err == nil {
		t.Error("a command was taken that messages do not have")
	}
}

func TestAChannelTakesABurstAndThenWaits(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := New(Config{Now: func() time.Time { return now }, Burst: 2})
	defer s.Close()
	for range 2 {
		if status, _ := post(t, s, obj{"content": "c"}); status != 200 {
			t.Fatal(status)
		}
	}
	status, answer := post(t, s, obj{"content": "c"})
	if wait, _ := answer["retry_after"].(float64); status != 429 || wait != 5 {
		t.Errorf("%d %v", status, answer)
	}
	now = now.Add(5 * time.Second)
	if status, _ := post(t, s, obj{"content": "c"}); status != 200 {
		t.Error(status)
	}
}

func TestANonceIsTakenOnce(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	_, a := post(t, s, obj{"content": "c", "nonce": "n", "enforce_nonce": true})
	_, b := post(t, s, obj{"content": "c", "nonce": "n", "enforce_nonce": true})
	if a["id"] == nil || a["id"] != b["id"] || len(s.Messages(Ops)) != 1 {
		t.Errorf("%v, %v", a, b)
	}
}

func TestInteractionsMustBeAnsweredOnceAndInTime(t *testing.T) {
	s := New(Config{AnswerWithin: 50 * time.Millisecond})
	defer s.Close()
	open := func() (path string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		i := s.interactionLocked(Ops, Mia, nil)
		return "/interactions/" + i.id + "/" + i.token + "/callback"
	}
	first := open()
	if status, answer := send(t, s, first, obj{"type": 4, "data": obj{"content": "c"}}); status != 204 {
		t.Errorf("%d %v", status, answer)
	}
	if status, answer := send(t, s, first, obj{"type": 5}); status != 400 || answer["code"] != 40060.0 {
		t.Errorf("a second first answer: %d %v", status, answer)
	}
	if status, _ := send(t, s, open(), obj{"type": 6}); status != 400 {
		t.Errorf("an update of no message: %d", status)
	}
	label := obj{"type": 18, "label": "l", "component": obj{"type": 4, "custom_id": "t", "style": 1}}
	for name, data := range map[string]obj{
		"45 of a title": {"title": x(46), "custom_id": "c", "components": []any{label}},
		"an id":         {"title": "t", "components": []any{label}},
		"a label":       {"title": "t", "custom_id": "c", "components": []any{obj{"type": 1}}},
		"45 of a label": {"title": "t", "custom_id": "c", "components": []any{asked(func(l obj) { l["label"] = x(46) })}},
		"100 of a hint": {"title": "t", "custom_id": "c", "components": []any{asked(func(l obj) { l["description"] = x(101) })}},
		"4000 of text":  {"title": "t", "custom_id": "c", "components": []any{asked(func(l obj) { l["component"].(obj)["max_length"] = 4001 })}},
		"5 fields":      {"title": "t", "custom_id": "c", "components": []any{named("a"), named("b"), named("c"), named("d"), named("e"), named("f")}},
		"an id once":    {"title": "t", "custom_id": "c", "components": []any{named("a"), named("a")}},
		"25 choices":    {"title": "t", "custom_id": "c", "components": []any{asked(func(l obj) { l["component"] = menuOf(26, 1)["components"].([]any)[0] })}},
	} {
		if status, _ := send(t, s, open(), obj{"type": 9, "data": data}); status != 400 {
			t.Errorf("a prompt needs %s: %d", name, status)
		}
	}
	before := len(s.Faults())
	late := open()
	if err := s.Wait(t.Context(), func() bool { time.Sleep(60 * time.Millisecond); return len(s.Faults()) > before }); err != nil {
		t.Fatal(err)
	}
	if status, answer := send(t, s, late, obj{"type": 5}); status != 404 || answer["code"] != 10062.0 {
		t.Errorf("too late: %d %v", status, answer)
	}
}
