package message

import (
	"encoding/json"
	"fmt"
)

// On the wire a block carries its type beside its fields.
type wireBlock struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

type wireMessage struct {
	Tone    Tone        `json:"tone,omitempty"`
	Title   string      `json:"title"`
	Context string      `json:"context,omitempty"`
	Blocks  []wireBlock `json:"blocks,omitempty"`
	Footer  string      `json:"footer,omitempty"`
	Private bool        `json:"private,omitempty"`
	Gist    string      `json:"gist,omitempty"`
	Mention []string    `json:"mention,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (m Message) MarshalJSON() ([]byte, error) {
	w := wireMessage{Tone: m.Tone, Title: m.Title, Context: m.Context, Footer: m.Footer, Private: m.Private, Gist: m.Gist, Mention: m.Mention}
	for _, b := range m.Blocks {
		data, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		name := ""
		switch b.(type) {
		case Paragraph:
			name = "paragraph"
		case Markdown:
			name = "markdown"
		case Facts:
			name = "facts"
		case Table:
			name = "table"
		case Code:
			name = "code"
		case List:
			name = "list"
		case Image:
			name = "image"
		case File:
			name = "file"
		case Actions:
			name = "actions"
		case Select:
			name = "select"
		default:
			return nil, fmt.Errorf("message: block %T has no wire form", b)
		}
		w.Blocks = append(w.Blocks, wireBlock{Type: name, Data: data})
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements json.Unmarshaler. A block of an unknown type is an error: a newer engine speaks to an older
// client, and half a card could mislead.
func (m *Message) UnmarshalJSON(raw []byte) error {
	var w wireMessage
	if err := json.Unmarshal(raw, &w); err != nil {
		return err
	}
	if w.Tone < Plain || w.Tone > Proposal {
		return fmt.Errorf("message: unknown tone %d", w.Tone)
	}
	out := Message{Tone: w.Tone, Title: w.Title, Context: w.Context, Footer: w.Footer, Private: w.Private, Gist: w.Gist, Mention: w.Mention}
	for _, b := range w.Blocks {
		block, err := decode(b)
		if err != nil {
			return err
		}
		out.Blocks = append(out.Blocks, block)
	}
	*m = out
	return nil
}

func decode(w wireBlock) (Block, error) {
	switch w.Type {
	case "paragraph":
		return as[Paragraph](w.Data)
	case "markdown":
		return as[Markdown](w.Data)
	case "facts":
		return as[Facts](w.Data)
	case "table":
		return as[Table](w.Data)
	case "code":
		return as[Code](w.Data)
	case "list":
		return as[List](w.Data)
	case "image":
		return as[Image](w.Data)
	case "file":
		return as[File](w.Data)
	case "actions":
		return as[Actions](w.Data)
	case "select":
		return as[Select](w.Data)
	}
	return nil, fmt.Errorf("message: unknown block %q; is the client older than the engine?", w.Type)
}

func as[B Block](raw json.RawMessage) (Block, error) {
	var b B
	err := json.Unmarshal(raw, &b)
	return b, err
}
