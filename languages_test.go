package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/sim"
)

// untranslated are what a card in Chinese or Japanese may hold of English: names, what Kubernetes calls its things, what
// other programs said, figures and formulas.
var untranslated = []*regexp.Regexp{
	regexp.MustCompile(`couldn't\s+find\s+key\s+\S+\s+in\s+ConfigMap\s+\S*|Kubelet\s+stopped\s+posting\s+node\s+status|release(?: v[\d.]+)?|read\s+RETRY_BUDGET from\s+the\s+configuration`), // what others wrote
	regexp.MustCompile(`\S*[/:=_.\d\[\]<>-]\S*`),  // names with a mark in them, times, figures
	regexp.MustCompile(`\b(?:[A-Z][a-z]+){2,}\b`), // CrashLoopBackOff
	regexp.MustCompile(`\b(?:Pod|Node|Deployment|Service|Job|CPU|API|server|PDB|UTC|MiB|Ready|Running|Unavailable|OOMKilled|cordon|uncordon|drain|taint|agent|restart|scale|shop|demo|you|with|at|min|ms|INC|unschedulable|true|deployment|replicaset|calls|max|exp|tanh|more)(?:s|ed)?\b`),
}

func TestCardsNotesExplanationsAndTimelinesAreInTheReadersLanguage(t *testing.T) {
	besides(t)
	shop, err := sim.New(sim.Config{Seed: 1, Start: demoEpoch})
	if err != nil {
		t.Fatal(err)
	}
	services, err := shop.Client().CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	workloads, err := shop.Client().AppsV1().Deployments("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range services.Items {
		names = append(names, regexp.QuoteMeta(o.Name))
	}
	for _, o := range workloads.Items {
		names = append(names, regexp.QuoteMeta(o.Name))
	}
	name := regexp.MustCompile(`\b(?:` + strings.Join(names, "|") + `)\b`)
	var group errgroup.Group
	group.SetLimit(atOnce)
	var mu sync.Mutex
	for _, s := range sim.Scenarios() {
		for _, lang := range []string{"zh", "ja"} {
			group.Go(func() error {
				out, code := play(t.Context(), "--play", s.Name, "--lang", lang)
				mu.Lock()
				defer mu.Unlock()
				if code != 0 {
					t.Errorf("%s in %s:\n%s", s.Name, lang, tail(out, 3000))
				}
				for _, found := range english(out, name) {
					t.Errorf("%s in %s still says %s", s.Name, lang, found)
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// english gives what is left of English in a terminal's output, with what stands around it.
func english(out string, name *regexp.Regexp) []string {
	out = regexp.MustCompile(`(?m)^(?:正确：|正解：|time=).*$`).ReplaceAllString(out, "")
	out = regexp.MustCompile(` *│\n│ +`).ReplaceAllString(out, " ") // a card is one text
	out = name.ReplaceAllString(out, "·")
	for _, x := range untranslated {
		out = x.ReplaceAllString(out, "·")
	}
	var found []string
	for _, at := range regexp.MustCompile(`[A-Za-z]{3,}`).FindAllStringIndex(out, -1) {
		found = append(found, fmt.Sprintf("%q in %q", out[at[0]:at[1]], out[max(0, at[0]-60):min(len(out), at[1]+60)]))
	}
	return found
}
