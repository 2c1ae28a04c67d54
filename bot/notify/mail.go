package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/bukahou/atlhyper/bot"
	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// client makes the SMTP client. Each mail has a connection of its own: there are few, and none is found dead.
func (s *MailServer) client() (*mail.Client, error) {
	options := []mail.Option{
		mail.WithPort(s.Port), mail.WithTimeout(20 * time.Second), mail.WithTLSConfig(&tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12}),
	}
	switch s.TLS {
	case "implicit":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.Username), mail.WithPassword(s.Password))
	}
	return mail.NewClient(s.Host, options...)
}

// check connects and logs in, and sends nothing.
func (s *MailServer) check(ctx context.Context) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	conn, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	return c.CloseWithSMTPClient(conn)
}

// send hands a mail in. Its Message-ID is made of its key, so that one which comes again after a lost answer is known
// as the same.
func (s *MailServer) send(ctx context.Context, d delivery) error {
	m, err := s.compose(d)
	if err != nil {
		return &bot.DeliveryError{Err: err, Permanent: true}
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	conn, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fmt.Errorf("connect to the mail server: %w", err)
	}
	err = c.SendWithSMTPClient(conn, m)
	// Once the server has taken the mail, a connection that does not end well must not have it sent again.
	closing := c.CloseWithSMTPClient(conn)
	var failed *mail.SendError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed) && failed.ErrorCode()/100 == 5 && failed.Reason == mail.ErrSMTPRcptTo:
		return &bot.DeliveryError{Err: fmt.Errorf("the mail server refuses %s: %w", d.address, err), Permanent: true}
	}
	return errors.Join(err, closing)
}

func messageID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:16]) + "@atlhyper"
}

// compose makes the mail: the same facts as text and as HTML.
func (s *MailServer) compose(d delivery) (*mail.Msg, error) {
	m := mail.NewMsg()
	if err := errors.Join(m.From(s.From), m.To(d.address)); err != nil {
		return nil, err
	}
	m.Subject(layout.Cut(clean(d.subject), 200))
	m.SetDate()
	m.SetMessageIDWithValue(messageID(d.key))
	if d.thread != "" {
		m.SetGenHeaderPreformatted(mail.HeaderReferences, "<"+messageID(d.thread)+">")
	}
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	page, err := html(d)
	if err != nil {
		return nil, err
	}
	m.SetBodyString(mail.TypeTextPlain, text(d))
	m.AddAlternativeString(mail.TypeTextHTML, page)
	return m, nil
}

// clean makes one line of what may come from a cluster, without what could disguise it.
func clean(s string) string { return layout.OneLine(tools.Mask(tools.Clean(s))) }

// lines is clean for text of several lines.
func lines(s string) string { return strings.TrimRight(tools.Mask(tools.Clean(s)), "\n ") }

// text is a message as plain text.
func text(d delivery) string {
	var b strings.Builder
	line := func(s string) {
		if s != "" {
			b.WriteString(s + "\n")
		}
	}
	m := d.message
	line(strings.TrimSpace(m.Tone.Mark() + " " + clean(m.Title)))
	line(clean(m.Context))
	for _, block := range m.Blocks {
		part := blockText(block, m.Lang)
		if part == "" {
			continue
		}
		b.WriteString("\n" + part + "\n")
	}
	for _, s := range []string{clean(m.Footer), d.page} {
		if s != "" {
			b.WriteString("\n" + s + "\n")
		}
	}
	return b.String()
}

// room is how much of one block a mail shows.
const room = 20_000

