package web

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/bukahou/atlhyper/bot/web/visit"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// visitor is who asks for a page.
type visitor struct {
	person people.Person
	role   people.Role // looked up now: what was granted or revoked since the session began counts
	lang   string
}

func (v visitor) caller() tools.Caller {
	return tools.Caller{Person: v.person, Lang: v.lang, Place: "web"}
}

// cookie is the session's. The prefix makes browsers refuse one that another host of the same domain has set.
func (w *Web) cookie(r *http.Request) string {
	if w.https(r) {
		return "__Host-atlhyper"
	}
	return "atlhyper"
}

func (w *Web) token(r *http.Request) string {
	c, err := r.Cookie(w.cookie(r))
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie gives the browser its session, or takes it away when token is empty. Lax, not Strict: the links on incident
// cards come from another site and must find the session; no request that a link can make changes anything.
func (w *Web) setCookie(rw http.ResponseWriter, r *http.Request, token string) {
	c := &http.Cookie{Name: w.cookie(r), Value: token, Path: "/", HttpOnly: true, Secure: w.https(r), SameSite: http.SameSiteLaxMode}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(rw, c)
}

// inside lets only those through who have entered and have the role.
func (w *Web) inside(need people.Role, next func(http.ResponseWriter, *http.Request, visitor)) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s, ok, err := w.porter.Who(r.Context(), w.token(r))
		switch {
		case err != nil:
			w.fail(rw, r, err)
			return
		case !ok:
			w.refuse(rw, r, http.StatusUnauthorized, problem{door: true, title: func(p words) string { return p.Sprintf("Enter with a link from the chat.") }})
			return
		}
		v := visitor{person: s.Person, role: w.cfg.Engine.People.Highest(s.Person), lang: cmp.Or(w.cfg.Engine.People.Lang(s.Person.ID), langOf(r))}
		if v.role < need {
			w.refuse(rw, r, http.StatusForbidden, problem{
				visitor: &v,
				title:   func(p words) string { return p.Sprintf("This page needs the role %s, and you are %s.", need, v.role) },
				remedy:  func(p words) string { return p.Sprintf("An admin can grant it.") },
			})
			return
		}
		next(rw, r, v)
	})
}

// enterPage is where a link leads. It uses nothing up: programs that look at links, for a preview or for a virus, fetch
// this page and see a form.
func (w *Web) enterPage(rw http.ResponseWriter, r *http.Request) {
	w.refuse(rw, r, http.StatusOK, problem{door: true, title: func(p words) string { return p.Sprintf("Enter with a link from the chat.") }})
}

func (w *Web) enter(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, 4096)
	code := strings.TrimSpace(r.PostFormValue("code"))
	if i := strings.LastIndexByte(code, '#'); i >= 0 { // somebody pasted the whole link
		code = code[i+1:]
	}
	token, link, err := w.porter.Enter(r.Context(), code)
	switch {
	case errors.Is(err, visit.ErrLink):
		w.refuse(rw, r, http.StatusForbidden, problem{
			door:   true,
			title:  func(p words) string { return p.Sprintf("That link was used already, or it is too old.") },
			remedy: func(p words) string { return p.Sprintf("Ask for another with /atl web.") },
		})
	case err != nil:
		w.fail(rw, r, err)
	default:
		w.begin(rw, r, token, link.Person, link.Path)
	}
}

func (w *Web) login(rw http.ResponseWriter, r *http.Request) {
	if w.secret == nil {
		w.elsewhere(rw, r)
		return
	}
	if !w.limits.try(remote(r)) {
		w.tooMany(rw, r)
		return
	}
	r.Body = http.MaxBytesReader(rw, r.Body, 4096)
	if !w.secret.opens(r.Context(), r.PostFormValue("name"), r.PostFormValue("password")) {
		w.log.Warn("wrong password", "remote", remote(r))
		w.refuse(rw, r, http.StatusForbidden, problem{door: true, title: func(p words) string { return p.Sprintf("That name and password open nothing.") }})
		return
	}
	who := people.Person{ID: "web:" + w.cfg.Username, Name: w.cfg.Username, Given: people.Admin}
	token, err := w.porter.Admit(r.Context(), who)
	if err != nil {
		w.fail(rw, r, err)
		return
	}
	w.begin(rw, r, token, who, r.PostFormValue("next"))
}

// begin ends the session that the browser had, if any, and gives it the new one.
func (w *Web) begin(rw http.ResponseWriter, r *http.Request, token string, who people.Person, path string) {
	if err := w.porter.Leave(r.Context(), w.token(r)); err != nil {
		w.fail(rw, r, err)
		return
	}
	if _, err := w.cfg.Engine.Audit.Append(r.Context(), who, "web.entered", "", "", map[string]string{"remote": remote(r)}); err != nil {
		w.fail(rw, r, errors.Join(err, w.porter.Leave(r.Context(), token)))
		return
	}
	w.setCookie(rw, r, token)
	http.Redirect(rw, r, visit.Local(path), http.StatusSeeOther)
}

func (w *Web) leave(rw http.ResponseWriter, r *http.Request) {
	if err := w.porter.Leave(r.Context(), w.token(r)); err != nil {
		w.fail(rw, r, err)
		return
	}
	w.setCookie(rw, r, "")
	http.Redirect(rw, r, "/enter", http.StatusSeeOther)
}

func (w *Web) tooMany(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Retry-After", "60")
	w.refuse(rw, r, http.StatusTooManyRequests, problem{
		title:  func(p words) string { return p.Sprintf("Too many tries.") },
		remedy: func(p words) string { return p.Sprintf("Wait a minute.") },
	})
}

// remote is the address that the connection comes from.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// langOf is the first language of the browser's that we speak.
func langOf(r *http.Request) string {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		if lang := phrase.Match(tag); strings.HasPrefix(strings.ToLower(tag), lang) {
			return lang
		}
	}
	return "en"
}
