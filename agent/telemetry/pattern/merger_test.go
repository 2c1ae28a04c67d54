package pattern

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/report"
)

func line(template string, count int64, at int) *report.LogPattern {
	when := timestamppb.New(time.Unix(int64(at), 0))
	return &report.LogPattern{Template: template, Count: count, First: when, Last: when}
}

func TestTemplatesThatDifferInAFewWordsAreOne(t *testing.T) {
	var p Merger
	for i, user := range []string{"anna", "ben", "carla"} {
		p.Add(line("user "+user+" logged in from <*>", 2, 10-i))
	}
	p.Add(line("connection to <*> refused", 5, 3))
	p.Add(line("connection to <*> lost", 1, 4))
	p.Add(line("connection reset by peer", 1, 4))
	got := p.All()
	want := []string{"user <*> logged in from <*>", "connection to <*> <*>", "connection reset by peer"}
	if len(got) != len(want) {
		t.Fatalf("patterns: %v", got)
	}
	for i := range want {
		if got[i].GetTemplate() != want[i] && !(i < 2 && got[1-i].GetTemplate() == want[i]) {
			t.Errorf("pattern %d is %q, want %q", i, got[i].GetTemplate(), want[i])
		}
	}
	for _, x := range got {
		if strings.HasPrefix(x.GetTemplate(), "user") && (x.GetCount() != 6 || x.GetFirst().GetSeconds() != 8 || x.GetLast().GetSeconds() != 10) {
			t.Errorf("merged: %v", x)
		}
	}
}

func TestNoLineIsLostOrDoubledByMerging(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Merger
		var want int64
		for _, words := range rapid.SliceOf(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "<*>", "c"}), 0, 5)).Draw(t, "templates") {
			n := rapid.Int64Range(1, 100).Draw(t, "count")
			want += n
			p.Add(line(strings.Join(words, " "), n, 1))
		}
		var got int64
		for _, x := range p.All() {
			got += x.GetCount()
		}
		if got != want {
			t.Fatalf("%d lines, want %d", got, want)
		}
	})
}
