package bot_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/people"
)

// buttons says who may use each, in the namespace of what it is about. It is written here anew, beside what checks it.
var buttons = map[string]people.Role{
	card.ActExplain:  people.Viewer,
	card.ActTimeline: people.Viewer,
	card.ActReview:   people.Viewer,
	card.ActDiff:     people.Viewer,
	card.ActAck:      people.Operator,
	card.ActSilence:  people.Operator,
	card.ActFix:      people.Operator,
	card.ActModel:    people.Admin,
	card.ActAsk:      people.Viewer, // opens a form; what is asked in it is checked as if it were typed
	card.ActLang:     people.Viewer, // of nobody but themselves
	card.ActWhole:    people.Viewer, // here their own; see TestWhatWasCutGoesWholeToWhomItIsAndNobodyElse
	card.ActRight:    people.Operator,
	card.ActWrong:    people.Operator,
	card.ActNoise:    people.Operator,
	card.ActApprove:  people.Operator,
	card.ActReject:   people.Operator,
	card.ActUndo:     people.Operator,
	card.ActChoice:   people.Operator, // here a stored restart, found under another person's question
	card.ActFill:     people.Operator, // here a stored scaling that lacks its replicas
	card.ActSay:      people.Operator, // here a restart
}

// declaredActions reads the actions of package card, so that a new one fails the test until it has a row.
func declaredActions(t *testing.T) (out []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "card/card.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Act") {
			return true
		}
		action, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, action)
		return true
	})
	return out
}

// furnish puts a deployment into the cluster, on which an agent may restart.
func (o *office) furnish() {
	o.t.Helper()
	c := o.engine.Fleet.Join("prod-eu")
	c.Apply(time.Now(), &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: []*report.Resource{deployed("payments:v1")}})
	c.SetStatus(func(s *fleet.Status) {
		s.Synced, s.LastSeen, s.Verbs = true, time.Now(), []string{"rollout_restart", "rollout_pause", "scale"}
	})
}

func deployed(image string) *report.Resource {
	return &report.Resource{
		Kind: "Deployment", Namespace: "shop", Name: "payments", Uid: "u1",
		Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 3, Ready: 3, Available: 3, Updated: 3, TemplateHash: image, Images: map[string]string{"app": image}}},
	}
}

// card makes a proposal of a restart in the state that a button needs.
func (o *office) card(id string, state command.State) *command.Proposal {
	o.t.Helper()
	target := entity.Ref{Cluster: "prod-eu", Kind: "Deployment", Namespace: "shop", Name: "payments"}
	x := &command.Proposal{
		ID: id, Digest: id, Title: "restart deployment/payments", Button: "Restart payments", By: people.Person{ID: "chat:ASKER", Name: "Asker"},
		State: state, Class: command.W1, Created: time.Now(), Expires: time.Now().Add(10 * time.Minute), UID: "u1",
		Seen:    command.Seen{Template: "payments:v1", Images: map[string]string{"app": "payments:v1"}, Replicas: 3},
		Command: command.Command{Verb: command.RolloutRestart, Target: target}, Preview: command.Preview{Accepted: true, DryRun: "accepted by the API server"},
		Undo: &command.Command{Verb: command.Scale, Target: target, Replicas: 2},
	}
	o.ok(o.db.CreateProposal(o.t.Context(), x, event.Event{At: time.Now(), Type: event.ProposalMade, Cluster: "prod-eu", Proposal: id}))
	return x
}

