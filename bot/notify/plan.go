package notify

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/bukahou/atlhyper/engine/document"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/rota"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// The targets that need no entry.
const (
	OnCall = "oncall" // whoever is on call
	Chat   = "chat"   // the channels of the bot; for schedules alone, since incidents are there anyway
)

// Plan is who is told what, and when. It is read from a file:
//
//	zone: Europe/Berlin              # of all times that name none; UTC when left out
//	mail:
//	  server: smtp.example.com:587
//	  tls: starttls                  # the default; implicit (port 465), or none
//	  username: atlhyper
//	  password: {env: SMTP_PASSWORD} # or {file: /run/secrets/smtp}
//	  from: AtlHyper <atlhyper@example.com>
//	targets:
//	- {name: ops, mail: [ops@example.com], lang: ja}
//	- {name: alerts, slack: {env: OPS_WEBHOOK}}
//	- {name: pager, webhook: {env: PAGER_URL}, token: {file: /run/secrets/pager}}
//	routes:                          # the first that matches counts, unless it says continue
//	- clusters: [prod-*]
//	  namespaces: [shop]
//	  severity: high                 # at least
//	  hours: {days: mon-fri, from: "09:00", to: "18:00"}
//	  to: [ops]
//	  continue: true
//	- {severity: critical, to: [pager, oncall]}
//	default: [alerts]                # when no route matches
//	rota: {…}                        # see package rota
//	schedules:
//	- {name: morning, send: digest, at: "0 9 * * mon-fri", to: [chat, ops]}
//	- {name: shift, send: handover, to: [chat, oncall]}
//	- {name: week, send: slo, at: "0 9 * * mon", to: [chat]}
type Plan struct {
	Mail      *MailServer
	Targets   []Target
	Routes    []Route
	Default   []string
	Rota      *rota.Rota // nil: nobody is on call
	Schedules []Schedule
}

// MailServer is where mail is handed in.
type MailServer struct {
	Host               string
	Port               int
	TLS                string // starttls, implicit or none
	Username, Password string
	From               string
}

// Target is one that is told. Exactly one of Mail, Slack and Webhook is set.
type Target struct {
	Name    string
	Mail    []string // addresses
	Slack   string   // the URL of an incoming webhook: a secret
	Webhook string   // a URL, which may hold a secret
	Token   string   // of Webhook: sent as a Bearer token
	Lang    string   // "" for the default
}

// Route says who is told of which incidents. Empty fields match all.
type Route struct {
	Clusters, Namespaces []string // patterns, such as prod-*
	Severity             incident.Severity
	Hours                *rota.Hours
	To                   []string
	Continue             bool
}

// severities in their order.
var severities = []incident.Severity{incident.SeverityLow, incident.SeverityMedium, incident.SeverityHigh, incident.SeverityCritical}

func rank(s incident.Severity) int { return slices.Index(severities, s) }

func (r Route) matches(i *incident.Incident, now time.Time) bool {
	fits := func(patterns []string, name string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
			ok, err := path.Match(p, name)
			return ok && err == nil // patterns were checked when they were read
		})
	}
	return fits(r.Clusters, i.Cluster) && fits(r.Namespaces, i.Namespace) && rank(i.Severity) >= rank(r.Severity) && (r.Hours == nil || r.Hours.Hold(now))
}

