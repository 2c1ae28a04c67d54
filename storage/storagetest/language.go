package storagetest

import (
	"maps"
	"testing"
)

func languages(t *testing.T, s Store) {
	ctx := t.Context()
	must(t, s.PutLang(ctx, "slack:MIA", "ja"))
	must(t, s.PutLang(ctx, "channel/slack/C1", "zh"))
	must(t, s.PutLang(ctx, "slack:MIA", "en"))
	if got := get(s.Langs(ctx))(t); !maps.Equal(got, map[string]string{"slack:MIA": "en", "channel/slack/C1": "zh"}) {
		t.Errorf("got %v", got)
	}
	must(t, s.PutLang(ctx, "slack:MIA", ""))
	must(t, s.PutLang(ctx, "slack:KEN", ""))
	if got := get(s.Langs(ctx))(t); !maps.Equal(got, map[string]string{"channel/slack/C1": "zh"}) {
		t.Errorf("a forgotten language is there still: %v", got)
	}
}
