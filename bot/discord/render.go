package discord

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/bwmarrin/discordgo"

	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Discord's limits, in characters.
const (
	maxContent     = 2000
	maxDescription = 4096
	maxFooter      = 2048
	// maxEmbeds bounds all embeds of a message together.
	maxEmbeds = 6000
	maxLabel  = 80
	maxRow    = 5
	maxRows   = 5
	// A list's options, and the characters of each and of what stands in the list at first.
	maxOptions     = 25
	maxOption      = 100
	maxPlaceholder = 150
)

// actionMark parts a button's action from its subject in the custom_id.
const actionMark = "|"

// selectAction is the action of a list: the option that was chosen holds the real one.
const selectAction = "select"

// rendered is a message in Discord's form: the title as ordinary text, because that is what a phone's notification
// shows, and the rest in one embed beneath it.
type rendered struct {
	Content    string                       `json:"content"`
	Embeds     []*discordgo.MessageEmbed    `json:"embeds"`
	Components []discordgo.MessageComponent `json:"components"`
	images     []message.Image
	documents  []message.File
	whole      []message.Code // what had to be cut: it goes along as files
}

// colours stand beside the marks, never instead of them.
var colours = map[message.Tone]int{
	message.Alert: 0xf1c40f, message.Warning: 0xe67e22, message.Incident: 0xe74c3c, message.Recovering: 0x3498db,
	message.Resolved: 0x2ecc71, message.Unknown: 0x95a5a6, message.Done: 0x2ecc71, message.Failed: 0xe74c3c,
	message.Proposal: 0x9b59b6,
}

// render turns a message into Discord's form. Plain strings are escaped, so that a pod called *x* or @everyone keeps
// its name; that it pings nobody is also said in allowed_mentions. What does not fit is cut, and says so.
func render(m message.Message) rendered {
	m = message.Legible(m)
	r := rendered{Embeds: []*discordgo.MessageEmbed{}, Components: []discordgo.MessageComponent{}}
	title := layout.OneLine(m.Title)
	if title != "" {
		title = "**" + cutEscaped(title, maxContent/2) + "**"
	}
	r.Content = strings.TrimSpace(m.Tone.Mark() + " " + title)
	if c := layout.OneLine(m.Context); c != "" {
		r.Content = strings.TrimSpace(r.Content + "\n-# " + cutEscaped(c, maxContent/3))
	}

	for _, id := range m.Mention {
		r.Content = "<@" + id + "> " + r.Content
	}

	footer := layout.Cut(m.Footer, maxFooter)
	body := &strings.Builder{}
	skipped := 0
	used := map[string]bool{}
	const note = 60
	for i, block := range m.Blocks {
		switch block := block.(type) {
		case message.Actions:
			r.buttons(block, used)
			continue
		case message.Select:
			r.lists(block, rowsIn(m.Blocks[i+1:]), m.Lang)
			continue
		case message.Image:
			r.images = append(r.images, block)
		case message.File:
			r.documents = append(r.documents, block)
		}
		room := min(maxDescription, maxEmbeds-layout.Runes(footer)) - layout.Runes(body.String()) - note
		part := lay(block, room, m.Lang)
		if part == "" {
			continue
		}
		if c, ok := block.(message.Code); ok && (layout.Runes(part) > room || !strings.Contains(part, fence(strings.TrimRight(c.Text, "\n")))) {
			r.whole = append(r.whole, c)
		}
		if layout.Runes(part) > room {
			skipped++
			continue
		}
		if body.Len() > 0 {
			body.WriteString("\n")
		}
		body.WriteString(part)
	}
	if skipped > 0 {
		body.WriteString("\n-# " + phrase.For(m.Lang).Sprintf("+%d more parts, too long for one message", skipped))
	}
	if body.Len() > 0 || footer != "" {
		embed := &discordgo.MessageEmbed{Description: body.String(), Color: colours[m.Tone]}
		if footer != "" {
			embed.Footer = &discordgo.MessageEmbedFooter{Text: footer}
		}
		if len(r.images) > 0 && len(r.images[0].PNG) > 0 {
			embed.Image = &discordgo.MessageEmbedImage{URL: "attachment://" + fileName(0)}
		}
		r.Embeds = append(r.Embeds, embed)
	}
	if r.Content == "" && len(r.Embeds) == 0 {
		r.Content = "(empty message)" // Discord refuses a message without anything
	}
	return r
}

// lay renders one block within room characters. It may come out longer when nothing useful fits.
func lay(block message.Block, room int, lang string) string {
	// Escaping and quoting lengthen a text: it is cut with that in mind, down to where cutting makes no sense.
	for n := min(room, maxDescription); n >= 100; n = n * 3 / 4 {
		if s := layIn(block, n, lang); layout.Runes(s) <= room {
			return s
		}
	}
	return strings.Repeat(" ", max(room, 0)+1)
}