// Route names the targets of an incident, each once; whoever is on call by name. Unmanned says that nobody is, and somebody
// should be told.
func (p *Plan) Route(i *incident.Incident, now time.Time) (targets []string, unmanned bool) {
	var out []string
	matched := false
	for _, r := range p.Routes {
		if !r.matches(i, now) {
			continue
		}
		matched = true
		out = append(out, r.To...)
		if !r.Continue {
			break
		}
	}
	if !matched {
		out = append(out, p.Default...)
	}
	if i := slices.Index(out, OnCall); i >= 0 {
		// The person is named here, so that who was told of it is told of its end, whoever is on call then.
		out = slices.DeleteFunc(out, func(t string) bool { return t == OnCall })
		d, ok := p.Rota.At(now)
		if unmanned = !ok; ok {
			out = append(out, onCallPrefix+d.Person.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), unmanned
}

// onCallPrefix begins the target that is a person of the rota.
const onCallPrefix = OnCall + "/"

// person gives the person of the rota that a target is.
func (p *Plan) person(target string) (rota.Person, bool) {
	name, ok := strings.CutPrefix(target, onCallPrefix)
	if !ok || p.Rota == nil {
		return rota.Person{}, false
	}
	i := slices.IndexFunc(p.Rota.People, func(x rota.Person) bool { return x.Name == name })
	if i < 0 {
		return rota.Person{}, false
	}
	return p.Rota.People[i], true
}

// ReadFile reads a plan from a file.
func ReadFile(name string) (*Plan, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the routes: %w", err)
	}
	p, err := Parse(raw, os.Getenv, os.ReadFile)
	if err != nil {
		return nil, fmt.Errorf("routes %s: %w", name, err)
	}
	return p, nil
}

// Parse reads a plan. Its error names every fault with its line. getenv and readFile give the secrets that it refers to.
func Parse(raw []byte, getenv func(string) string, readFile func(string) ([]byte, error)) (*Plan, error) {
	r, root, err := document.Parse(raw)
	if err != nil {
		return nil, err
	}
	f := &planFile{Reader: r, plan: &Plan{}, zone: time.UTC, getenv: getenv, readFile: readFile}
	parts := map[string]*document.Node{}
	fields := map[string]func(*document.Node){"zone": func(n *document.Node) { f.zone = rota.Zone(r, n) }}
	for _, name := range []string{"mail", "targets", "routes", "default", "rota", "schedules"} {
		fields[name] = func(n *document.Node) { parts[name] = n }
	}
	r.Fields(root, fields)
	for _, part := range []struct { // in the order in which one needs the other, whatever theirs is in the file
		name string
		read func(*document.Node)
	}{
		{"mail", f.mail}, {"rota", f.rota}, {"targets", func(n *document.Node) { r.Each(n, f.target) }}, {"routes", func(n *document.Node) { r.Each(n, f.route) }},
		{"default", func(n *document.Node) { f.plan.Default = f.to(n, false) }}, {"schedules", func(n *document.Node) { r.Each(n, f.schedule) }},
	} {
		if n := parts[part.name]; n != nil {
			part.read(n)
		}
	}
	return f.plan, r.Err()
}

type planFile struct {
	*document.Reader
	plan     *Plan
	zone     *time.Location
	getenv   func(string) string
	readFile func(string) ([]byte, error)
}

// secret reads {env: NAME} or {file: PATH}. The value itself never stands in the file, which is kept where many read it.
func (f *planFile) secret(n *document.Node) string {
	var out string
	given := 0
	f.Fields(n, map[string]func(*document.Node){
		"env": func(n *document.Node) {
			given++
			name := f.Text(n)
			if out = strings.TrimSpace(f.getenv(name)); out == "" && name != "" {
				f.Fault(n, "the variable %s is empty: set it to the secret", name)
			}
		},
		"file": func(n *document.Node) {
			given++
			raw, err := f.readFile(f.Text(n))
			if err != nil {
				f.Fault(n, "the secret cannot be read: %v", err)
				return
			}
			if out = strings.TrimSpace(string(raw)); out == "" {
				f.Fault(n, "the file of the secret is empty")
			}
		},
	})
	if given != 1 {
		f.Fault(n, "name the secret by env or by file: {env: NAME}")
	}
	return out
}

// address is a secret that is a URL. A fault never repeats it.
func (f *planFile) address(n *document.Node) string {
	text := f.secret(n)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		f.Fault(n, "what it names is no URL: it must begin with https:// or http:// and have a host")
		return ""
	}
	return text
}

