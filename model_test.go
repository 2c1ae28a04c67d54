package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
	"github.com/bukahou/atlhyper/bot/assistant/planner"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

const chatKey = "AIza-set-in-chat-canary"

func TestAModelOfTheChatOutlivesTheProcessAndItsDatabaseOpensWithItsKeyAlone(t *testing.T) {
	fake := geminifake.New(geminifake.Config{Key: chatKey, Models: []string{"gemini-3.8-flash"}})
	t.Cleanup(fake.Close)
	dir := t.TempDir()
	file := databaseIn(dir)
	open := func(flags chatFlags) (b *models, end func()) {
		t.Helper()
		db, err := storage.Open(t.Context(), file, storage.Config{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := engine.New(t.Context(), engine.Config{Store: db})
		if err != nil {
			t.Fatal(err)
		}
		registry, err := tools.New(e, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		b, err = openModels(t.Context(), flags, db, file, planner.New(registry), registry, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return b, func() {
			t.Helper()
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			e.Close()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	none := chatFlags{GeminiModel: "gemini-3.8-flash", GeminiSDK: "genai"}
	configured := none
	configured.OpenAIBaseURL, configured.OpenAIModel = "http://127.0.0.1:9/v1", "qwen3"
	is := func(flags chatFlags, want bot.ModelSetup) {
		t.Helper()
		b, end := open(flags)
		defer end()
		if m := b.Model(); m != want {
			t.Errorf("it is %+v, not %+v", m, want)
		}
	}
	local := bot.ModelSetup{Provider: bot.ProviderOpenAI, Model: "qwen3", URL: configured.OpenAIBaseURL}
	is(configured, local)
	first, end := open(configured)
	set := bot.ModelSetup{Provider: bot.ProviderGemini, Model: "gemini-3.8-flash", URL: fake.URL, By: "Mia", At: time.Now().UTC().Truncate(time.Second)}
	if err := first.SetModel(t.Context(), set, chatKey); err != nil {
		t.Fatal(err)
	}
	end()
	is(configured, set)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil || bytes.Contains(raw, []byte(chatKey)) {
			t.Errorf("%s holds the key in the open, %v", filepath.Base(f), err)
		}
	}
	foreign := configured
	foreign.SecretKeyFile = filepath.Join(t.TempDir(), "another.key") // as a restored backup has it
	is(foreign, local)
	again, end := open(configured)
	if err := again.ClearModel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := again.Model(); m != local {
		t.Errorf("cleared, it is %+v", m)
	}
	end()
	is(none, bot.ModelSetup{})
}