func layIn(block message.Block, n int, lang string) string {
	p := phrase.For(lang)
	var out []string
	head := func(s string) {
		if s = layout.OneLine(s); s != "" {
			out = append(out, "**"+escape(layout.Cut(s, 150))+"**")
		}
	}
	more := func(n int) {
		if n > 0 {
			out = append(out, p.Sprintf("+%d more", n))
		}
	}
	add := func(s string) {
		if strings.TrimSpace(s) != "" {
			out = append(out, s)
		}
	}
	switch block := block.(type) {
	case message.Paragraph:
		head(block.Heading)
		add(escape(layout.Cut(block.Text, n)))
	case message.Markdown:
		add(markdown(layout.Cut(strings.TrimSpace(block.Text), n)))
	case message.Facts:
		head(block.Heading)
		shown, left := 0, n
		for _, f := range block.Facts {
			line := "**" + escape(layout.OneLine(f.Label)) + "** " + escape(layout.Cut(f.Value, n/2))
			if left -= layout.Runes(line) + 1; left < 0 {
				break
			}
			out = append(out, line)
			shown++
		}
		more(len(block.Facts) - shown)
	case message.Table:
		head(block.Heading)
		rows, rest := layout.Table(block, n)
		add(fence(rows))
		more(rest)
	case message.Code:
		code, cut := layout.CutMiddle(block.Text, n)
		if cut || block.Truncated {
			head(strings.TrimSpace(block.Heading + " " + p.Sprintf("(cut)")))
		} else {
			head(block.Heading)
		}
		add(fence(code))
	case message.List:
		head(block.Heading)
		points, rest := layout.List(block, n)
		add(strings.TrimRight(escape(points), "\n"))
		more(rest)
	case message.Image:
		add(escape(layout.Cut("📈 "+block.Alt, n)))
	case message.File:
		add(escape(layout.Cut("📄 "+layout.OneLine(block.Name), n)))
	}
	return strings.Join(out, "\n")
}

func (r *rendered) buttons(a message.Actions, used map[string]bool) {
	row := discordgo.ActionsRow{}
	for _, b := range a.Buttons {
		id := b.URL
		if id == "" {
			id = b.Action + actionMark + b.Subject
		}
		if used[id] || len(row.Components) == maxRow {
			continue // Discord refuses a message with the same id twice, and the first does the same
		}
		used[id] = true
		style := discordgo.SecondaryButton
		switch b.Style {
		case message.Primary:
			style = discordgo.PrimaryButton
		case message.Danger:
			style = discordgo.DangerButton
		}
		label := layout.Cut(layout.OneLine(b.Label), maxLabel)
		if label == "" {
			label = "…"
		}
		button := discordgo.Button{Label: label, Style: style, CustomID: id}
		if b.URL != "" {
			button = discordgo.Button{Label: label, Style: discordgo.LinkButton, URL: b.URL}
		}
		row.Components = append(row.Components, button)
	}
	if len(row.Components) > 0 && len(r.Components) < maxRows {
		r.Components = append(r.Components, row)
	}
}

// lists are menus of which one is chosen: as many as there is room for rows, since each holds few options.
// after is how many rows the buttons that follow need.
func (r *rendered) lists(s message.Select, after int, lang string) {
	fits := min(len(s.Options), max(0, maxRows-len(r.Components)-after)*maxOptions)
	for from := 0; from < fits; from += maxOptions {
		to := min(from+maxOptions, fits)
		part := message.Select{Placeholder: s.Placeholder, Options: s.Options}
		if fits > maxOptions {
			part.Placeholder = fmt.Sprintf("%d–%d · %s", from+1, to, s.Placeholder)
		}
		menu := discordgo.SelectMenu{
			MenuType: discordgo.StringSelectMenu, CustomID: selectAction + actionMark + strconv.Itoa(len(r.Components)),
			Placeholder: layout.Placeholder(part, fits, maxPlaceholder, func(n int) string { return phrase.For(lang).Sprintf("+%d more", n) }),
		}
		seen := map[string]bool{}
		for _, o := range s.Options[from:to] {
			value := o.Action + actionMark + o.Subject
			if seen[value] {
				continue // as with buttons
			}
			seen[value] = true
			menu.Options = append(menu.Options, discordgo.SelectMenuOption{Label: layout.Cut(firstOf(layout.OneLine(o.Label), "…"), maxOption), Value: value})
		}
		r.Components = append(r.Components, discordgo.ActionsRow{Components: []discordgo.MessageComponent{menu}})
	}
}

func rowsIn(blocks []message.Block) int {
	n := 0
	for _, b := range blocks {
		switch b.(type) {
		case message.Actions, message.Select:
			n++
		}
	}
	return n
}