func (f *planFile) mail(n *document.Node) {
	m := &MailServer{TLS: "starttls"}
	var server *document.Node
	f.Fields(n, map[string]func(*document.Node){
		"server": func(n *document.Node) { server = n },
		"tls": func(n *document.Node) {
			if m.TLS = f.Text(n); !slices.Contains([]string{"starttls", "implicit", "none"}, m.TLS) {
				f.Fault(n, "%q is no way of TLS: write starttls, implicit or none", m.TLS)
			}
		},
		"username": func(n *document.Node) { m.Username = f.Text(n) },
		"password": func(n *document.Node) { m.Password = f.secret(n) },
		"from": func(n *document.Node) {
			m.From = f.Text(n)
			if _, err := mail.ParseAddress(m.From); err != nil {
				f.Fault(n, "%q is no sender: write it as AtlHyper <atlhyper@example.com>", m.From)
			}
		},
	})
	switch {
	case server == nil:
		f.Fault(n, "mail needs server, such as smtp.example.com:587")
	case m.From == "":
		f.Fault(n, "mail needs from, the sender's address")
	case (m.Username == "") != (m.Password == ""):
		f.Fault(n, "a username needs a password, and a password a username")
	case m.Username != "" && m.TLS == "none":
		f.Fault(n, "a password must not go over the network without TLS: leave tls out, or username and password")
	}
	if server != nil {
		host, port, err := net.SplitHostPort(f.Text(server))
		number, bad := strconv.Atoi(port)
		if err != nil || bad != nil || host == "" || number < 1 || number > 65535 {
			f.Fault(server, "%q is no server: write HOST:PORT, such as smtp.example.com:587", server.Value)
		}
		m.Host, m.Port = host, number
	}
	f.plan.Mail = m
}

func (f *planFile) rota(n *document.Node) {
	f.plan.Rota = rota.Read(f.Reader, n, f.zone)
	for _, p := range f.plan.Rota.People {
		if p.Mail != "" && f.plan.Mail == nil {
			f.Fault(n, "%s has a mail address, and there is no mail server: add mail", p.Name)
			return
		}
	}
}

func (f *planFile) target(n *document.Node) {
	var t Target
	kinds := 0
	f.Fields(n, map[string]func(*document.Node){
		"name": func(n *document.Node) { t.Name = f.Text(n) },
		"mail": func(n *document.Node) {
			kinds++
			f.Several(n, func(n *document.Node) { t.Mail = append(t.Mail, rota.Address(f.Reader, n)) })
			if f.plan.Mail == nil {
				f.Fault(n, "there is no mail server: add mail")
			}
		},
		"slack":   func(n *document.Node) { kinds++; t.Slack = f.address(n) },
		"webhook": func(n *document.Node) { kinds++; t.Webhook = f.address(n) },
		"token":   func(n *document.Node) { t.Token = f.secret(n) },
		"lang":    func(n *document.Node) { t.Lang = f.lang(n) },
	})
	switch {
	case t.Name == "" || strings.ContainsAny(t.Name, "/@ "):
		f.Fault(n, "a target needs a name without spaces, / and @")
	case t.Name == OnCall || t.Name == Chat:
		f.Fault(n, "%s is a name of ours: choose another", t.Name)
	case kinds != 1:
		f.Fault(n, "target %s needs one of mail, slack and webhook", t.Name)
	case t.Token != "" && t.Webhook == "":
		f.Fault(n, "a token is for a webhook")
	case slices.ContainsFunc(f.plan.Targets, func(x Target) bool { return x.Name == t.Name }):
		f.Fault(n, "two targets are named %s", t.Name)
	}
	f.plan.Targets = append(f.plan.Targets, t)
}

func (f *planFile) lang(n *document.Node) string {
	lang := f.Text(n)
	if !slices.Contains(phrase.Langs, lang) {
		f.Fault(n, "%q is not spoken: write one of %s", lang, strings.Join(phrase.Langs, ", "))
	}
	return lang
}

// to reads names of targets.
func (f *planFile) to(n *document.Node, scheduled bool) []string {
	names := f.Texts(n)
	for _, name := range names {
		switch {
		case name == OnCall && f.plan.Rota == nil:
			f.Fault(n, "nobody can be on call without a rota: add rota")
		case name == Chat && !scheduled:
			f.Fault(n, "incidents are in the chat anyway: %s is for schedules", Chat)
		case name == "", name == OnCall, name == Chat:
		case !slices.ContainsFunc(f.plan.Targets, func(t Target) bool { return t.Name == name }):
			f.Fault(n, "there is no target %s: add it to targets", name)
		}
	}
	return names
}

func (f *planFile) patterns(n *document.Node) []string {
	all := f.Texts(n)
	for _, p := range all {
		if _, err := path.Match(p, ""); err != nil {
			f.Fault(n, "%q is no pattern: write a name, or one with * in it", p)
		}
	}
	return all
}

