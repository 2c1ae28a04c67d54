package agent

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bukahou/atlhyper/agent/report"
)

func TestAnAnswerThatIsTooLargeKeepsWhatMatters(t *testing.T) {
	o := &report.Outcome{}
	for i := range 1000 {
		o.Lines = append(o.Lines, &report.LogLine{Body: strings.Repeat("x", 100), Pod: string(rune('a' + i%26))})
		o.Requests = append(o.Requests, &report.RequestCount{Total: float64(i), Route: strings.Repeat("r", 100)})
	}
	fit(o, 20_000)
	if size := proto.Size(o); size > 20_000 || size < 5_000 || !o.GetTruncated() {
		t.Errorf("%d bytes, truncated %v", size, o.GetTruncated())
	}
	if o.GetLines()[0].GetPod() != "a" || o.GetRequests()[len(o.GetRequests())-1].GetTotal() != 999 {
		t.Error("the first line, or the newest count, is gone")
	}
	one := &report.Outcome{Traces: []*report.Trace{{Id: "t", Spans: []*report.Span{{Message: strings.Repeat("m", 1000)}}}}}
	fit(one, 10) // ends, though it cannot fit
	small := &report.Outcome{Lines: []*report.LogLine{{Body: "x"}}}
	if fit(small, 0); small.GetTruncated() || len(small.GetLines()) != 1 {
		t.Error("what fits was cut")
	}
}
