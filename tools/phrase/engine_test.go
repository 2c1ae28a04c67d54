package phrase

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// written are the packages, without those beneath, whose English is stored and shown to people later.
var written = []string{
	"engine", "engine/baseline", "engine/command", "engine/detect", "engine/fleet", "engine/incident", "engine/remedy", "engine/risk", "engine/slo",
	"agent/command",
}

// unspoken are files and literals that say nothing to a person, with the reason.
var unspoken = map[string]string{
	"engine/risk/explain.go":    "formulas with their figures",
	"engine/slo/file.go":        "the operator's file is read at start, in English",
	"agent/command/describe.go": "kubectl's words", "agent/command/diff.go": "fields of objects", "agent/command/logs.go": "stands in logs", "agent/command/journal.go": "for who runs the agent",
	"agent/command/top.go": "kubectl's words", "agent/command/yaml.go": "fields of objects", "agent/command/pods.go": "for who runs the agent", "agent/command/rights.go": "for who runs the agent",
	"agent/command/redact.go": "stands in logs",
	"15:04 MST":               "a layout of time", "15:04:05 MST": "a layout of time",
	"deploy dep":       "words that people type",
	"insufficient cpu": "the scheduler's words", "insufficient memory": "the scheduler's words", "insufficient ephemeral-storage": "the scheduler's words",
	"too many pods": "the scheduler's words", "node affinity": "the scheduler's words", "node selector": "the scheduler's words",
	"pod affinity": "the scheduler's words", "topology spread": "the scheduler's words", "free ports": "the scheduler's words",
	"rollout status": "kubectl's words", "rollout history": "kubectl's words", "rollout restart": "kubectl's words", "rollout undo": "kubectl's words",
	"rollout pause": "kubectl's words", "rollout resume": "kubectl's words", "set image": "kubectl's words", "create job": "kubectl's words",
	"set env": "kubectl's words", "set resources": "kubectl's words", "events --for": "kubectl's words",
	" GiB": "a unit", " MiB": "a unit", "%.3g ms": "a unit", "%.4g TiB": "a unit",
	"poddisruptionbudget ":          "a kind",
	"%s\n… %d bytes left out …\n%s": "stands in a text of another's",
	"kind ":                         "a key of the engine's own",
}

// apart are calls whose literals are for developers, or are compared with and not shown.
var apart = regexp.MustCompile(`^(?:Errorf|New|panic|MustCompile|Format|Info|Warn|Error|Debug)(?:Context)?$|^strings\.`)

// shown are files whose errors are told to people as they are.
var shown = []string{"engine/slo/objective.go", "engine/slo/annotation.go"}

func TestEverySentenceOfTheEngineIsTranslated(t *testing.T) {
	wrote := map[string]string{} // literal → where
	for _, folder := range written {
		files, err := filepath.Glob(filepath.Join("../..", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			file := strings.TrimPrefix(filepath.ToSlash(path), "../../")
			if strings.HasSuffix(path, "_test.go") || unspoken[file] != "" {
				continue
			}
			maps.Copy(wrote, literals(t, path, file, func(call string) bool {
				return apart.MatchString(call) && !(slices.Contains(shown, file) && (call == "Errorf" || call == "New"))
			}))
		}
	}
	maps.Copy(wrote, literals(t, "../../model.go", "model.go", apart.MatchString)) // what a form with a model is refused for
	// What tools and models refuse is written where it happens, in English; the surface says it in the reader's language.
	for folder, fields := range map[string][]string{
		"tools": {"Sentence", "Remedy"}, "bot/handle.go": {"Sentence", "Remedy"}, "bot/click.go": {"Sentence", "Remedy"}, "bot/reply.go": {"Sentence", "Remedy"},
		"bot/model.go": {"Sentence", "Remedy"}, "bot/prompt.go": {"Sentence", "Remedy"}, "bot/whole.go": {"Sentence", "Remedy"}, "bot/assistant": {"Sentence"},
	} {
		err := filepath.WalkDir(filepath.Join("../..", folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				maps.Copy(wrote, refusals(t, path, strings.TrimPrefix(filepath.ToSlash(path), "../../"), fields))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// What tools print into a result without a printer is read back as well.
	files, err := filepath.Glob("../../tools/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if !strings.HasSuffix(path, "_test.go") {
			maps.Copy(wrote, sprinted(t, path, strings.TrimPrefix(filepath.ToSlash(path), "../../")))
		}
	}
	prompts, err := filepath.Glob("../../tools/prompts/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range prompts {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(raw), "\n")
		wrote[first] = path
	}
	if len(wrote) < 500 {
		t.Errorf("only %d sentences were found: the test no longer sees the code", len(wrote))
	}
	for _, lang := range []string{"zh", "ja"} {
		m, err := LoadEngine(lang)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for key := range m {
			keys = append(keys, expand(key)...)
		}
		all := strings.Join(keys, "\n")
		for _, s := range slices.Sorted(maps.Keys(wrote)) {
			core := regexp.QuoteMeta(strings.Trim(values.ReplaceAllString(plain.ReplaceAllString(strings.TrimPrefix(s, "nothing was changed: "), "%"), "%"), " .,:;()·\n"))
			if !regexp.MustCompile(strings.ReplaceAll(core, "%", ".{0,60}?")).MatchString(all) {
				t.Errorf("engine.%s.json: %q of %s is not translated", lang, s, wrote[s])
			}
		}
		said := strings.Join(slices.Collect(maps.Keys(wrote)), "\n")
		for _, key := range slices.Sorted(maps.Keys(m)) {
			for _, word := range regexp.MustCompile(`[A-Za-z]{4,}`).FindAllString(plain.ReplaceAllString(key, " "), -1) {
				if !strings.Contains(said, word) && !elsewhere[word] && strings.ToUpper(word) != word { // headings are of tools' tables
					t.Errorf("engine.%s.json: %q has %q, which nobody writes", lang, key, word)
				}
			}
		}
	}
}

// elsewhere are words that stand alone in the code: kinds of changes, states, roles, confidence.
var elsewhere = map[string]bool{}

func init() {
	for _, w := range strings.Fields(`image config scale restart rollout cordon cordoned uncordon uncordoned drain taint untaint label annotate schedulable
		Cordon Uncordon Drain Taint Untaint Label Annotate delete high medium critical right wrong noise clock failed unsure stays stay stop stops start
		starts nobody errors latency memory disk pressure usage count throttled paused running deployments statefulsets statefulset daemonsets daemonset
		deployment jobs node approve propose reject annotation Usage
		pass passes together Failed Running Verified judged length entry
		root cause symptom affected incident warning recovering resolved cleared begun alert Impact Affected journal`) {
		elsewhere[w] = true
	}
}

var plain = regexp.MustCompile(`%(?:\[\d+\])?(?:\.\d+)?[a-z]`)

// values are several values beside each other, which one verb of a key may stand for.
var values = regexp.MustCompile(`%(?:[ /]+%)+`)

// expand writes out each choice of a key, with its verbs alike.
func expand(key string) []string {
	key = plain.ReplaceAllString(key, "%")
	open := strings.Index(key, "{")
	if open < 0 {
		return []string{key}
	}
	end := open + strings.Index(key[open:], "}")
	var out []string
	for word := range strings.SplitSeq(key[open+1:end], "|") {
		out = append(out, expand(key[:open]+word+key[end+1:])...)
	}
	return out
}

func literals(t *testing.T, path, file string, skip func(call string) bool) map[string]string {
	t.Helper()
	out := map[string]string{}
	tree, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			return n.Tag == nil
		case *ast.CallExpr:
			return !skip(called(n))
		case *ast.BasicLit:
			if s, ok := sentenceOf(n); ok {
				out[s] = file
			}
		}
		return true
	})
	return out
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok && x.Name == "strings" && f.Sel.Name != "Join" {
			return "strings." + f.Sel.Name
		}
		return f.Sel.Name
	}
	return ""
}