func TestNoButtonIsReachableBeyondARole(t *testing.T) {
	for _, a := range declaredActions(t) {
		if _, ok := buttons[a]; !ok {
			t.Errorf("the button %s has no row: who may use it?", a)
		}
	}
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		o.furnish()
		o.save(newIncident("INC-1", "payments is failing"), event.IncidentOpened, "")
		grant := func(who string, role people.Role, cluster, namespace string) {
			o.ok(o.engine.People.Grant(t.Context(), people.Grant{Subject: who, Role: role, Cluster: cluster, Namespace: namespace, By: "test"}))
		}
		grant("chat:SHOPOP", people.Operator, "prod-eu", "shop")
		grant("chat:OTHEROP", people.Operator, "prod-eu", "billing")
		grant("chat:ELSEOP", people.Operator, "prod-us", "")
		grant("chat:GROUP", people.Operator, "prod-eu", "shop")
		souls := map[string]struct {
			person people.Person
			role   people.Role // in prod-eu / shop
		}{
			"nobody":                 {people.Person{}, people.Nobody},
			"a stranger":             {people.Person{ID: "chat:FAR", Stranger: true}, people.Nobody},
			"an admin as a guest":    {people.Person{ID: mia.ID, Stranger: true}, people.Nobody},
			"a viewer":               {people.Person{ID: "chat:VIC", Name: "Vic"}, people.Viewer},
			"an operator of another": {people.Person{ID: "chat:OTHEROP", Name: "Oth"}, people.Viewer},
			"an operator elsewhere":  {people.Person{ID: "chat:ELSEOP", Name: "Els"}, people.Viewer},
			"an operator":            {people.Person{ID: "chat:SHOPOP", Name: "Sho"}, people.Operator},
			"one of a group":         {people.Person{ID: "chat:M", Name: "Mem", Groups: []string{"chat:GROUP"}}, people.Operator},
			"an admin":               {mia, people.Admin},
		}
		n, beyond := 0, 0
		for _, surface := range []string{"slack", "discord", "terminal"} {
			for who, soul := range souls {
				for action, need := range buttons {
					n++
					id, state := fmt.Sprint("p", n), command.Proposed
					if action == card.ActUndo {
						state = command.Verified
					}
					o.card(id, state)
					subject := map[string]string{card.ActSay: "restart payments"}[action]
					switch {
					case strings.HasPrefix(action, "incident."):
						subject = "INC-1"
					case strings.HasPrefix(action, "proposal."):
						subject = id
					case action == card.ActWhole:
						var err error
						subject, err = o.db.PutChoice(t.Context(), fmt.Appendf(nil, `{"person":%q,"message":{"Title":"all of it"}}`, soul.person.ID), time.Now())
						o.ok(err)
					case action == card.ActChoice:
						var err error
						subject, err = o.db.PutChoice(t.Context(), []byte(`{"label":"restart","tool":"rollout_restart","args":{"target":"deployment/payments"}}`), time.Now())
						o.ok(err)
					case action == card.ActFill:
						var err error
						subject, err = o.db.PutChoice(t.Context(), []byte(`{"label":"scale","tool":"scale","args":{"target":"deployment/payments"}}`), time.Now())
						o.ok(err)
					}
					in := bot.Inbound{ID: fmt.Sprint("click-", n), Kind: bot.Click, Person: soul.person, Action: action, Subject: subject, Place: bot.Place{Surface: surface, Channel: "ops"}}
					r := &replies{} // not by way of say: nobody is somebody there
					before := o.states()
					o.bot.Handle(t.Context(), in, r)
					after := o.states()
					text := fmt.Sprintf("%+v", r.answers)
					refused := strings.Contains(text, "needs the role") || strings.Contains(text, "Only an operator of") || strings.Contains(text, "Only an admin of everything") || strings.Contains(text, "decides about")
					switch {
					case soul.role == people.Nobody && len(r.answers)+len(r.working)+len(r.prompts) > 0:
						t.Errorf("%s on %s: %s was answered: %s", who, surface, action, text)
					case soul.role >= need && refused:
						t.Errorf("%s on %s may use %s and is refused: %s", who, surface, action, text)
					case soul.role < need && soul.role != people.Nobody && !refused:
						t.Errorf("%s on %s used %s: %s", who, surface, action, text)
					case soul.role < need && before != after:
						t.Errorf("%s on %s was refused %s, and it had an effect:\n%s\n%s", who, surface, action, before, after)
					case soul.role >= need && action == card.ActApprove && !strings.Contains(after, id+" approved by "+soul.person.ID):
						t.Errorf("%s on %s approved, and it is not: %s", who, surface, text)
					}
					if soul.role < need {
						beyond++
					}
					// The same button on a home does no more: the home is shown anew, and that is all.
					in.ID, in.AtHome, in.Kind = in.ID+"-at-home", true, bot.Click
					x := &parlour{}
					o.bot.Handle(t.Context(), in, x)
					if len(x.homes) != 1 || soul.role == people.Nobody && len(x.answers)+len(x.working)+len(x.prompts)+len(x.sent) > 0 {
						t.Errorf("%s on %s: %s at home: %d homes, %+v", who, surface, action, len(x.homes), x.replies.answers)
					}
					if soul.role < need && o.states() != after {
						t.Errorf("%s on %s was refused %s at home, and it had an effect:\n%s\n%s", who, surface, action, after, o.states())
					}
				}
			}
		}
		if n < 250 || beyond < 120 {
			t.Errorf("only %d clicks, %d beyond the role", n, beyond)
		}
	})
}

