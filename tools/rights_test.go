package tools_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
	"github.com/bukahou/atlhyper/tools"
)

// place is where a tool's call acts, and so whose role there counts.
type place int

const (
	anywhere    place = iota // the highest role counts
	namespace                // the shop's
	cluster                  // what is in no namespace
	everything_              // all clusters
)

// need is who may call a tool. It is written here anew, beside what the tools say of themselves.
type need struct {
	role people.Role
	at   place
	args string // a call that would do something; names in braces are filled in
}

var needs = map[string]need{
	"rollout_restart": {people.Operator, namespace, `{"target":"deployment/{other}"}`},
	"scale":           {people.Operator, namespace, `{"target":"deployment/{other}","replicas":3}`},
	"rollback":        {people.Operator, namespace, `{"target":"deployment/{cause}"}`},
	"set_image":       {people.Operator, namespace, `{"target":"deployment/{other}","image":"a:b"}`},
	"delete_pod":      {people.Operator, namespace, `{"target":"pod/{pod}"}`},
	"rollout_pause":   {people.Operator, namespace, `{"target":"deployment/{other}"}`},
	"rollout_resume":  {people.Operator, namespace, `{"target":"deployment/{other}"}`},
	"label":           {people.Operator, namespace, `{"target":"deployment/{other}","label":"team=shop"}`},
	"annotate":        {people.Operator, namespace, `{"target":"deployment/{other}","annotation":"note=x"}`},
	"restart_all":     {people.Operator, namespace, `{"kind":"deployments","selector":"app.kubernetes.io/name={other}","namespace":"{ns}"}`},
	"scale_all":       {people.Operator, namespace, `{"kind":"deployments","selector":"app.kubernetes.io/name={other}","namespace":"{ns}","replicas":3}`},
	"delete_job":      {people.Operator, namespace, `{"target":"job/none"}`},     // the shop has none: nobody may see more than that
	"run_cronjob":     {people.Operator, namespace, `{"target":"cronjob/none"}`}, // likewise
	"suggest_fix":     {people.Operator, namespace, `{"id":"INC-1"}`},
	"undo":            {people.Operator, namespace, `{"id":"{finished}"}`},
	"cordon":          {people.Operator, cluster, `{"target":"node/{node}"}`},
	"uncordon":        {people.Operator, cluster, `{"target":"node/{node}"}`},
	"drain":           {people.Operator, cluster, `{"target":"node/{node}","delete_emptydir_data":true}`},
	"taint":           {people.Operator, cluster, `{"target":"node/{node}","taint":"gpu=yes:NoSchedule"}`},
	"untaint":         {people.Operator, cluster, `{"target":"node/{node}","taint":"gpu"}`},
	"acknowledge":     {people.Operator, namespace, `{"id":"INC-1"}`},
	"silence":         {people.Operator, namespace, `{"id":"INC-1","for":"1h"}`},
	"judge":           {people.Operator, namespace, `{"id":"INC-1","judgement":"right"}`},
	"silence_cause":   {people.Operator, namespace, `{"kind":"OOMKilled","namespace":"{ns}","cluster":"prod"}`},
	"silence_end":     {people.Operator, namespace, `{"id":"{silence}"}`},
	"slo_set":         {people.Operator, namespace, `{"target":"service/{cause}","kind":"availability","goal":"99"}`},
	"slo_remove":      {people.Operator, namespace, `{"target":"service/{cause}","kind":"availability"}`},
	"grant":           {people.Admin, namespace, `{"who":"slack:EVE","role":"admin","scope":"prod/{ns}"}`},
	"revoke":          {people.Admin, namespace, `{"who":"slack:SHOPOP","scope":"prod/{ns}"}`},
	"break_glass":     {people.Admin, namespace, `{"target":"{waiting}","reason":"nobody else is awake"}`},
	"grants":          {people.Operator, anywhere, `{}`},
	"audit":           {people.Admin, everything_, `{"what":"export"}`},
	"lang":            {people.Viewer, anywhere, `{"lang":"en"}`},
	"kubectl":         {people.Operator, namespace, `{"command":"kubectl rollout restart deployment/{other} -n {ns}","cluster":"prod"}`},
}

