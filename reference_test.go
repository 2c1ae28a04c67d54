package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

var update = flag.Bool("update", false, "write generated files anew")

func TestTheReferenceIsThatOfTheCode(t *testing.T) {
	for name, text := range map[string]string{"flags.md": flagReference(t), "tools.md": toolReference(t)} {
		path := filepath.Join("docs", "reference", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(path); err != nil || string(have) != text {
			t.Errorf("%s is not current (%v); run make reference", path, err)
		}
	}
}

const made = "<!-- Made of the code by `make reference`. Change the code, not this file. -->\n\n"

// cell writes text for a table's cell.
func cell(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ") }

func flagReference(t *testing.T) string {
	t.Helper()
	var c commands
	parser, err := kong.New(&c, kong.Name("atlhyper"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Commands and flags\n\n" + made + "Each flag can be set by its variable. Each variable has a twin `NAME_FILE` that names a file with the value, as secrets are mounted. A flag wins over its variable.\n")
	row := func(f *kong.Flag) {
		if f.Name == "help" {
			return
		}
		env := ""
		if len(f.Envs) > 0 {
			env = "`" + strings.Join(f.Envs, "`, `") + "`"
		}
		def := ""
		if f.Default != "" {
			def = "`" + f.Default + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | %s | %s | %s |\n", f.Name, env, def, cell(f.Help))
	}
	head := func() { b.WriteString("\n| Flag | Variable | Default | What it does |\n| --- | --- | --- | --- |\n") }
	b.WriteString("\n## Every command\n")
	head()
	for _, f := range parser.Model.Flags {
		row(f)
	}
	for _, n := range parser.Model.Leaves(true) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", n.FullPath(), n.Help)
		for _, p := range n.Positional {
			fmt.Fprintf(&b, "\n`%s`: %s\n", p.Summary(), p.Help)
		}
		flags := slices.Clone(n.Flags)
		flags = slices.DeleteFunc(flags, func(f *kong.Flag) bool { return f.Hidden || f.Name == "help" })
		if len(flags) > 0 {
			head()
			slices.SortStableFunc(flags, func(a, b *kong.Flag) int { return cmp.Compare(group(a), group(b)) })
			for _, f := range flags {
				row(f)
			}
		}
	}
	return b.String()
}

func toolReference(t *testing.T) string {
	t.Helper()
	core, err := newCore(t.Context(), coreConfig{database: ":memory:", lang: "en", policyFlags: policyFlags{TimeScale: 1}, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	specs := core.tools.Tools(tools.Caller{Person: people.Person{ID: "terminal:reference", Local: true}})
	var b strings.Builder
	b.WriteString("# Tools\n\n" + made + "What can be asked and proposed: behind `/atl` in Slack and Discord, as a line in the terminal, in plain words, and on the page, which shows the same answers. A tool that writes only proposes: nothing runs before the people that its class demands have approved it.\n")
	for _, write := range []bool{false, true} {
		title := "Ask"
		if write {
			title = "Propose"
		}
		fmt.Fprintf(&b, "\n## %s\n\n| Command | Role | What it does |\n| --- | --- | --- |\n", title)
		for _, s := range specs {
			if s.Write == write {
				fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", cell(cmp.Or(s.Usage, s.Name)), s.Name, s.Role, cell(s.Summary))
			}
		}
	}
	for _, s := range specs {
		fmt.Fprintf(&b, "\n### %s\n\n", s.Name)
		if s.Verb != "" {
			fmt.Fprintf(&b, "`/atl %s`\n\n", s.Usage)
		}
		b.WriteString(s.Description + "\n")
		var schema jsonschema.Schema
		if err := json.Unmarshal(s.Schema, &schema); err != nil {
			t.Fatal(err)
		}
		if len(schema.Properties) == 0 {
			continue
		}
		b.WriteString("\n| Argument | Kind | What it says |\n| --- | --- | --- |\n")
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
			p := schema.Properties[name]
			kind := cmp.Or(p.Type, strings.Join(p.Types, " or "))
			if slices.Contains(schema.Required, name) {
				kind += ", needed"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, kind, cell(p.Description))
		}
	}
	return b.String()
}

func TestTheWorkedNumbersOfTheGuideAreRight(t *testing.T) {
	raw, err := os.ReadFile("docs/guide/formulas.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	latency := baseline.Q(0.9, (188-131)/12.0)
	felt := (0.78 - 0.60) / 0.25
	cpu := felt * baseline.Q(0.8, (78-45)/6.0)
	stat := 1 - (1-latency)*(1-cpu)
	w := 0.7 + 0.3*(1-math.Exp(-120.0/500))
	local := w * stat
	crashing := 1 - (1-local)*(1-0.90)
	checkout, payments := (2.40-0.05)*20, (2.10-0.05)*20
	for _, want := range []string{
		fmt.Sprintf("tanh(0.875) = %.3f", latency), fmt.Sprintf("= %.2f; q = 0.8 · 0.72 · tanh(1.25) = %.3f", felt, cpu), fmt.Sprintf("= %.3f; W = %.3f; without a fact R_local = %.3f", stat, w, local),
		fmt.Sprintf("(1 − 0.90) = %.3f", crashing), fmt.Sprintf("0.40 · %.3f = %.3f", crashing, 0.9*0.4*crashing),
		fmt.Sprintf("2.35 · 20 = %.1f s", checkout), fmt.Sprintf("self(checkout) = %.1f − %.1f = %.1f s", checkout, payments, checkout-payments),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it should say %q", want)
		}
	}
}

var linkOf = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)|src="([^"]+)"`)

func TestEveryLinkOfTheDocumentsLeadsSomewhere(t *testing.T) {
	files, err := filepath.Glob("docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "README.md", "README.zh.md", "README.ja.md", "ARCHITECTURE.md")
	checked := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkOf.FindAllStringSubmatch(string(raw), -1) {
			to := cmp.Or(m[1], m[3])
			if strings.Contains(to, "://") {
				continue
			}
			checked++
			if _, err := os.Stat(filepath.Join(filepath.Dir(f), to)); err != nil {
				t.Errorf("%s leads to %s, which is not there", f, to)
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d links were seen", checked)
	}
}
