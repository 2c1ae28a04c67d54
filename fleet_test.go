package main

import (
	"strings"
	"testing"
)

// incidents gives the parents of incidents that stand in the channel.
func (w *workspace) incidents() (out []string) {
	for _, m := range w.Messages(ops) {
		if strings.Contains(m.Text(), "INC-") {
			out = append(out, m.Text())
		}
	}
	return out
}

func TestFiftyFailingPodsAreOneThread(t *testing.T) {
	w := newWorkspace(t)
	t.Cleanup(func() { removeNamespace(t, w.lab, "load") })
	if err := w.lab.RunPods(t.Context(), "load", 50); err != nil {
		t.Fatal(err)
	}
	w.start()
	if err := w.lab.CrashPods(t.Context(), "load", "load"); err != nil {
		t.Fatal(err)
	}
	w.expect("load", "INC-1", "Incident", " of 50 pods") // by turns some of them run again for a moment
	if all := w.incidents(); len(all) != 1 {
		t.Errorf("%d threads for one fault:\n%s", len(all), strings.Join(all, "\n---\n"))
	}
}

// A rollout of a thousand pods takes minutes, with hundreds of pods that are not ready at any time: at full durations, for
// patience is what is tested.
func TestARollingRestartOfAThousandPodsOpensNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand pods on a real control plane")
	}
	w := newWorkspace(t, "--time-scale", "1")
	t.Cleanup(func() { removeNamespace(t, w.lab, "load") })
	if err := w.lab.RunPods(t.Context(), "load", 1000); err != nil {
		t.Fatal(err)
	}
	w.start()
	if err := w.lab.Restart(t.Context(), "load", "load"); err != nil {
		t.Fatal(err)
	}
	asked := w.mention(mia, "what changed in load in the last 30 minutes?")
	w.expectReply(asked, "deployment/load") // it was seen
	if all := w.incidents(); len(all) != 0 {
		t.Errorf("a healthy rollout opened:\n%s", strings.Join(all, "\n---\n"))
	}
}
