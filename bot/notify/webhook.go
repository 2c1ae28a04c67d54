package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/slack"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// newClient makes the client of webhooks. It follows no redirect: the file alone says where messages go, and what
// answers there may not send them on into our network.
func newClient(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// hook is what a webhook gets.
type hook struct {
	Version  int           `json:"version"`
	Key      string        `json:"key"`   // the same when it comes again after a lost answer
	Event    string        `json:"event"` // incident.opened, worsened, back, resolved, merged; report.digest, handover, slo
	At       time.Time     `json:"at"`
	Title    string        `json:"title"`
	Text     string        `json:"text"`
	URL      string        `json:"url,omitempty"`
	Incident *hookIncident `json:"incident,omitempty"`
}

type hookIncident struct {
	ID         string            `json:"id"`
	Cluster    string            `json:"cluster"`
	Namespace  string            `json:"namespace,omitempty"`
	Stage      incident.Stage    `json:"stage"`
	Severity   incident.Severity `json:"severity"`
	Title      string            `json:"title"`
	Risk       float64           `json:"risk"`
	PeakRisk   float64           `json:"peak_risk"`
	OpenedAt   time.Time         `json:"opened_at"`
	ResolvedAt time.Time         `json:"resolved_at,omitzero"`
	Cause      hookCause         `json:"cause"`
	MergedInto string            `json:"merged_into,omitempty"`
}

type hookCause struct {
	Entity     string `json:"entity,omitempty"` // prod-eu/shop/deployment/payments
	Kind       string `json:"kind,omitempty"`
	Summary    string `json:"summary,omitempty"`
	Confidence string `json:"confidence,omitempty"`
}

func (n *Notifier) postWebhook(ctx context.Context, d delivery) error {
	h := hook{Version: 1, Key: d.key, At: d.at.UTC(), Title: clean(d.subject), Text: text(d), URL: d.page, Event: "report." + d.kind}
	if i := d.incident; i != nil {
		h.Event = "incident." + d.kind
		h.Incident = &hookIncident{
			ID: i.ID, Cluster: i.Cluster, Namespace: i.Namespace, Stage: i.Stage, Severity: i.Severity, Title: clean(i.Title), Risk: i.Risk, PeakRisk: i.PeakRisk,
			OpenedAt: i.OpenedAt.UTC(), MergedInto: i.MergedInto,
			Cause: hookCause{Kind: i.Cause.Kind, Summary: clean(i.Cause.Summary), Confidence: i.Cause.Confidence},
		}
		if !i.ResolvedAt.IsZero() {
			h.Incident.ResolvedAt = i.ResolvedAt.UTC()
		}
		if !i.Cause.Entity.IsZero() {
			h.Incident.Cause.Entity = i.Cause.Entity.String()
		}
	}
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return n.post(ctx, d.target.Webhook, d.target.Token, d.key, body)
}

func (n *Notifier) postSlack(ctx context.Context, d delivery) error {
	m := d.message
	m.Title = d.subject
	if d.page != "" {
		m.Blocks = append(slices.Clone(m.Blocks), card.Link(phrase.For(d.lang).Sprintf("Open the page"), d.page))
	}
	body, err := slack.Webhook(m)
	if err != nil {
		return err
	}
	return n.post(ctx, d.target.Slack, "", d.key, body)
}

func (n *Notifier) post(ctx context.Context, to, token, key string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return unaddressed(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("User-Agent", "atlhyper")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := n.client.Do(req)
	if err != nil {
		return unaddressed(err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, 300))
	if err != nil {
		said = nil // what it says is for the log alone
	}
	return answered(res, strings.Join(strings.Fields(string(said)), " "))
}

// unaddressed takes the address out of an error: it is a secret.
func unaddressed(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("post: %w", u.Err)
	}
	return err
}

// answered reads how a request went. What is wrong with the message itself will be wrong again; all else may be mended,
// the address included, and the message waits for that.
func answered(res *http.Response, said string) error {
	if res.StatusCode/100 == 2 {
		return nil
	}
	e := &bot.DeliveryError{Err: fmt.Errorf("it answered %s %s", res.Status, said)}
	switch res.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		e.Permanent = true
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		e.Remedy = "Check the webhook's address and token: it may have been removed."
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		e.Remedy = "It redirects, which is not followed: name the address itself."
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = min(time.Duration(s)*time.Second, time.Hour)
	}
	return e
}
