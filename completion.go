package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/bukahou/atlhyper/tools/phrase"
)

// completionCmd prints a script that completes commands and flags. It is generated from the same model as the help, so
// that it cannot fall behind.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCmd) Run(env *environment) error {
	switch c.Shell {
	case "fish":
		var b strings.Builder
		for _, n := range env.kong.Model.Leaves(true) {
			fmt.Fprintf(&b, "complete -c atlhyper -n __fish_use_subcommand -f -a %s -d %q\n", first(n), phrase.Line(env.lang, n.Help))
			for _, f := range flagsOf(n) {
				fmt.Fprintf(&b, "complete -c atlhyper -n '__fish_seen_subcommand_from %s' -l %s -d %q\n", first(n), f.Name, phrase.Line(env.lang, f.Help))
			}
		}
		_, err := fmt.Fprint(env.stdout, b.String())
		return err
	case "zsh":
		if _, err := fmt.Fprintln(env.stdout, "#compdef atlhyper\nautoload -U +X bashcompinit && bashcompinit"); err != nil {
			return err
		}
	}
	var b strings.Builder
	b.WriteString("_atlhyper() {\n\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\"\n\tcase \"${COMP_WORDS[1]}\" in\n")
	var names []string
	seen := map[string]bool{}
	for _, n := range env.kong.Model.Leaves(true) {
		if !seen[first(n)] {
			seen[first(n)] = true
			names = append(names, first(n))
		}
	}
	for _, name := range names {
		var words []string
		for _, n := range env.kong.Model.Leaves(true) {
			if first(n) != name {
				continue
			}
			if n.Name != name {
				words = append(words, n.Name)
			}
			for _, f := range flagsOf(n) {
				words = append(words, "--"+f.Name)
			}
			for _, p := range n.Positional {
				for e := range p.EnumMap() {
					words = append(words, e)
				}
			}
		}
		fmt.Fprintf(&b, "\t%s) COMPREPLY=($(compgen -W %q -- \"$cur\")) ;;\n", name, strings.Join(words, " "))
	}
	fmt.Fprintf(&b, "\t*) COMPREPLY=($(compgen -W %q -- \"$cur\")) ;;\n\tesac\n}\ncomplete -o default -F _atlhyper atlhyper\n", strings.Join(names, " "))
	_, err := fmt.Fprint(env.stdout, b.String())
	return err
}

// first is the top-level command above a leaf.
func first(n *kong.Node) string {
	for n.Parent != nil && n.Parent.Type == kong.CommandNode {
		n = n.Parent
	}
	return n.Name
}

func flagsOf(n *kong.Node) []*kong.Flag {
	var out []*kong.Flag
	for _, group := range n.AllFlags(true) {
		out = append(out, group...)
	}
	return out
}