func blockText(block msg.Block, lang string) string {
	headed := func(heading, body string) string { return strings.TrimSpace(clean(heading) + "\n" + body) }
	switch x := block.(type) {
	case msg.Paragraph:
		return headed(x.Heading, lines(x.Text))
	case msg.Markdown:
		return lines(x.Text)
	case msg.Facts:
		var all []string
		for _, f := range x.Facts {
			all = append(all, clean(f.Label)+": "+clean(f.Value))
		}
		return headed(x.Heading, strings.Join(all, "\n"))
	case msg.Table:
		rows, more := layout.Table(x, room)
		return headed(x.Heading, lines(rows)+plus(more, lang))
	case msg.Code:
		code, _ := layout.CutMiddle(x.Text, room)
		return headed(x.Heading, lines(code))
	case msg.File:
		return headed(x.Name, lines(x.Text))
	case msg.List:
		points, more := layout.List(x, room)
		return headed(x.Heading, lines(points)+plus(more, lang))
	case msg.Image:
		return clean(x.Alt)
	}
	return "" // buttons do nothing in a mail
}

func plus(more int, lang string) string {
	if more <= 0 {
		return ""
	}
	return "\n" + phrase.For(lang).Sprintf("+%d more", more)
}

//go:embed mail.html
var page string

// htmlBlock is a block as the template takes it: exactly one of its bodies is set.
type htmlBlock struct {
	Heading string
	Text    string
	Pre     string
	Items   []string
	Facts   []msg.Fact
	Columns []string
	Rows    [][]string
	More    int
}

var mailPage = template.Must(template.New("mail").Parse(page))

// colours stand beside the marks, never instead of them.
var colours = map[msg.Tone]string{
	msg.Alert: "#b58900", msg.Warning: "#c2560a", msg.Incident: "#c0392b", msg.Recovering: "#2471a3", msg.Resolved: "#1e8449", msg.Done: "#1e8449", msg.Failed: "#c0392b",
}

// html is a message as a page of its own. All text goes through the template, which escapes it.
func html(d delivery) (string, error) {
	m := d.message
	data := struct {
		Lang, Colour, Mark, Title, Context, Footer, Page, Open string
		Blocks                                                 []htmlBlock
	}{
		Lang: d.lang, Colour: colours[m.Tone], Mark: m.Tone.Mark(), Title: clean(m.Title), Context: clean(m.Context), Footer: clean(m.Footer), Page: d.page,
		Open: phrase.For(d.lang).Sprintf("Open the page"),
	}
	if data.Colour == "" {
		data.Colour = "#566573"
	}
	for _, block := range m.Blocks {
		switch x := block.(type) {
		case msg.Paragraph:
			data.Blocks = append(data.Blocks, htmlBlock{Heading: clean(x.Heading), Text: lines(x.Text)})
		case msg.Markdown:
			data.Blocks = append(data.Blocks, htmlBlock{Text: lines(x.Text)})
		case msg.Facts:
			b := htmlBlock{Heading: clean(x.Heading)}
			for _, f := range x.Facts {
				b.Facts = append(b.Facts, msg.Fact{Label: clean(f.Label), Value: clean(f.Value)})
			}
			data.Blocks = append(data.Blocks, b)
		case msg.Table:
			b := htmlBlock{Heading: clean(x.Heading), Columns: x.Columns, More: x.More}
			for _, row := range x.Rows {
				cells := make([]string, len(x.Columns))
				for i := range min(len(row), len(cells)) {
					cells[i] = clean(row[i])
				}
				b.Rows = append(b.Rows, cells)
			}
			data.Blocks = append(data.Blocks, b)
		case msg.Code:
			code, _ := layout.CutMiddle(x.Text, room)
			data.Blocks = append(data.Blocks, htmlBlock{Heading: clean(x.Heading), Pre: lines(code)})
		case msg.File:
			data.Blocks = append(data.Blocks, htmlBlock{Heading: clean(x.Name), Pre: lines(x.Text)})
		case msg.List:
			b := htmlBlock{Heading: clean(x.Heading), More: x.More}
			for _, item := range x.Items {
				b.Items = append(b.Items, clean(item))
			}
			data.Blocks = append(data.Blocks, b)
		case msg.Image:
			data.Blocks = append(data.Blocks, htmlBlock{Text: clean(x.Alt)})
		}
	}
	var out bytes.Buffer
	if err := mailPage.Execute(&out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}
