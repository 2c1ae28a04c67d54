package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
	"github.com/bukahou/atlhyper/bot/assistant/planner"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

const chatKey = "AIza-set-in-chat-canary"

func TestAnAdminSetsTheModelInAFormAndNobodySeesTheKey(t *testing.T) {
	besides(t)
	fake := geminifake.New(geminifake.Config{Key: chatKey, Models: []string{"gemini-3.8-flash"}, Brain: func(geminifake.Turn) geminifake.Reply {
		return geminifake.Reply{Text: []string{"I am the model."}}
	}})
	t.Cleanup(fake.Close)
	w := shopping(t, "none", "--admins", "slack:"+mia)
	said := 0 // messages before the last thing that was done
	hear := func(words ...string) {
		t.Helper()
		w.wait("the channel", func() []slackfake.Message { return w.Messages(ops)[said:] }, words)
		said = len(w.Messages(ops))
	}
	say := func(who, text string, answers ...string) {
		t.Helper()
		said = len(w.Messages(ops))
		if err := w.Slash(who, ops, "/atl", text); err != nil {
			t.Fatal(err)
		}
		hear(answers...)
	}
	fill := func(fields map[string]string) {
		t.Helper()
		for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
			if v, open := w.View(mia); open {
				if !strings.Contains(v.Text(), "API key") {
					t.Fatalf("the form is %s", v.Text())
				}
				if err := w.Submit(mia, v, fields); err != nil {
					t.Fatal(err)
				}
				return
			}
			if time.Since(begun) > 20*time.Second {
				t.Fatal("no form opened")
			}
		}
	}
	say(ken, "model", "Only an admin of everything")
	say(ken, "model set", "Only an admin of everything")
	say(mia, "model "+chatKey, "A key is never typed into a message.", "revoke it")
	say(mia, "model", "No model is set up: the planner answers.")
	form := map[string]string{"provider": "gemini", "model": "gemini-3.8-flash", "url": fake.URL, "key": "AIza-wrong"}
	open := func() {
		t.Helper()
		if err := w.Slash(mia, ops, "/atl", "model set"); err != nil {
			t.Fatal(err)
		}
	}
	open()
	fill(form)
	hear("does not accept the API key")
	say(mia, "model", "No model is set up")
	form["key"] = chatKey
	open()
	fill(form)
	hear("gemini-3.8-flash answers.", "gemini", "Mia")
	m, err := w.Mention(ken, ops, "what is wrong?")
	if err != nil {
		t.Fatal(err)
	}
	w.expectReply(m, "I am the model.")
	say(mia, "audit 5", "model.set", "gemini/gemini-3.8-flash")
	say(mia, "model clear", "No model is set up")
	log, err := os.ReadFile(filepath.Join(w.data, "log"))
	if err != nil || bytes.Contains(log, []byte(chatKey)) {
		t.Errorf("the key is in the log, %v", err)
	}
	for _, m := range w.Messages(ops) {
		if m.User == slackfake.BotUser && strings.Contains(m.Text(), chatKey) {
			t.Errorf("the bot said the key: %s", m.Text())
		}
	}
}

func TestAModelOfTheChatOutlivesTheProcessAndItsDatabaseOpensWithItsKeyAlone(t *testing.T) {
	fake := geminifake.New(geminifake.Config{Key: chatKey, Models: []string{"gemini-3.8-flash"}})
	t.Cleanup(fake.Close)
	dir := t.TempDir()
	file := databaseIn(dir)
	open := func(flags chatFlags) *modelBox {
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
		b, err := openModelBox(t.Context(), flags, db, file, planner.New(registry), registry, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			e.Close()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return b
	}
	none := chatFlags{GeminiModel: "gemini-3.8-flash", GeminiSDK: "genai"}
	configured := none
	configured.OpenAIBaseURL, configured.OpenAIModel = "http://127.0.0.1:9/v1", "qwen3"
	first := open(configured)
	if m := first.Model(); m.Provider != bot.ProviderOpenAI || m.Model != "qwen3" || m.By != "" {
		t.Errorf("the configuration's is %+v", m)
	}
	set := bot.ModelSetup{Provider: bot.ProviderGemini, Model: "gemini-3.8-flash", URL: fake.URL, By: "Mia", At: time.Now().UTC().Truncate(time.Second)}
	if err := first.SetModel(t.Context(), set, chatKey); err != nil {
		t.Fatal(err)
	}
	if m := open(configured).Model(); m != set {
		t.Errorf("after a restart it is %+v", m)
	}
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
	if m := open(foreign).Model(); m.Model != "qwen3" {
		t.Errorf("with another key it is %+v", m)
	}
	if err := first.ClearModel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := open(none).Model(); m != (bot.ModelSetup{}) {
		t.Errorf("after it was cleared it is %+v", m)
	}
}
