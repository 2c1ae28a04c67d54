package people

import (
	"context"
	"fmt"
)

// Channel is the subject of a channel, as Lang and SetLang know it; place is "slack/C1".
func Channel(place string) string { return "channel/" + place }

// Lang gives the language that a person, by id, or a channel asked for, "" when none.
func (d *Directory) Lang(subject string) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.langs[subject]
}

// SetLang keeps the language of a person or a channel; "" forgets it.
func (d *Directory) SetLang(ctx context.Context, subject, lang string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.cfg.Store.PutLang(ctx, subject, lang); err != nil {
		return fmt.Errorf("language of %s: %w", subject, err)
	}
	if lang == "" {
		delete(d.langs, subject)
	} else {
		d.langs[subject] = lang
	}
	return nil
}
