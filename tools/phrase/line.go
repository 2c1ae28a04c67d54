package phrase

import "sync"

// LoadLines reads what the command line says in one language, keyed by the English text in the code: the help of each
// command and flag, and the formats of what is printed and refused.
func LoadLines(lang string) (map[string]string, error) { return loadFormats("cli", lang) }

// liner is the command line's words in one language. What it prints may hold the engine's sentences.
type liner struct {
	exact  func() map[string]string
	tongue func() *tongue // made when something is no whole text of the catalogue: most runs need none
}

var liners = map[string]liner{"zh": linerOf("zh"), "ja": linerOf("ja")}

func linerOf(lang string) liner {
	return liner{
		exact: sync.OnceValue(func() map[string]string {
			m, err := LoadLines(lang)
			if err != nil {
				panic(err) // embedded at build time; a test loads both
			}
			return m
		}),
		tongue: sync.OnceValue(func() *tongue { return assemble(lang, LoadEngine, LoadLines) }),
	}
}

// Line gives what the command line prints in the language of whoever reads it there: a text of the help, or a sentence that
// is read back as Say does. What fits no format stays English.
func Line(lang, text string) string {
	l, ok := liners[Match(lang)]
	if !ok {
		return text
	}
	if said, ok := l.exact()[text]; ok {
		return said
	}
	return l.tongue().read(text)
}
