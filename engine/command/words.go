package command

import (
	"strings"
	"unicode"
)

// maxText is the longest command text that is read, in bytes.
const maxText = 2000

// words splits command text at spaces. Single and double quotes group; nothing is ever expanded, and whatever a shell
// would treat as more than text is refused, inside quotes too: a person who pastes it expects a shell, and there is none.
func words(text string) ([]string, error) {
	if len(text) > maxText {
		return nil, denied("The command is longer than %d bytes.", maxText)("Send one short command.")
	}
	var out []string
	var word strings.Builder
	open, quote := false, rune(0)
	for _, r := range text {
		switch {
		case r == '–' || r == '—':
			return nil, denied("The command holds a long dash (%c), which keyboards make of two hyphens.", r)("Type -- instead.")
		case r == '“' || r == '”' || r == '‘' || r == '’':
			return nil, denied("The command holds a curly quote (%c).", r)("Type a straight one.")
		case r == '\n' || r == '\r':
			return nil, denied("The text holds more than one line.")("Send one command at a time.")
		case strings.ContainsRune("|&;<>", r):
			return nil, denied("The text holds %q: pipes, redirections and several commands are not run here, there is no shell.", r)("Send one kubectl command; to filter logs, ask for logs with a word to look for.")
		case strings.ContainsRune("$`\\(){}*?[]!#~^", r):
			return nil, denied("The text holds %q: substitutions, patterns and escapes are not run here, there is no shell.", r)("Write the plain value.")
		case r > unicode.MaxASCII || unicode.IsControl(r) && r != '\t':
			return nil, denied("The text holds %q, which no Kubernetes name has.", r)("Type it again, or copy the name from a list.")
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, open = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if open {
				out = append(out, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if quote != 0 {
		return nil, denied("A quote (%c) is not closed.", quote)("Close it.")
	}
	if open {
		out = append(out, word.String())
	}
	return out, nil
}
