package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/bukahou/atlhyper/tools/phrase"
)

// langOf is the language of whoever sits at this terminal: what --lang or ATLHYPER_LANG asks for, else the terminal's own.
// It is found before the flags are read, because the help and what is wrong with the flags are told in it.
func langOf(args []string, getenv func(string) string) string {
	if asked := askedLang(args, getenv); slices.Contains(phrase.Langs, asked) {
		return asked
	}
	return phrase.Match(cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG")))
}

func askedLang(args []string, getenv func(string) string) string {
	for i, a := range args {
		switch value, ok := strings.CutPrefix(a, "--lang="); {
		case a == "--":
			return getenv("ATLHYPER_LANG")
		case ok:
			return value
		case a == "--lang" && i+1 < len(args):
			return args[i+1]
		}
	}
	return getenv("ATLHYPER_LANG")
}

// say prints a line of the result in the language of the terminal; the format is the English key of its translations.
func (e *environment) say(format string, args ...any) error {
	_, err := fmt.Fprintln(e.stdout, phrase.Line(e.lang, fmt.Sprintf(format, args...)))
	return err
}

// note prints a line beside the result. A note that cannot be written is not missed.
func (e *environment) note(format string, args ...any) {
	fmt.Fprintln(e.stderr, phrase.Line(e.lang, fmt.Sprintf(format, args...)))
}

// widthOf is how many columns a screen has; 0 when w is none.
func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}
