package tools_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

func TestWhoIsMeantIsNeverGuessed(t *testing.T) {
	f := newFixed(t, shops())
	for name, c := range map[string]struct {
		place, who string
		mentioned  map[string]string
		want       string // a subject, or part of a refusal
	}{
		"a mention in Slack":               {"slack/C1", "@ken", map[string]string{"@ken": "slack:U1"}, "slack:U1"},
		"a user group in Slack":            {"slack/C1", "@subteam^S1", map[string]string{"@subteam^S1": "slack:S1"}, "slack:S1"},
		"a name that means two":            {"slack/C1", "@ken", map[string]string{"@ken": ""}, "does not say who is meant"},
		"a name that nobody mentioned":     {"slack/C1", "@ken", nil, "does not say who is meant"},
		"a bare name":                      {"slack/C1", "ken", nil, "does not say who is meant"},
		"a mention in Discord":             {"discord/1", "<@77>", nil, "discord:77"},
		"one of a nickname":                {"discord/1", "<@!77>", nil, "discord:77"},
		"a role in Discord":                {"discord/1", "<@&9>", nil, "discord:role:9"},
		"Discord's mention on a terminal":  {"terminal/1", "<@77>", nil, "does not say who is meant"},
		"an address":                       {"terminal/1", "Ken@Example.com", nil, "email:ken@example.com"},
		"an id":                            {"terminal/1", "slack:U9", nil, "slack:U9"},
		"an id of no surface":              {"terminal/1", "pager:U9", nil, "does not say who is meant"},
		"an address of no domain":          {"terminal/1", "ken@localhost", nil, "does not say who is meant"},
		"everybody":                        {"slack/C1", "@here", nil, "does not say who is meant"},
		"an id that would hide another":    {"terminal/1", "slack:U9 slack:U8", nil, "does not say who is meant"},
		"a mention that looks like an id":  {"slack/C1", "slack:U9", map[string]string{"@ken": "slack:U1"}, "slack:U9"},
		"an address with a display name":   {"terminal/1", "Ken <ken@example.com>", nil, "does not say who is meant"},
		"the empty word":                   {"terminal/1", " ", nil, "does not say who is meant"},
		"a group of another platform's id": {"slack/C1", "discord:role:9", nil, "discord:role:9"},
	} {
		caller := named("mia")
		caller.Place, caller.Mentioned = c.place, c.mentioned
		res, err := f.call(t, caller, "grant", fmt.Sprintf(`{"who":%q,"role":"viewer","scope":"prod"}`, c.who))
		var problem *tools.Problem
		switch {
		case errors.As(err, &problem):
			if !strings.Contains(problem.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if g := res.Data.(people.Grant); g.Subject != c.want {
				t.Errorf("%s: granted to %s, want %s", name, g.Subject, c.want)
			}
		}
	}
	for args, want := range map[string]string{
		`{"who":"slack:U9","role":"root"}`:                         `"root" is no role`,
		`{"who":"slack:U9","role":"nobody"}`:                       `"nobody" is no role`,
		`{"who":"slack:U9","role":"viewer","scope":"prodd"}`:       `no cluster "prodd"`,
		`{"who":"slack:U9","role":"viewer","scope":"/shop"}`:       "is no place",
		`{"who":"slack:U9","role":"viewer","scope":"prod/shop/x"}`: "is no place",
	} {
		if _, err := f.call(t, named("mia"), "grant", args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	if _, err := f.call(t, named("mia"), "revoke", `{"who":"slack:mia"}`); err == nil || !strings.Contains(err.Error(), "stands in the configuration") {
		t.Errorf("a first admin was revoked: %v", err)
	}
	if err := f.e.Audit.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
