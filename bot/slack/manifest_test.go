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
			Assistant     *struct {
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
	if got := manifest.Settings.Events.Bot; !slices.Equal(got, []string{"app_mention", "assistant_thread_context_changed", "assistant_thread_started", "message.channels", "message.groups", "message.im"}) {
		t.Errorf("events %v", got)
	}
	if c := manifest.Features.SlashCommands; len(c) != 1 || c[0].Command != "/atl" {
		t.Errorf("commands %v", c)
	}
	if a := manifest.Features.Assistant; a == nil || a.Description == "" {
		t.Error("the events of an assistant's threads come to an app that has assistant_view, with its description")
	}
	if !manifest.Settings.Interactivity.On || !manifest.Settings.Socket {
		t.Error("interactivity and socket mode must be on")
	}
}
