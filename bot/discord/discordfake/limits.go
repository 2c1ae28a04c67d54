package discordfake

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Discord's limits, in characters.
const (
	maxContent     = 2000
	maxEmbeds      = 10
	maxEmbedSum    = 6000
	maxTitle       = 256
	maxDescription = 4096
	maxFields      = 25
	maxFieldName   = 256
	maxFieldValue  = 1024
	maxFooter      = 2048
	maxAuthor      = 256
	maxCustomID    = 100
	maxRows        = 5
	maxButtons     = 5
	maxLabel       = 80
	maxPromptTitle = 45
	maxPromptLabel = 45
	maxPromptHint  = 100
	maxThreadName  = 100
	maxNonce       = 25
	maxDirections  = 100 // a command's description
	maxCommandName = 32
	maxOnMessages  = 5 // commands in the menus of messages
	maxOptions     = 25
	maxOption      = 100 // its label, and its value
	maxPlaceholder = 150
	maxInput       = 4000
	maxURL         = 512 // of a button
	styleLink      = 5
)

// refusal is an error in Discord's form.
type refusal struct {
	status     int
	code       int
	detail     string
	retryAfter float64
}

func invalid(format string, args ...any) *refusal {
	return &refusal{status: 400, code: 50035, detail: "Invalid Form Body: " + fmt.Sprintf(format, args...)}
}

// payload is what a message consists of.
type payload struct {
	Content    string           `json:"content"`
	Embeds     []Embed          `json:"embeds"`
	Components []row            `json:"components"`
	Flags      int              `json:"flags"`
	Nonce      string           `json:"nonce"`
	Enforce    bool             `json:"enforce_nonce"`
	Mentions   *allowedMentions `json:"allowed_mentions"`
	Reference  *struct {
		MessageID string `json:"message_id"`
	} `json:"message_reference"`
}

type allowedMentions struct {
	Parse []string `json:"parse"`
}