// asWidely are calls by which somebody could try to reach further than their place.
var asWidely = map[string]need{
	"grant admin of the cluster":       {people.Admin, cluster, `{"who":"slack:EVE","role":"admin","scope":"prod"}`},
	"grant admin of everything":        {people.Admin, everything_, `{"who":"slack:EVE","role":"admin"}`},
	"revoke the cluster's operator":    {people.Admin, cluster, `{"who":"slack:CLUSTEROP","scope":"prod"}`},
	"revoke everywhere":                {people.Admin, everything_, `{"who":"slack:ALLOP"}`},
	"kubectl drain {node}":             {people.Operator, cluster, `{"command":"kubectl drain {node} --delete-emptydir-data","cluster":"prod"}`},
	"kubectl scale by selector":        {people.Operator, namespace, `{"command":"kubectl scale deploy -l app.kubernetes.io/name={other} --replicas=3 -n {ns}","cluster":"prod"}`},
	"kubectl label the namespace {ns}": {people.Operator, cluster, `{"command":"kubectl label ns {ns} team=shop","cluster":"prod"}`},
	"label the namespace":              {people.Operator, cluster, `{"target":"namespace/{ns}","label":"team=shop"}`},
	"silence_cause in the cluster":     {people.Operator, cluster, `{"kind":"OOMKilled","cluster":"prod"}`},
	"lang of a channel":                {people.Admin, everything_, `{"lang":"ja","channel":true}`},
	"audit verify":                     {people.Admin, everything_, `{"what":"verify"}`},
}

// soul is a person with the roles that the test gives, by place.
type soul struct {
	person                people.Person
	ns, cluster, all, any people.Role
}

