package people_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/bukahou/atlhyper/engine/people"
)

// memory is a Store whose disk can be made to fail.
type memory struct {
	grants []people.Grant
	langs  map[string]string
	broken bool
}

var errDisk = errors.New("disk failure")

func (m *memory) Grants(context.Context) ([]people.Grant, error) { return slices.Clone(m.grants), nil }

func (m *memory) Langs(context.Context) (map[string]string, error) { return maps.Clone(m.langs), nil }

func (m *memory) PutLang(_ context.Context, subject, lang string) error {
	if m.broken {
		return errDisk
	}
	if m.langs == nil {
		m.langs = map[string]string{}
	}
	m.langs[subject] = lang
	return nil
}

func (m *memory) PutGrant(ctx context.Context, g people.Grant) error {
	if m.broken {
		return errDisk
	}
	_, err := m.DeleteGrant(ctx, g.Subject, g.Cluster, g.Namespace)
	m.grants = append(m.grants, g)
	return err
}

func (m *memory) DeleteGrant(_ context.Context, subject, cluster, namespace string) (bool, error) {
	if m.broken {
		return false, errDisk
	}
	before := len(m.grants)
	m.grants = slices.DeleteFunc(m.grants, func(g people.Grant) bool {
		return g.Subject == subject && g.Cluster == cluster && g.Namespace == namespace
	})
	return len(m.grants) < before, nil
}