// Embed is a message's embed.
type Embed struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Footer      *struct {
		Text string `json:"text"`
	} `json:"footer"`
	Author *struct {
		Name string `json:"name"`
	} `json:"author"`
	Fields []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"fields"`
	Image *struct {
		URL string `json:"url"`
	} `json:"image"`
}

type row struct {
	Type       int      `json:"type"`
	Components []button `json:"components"`
}

type button struct {
	Type     int    `json:"type"`
	Style    int    `json:"style"`
	Label    string `json:"label"`
	CustomID string `json:"custom_id"`
	URL      string `json:"url"` // of one that opens an address

	// Of a menu.
	Placeholder string   `json:"placeholder"`
	Options     []Option `json:"options"`
}

// Option is one of a menu's.
type Option struct {
	Label    string `json:"label"`
	Value    string `json:"value"`
	CustomID string `json:"-"` // of its menu
	Default  bool   `json:"default"`
}

// The types of components.
const (
	typeRow    = 1
	typeButton = 2
	typeMenu   = 3
	typeInput  = 4
	typeLabel  = 18
)

// check says what Discord would refuse in a message.
func check(p payload, files int) *refusal {
	if n := runes(p.Content); n > maxContent {
		return invalid("content: %d characters, must be %d or fewer", n, maxContent)
	}
	if len(p.Embeds) > maxEmbeds {
		return invalid("embeds: must be %d or fewer", maxEmbeds)
	}
	sum := 0
	part := func(name, s string, limit int) *refusal {
		sum += runes(s)
		if runes(s) > limit {
			return invalid("embeds: %s: must be %d or fewer in length", name, limit)
		}
		return nil
	}
	for _, e := range p.Embeds {
		parts := []*refusal{part("title", e.Title, maxTitle), part("description", e.Description, maxDescription)}
		if e.Footer != nil {
			parts = append(parts, part("footer", e.Footer.Text, maxFooter))
		}
		if e.Author != nil {
			parts = append(parts, part("author", e.Author.Name, maxAuthor))
		}
		if len(e.Fields) > maxFields {
			return invalid("embeds: fields: must be %d or fewer", maxFields)
		}
		for _, f := range e.Fields {
			if f.Name == "" || f.Value == "" {
				return invalid("embeds: fields: name and value are required")
			}
			parts = append(parts, part("field name", f.Name, maxFieldName), part("field value", f.Value, maxFieldValue))
		}
		for _, refused := range parts {
			if refused != nil {
				return refused
			}
		}
	}
	if sum > maxEmbedSum {
		return invalid("embeds: %d characters in all, must be %d or fewer", sum, maxEmbedSum)
	}
	if p.Content == "" && len(p.Embeds) == 0 && files == 0 {
		return &refusal{status: 400, code: 50006, detail: "Cannot send an empty message"}
	}
	return checkRows(p.Components)
}

func checkRows(rows []row) *refusal {
	if len(rows) > maxRows {
		return invalid("components: must be %d or fewer", maxRows)
	}
	ids := map[string]bool{}
	for _, r := range rows {
		if r.Type != typeRow || len(r.Components) == 0 || len(r.Components) > maxButtons {
			return invalid("components: a row takes 1 to %d buttons", maxButtons)
		}
		for _, b := range r.Components {
			if b.Type == typeMenu {
				switch {
				case len(r.Components) > 1:
					return invalid("components: a menu has a row of its own")
				case b.CustomID == "" || runes(b.CustomID) > maxCustomID || ids[b.CustomID]:
					return invalid("components: custom_id: must be one, and between 1 and %d in length", maxCustomID)
				case runes(b.Placeholder) > maxPlaceholder:
					return invalid("components: placeholder: must be %d or fewer in length", maxPlaceholder)
				}
				ids[b.CustomID] = true
				if refused := checkOptions(b.Options); refused != nil {
					return refused
				}
				continue
			}
			switch {
			case b.Type != typeButton || b.Style < 1 || b.Style > styleLink:
				return invalid("components: not a button")
			case b.Label == "" || runes(b.Label) > maxLabel:
				return invalid("components: label: must be between 1 and %d in length", maxLabel)
			case (b.Style == styleLink) != (b.URL != ""):
				return invalid("components: url: a link button has one, and no other has")
			case b.Style == styleLink && (b.CustomID != "" || runes(b.URL) > maxURL || !strings.HasPrefix(b.URL, "http")):
				return invalid("components: a link button has an address of at most %d characters, and no custom_id", maxURL)
			case b.Style == styleLink:
				continue
			case b.CustomID == "" || runes(b.CustomID) > maxCustomID:
				return invalid("components: custom_id: must be between 1 and %d in length", maxCustomID)
			case ids[b.CustomID]:
				return invalid("components: custom_id: cannot be duplicated")
			}
			ids[b.CustomID] = true
		}
	}
	return nil
}

// Choice is a suggestion for an option.
type Choice struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func checkChoices(choices []Choice) *refusal {
	if len(choices) > maxOptions {
		return invalid("choices: must be %d or fewer", maxOptions)
	}
	for _, c := range choices {
		if c.Name == "" || runes(c.Name) > maxOption {
			return invalid("choices: name: must be between 1 and %d in length", maxOption)
		}
		if c.Value == "" || runes(c.Value) > maxOption {
			return invalid("choices: value: must be between 1 and %d in length", maxOption)
		}
	}
	return nil
}

// commandOption is one that a command takes.
type commandOption struct {
	Type         int               `json:"type"`
	Name         string            `json:"name"`
	Description  string            `json:"description"`
	Local        map[string]string `json:"description_localizations"`
	Autocomplete bool              `json:"autocomplete"`
	Choices      []Choice          `json:"choices"`
}

// checkDirections checks what is told of a command or an option, in every language.
func checkDirections(text string, local map[string]string) *refusal {
	for _, t := range append(slices.Collect(maps.Values(local)), text) {
		if t == "" || runes(t) > maxDirections {
			return invalid("description: must be between 1 and %d in length", maxDirections)
		}
	}
	return nil
}

// optionName is what an option may be called.
var optionName = regexp.MustCompile(`^[-_\p{Ll}\p{N}]{1,32}$`)

func checkCommandOptions(options []commandOption) *refusal {
	if len(options) > maxOptions {
		return invalid("options: must be %d or fewer", maxOptions)
	}
	names := map[string]bool{}
	for _, o := range options {
		switch {
		case !optionName.MatchString(o.Name):
			return invalid("options: name: %q", o.Name)
		case names[o.Name]:
			return invalid("options: name: %q is taken", o.Name)
		case o.Autocomplete && (o.Type != 3 && o.Type != 4 && o.Type != 10 || len(o.Choices) > 0):
			return invalid("options: autocomplete: not with this type, nor with choices")
		}
		names[o.Name] = true
		if refused := checkDirections(o.Description, o.Local); refused != nil {
			return refused
		}
		if refused := checkChoices(o.Choices); refused != nil {
			return refused
		}
	}
	return nil
}

// promptForm is a prompt as it is opened: labels with inputs in them.
type promptForm struct {
	Title      string  `json:"title"`
	CustomID   string  `json:"custom_id"`
	Components []label `json:"components"`
}

type label struct {
	Type        int    `json:"type"`
	Label       string `json:"label"`
	Description string `json:"description"`
	Component   input  `json:"component"`
}

type input struct {
	Type      int      `json:"type"`
	CustomID  string   `json:"custom_id"`
	Style     int      `json:"style"`
	MaxLength int      `json:"max_length"`
	Value     string   `json:"value"`
	Required  *bool    `json:"required"` // true when left out
	Options   []Option `json:"options"`
}

func checkOptions(options []Option) *refusal {
	if len(options) == 0 || len(options) > maxOptions {
		return invalid("options: must be between 1 and %d", maxOptions)
	}
	values, defaults := map[string]bool{}, 0
	for _, o := range options {
		switch {
		case o.Label == "" || runes(o.Label) > maxOption:
			return invalid("options: label: must be between 1 and %d in length", maxOption)
		case o.Value == "" || runes(o.Value) > maxOption:
			return invalid("options: value: must be between 1 and %d in length", maxOption)
		case values[o.Value]:
			return invalid("options: value: cannot be duplicated")
		}
		values[o.Value] = true
		if o.Default {
			defaults++
		}
	}
	if defaults > 1 {
		return invalid("options: only one can be the default")
	}
	return nil
}

func checkPrompt(f promptForm) *refusal {
	switch {
	case f.Title == "" || runes(f.Title) > maxPromptTitle:
		return invalid("title: must be between 1 and %d in length", maxPromptTitle)
	case f.CustomID == "" || runes(f.CustomID) > maxCustomID:
		return invalid("custom_id: must be between 1 and %d in length", maxCustomID)
	case len(f.Components) == 0 || len(f.Components) > 5:
		return invalid("components: must be between 1 and 5")
	}
	ids := map[string]bool{}
	for _, l := range f.Components {
		if ids[l.Component.CustomID] {
			return invalid("component: custom_id: cannot be duplicated")
		}
		ids[l.Component.CustomID] = true
		switch {
		case l.Type != typeLabel || l.Component.Type != typeInput && l.Component.Type != typeMenu:
			return invalid("components: must be labels with inputs or menus")
		case l.Label == "" || runes(l.Label) > maxPromptLabel:
			return invalid("label: must be between 1 and %d in length", maxPromptLabel)
		case runes(l.Description) > maxPromptHint:
			return invalid("description: must be %d or fewer in length", maxPromptHint)
		case l.Component.CustomID == "" || runes(l.Component.CustomID) > maxCustomID:
			return invalid("component: custom_id: must be between 1 and %d in length", maxCustomID)
		case l.Component.Type == typeInput && (l.Component.Style < 1 || l.Component.Style > 2 || l.Component.MaxLength > maxInput || runes(l.Component.Value) > maxInput):
			return invalid("component: not a text input")
		}
		if l.Component.Type == typeMenu {
			if refused := checkOptions(l.Component.Options); refused != nil {
				return refused
			}
		}
	}
	return nil
}

func runes(s string) int { return utf8.RuneCountInString(s) }
