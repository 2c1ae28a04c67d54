// Package visit lets people in to the page: a link that works once, and the session that it opens. Neither is stored,
// only its hash, so that nobody who reads the database can enter. What a person may see is looked up at each request,
// not here: a role that is revoked counts at once.
package visit

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/people"
)

// Link is what a link opens, for whom and until when.
type Link struct {
	Person  people.Person
	Path    string // where it leads: "/", "/incident/INC-7"
	Expires time.Time
}

// Session is one browser of one person.
type Session struct {
	Person  people.Person
	Begun   time.Time
	Expires time.Time
}

// Store keeps links and sessions under the SHA-256 of their tokens. A person comes back with the role that a token of
// theirs gave. Implementations are safe for concurrent use, and what they stored is durable when they return nil.
type Store interface {
	PutLink(ctx context.Context, hash []byte, l Link) error
	// TakeLink uses a link up and gives it: of many who try at once, one gets it. ok is false for one that is unknown,
	// used or over at now.
	TakeLink(ctx context.Context, hash []byte, now time.Time) (l Link, ok bool, err error)
	PutSession(ctx context.Context, hash []byte, s Session) error
	// Session gives one that has not ended at now.
	Session(ctx context.Context, hash []byte, now time.Time) (s Session, ok bool, err error)
	EndSession(ctx context.Context, hash []byte) error
}

// Config of a Porter.
type Config struct {
	Store      Store
	LinkFor    time.Duration    // default 5 min
	SessionFor time.Duration    // default 12 h: a shift
	Now        func() time.Time // default time.Now
}

// Porter hands out links and knows who has entered. It is safe for concurrent use.
type Porter struct{ cfg Config }

// ErrLink is returned for a link that opens nothing: it was used, it is over, or it never was one.
var ErrLink = errors.New("the link was used already or is too old")

// New checks the configuration.
func New(cfg Config) (*Porter, error) {
	if cfg.Store == nil {
		return nil, errors.New("visit: a store is needed")
	}
	cfg.LinkFor = cmp.Or(cfg.LinkFor, 5*time.Minute)
	cfg.SessionFor = cmp.Or(cfg.SessionFor, 12*time.Hour)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Porter{cfg}, nil
}

// Link makes a link's token for a person. path is where it leads; anything but a path of this page becomes "/".
func (p *Porter) Link(ctx context.Context, who people.Person, path string) (token string, till time.Time, err error) {
	token, hash := draw()
	till = p.cfg.Now().Add(p.cfg.LinkFor)
	if err := p.cfg.Store.PutLink(ctx, hash, Link{Person: who, Path: Local(path), Expires: till}); err != nil {
		return "", time.Time{}, fmt.Errorf("make a link: %w", err)
	}
	return token, till, nil
}

// Enter uses a link up and begins a session. The session's token is always a new one: none that a browser brought
// along can be made somebody's.
func (p *Porter) Enter(ctx context.Context, link string) (token string, l Link, err error) {
	l, ok, err := p.cfg.Store.TakeLink(ctx, hash(link), p.cfg.Now())
	switch {
	case err != nil:
		return "", Link{}, fmt.Errorf("use a link: %w", err)
	case !ok:
		return "", Link{}, ErrLink
	}
	token, err = p.Admit(ctx, l.Person)
	return token, l, err
}

// Admit begins a session of somebody who has proved who they are.
func (p *Porter) Admit(ctx context.Context, who people.Person) (token string, err error) {
	token, hash := draw()
	now := p.cfg.Now()
	if err := p.cfg.Store.PutSession(ctx, hash, Session{Person: who, Begun: now, Expires: now.Add(p.cfg.SessionFor)}); err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	return token, nil
}

// Who gives the session of a token; ok is false for one that has ended or never was.
func (p *Porter) Who(ctx context.Context, token string) (s Session, ok bool, err error) {
	if token == "" {
		return Session{}, false, nil
	}
	return p.cfg.Store.Session(ctx, hash(token), p.cfg.Now())
}

// Leave ends a session.
func (p *Porter) Leave(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	return p.cfg.Store.EndSession(ctx, hash(token))
}

// Local gives path if it is one of this page, and "/" otherwise: "//evil.example" and "/\evil.example" are other
// hosts to a browser.
func Local(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t\x00") {
		return "/"
	}
	return path
}

// draw makes a token of 256 random bits.
func draw() (token string, sum []byte) {
	var b [32]byte
	rand.Read(b[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, hash(token)
}

func hash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
