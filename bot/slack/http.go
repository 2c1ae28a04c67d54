package slack

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/slack-go/slack"
)

// maxBody bounds what is read of one delivery. Slack's own limits keep real ones far below.
const maxBody = 1 << 20

// Handler is the HTTP entry: POST /slack/events, /slack/commands and /slack/interactions, for the request URLs of the
// app. Each request must carry Slack's signature, made within the last five minutes. A delivery that is replayed
// inside them keeps its id, and the core drops what it has seen. Without a signing secret every request is refused.
func (s *Slack) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /slack/events", s.signed(s.serveEvent))
	mux.HandleFunc("POST /slack/commands", s.signed(s.serveCommand))
	mux.HandleFunc("POST /slack/interactions", s.signed(s.serveInteraction))
	return mux
}

// signed reads the body, and passes it on only when its signature is right.
func (s *Slack) signed(next func(http.ResponseWriter, []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.SigningSecret == "" {
			http.Error(w, "the HTTP entry is off: SLACK_SIGNING_SECRET is not set", http.StatusNotFound)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "unreadable body", http.StatusBadRequest)
			return
		}
		verifier, err := slack.NewSecretsVerifier(r.Header, s.cfg.SigningSecret)
		if err == nil {
			_, _ = verifier.Write(body) // a hash never fails to take bytes
			err = verifier.Ensure()
		}
		if err != nil {
			s.log.Warn("request without a valid signature refused", "path", r.URL.Path, "err", err)
			http.Error(w, "signature refused", http.StatusUnauthorized)
			return
		}
		s.heardSomething()
		next(w, body)
	}
}

func (s *Slack) serveEvent(w http.ResponseWriter, body []byte) {
	var c callback
	if err := json.Unmarshal(body, &c); err != nil {
		http.Error(w, "unreadable event", http.StatusBadRequest)
		return
	}
	if c.Type == "url_verification" {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, c.Challenge)
		return
	}
	s.serve(w, func(self identity) (*heard, error) { return decodeEvent(body, self) })
}

func (s *Slack) serveCommand(w http.ResponseWriter, body []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, "unreadable command", http.StatusBadRequest)
		return
	}
	c := slack.SlashCommand{
		TeamID: form.Get("team_id"), ChannelID: form.Get("channel_id"), UserID: form.Get("user_id"),
		Command: form.Get("command"), Text: form.Get("text"),
		ResponseURL: form.Get("response_url"), TriggerID: form.Get("trigger_id"),
	}
	s.serve(w, func(identity) (*heard, error) { return decodeCommand(c) })
}

// serveInteraction takes the payload from the signed body alone: a "payload" in the URL's query is not signed.
func (s *Slack) serveInteraction(w http.ResponseWriter, body []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, "unreadable interaction", http.StatusBadRequest)
		return
	}
	s.serve(w, func(identity) (*heard, error) { return decodeInteraction([]byte(form.Get("payload"))) })
}

// serve starts the answer and acknowledges at once. Before Run serves it says 503, upon which Slack tries again.
func (s *Slack) serve(w http.ResponseWriter, decode func(identity) (*heard, error)) {
	ok := s.begin(func(run *session) {
		h, err := decode(run.self)
		if err != nil {
			s.log.Warn("unreadable event", "err", err)
			return
		}
		if h != nil {
			s.answer(run, h)
		}
	})
	if !ok {
		http.Error(w, "not serving yet", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}
