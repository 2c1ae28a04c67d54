package tools

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// roleTools say who may do what. They are by hand: a role is given by an admin's own words.
var roleTools = []func(*engine.Engine) (Tool, error){grantTool, revokeTool, grantsTool, breakGlassTool, auditTool, langTool}

type grantArgs struct {
	Who   string `json:"who" jsonschema:"a mention, an e-mail address, or an id such as slack:U123"`
	Role  string `json:"role" jsonschema:"viewer, operator or admin"`
	Scope string `json:"scope,omitempty" jsonschema:"CLUSTER or CLUSTER/NAMESPACE; everywhere when left out"`
}

type revokeArgs struct {
	Who   string `json:"who" jsonschema:"a mention, an e-mail address, or an id such as slack:U123"`
	Scope string `json:"scope,omitempty" jsonschema:"CLUSTER or CLUSTER/NAMESPACE; everywhere when left out"`
}

func grantTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "grant", verb: "grant", usage: "grant WHO ROLE [CLUSTER[/NAMESPACE]]", pos: []string{"who", "role", "scope"}, role: people.Admin, hand: true}
	return define(s, func(ctx context.Context, caller Caller, a grantArgs) (*Result, error) {
		p := phrase.For(caller.Lang)
		g, err := scoped(e, caller, a.Who, a.Scope)
		if err != nil {
			return nil, err
		}
		if g.Role, err = people.ParseRole(strings.ToLower(a.Role)); err != nil || g.Role == people.Nobody {
			return nil, &Problem{Sentence: p.Sprintf("%q is no role.", a.Role), Remedy: p.Sprintf("It is viewer, operator or admin; revoke takes one away.")}
		}
		// Without its entry in the audit log no role is given.
		if _, err := e.Audit.Append(ctx, caller.Person, "role.granted", g.Cluster, g.Subject, map[string]string{"role": g.Role.String(), "namespace": g.Namespace, "question": caller.Question}); err != nil {
			return nil, err
		}
		g.By = caller.Person.ID
		if err := e.People.Grant(ctx, g); err != nil {
			return nil, err
		}
		return &Result{Headline: p.Sprintf("%s is %s in %s from now on.", g.Subject, g.Role, scopeOf(g)), Observed: e.Now(), Data: g}, nil
	})
}

func revokeTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "revoke", verb: "revoke", usage: "revoke WHO [CLUSTER[/NAMESPACE]]", pos: []string{"who", "scope"}, role: people.Admin, hand: true}
	return define(s, func(ctx context.Context, caller Caller, a revokeArgs) (*Result, error) {
		p := phrase.For(caller.Lang)
		g, err := scoped(e, caller, a.Who, a.Scope)
		if err != nil {
			return nil, err
		}
		// A role is taken away even when that cannot be written down: doubt denies.
		_, unwritten := e.Audit.Append(ctx, caller.Person, "role.revoked", g.Cluster, g.Subject, map[string]string{"namespace": g.Namespace, "question": caller.Question})
		had, err := e.People.Revoke(ctx, g.Subject, g.Cluster, g.Namespace)
		if err = cmp.Or(err, unwritten); err != nil {
			return nil, err
		}
		fixed := slices.ContainsFunc(e.People.Grants(), func(x people.Grant) bool {
			return x.Fixed && x.Subject == g.Subject && x.Cluster == g.Cluster && x.Namespace == g.Namespace
		})
		switch {
		case fixed || slices.Contains(e.People.Admins(), g.Subject):
			return nil, &Problem{Sentence: p.Sprintf("The role of %s stands in the configuration.", g.Subject), Remedy: p.Sprintf("Change the people file or the list of first admins, and restart.")}
		case !had:
			return nil, &Problem{Sentence: p.Sprintf("%s has no role of its own in %s.", g.Subject, scopeOf(g)), Remedy: p.Sprintf("Look at them with grants: each is taken away where it was given.")}
		}
		return &Result{Headline: p.Sprintf("%s has no role of its own in %s any more.", g.Subject, scopeOf(g)), Observed: e.Now(), Data: g}, nil
	})
}

