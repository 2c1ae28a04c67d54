package phrase

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// The engine writes and stores English, which is canonical: records, the audit log and JSON stay as they are. These files
// hold the formats of its sentences, by which Say reads a stored sentence back when somebody reads it in another language.
// A key has the verbs of fmt, %v where it is a single word such as a name, and {a|b} where English varies and the translation
// does not: "%d failed {pod|pods}".
//
//go:embed engine.zh.json engine.ja.json cli.zh.json cli.ja.json
var formatFiles embed.FS

// Bounds that keep hostile text from costing time: a longer one stays English.
const (
	sayLongest = 4000 // bytes of a text
	sayDeepest = 8    // formats within formats
	saySteps   = 400  // fragments looked at for one text
	sayKept    = 4096 // texts remembered for each language
)

// format is one sentence of the engine's: its shape, and what it says in one language.
type format struct {
	anchor string // its longest piece of plain text: what lacks it cannot match
	weight int    // letters of plain text: the most particular format is tried first
	shape  *regexp.Regexp
	says   string // with %[n]s for what the shape captures
	wide   bool   // it holds a separator of sentences itself
	round  bool   // it holds brackets itself
}

// tongue is a language's formats, and what was said lately.
type tongue struct {
	exact   map[string]string
	formats []format
	marks   *strings.Replacer // the separators and ends as the language writes them

	mu   sync.Mutex
	kept map[string]string // guarded by mu; emptied when it is full
}

var tongues = map[string]func() *tongue{
	"zh": sync.OnceValue(func() *tongue { return assemble("zh", LoadEngine) }),
	"ja": sync.OnceValue(func() *tongue { return assemble("ja", LoadEngine) }),
}

// tongueOf gives the engine's formats in a language, nil in English.
func tongueOf(lang string) *tongue {
	if t := tongues[Match(lang)]; t != nil {
		return t()
	}
	return nil
}

// assemble makes a language's tongue of several catalogues; the last one wins.
func assemble(lang string, load ...func(string) (map[string]string, error)) *tongue {
	all := map[string]string{}
	for _, read := range load {
		m, err := read(lang)
		if err != nil {
			panic(err) // embedded at build time; a test loads all
		}
		maps.Copy(all, m)
	}
	t := &tongue{exact: map[string]string{}, kept: map[string]string{}}
	t.marks = strings.NewReplacer("; ", "；", ": ", "：", ", ", "，", ". ", "。")
	if lang == "ja" {
		t.marks = strings.NewReplacer("; ", "；", ": ", "：", ", ", "、", ". ", "。")
	}
	for key, text := range all {
		f, err := compile(key, text)
		if err != nil {
			panic(fmt.Sprintf("phrase %q: %v", key, err))
		}
		if f.shape == nil {
			t.exact[key] = text
			continue
		}
		t.formats = append(t.formats, f)
	}
	slices.SortFunc(t.formats, func(a, b format) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.shape.String(), b.shape.String()))
	})
	return t
}

// LoadEngine reads the formats of the engine's sentences in one language, keyed by the English one.
func LoadEngine(lang string) (map[string]string, error) { return loadFormats("engine", lang) }

func loadFormats(of, lang string) (map[string]string, error) {
	raw, err := formatFiles.ReadFile(of + "." + lang + ".json")
	if err != nil {
		return nil, fmt.Errorf("phrases of %s: %w", lang, err)
	}
	var m map[string]string
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("phrases of %s: %w", lang, err)
	}
	return m, nil
}

// piece is a verb of fmt, with an index or a precision, or a choice of words.
var piece = regexp.MustCompile(`%%|%(?:\[\d+\])?(?:\.\d+)?[a-z]|\{[^{}]*\|[^{}]*\}`)

// captures are what the verbs print.
var captures = map[byte]string{
	's': `(.+?)`, 'v': `([^\s;()]+)`, 'q': `("(?:[^"\\]|\\.)*")`, 'c': `(.)`, 'd': `(-?\d+)`,
	'f': `(-?\d+(?:\.\d+)?)`, 'g': `(-?\d+(?:\.\d+)?(?:e[+-]\d+)?)`,
}

