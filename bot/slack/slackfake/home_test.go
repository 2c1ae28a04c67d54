package slackfake

import (
	"fmt"
	"strings"
	"testing"
)

// manifest is that of an app with a home and these shortcuts.
func manifest(shortcuts ...string) []byte {
	return []byte("features:\n  app_home: {home_tab_enabled: true}\n  shortcuts: [" + strings.Join(shortcuts, ", ") + "]\n")
}

func asShortcut(name, kind, callback, description string) string {
	return fmt.Sprintf("{name: %q, type: %q, callback_id: %q, description: %q}", name, kind, callback, description)
}

func TestAHomeIsLimitedAndReplacedAsAWhole(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	home := func(change func(obj)) obj {
		v := obj{"type": "home", "blocks": []any{obj{"type": "section", "text": plainText(x(3000))}}}
		if change != nil {
			change(v)
		}
		return v
	}
	publish := func(user, hash string, v obj) (code, newHash string) {
		answer := callJSON(t, s, "views.publish", obj{"user_id": user, "view": v, "hash": hash})
		return str(answer, "error"), str(object(answer["view"]), "hash")
	}
	if code, _ := publish("U0MIA", "", home(nil)); code != "not_enabled" {
		t.Errorf("without a home tab: %q", code)
	}
	if s.OpenHome("U0MIA") == nil {
		t.Error("a home was opened that is not there")
	}
	if err := s.Install(manifest()); err != nil {
		t.Fatal(err)
	}
	code, first := publish("U0MIA", "", home(nil))
	if code != "" {
		t.Errorf("what fits is refused: %s", code)
	}
	if code, _ := publish("U0MIA", first, home(nil)); code != "" {
		t.Errorf("upon its hash: %s", code)
	}
	if code, _ := publish("U0MIA", first, home(nil)); code != "hash_conflict" {
		t.Errorf("upon an old hash: %q", code)
	}
	if code, _ := publish("U0KEN", first, home(nil)); code != "hash_conflict" {
		t.Errorf("upon another's hash: %q", code)
	}
	if code, _ := publish("U0NOBODY", "", home(nil)); code != "user_not_found" {
		t.Errorf("for nobody: %q", code)
	}
	divider := func(int) any { return obj{"type": "divider"} }
	if code, _ := publish("U0MIA", "", home(func(v obj) { v["blocks"] = repeated(100, divider) })); code != "" {
		t.Errorf("100 blocks: %q", code)
	}
	if f := s.Faults(); f != nil {
		t.Errorf("a correct bot meets these: %v", f)
	}
	for name, change := range map[string]func(obj){
		"100 blocks":                   func(v obj) { v["blocks"] = repeated(101, divider) },
		"3000 characters of a section": func(v obj) { object(array(v, "blocks")[0])["text"] = plainText(x(3001)) },
		"3000 characters of state":     func(v obj) { v["private_metadata"] = x(3001) },
		"255 characters of callback":   func(v obj) { v["callback_id"] = x(256) },
		"250000 characters of all": func(v obj) {
			v["blocks"] = repeated(90, func(int) any { return obj{"type": "section", "text": plainText(x(2900))} })
		},
		"a home is no modal":            func(v obj) { v["type"] = "modal" },
		"a home has no title":           func(v obj) { v["title"] = plainText("t") },
		"blocks for agents do not show": func(v obj) { v["blocks"] = []any{obj{"type": "alert", "text": plainText("a")}} },
	} {
		before := len(s.Faults())
		if code, _ := publish("U0MIA", "", home(change)); code == "" {
			t.Errorf("%s: more is taken", name)
		}
		if len(s.Faults()) != before+1 {
			t.Errorf("%s: it is no fault", name)
		}
	}
	if _, n := s.Home("U0MIA"); n != 3 {
		t.Errorf("published %d times", n)
	}
}

func TestAManifestsShortcutsAreLimited(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	fits := asShortcut(x(24), "message", x(255), x(150))
	if err := s.Install(manifest(fits, asShortcut("Ask", "global", "ask", "d"))); err != nil {
		t.Error(err)
	}
	var many []string
	for i := range 11 {
		many = append(many, asShortcut("n", "global", fmt.Sprint("c", i), "d"))
	}
	for name, shortcuts := range map[string][]string{
		"24 characters of a name":         {asShortcut(x(25), "global", "c", "d")},
		"a name":                          {asShortcut("", "global", "c", "d")},
		"150 characters of a description": {asShortcut("n", "global", "c", x(151))},
		"a description":                   {asShortcut("n", "global", "c", "")},
		"255 characters of a callback_id": {asShortcut("n", "global", x(256), "d")},
		"a callback_id":                   {asShortcut("n", "global", "", "d")},
		"a callback_id once":              {asShortcut("n", "global", "c", "d"), asShortcut("m", "message", "c", "d")},
		"two types":                       {asShortcut("n", "channel", "c", "d")},
		"10 shortcuts":                    many,
	} {
		if err := s.Install(manifest(shortcuts...)); err == nil || !strings.Contains(err.Error(), "invalid_manifest") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Shortcut("U0MIA", "No such"); err == nil {
		t.Error("a shortcut was taken that is not there")
	}
	if err := s.Point("U0MIA", Message{Channel: "C0OPS"}, "Ask"); err == nil {
		t.Error("a global shortcut was taken on a message")
	}
}