// files are the message's pictures, its documents, and texts that had to be cut, made anew for each try, because a reader
// is read once.
func (r rendered) files() []*discordgo.File {
	var out []*discordgo.File
	for i, image := range r.images {
		if len(image.PNG) > 0 && len(out) < 10 {
			out = append(out, &discordgo.File{Name: fileName(i), ContentType: "image/png", Reader: bytes.NewReader(image.PNG)})
		}
	}
	for _, d := range r.documents {
		if d.Text != "" && len(out) < 10 {
			out = append(out, &discordgo.File{Name: layout.OneLine(d.Name), ContentType: "text/markdown; charset=utf-8", Reader: strings.NewReader(d.Text)})
		}
	}
	for i, code := range r.whole {
		if len(out) < 10 {
			out = append(out, &discordgo.File{Name: fmt.Sprintf("whole-%d.txt", i+1), ContentType: "text/plain; charset=utf-8", Reader: strings.NewReader(code.Text)})
		}
	}
	return out
}

// attachments names the files of an edit, which then replace those that the message had.
func (r rendered) attachments() *[]*discordgo.MessageAttachment {
	out := []*discordgo.MessageAttachment{}
	for i, f := range r.files() {
		out = append(out, &discordgo.MessageAttachment{ID: strconv.Itoa(i), Filename: f.Name})
	}
	return &out
}

func fileName(i int) string { return fmt.Sprintf("chart-%d.png", i+1) }

// mentioning lets a message mention these people alone.
func mentioning(ids []string) *discordgo.MessageAllowedMentions {
	return &discordgo.MessageAllowedMentions{Parse: []discordgo.AllowedMentionType{}, Users: ids}
}

// nobody lets a message mention nobody.
func nobody() *discordgo.MessageAllowedMentions {
	return &discordgo.MessageAllowedMentions{Parse: []discordgo.AllowedMentionType{}}
}

// marks are the characters that mean something in Discord's markup, wherever they stand.
var marks = strings.NewReplacer(
	`\`, `\\`, "*", `\*`, "_", `\_`, "~", `\~`, "`", "\\`", "|", `\|`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`,
	"@", "\\@", ":", `\:`,
)

// lineMarks mean something at the start of a line: headings, small print, points, numbers.
var lineMarks = regexp.MustCompile(`(?m)^(\s*)(#|-|\+|\d+\.)`)

// escape makes a plain string show as it is.
func escape(s string) string {
	return lineMarks.ReplaceAllString(marks.Replace(s), `$1\$2`)
}

// cutEscaped escapes a string so that the result has at most n characters.
func cutEscaped(s string, n int) string {
	for keep := n; ; keep = keep * 3 / 4 {
		if e := escape(layout.Cut(s, keep)); layout.Runes(e) <= n || keep < 4 {
			return e
		}
	}
}

// fence puts text into a code block. A fence within it is broken by an invisible character, for there is no escape.
func fence(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return "```\n" + strings.ReplaceAll(s, "```", "`\u200b`\u200b`") + "\n```"
}

var (
	links    = regexp.MustCompile(`(!?)\[([^\]\n]*)\]\(<?([^)\s>]*)>?(?:\s+"[^"\n]*")?\)`)
	tableRow = regexp.MustCompile(`^\s*\|.*\|\s*$`)
)

// markdown keeps what a model wrote, which Discord reads as well, but for what could mislead: links show their
// address beside their words, pictures leave their description, references to people and channels become text. Tables,
// which Discord does not know, become code.
func markdown(s string) string {
	var out []string
	fenced := false
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		if strings.HasPrefix(strings.TrimLeft(l, " "), "```") {
			fenced = !fenced
			out = append(out, l)
			continue
		}
		if fenced {
			out = append(out, l)
			continue
		}
		if tableRow.MatchString(l) {
			var rows []string
			for ; i < len(lines) && tableRow.MatchString(lines[i]); i++ {
				rows = append(rows, lines[i])
			}
			i--
			out = append(out, fence(strings.Join(rows, "\n")))
			continue
		}
		l = links.ReplaceAllStringFunc(l, func(m string) string {
			p := links.FindStringSubmatch(m)
			switch {
			case p[1] == "!":
				return p[2]
			case p[2] == "" || p[2] == p[3]:
				return p[3]
			}
			return p[2] + " (" + p[3] + ")"
		})
		l = strings.NewReplacer("<@", `\<\@`, "<#", `\<#`, "<:", `\<:`, "<a:", `\<a:`, "<t:", `\<t:`, "</", `\</`, "@everyone", `\@everyone`, "@here", `\@here`).Replace(l)
		out = append(out, l)
	}
	if fenced {
		out = append(out, "```") // an open fence would swallow what follows
	}
	return strings.Join(out, "\n")
}
