package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/bot/web/visit"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

type words = *message.Printer

// page is one kind of page. make gives what its template shows; a *tools.Problem becomes a page that says so.
type page struct {
	pattern string
	name    string // of its template, and in the menu
	menu    bool
	role    people.Role
	make    func(w *Web, r *http.Request, v visitor) (title string, body any, err error)
}

// pages are all that can be looked at, in the order of the menu.
var pages = []page{
	{"/{$}", "overview", true, people.Viewer, (*Web).overview},
	{"/incidents", "incidents", true, people.Viewer, (*Web).incidents},
	{"/incident/{id}", "incident", false, people.Viewer, (*Web).incident},
	{"/topology", "topology", true, people.Viewer, (*Web).topology},
	{"/nodes", "nodes", true, people.Viewer, (*Web).nodes},
	{"/workloads", "workloads", true, people.Viewer, (*Web).workloads},
	{"/pods", "pods", true, people.Viewer, (*Web).pods},
	{"/entity/{ref...}", "entity", false, people.Viewer, (*Web).entity},
	{"/alerts", "alerts", true, people.Viewer, (*Web).alerts},
	{"/changes", "changes", true, people.Viewer, (*Web).changes},
	{"/slos", "slos", true, people.Viewer, (*Web).slos},
	{"/audit", "audit", true, people.Admin, (*Web).audit},
}

//go:embed templates/*.html
var templates embed.FS