func (f *planFile) route(n *document.Node) {
	r := Route{Severity: incident.SeverityLow}
	f.Fields(n, map[string]func(*document.Node){
		"clusters":   func(n *document.Node) { r.Clusters = f.patterns(n) },
		"namespaces": func(n *document.Node) { r.Namespaces = f.patterns(n) },
		"severity": func(n *document.Node) {
			if r.Severity = incident.Severity(f.Text(n)); rank(r.Severity) < 0 {
				f.Fault(n, "%q is no severity: write low, medium, high or critical", r.Severity)
			}
		},
		"hours":    func(n *document.Node) { h := rota.ReadHours(f.Reader, n, f.zone); r.Hours = &h },
		"to":       func(n *document.Node) { r.To = f.to(n, false) },
		"continue": func(n *document.Node) { r.Continue = f.Flag(n) },
	})
	if len(r.To) == 0 {
		f.Fault(n, "a route needs to, the names of its targets")
	}
	f.plan.Routes = append(f.plan.Routes, r)
}

func (f *planFile) schedule(n *document.Node) {
	s := Schedule{Zone: f.zone}
	var at string
	var atNode *document.Node
	f.Fields(n, map[string]func(*document.Node){
		"name": func(n *document.Node) { s.Name = f.Text(n) },
		"send": func(n *document.Node) {
			if s.Send = f.Text(n); !slices.Contains([]string{Digest, HandOver, Objectives}, s.Send) {
				f.Fault(n, "%q is no report: write %s, %s or %s", s.Send, Digest, HandOver, Objectives)
			}
		},
		"at":   func(n *document.Node) { at, atNode = f.Text(n), n },
		"zone": func(n *document.Node) { s.Zone = rota.Zone(f.Reader, n) },
		"to":   func(n *document.Node) { s.To = f.to(n, true) },
		"lang": func(n *document.Node) { s.Lang = f.lang(n) },
	})
	switch {
	case s.Name == "":
		f.Fault(n, "a schedule needs a name")
	case slices.ContainsFunc(f.plan.Schedules, func(x Schedule) bool { return x.Name == s.Name }):
		f.Fault(n, "two schedules are named %s", s.Name)
	case s.Send == "":
		f.Fault(n, "schedule %s needs send: %s, %s or %s", s.Name, Digest, HandOver, Objectives)
	case len(s.To) == 0:
		f.Fault(n, "schedule %s needs to, the names of its targets", s.Name)
	case s.Send == HandOver && f.plan.Rota == nil:
		f.Fault(n, "a hand-over needs a rota: add rota")
	case s.Send == HandOver && atNode != nil:
		f.Fault(atNode, "a hand-over comes when the shift changes: leave at out")
	case s.Send != HandOver && atNode == nil:
		f.Fault(n, "schedule %s needs at, such as \"0 9 * * mon-fri\"", s.Name)
	case s.Send == HandOver:
		s.when = handOver{f.plan.Rota}
	default:
		spec, err := standard(at, s.Zone)
		if err != nil {
			f.Fault(atNode, "%q is no time to repeat: %v; write minute, hour, day, month and weekday, such as \"0 9 * * mon-fri\"", at, err)
		}
		s.when = spec
	}
	f.plan.Schedules = append(f.plan.Schedules, s)
}

// standard reads a cron line of five fields in a zone.
func standard(text string, zone *time.Location) (cron.Schedule, error) {
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		return nil, errors.New("the time zone stands in zone")
	}
	return cron.ParseStandard("CRON_TZ=" + zone.String() + " " + text)
}

// find gives a target by its name.
func (p *Plan) find(name string) (Target, bool) {
	if who, ok := p.person(name); ok {
		return Target{Name: name, Mail: []string{who.Mail}}, true
	}
	i := slices.IndexFunc(p.Targets, func(t Target) bool { return t.Name == name })
	if i < 0 {
		return Target{}, false
	}
	return p.Targets[i], true
}

// secrets are what no log and no error may show.
func (p *Plan) secrets() []string {
	var out []string
	if p.Mail != nil {
		out = append(out, p.Mail.Password)
	}
	for _, t := range p.Targets {
		out = append(out, t.Slack, t.Webhook, t.Token)
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// Mask takes the plan's secrets out of a text.
func (p *Plan) Mask(text string) string {
	for _, s := range p.secrets() {
		text = strings.ReplaceAll(text, s, "[secret]")
		if u, err := url.Parse(s); err == nil && len(cmp.Or(u.Path, u.RawQuery)) > 1 {
			text = strings.ReplaceAll(text, u.RequestURI(), "[secret]")
		}
	}
	return text
}
