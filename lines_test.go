package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/bukahou/atlhyper/agent/sim"
	"github.com/bukahou/atlhyper/bot/card/cardtest"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// speaking are the files of which every sentence reaches somebody at a terminal, and refusing those of which the errors do.
var (
	speaking = []string{
		"[^be]*.go", "engine.go", "backup.go", "bot/slack/errors.go", "bot/discord/check.go", "bot/discord/errors.go", "bot/mcp/bridge.go", "bot/notify/plan.go", "bot/notify/check.go",
		"bot/assistant/gemini/failure.go", "bot/assistant/openai/failure.go", "storage/backup.go", "storage/error.go", "storage/migrate.go", "storage/storage.go", "storage/cluster.go", "storage/person.go", "agent/telemetry/clickhouse/source.go", "storage/lock_*.go", "engine/rota/file.go", "engine/document/document.go", "agent/telemetry/clickhouse/reason.go", "agent/telemetry/prometheus/prometheus.go",
	}
	refusing = []string{
		"bench*.go", "eval*.go",
		"bot/slack/slack.go", "bot/discord/discord.go", "bot/gateway/gateway.go", "bot/vault/vault.go", "bot/web/web.go", "bot/web/password.go", "bot/assistant/openai/openai.go",
		"engine/people/*.go", "engine/slo/file.go", "engine/slo/objective.go", "engine/audit/audit.go", "agent/agent.go", "agent/uplink/uplink.go",
		"agent/sim/fault.go",
	}
)

// quiet are calls whose texts go to the log, to scrapers, to shells and to other programs, and are English.
var quiet = []string{"Debug", "Info", "Warn", "Error", "NewDesc", "HandleFunc", "Handle", "WriteString", "HasPrefix", "Contains", "Set", "Get", "ExecContext", "QueryRowContext", "Getenv"}

var worded = regexp.MustCompile(`[A-Za-z]{2,} |[ ][A-Za-z]{2,}`)

// literals gives the sentences that a file writes, or with errors those of its errors alone.
func literals(t *testing.T, path string, errors bool) []string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	add := func(n ast.Node) {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && worded.MatchString(s) {
				out = append(out, s)
			}
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			return n.Tag == nil
		case *ast.CallExpr:
			f, ok := n.Fun.(*ast.SelectorExpr)
			if ok && f.Sel.Name == "Sprintf" {
				if _, printer := f.X.(*ast.CallExpr); printer { // phrase.For(…).Sprintf translates by itself
					return false
				}
			}
			if ok && errors && slices.Contains([]string{"Errorf", "New", "note", "say"}, f.Sel.Name) && len(n.Args) > 0 {
				add(n.Args[0])
			}
			return !ok || !slices.Contains(quiet, f.Sel.Name)
		default:
			if !errors && n != nil {
				add(n)
			}
		}
		return true
	})
	return out
}