// parsed holds the templates of each language, parsed once.
var parsed = sync.OnceValues(func() (map[string]map[string]*template.Template, error) {
	out := map[string]map[string]*template.Template{}
	for _, lang := range phrase.Langs {
		labels := labelsOf(phrase.For(lang))
		funcs := template.FuncMap{
			"w": func(key string) (string, error) {
				if s, ok := labels[key]; ok {
					return s, nil
				}
				return "", fmt.Errorf("no label %q", key)
			},
			"say":     func(text string) string { return phrase.Say(lang, text) },
			"word":    func(text string) string { return phrase.Word(lang, text) },
			"percent": func(x float64) string { return fmt.Sprintf("%.1f%%", 100*min(1, max(0, x))) },
			"figure":  func(x float64) string { return fmt.Sprintf("%.2f", x) },
			"clock":   func(t time.Time) string { return t.UTC().Format("15:04:05") },
			"stamp":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") },
			"foot":    footOf(phrase.For(lang)),
			"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		}
		base, err := template.New("base.html").Funcs(funcs).ParseFS(templates, "templates/base.html", "templates/parts.html")
		if err != nil {
			return nil, err
		}
		files, err := fs.Glob(templates, "templates/*.html")
		if err != nil {
			return nil, err
		}
		out[lang] = map[string]*template.Template{}
		for _, f := range files {
			name := strings.TrimSuffix(path.Base(f), ".html")
			if name == "base" || name == "parts" {
				continue
			}
			t, err := template.Must(base.Clone()).ParseFS(templates, f)
			if err != nil {
				return nil, err
			}
			out[lang][name] = t
		}
	}
	return out, nil
})

// frame is what stands around every page.
type frame struct {
	Lang    string
	Title   string
	Menu    []entry
	Person  string
	Role    people.Role
	Inside  bool
	Live    bool
	Version string
	CSS, JS string
	Now     time.Time
	Body    any
}

type entry struct {
	Href, Label string
	Current     bool
}

func (w *Web) frame(lang, title string, v *visitor) frame {
	f := frame{Lang: lang, Title: title, Version: w.cfg.Version, Now: w.cfg.Now(), CSS: w.assets["app.css"].href, JS: w.assets["app.js"].href}
	if v != nil {
		f.Inside, f.Person, f.Role = true, cmp.Or(v.person.Name, v.person.ID), v.role
	}
	return f
}

// show renders one page. Only what changes is sent when the page renews itself.
func (w *Web) show(rw http.ResponseWriter, r *http.Request, v visitor, p page) {
	title, body, err := p.make(w, r, v)
	var notFound *tools.Problem
	switch {
	case errors.As(err, &notFound):
		w.missing(rw, r, v, notFound)
		return
	case err != nil:
		w.fail(rw, r, err)
		return
	}
	f := w.frame(v.lang, title, &v)
	f.Live, f.Body, f.Menu = true, body, w.menu(r, v, p.name)
	w.render(rw, r, http.StatusOK, p.name, f)
}

// missing says that what a visitor asked for is not there.
func (w *Web) missing(rw http.ResponseWriter, r *http.Request, v visitor, p *tools.Problem) {
	w.refuse(rw, r, http.StatusNotFound, problem{
		visitor: &v, title: func(words) string { return p.Sentence }, remedy: func(words) string { return p.Remedy },
	})
}

// menu leads to the other pages, and keeps the cluster that is looked at.
func (w *Web) menu(r *http.Request, v visitor, current string) []entry {
	labels := labelsOf(phrase.For(v.lang))
	keep := ""
	if c := r.URL.Query().Get("cluster"); c != "" {
		keep = "?" + url.Values{"cluster": {c}}.Encode()
	}
	var out []entry
	for _, p := range pages {
		if p.menu && p.role <= v.role {
			href := strings.TrimSuffix(p.pattern, "{$}")
			if p.role < people.Admin {
				href += keep
			}
			out = append(out, entry{Href: href, Label: labels[p.name], Current: p.name == current})
		}
	}
	return out
}

func (w *Web) render(rw http.ResponseWriter, r *http.Request, status int, name string, f frame) {
	all, err := parsed()
	if err != nil {
		w.log.Error("page not shown", "page", name, "err", err)
		http.Error(rw, "internal error", http.StatusInternalServerError)
		return
	}
	block := "base.html"
	if r.Header.Get("X-Live") != "" {
		block = "main"
	}
	var b bytes.Buffer
	if err := all[f.Lang][name].ExecuteTemplate(&b, block, f); err != nil {
		w.log.Error("page not shown", "page", name, "err", err)
		http.Error(rw, "internal error", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Vary", "X-Live, Accept-Language, Cookie")
	rw.WriteHeader(status)
	if _, err := rw.Write(b.Bytes()); err != nil {
		w.log.Debug("page not sent", "err", err)
	}
}

// problem is a page that says why there is nothing else.
type problem struct {
	door    bool // the ways in are shown
	visitor *visitor
	title   func(words) string
	remedy  func(words) string
}

func (w *Web) refuse(rw http.ResponseWriter, r *http.Request, status int, x problem) {
	lang := langOf(r)
	p := phrase.For(lang)
	body := struct {
		Remedy   string
		Door     bool
		Password bool
		Next     string
	}{Door: x.door, Password: w.secret != nil}
	if x.remedy != nil {
		body.Remedy = x.remedy(p)
	}
	if r.Method == http.MethodGet && status == http.StatusUnauthorized {
		body.Next = visit.Local(r.URL.RequestURI())
	}
	f := w.frame(lang, x.title(p), x.visitor)
	f.Body = body
	if x.visitor != nil {
		f.Menu = w.menu(r, *x.visitor, "")
	}
	w.render(rw, r, status, "problem", f)
}

func (w *Web) fail(rw http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	w.log.Error("page not made", "path", r.URL.Path, "err", err)
	w.refuse(rw, r, http.StatusInternalServerError, problem{title: func(p words) string { return p.Sprintf("Something broke on my side; it is in the log.") }})
}

// elsewhere answers what no route has: who is not inside learns nothing of which paths exist.
func (w *Web) elsewhere(rw http.ResponseWriter, r *http.Request) {
	w.inside(people.Viewer, func(rw http.ResponseWriter, r *http.Request, v visitor) {
		status := http.StatusNotFound
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			status = http.StatusMethodNotAllowed
		}
		w.refuse(rw, r, status, problem{visitor: &v, title: func(p words) string { return p.Sprintf("There is no such page.") }})
	}).ServeHTTP(rw, r)
}

// call asks a tool for the visitor.
func (w *Web) call(r *http.Request, v visitor, tool string, args map[string]any) (*tools.Result, error) {
	maps.DeleteFunc(args, func(_ string, x any) bool { return x == "" || x == false })
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	return w.cfg.Tools.Call(r.Context(), v.caller(), tool, raw)
}

// asset is a file that every page uses, under a name that changes with it.
type asset struct {
	body []byte
	kind string
	href string
}

func loadAssets() (map[string]asset, error) {
	out := map[string]asset{}
	err := fs.WalkDir(static, "static", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := static.ReadFile(p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		name := path.Base(p)
		out[name] = asset{body: body, kind: cmp.Or(mime.TypeByExtension(path.Ext(name)), "application/octet-stream"), href: "/static/" + name + "?v=" + hex.EncodeToString(sum[:6])}
		return nil
	})
	return out, err
}

func (w *Web) asset(rw http.ResponseWriter, r *http.Request) {
	a, ok := w.assets[r.PathValue("name")]
	if !ok {
		w.elsewhere(rw, r)
		return
	}
	rw.Header().Set("Content-Type", a.kind)
	if r.URL.Query().Has("v") {
		rw.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if _, err := rw.Write(a.body); err != nil {
		w.log.Debug("asset not sent", "err", err)
	}
}

// clusters are the ids that a filter offers.
func (w *Web) clusters() []string { return w.cfg.Engine.Fleet.Clusters() }

// namespaces are those of a cluster, or of all.
func (w *Web) namespaces(cluster string) []string {
	seen := map[string]bool{}
	for _, id := range w.clusters() {
		if cluster != "" && id != cluster {
			continue
		}
		if c, ok := w.cfg.Engine.Fleet.Cluster(id); ok {
			for _, n := range c.List("Namespace", "") {
				seen[n.GetName()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
