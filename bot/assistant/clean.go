package assistant

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean drops what can disguise text: control characters but line ends and tabs, and characters without a shape, such as
// those that turn the direction of writing and the invisible tags in which instructions can be hidden. The two joiners
// stay, because scripts and emoji need them.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u200c', r == '\u200d':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
}

// markdownLink matches a link or an image. Text from a cluster must not bring addresses that a person would click.
var markdownLink = regexp.MustCompile(`!?\[([^\]\n]*)\]\([^)\n]*\)`)

// untrusted cleans text that a cluster gave.
func untrusted(s string) string { return markdownLink.ReplaceAllString(clean(s), "$1") }

// clip shortens s to about n bytes: its head and its tail with a mark between. It reports whether it did.
func clip(s string, n int) (string, bool) {
	if len(s) <= n {
		return s, false
	}
	head, tail := n-n/3, len(s)-n/3
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	return s[:head] + " […] " + s[tail:], true
}
