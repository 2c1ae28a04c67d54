package discord

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/bwmarrin/discordgo"
)

const (
	maxBody = 1 << 20
	// maxSkew is how old a signed request may be. Discord signs the time but leaves judging it to us.
	maxSkew = 5 * time.Minute
)

// Handler is the HTTP entry: POST /discord/interactions, for the application's Interactions Endpoint URL. Discord then
// sends commands, buttons and prompts here and not over the gateway; messages still come over the gateway. It also
// sends wrong signatures now and then, and drops an entry that takes them.
func (d *Discord) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /discord/interactions", d.serveInteraction)
	return mux
}

func (d *Discord) serveInteraction(w http.ResponseWriter, r *http.Request) {
	if d.key == nil {
		http.Error(w, "the HTTP entry is off: DISCORD_PUBLIC_KEY is not set", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "unreadable body", http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	stamp, err := strconv.ParseInt(r.Header.Get("X-Signature-Timestamp"), 10, 64)
	if age := time.Since(time.Unix(stamp, 0)); err != nil || age.Abs() > maxSkew || !discordgo.VerifyInteraction(r, d.key) {
		d.log.Warn("request without a valid signature refused", "path", r.URL.Path)
		http.Error(w, "signature refused", http.StatusUnauthorized)
		return
	}
	d.heardSomething()
	var head struct {
		Type discordgo.InteractionType `json:"type"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		http.Error(w, "unreadable interaction", http.StatusBadRequest)
		return
	}
	if head.Type == discordgo.InteractionPing {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"type":1}`)
		return
	}
	if !d.take("INTERACTION_CREATE", body) {
		http.Error(w, "not serving yet", http.StatusServiceUnavailable)
		return
	}
	// The first answer follows as a call of its own, the same as for what came over the gateway.
	w.WriteHeader(http.StatusAccepted)
}
