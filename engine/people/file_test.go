package people_test

import (
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/engine/people"
)

const file = `
people:
  - name: mia
    ids: [slack:MIA, discord:77, email:Mia@Example.com]
    grants:
      - role: operator
        cluster: prod-eu
        namespace: shop
groups:
  - id: slack:SONCALL
    grants:
      - {role: admin, cluster: prod-eu}
`

func TestThePeopleFileGrantsAndSaysWhoIsOneHuman(t *testing.T) {
	f, err := people.ParseFile([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	d, err := people.New(t.Context(), people.Config{Store: &memory{}, File: f})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		who                people.Person
		cluster, namespace string
		want               people.Role
	}{
		"by id":                       {people.Person{ID: "slack:MIA"}, "prod-eu", "shop", people.Operator},
		"by another id":               {people.Person{ID: "discord:77"}, "prod-eu", "shop", people.Operator},
		"by address, however written": {people.Person{ID: "slack:NEW", Email: "MIA@example.com"}, "prod-eu", "shop", people.Operator},
		"in another namespace":        {people.Person{ID: "slack:MIA"}, "prod-eu", "billing", people.Viewer},
		"by group":                    {people.Person{ID: "slack:X", Groups: []string{"slack:SONCALL"}}, "prod-eu", "billing", people.Admin},
		"by group elsewhere":          {people.Person{ID: "slack:X", Groups: []string{"slack:SONCALL"}}, "prod-us", "billing", people.Viewer},
		"a stranger with the address": {people.Person{ID: "slack:X", Email: "mia@example.com", Stranger: true}, "prod-eu", "shop", people.Nobody},
		"an address as an id is none": {people.Person{ID: "slack:email:mia@example.com"}, "prod-eu", "shop", people.Viewer},
	} {
		if got := d.RoleOf(c.who, c.cluster, c.namespace); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	mia, other, mail := people.Person{ID: "slack:MIA"}, people.Person{ID: "discord:77"}, people.Person{ID: "slack:NEW", Email: "mia@example.com"}
	if !d.Same(mia, other) || !d.Same(mia, mail) || d.Same(mia, people.Person{ID: "slack:KEN", Email: "ken@example.com"}) {
		t.Error("humans are not told apart")
	}
	if !d.Same(mail, people.Person{ID: "client:m", Email: "MIA@example.com"}) {
		t.Error("one address is two humans")
	}
	if had, err := d.Revoke(t.Context(), "slack:MIA", "prod-eu", "shop"); had || err != nil || d.RoleOf(mia, "prod-eu", "shop") != people.Operator {
		t.Errorf("what the file grants was revoked: %v %v", had, err)
	}
	if err := d.Grant(t.Context(), people.Grant{Subject: "email:Ken@Example.com", Role: people.Operator}); err != nil {
		t.Fatal(err)
	}
	if got := d.RoleOf(people.Person{ID: "slack:K", Email: "ken@example.com"}, "any", ""); got != people.Operator {
		t.Errorf("a granted address: %v", got)
	}
}

func TestAPeopleFileThatIsNotUnderstoodIsAnError(t *testing.T) {
	for name, c := range map[string][2]string{
		"a misspelt field":            {"people: [{name: mia, ids: [slack:M], grants: [{role: admin, namespaces: shop}]}]", "namespaces"},
		"no id":                       {"people: [{name: mia}]", "at least one id"},
		"an id without a surface":     {"people: [{name: mia, ids: [MIA]}]", "surface:id"},
		"one id of two people":        {"people: [{name: mia, ids: [slack:M]}, {name: ken, ids: [slack:M]}]", "of mia and of ken"},
		"a role that is none":         {"groups: [{id: slack:S, grants: [{role: root}]}]", "must be viewer"},
		"the role nobody":             {"groups: [{id: slack:S, grants: [{role: nobody}]}]", "must be viewer"},
		"a namespace without cluster": {"groups: [{id: slack:S, grants: [{role: admin, namespace: shop}]}]", "needs a cluster"},
		"no YAML":                     {"people: [", "yaml"},
	} {
		if _, err := people.ParseFile([]byte(c[0])); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(file))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := people.ParseFile(raw); err != nil {
			t.Skip()
		}
	})
}
