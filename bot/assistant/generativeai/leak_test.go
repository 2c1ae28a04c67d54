package generativeai

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
)

func TestCloseLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	fake := geminifake.New(geminifake.Config{Brain: geminifake.Script(
		geminifake.Reply{Text: []string{"a", "b", "c"}, CutAfter: 1},
		geminifake.Reply{Text: []string{"Hello."}},
	)})
	defer fake.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	m, err := New(t.Context(), Config{APIKey: "k", BaseURL: fake.URL + "/", Base: base})
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Start(assistant.Opening{System: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(t.Context(), assistant.Input{Text: "hello"}, func(string) {}); err == nil {
		t.Error("a broken stream was not an error")
	}
	if r, err := s.Send(t.Context(), assistant.Input{Text: "hello"}, func(string) {}); err != nil || r.Text != "Hello." {
		t.Errorf("%+v %v", r, err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
