package discordfake

import (
	"fmt"
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
}

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
		if r.Type != 1 || len(r.Components) == 0 || len(r.Components) > maxButtons {
			return invalid("components: a row takes 1 to %d buttons", maxButtons)
		}
		for _, b := range r.Components {
			switch {
			case b.Type != 2 || b.Style < 1 || b.Style > 4:
				return invalid("components: not a button")
			case b.Label == "" || runes(b.Label) > maxLabel:
				return invalid("components: label: must be between 1 and %d in length", maxLabel)
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
	Component   struct {
		Type      int    `json:"type"`
		CustomID  string `json:"custom_id"`
		Style     int    `json:"style"`
		MaxLength int    `json:"max_length"`
	} `json:"component"`
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
	for _, l := range f.Components {
		switch {
		case l.Type != 18 || l.Component.Type != 4:
			return invalid("components: must be labels with text inputs")
		case l.Label == "" || runes(l.Label) > maxPromptLabel:
			return invalid("label: must be between 1 and %d in length", maxPromptLabel)
		case runes(l.Description) > maxPromptHint:
			return invalid("description: must be %d or fewer in length", maxPromptHint)
		case l.Component.CustomID == "" || l.Component.Style < 1 || l.Component.Style > 2 || l.Component.MaxLength > 4000:
			return invalid("component: not a text input")
		}
	}
	return nil
}

func runes(s string) int { return utf8.RuneCountInString(s) }