// helpOf gives what the help says: of each command, argument and flag, and the headings.
func helpOf(t *testing.T) map[string]string {
	t.Helper()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, heading := range []string{"Usage: ", "Arguments:", "Flags:", "Commands:", "[flags]", "<command>"} {
		out[heading] = "help.go"
	}
	add := func(text, where string) {
		if text != "" {
			out[text] = where
		}
	}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		add(n.Help, n.Path())
		add(n.Detail, n.Path())
		for _, p := range n.Positional {
			add(p.Help, n.Path()+" "+p.Summary())
		}
		for _, f := range n.Flags {
			add(f.Help, n.Path()+" --"+f.Name)
			add(group(f), n.Path()+" --"+f.Name)
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(parser.Model.Node)
	for _, s := range sim.Scenarios() {
		add(s.Story, "demo --list")
	}
	for _, check := range new(doctorCmd).checks() {
		add(check.name, "doctor")
	}
	for _, mark := range []string{"ok", "FAIL"} {
		add(mark, "doctor")
	}
	return out
}

// writtenAtATerminal gives the sentences of the files, and where they stand.
func writtenAtATerminal(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for i, patterns := range [][]string{speaking, refusing} {
		for _, pattern := range patterns {
			files, err := filepath.Glob(pattern)
			if err != nil || len(files) == 0 {
				t.Fatalf("no file is %s: %v", pattern, err)
			}
			for _, f := range files {
				if strings.HasSuffix(f, "_test.go") {
					continue
				}
				for _, s := range literals(t, f, i == 1) {
					if !unspoken.MatchString(s) {
						out[s] = f
					}
				}
			}
		}
	}
	return out
}

// unspoken is what no person reads at a terminal: errors of whoever calls a package wrongly, requests, scripts for shells, and
// sentences that are only read when a command is measured.
var unspoken = regexp.MustCompile(`^[a-z]+: .* (?:is|are) needed$|^(?:GET|POST|Bot|Bearer|SELECT|INSERT|DELETE|UPDATE) |checkpoint$|^#compdef|COMPREPLY|^complete -c|^exit %d|^confidence %s$|^group by|^openai: schema|^prometheus: the window|^the stream ended|^the engine does not have|^(?:the demo's time is over| or |, and nothing opened\.|scenario )$|^1, with the version`)

var verbs = regexp.MustCompile(`%%|%(?:\[\d+\])?(?:\.\d+)?[a-z]`)

// sample fills a format with names and figures.
func sample(format string) string {
	n := 0
	if strings.HasPrefix(format, " ") || strings.HasPrefix(format, "'") { // it goes on with a name
		format = "%s" + format
	}
	return strings.Trim(verbs.ReplaceAllStringFunc(format, func(verb string) string {
		n++
		switch verb[len(verb)-1] {
		case '%':
			return "%"
		case 'd':
			return fmt.Sprint(40 + n)
		case 'q':
			return fmt.Sprintf("%q", fmt.Sprint("x", n))
		case 'f':
			return "0.5"
		}
		return fmt.Sprint("x", n)
	}), " \n")
}

// kept is what stays as it is in every language: flags, variables, commands, addresses, what a file or a platform calls its
// things, names.
var kept = regexp.MustCompile("time: invalid duration|^[a-z]+[：:]|Socket Mode|`[^`]*`|atlhyper [a-z]+|xoxb|prod-eu|mia|KUBECONFIG|\"[^\"]*\"|\\{[^}]*\\}|--[a-z.-]+|[A-Z]+(?:_[A-Z]+)+|[!-~]*[/:=@_.<*$\\d…][!-~…]*|" +
	`\b(?:View Channel|Send Messages(?: in Threads)?|Embed Links|Attach Files|Create Public Threads|OAuth & Permissions|Basic Information|General Information|Socket Mode|Generative Language API|Model Context Protocol|Bearer|Bot|` +
	`AtlHyper|atlhyper|ChatOps|Slack|Discord|Gemini|OpenAI|Ollama|vLLM|Kubernetes|ClickHouse|Prometheus|OpenTelemetry|Collector|collector|NAB|SDK|ClusterRole|` +
	`NAMESPACE|HOST|NAME|PORT|URL|TLS|HTTP|API|JSON|YAML|UTC|SLO|SELECT|CA|ID|bash|zsh|fish|debug|info|warn|error|viewer|operator|admin|schema|token|agent|webhook|gateway|guild|kubeconfig|context|Pod|Secret|namespace|ingress|service|account|impersonation|server|tick|stdio|` +
	`starttls|implicit|none|tls|username|password|mail|slack|from|zone|rota|targets|people|shifts|ids|start|override|send|mon|fri|low|medium|high|critical|mesh|availability|latency|route|default|classic|genai|generative|gauge|sum|histogram|exponential|summary|profile|readonly|env|file|true|false|yes|backup|add|revoke|cluster|connections|write|metrics|id|at|to|no|string|duration|aks|Deployment|standard|windowed|Gaussian|bench|Linux|telemetry|zh|ja|en|engine|ATLHYPER|API key|test bed|argon2id|nodes|Authorization)\b`)

var englishWord = regexp.MustCompile(`[A-Za-z]{2,}`)

func TestWhatTheCommandLineSaysIsTranslated(t *testing.T) {
	help, written := helpOf(t), writtenAtATerminal(t)
	if len(help) < 130 || len(written) < 250 {
		t.Errorf("only %d texts of the help and %d sentences were found: the test no longer sees the code", len(help), len(written))
	}
	for _, lang := range []string{"zh", "ja"} {
		lines, err := phrase.LoadLines(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range slices.Sorted(maps.Keys(help)) {
			if lines[text] == "" {
				t.Errorf("cli.%s.json: %q of %s is not translated", lang, text, help[text])
			}
		}
		for _, format := range slices.Sorted(maps.Keys(written)) {
			said := phrase.Line(lang, sample(format))
			if left := englishWord.FindString(kept.ReplaceAllString(said, " ")); left != "" {
				t.Errorf("cli.%s.json: %q of %s still says %q in %q", lang, format, written[format], left, said)
			}
		}
	}
}

func TestTheCatalogueOfTheCommandLineHasNoTextThatNobodyWrites(t *testing.T) {
	var all []string
	for _, texts := range []map[string]string{helpOf(t), writtenAtATerminal(t)} {
		for text := range texts {
			all = append(all, verbs.ReplaceAllString(text, "%"))
		}
	}
	for text := range misread {
		all = append(all, verbs.ReplaceAllString(text, "%"))
	}
	said := strings.Join(all, "\n")
	zh, err := phrase.LoadLines("zh")
	if err != nil {
		t.Fatal(err)
	}
	ja, err := phrase.LoadLines("ja")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(zh)), slices.Sorted(maps.Keys(ja))) {
		t.Error("Chinese and Japanese do not have the same texts")
	}
	for _, key := range slices.Sorted(maps.Keys(zh)) {
		if composed[key] {
			continue
		}
		if !strings.Contains(said, verbs.ReplaceAllString(key, "%")) {
			t.Errorf("cli.zh.json: nobody writes %q", key)
		}
		for lang, text := range map[string]string{"zh": zh[key], "ja": ja[key]} {
			if !slices.Equal(verbsOf(key), verbsOf(text)) {
				t.Errorf("cli.%s.json: %q has other figures than %q", lang, text, key)
			}
		}
	}
}

