package engine

import (
	"context"
	"time"

	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
)

// Track sums up what people said of the incidents since a time, in one cluster or in all when it is empty.
func (e *Engine) Track(ctx context.Context, cluster string, since time.Time) (incident.Track, error) {
	records, err := e.cfg.Store.Incidents(ctx, incident.Filter{Cluster: cluster, Since: since})
	if err != nil {
		return incident.Track{}, err
	}
	return incident.TrackOf(records), nil
}

// noisyWindow is how far back noise counts: what was noise in spring may have been mended since.
const noisyWindow = 30 * 24 * time.Hour

// NoisyCause says whether people call most of what an incident blames noise, and no silence stands for it yet.
func (e *Engine) NoisyCause(ctx context.Context, i *incident.Incident) (incident.NoisyCause, bool, error) {
	now := e.Now()
	records, err := e.cfg.Store.Incidents(ctx, incident.Filter{Cluster: i.Cluster, Since: now.Add(-noisyWindow)})
	if err != nil {
		return incident.NoisyCause{}, false, err
	}
	r, loud := incident.NoisyCauseOf(i, records)
	if !loud {
		return incident.NoisyCause{}, false, nil
	}
	for _, s := range e.silences.List(now) {
		if m := s.Matcher; m.Kind == r.Kind && m.Matches(i) {
			return incident.NoisyCause{}, false, nil
		}
	}
	return r, true, nil
}

// QuietCause keeps quiet what has a root cause of a kind: on an entity, in a namespace or in the whole cluster, as m says.
// Until names the highest stage that it holds for.
func (e *Engine) QuietCause(
	ctx context.Context, m silence.Matcher, until incident.Stage, till time.Time, by people.Person, reason, lang string) (silence.Silence, error) {
	return e.silences.Add(ctx, silence.Silence{Matcher: m, Stage: until, Till: till, By: by, Reason: reason, Lang: lang}, e.Now())
}

// Silences lists what holds now.
func (e *Engine) Silences() []silence.Silence { return e.silences.List(e.Now()) }

// EndSilence ends one before its time. What it kept quiet is told at the next evaluation.
func (e *Engine) EndSilence(ctx context.Context, id string) error { return e.silences.End(ctx, id) }

// Judge keeps what a person says of an incident afterwards.
func (e *Engine) Judge(ctx context.Context, id string, by people.Person, j incident.Judgement) (*incident.Incident, error) {
	return e.Incidents.Judge(ctx, id, incident.Vote{By: by.ID, Name: by.Name, At: e.Now(), Judgement: j})
}
