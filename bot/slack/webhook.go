package slack

import (
	"encoding/json"

	"github.com/bukahou/atlhyper/bot/message"
)

// Webhook is a message as an incoming webhook takes it. Buttons are left out: what they do has no way back from there.
func Webhook(m message.Message) ([]byte, error) {
	var kept []message.Block
	for _, b := range m.Blocks {
		if _, button := b.(message.Actions); !button {
			kept = append(kept, b)
		}
	}
	m.Blocks = kept
	r := render(m)
	return json.Marshal(r)
}