func TestNoToolIsReachableBeyondARole(t *testing.T) {
	s := newSimulated(t, "bad-rollout")
	ns := s.shop.Namespace()
	ctx := t.Context()
	grant := func(who string, role people.Role, cluster, namespace string) {
		t.Helper()
		if err := s.e.People.Grant(ctx, people.Grant{Subject: who, Role: role, Cluster: cluster, Namespace: namespace, By: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	grants := func() {
		grant("slack:SHOPOP", people.Operator, "prod", ns)
		grant("slack:OTHEROP", people.Operator, "prod", "kube-system")
		grant("slack:CLUSTEROP", people.Operator, "prod", "")
		grant("slack:ELSEOP", people.Operator, "staging", "")
		grant("slack:ALLOP", people.Operator, "", "")
		grant("slack:SHOPADMIN", people.Admin, "prod", ns)
		grant("slack:OTHERADMIN", people.Admin, "prod", "kube-system")
		grant("slack:CLUSTERADMIN", people.Admin, "prod", "")
		grant("slack:SGROUP", people.Operator, "prod", ns)
	}
	grants()
	const no, v, op, ad = people.Nobody, people.Viewer, people.Operator, people.Admin
	id := func(s string) people.Person { return people.Person{ID: "slack:" + s, Name: s} }
	stranger, guestAdmin, grouped := id("FOREIGN"), mia, id("MEMBER")
	stranger.Stranger, guestAdmin.Stranger, grouped.Groups = true, true, []string{"slack:SGROUP"}
	souls := map[string]soul{
		"nobody at all":                   {people.Person{}, no, no, no, no},
		"a stranger":                      {stranger, no, no, no, no},
		"a listed admin who is a guest":   {guestAdmin, no, no, no, no},
		"a viewer":                        {id("VIC"), v, v, v, v},
		"a token that views":              {people.Person{ID: "client:t", Given: v}, v, v, v, v},
		"an operator of another cluster":  {id("ELSEOP"), v, v, v, op},
		"an operator of another ns":       {id("OTHEROP"), v, v, v, op},
		"an admin of another ns":          {id("OTHERADMIN"), v, v, v, ad},
		"an operator of the ns":           {id("SHOPOP"), op, v, v, op},
		"a member of an operators' group": {grouped, op, v, v, op},
		"an admin of the ns":              {id("SHOPADMIN"), ad, v, v, ad},
		"an operator of the cluster":      {id("CLUSTEROP"), op, op, v, op},
		"an admin of the cluster":         {id("CLUSTERADMIN"), ad, ad, v, ad},
		"an operator of everything":       {id("ALLOP"), op, op, op, op},
		"an admin":                        {mia, ad, ad, ad, ad},
	}
	names := s.names(t)
	fill := func(args string) json.RawMessage {
		for k, v := range names {
			args = strings.ReplaceAll(args, "{"+k+"}", v)
		}
		return json.RawMessage(args)
	}
	admin := tools.Caller{Person: mia, Lang: "en"}
	calls := map[string]need{}
	for _, spec := range s.Tools(admin) {
		n, ok := needs[spec.Name]
		if !ok {
			if spec.Role != people.Viewer || spec.Write || spec.ByHand {
				t.Errorf("%s has no row: who may call it?", spec.Name)
			}
			n = need{people.Viewer, anywhere, `{}`} // it only looks
		}
		calls[spec.Name] = n
	}
	for name, n := range asWidely {
		calls[name] = n
	}
	if len(calls) < 50 {
		t.Fatalf("only %d calls", len(calls))
	}
	tried, refusedCalls := 0, 0
	for _, who := range slices.Sorted(mapKeys(souls)) {
		soul := souls[who]
		for _, name := range slices.Sorted(mapKeys(calls)) {
			n := calls[name]
			tool, _, _ := strings.Cut(name, " ")
			if tool == "revoke" {
				grants() // what an earlier call took away
			}
			if tool == "break_glass" {
				names["waiting"] = s.waiting(t, names, tried)
			}
			if tool == "silence_end" {
				names["silence"] = s.hushed(t, ns)
			}
			has := map[place]people.Role{anywhere: soul.any, namespace: soul.ns, cluster: soul.cluster, everything_: soul.all}[n.at]
			before := s.effects(t)
			_, err := s.Call(ctx, tools.Caller{Person: soul.person, Lang: "en", Question: "matrix"}, tool, fill(n.args))
			after := s.effects(t)
			tried++
			var problem *tools.Problem
			switch {
			case err != nil && !errors.As(err, &problem):
				t.Errorf("%s calls %s: %v", who, name, err)
			case has >= n.role && refusesRole(err):
				t.Errorf("%s may call %s and is refused: %v", who, name, err)
			case has < n.role && err == nil:
				t.Errorf("%s called %s", who, name)
			case has < n.role && before != after:
				t.Errorf("%s was refused %s, and it had an effect:\n%s\n%s", who, name, before, after)
			case has < n.role && tool != "delete_job" && tool != "run_cronjob" && !refusesRole(err):
				t.Errorf("%s is refused %s for another reason: %v", who, name, err)
			}
			if has < n.role {
				refusedCalls++
			}
		}
		if soul.any == people.Nobody && len(s.Tools(tools.Caller{Person: soul.person})) != 0 {
			t.Errorf("%s is offered tools", who)
		}
	}
	t.Logf("%d calls by %d people, %d of them beyond the role", tried, len(souls), refusedCalls)
	if n := s.ran(t); n != 4 {
		t.Errorf("%d commands were approved, want the test's own and one of each admin who broke the glass", n)
	}
}

// refusesRole says whether an error is about who asks.
func refusesRole(err error) bool {
	if err == nil {
		return false
	}
	for _, s := range []string{"needs the role", "Only an operator of", "Only an admin of", "I take no commands from", "is for an admin of everything", "is set by its operators"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// names are what the calls name, and one command that ran.
func (s *simulated) names(t *testing.T) map[string]string {
	t.Helper()
	c, _ := s.e.Fleet.Cluster("prod")
	out := map[string]string{"ns": s.shop.Namespace(), "cause": s.truth.Roots[0].GetName(), "node": c.List("Node", "")[0].GetName()}
	for _, d := range c.List("Deployment", s.shop.Namespace()) {
		if d.GetName() != out["cause"] && d.GetWorkload().GetDesired() == 2 {
			out["other"] = d.GetName()
		}
	}
	for _, p := range c.List("Pod", s.shop.Namespace()) {
		out["pod"] = p.GetName()
	}
	target := entity.Ref{Cluster: "prod", Kind: entity.Deployment, Namespace: out["ns"], Name: out["other"]}
	p, err := s.e.Desk.Propose(t.Context(), command.Request{Command: command.Command{Verb: command.Scale, Target: target, Replicas: 4}, By: mia})
	if err == nil {
		_, err = s.e.Desk.Approve(t.Context(), p.ID, mia, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		now, err := s.e.Desk.Get(t.Context(), p.ID)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the command did not run: %+v, %v", now, err)
		}
		if now.State == command.Done {
			break
		}
	}
	out["finished"] = p.ID
	return out
}

// waiting has a proposal that needs another operator, and gives what it is called.
func (s *simulated) waiting(t *testing.T, names map[string]string, n int) string {
	t.Helper()
	target := entity.Ref{Cluster: "prod", Kind: entity.Deployment, Namespace: names["ns"], Name: names["cause"]}
	_, err := s.e.Desk.Propose(t.Context(), command.Request{Command: command.Command{Verb: command.Annotate, Target: target, Key: "note", Value: fmt.Sprint(n)}, By: mia})
	if err != nil {
		t.Fatal(err)
	}
	pending, err := s.e.Desk.Pending(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pending { // what else was proposed about it must not make it ambiguous
		if p.Command.Target == target && p.Command.Value != fmt.Sprint(n) {
			if _, err := s.e.Desk.Reject(t.Context(), p.ID, mia); err != nil {
				t.Fatal(err)
			}
		}
	}
	return names["cause"]
}

// hushed has a silence in a namespace, and gives its id.
func (s *simulated) hushed(t *testing.T, ns string) string {
	t.Helper()
	m := silence.Matcher{Cluster: "prod", Namespace: ns, Kind: "OOMKilled"}
	made, err := s.e.QuietCause(t.Context(), m, incident.StageNone, s.e.Now().Add(time.Hour), mia, "", "en")
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// effects is everything that a call of a tool can change.
func (s *simulated) effects(t *testing.T) string {
	t.Helper()
	var out []string
	ps, err := s.e.Proposals(t.Context(), command.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if p.State == command.Proposed {
			out = append(out, p.ID)
		}
		for _, a := range p.Approvals {
			out = append(out, p.ID+" by "+a.By.ID)
		}
	}
	for _, g := range s.e.People.Grants() {
		out = append(out, fmt.Sprint(g.Subject, g.Role, g.Cluster, g.Namespace))
	}
	for _, i := range s.e.Incidents.Open("") {
		out = append(out, i.ID+i.Acknowledged+i.SilencedTill.String())
		for _, v := range i.Votes {
			out = append(out, i.ID+v.By+string(v.Judgement))
		}
	}
	for _, x := range s.e.Silences() {
		out = append(out, x.ID)
	}
	for _, o := range s.e.SLO.Objectives("prod") {
		out = append(out, o.Name())
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// ran counts the commands that were approved.
func (s *simulated) ran(t *testing.T) (n int) {
	t.Helper()
	ps, err := s.e.Proposals(t.Context(), command.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if len(p.Approvals) > 0 {
			n++
			if a := p.Approvals[0]; a.BreakGlass == "" && a.By.ID != mia.ID {
				t.Errorf("%s approved %s", a.By.ID, p.Title)
			}
		}
	}
	return n
}
