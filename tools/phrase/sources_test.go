package phrase

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// speaking are the folders whose code prints sentences for people through a printer of this package.
var speaking = []string{"tools", "bot"}

// handed names functions that hand their first argument on to a printer, by the file that has them: there the key is
// not beside the Sprintf.
var handed = map[string]string{
	"bot/card/proposal.go": "add",
}

// printers are what a message.Printer is called in our code.
var printers = []string{"p", "say"}

func TestEverySentenceThatIsPrintedIsTranslated(t *testing.T) {
	printed := map[string]string{} // sentence → where
	for _, folder := range speaking {
		err := filepath.WalkDir(filepath.Join("../..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file := strings.TrimPrefix(filepath.ToSlash(path), "../../")
			tree, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					return true
				}
				through := handed[file] != "" && isCall(call, handed[file])
				if !through && !prints(call) {
					return true
				}
				lit, ok := call.Args[0].(*ast.BasicLit)
				switch {
				case ok:
					key, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Errorf("%s: %v", file, err)
					}
					printed[key] = file
				case handed[file] == "":
					t.Errorf("%s prints a sentence that is not written where it is printed: it cannot be checked", file)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(printed) < 100 {
		t.Errorf("only %d sentences were found: the test no longer sees the code", len(printed))
	}
	for _, lang := range []string{"zh", "ja"} {
		have, err := Load(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range slices.Sorted(maps.Keys(printed)) {
			if have[key] == "" {
				t.Errorf("%s: %q of %s is not translated", lang, key, printed[key])
			}
		}
		for _, key := range slices.Sorted(maps.Keys(have)) {
			if printed[key] == "" {
				t.Errorf("%s: %q is printed nowhere", lang, key)
			}
		}
	}
	one, err := Load("en")
	if err != nil {
		t.Fatal(err)
	}
	for key := range one {
		if printed[key] == "" || count(key) == 0 {
			t.Errorf("en: %q is printed nowhere, or counts nothing", key)
		}
	}
}

func isCall(call *ast.CallExpr, name string) bool {
	id, ok := call.Fun.(*ast.Ident)
	return ok && id.Name == name
}

// prints says whether a call is PRINTER.Sprintf or phrase.For(…).Sprintf.
func prints(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Sprintf" {
		return false
	}
	switch x := sel.X.(type) {
	case *ast.Ident:
		return slices.Contains(printers, x.Name)
	case *ast.SelectorExpr:
		return slices.Contains(printers, x.Sel.Name)
	case *ast.CallExpr:
		f, ok := x.Fun.(*ast.SelectorExpr)
		return ok && f.Sel.Name == "For"
	}
	return false
}