// verbsOf gives the verbs of a format in an order of their own: a language may have another than English.
func verbsOf(format string) []string {
	var out []string
	for _, verb := range verbs.FindAllString(format, -1) {
		out = append(out, verb[len(verb)-1:])
	}
	slices.Sort(out)
	return out
}

// composed are keys that no one literal holds, because their parts are put together.
var composed = map[string]bool{
	"confidence high": true, "confidence medium": true, "confidence low": true, // of "confidence %s"
	"expected exactly %d fields, found %d: %s": true, // of the library that reads times
	"%s line %d: %s":        true, // a file of routes, and a fault in it
	"objective %d (%s): %s": true, // the service or the ingress is one of two values
}

// misread are the parser's errors, with what provokes each.
var misread = map[string][]string{
	`unknown flag %s, did you mean one of %s?`:                   {"demo", "--sed", "3"},
	`unknown flag %s`:                                            {"demo", "--zzzzzzzz"},
	`unexpected argument %s, did you mean %s?`:                   {"aks"},
	`expected one of %s`:                                         {"token"},
	`expected %q`:                                                {"ask"},
	`missing flags: %s`:                                          {"agent"},
	`%s must be one of %s but got %q`:                            {"doctor", "--lang", "fr"},
	`--%s and --%s can't be used together`:                       {"demo", "--list", "--play", "x"},
	`expected a valid %d bit int but got %q`:                     {"bench", "chat", "--alerts", "x"},
	`expected a valid %d bit uint but got %q`:                    {"demo", "--seed", "x"},
	`expected a float but got %q (%v)`:                           {"demo", "--speed", "x"},
	`expected duration but got %q: %s`:                           {"ask", "a", "--timeout", "x"},
	`expected %s value but got %q (%v)`:                          {"ask", "a", "--timeout"},
	`bool value must be true, 1, yes, false, 0 or no but got %q`: {"ask", "a", "--json=3"},
	`expected "<key>=<value>" but got %q`:                        {"up", "--clickhouse-tables", "foo"},
	`missing value, expecting %s`:                                {"up", "--clickhouse-tables"},
	`%q exists but is not a directory`:                           {"eval", "rca", "main.go"},
	`%q exists but is a directory`:                               {"restore", "."},
	`%s (from envar %s=%q)`:                                      {"up", "--headless"}, // the test sets ATLHYPER_TIME_SCALE
}