// states is what became of every proposal, and who approved it.
func (o *office) states() string {
	o.t.Helper()
	ps, err := o.db.Proposals(o.t.Context(), command.Filter{Limit: 10_000})
	o.ok(err)
	var b strings.Builder
	for _, p := range ps {
		state := string(p.State)
		if len(p.Approvals) > 0 {
			state = "approved by " + p.Approvals[0].By.ID // how it goes on is not the click's doing
		}
		fmt.Fprintln(&b, p.ID, state)
	}
	return b.String()
}

func TestClicksThatCameTooLateChangeNothing(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		o.furnish()
		click := func(action, id string) string {
			return fmt.Sprintf("%+v", o.say(bot.Inbound{Kind: bot.Click, Action: action, Subject: id}).answers)
		}
		o.card("rejected", command.Proposed)
		click(card.ActReject, "rejected")
		o.card("changed", command.Proposed)
		o.engine.Fleet.Join("prod-eu").Apply(time.Now(), &report.ReportRequest{Upserts: []*report.Resource{deployed("payments:v2")}})
		if got := click(card.ActApprove, "changed"); !strings.Contains(got, "got another image meanwhile") {
			t.Errorf("a changed object: %s", got)
		}
		o.card("stale", command.Proposed)
		time.Sleep(11 * time.Minute)
		for id, want := range map[string]string{
			"rejected": "was rejected by Mia", "changed": "is void", "stale": "has expired; nothing ran", "of-another-engine": "not known any more",
		} {
			for _, action := range []string{card.ActApprove, card.ActReject} {
				if got := click(action, id); !strings.Contains(got, want) {
					t.Errorf("%s of the %s proposal: %s", action, id, got)
				}
			}
			if got := click(card.ActUndo, id); !strings.Contains(got, "cannot be taken back") && !strings.Contains(got, "not known any more") {
				t.Errorf("undo of the %s proposal: %s", id, got)
			}
		}
		if got := o.states(); strings.Contains(got, "approved") {
			t.Errorf("something was approved:\n%s", got)
		}
	})
}

func TestEverybodyIsToldThatTheGlassWasBroken(t *testing.T) {
	c := &chat{}
	inOffice(t, c, nil, func(t *testing.T, o *office) {
		o.furnish()
		x := o.card("w2", command.Proposed)
		x.Class, x.By, x.Command = command.W2, mia, command.Command{Verb: command.RolloutPause, Target: x.Command.Target}
		o.ok(o.db.SwapProposal(t.Context(), command.Proposed, x))
		if got := o.say(bot.Inbound{Kind: bot.Click, Action: card.ActApprove, Subject: "w2"}); !strings.Contains(o.title(got), "needs one other operator") {
			t.Errorf("an admin approved alone without a word: %+v", got.answers)
		}
		if got := o.title(o.say(bot.Inbound{Kind: bot.Slash, Text: "break-glass payments the site is down and nobody else answers"})); !strings.Contains(got, "Approved by you alone") {
			t.Errorf("answered %q", got)
		}
		settle(10 * time.Second)
		said := strings.Join(o.chat.said(), "\n")
		if !strings.Contains(said, "Mia broke the glass in prod-eu / shop") || !strings.Contains(said, "nobody else answers") {
			t.Errorf("said:\n%s", said)
		}
	})
}
