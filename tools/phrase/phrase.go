// Package phrase holds the words that people read, in English, Chinese and Japanese. The English sentence is the key;
// a sentence without a translation is shown in English.
package phrase

import (
	"embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

//go:embed en.json zh.json ja.json
var files embed.FS

// Langs are the languages that are spoken.
var Langs = []string{"en", "zh", "ja"}

var builder = sync.OnceValue(func() *catalog.Builder {
	b := catalog.NewBuilder(catalog.Fallback(language.English))
	for _, lang := range []string{"zh", "ja"} {
		m, err := Load(lang)
		if err != nil {
			panic(err) // embedded at build time; a test loads both
		}
		for key, text := range m {
			if err := b.SetString(language.Make(lang), key, text); err != nil {
				panic(fmt.Sprintf("phrase %q: %v", key, err))
			}
		}
	}
	one, err := Load("en") // what English says of one; Chinese and Japanese say it as of many
	if err != nil {
		panic(err)
	}
	for key, text := range one {
		if err := b.Set(language.English, key, plural.Selectf(count(key), "%d", "=1", text, "other", key)); err != nil {
			panic(fmt.Sprintf("phrase %q: %v", key, err))
		}
	}
	return b
})

var verb = regexp.MustCompile(`%(?:\.\d+)?[a-z]`)

// count is which argument of a sentence is its first number, from 1.
func count(key string) int { return slices.Index(verb.FindAllString(key, -1), "%d") + 1 }

// Load reads one language's sentences, keyed by the English one.
func Load(lang string) (map[string]string, error) {
	raw, err := files.ReadFile(lang + ".json")
	if err != nil {
		return nil, fmt.Errorf("phrases of %s: %w", lang, err)
	}
	var m map[string]string
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("phrases of %s: %w", lang, err)
	}
	return m, nil
}

// For gives the printer of a language; anything unknown is English.
func For(lang string) *message.Printer {
	return message.NewPrinter(language.Make(Match(lang)), message.Catalog(builder()))
}

// Match maps a client's language tag ("ja-JP", "zh_CN", "") to a spoken one.
func Match(tag string) string {
	tag = strings.ToLower(tag)
	for _, l := range Langs {
		if strings.HasPrefix(tag, l) {
			return l
		}
	}
	return "en"
}
