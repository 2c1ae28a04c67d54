package generativeai

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/generative-ai-go/genai"
)

// jsonSchema is the part of JSON Schema that the library can express. What else a schema demands is checked by the tool.
type jsonSchema struct {
	Type        json.RawMessage        `json:"type"` // one name, or a list of them
	Description string                 `json:"description"`
	Enum        []any                  `json:"enum"`
	Items       *jsonSchema            `json:"items"`
	Properties  map[string]*jsonSchema `json:"properties"`
	Required    []string               `json:"required"`
}

var types = map[string]genai.Type{
	"string": genai.TypeString, "number": genai.TypeNumber, "integer": genai.TypeInteger,
	"boolean": genai.TypeBoolean, "array": genai.TypeArray, "object": genai.TypeObject,
}

// parameters converts the schema of a tool's arguments; nil when it takes none, since the API refuses an object without
// properties.
func parameters(raw json.RawMessage) (*genai.Schema, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var s jsonSchema
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if len(s.Properties) == 0 {
		return nil, nil
	}
	return s.convert()
}

func (s *jsonSchema) convert() (*genai.Schema, error) {
	out := &genai.Schema{Description: s.Description, Required: s.Required}
	var names []string
	var one string
	switch {
	case len(s.Type) == 0:
		one = "string"
		if s.Properties != nil {
			one = "object"
		}
		names = []string{one}
	case json.Unmarshal(s.Type, &one) == nil:
		names = []string{one}
	default:
		if err := json.Unmarshal(s.Type, &names); err != nil {
			return nil, fmt.Errorf("type %s: %w", s.Type, err)
		}
	}
	out.Nullable = slices.Contains(names, "null")
	names = slices.DeleteFunc(names, func(n string) bool { return n == "null" })
	if len(names) != 1 || types[names[0]] == 0 {
		return nil, fmt.Errorf("type %s cannot be expressed", s.Type)
	}
	out.Type = types[names[0]]
	for _, e := range s.Enum {
		if text, ok := e.(string); ok && out.Type == genai.TypeString {
			out.Enum = append(out.Enum, text)
			out.Format = "enum"
		}
	}
	var err error
	if s.Items != nil {
		if out.Items, err = s.Items.convert(); err != nil {
			return nil, fmt.Errorf("items: %w", err)
		}
	}
	for name, p := range s.Properties {
		if out.Properties == nil {
			out.Properties = map[string]*genai.Schema{}
		}
		if p == nil {
			return nil, fmt.Errorf("property %s has no schema", name)
		}
		if out.Properties[name], err = p.convert(); err != nil {
			return nil, fmt.Errorf("property %s: %w", name, err)
		}
	}
	return out, nil
}
