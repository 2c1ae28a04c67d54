package tools_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

func TestACourseEndsWithTheNewestSample(t *testing.T) {
	f := newFixed(t, map[string][]*report.Resource{"prod": {of(entity.Service, "shop", "checkout")}})
	sample := func(seconds float64) {
		f.now = f.now.Add(10 * time.Second)
		f.ingest(t, "prod", &report.ReportRequest{Frames: []*report.TelemetryFrame{{Time: timestamppb.New(f.now), Samples: []*report.Sample{
			{Entity: &report.EntityRef{Kind: entity.Service, Namespace: "shop", Name: "checkout"}, Metric: "avg_latency", Value: seconds, Count: 100},
		}}}})
	}
	for range 19 {
		sample(0.02)
	}
	sample(0.08) // in the running minute, whose mean is 0.05 by now
	res, err := f.call(t, named("ken"), "chart", `{"target":"checkout","metric":"latency"}`)
	if err != nil || len(res.Charts) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := res.Facts[0]; got.Label != "now" || got.Value != "80 ms" || !got.At.Equal(f.now) {
		t.Errorf("now is %+v", got)
	}
	f.now = f.now.Add(5 * time.Minute) // what is old is not now
	res, err = f.call(t, named("ken"), "chart", `{"target":"checkout","metric":"latency"}`)
	if err != nil || res.Facts[0].Label != "last measured" || !strings.Contains(res.Charts[0].Alt, " at 02:48 UTC · ") {
		t.Errorf("five minutes later it is %+v, %s, %v", res.Facts[0], res.Charts[0].Alt, err)
	}
}