func grantsTool(e *engine.Engine) (Tool, error) {
	return define(shape{name: "grants", verb: "grants", usage: "grants", role: people.Operator, hand: true}, func(_ context.Context, caller Caller, _ struct{}) (*Result, error) {
		p := phrase.For(caller.Lang)
		t := Table{Columns: []string{"WHO", "ROLE", "WHERE", "BY"}}
		for _, id := range e.People.Admins() {
			t.Rows = append(t.Rows, []string{id, people.Admin.String(), scopeOf(people.Grant{}), "configuration"})
		}
		all := e.People.Grants()
		for _, g := range all {
			by := g.By
			if !g.At.IsZero() {
				by += " " + g.At.UTC().Format("2006-01-02")
			}
			t.Rows = append(t.Rows, []string{g.Subject, g.Role.String(), scopeOf(g), by})
		}
		return &Result{Headline: p.Sprintf("%d roles are granted; everyone else of the team is a viewer.", len(t.Rows)), Observed: e.Now(), Tables: []Table{t}, Data: all}, nil
	})
}

func scopeOf(g people.Grant) string {
	switch {
	case g.Cluster == "":
		return "*"
	case g.Namespace == "":
		return g.Cluster
	}
	return g.Cluster + "/" + g.Namespace
}

// scoped reads whom and where a grant is about, and checks that the caller is an admin of that very place.
func scoped(e *engine.Engine, caller Caller, who, scope string) (people.Grant, error) {
	p := phrase.For(caller.Lang)
	subject, err := subjectOf(caller, who)
	if err != nil {
		return people.Grant{}, err
	}
	g := people.Grant{Subject: subject}
	g.Cluster, g.Namespace, _ = strings.Cut(scope, "/")
	if g.Cluster == "*" {
		g.Cluster = ""
	}
	if ids := e.Fleet.Clusters(); g.Cluster != "" && !slices.Contains(ids, g.Cluster) {
		return g, &Problem{Sentence: p.Sprintf("There is no cluster %q.", g.Cluster), Remedy: p.Sprintf("Known clusters: %s.", cmp.Or(strings.Join(ids, ", "), "–"))}
	}
	if g.Cluster == "" && g.Namespace != "" || strings.Contains(g.Namespace, "/") {
		return g, &Problem{Sentence: p.Sprintf("%q is no place.", scope), Remedy: p.Sprintf("Write CLUSTER or CLUSTER/NAMESPACE.")}
	}
	if role := e.People.RoleOf(caller.Person, g.Cluster, g.Namespace); role < people.Admin {
		return g, &Problem{Sentence: p.Sprintf("Only an admin of %s gives and takes roles there, and you are %s.", scopeOf(g), role), Remedy: p.Sprintf("Ask an admin: grants lists them.")}
	}
	return g, nil
}

var (
	address   = regexp.MustCompile(`^[^\s@<>|:]+@[^\s@<>|:]+\.[^\s@<>|:]+$`)
	discordID = regexp.MustCompile(`^<@([!&]?)(\d+)>$`)
	ownID     = regexp.MustCompile(`^(slack|discord|client|terminal|email):\S+$`)
)

// subjectOf reads a person or a group: as the platform mentions them, by address, or by id. A bare name is refused: on
// no platform does it say who is meant.
func subjectOf(caller Caller, who string) (string, error) {
	p := phrase.For(caller.Lang)
	who = strings.TrimSpace(who)
	if id := caller.Mentioned[who]; id != "" {
		return id, nil
	}
	surface, _, _ := strings.Cut(caller.Place, "/")
	if m := discordID.FindStringSubmatch(who); m != nil && surface == "discord" {
		if m[1] == "&" {
			return "discord:role:" + m[2], nil
		}
		return "discord:" + m[2], nil
	}
	switch {
	case address.MatchString(who):
		return "email:" + strings.ToLower(who), nil
	case ownID.MatchString(who):
		return who, nil
	}
	return "", &Problem{
		Sentence: p.Sprintf("%q does not say who is meant.", fmt.Sprint(who)),
		Remedy:   p.Sprintf("Mention the person or the group, or write an address or an id such as slack:U123."),
	}
}
