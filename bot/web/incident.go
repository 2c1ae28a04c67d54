package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

type incidentBody struct {
	incidentLine
	Quiet    string
	Missing  []string
	Explain  answer
	Graph    *drawing
	Plot     *plot // the figure that shows it best; nil when none does
	Affected []affected
	Timeline []step
	Formulas []formula
	Ranking  []ranked
	Threads  []thread
	Kubectl  string
}

type affected struct {
	Name, Href, Role, Why string
	Local, Final          float64
}

type step struct {
	At   time.Time
	Kind string
	Text string
	By   string
}

type formula struct {
	Name, Href, Text string
	Terms            []risk.Term
	Final            float64
}

type ranked struct {
	Name, Href, Why string
	Score           float64
}

type thread struct{ Surface, Channel, Href string }

// formulas is how many scores an incident's page opens: the cause and those that it hurts most.
const formulas = 6

func (w *Web) incident(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	res, err := w.call(r, v, "explain", map[string]any{"id": r.PathValue("id")})
	if err != nil {
		return "", nil, err
	}
	x, ok := res.Data.(engine.IncidentExplanation)
	if !ok {
		return "", nil, errors.New("the tool explain gives no incident")
	}
	i := x.Incident
	history, err := w.call(r, v, "timeline", map[string]any{"id": i.ID})
	if err != nil {
		return "", nil, err
	}
	now := w.cfg.Now()
	body := incidentBody{incidentLine: w.line(i, p), Explain: w.answer(res, scope{cluster: i.Cluster}), Missing: res.Missing}
	if i.SilencedTill.After(now) {
		body.Quiet = p.Sprintf("%s is quiet until %s, or at once if it gets worse.", i.ID, i.SilencedTill.UTC().Format("15:04 MST"))
	}
	// The page draws these itself.
	body.Explain.Tables, body.Explain.Texts = nil, nil
	for _, x := range i.Entities {
		body.Affected = append(body.Affected, affected{
			Name: x.Entity.Short(), Href: href(x.Entity), Role: strings.ReplaceAll(string(x.Role), "_", " "), Why: x.Why, Local: x.RLocal, Final: x.RFinal,
		})
	}
	if entries, ok := history.Data.([]incident.Entry); ok {
		for _, t := range slices.Backward(entries) { // the newest first
			body.Timeline = append(body.Timeline, step{t.At, t.Kind, tools.Mask(tools.Clean(t.Text)), t.By})
		}
	}
	for _, x := range i.Cause.Ranking {
		body.Ranking = append(body.Ranking, ranked{x.Entity.Short(), href(x.Entity), x.Why, x.Score})
	}
	assessment := w.cfg.Engine.Assessment(i.Cluster)
	for _, x := range i.Entities {
		if len(body.Formulas) == formulas {
			break
		}
		if s := assessment.Of(x.Entity); s.Final > 0 && !body.Over {
			body.Formulas = append(body.Formulas, formula{x.Entity.Short(), href(x.Entity), tools.Mask(tools.Clean(s.Formula())), s.Terms, s.Final})
		}
	}
	if c := tools.IncidentChart(w.cfg.Engine, i, v.lang); c != nil {
		if p, ok := plotOf(*c); ok {
			body.Plot = &p
		}
	}
	body.Graph = w.propagation(i, assessment, p)
	if body.Threads, err = w.threads(r, i.ID); err != nil {
		return "", nil, err
	}
	if c := i.Cause.Entity; !c.IsZero() && c.Kind != entity.External {
		body.Kubectl = "kubectl"
		if c.Namespace != "" {
			body.Kubectl += " -n " + c.Namespace
		}
		body.Kubectl += " describe " + c.Short()
	}
	return i.ID + " " + i.Title, body, nil
}

// postMortem serves the draft of an incident's post-mortem as a file.
func (w *Web) postMortem(rw http.ResponseWriter, r *http.Request, v visitor) {
	res, err := w.call(r, v, "postmortem", map[string]any{"id": r.PathValue("id")})
	var problem *tools.Problem
	switch {
	case errors.As(err, &problem):
		w.missing(rw, r, v, problem)
	case err != nil:
		w.fail(rw, r, err)
	case len(res.Files) != 1:
		w.fail(rw, r, errors.New("the tool postmortem gives no file"))
	default:
		rw.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		rw.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": res.Files[0].Name}))
		if _, err := io.WriteString(rw, res.Files[0].Body); err != nil {
			w.log.Debug("file not written", "err", err)
		}
	}
}

