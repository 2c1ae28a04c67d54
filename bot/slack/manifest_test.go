package slack

import (
	"os"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestTheManifestAsksForWhatIsUsedAndNothingElse(t *testing.T) {
	raw, err := os.ReadFile("../../deploy/slack/manifest.yaml")
	ok(t, err)
	var manifest struct {
		Features struct {
			SlashCommands []struct{ Command string } `json:"slash_commands"`
			Home          struct {
				On bool `json:"home_tab_enabled"`
			} `json:"app_home"`
			Shortcuts []struct {
				Type     string
				Callback string `json:"callback_id"`
			} `json:"shortcuts"`
			Assistant *struct {
				Description string `json:"assistant_description"`
			} `json:"assistant_view"`
		} `json:"features"`
		OAuth struct {
			Scopes struct{ Bot []string } `json:"scopes"`
		} `json:"oauth_config"`
		Settings struct {
			Events struct {
				Bot []string `json:"bot_events"`
			} `json:"event_subscriptions"`
			Interactivity struct {
				On bool `json:"is_enabled"`
			} `json:"interactivity"`
			Socket bool `json:"socket_mode_enabled"`
		} `json:"settings"`
	}
	ok(t, yaml.UnmarshalStrict(raw, new(any)))
	ok(t, yaml.Unmarshal(raw, &manifest))
	// The scopes of the calls in this package, and of the events in decode.go, by Slack's method reference.
	if got := manifest.OAuth.Scopes.Bot; !slices.Equal(got, Scopes) {
		t.Errorf("scopes %v, want %v", got, Scopes)
	}
	if got := manifest.Settings.Events.Bot; !slices.Equal(got, []string{"app_home_opened", "app_mention", "assistant_thread_context_changed", "assistant_thread_started", "message.channels", "message.groups", "message.im"}) {
		t.Errorf("events %v", got)
	}
	if c := manifest.Features.SlashCommands; len(c) != 1 || c[0].Command != "/atl" {
		t.Errorf("commands %v", c)
	}
	if a := manifest.Features.Assistant; a == nil || a.Description == "" {
		t.Error("the events of an assistant's threads come to an app that has assistant_view, with its description")
	}
	if !manifest.Features.Home.On {
		t.Error("the home tab must be on: views.publish is refused without it")
	}
	if x := manifest.Features.Shortcuts; len(x) != 2 || x[0].Type != "global" || x[0].Callback != AskShortcut || x[1].Type != "message" || x[1].Callback != ExplainShortcut {
		t.Errorf("shortcuts %v", x)
	}
	if !manifest.Settings.Interactivity.On || !manifest.Settings.Socket {
		t.Error("interactivity and socket mode must be on")
	}
}