// compile makes a format of a key and its translation; without a verb or a choice there is no shape, and the key is exact.
func compile(key, text string) (format, error) {
	f, letters := format{}, false
	var shape strings.Builder
	shape.WriteString(`^`)
	plain := func(s string) {
		shape.WriteString(regexp.QuoteMeta(s))
		if len(s) > len(f.anchor) {
			f.anchor = s
		}
		f.weight += utf8.RuneCountInString(s)
		letters = letters || strings.ContainsFunc(s, unicode.IsLetter)
	}
	at, typed, letters := 0, false, false
	for _, span := range piece.FindAllStringIndex(key, -1) {
		plain(key[at:span[0]])
		at = span[1]
		switch p := key[span[0]:span[1]]; {
		case p == "%%":
			plain("%")
		case p[0] == '{':
			typed, letters = true, true
			var words []string
			for w := range strings.SplitSeq(p[1:len(p)-1], "|") {
				words = append(words, regexp.QuoteMeta(w))
			}
			shape.WriteString(`(?:` + strings.Join(words, "|") + `)`)
		default:
			c := captures[p[len(p)-1]]
			if c == "" {
				return f, fmt.Errorf("no verb %s is known", p)
			}
			typed = true
			shape.WriteString(c)
		}
	}
	plain(key[at:])
	if !typed {
		return format{}, nil
	}
	if !letters {
		return f, errors.New("a format needs words")
	}
	shape.WriteString(`$`)
	var err error
	f.shape, err = regexp.Compile(shape.String())
	f.says, f.wide = text, strings.Contains(key, "; ") || strings.Contains(key, " · ")
	f.round = strings.Contains(key, "(")
	return f, err
}

// Say gives what the engine wrote in a person's language. What fits no format stays English, and names and figures stay
// what they are. It may be given a text that is translated in part: what stands between the translated parts is read.
func Say(lang, text string) string {
	if t := tongueOf(lang); t != nil {
		return t.read(text)
	}
	return text
}

// read gives a text as the tongue has it, and remembers it for a while.
func (t *tongue) read(text string) string {
	if len(text) > sayLongest || strings.IndexFunc(text, latin) < 0 {
		return text
	}
	t.mu.Lock()
	said, ok := t.kept[text]
	t.mu.Unlock()
	if ok {
		return said
	}
	s := saying{tongue: t, steps: saySteps}
	said = s.mixed(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kept) >= sayKept {
		clear(t.kept)
	}
	t.kept[text] = said
	return said
}

// Word gives a single word of ours, such as the heading of a column or a stage, which Say would take for a name.
func Word(lang, word string) string {
	if t := tongueOf(lang); t != nil {
		if said, ok := t.exact[word]; ok {
			return said
		}
	}
	return Say(lang, word)
}

func latin(r rune) bool { return r < utf8.RuneSelf && unicode.IsLetter(r) }

// east says whether a character belongs to a translated text.
func east(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || r >= 0x3000 && r <= 0x303f || r >= 0xff00 && r <= 0xffef || r == 'ー'
}

// saying is the reading of one text.
type saying struct {
	*tongue
	steps int
}

// mixed reads what stands between translated parts.
func (s *saying) mixed(text string) string {
	if strings.IndexFunc(text, east) < 0 {
		return s.say(text, 0)
	}
	var out strings.Builder
	for len(text) > 0 {
		n := strings.IndexFunc(text, east)
		if n < 0 {
			n = len(text)
		}
		run := text[:n]
		core := strings.TrimRight(strings.TrimLeft(run, " ·—;,)"), " ·—;,(")
		said := s.say(core, 0)
		if said != core {
			run = strings.Replace(run, core, said, 1)
		}
		out.WriteString(run)
		text = text[n:]
		m := strings.IndexFunc(text, func(r rune) bool { return !east(r) })
		if m < 0 {
			m = len(text)
		}
		out.WriteString(text[:m])
		text = text[m:]
	}
	return strings.ReplaceAll(out.String(), "。。", "。")
}

// say reads one text: as a whole, then by its parts. A single word is a name and stays.
func (s *saying) say(text string, depth int) string {
	if s.steps--; s.steps < 0 || depth > sayDeepest || !strings.Contains(text, " ") || strings.IndexFunc(text, latin) < 0 {
		return text
	}
	if said, ok := s.exact[text]; ok {
		return said
	}
	if at := stamp.FindString(text); at != "" && at != text {
		return at + s.say(text[len(at):], depth+1)
	}
	if len(split(text, "; ")) > 1 || len(split(text, " · ")) > 1 {
		if said, ok := s.whole(text, depth, func(f *format) bool { return f.wide }); ok {
			return said
		}
		if said, ok := s.parts(text, depth, separators...); ok {
			return said
		}
	}
	if strings.HasSuffix(text, ")") {
		if name, _, ok := strings.Cut(text, ": "); ok && !strings.Contains(name, " ") { // brackets belong to what stands right before them
			if said, ok := s.parts(text, depth, ": "); ok {
				return said
			}
		}
		if said, ok := s.whole(text, depth, func(f *format) bool { return f.round }); ok {
			return said
		}
		if said, ok := s.enclosed(text, depth); ok {
			return said
		}
	}
	if said, ok := s.whole(text, depth, func(*format) bool { return true }); ok {
		return said
	}
	if said, ok := s.parts(text, depth, separators...); ok {
		return said
	}
	if body, ok := strings.CutSuffix(text, "."); ok { // the end alone is not in its format
		if said := s.say(body, depth+1); said != body {
			return strings.TrimSuffix(said, "。") + "。"
		}
	}
	if first := text[:1]; first != strings.ToLower(first) { // a title begins with a capital where a list has none
		if low := strings.ToLower(first) + text[1:]; s.say(low, depth+1) != low {
			return s.say(low, depth+1)
		}
	}
	return text
}

