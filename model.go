package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/vault"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

// models holds the model that answers: the configuration's, or the one that an admin set up in chat. It implements
// bot.Models.
type models struct {
	flags   chatFlags
	db      *storage.DB
	vault   *vault.Vault
	planner assistant.Answerer
	tools   *tools.Registry
	log     *slog.Logger
	assistant.Switch

	mu    sync.Mutex // guards all below; held over a change
	setup bot.ModelSetup
	close []func() error // of every model that was ever in place: an answer may still be under way
}

// modelSecret is the name under which the model is kept.
const modelSecret = "model"

// keptModel is what is sealed.
type keptModel struct {
	bot.ModelSetup
	Key string `json:"key"`
}

// openModels puts the model in place that was set up last. A model of the chat that cannot be opened any more, because the
// secret key is another one, is told in the log, and the configuration's counts.
func openModels(ctx context.Context, flags chatFlags, db *storage.DB, database string, plan assistant.Answerer, registry *tools.Registry, log *slog.Logger) (*models, error) {
	b := &models{flags: flags, db: db, planner: plan, tools: registry, log: log}
	var err error
	switch {
	case flags.SecretKeyFile != "":
		b.vault, err = vault.Open(flags.SecretKeyFile)
	case database == ":memory:":
		b.vault, err = vault.Passing()
	default:
		b.vault, err = vault.Open(filepath.Join(filepath.Dir(database), "secret.key"))
	}
	if err != nil {
		return nil, err
	}
	sealed, err := db.Secret(ctx, modelSecret)
	if err != nil {
		return nil, err
	}
	if sealed != nil {
		var kept keptModel
		plain, err := b.vault.Unseal(modelSecret, sealed)
		if err == nil {
			err = json.Unmarshal(plain, &kept)
		}
		if err == nil {
			err = b.put(ctx, kept.ModelSetup, kept.Key)
		}
		if err == nil {
			return b, nil
		}
		log.Error("the model that was set up in chat cannot be used, set it up again", "err", err)
	}
	return b, b.put(ctx, bot.ModelSetup{}, "")
}

// with is the configuration with a set-up of the chat in its place.
func (b *models) with(s bot.ModelSetup, key string) chatFlags {
	f := b.flags
	if s.Provider == "" {
		return f
	}
	f.GeminiAPIKey, f.OpenAIAPIKey, f.OpenAIBaseURL = "", "", ""
	switch s.Provider {
	case bot.ProviderGemini:
		f.GeminiAPIKey, f.GeminiModel = key, s.Model
		if s.URL != "" {
			f.GeminiAPIURL = s.URL
		}
	case bot.ProviderOpenAI:
		f.OpenAIAPIKey, f.OpenAIModel, f.OpenAIBaseURL = key, s.Model, s.URL
	}
	return f
}

// put makes a set-up's model and lets it answer; the configuration's, when the set-up is empty.
func (b *models) put(ctx context.Context, s bot.ModelSetup, key string) error {
	f := b.with(s, key)
	model, closing, err := f.model(ctx)
	if err != nil {
		return err
	}
	if s.Provider == "" && model != nil {
		s = bot.ModelSetup{Provider: bot.ProviderGemini, Model: f.GeminiModel, URL: f.GeminiAPIURL}
		if f.GeminiAPIKey == "" {
			s = bot.ModelSetup{Provider: bot.ProviderOpenAI, Model: f.OpenAIModel, URL: f.OpenAIBaseURL}
		}
	}
	answerer := assistant.NewFallback(nil, b.planner, b.log)
	if model != nil {
		limits := assistant.Limits{Person: f.ModelTokensPerson, Thread: f.ModelTokensThread, All: f.ModelTokensAll}
		talker, err := assistant.New(assistant.Config{Model: model, Toolbox: b.tools, Meter: assistant.NewMeter(b.db, limits, b.log), Log: b.log})
		if err != nil {
			return errors.Join(err, closing())
		}
		answerer = assistant.NewFallback(talker, b.planner, b.log)
	}
	b.close = append(b.close, closing)
	b.Set(answerer)
	b.setup = s
	return nil
}

// Model implements bot.Models.
func (b *models) Model() bot.ModelSetup {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.setup
}

// SetModel implements bot.Models.
func (b *models) SetModel(ctx context.Context, s bot.ModelSetup, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.try(ctx, s, key); err != nil {
		return err
	}
	plain, err := json.Marshal(keptModel{s, key})
	if err != nil {
		return err
	}
	if err := b.db.PutSecret(ctx, modelSecret, b.vault.Seal(modelSecret, plain)); err != nil {
		return err
	}
	return b.put(ctx, s, key)
}

// inForm is what whoever filled in the form can do. The errors' own remedies are for who sets the environment.
var inForm = map[assistant.ErrorKind]string{
	assistant.BadKey:      "Nothing was changed. Press Set a model… again, with a key that may use this model.",
	assistant.BadModel:    "Nothing was changed. Press Set a model… again, with the name of a model that exists there.",
	assistant.Quota:       "Nothing was changed. Wait, or raise the limit of the key's project.",
	assistant.Unavailable: "Nothing was changed. Check the address, the network and the proxy.",
	assistant.TimedOut:    "Nothing was changed. Check the address, the network and the proxy.",
}

// try asks the provider whether it takes the key and knows the model.
func (b *models) try(ctx context.Context, s bot.ModelSetup, key string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	model, closing, err := b.with(s, key).model(ctx)
	if err == nil {
		err = errors.Join(model.Check(ctx), closing())
	}
	var failure *assistant.ModelError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failure):
		return &tools.Problem{Sentence: failure.Sentence, Remedy: inForm[failure.Kind]}
	case ctx.Err() != nil:
		return &tools.Problem{Sentence: fmt.Sprintf("The model did not answer in %s.", 15*time.Second), Remedy: inForm[assistant.TimedOut]}
	}
	return err
}

// ClearModel implements bot.Models.
func (b *models) ClearModel(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.db.DeleteSecret(ctx, modelSecret); err != nil {
		return err
	}
	return b.put(ctx, bot.ModelSetup{}, "")
}

// Close closes the models.
func (b *models) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, c := range b.close {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