func TestRoleOf(t *testing.T) {
	d, err := people.New(t.Context(), people.Config{Store: &memory{}, Admins: []string{"slack:ROOT", "discord:role:9"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []people.Grant{
		{Subject: "slack:MIA", Role: people.Operator, Cluster: "prod-eu", Namespace: "shop"},
		{Subject: "slack:KEN", Role: people.Operator, Cluster: "prod-eu"},
		{Subject: "slack:SGROUP", Role: people.Operator},
	} {
		if err := d.Grant(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		person             people.Person
		cluster, namespace string
		want               people.Role
	}{
		"no mapping is a viewer":                                {people.Person{ID: "slack:U1"}, "prod-eu", "shop", people.Viewer},
		"no id is nobody":                                       {people.Person{}, "prod-eu", "shop", people.Nobody},
		"a listed admin is admin everywhere":                    {people.Person{ID: "slack:ROOT"}, "any", "any", people.Admin},
		"a member of a listed group is admin":                   {people.Person{ID: "discord:1", Groups: []string{"discord:role:9"}}, "any", "", people.Admin},
		"the same number on another surface is not that admin":  {people.Person{ID: "discord:ROOT"}, "any", "any", people.Viewer},
		"the person at the local terminal is admin":             {people.Person{ID: "terminal:local", Local: true}, "any", "", people.Admin},
		"a stranger is nobody even when listed as admin":        {people.Person{ID: "slack:ROOT", Stranger: true}, "prod-eu", "shop", people.Nobody},
		"a stranger is nobody even when local":                  {people.Person{ID: "terminal:x", Local: true, Stranger: true}, "prod-eu", "shop", people.Nobody},
		"a scoped operator is one in the scope":                 {people.Person{ID: "slack:MIA"}, "prod-eu", "shop", people.Operator},
		"a scoped operator is a viewer in another namespace":    {people.Person{ID: "slack:MIA"}, "prod-eu", "billing", people.Viewer},
		"a scoped operator is a viewer in another cluster":      {people.Person{ID: "slack:MIA"}, "prod-us", "shop", people.Viewer},
		"an operator of a namespace may not touch nodes":        {people.Person{ID: "slack:MIA"}, "prod-eu", "", people.Viewer},
		"an operator of a cluster may touch its nodes":          {people.Person{ID: "slack:KEN"}, "prod-eu", "", people.Operator},
		"an operator of a cluster is a viewer of the next":      {people.Person{ID: "slack:KEN"}, "prod-us", "", people.Viewer},
		"a group gives its role":                                {people.Person{ID: "slack:U2", Groups: []string{"slack:SGROUP"}}, "prod-us", "x", people.Operator},
		"an unnamed cluster is not covered by a scoped mapping": {people.Person{ID: "slack:KEN"}, "", "", people.Viewer},
	} {
		t.Run(name, func(t *testing.T) {
			if got := d.RoleOf(c.person, c.cluster, c.namespace); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := d.Highest(people.Person{ID: "slack:MIA"}); got != people.Operator {
		t.Errorf("highest role of a scoped operator: %v", got)
	}
}

func TestGrantAndRevoke(t *testing.T) {
	store := &memory{}
	d, err := people.New(t.Context(), people.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	mia := people.Person{ID: "slack:MIA"}
	for name, g := range map[string]people.Grant{
		"an id without a surface":     {Subject: "MIA", Role: people.Operator},
		"the role nobody":             {Subject: "slack:MIA"},
		"a role beyond admin":         {Subject: "slack:MIA", Role: people.Admin + 1},
		"a namespace without cluster": {Subject: "slack:MIA", Role: people.Operator, Namespace: "shop"},
	} {
		if err := d.Grant(t.Context(), g); err == nil {
			t.Errorf("%s was granted", name)
		}
	}
	if err := d.Grant(t.Context(), people.Grant{Subject: "slack:MIA", Role: people.Operator, Cluster: "c"}); err != nil {
		t.Fatal(err)
	}
	if err := d.Grant(t.Context(), people.Grant{Subject: "slack:MIA", Role: people.Admin, Cluster: "c"}); err != nil {
		t.Fatal(err)
	}
	again, err := people.New(t.Context(), people.Config{Store: store})
	if err != nil || again.RoleOf(mia, "c", "n") != people.Admin || len(again.Grants()) != 1 {
		t.Fatalf("after a restart: %v %v", again.Grants(), err)
	}
	store.broken = true
	if err := d.Grant(t.Context(), people.Grant{Subject: "slack:KEN", Role: people.Admin}); !errors.Is(err, errDisk) {
		t.Errorf("grant on a broken disk: %v", err)
	}
	if got := d.RoleOf(people.Person{ID: "slack:KEN"}, "c", ""); got != people.Viewer {
		t.Errorf("a grant that was not stored gave %v", got)
	}
	if _, err := d.Revoke(t.Context(), "slack:MIA", "c", ""); !errors.Is(err, errDisk) {
		t.Errorf("revoke on a broken disk: %v", err)
	}
	if got := d.RoleOf(mia, "c", "n"); got != people.Viewer {
		t.Errorf("a revocation that could not be stored still gives %v", got)
	}
}

func TestOneHumanWithTwoAccounts(t *testing.T) {
	d, err := people.New(t.Context(), people.Config{Store: &memory{grants: []people.Grant{
		{Subject: "slack:MIA", Role: people.Operator, Human: "mia"},
		{Subject: "discord:77", Role: people.Operator, Human: "mia"},
		{Subject: "slack:KEN", Role: people.Operator},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	mia, miaToo, ken := people.Person{ID: "slack:MIA"}, people.Person{ID: "discord:77"}, people.Person{ID: "slack:KEN"}
	if !d.Same(mia, miaToo) || !d.Same(ken, ken) {
		t.Error("one human was taken for two")
	}
	if d.Same(mia, ken) || d.Same(ken, people.Person{ID: "slack:X"}) {
		t.Error("two humans were taken for one")
	}
}

func TestALanguageIsKeptOnlyWhenItIsStored(t *testing.T) {
	store := &memory{}
	d, err := people.New(t.Context(), people.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetLang(t.Context(), "slack:MIA", "ja"); err != nil || d.Lang("slack:MIA") != "ja" || d.Lang(people.Channel("slack/C1")) != "" {
		t.Errorf("%v, %q", err, d.Lang("slack:MIA"))
	}
	store.broken = true
	if err := d.SetLang(t.Context(), "slack:MIA", "zh"); !errors.Is(err, errDisk) || d.Lang("slack:MIA") != "ja" {
		t.Errorf("%v, %q", err, d.Lang("slack:MIA"))
	}
	store.broken = false
	again, err := people.New(t.Context(), people.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.SetLang(t.Context(), "slack:MIA", ""); err != nil || again.Lang("slack:MIA") != "" {
		t.Errorf("%v, %q", err, again.Lang("slack:MIA"))
	}
}