var words = regexp.MustCompile(`[A-Za-z]{2,} |[ ][A-Za-z]{2,}`)

// sentenceOf gives a literal that holds words.
func sentenceOf(lit *ast.BasicLit) (string, bool) {
	if lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil && unspoken[s] == "" && words.MatchString(s)
}

// sprinted gives what a file formats with fmt.Sprintf.
func sprinted(t *testing.T, path, file string) map[string]string {
	t.Helper()
	out := map[string]string{}
	tree, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || called(call) != "Sprintf" || prints(call) {
			return true
		}
		if lit, ok := call.Args[0].(*ast.BasicLit); ok {
			if s, ok := sentenceOf(lit); ok {
				out[s] = file
			}
		}
		return true
	})
	return out
}

// refusals gives what a file writes into the fields of an error without a printer.
func refusals(t *testing.T, path, file string, fields []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	tree, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	from := func(x ast.Expr) {
		ast.Inspect(x, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && (prints(call) || strings.HasPrefix(called(call), "strings.")) {
				return false
			}
			if lit, ok := n.(*ast.BasicLit); ok {
				if s, ok := sentenceOf(lit); ok && !strings.HasSuffix(s, "Usage: /atl ") {
					out[s] = file
				}
			}
			return true
		})
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if id, ok := n.Key.(*ast.Ident); ok && slices.Contains(fields, id.Name) {
				from(n.Value)
			}
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				if sel, ok := l.(*ast.SelectorExpr); ok && slices.Contains(fields, sel.Sel.Name) && len(n.Rhs) == len(n.Lhs) {
					from(n.Rhs[i])
				}
			}
		}
		return true
	})
	return out
}

func TestEveryHeadingOfATableIsTranslated(t *testing.T) {
	files, err := filepath.Glob("../../tools/*.go")
	if err != nil {
		t.Fatal(err)
	}
	heads := map[string]string{}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			kv, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			id, ok := kv.Key.(*ast.Ident)
			list, isList := kv.Value.(*ast.CompositeLit)
			if !ok || !isList || id.Name != "Columns" {
				return true
			}
			for _, x := range list.Elts {
				if lit, ok := x.(*ast.BasicLit); ok {
					head, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					heads[head] = path
				}
			}
			return true
		})
	}
	if len(heads) < 50 {
		t.Errorf("only %d headings were found: the test no longer sees the code", len(heads))
	}
	for _, lang := range []string{"zh", "ja"} {
		m, err := LoadEngine(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, head := range slices.Sorted(maps.Keys(heads)) {
			if m[head] == "" {
				t.Errorf("engine.%s.json: the heading %q of %s is not translated", lang, head, heads[head])
			}
		}
	}
}

func TestTheEnginesSentencesHaveTheSameFiguresInEachLanguage(t *testing.T) {
	zh, err := LoadEngine("zh")
	if err != nil {
		t.Fatal(err)
	}
	ja, err := LoadEngine("ja")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(zh)), slices.Sorted(maps.Keys(ja))) {
		t.Error("Chinese and Japanese do not read the same sentences")
	}
	for lang, m := range map[string]map[string]string{"zh": zh, "ja": ja} {
		for key, text := range m {
			if !maps.Equal(counted(key), counted(text)) {
				t.Errorf("%s: %q has other figures than %q", lang, text, key)
			}
			if _, err := compile(key, text); err != nil {
				t.Errorf("%s: %q: %v", lang, key, err)
			}
		}
	}
}
