package tools

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

type broken struct{ Tool }

func (broken) Call(context.Context, Caller, json.RawMessage) (*Result, error) { panic("no such row") }

func TestAPanickingToolIsAnError(t *testing.T) {
	res, err := attempt(t.Context(), broken{}, Caller{}, nil)
	if res != nil || err == nil || !strings.Contains(err.Error(), "no such row") {
		t.Errorf("gave %v, %v", res, err)
	}
}
