// Package web is the page: the fleet, an incident, the graph, the lists, in a browser. It is a face of the same tools
// as the chat and changes nothing: every route but those of entering and leaving only reads.
//
// Nobody is let in but by a link from the chat, which works once, or by the administrator's password. The page asks no
// other host for anything, runs no inline script, and writes everything that a cluster said as text.
package web

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/web/visit"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Threads says where an incident's thread is. bot.Store has it.
type Threads interface {
	Places(ctx context.Context, topic string) ([]bot.Place, error)
	RefOf(ctx context.Context, topic string, p bot.Place) (ref bot.Ref, ok bool, err error)
}

// Permalinker is a surface that knows the address of a message; "" when it does not know it yet.
type Permalinker interface {
	Name() string
	Permalink(ref bot.Ref) string
}

// Config of a Web.
type Config struct {
	Engine *engine.Engine
	Tools  *tools.Registry
	Store  visit.Store
	Thread Threads // nil: incidents show no link to their threads
	Chats  []Permalinker

	URL      string // where people reach the page: "https://atlhyper.example"; empty: the address that it listens on
	Username string // of the administrator who enters by password; without both only links open the page
	Password string // as it is, or its argon2id hash in PHC form
	Version  string

	Now    func() time.Time // of what is shown; default time.Now
	Wall   func() time.Time // of links and sessions; default time.Now
	Pulse  time.Duration    // between two looks for news; default 1 s
	Logger *slog.Logger
}

// Web is the page. It is safe for concurrent use.
type Web struct {
	cfg     Config
	log     *slog.Logger
	porter  *visit.Porter
	secret  *secret // nil: no password opens the page
	limits  *limits
	secure  bool
	origins *http.CrossOriginProtection
	assets  map[string]asset
	news    *news

	mu     sync.Mutex // guards listen
	listen string     // base URL of the address that it is served on
}

//go:embed static
var static embed.FS

// New checks the configuration.
func New(cfg Config) (*Web, error) {
	if cfg.Engine == nil || cfg.Tools == nil || cfg.Store == nil {
		return nil, errors.New("web: engine, tools and a store are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Pulse = cmp.Or(cfg.Pulse, time.Second)
	w := &Web{cfg: cfg, log: cfg.Logger.With("surface", "web"), limits: newLimits(cfg.Wall), origins: http.NewCrossOriginProtection()}
	if cfg.URL != "" {
		u, err := url.Parse(strings.TrimSuffix(cfg.URL, "/"))
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			return nil, fmt.Errorf("web: %q is no address of the page: write https://HOST, without a path (ATLHYPER_WEB_URL)", cfg.URL)
		}
		w.cfg.URL, w.secure = u.String(), u.Scheme == "https"
		if err := w.origins.AddTrustedOrigin(w.cfg.URL); err != nil { // a proxy may change the Host that we see
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	if (cfg.Username == "") != (cfg.Password == "") {
		return nil, errors.New("web: the administrator's name and password go together: set ATLHYPER_ADMIN_USERNAME and ATLHYPER_ADMIN_PASSWORD, or neither")
	}
	var err error
	if cfg.Password != "" {
		if w.secret, err = newSecret(cfg.Username, cfg.Password); err != nil {
			return nil, err
		}
	}
	if w.porter, err = visit.New(visit.Config{Store: cfg.Store, Now: cfg.Wall}); err != nil {
		return nil, err
	}
	if w.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	w.news = newNews(cfg.Pulse, w.fingerprint)
	return w, nil
}

// ServedAt says on which address the page listens, for links when no URL is configured. An address of no particular host
// is taken for this machine.
func (w *Web) ServedAt(addr net.Addr) {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		host = "localhost"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listen = "http://" + net.JoinHostPort(host, port)
}

// Base is the address of the page as it is configured, "" when it is not: a link in a card must work for everybody.
func (w *Web) Base() string { return w.cfg.URL }

// Link implements tools.Links. The token stands behind the #, which no browser sends: neither a proxy's log nor a chat
// platform's preview ever sees it, and a preview cannot use it up.
func (w *Web) Link(ctx context.Context, who people.Person, path, lang string) (link string, till time.Time, note string, err error) {
	p := phrase.For(lang)
	w.mu.Lock()
	base := w.listen
	w.mu.Unlock()
	if w.cfg.URL != "" {
		base = w.cfg.URL
	} else if base != "" {
		note = p.Sprintf("No address of the page is configured (ATLHYPER_WEB_URL): the link works on the engine's own machine, or through a port-forward.")
	}
	if base == "" {
		return "", time.Time{}, "", &tools.Problem{Sentence: p.Sprintf("The page is not served."), Remedy: p.Sprintf("Start with --listen 127.0.0.1:8080, for example.")}
	}
	token, till, err := w.porter.Link(ctx, who, path)
	if err != nil {
		return "", time.Time{}, "", err
	}
	if _, err := w.cfg.Engine.Audit.Append(ctx, who, "web.link", "", path, nil); err != nil {
		return "", time.Time{}, "", err
	}
	return base + "/enter#" + token, till, note, nil
}

// Handler serves everything; it is mounted at the root.
func (w *Web) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{name}", w.asset)
	mux.HandleFunc("GET /enter", w.enterPage)
	mux.HandleFunc("POST /enter", w.enter)
	mux.HandleFunc("POST /login", w.login)
	mux.HandleFunc("POST /leave", w.leave)
	mux.Handle("GET /live", w.inside(people.Viewer, w.live))
	mux.Handle("GET /incident/{id}/postmortem.md", w.inside(people.Viewer, w.postMortem))
	for _, p := range pages {
		mux.Handle("GET "+p.pattern, w.inside(p.role, func(rw http.ResponseWriter, r *http.Request, v visitor) { w.show(rw, r, v, p) }))
	}
	mux.HandleFunc("/", w.elsewhere)
	squeeze, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.ContentTypes([]string{"text/html", "text/css", "text/javascript", "image/svg+xml"}))
	if err != nil {
		panic(err) // its options are constant
	}
	return w.guard(squeeze(mux))
}

// guard sets what every answer carries, and refuses what another site's page sends.
func (w *Web) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // an incident's id stays here; our own forms still name their origin
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("X-Robots-Tag", "noindex")
		h.Set("Cache-Control", "no-store")
		if w.https(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if err := w.origins.Check(r); err != nil {
			w.refuse(rw, r, http.StatusForbidden, problem{title: func(p words) string { return p.Sprintf("This form was sent from another page.") }})
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// https says whether the browser's connection is encrypted, as far as we know it by ourselves. Headers of a proxy are
// not believed: anybody can send them.
func (w *Web) https(r *http.Request) bool { return w.secure || r.TLS != nil }
