package people

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Grant gives a role within a scope. An empty Cluster means every cluster, an empty Namespace every namespace and the
// cluster-scoped objects with it.
type Grant struct {
	Subject   string    `json:"subject"` // a person's or a group's id: "slack:U123", "discord:role:99", "email:mia@example.com"
	Role      Role      `json:"role"`
	Cluster   string    `json:"cluster,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	Human     string    `json:"human,omitempty"` // whose id it is: two ids with the same human cannot approve for each other
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	// Fixed says that it stands in the people file, and is changed there.
	Fixed bool `json:"fixed,omitempty"`
}

// covers says whether the grant holds at a scope. A grant for one namespace never covers a cluster-scoped object.
func (g Grant) covers(cluster, namespace string) bool {
	return (g.Cluster == "" || g.Cluster == cluster) && (g.Namespace == "" || g.Namespace == namespace)
}

// Store keeps grants, one for each subject and scope, and languages, one for each subject. A change is durable when its method returns nil.
// Implementations are safe for concurrent use.
type Store interface {
	Grants(ctx context.Context) ([]Grant, error)
	// PutGrant adds a grant, or replaces the one of the same subject, cluster and namespace.
	PutGrant(ctx context.Context, g Grant) error
	// DeleteGrant reports whether there was one.
	DeleteGrant(ctx context.Context, subject, cluster, namespace string) (bool, error)
	// Langs gives the language that each subject asked for.
	Langs(ctx context.Context) (map[string]string, error)
	// PutLang keeps a subject's language; "" forgets it.
	PutLang(ctx context.Context, subject, lang string) error
}

// Config of a Directory.
type Config struct {
	Store  Store
	Admins []string         // ids that are admin everywhere, from configuration: "slack:U123"
	File   *File            // grants of the people file; nil when there is none
	Now    func() time.Time // default time.Now
	Logger *slog.Logger
}

// Directory answers who may do what. It is safe for concurrent use. It holds the grants in memory: it is the only
// writer of its store, so that a revocation counts from the moment at which Revoke returns.
type Directory struct {
	cfg Config

	mu     sync.RWMutex // guards grants and langs; held over a write to the store, so that memory and store change in one order
	grants []Grant
	langs  map[string]string // by subject
	fixed  []Grant           // of the file; never changed
	humans map[string]string // of the file: id → whose it is; never changed
}

// New loads the grants.
func New(ctx context.Context, cfg Config) (*Directory, error) {
	if cfg.Store == nil {
		return nil, errors.New("people: a store is needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for _, id := range cfg.Admins {
		if err := checkSubject(id); err != nil {
			return nil, fmt.Errorf("admin list: %w", err)
		}
	}
	grants, err := cfg.Store.Grants(ctx)
	if err != nil {
		return nil, fmt.Errorf("load grants: %w", err)
	}
	langs, err := cfg.Store.Langs(ctx)
	if err != nil {
		return nil, fmt.Errorf("load languages: %w", err)
	}
	if langs == nil {
		langs = map[string]string{}
	}
	d := &Directory{cfg: cfg, grants: grants, langs: langs}
	if cfg.File != nil {
		d.fixed, d.humans = cfg.File.grants, cfg.File.humans
	}
	return d, nil
}

// RoleOf gives the role of a person for one place; namespace is empty for a cluster-scoped object. The highest role
// of the person and of the person's groups counts. Nobody is the answer for a stranger and for someone without an id.
func (d *Directory) RoleOf(p Person, cluster, namespace string) Role {
	return d.highest(p, func(g Grant) bool { return g.covers(cluster, namespace) })
}

// Highest gives the role that a person has somewhere. It says which tools are worth offering, never whether one may run.
func (d *Directory) Highest(p Person) Role { return d.highest(p, func(Grant) bool { return true }) }

func (d *Directory) highest(p Person, counts func(Grant) bool) Role {
	switch {
	case p.Stranger || p.ID == "":
		return Nobody
	case p.Local:
		return Admin
	}
	role := max(Viewer, p.Given)
	d.mu.RLock()
	defer d.mu.RUnlock()
	ids := d.subjects(p)
	for _, id := range ids {
		if slices.Contains(d.cfg.Admins, id) {
			return Admin
		}
	}
	for _, list := range [][]Grant{d.grants, d.fixed} {
		for _, g := range list {
			if g.Role > role && slices.Contains(ids, g.Subject) && counts(g) {
				role = g.Role
			}
		}
	}
	return role
}

// subjects are the ids under which a person may have been granted something: the person's own, the address, the groups.
func (d *Directory) subjects(p Person) []string {
	out := append([]string{p.ID}, p.Groups...)
	if p.Email != "" {
		out = append(out, "email:"+strings.ToLower(p.Email))
	}
	return out
}

// Same says whether two ids are known to be one human. The rule that another must approve counts humans, not accounts.
func (d *Directory) Same(a, b Person) bool {
	if a.ID == b.ID || a.Email != "" && strings.EqualFold(a.Email, b.Email) {
		return true
	}
	h := d.human(a)
	return h != "" && h == d.human(b)
}

func (d *Directory) human(p Person) string {
	if h := d.humans[p.ID]; h != "" {
		return h
	}
	if h := d.humans["email:"+strings.ToLower(p.Email)]; h != "" {
		return h
	}
	id := p.ID
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, g := range d.grants {
		if g.Subject == id && g.Human != "" {
			return g.Human
		}
	}
	return ""
}

// Of lists the grants that count for a person: their own, their address's and their groups'. Nothing counts for a stranger.
func (d *Directory) Of(p Person) []Grant {
	if p.Stranger || p.ID == "" {
		return nil
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	ids := d.subjects(p)
	return slices.DeleteFunc(slices.Concat(d.grants, d.fixed), func(g Grant) bool { return !slices.Contains(ids, g.Subject) })
}

// Grants lists what is granted, by subject and scope.
func (d *Directory) Grants() []Grant {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Concat(d.grants, d.fixed)
}

// Admins lists the ids that are admin everywhere by configuration.
func (d *Directory) Admins() []string { return slices.Clone(d.cfg.Admins) }

// Grant gives a role. The caller has checked that g.By may.
func (d *Directory) Grant(ctx context.Context, g Grant) error {
	g.Subject = normal(g.Subject)
	if err := checkSubject(g.Subject); err != nil {
		return err
	}
	if g.Role < Viewer || g.Role > Admin {
		return fmt.Errorf("grant to %s: the role must be viewer, operator or admin; revoke takes one away", g.Subject)
	}
	if g.Cluster == "" && g.Namespace != "" {
		return fmt.Errorf("grant to %s: namespace %q needs a cluster", g.Subject, g.Namespace)
	}
	g.At, g.Fixed = d.cfg.Now(), false
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.cfg.Store.PutGrant(ctx, g); err != nil {
		return fmt.Errorf("grant to %s: %w", g.Subject, err)
	}
	d.grants = slices.DeleteFunc(d.grants, func(o Grant) bool { return o.sameScope(g.Subject, g.Cluster, g.Namespace) })
	d.grants = append(d.grants, g)
	slices.SortFunc(d.grants, func(a, b Grant) int {
		return strings.Compare(a.Subject+"\x00"+a.Cluster+"\x00"+a.Namespace, b.Subject+"\x00"+b.Cluster+"\x00"+b.Namespace)
	})
	d.cfg.Logger.Info("role granted", "subject", g.Subject, "role", g.Role.String(), "cluster", g.Cluster, "namespace", g.Namespace, "by", g.By)
	return nil
}

// Revoke takes a grant away and reports whether there was one. When the store fails, the grant no longer counts in
// this process all the same: doubt denies.
func (d *Directory) Revoke(ctx context.Context, subject, cluster, namespace string) (bool, error) {
	subject = normal(subject)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.grants = slices.DeleteFunc(d.grants, func(g Grant) bool { return g.sameScope(subject, cluster, namespace) })
	had, err := d.cfg.Store.DeleteGrant(ctx, subject, cluster, namespace)
	if err != nil {
		return false, fmt.Errorf("revoke from %s: %w", subject, err)
	}
	d.cfg.Logger.Info("role revoked", "subject", subject, "cluster", cluster, "namespace", namespace)
	return had, nil
}

func (g Grant) sameScope(subject, cluster, namespace string) bool {
	return g.Subject == subject && g.Cluster == cluster && g.Namespace == namespace
}

// normal writes an address small: addresses are compared so.
func normal(subject string) string {
	if strings.HasPrefix(subject, "email:") {
		return strings.ToLower(subject)
	}
	return subject
}

func checkSubject(id string) error {
	surface, rest, ok := strings.Cut(id, ":")
	if !ok || surface == "" || rest == "" || strings.ContainsAny(id, " \t\n") {
		return fmt.Errorf("person %q: must be written surface:id, such as slack:U123", id)
	}
	return nil
}