// stamp is the time before an entry of a timeline.
var stamp = regexp.MustCompile(`^\d\d:\d\d(?::\d\d)? `)

// whole reads a text by the most particular format that it fits, of those that may be tried.
func (s *saying) whole(text string, depth int, may func(*format) bool) (string, bool) {
	for i := range s.formats {
		f := &s.formats[i]
		if !may(f) || !strings.Contains(text, f.anchor) {
			continue
		}
		m := f.shape.FindStringSubmatch(text)
		if m == nil || slices.ContainsFunc(m[1:], torn) {
			continue
		}
		for n := range m[1:] {
			m[n+1] = s.say(m[n+1], depth+1)
		}
		return fill(f.says, m[1:]), true
	}
	return text, false
}

// torn says whether a capture ends within brackets: its format reads the text across them.
func torn(s string) bool { return strings.Count(s, "(") != strings.Count(s, ")") }

// separators stand between sentences and their parts, the widest first.
var separators = []string{"\n", " · ", " — ", "; ", ". ", ": ", ", "}

// parts reads a text of several parts, by the first separator that helps. Where none of them is known the text is one.
func (s *saying) parts(text string, depth int, separators ...string) (string, bool) {
	for _, sep := range separators {
		list := split(text, sep)
		if len(list) < 2 {
			continue
		}
		if sep == ": " { // what stands behind the first is one text
			list = []string{list[0], text[len(list[0])+len(sep):]}
		}
		known := false
		for i, part := range list {
			// A sentence keeps its end, so that it is read as it was written.
			whole := part
			if sep == ". " && i < len(list)-1 {
				whole += "."
			}
			said := s.say(whole, depth+1)
			if said == whole && whole != part {
				said = s.say(part, depth+1)
				whole = part
			}
			if said != whole {
				list[i], known = said, true
			}
		}
		if !known {
			continue
		}
		var out strings.Builder
		for i, part := range list {
			if i > 0 {
				if mark := s.marks.Replace(sep); sep != ". " || !strings.HasSuffix(list[i-1], "。") {
					out.WriteString(mark)
				}
			}
			out.WriteString(part)
		}
		return out.String(), true
	}
	return text, false
}

// enclosed reads "TEXT (MORE)".
func (s *saying) enclosed(text string, depth int) (string, bool) {
	nested := 0
	for i := len(text) - 1; i > 0; i-- {
		switch text[i] {
		case ')':
			nested++
		case '(':
			nested--
		}
		if nested > 0 || text[i] != '(' {
			continue
		}
		if text[i-1] != ' ' {
			break
		}
		before, inside := text[:i-1], text[i+1:len(text)-1]
		a, b := s.say(before, depth+1), s.say(inside, depth+1)
		return a + "（" + b + "）", a != before || b != inside
	}
	return text, false
}

// split cuts a text at a separator, but not within brackets or quotes.
func split(text, sep string) []string {
	if !strings.Contains(text, sep) {
		return nil
	}
	var out []string
	nested, quoted, from := 0, false, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(':
			nested++
		case ')':
			nested = max(0, nested-1)
		case '"':
			quoted = !quoted
		}
		if nested == 0 && !quoted && i >= from && strings.HasPrefix(text[i:], sep) {
			out = append(out, text[from:i])
			from = i + len(sep)
			i = from - 1
		}
	}
	return append(out, text[from:])
}

// fill puts what was captured into a translation, in its order or by its index.
func fill(says string, args []string) string {
	n := 0
	return piece.ReplaceAllStringFunc(says, func(p string) string {
		switch {
		case p == "%%":
			return "%"
		case p[0] == '{':
			return p
		}
		at := n
		if rest, ok := strings.CutPrefix(p, "%["); ok {
			digits, _, _ := strings.Cut(rest, "]")
			at, _ = strconv.Atoi(digits)
			at--
		}
		n++
		if at < 0 || at >= len(args) {
			return p
		}
		return args[at]
	})
}