func TestWhatIsMistypedIsSaidInTheLanguageOfTheTerminal(t *testing.T) {
	for format, args := range misread {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if strings.Contains(format, "envar") {
				t.Setenv("ATLHYPER_TIME_SCALE", "x")
			}
			english, code := call(t, nil, args...)
			if said := regexp.MustCompile(verbs.ReplaceAllString(regexp.QuoteMeta(format), ".+")); code != 2 || !said.MatchString(english.stderr) {
				t.Errorf("code %d; it should be told as %q: %s", code, format, english.stderr)
			}
			for _, locale := range []string{"zh_CN.UTF-8", "ja_JP.UTF-8"} {
				out, code := call(t, map[string]string{"LANG": locale}, args...)
				said := strings.ReplaceAll(out.stderr, "atlhyper: ", "")
				if left := englishWord.FindString(kept.ReplaceAllString(said, " ")); left != "" || code != 2 {
					t.Errorf("%s, code %d: it still says %q in %s", locale, code, left, said)
				}
			}
		})
	}
}

func TestTheLanguageIsThatOfTheFlagThenOfTheVariableThenOfTheTerminal(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{nil, nil, "en"},
		{nil, map[string]string{"LANG": "zh_CN.UTF-8"}, "zh"},
		{nil, map[string]string{"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"},
		{nil, map[string]string{"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "zh_TW", "LC_ALL": "C"}, "en"},
		{nil, map[string]string{"LANG": "de_DE.UTF-8"}, "en"},
		{nil, map[string]string{"LANG": "de_DE.UTF-8", "ATLHYPER_LANG": "ja"}, "ja"},
		{[]string{"ask", "x", "--lang", "zh"}, map[string]string{"ATLHYPER_LANG": "ja"}, "zh"},
		{[]string{"ask", "x", "--lang=en"}, map[string]string{"LANG": "ja_JP.UTF-8"}, "en"},
		{[]string{"ask", "--", "--lang", "zh"}, nil, "en"},
		{[]string{"ask", "x", "--lang"}, nil, "en"},
		{[]string{"--lang", "fr"}, map[string]string{"LANG": "ja_JP.UTF-8"}, "ja"},
	} {
		if got := langOf(c.args, func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%q with %v is spoken to in %s, want %s", c.args, c.env, got, c.want)
		}
	}
	out, _ := call(t, map[string]string{"LC_ALL": "ja_JP.UTF-8"}, "chat")
	if out.stderr != "atlhyper: --engine または ATLHYPER_ENGINE が必要です。エンジンがなければ `atlhyper up` を使ってください\n" {
		t.Errorf("said %q", out.stderr)
	}
}

func TestTheHelpStandsInColumnsInEachLanguage(t *testing.T) {
	for _, lang := range phrase.Langs {
		for name, args := range map[string][]string{"atlhyper": {"--help"}, "ask": {"ask", "--help"}, "token": {"token", "--help"}, "mcp": {"mcp", "--help"}} {
			out, code := call(t, nil, append(args, "--lang", lang)...)
			if code != 0 {
				t.Errorf("code %d: %s", code, out.stderr)
			}
			cardtest.Golden(t, filepath.Join("testdata", "help", name+"."+lang+".txt"), []byte(out.stdout), *update)
		}
	}
	// What follows a name begins in the same column, and no line is wider than a screen.
	for _, leaf := range [][]string{{"up"}, {"demo"}, {"engine"}, {"agent"}, {"doctor"}, {"eval", "ask"}} {
		for _, lang := range phrase.Langs {
			out, _ := call(t, nil, append(slices.Clone(leaf), "--help", "--lang", lang)...)
			column := 0
			for line := range strings.Lines(out.stdout) {
				line = strings.TrimRight(line, "\n")
				if n := terminal.Columns(line); n > helpNarrow {
					t.Errorf("%q in %s is %d columns wide: %s", leaf, lang, n, line)
				}
				switch m := regexp.MustCompile(`^( {2,6}-\S.*? {4,}| {16,})\S`).FindStringSubmatch(line); {
				case !strings.HasPrefix(line, " "):
					column = 0 // a new table
				case m == nil: // a long name alone
				case column == 0:
					column = len(m[1])
				case len(m[1]) != column:
					t.Errorf("%q in %s: %q begins in column %d, not %d", leaf, lang, line, len(m[1]), column)
				}
			}
		}
	}
}
