package slackfake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The limits of Slack's Block Kit reference, in characters.
const (
	maxBlocks          = 50
	maxViewBlocks      = 100
	maxText            = 40_000
	maxHeader          = 150
	maxSection         = 3000
	maxFields          = 10
	maxField           = 2000
	maxContextElements = 10
	maxActions         = 25
	maxOptions         = 100
	maxOptionText      = 75
	maxOptionValue     = 150
	maxPlaceholder     = 150
	maxID              = 255
	maxButtonText      = 75
	maxButtonValue     = 2000
	maxButtonURL       = 3000
	maxViewTitle       = 24
	maxPrivateMetadata = 3000
	maxMarkdown        = 12_000
	maxView            = 250_000
	maxShortcuts       = 10 // of an app
	maxShortcutName    = 24
	maxShortcutWords   = 150 // of its description
	// maxAllBlocks is where msg_blocks_too_long was seen to begin. Slack does not say how it counts; this counts the
	// blocks' JSON, which is more than any way of counting their text.
	maxAllBlocks = 13_200
)

// refusal is an error in Slack's form: a code, and what is wrong.
type refusal struct{ code, detail string }

// checkBlocks says what Slack would refuse in the blocks of a message, or of a view.
func checkBlocks(blocks []any, view bool) *refusal {
	bad := func(format string, args ...any) *refusal {
		return &refusal{"invalid_blocks", fmt.Sprintf(format, args...)}
	}
	limit := maxBlocks
	if view {
		limit = maxViewBlocks
	}
	if len(blocks) > limit {
		return bad("no more than %d items allowed [json-pointer:/blocks]", limit)
	}
	blockIDs, actionIDs := map[string]bool{}, map[string]bool{}
	for i, b := range blocks {
		block, ok := b.(map[string]any)
		if !ok {
			return bad("block %d is not an object", i)
		}
		if id := str(block, "block_id"); id != "" {
			if blockIDs[id] {
				return bad("block_id %q already exists", id)
			}
			if runes(id) > maxID {
				return bad("block_id must be at most %d characters", maxID)
			}
			blockIDs[id] = true
		}
		if problem := checkBlock(block, view, actionIDs); problem != "" {
			return bad("%s [json-pointer:/blocks/%d]", problem, i)
		}
	}
	if !view {
		if n := encoded(blocks); n > maxAllBlocks {
			return &refusal{"msg_blocks_too_long", fmt.Sprintf("%d characters of blocks", n)}
		}
	}
	return nil
}

func checkBlock(block map[string]any, view bool, actionIDs map[string]bool) string {
	switch kind := str(block, "type"); kind {
	case "divider":
		return ""
	case "header":
		return checkText(block["text"], maxHeader, "plain_text")
	case "section":
		_, hasText := block["text"]
		fields := array(block, "fields")
		if !hasText && len(fields) == 0 {
			return "section needs text or fields"
		}
		if hasText {
			if p := checkText(block["text"], maxSection, "plain_text", "mrkdwn"); p != "" {
				return p
			}
		}
		if len(fields) > maxFields {
			return fmt.Sprintf("no more than %d fields allowed", maxFields)
		}
		for _, f := range fields {
			if p := checkText(f, maxField, "plain_text", "mrkdwn"); p != "" {
				return "field: " + p
			}
		}
		return ""
	case "context":
		elements := array(block, "elements")
		if len(elements) == 0 || len(elements) > maxContextElements {
			return fmt.Sprintf("context takes 1 to %d elements", maxContextElements)
		}
		for _, e := range elements {
			if p := checkText(e, maxSection, "plain_text", "mrkdwn"); p != "" {
				return "context: " + p
			}
		}
		return ""
	case "actions":
		elements := array(block, "elements")
		if len(elements) == 0 || len(elements) > maxActions {
			return fmt.Sprintf("actions takes 1 to %d elements", maxActions)
		}
		for _, e := range elements {
			check := checkButton
			if str(object(e), "type") == "static_select" {
				check = checkSelect
			}
			if p := check(object(e), actionIDs); p != "" {
				return p
			}
		}
		return ""
	case "rich_text":
		return checkRichText(block)
	case "markdown":
		if n := runes(str(block, "text")); n == 0 || n > maxMarkdown {
			return fmt.Sprintf("markdown takes 1 to %d characters", maxMarkdown)
		}
		return ""
	case "input":
		if !view {
			return "input is for views alone"
		}
		if p := checkText(block["label"], maxField, "plain_text"); p != "" {
			return "label: " + p
		}
		if hint, ok := block["hint"]; ok {
			if p := checkText(hint, maxField, "plain_text"); p != "" {
				return "hint: " + p
			}
		}
		return checkInput(object(block["element"]), actionIDs)
	default:
		return fmt.Sprintf("unsupported type: %s", kind)
	}
}

func checkButton(b map[string]any, actionIDs map[string]bool) string {
	if str(b, "type") != "button" {
		return "unsupported element: " + str(b, "type")
	}
	if p := checkText(b["text"], maxButtonText, "plain_text"); p != "" {
		return "button: " + p
	}
	if url, ok := b["url"]; ok && (runes(str(b, "url")) > maxButtonURL || !strings.HasPrefix(str(b, "url"), "http")) {
		return fmt.Sprintf("url must be an address of at most %d characters, is %v", maxButtonURL, url)
	}
	if runes(str(b, "value")) > maxButtonValue {
		return fmt.Sprintf("button value must be at most %d characters", maxButtonValue)
	}
	if p := checkActionID(b, actionIDs); p != "" {
		return p
	}
	if style := str(b, "style"); style != "" && style != "primary" && style != "danger" {
		return "button style must be primary or danger"
	}
	return ""
}

