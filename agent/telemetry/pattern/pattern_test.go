package pattern

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

func add(m *Merger, at time.Time, line string) {
	m.Add(&report.LogPattern{Template: Template(line), Count: 1, First: timestamppb.New(at), Last: timestamppb.New(at), Example: line})
}

func TestLinesThatDifferInNumbersAndNamesAreOnePattern(t *testing.T) {
	var m Merger
	at := time.Unix(1_000_000, 0)
	for i, who := range []string{"ann", "bob", "eve"} {
		add(&m, at.Add(time.Duration(i)*time.Second), fmt.Sprintf("user %s paid %d.50 from 10.0.0.%d:443 in order 3f2b8c1e-0d4a-4f6e-9a57-%012d", who, i, i, i))
	}
	add(&m, at, "user ann logged out")
	got := m.All()
	if len(got) != 2 || got[0].GetTemplate() != "user <*> paid <*> from <*> in order <*>" || got[0].GetCount() != 3 || got[1].GetTemplate() != "user ann logged out" {
		t.Fatalf("%v", got)
	}
	if d := got[0].GetLast().AsTime().Sub(got[0].GetFirst().AsTime()); d != 2*time.Second {
		t.Errorf("seen for %s", d)
	}
}

func TestLinesOfAnotherMeaningStayApart(t *testing.T) {
	var m Merger
	for _, line := range []string{"connection to db refused", "connection to cache refused by peer", "starting worker 1", "stopping worker 1", ""} {
		add(&m, time.Unix(1, 0), line)
	}
	if got := m.All(); len(got) != 5 {
		t.Errorf("%v", got)
	}
}

func FuzzMerger(f *testing.F) {
	f.Add("a b 1", "a c 2\n\n\nx")
	f.Add("<*> <*>", "\xff 0x1f")
	f.Fuzz(func(t *testing.T, a, b string) {
		var m Merger
		lines := append(strings.Split(a, "\n"), strings.Split(b, "\n")...)
		for _, l := range lines {
			add(&m, time.Unix(1, 0), l)
		}
		n := int64(0)
		for _, p := range m.All() {
			n += p.GetCount()
		}
		if n != int64(len(lines)) {
			t.Errorf("%d lines are in patterns, of %d", n, len(lines))
		}
	})
}