// propagation draws the entities of an incident: the cause on top, beneath it whoever depends on it, each with its risk
// and each edge with what it passes on.
func (w *Web) propagation(i *incident.Incident, a *risk.Assessment, p words) *drawing {
	g := w.cfg.Engine.Graph(i.Cluster)
	in := map[entity.Ref]incident.Affected{}
	for _, x := range i.Entities {
		in[x.Entity] = x
	}
	if c := i.Cause.Entity; !c.IsZero() {
		if _, ok := in[c]; !ok {
			in[c] = incident.Affected{Entity: c, Role: incident.RoleRootCause, RFinal: a.Of(c).Final, RLocal: a.Of(c).Local}
		}
	}
	// Pods stand behind their workloads: of several of one workload the worst is drawn, and none that adds nothing.
	var refs []entity.Ref
	for r := range in {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(x, y entity.Ref) int {
		return cmp.Or(cmp.Compare(in[y].RFinal, in[x].RFinal), entity.Compare(x, y))
	})
	const most = 40
	var kept []entity.Ref
	pods := 0
	for _, r := range refs {
		if r.Kind == entity.Pod && r != i.Cause.Entity {
			if pods++; pods > 3 {
				continue
			}
		}
		if kept = append(kept, r); len(kept) == most {
			break
		}
	}
	d := &drawing{}
	for _, r := range kept {
		x := in[r]
		score := a.Of(r)
		v := vertex{ref: r, Name: r.Name, Kind: strings.ToLower(r.Kind), Href: href(r), Risk: x.RFinal, Class: strings.ReplaceAll(string(x.Role), "_", "-")}
		if score.Final > 0 && i.Stage != incident.StageResolved && i.Stage != incident.StageCleared {
			v.Risk = score.Final
		}
		v.Note = p.Sprintf("risk %.2f", v.Risk)
		if x.Role == incident.RoleRootCause && v.Risk == 0 { // its fault is measured at its service
			v.Note = p.Sprintf("the cause")
		}
		d.Vertices = append(d.Vertices, v)
	}
	for _, from := range kept {
		for _, e := range g.Out(from) {
			if !slices.Contains(kept, e.To) {
				continue
			}
			x := edge{from: from, to: e.To, Type: string(e.Type)}
			for _, t := range a.Of(from).Terms {
				if t.Kind == risk.TermPropagated && t.From == e.To {
					x.Label, x.Carries = figureOf(t.Weight)+" × "+figureOf(t.Score), t.Weight*t.Score
				}
			}
			if e.Traffic != nil {
				x.Title = traffic(e.Traffic)
			}
			d.Edges = append(d.Edges, x)
		}
	}
	d.fall(i.Cause.Entity)
	return d
}

// threads are where people talk about an incident.
func (w *Web) threads(r *http.Request, id string) ([]thread, error) {
	if w.cfg.Thread == nil {
		return nil, nil
	}
	topic := "incident/" + id
	places, err := w.cfg.Thread.Places(r.Context(), topic)
	if err != nil {
		return nil, err
	}
	var out []thread
	for _, p := range places {
		ref, ok, err := w.cfg.Thread.RefOf(r.Context(), topic, bot.Place{Surface: p.Surface, Channel: p.Channel})
		if err != nil {
			return nil, err
		}
		for _, c := range w.cfg.Chats {
			if ok && c.Name() == p.Surface {
				if link := c.Permalink(ref); link != "" {
					out = append(out, thread{p.Surface, p.Channel, link})
				}
			}
		}
	}
	return out, nil
}

type auditLine struct {
	Seq                    int64
	At                     time.Time
	Who, Action, Where, On string
	Detail                 string
}

// auditPage is how many entries one page holds.
const auditPage = 200

func (w *Web) audit(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	body := struct {
		Lines    []auditLine
		Head     string
		Seq      int64
		Older    int64
		Verified string
		Broken   string
	}{}
	head := w.cfg.Engine.Audit.Head()
	body.Head, body.Seq = head.Hash, head.Seq
	until := head.Seq
	if n, err := parseSeq(r.URL.Query().Get("until")); err == nil && n > 0 {
		until = min(until, n)
	}
	entries, err := w.cfg.Engine.Audit.Entries(r.Context(), max(0, until-auditPage), auditPage)
	if err != nil {
		return "", nil, err
	}
	for _, e := range slices.Backward(entries) {
		l := auditLine{Seq: e.Seq, At: e.At, Who: cmp.Or(e.Actor.Name, e.Actor.ID, "engine"), Action: e.Action, Where: e.Cluster, On: e.Target}
		if len(e.Detail) > 0 && json.Valid(e.Detail) {
			l.Detail = tools.Mask(tools.Clean(string(e.Detail)))
		}
		body.Lines = append(body.Lines, l)
	}
	if until > auditPage {
		body.Older = until - auditPage
	}
	if r.URL.Query().Get("verify") != "" {
		if err := w.cfg.Engine.Audit.Verify(r.Context()); err != nil {
			body.Broken = err.Error()
		} else {
			body.Verified = p.Sprintf("The chain of %d entries is as it was written.", head.Seq)
		}
	}
	return p.Sprintf("Audit"), body, nil
}
