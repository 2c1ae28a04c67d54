package chart_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/image/font/sfnt"

	"github.com/bukahou/atlhyper/tools/phrase"
)

var update = flag.Bool("update", false, "write font/zh.txt and font/ja.txt anew; font/subset.sh makes the fonts of them")

// titled makes the titles of charts; its other words stand beside pictures. All words of this package stand in them.
const titled = "../../tools/chart.go"

// inTitle says whether the words of a part of titled stand in a title: those of a field Title and the names of metrics.
func inTitle(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		return n.Name.Name == "metricName"
	case *ast.KeyValueExpr:
		id, ok := n.Key.(*ast.Ident)
		return ok && id.Name == "Title"
	case *ast.AssignStmt:
		sel, ok := n.Lhs[0].(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Title"
	}
	return false
}

// wordsIn gives the sentences that a part of the code prints.
func wordsIn(t *testing.T, part ast.Node) (out []string) {
	t.Helper()
	ast.Inspect(part, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if lit, isLit := call.Args[0].(*ast.BasicLit); ok && isLit && sel.Sel.Name == "Sprintf" {
			key, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, key)
		}
		return true
	})
	return out
}

// words are all that a picture may have of ours, in English.
func words(t *testing.T) (out []string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), titled, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		if !inTitle(n) {
			return true
		}
		out = append(out, wordsIn(t, n)...)
		return false
	})
	if len(out) < 12 {
		t.Errorf("only %d words of titles were found: the test no longer sees the code", len(out))
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	before := len(out)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, wordsIn(t, tree)...)
	}
	if len(out) < before+6 {
		t.Errorf("only %d words of keys and axes were found: the test no longer sees the code", len(out)-before)
	}
	return out
}

// lettersOf gives the letters outside ASCII that a language's words in pictures need, in order.
func lettersOf(t *testing.T, lang string) string {
	t.Helper()
	says, err := phrase.Load(lang)
	if err != nil {
		t.Fatal(err)
	}
	var all []rune
	for _, key := range words(t) {
		all = append(all, []rune(says[key])...)
	}
	slices.Sort(all)
	return string(slices.DeleteFunc(slices.Compact(all), func(r rune) bool { return r < utf8.RuneSelf }))
}

func TestEveryWordOfAPictureHasItsLetters(t *testing.T) {
	for _, lang := range []string{"zh", "ja"} {
		want := lettersOf(t, lang)
		list := filepath.Join("font", lang+".txt")
		if *update {
			if err := os.WriteFile(list, []byte(want+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(have)) != want {
			t.Errorf("%s is of other letters: go test ./bot/chart -run ItsLetters -update, then bot/chart/font/subset.sh", list)
		}
		for _, file := range []string{lang + ".otf", lang + "-bold.otf"} {
			raw, err := os.ReadFile(filepath.Join("font", file))
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) > 150<<10 {
				t.Errorf("%s has %d bytes", file, len(raw))
			}
			f, err := sfnt.Parse(raw)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			var buf sfnt.Buffer
			for _, r := range want {
				if g, err := f.GlyphIndex(&buf, r); err != nil || g == 0 {
					t.Errorf("%s has no %c: run bot/chart/font/subset.sh", file, r)
				}
			}
		}
	}
}

// A title that is made elsewhere would not be looked at above.
func TestChartsAreMadeInOneFile(t *testing.T) {
	files, err := filepath.Glob("../../tools/*.go")
	if err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`\bChart\{[^}]*Title`)
	seen := false
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case !made.Match(raw):
		case filepath.ToSlash(file) == titled:
			seen = true
		default:
			t.Errorf("%s makes a chart: its words need letters, look at them in words", file)
		}
	}
	if !seen {
		t.Error("no file makes charts: the test no longer sees the code")
	}
}