// checkSelect says what is wrong with a menu of options.
func checkSelect(e map[string]any, actionIDs map[string]bool) string {
	if p := checkActionID(e, actionIDs); p != "" {
		return p
	}
	if placeholder, ok := e["placeholder"]; ok {
		if p := checkText(placeholder, maxPlaceholder, "plain_text"); p != "" {
			return "placeholder: " + p
		}
	}
	options := array(e, "options")
	if len(options) == 0 || len(options) > maxOptions {
		return fmt.Sprintf("a menu takes 1 to %d options", maxOptions)
	}
	for _, o := range options {
		if p := checkText(object(o)["text"], maxOptionText, "plain_text"); p != "" {
			return "option: " + p
		}
		if n := runes(str(object(o), "value")); n == 0 || n > maxOptionValue {
			return fmt.Sprintf("option value must be 1 to %d characters", maxOptionValue)
		}
	}
	if first, ok := e["initial_option"]; ok && !slices.ContainsFunc(options, func(o any) bool {
		return encoded(o) == encoded(first) && str(object(o), "value") == str(object(first), "value")
	}) {
		return "initial_option is none of the options"
	}
	return ""
}

// checkInput says what is wrong with the element of an input block.
func checkInput(e map[string]any, actionIDs map[string]bool) string {
	switch str(e, "type") {
	case "static_select":
		return checkSelect(e, actionIDs)
	case "plain_text_input":
		if n, _ := e["max_length"].(float64); n < 0 || n > maxSection {
			return fmt.Sprintf("max_length must be at most %d", maxSection)
		}
		if runes(str(e, "initial_value")) > maxSection {
			return fmt.Sprintf("initial_value must be at most %d characters", maxSection)
		}
		return checkActionID(e, actionIDs)
	}
	return "unsupported input: " + str(e, "type")
}

func checkActionID(e map[string]any, actionIDs map[string]bool) string {
	id := str(e, "action_id")
	switch {
	case runes(id) > maxID:
		return fmt.Sprintf("action_id must be at most %d characters", maxID)
	case id != "" && actionIDs[id]:
		return fmt.Sprintf("action_id %q already exists", id)
	}
	actionIDs[id] = true
	return ""
}

// checkRichText holds rich text to a section's length, which Slack does not promise to exceed.
func checkRichText(block map[string]any) string {
	elements := array(block, "elements")
	if len(elements) == 0 {
		return "rich_text needs elements"
	}
	total := 0
	var empty bool
	walk(elements, func(o map[string]any) {
		if kind := str(o, "type"); kind == "text" {
			n := runes(str(o, "text"))
			total += n
			empty = empty || n == 0
		}
	})
	if empty {
		return "rich text must be more than 0 characters"
	}
	if total > maxSection+maxHeader+maxButtonText { // with its heading and its "+N more"
		return fmt.Sprintf("rich_text holds %d characters", total)
	}
	for _, e := range elements {
		kinds := []string{"rich_text_section", "rich_text_preformatted", "rich_text_list", "rich_text_quote"}
		if !slices.Contains(kinds, str(object(e), "type")) || len(array(object(e), "elements")) == 0 {
			return "rich_text has an invalid element"
		}
	}
	return ""
}

func checkText(v any, limit int, kinds ...string) string {
	o, ok := v.(map[string]any)
	if !ok {
		return "missing text"
	}
	if !slices.Contains(kinds, str(o, "type")) {
		return fmt.Sprintf("text must be one of %v", kinds)
	}
	if n := runes(str(o, "text")); n == 0 || n > limit {
		return fmt.Sprintf("text must be 1 to %d characters, has %d", limit, n)
	}
	return ""
}

// checkView says what views.open would refuse of a modal, and views.publish of a home.
func checkView(view map[string]any, kind string) *refusal {
	bad := func(format string, args ...any) *refusal {
		return &refusal{"invalid_arguments", fmt.Sprintf(format, args...)}
	}
	if str(view, "type") != kind {
		return bad("view must be of the type %s", kind)
	}
	if n := encoded(view); n > maxView {
		return &refusal{"view_too_large", fmt.Sprintf("%d characters", n)}
	}
	for _, part := range []string{"title", "submit", "close"} {
		_, has := view[part]
		if has && kind == "home" {
			return bad("%s: a home has none", part)
		}
		if !has && (part != "title" || kind == "home") {
			continue
		}
		if p := checkText(view[part], maxViewTitle, "plain_text"); p != "" {
			return bad("%s: %s", part, p)
		}
	}
	if runes(str(view, "private_metadata")) > maxPrivateMetadata {
		return bad("private_metadata must be at most %d characters", maxPrivateMetadata)
	}
	if runes(str(view, "callback_id")) > maxID {
		return bad("callback_id must be at most %d characters", maxID)
	}
	return checkBlocks(array(view, "blocks"), true)
}

func runes(s string) int { return utf8.RuneCountInString(s) }

func encoded(v any) int {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return maxView + 1
	}
	return utf8.RuneCount(buf.Bytes())
}
