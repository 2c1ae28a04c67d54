package main

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

func (w *workspace) paused(deployment string) bool {
	w.t.Helper()
	d, err := w.lab.Client().AppsV1().Deployments(lab.ShopNamespace).Get(w.t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Spec.Paused
}

// becomes waits until a message shows all the words.
func (w *workspace) becomes(m slackfake.Message, words ...string) {
	w.t.Helper()
	w.wait("the card", func() []slackfake.Message {
		now, ok := w.Message(m.Channel, m.TS)
		if !ok {
			return nil
		}
		return []slackfake.Message{now}
	}, words)
}

func TestARoleIsGrantedASecondOperatorApprovesAndTheChangeIsTakenBack(t *testing.T) {
	w := newWorkspace(t)
	w.AddUser(slackfake.User{ID: ken, Name: "Ken", Locale: "en-GB"})
	w.start()
	w.slash("pause shipping -n shop")
	card := w.expect("pause the rollouts of deployment/shipping", "W2", "accepted by the API server")
	w.click(mia, card, "Pause shipping")
	w.expectReply(card, "You asked for this yourself")
	w.click(ken, card, "Pause shipping")
	w.expectReply(card, "Only an operator of lab / shop")

	if err := w.Slash(ken, ops, "/atl", "grant @Ken operator lab/shop"); err != nil {
		t.Fatal(err)
	}
	w.expect("grant needs the role admin")
	w.slash("grant @Ken operator lab/shop")
	w.expect("slack:U0KEN is operator in lab/shop from now on")
	w.click(ken, card, "Pause shipping")
	w.becomes(card, "verified", "approved by Ken", "paused")
	if !w.paused("shipping") {
		t.Error("the API server says that it is not paused")
	}

	w.click(ken, card, "Undo")
	back := w.expectReply(card, "Proposed by Ken", "resume the rollouts of deployment/shipping", "takes back: pause the rollouts")
	w.click(ken, back, "Resume shipping")
	w.click(mia, back, "Resume shipping")
	w.becomes(back, "verified", "approved by Mia")
	if w.paused("shipping") {
		t.Error("the API server says that it is still paused")
	}

	w.slash("restart-all deployments -l app.kubernetes.io/name=shipping -n shop")
	all := w.expect("restart 1 deployment with app.kubernetes.io/name=shipping", "Every object", "shipping: ")
	w.click(ken, all, "Restart 1 deployment")
	w.becomes(all, "verified", "shipping")

	w.slash("label shipping team=logistics -n shop")
	label := w.expect("label deployment/shipping with team=logistics")
	w.slash("revoke @Ken lab/shop")
	w.expect("slack:U0KEN has no role of its own in lab/shop any more")
	w.click(ken, label, "Label shipping")
	w.expectReply(label, "you are a viewer there")
	w.slash("break-glass shipping Ken has left and nobody else is awake")
	w.expect("Mia broke the glass in lab / shop", "Ken has left")
	w.becomes(label, "verified", "Mia alone (broke the glass: Ken has left and nobody else is awake)")
	d, err := w.lab.Client().AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), "shipping", metav1.GetOptions{})
	if err != nil || d.Labels["team"] != "logistics" || d.Spec.Template.Labels["team"] != "" {
		t.Errorf("labels %v of the object, %v of its pods, %v", d.Labels, d.Spec.Template.Labels, err)
	}
	w.slash("undo")
	w.expect("label deployment/shipping with team-")
	w.slash("audit verify")
	w.expect("The audit log is whole")
	w.slash("help")
	w.expect("restart-all", "break-glass", "revoke", "Roles and records")
	w.slash("help scale-all")
	w.expect("/atl scale-all KIND REPLICAS -l SELECTOR -n NAMESPACE [--cluster C]")
}
