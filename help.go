package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// The help is laid out here and not by kong, which knows English headings only and takes a Chinese character for as wide as
// a Latin one.
const (
	helpNarrow = 80  // columns where there is no screen
	helpWidest = 100 // longer lines are hard to read
	helpGap    = 4   // spaces between a name and what it means
)

// helper writes the help of one command.
type helper struct {
	lang  string
	width int
	text  strings.Builder
}

// helpIn prints help in a language.
func helpIn(lang string) kong.HelpPrinter {
	return func(_ kong.HelpOptions, ctx *kong.Context) error {
		h := &helper{lang: lang, width: min(cmp.Or(widthOf(ctx.Stdout), helpNarrow), helpWidest)}
		h.write(ctx.Model, ctx.Selected())
		_, err := io.WriteString(ctx.Stdout, h.text.String())
		return err
	}
}

func (h *helper) write(app *kong.Application, node *kong.Node) {
	usage := strings.TrimSpace(app.Summary())
	if node == nil {
		node = app.Node
	} else {
		usage = node.Summary()
	}
	for _, word := range []string{"<command>", "[flags]"} {
		usage = strings.Replace(usage, word, h.say(word), 1)
	}
	h.wrap(h.say("Usage: ")+app.Name+" "+usage, "", "")
	for _, paragraph := range []string{node.Help, node.Detail} {
		if paragraph != "" {
			h.wrap("\n"+h.say(paragraph), "", "")
		}
	}
	var args [][2]string
	for _, p := range node.Positional {
		args = append(args, [2]string{p.Summary(), h.describe(p.Help, p.Tag.Envs)})
	}
	h.table("Arguments:", args)
	h.flags(node)
	var below [][2]string
	for _, n := range node.Leaves(true) {
		below = append(below, [2]string{n.Path(), h.say(n.Help)})
	}
	h.table("Commands:", below)
	if node == app.Node {
		h.wrap("\n"+h.say(`Run "atlhyper <command> --help" for more information on a command.`), "", "")
	}
}

// flags writes the flags that a command takes: those of no group, then each group under its title.
func (h *helper) flags(node *kong.Node) {
	titles, groups := []string{"Flags:"}, map[string][][2]string{}
	for _, level := range node.AllFlags(true) {
		if len(groups[titles[0]]) > 0 {
			groups[titles[0]] = append(groups[titles[0]], [2]string{}) // a blank line after what every command takes
		}
		for _, f := range level {
			title := cmp.Or(group(f), titles[0])
			if !slices.Contains(titles, title) {
				titles = append(titles, title)
			}
			name := "--" + f.Name
			switch {
			case f.Short != 0:
				name = fmt.Sprintf("-%c, %s", f.Short, name)
			case title == titles[0]: // below -h
				name = "    " + name
			}
			if !f.IsBool() {
				name += "=" + f.FormatPlaceHolder()
			}
			groups[title] = append(groups[title], [2]string{name, h.describe(f.Help, f.Envs)})
		}
	}
	for _, title := range titles {
		h.table(title, groups[title])
	}
}

// group is the title under which a flag stands, "" for none.
func group(f *kong.Flag) string {
	if f.Group == nil {
		return ""
	}
	return f.Group.Title
}

// describe names the environment twin before the end of the sentence.
func (h *helper) describe(help string, envs []string) string {
	text := h.say(help)
	if len(envs) == 0 {
		return text
	}
	twin := "$" + strings.Join(envs, ", $")
	if body, ok := strings.CutSuffix(text, "。"); ok {
		return body + "（" + twin + "）。"
	}
	return strings.TrimSuffix(text, ".") + " (" + twin + ")."
}

// table writes names beside what they mean, in two columns.
func (h *helper) table(title string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	h.text.WriteString("\n" + h.say(title) + "\n")
	wide, longest := 0, h.width*3/8 // a longer name has a line of its own
	for _, r := range rows {
		if n := len(r[0]); n <= longest {
			wide = max(wide, n)
		}
	}
	indent := strings.Repeat(" ", 2+wide+helpGap)
	for _, r := range rows {
		name := "  " + r[0]
		if len(r[0]) <= wide {
			h.wrap(r[1], name+indent[len(name):], indent)
			continue
		}
		h.text.WriteString(name + "\n")
		h.wrap(r[1], indent, indent)
	}
}

// wrap writes a text whose first line begins with first, and each further one with rest.
func (h *helper) wrap(text, first, rest string) {
	for _, line := range terminal.Wrap(text, h.width, first, rest) {
		h.text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func (h *helper) say(text string) string { return phrase.Line(h.lang, text) }
