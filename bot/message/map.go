package message

// Map gives the message with f applied to each plain text that a person reads. What came from elsewhere as it is (code, files) and
// what a model wrote stay as they are, and so does Gist, which nobody reads.
func (m Message) Map(f func(string) string) Message {
	all := func(list []string) []string {
		if list == nil {
			return nil
		}
		out := make([]string, len(list))
		for i, s := range list {
			out[i] = f(s)
		}
		return out
	}
	labels := func(buttons []Button) []Button {
		var out []Button
		for _, x := range buttons {
			x.Label = f(x.Label)
			out = append(out, x)
		}
		return out
	}
	m.Title, m.Context, m.Footer = f(m.Title), f(m.Context), f(m.Footer)
	blocks := m.Blocks
	m.Blocks = nil
	for _, b := range blocks {
		switch b := b.(type) {
		case Paragraph:
			m.Blocks = append(m.Blocks, Paragraph{Heading: f(b.Heading), Text: f(b.Text)})
		case Facts:
			out := Facts{Heading: f(b.Heading)}
			for _, x := range b.Facts {
				out.Facts = append(out.Facts, Fact{Label: f(x.Label), Value: f(x.Value)})
			}
			m.Blocks = append(m.Blocks, out)
		case Table:
			out := Table{Heading: f(b.Heading), Columns: all(b.Columns), More: b.More}
			for _, r := range b.Rows {
				out.Rows = append(out.Rows, all(r))
			}
			m.Blocks = append(m.Blocks, out)
		case List:
			m.Blocks = append(m.Blocks, List{Heading: f(b.Heading), Items: all(b.Items), More: b.More})
		case Code:
			b.Heading = f(b.Heading)
			m.Blocks = append(m.Blocks, b)
		case Image:
			b.Name, b.Alt = f(b.Name), f(b.Alt)
			m.Blocks = append(m.Blocks, b)
		case Actions:
			m.Blocks = append(m.Blocks, Actions{Buttons: labels(b.Buttons)})
		case Select:
			m.Blocks = append(m.Blocks, Select{Placeholder: f(b.Placeholder), Options: labels(b.Options)})
		default: // Markdown, File
			m.Blocks = append(m.Blocks, b)
		}
	}
	return m
}
