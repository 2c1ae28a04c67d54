package phrase

import (
	"maps"
	"regexp"
	"slices"
	"testing"
)

var verbs = regexp.MustCompile(`%(?:\[\d+\])?(?:\.\d+)?([a-z])`)

// counted gives how often each verb stands in a sentence.
func counted(s string) map[string]int {
	out := map[string]int{}
	for _, m := range verbs.FindAllStringSubmatch(s, -1) {
		out[m[1]]++
	}
	return out
}

func TestEverySentenceIsTranslatedWithTheSameFigures(t *testing.T) {
	zh, err := Load("zh")
	if err != nil {
		t.Fatal(err)
	}
	ja, err := Load("ja")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(zh)), slices.Sorted(maps.Keys(ja))) {
		t.Error("Chinese and Japanese do not translate the same sentences")
	}
	for lang, m := range map[string]map[string]string{"zh": zh, "ja": ja} {
		for key, text := range m {
			if !maps.Equal(counted(key), counted(text)) {
				t.Errorf("%s: %q has other figures than %q", lang, text, key)
			}
		}
	}
}

func TestAPrinterSpeaksTheAskersLanguage(t *testing.T) {
	for lang, want := range map[string][2]string{
		"en":    {"3 alerts in prod.", "One alert in prod."},
		"fr":    {"3 alerts in prod.", "One alert in prod."},
		"zh-CN": {"prod 有 3 条告警。", "prod 有 1 条告警。"},
		"ja":    {"prod にアラートが 3 件あります。", "prod にアラートが 1 件あります。"},
	} {
		p := For(lang)
		if got := [2]string{p.Sprintf("%d alerts in %s.", 3, "prod"), p.Sprintf("%d alerts in %s.", 1, "prod")}; got != want {
			t.Errorf("%s: got %q, want %q", lang, got, want)
		}
	}
	if got := For("en").Sprintf("%s has %d revisions.", "cart", 1); got != "cart has one revision." {
		t.Errorf("the number that counts is not the first figure: %q", got)
	}
}
